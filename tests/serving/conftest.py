"""A tiny model, as checkpoint and as ONNX file, and a reader whose answer is known."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from crnnkit.model.checkpoint import new_checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage
from crnnkit.model.constraints import Constraint
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.serving.export import export_onnx
from crnnkit.serving.models import LocalReader, ServedModel
from crnnkit.serving.readings import PageLine
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import Vocab

WAIT_SECONDS = 20
"""After which a condition that should come true has failed."""

TINY_MODEL = ModelConfig(
    stages=(Stage(8, (2, 2)), Stage(12, (2, 2)), Stage(16, (2, 1))), bottleneck=16, lstm_hidden=12
)
CHARSET = "0123456789AB 北京市"


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights that reads some text into every line."""
    torch.manual_seed(1)
    checkpoint = new_checkpoint(CheckpointInfo(CHARSET, model=TINY_MODEL))
    # Freshly made networks are so quiet that they say the same of everything.
    for weights in checkpoint.model.parameters():
        if weights.ndim > 1:
            torch.nn.init.xavier_normal_(weights, gain=2)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, checkpoint)
    return path


@pytest.fixture(scope="session")
def onnx_path(checkpoint_path: Path) -> Path:
    """The same network as an ONNX file."""
    path = checkpoint_path.with_suffix(".onnx")
    line = np.full((32, 90), 255, np.uint8)
    line[8:24, 10:80:7] = 0
    export_onnx(checkpoint_path, path, [line])
    return path


@pytest.fixture(scope="session")
def recognizer(onnx_path: Path) -> Recognizer:
    """The ONNX file, loaded."""
    return Recognizer.load(onnx_path, num_threads=1)


class FakeReader:
    """Says `lines` of every picture that holds ink, one below the other, and checks pictures.

    With a constraint, it says those of the lines that are accepted.
    """

    name = "fake.onnx"
    vocab = Vocab("0123456789-ABCGL")
    lines = (("参苓白术散 9g×6袋", 0.987654321), ("GL-2024-03-001-A", 0.75), ("<b>&copy;</b>", 0.4))

    def read_pages(
        self, sources: Iterable[ImageSource], constraint: Constraint | None = None
    ) -> list[list[PageLine]]:
        """Lines in thirds of each picture; none if it is all of one colour."""
        return [self._read(read_image(source), constraint) for source in sources]

    def _read(self, image: np.ndarray, constraint: Constraint | None) -> list[PageLine]:
        height, width = image.shape[:2]
        if image.min() == image.max():
            return []
        return [
            PageLine(
                text,
                confidence,
                _third(index, width, height),
                (confidence,) * len(text),
                tuple((i / len(text), (i + 1) / len(text)) for i in range(len(text))),
            )
            for index, (text, confidence) in enumerate(self.lines)
            if constraint is None or constraint.accepts(text)
        ]


def _third(index: int, width: int, height: int) -> np.ndarray:
    top, bottom = height * index / 3, height * (index + 1) / 3
    corners = [(0, top), (width, top), (width, bottom), (0, bottom)]
    return np.array(corners, np.float32)


@pytest.fixture(scope="session")
def fake_reader() -> FakeReader:
    """For tests of the service, which are not about reading."""
    return FakeReader()


@pytest.fixture
def fake_model(fake_reader: FakeReader, tmp_path: Path) -> ServedModel:
    """The same as a served file."""
    path = tmp_path / "fake.onnx"
    path.write_bytes(b"a model, to those who do not look")
    return ServedModel(path, load=lambda path: LocalReader(fake_reader))


class HeldReader:
    """Answers once it may."""

    name = "held.onnx"
    vocab = Vocab("0123456789")

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def read_pages(
        self, sources: Iterable[ImageSource], constraint: Constraint | None = None
    ) -> list[list[PageLine]]:
        """Nothing, for each picture."""
        assert self.may_end.wait(WAIT_SECONDS)
        return [[] for _ in sources]


@pytest.fixture
def held_reader() -> Iterator[HeldReader]:
    """For tests of what happens meanwhile; it is let go at the end at the latest."""
    reader = HeldReader()
    yield reader
    reader.may_end.set()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition; fail where it does not come true, instead of hanging."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.001)

    return wait
