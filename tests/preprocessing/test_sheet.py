"""A sheet of paper on a table: found where there is one, and only there."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.sheet import find_sheet

SIZE = (700, 400)
"""Width and height of the photograph, px."""
SHEET = np.array([[140, 30], [560, 20], [650, 380], [40, 370]], np.float32)


def photograph(corners: np.ndarray, table: int = 40, paper: int = 230) -> np.ndarray:
    """A printed sheet with these corners on a table."""
    sheet = np.full((400, 600), paper, np.uint8)
    for row in range(8):
        cv2.putText(sheet, "12 GL-2024-03", (40, 60 + 40 * row), cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 2)
    edges = np.array([[0, 0], [600, 0], [600, 400], [0, 400]], np.float32)
    view = cv2.getPerspectiveTransform(edges, corners.astype(np.float32))
    return cv2.warpPerspective(sheet, view, SIZE, borderValue=table)


def test_corners_come_clockwise_from_the_top_left():
    np.testing.assert_allclose(find_sheet(photograph(SHEET)), SHEET, atol=3)


def test_corners_of_a_large_photograph_are_in_its_own_pixels():
    large = cv2.resize(photograph(SHEET), None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(find_sheet(large), 4 * SHEET, atol=12)


def test_a_torn_off_corner_is_where_it_would_be():
    picture = photograph(SHEET)
    cv2.fillConvexPoly(picture, np.array([[480, 0], [700, 0], [700, 160]]), 40)
    np.testing.assert_allclose(find_sheet(picture), SHEET, atol=4)


def test_one_corner_may_lie_beyond_the_picture():
    corners = SHEET + np.array([[0, 0], [0, 0], [60, 10], [0, 0]], np.float32)
    found = find_sheet(photograph(corners))
    np.testing.assert_allclose(found[[0, 1, 3]], corners[[0, 1, 3]], atol=4)


LEVEL = np.array([[100, 60], [600, 60], [600, 340], [100, 340]], np.float32)
TURN = cv2.getRotationMatrix2D((350, 200), 8, 1)


@pytest.mark.parametrize(
    "corners",
    [
        LEVEL,  # a panel of a screen, a scan: what stands around it is to be read, too
        cv2.transform(LEVEL[None], TURN)[0],  # turned, but seen from straight above
        SHEET * 0.5 + [150, 80],  # too small a share of the picture: a label
        SHEET + [[-140, -40], [150, -30], [60, 40], [-60, 40]],  # reaches beyond all sides
        SHEET[[0, 0, 2, 3]] - [0, 9],  # a triangle
    ],
)
def test_what_is_no_sheet_at_an_angle_is_none(corners):
    assert find_sheet(photograph(np.asarray(corners, np.float32))) is None


@pytest.mark.parametrize(("table", "paper"), [(200, 230), (230, 120), (50, 90)])
def test_a_sheet_is_much_lighter_than_its_table(table, paper):
    assert find_sheet(photograph(SHEET, table, paper)) is None


def test_a_round_sign_is_no_sheet():
    picture = np.full((700, 700), 40, np.uint8)
    cv2.ellipse(picture, (350, 350), (330, 250), 20, 0, 360, 230, -1)
    assert find_sheet(picture) is None


def test_a_small_picture_has_a_panel_and_no_sheet():
    small = cv2.resize(photograph(SHEET), None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    assert find_sheet(small) is None


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 900), (900, 1), (300, 300)])
def test_blank_pictures_of_any_size_have_none(size_hw, value):
    assert find_sheet(np.full(size_hw, value, np.uint8)) is None
