"""A sheet of paper on a table: found where there is one, and only there."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.preprocessing import sheet
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


def test_corners_of_a_small_photograph_are_found():
    small = cv2.resize(photograph(SHEET), None, fx=0.65, fy=0.65, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(find_sheet(small), 0.65 * SHEET, atol=3)


@pytest.mark.parametrize(
    "torn",
    [
        [[480, 0], [700, 0], [700, 160]],
        [[420, 0], [700, 0], [700, 200]],  # a twentieth of the sheet
        [[540, 0], [700, 0], [700, 90]],  # its tip
    ],
)
def test_a_torn_off_corner_is_where_it_would_be(torn):
    picture = photograph(SHEET)
    cv2.fillConvexPoly(picture, np.array(torn), 40)
    np.testing.assert_allclose(find_sheet(picture), SHEET, atol=4)


@pytest.mark.parametrize(
    "torn",
    [
        [[154, 530], [838, 68], [900, 600]],  # an eighth, at the corner
        [[300, 0], [700, 0], [700, 300]],  # so much of two sides that others would meet
    ],
)
def test_of_what_lacks_more_than_a_tenth_nothing_is_sure(torn):
    picture = photograph(SHEET)
    cv2.fillConvexPoly(picture, np.array(torn), 40)
    assert find_sheet(picture) is None


@pytest.mark.parametrize(("factor", "fold_px"), [(1, 9), (4, 28)])
def test_a_dark_fold_does_not_part_a_sheet(factor, fold_px):
    picture = cv2.resize(photograph(SHEET), None, fx=factor, fy=factor)
    picture[200 * factor :][:fold_px] = 40
    np.testing.assert_allclose(find_sheet(picture), factor * SHEET, atol=4 * factor)


def test_grain_does_not_hide_a_sheet():
    grain = np.random.default_rng(0).normal(0, 60, SIZE[::-1])
    picture = (photograph(SHEET, 60, 200) + grain).clip(0, 255).astype(np.uint8)
    np.testing.assert_allclose(find_sheet(picture), SHEET, atol=4)


def test_a_sheet_out_of_focus_has_a_soft_edge():
    picture = cv2.GaussianBlur(photograph(SHEET, 120, 188), (0, 0), 4)
    np.testing.assert_allclose(find_sheet(picture), SHEET, atol=8)


def test_a_dark_picture_may_fill_most_of_a_sheet():
    picture = photograph(SHEET)
    cv2.fillConvexPoly(picture, (SHEET * 0.85 + (52, 30)).astype(int), 30)
    np.testing.assert_allclose(find_sheet(picture), SHEET, atol=4)


def test_other_light_things_may_lie_on_the_table():
    picture = photograph(SHEET)
    picture[10:40, 600:690] = picture[200:235, 5:30] = 240
    np.testing.assert_allclose(find_sheet(picture), SHEET, atol=4)


@pytest.mark.parametrize(
    "corners",
    [
        SHEET * 0.75 + (90, 50),  # a third of its picture
        [[110, 40], [590, 40], [612, 360], [88, 360]],  # seen from nearly straight above
    ],
)
def test_a_sheet_may_be_small_or_hardly_tilted(corners):
    np.testing.assert_allclose(find_sheet(photograph(np.float32(corners))), corners, atol=4)


def test_a_long_narrow_receipt_of_a_large_photograph_is_found():
    picture = np.full((1000, 5000), 40, np.uint8)
    corners = np.array([[200, 320], [4800, 300], [4850, 640], [150, 660]])
    cv2.fillConvexPoly(picture, corners, 230)
    np.testing.assert_allclose(find_sheet(picture), corners, atol=12)


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
        SHEET * 0.62 + [150, 80],  # too small a share of the picture: a label
        SHEET + [[-140, -40], [150, -30], [60, 40], [-60, 40]],  # reaches beyond all sides
        SHEET + [[0, 0], [0, 0], [0, 60], [0, 60]],  # beyond one, with two corners
        SHEET - [[0, 60], [0, 60], [0, 0], [0, 0]],
        SHEET + [[0, 0], [190, 0], [90, 0], [0, 0]],
        SHEET - [[190, 0], [0, 0], [0, 0], [90, 0]],
    ],
)
def test_what_is_no_sheet_at_an_angle_is_none(corners):
    assert find_sheet(photograph(np.asarray(corners, np.float32))) is None


@pytest.mark.parametrize(
    "outline",
    [
        [[350, 30], [650, 370], [50, 360]],  # a warning sign
        [[100, 60], [520, 60], [600, 140], [600, 340], [100, 340]],  # a label with a cut corner
    ],
)
def test_a_shape_of_three_or_five_sides_is_no_sheet(outline):
    picture = np.full(SIZE[::-1], 40, np.uint8)
    cv2.fillConvexPoly(picture, np.array(outline), 230)
    assert find_sheet(picture) is None


def test_a_low_strip_is_a_label():
    picture = np.full((300, 1000), 40, np.uint8)
    cv2.fillConvexPoly(picture, np.array([[60, 90], [940, 80], [960, 220], [40, 215]]), 230)
    assert find_sheet(picture) is None


@pytest.mark.parametrize(("table", "paper"), [(200, 230), (230, 120), (50, 90)])
def test_a_sheet_is_much_lighter_than_its_table(table, paper):
    assert find_sheet(photograph(SHEET, table, paper)) is None


def test_a_round_sign_is_no_sheet():
    picture = np.full((700, 700), 40, np.uint8)
    cv2.ellipse(picture, (350, 350), (330, 250), 20, 0, 360, 230, -1)
    assert find_sheet(picture) is None


def test_a_stop_sign_seen_at_an_angle_is_no_sheet():
    corners = np.radians(np.arange(22.5, 360, 45))
    octagon = np.stack([300 + 318 * np.cos(corners), 200 + 212 * np.sin(corners)], axis=1)
    sign = np.full((400, 600), 40, np.uint8)
    cv2.fillConvexPoly(sign, octagon.astype(np.int32), 230)
    edges = np.array([[0, 0], [600, 0], [600, 400], [0, 400]], np.float32)
    view = cv2.getPerspectiveTransform(edges, SHEET * 1.5 + np.float32(40))
    assert find_sheet(cv2.warpPerspective(sign, view, (1120, 800), borderValue=40)) is None


def test_a_bright_bar_is_no_sheet():
    picture = np.zeros((300, 300), np.uint8)
    picture[100, 100:200] = 255
    assert find_sheet(picture) is None


def test_a_small_picture_has_a_panel_and_no_sheet():
    small = cv2.resize(photograph(SHEET), None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    assert find_sheet(small) is None


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 900), (900, 1), (300, 300)])
def test_blank_pictures_of_any_size_have_none(size_hw, value):
    assert find_sheet(np.full(size_hw, value, np.uint8)) is None


def test_what_is_lower_than_a_sheet_is_not_searched(monkeypatch):
    monkeypatch.setattr(sheet, "_quad_around", lambda outline: pytest.fail("a search"))
    assert find_sheet(np.eye(199, 900, dtype=np.uint8) * 255) is None


def test_an_outline_with_many_bends_costs_little(monkeypatch):
    meetings = []
    meeting = sheet._meeting
    monkeypatch.setattr(sheet, "_meeting", lambda *sides: meetings.append(0) or meeting(*sides))
    picture = np.full((700, 700), 40, np.uint8)
    cv2.ellipse(picture, (350, 350), (330, 250), 20, 0, 360, 230, -1)
    find_sheet(picture)
    assert 20 < len(meetings) < 1000


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=5, max_size=12))
def test_a_quad_around_an_outline_holds_all_of_it(points):
    outline = cv2.convexHull(np.array(points, np.int32))[:, 0]
    if cv2.contourArea(outline) < 500:
        return
    quad = sheet._quad_around(outline)
    if quad is None or len(outline) < 4:
        assert quad is None
        return
    assert cv2.isContourConvex(quad)
    assert all(cv2.pointPolygonTest(quad, (float(x), float(y)), True) > -0.5 for x, y in outline)
