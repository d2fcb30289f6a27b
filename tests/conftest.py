"""What every test stands on: no network, fixed seeds, one thread, drawn lines."""

import random
import socket
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings as hypothesis_settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from crnnkit.vocab import Vocab

# how long one example takes says nothing on a busy machine
hypothesis_settings.register_profile("no deadline", deadline=None)
hypothesis_settings.load_profile("no deadline")

LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "::1", ""}
MakeLine = Callable[..., np.ndarray]


def check_address(address: object) -> None:
    """Refuse an address outside this machine; paths of Unix sockets pass.

    Not an OSError: code under test that expects the network to fail must not swallow it.
    """
    host = address[0] if isinstance(address, tuple) else None
    if host is not None and host not in LOOPBACK_HOSTS and not str(host).startswith("127."):
        raise RuntimeError(f"Tests stay on this machine; one asked for {host!r}.")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sockets reach only this machine."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: object) -> None:
        check_address(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: object) -> int:
        check_address(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: str | bytes | None, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        check_address((name or "",))
        return getaddrinfo(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Results and times do not depend on how many cores the machine has."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Start every test from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def tiny_vocab() -> Vocab:
    """Letters, digits, a space and three Chinese characters: V = 17 with the blank."""
    return Vocab("0123456789AB 北京市")


def draw_line(
    text: str, *, height: int = 32, ink: int = 0, paper: int = 255, font: str = "uni"
) -> np.ndarray:
    """Draw a text as one line.

    The fonts are those inside OpenCV 5 ("uni", "sans", "italic"), which know Chinese too: the
    pictures are the same on every machine.

    Args:
        text: What stands on the line.
        height: Height of the picture in pixels.
        ink: Grey value of the characters.
        paper: Grey value of the ground.
        font: One of OpenCV's built-in font names.

    Returns:
        uint8 (H, W), W as wide as the text needs.
    """
    size = max(8, round(height * 0.7))
    canvas = np.full((height, size * (len(text) + 2), 3), paper, np.uint8)
    face = cv2.FontFace(font)
    origin = (size // 4, round(height * 0.75))
    (end, _), _ = cv2.putText(canvas, text, origin, (ink,) * 3, face, size)
    return canvas[:, : max(end + size // 4, size), 0].copy()


@pytest.fixture
def make_line() -> MakeLine:
    """Give the test `draw_line`."""
    return draw_line


@pytest.fixture
def page(make_line) -> np.ndarray:
    """A clean page of six lines."""
    canvas = np.full((321, 561), 255, np.uint8)
    for i in range(6):
        drawn = make_line(f"北京市朝阳区 {i} 建国路北京市朝阳", height=32)
        canvas[40 + 42 * i : 72 + 42 * i, 40 : 40 + drawn.shape[1]] = drawn
    return canvas


def group_of(nodeid: str) -> str:
    """What runs in one process: a file of tests, and all notebooks, which hand files on."""
    path = nodeid.split("::")[0]
    return "notebooks" if path.endswith(".ipynb") else path


class FilesAndNotebooks(LoadScopeScheduling):
    """Shares groups out among processes."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesAndNotebooks:
    """Share the tests out among the processes of `pytest -n auto`."""
    return FilesAndNotebooks(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks first, then what is slow: at the end no process waits long for another then."""

    def rank(item: pytest.Item) -> int:
        if item.path.suffix == ".ipynb":
            return 0
        return 1 if any(map(item.get_closest_marker, ("slow", "browser", "notebooks"))) else 2

    items.sort(key=rank)
