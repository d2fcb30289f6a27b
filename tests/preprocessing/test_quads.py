"""Where characters stand on a page, from numbers done by hand."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.quads import char_edges, char_quads, coverage, crop_line, iou, on_page

SQUARE = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], np.float32)


@pytest.mark.parametrize(
    ("other", "shared", "expected"),
    [
        (SQUARE, 1.0, 1.0),  # itself
        (SQUARE + (2, 0), 0.5, 8 / 24),  # half of it beside
        (SQUARE + (4, 0), 0.0, 0.0),  # touches
        (SQUARE + (9, 9), 0.0, 0.0),  # elsewhere
        (SQUARE / 2, 0.25, 0.25),  # inside
        (np.roll(SQUARE, 2, axis=0), 1.0, 1.0),  # text upside down: the same place
        (SQUARE * 0, 0.0, 0.0),  # of no area
    ],
)
def test_shared_area(other, shared, expected):
    assert iou(SQUARE, other) == pytest.approx(expected)
    assert coverage(SQUARE, other) == pytest.approx(shared)


def test_quads_of_no_area_share_nothing():
    assert iou(SQUARE * 0, SQUARE * 0) == 0
    assert coverage(SQUARE * 0, SQUARE) == 0


def test_quads_far_apart_are_not_cut_with_each_other(monkeypatch):
    monkeypatch.setattr(cv2, "intersectConvexConvex", lambda a, b: pytest.fail("a search"))
    assert iou(SQUARE, SQUARE + (9, 0)) == iou(SQUARE, SQUARE - (0, 9)) == 0


@pytest.mark.parametrize(
    ("spans", "num_steps", "expected"),
    [
        ([], 10, []),
        ([(4, 5)], 10, [(0, 1)]),  # one character is the whole picture
        ([(2, 3), (6, 7), (10, 11)], 13, [(0.5, 4.5), (4.5, 8.5), (8.5, 12.5)]),  # even pitch
        ([(0, 1), (9, 10)], 10, [(0, 5), (5, 10)]),  # outer edges stay inside the picture
        ([(1, 3), (3, 4)], 5.5, [(1, 3), (3, 4)]),  # neighbours without a blank; padding is off
    ],
)
def test_characters_meet_halfway_between_their_peaks(spans, num_steps, expected):
    edges = char_edges(spans, num_steps)
    assert np.array(edges) == pytest.approx(
        np.array(expected) / (num_steps if spans != [(4, 5)] else 1)
    )


def test_characters_of_a_level_line_are_slices_of_its_box():
    quads = char_quads([[10, 20], [110, 20], [110, 40], [10, 40]], [(0, 0.25), (0.25, 1)])
    assert quads[0].tolist() == [[10, 20], [35, 20], [35, 40], [10, 40]]
    assert quads[1].tolist() == [[35, 20], [110, 20], [110, 40], [35, 40]]


def test_characters_of_a_column_follow_each_other_downwards():
    # the text begins at the top right corner of the column and runs down
    quads = char_quads([[40, 0], [40, 100], [0, 100], [0, 0]], [(0, 0.5), (0.5, 1)])
    assert quads[0].tolist() == [[40, 0], [40, 50], [0, 50], [0, 0]]


def test_characters_of_a_line_seen_at_an_angle_follow_its_sides():
    (quad,) = char_quads([[0, 0], [100, 10], [100, 30], [0, 40]], [(0.5, 1)])
    assert quad.tolist() == [[50, 5], [100, 10], [100, 30], [50, 35]]


SHEET = np.array([[20, 10], [180, 30], [190, 140], [5, 120]], np.float32)


def test_the_corners_of_what_was_cut_out_lie_where_it_was():
    page = np.zeros((150, 200), np.uint8)
    height, width = crop_line(page, SHEET).shape
    whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    np.testing.assert_allclose(on_page([whole], SHEET), [SHEET], atol=1e-3)
    assert on_page([], SHEET) == []


def test_a_mark_lies_on_the_page_where_it_was_printed():
    page = np.zeros((150, 200), np.uint8)
    page[70:74, 120:124] = 255
    y, x = np.nonzero(crop_line(page, SHEET) > 128)
    (quad,) = on_page([np.array([[x.mean(), y.mean()]] * 4) + 0.5], SHEET)
    np.testing.assert_allclose(quad[0], (122, 72), atol=0.5)


def test_a_cut_out_picture_is_as_large_as_the_longer_sides():
    page = np.zeros((150, 200), np.uint8)
    quad = np.array([[10, 10], [40, 10], [50, 60], [10, 50]], np.float32)  # 30, 51, 41 and 40 px
    assert crop_line(page, quad).shape == (51, 41)
    assert crop_line(page, quad[[1, 2, 3, 0]]).shape == (41, 51)
    assert crop_line(page, SQUARE * 0).shape == (1, 1)


@pytest.mark.parametrize("is_on_sheet", [False, True])
def test_pixels_are_squares_and_their_values_stand_in_the_middle(is_on_sheet):
    page = np.tile(np.arange(60, dtype=np.uint8) * 4, (50, 1))
    shape = np.array([[20, 10], [40, 10], [40, 20], [0, 20]], np.float32)  # 20 px seen as 40
    whole = np.array([[0, 0], [40, 0], [40, 22], [0, 22]], np.float32)
    crop = crop_line(page, whole, shape) if is_on_sheet else crop_line(page, shape)
    right = crop[2, -9:].astype(int)  # beside the right side, which is level with the page's
    centres = on_page([np.array([[x + 0.5, 2.5]] * 4) for x in range(31, 40)], shape)
    wanted = [4 * (centre[0, 0] - 0.5) for centre in centres]
    np.testing.assert_allclose(right, wanted, atol=0.8)


def test_a_line_that_slopes_stays_as_sharp_as_pixels_can_tell():
    x, y = np.meshgrid(np.arange(200) + 0.5, np.arange(120) + 0.5)

    def wave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """A pattern of 5 px, which is as fine as small print."""
        return 128 + 80 * np.sin(2 * np.pi * x / 5) * np.sin(2 * np.pi * y / 5)

    page = np.rint(wave(x, y)).astype(np.uint8)
    cos, sin = np.cos(np.radians(7)), np.sin(np.radians(7))
    turn = np.array([[cos, sin], [-sin, cos]])
    quad = np.array([[0, 0], [140, 0], [140, 40], [0, 40]]) @ turn + (30, 30)
    inside = np.stack([x[:40, :140], y[:40, :140]], axis=-1) @ turn + (30, 30)
    error = np.abs(crop_line(page, quad).astype(float) - wave(*np.moveaxis(inside, -1, 0)))
    assert error.mean() < 2  # bilinear 8, the nearest pixel 16


def test_all_of_a_picture_is_cut_out_of_it_for_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (30, 90), np.uint8)
    quad = np.array([[0, 0], [90, 0], [90, 30], [0, 30]], np.float32)
    assert crop_line(picture, quad) is picture
    assert crop_line(picture, quad[::-1]) is not picture
    assert crop_line(picture, quad, quad[::-1]) is not picture


def test_a_line_of_a_sheet_is_sharper_taken_out_of_the_photograph():
    page = np.kron(np.random.default_rng(0).integers(0, 2, (60, 80)), np.ones((5, 5))) * 200
    page = cv2.GaussianBlur(page.astype(np.uint8), (0, 0), 1.0)
    corners = np.array([[0, 0], [400, 0], [400, 300], [0, 300]], np.float32)
    sheet = np.array([[60, 20], [430, 10], [470, 310], [15, 330]], np.float32)
    warp = cv2.getPerspectiveTransform(corners - 0.5, sheet - 0.5)
    photo = cv2.warpPerspective(page, warp, (500, 350), flags=cv2.INTER_CUBIC)
    flat = crop_line(photo, sheet)
    scale = np.array(flat.shape[::-1]) / (400, 300)
    quad = np.array([[40, 30], [360, 35], [359, 75], [39, 70]], np.float32) * scale
    once, twice = crop_line(photo, quad, sheet), crop_line(flat, quad)
    assert once.shape == twice.shape
    wanted = cv2.resize(
        crop_line(page, quad / scale), once.shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    errors = [np.abs(line.astype(float) - wanted).mean() for line in (once, twice)]
    assert errors[0] < 0.95 * errors[1]
