"""The guards of the test suite do guard."""

import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import group_of, pytest_collection_modifyitems


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_socket_cannot_leave_this_machine(method):
    # 192.0.2.1 is reserved for documentation (RFC 5737): nothing answers there.
    with socket.socket() as sock, pytest.raises(RuntimeError, match="192.0.2.1"):
        getattr(sock, method)(("192.0.2.1", 80))


def test_a_name_cannot_be_looked_up():
    with pytest.raises(RuntimeError, match="example.invalid"):
        socket.create_connection(("example.invalid", 80))


def test_a_server_on_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("text", ["GL-2024", "北京市"])
def test_a_drawn_line_holds_its_text_within_its_edges(make_line, text):
    line = make_line(text, height=40)
    assert line.dtype == np.uint8
    assert line.shape[0] == 40
    ink = line < 128
    assert ink.sum() > 100
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    assert not border.any()


def test_different_chinese_characters_look_different(make_line):
    # A font without the characters would draw the same box for both.
    assert not np.array_equal(make_line("北"), make_line("京"))


def test_every_test_starts_from_the_same_random_state():
    assert np.random.randint(1_000_000) == np.random.RandomState(0).randint(1_000_000)


class Item(SimpleNamespace):
    """As much of a test as the order of tests asks for."""

    def get_closest_marker(self, name: str) -> bool:
        return name in self.marks


def item(nodeid: str, *marks: str) -> Item:
    return Item(nodeid=nodeid, path=Path(nodeid.split("::")[0]), marks=marks)


def test_notebooks_come_first_then_what_is_slow():
    items = [
        item("tests/test_a.py::test_quick"),
        item("tests/test_a.py::test_slow", "slow"),
        item("tests/test_b.py::test_page", "browser"),
        item("notebooks/01_x.ipynb::Cell 0"),
        item("notebooks/02_y.ipynb::Cell 0"),
    ]
    pytest_collection_modifyitems(items)
    assert [one.nodeid.rpartition("/")[2] for one in items] == [
        "01_x.ipynb::Cell 0",
        "02_y.ipynb::Cell 0",
        "test_a.py::test_slow",
        "test_b.py::test_page",
        "test_a.py::test_quick",
    ]


@pytest.mark.parametrize(
    ("one", "other", "are_together"),
    [
        ("notebooks/01_x.ipynb::Cell 0", "notebooks/02_y.ipynb::Cell 3", True),
        ("tests/test_a.py::test_x[京::A@B]", "tests/test_a.py::TestY::test_z", True),
        ("tests/test_a.py::test_x", "tests/test_b.py::test_x", False),
    ],
)
def test_what_shares_files_runs_in_one_process(one, other, are_together):
    assert (group_of(one) == group_of(other)) is are_together
