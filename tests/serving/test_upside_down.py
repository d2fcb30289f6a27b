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
        probabilities = np.where(is_top[:, np.newaxis], [0.1, 0.0, 0.9], self.bottom)
        return np.log(probabilities + 1e-9)[:, np.newaxis].astype(np.float32)


@pytest.mark.parametrize(
    ("turn_below", "sureness_of_bottom", "expected"),
    [
        (0.0, 0.0, ("", False)),  # lines are never upside down
        (0.01, 0.0, ("1", True)),  # nothing was read: that is no evidence, however sure it is
        (0.01, 0.7, ("0", False)),  # sure enough
        (0.8, 0.7, ("1", True)),  # not sure enough, and turned it is surer
        (0.99, 0.95, ("0", False)),  # not sure enough, but turned it is less sure
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
