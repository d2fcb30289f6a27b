"""Turning: every point goes where the map says, strokes stay strokes, and little slope stays."""

import numpy as np
import pytest

from crnnkit.preprocessing.enhance import choose_steps, deskew, estimate_skew, turn


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 360, 30, -44, 100])
def test_the_map_says_where_a_point_goes(degrees):
    image = np.zeros((40, 70), np.uint8)
    x, y = 52, 11
    image[y, x] = 255
    turned, points_map = turn(image, degrees)
    light = np.where(turned > 20, turned.astype(float), 0)
    rows, columns = np.indices(light.shape)
    seen = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
    np.testing.assert_allclose(points_map @ [x, y, 1], seen, atol=0.2)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_quarter_turns_lose_nothing(degrees, page):
    turned = turn(page, degrees)[0]
    np.testing.assert_array_equal(turned, np.rot90(page, degrees // 90))
    np.testing.assert_array_equal(turn(turned, -degrees)[0], page)


def test_strokes_are_as_smooth_when_turned(page):
    height, width = page.shape
    back = turn(turn(page, 7)[0], -7)[0]
    top, left = (back.shape[0] - height) // 2, (back.shape[1] - width) // 2
    middle = back[top : top + height, left : left + width]
    assert np.abs(middle.astype(int) - page).mean() < 3


@pytest.mark.parametrize(("slope", "is_turned"), [(0.25, False), (0.6, True), (1.5, True)])
def test_a_slope_below_a_third_of_a_degree_is_left_alone(slope, is_turned, make_line):
    row = make_line("GL-2024-03-001-A 12345 67890 " * 3, height=32)
    page = np.full((600, row.shape[1] + 80), 255, np.uint8)
    for y in range(40, 540, 50):
        page[y : y + 32, 40 : 40 + row.shape[1]] = row
    sloping = turn(page, -slope)[0]
    assert estimate_skew(sloping) == pytest.approx(slope, abs=0.15)
    assert (choose_steps(sloping) == ("deskew",)) == is_turned
    assert (deskew(sloping).shape != sloping.shape) == is_turned
