import numpy as np
import pytest

from crnnkit.model.config import CheckpointInfo
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.serving.recognizer import Recognizer


class TopNetwork:
    """Reads dark ink in the upper half as 1, surely; in the lower half as 0, or as nothing."""

    charset = "01"

    def __init__(self, sureness_of_bottom: float) -> None:
        self.bottom = np.array([1 - sureness_of_bottom, sureness_of_bottom, 0.0])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        is_top = images[:, 0, :16].sum((1, 2)) > images[:, 0, 16:].sum((1, 2))
        probabilities = np.where(is_top[:, np.newaxis], [0.03, 0.0, 0.97], self.bottom)
        return np.log(probabilities + 1e-9)[:, np.newaxis].astype(np.float32)


@pytest.mark.parametrize(
    ("turn_below", "sureness_of_bottom", "expected"),
    [
        (0.0, 0.0, ("", False)),  # lines are never upside down
        (0.01, 0.0, ("1", True)),  # nothing was read: that is no evidence, however sure it is
        (0.01, 0.92, ("0", False)),  # sure enough
        (0.94, 0.92, ("1", True)),  # not sure enough, and turned it is surer
        (0.99, 0.98, ("0", False)),  # not sure enough, but turned it is less sure
    ],
)
def test_a_line_that_may_stand_upside_down_is_read_both_ways(
    turn_below, sureness_of_bottom, expected
):
    info = CheckpointInfo("01", line=LineConfig(turn_below=turn_below))
    recognizer = Recognizer(TopNetwork(sureness_of_bottom), info, "top")
    picture = np.full((32, 32), 255, np.uint8)
    picture[20:28, 4:8] = 0
    reading = recognizer.read_line(picture)
    assert (reading.text, reading.turned) == expected


class SparseNetwork:
    """Reads ink in the upper half as 1, unsurely; in the lower half as a sure 0 and no more."""

    charset = "01"

    def __init__(self, num_sure: int) -> None:
        self.num_sure = num_sure

    def __call__(self, images: np.ndarray) -> np.ndarray:
        num_steps = images.shape[3] // 4
        is_top = images[:, 0, :16].sum((1, 2)) > images[:, 0, 16:].sum((1, 2))
        logits = np.zeros((len(images), num_steps, 3))
        logits[:, :, 0] = 9
        logits[~is_top, 0] = 0, 9, 0
        logits[np.ix_(is_top, range(0, 2 * self.num_sure, 2))] = 0, 0, 1.5
        return logits.astype(np.float32)


@pytest.mark.parametrize(
    ("width", "num_sure", "expected"),
    [
        (80, 4, ("1111", True)),  # one character in 80 px: more are missing
        (80, 1, ("0", False)),  # turned there are not more, and they are less sure
        (80, 2, ("0", False)),  # two doubtful ones do not outweigh a sure one
        (32, 4, ("0", False)),  # one character is what 32 px hold
    ],
)
def test_a_line_of_which_little_is_read_is_read_both_ways_however_sure_that_is(
    width, num_sure, expected
):
    info = CheckpointInfo("01", line=LineConfig(turn_below=0.5))
    picture = np.full((32, width), 255, np.uint8)
    picture[20:28, 4:8] = 0
    reading = Recognizer(SparseNetwork(num_sure), info, "sparse").read_line(picture)
    assert (reading.text, reading.turned) == expected
    never = Recognizer(SparseNetwork(num_sure), CheckpointInfo("01"), "never")
    assert never.read_line(picture).text == "0"
