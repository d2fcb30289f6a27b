"""Lines that come without end: order, look-ahead, batches."""

import itertools

import numpy as np
import pytest

from crnnkit.errors import ConfigError
from crnnkit.model.config import CheckpointInfo
from crnnkit.serving import recognizer as recognizer_module
from crnnkit.serving.network import MAX_COLUMNS
from crnnkit.serving.recognizer import Recognizer

CHARSET = "0123456789ABC"


class BarNetwork:
    """Reads a line whose first column holds n pixels of ink as the n-th character."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        """Of the batches that came."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.shapes.append(images.shape)
        num_ink = (images[:, 0, :, 0] > 0).sum(1)
        return 50 * np.eye(len(CHARSET) + 1, dtype=np.float32)[num_ink + 1][:, np.newaxis, :]


def test_a_stream_need_not_end_and_waits_for_few_lines(monkeypatch):
    monkeypatch.setattr(recognizer_module, "LOOK_AHEAD", 10)
    taken = 0

    def endless():
        nonlocal taken
        for taken in itertools.count(1):
            # every 31st line is alone with its width: its bucket never fills
            line = np.full((32, 300 if taken % 31 == 0 else 64), 255, np.uint8)
            line[: taken % 13] = 0
            yield line

    network = BarNetwork()
    stream = Recognizer(network, CheckpointInfo(CHARSET), "bars").stream_lines(endless(), 4)
    for number in range(1, 200):
        assert int(next(stream).text, 16) == number % 13
        assert number <= taken <= number + 10
    assert {shape[3]: shape[0] for shape in network.shapes} == {64: 4, 320: 1}


def test_batches_hold_fewer_of_wider_lines_and_one_of_the_widest():
    network = BarNetwork()
    recognizer = Recognizer(network, CheckpointInfo(CHARSET), "bars")
    widths = (MAX_COLUMNS // 4, MAX_COLUMNS // 2 + 32, MAX_COLUMNS)
    recognizer.read_lines([np.zeros((32, width), np.uint8) for width in widths for _ in range(6)])
    assert network.shapes == [
        *[(4, 1, 32, widths[0])],
        *[(1, 1, 32, widths[1])] * 6,
        *[(1, 1, 32, widths[2])] * 6,
        *[(2, 1, 32, widths[0])],
    ]


def test_a_stream_refuses_at_once_and_not_at_its_first_line():
    recognizer = Recognizer(BarNetwork(), CheckpointInfo(CHARSET), "bars")
    with pytest.raises(ConfigError, match="batch_size is 0"):
        recognizer.stream_lines([], batch_size=0)
