"""Unsure lines are read upside down, too, where the checkpoint asks for it."""

import numpy as np
import pytest

from crnnkit.model.config import CheckpointInfo
from crnnkit.preprocessing.tensors import LineConfig, half_turn
from crnnkit.serving.recognizer import Recognizer


class UpsideDownNetwork:
    """Reads 7 where ink stands on top, surely; 8 where it stands below, unsurely."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        is_upright = images[:, 0, :16].max((1, 2)) > images[:, 0, 16:].max((1, 2))
        scale = np.where(is_upright, 9.0, 5.0)[:, np.newaxis, np.newaxis]
        ids = np.where(is_upright, 8, 9)
        return (scale * np.eye(11)[ids][:, np.newaxis, :]).astype(np.float32)


@pytest.mark.parametrize(
    ("turn_below", "texts"),
    [
        (0.0, "778"),  # lines are taken as they are
        (0.95, "777"),  # the unsure one is read turned, and that is surer
        (0.3, "778"),  # not unsure enough
    ],
)
def test_unsure_lines_are_read_upside_down_too(turn_below, texts):
    info = CheckpointInfo("0123456789", line=LineConfig(turn_below=turn_below))
    upright = np.full((32, 32), 255, np.uint8)
    upright[:6] = 0
    readings = Recognizer(UpsideDownNetwork(), info, "fake").read_lines(
        [upright, upright, half_turn(upright)]
    )
    assert "".join(reading.text for reading in readings) == texts
    assert [reading.turned for reading in readings] == [False, False, texts[2] == "7"]


@pytest.mark.parametrize("temperature", [0.5, 1, 4])
def test_a_temperature_changes_how_sure_a_reading_is_and_nothing_else(temperature):
    line = LineConfig(turn_below=0.95)
    info = CheckpointInfo("0123456789", line=line, temperature=temperature)
    upright = np.full((32, 64), 255, np.uint8)
    upright[:6] = 0
    for picture in (upright, half_turn(upright)):  # the same way up is read
        reading = Recognizer(UpsideDownNetwork(), info, "fake").read_line(picture)
        assert (reading.text, reading.turned) == ("7", picture is not upright)
        expected = 1 / (1 + 10 * np.exp(-9 / temperature))  # one logit of 9, ten of 0
        assert reading.confidence == pytest.approx(expected)
        assert reading.char_confidences == (pytest.approx(expected),)
