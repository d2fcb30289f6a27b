"""A printed line much wider than the network reads at once, with the base checkpoint."""

from pathlib import Path

import numpy as np
import pytest

from crnnkit.serving.recognizer import OVERLAP, Recognizer

BASE = Path(__file__).parents[2] / "checkpoints" / "base.onnx"
WORD, TIMES = "北京市设备维护记录", 14
SHIFT_PX = 4
"""One time step. A character is some 24 px wide: six shifts are all places of a seam in it."""


@pytest.fixture(scope="module")
def base() -> Recognizer:
    return Recognizer.load(BASE, num_threads=1)


@pytest.mark.parametrize("shift", range(0, 24, SHIFT_PX))
def test_no_character_of_a_long_line_is_lost_or_doubled(base, shift, make_line):
    line = np.hstack([make_line(WORD)[:, 5:-5]] * TIMES)
    assert line.shape[1] > base.line_config.max_width + 2 * OVERLAP * base.line_config.height
    shifted = np.hstack([np.full((len(line), shift), 255, np.uint8), line])
    assert base.read_line(shifted).text == WORD * TIMES


def test_emptiness_is_read_once_however_long_it_is(base, make_line, monkeypatch):
    """An altered header makes a line of 30,000 px of a small file, empty but for its beginning."""
    widths, network = [], base.network
    monkeypatch.setattr(base, "network", lambda x: widths.append(x.shape[3]) or network(x))
    line = make_line("设备维护")
    long = np.hstack([line, np.full((len(line), 800 * len(line)), 255, np.uint8)])
    assert base.read_line(long).text == "设备维护"
    assert widths == [base.line_config.max_width] * 2  # the beginning, and what is like the rest
