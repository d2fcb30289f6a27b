"""Where finding lines ends: faint, large and warped text, dirt, rules, and pages of one line."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing import lines
from crnnkit.preprocessing.lines import find_lines, is_line

TEXTS = ["设备维护记录 2024", "GL-2024-03-001-A", "北京市朝阳区建国路88号", "9g×6袋", "Total 42.00"]
PAPER = 240

Draw = Callable[..., np.ndarray]


def page_of(
    make_line: Draw,
    placed: list[tuple[str, int, int, int]],
    size_hw: tuple[int, int] = (480, 640),
    ink: int = 20,
) -> np.ndarray:
    """A page with texts at x and y, px, of a height, px."""
    image = np.full(size_hw, PAPER, np.uint8)
    for text, x, y, height in placed:
        line = make_line(text, height=height, ink=ink, paper=PAPER)
        image[y : y + height, x : x + line.shape[1]] = line
    return image


@pytest.fixture
def page(make_line) -> np.ndarray:
    """Five lines."""
    return page_of(make_line, [(text, 60, 30 + 70 * i, 32) for i, text in enumerate(TEXTS)])


@pytest.mark.parametrize(("ink", "expected"), [(200, 5), (226, 0)])
def test_text_is_seen_from_twenty_grey_levels_on(make_line, ink, expected):
    placed = [(text, 40, 30 + 70 * i, 32) for i, text in enumerate(TEXTS)]
    assert len(find_lines(page_of(make_line, placed, ink=ink))) == expected


def test_a_large_page_is_searched_at_two_megapixels(page, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        lines, "dark_on_light", lambda gray: sizes.append(gray.size) or np.full_like(gray, PAPER)
    )
    find_lines(np.tile(page, (4, 4)))
    assert sizes == [pytest.approx(2_000_000, rel=0.01)]


def test_letters_as_high_as_a_sixth_of_the_page_are_found(make_line):
    texts = ["Total 42", "北京市朝", "GL-20"]
    placed = [(text, 60, 100 + 380 * i, 260) for i, text in enumerate(texts)]
    found = find_lines(page_of(make_line, placed, (1500, 1400)))
    assert [round(quad[:, 1].mean() / 380 - 0.6) for quad in found] == [0, 1, 2]


def test_dirt_does_not_decide_how_high_text_is(page):
    random = np.random.default_rng(0)
    for y, x in zip(random.integers(2, 475, 150), random.integers(2, 635, 150), strict=True):
        page[y : y + 3, x : x + 3] = 20
    assert len(find_lines(page)) == 5


def test_a_rough_rule_is_no_line(page):
    random = np.random.default_rng(0)
    for x in range(40, 600):
        y = 75 + x // 70 + int(random.integers(0, 2))
        page[y : y + 2, x] = 20
    assert len(find_lines(page)) == 5


def test_a_ring_much_higher_than_text_is_no_line(page):
    cv2.circle(page, (560, 200), 70, 20, 3)
    assert len(find_lines(page)) == 5


def test_a_page_with_one_line_is_searched(make_line):
    assert not is_line(page_of(make_line, [("北京市朝阳区", 60, 70, 32)], (180, 400)))


def test_letters_of_soft_print_in_rows_close_together_stay_in_their_rows(make_line):
    placed = [(TEXTS[i % 5], 40, 30 + 19 * i, 18) for i in range(8)]
    soft = cv2.GaussianBlur(page_of(make_line, placed), (0, 0), 1.8)
    found = find_lines(soft)
    assert len(found) == 8
    assert max(np.ptp(quad[:, 1]) for quad in found) < 24


@pytest.fixture
def fanned_table(make_line) -> tuple[np.ndarray, np.ndarray]:
    """Rows that fan out to the right, as on a sheet photographed from its left: (700, 1400).

    And (36, 2) where the cells begin, in reading order.
    """
    cells = [("Total sales of", 40), ("of the year 2024", 500), ("42.00 paid in cash", 1040)]
    placed = [(text, x, 30 + 50 * i, 30) for i in range(12) for text, x in cells]
    image = page_of(make_line, placed, (700, 1400))
    flat = np.float32([[0, 0], [1400, 0], [1400, 700], [0, 700]])
    seen = np.float32([[0, 0], [1400, -50], [1400, 750], [0, 700]])
    view = cv2.getPerspectiveTransform(flat, seen)
    starts = np.float32([[[x, y + 15]] for _, x, y, _ in placed])
    image = cv2.warpPerspective(image, view, (1400, 700), borderValue=PAPER)
    return image, cv2.perspectiveTransform(starts, view)[:, 0]


def test_rows_that_fan_out_are_read_row_by_row(fanned_table):
    image, starts = fanned_table
    found = np.array([quad[[0, 3]].mean(axis=0) for quad in find_lines(image)])
    assert found.shape == starts.shape
    assert np.abs(found - starts).max() < 14


def test_each_row_of_a_fan_has_its_own_slope(fanned_table):
    image, _ = fanned_table
    quads = find_lines(image)
    slopes = np.array([np.subtract(*quad[[1, 0]])[1] / np.ptp(quad[:, 0]) for quad in quads])
    assert slopes[0] == pytest.approx(-0.03, abs=0.01)
    assert slopes[-1] == pytest.approx(0.022, abs=0.01)


def test_rows_fan_out_beside_a_slanting_stamp_as_well(fanned_table, make_line):
    image, _ = fanned_table
    stamp = make_line("PAID 2024-03-01", height=30, ink=20, paper=PAPER)
    matrix = cv2.getRotationMatrix2D((100, 15), 10, 1) + np.float64([[0, 0, 30], [0, 0, 650]])
    slanting = cv2.warpAffine(stamp, matrix, image.shape[::-1], borderValue=PAPER)
    (first, *_) = find_lines(np.minimum(image, slanting))
    across, down = first[1] - first[0]
    assert down / across == pytest.approx(-0.03, abs=0.01)


def test_letters_that_touch_a_rule_down_the_page_stay(make_line):
    texts = ["Total 42", "Exit 2", "BHD 24", "Late fee", "HKN 88"]
    page = page_of(make_line, [(text, 60, 30 + 70 * i, 32) for i, text in enumerate(texts)])
    left = int(np.flatnonzero((page < 128).any(axis=0))[0])
    page[20:400, left - 1 : left + 2] = 20
    found = find_lines(page)
    assert len(found) == 5
    assert max(quad[:, 0].min() for quad in found) < left + 6


def test_the_margin_of_a_line_follows_most_of_its_letters(make_line):
    page = page_of(make_line, [("aceomnorszfl", 40, 100, 48), ("acemnorsuxz", 40, 200, 48)])
    ink = np.flatnonzero((page[90:160] < 128).any(axis=1)) + 90
    first, second = find_lines(page)
    low = np.flatnonzero((page[190:] < 128).any(axis=1)) + 190
    margin = 0.18 * (np.ptp(low) + 1)
    assert ink[0] - first[:, 1].min() == pytest.approx(margin, abs=0.8)
    assert low[0] - second[:, 1].min() == pytest.approx(margin, abs=0.8)
