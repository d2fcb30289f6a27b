"""What is a column and what is not, from boxes; and how its characters are told apart."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.columns import as_row, find_columns

PAGE = (900, 600)


def stack(num: int, pitch: int, size_wh: tuple[int, int] = (30, 30), x: int = 300, y: int = 20):
    """Boxes of characters below each other."""
    width, height = size_wh
    return [(x, y + i * pitch, x + width, y + i * pitch + height) for i in range(num)]


def row(num: int, pitch: int, x: int, y: int):
    """Boxes of characters of 30 px beside each other."""
    return [(x + i * pitch, y, x + i * pitch + 30, y + 30) for i in range(num)]


def columns_of(*groups, text_height: float = 30) -> list[int | list[int]]:
    """The column of each group; all of them where its boxes differ."""
    boxes = np.array([box for group in groups for box in group])
    found = find_columns(boxes, text_height, PAGE)
    parts = np.split(found, np.cumsum([len(group) for group in groups])[:-1])
    return [int(part[0]) if np.ptp(part) == 0 else part.tolist() for part in parts]


@pytest.mark.parametrize(
    ("boxes", "text_height", "expected"),
    [
        pytest.param(stack(5, 40), 30, 1, id="five characters"),
        pytest.param(stack(2, 40), 30, 0, id="two"),
        pytest.param(stack(5, 68, (60, 60)), 30, 1, id="large ones"),
        pytest.param(stack(8, 40, (15, 28)), 30, 0, id="digits below each other"),
        pytest.param(stack(10, 18, (30, 10)), 30, 0, id="letters on their side"),
        pytest.param(stack(8, 56, (34, 34)), 40, 0, id="wide apart"),
    ],
)
def test_a_column_is_a_stack_of_square_characters(boxes, text_height, expected):
    assert columns_of(boxes, text_height=text_height) == [expected]


def test_rows_of_hanzi_that_stand_below_each_other_are_no_columns():
    assert columns_of(*(row(6, 34, 60, 20 + 40 * i) for i in range(8))) == [0] * 8


def test_columns_side_by_side_are_two():
    left, right = columns_of(stack(6, 40), stack(6, 40, x=380))
    assert {left, right} == {1, 2}


@pytest.mark.parametrize("shift", [-4, 0, 4])
def test_a_column_goes_on_across_a_gap_of_one_character(shift):
    assert columns_of(stack(5, 40), stack(4, 40, x=300 + shift, y=240)) == [1, 1]


def test_a_column_ends_at_a_wide_gap_and_above_a_row():
    above, below = columns_of(stack(5, 40), stack(5, 40, y=500))
    assert {above, below} == {1, 2}
    assert columns_of(stack(5, 40), row(7, 34, 198, 230)) == [1, 0]


def lying(runs: list[tuple[int, int]], width: int = 30) -> np.ndarray:
    """A column as it is cut out, its top at the left; runs of ink and the gaps below them, px."""
    upright = np.full((sum(map(sum, runs)), width), 250, np.uint8)
    y = 0
    for i, (ink, gap) in enumerate(runs):
        upright[y : y + ink, 8:22] = 20 + i
        y += ink + gap
    return cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE)


@pytest.mark.parametrize(
    ("runs", "expected"),  # width of the row in characters
    [
        pytest.param([(28, 4)] * 6, 6, id="square"),
        pytest.param([(22, 2)] * 6, 6, id="low"),
        pytest.param([(16, 3)] * 6, None, id="too low"),
        pytest.param([(28, 32)] * 6, None, id="too wide apart"),
        pytest.param([(12, 4), (12, 4)] * 4, 4, id="of two parts"),
        pytest.param([(144, 2)], 4, id="touching"),
        pytest.param([(0, 90)], None, id="blank"),
    ],
)
def test_a_column_is_cut_into_about_square_characters(runs, expected):
    found = as_row(lying(runs))
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.shape[1] == 30 * expected


def test_in_a_row_characters_stand_in_order_and_centred_on_the_paper():
    found = as_row(lying([(28, 4), (20, 12), (28, 4), (28, 4)]))
    assert found.shape == (28, 120)
    assert found[14, [15, 45, 75, 105]].tolist() == [20, 21, 22, 23]
    low = found[:, 45]
    assert np.flatnonzero(low < 128).tolist() == list(range(4, 24))
    assert low[0] == 250


def test_light_columns_and_faint_dirt_are_cut_alike():
    column = lying([(28, 4)] * 6)
    np.testing.assert_array_equal(as_row(255 - column), 255 - as_row(column))
    column[:, 28:32] -= 20
    assert as_row(column).shape[1] == 180
