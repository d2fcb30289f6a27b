"""What belongs to a line and what does not, where print, dirt, bars and borders meet."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.lines import find_lines
from tests.preprocessing.test_lines_limits import PAPER, page_of

INK = 20


def slope_of(quad: np.ndarray) -> float:
    across, down = quad[1] - quad[0]
    return float(np.degrees(np.arctan2(down, across)))


@pytest.mark.parametrize(("height", "speck"), [(16, 2), (72, 5)])
def test_dirt_between_two_cells_does_not_join_them(height, speck, make_line):
    cells = [("Total", height), ("42.00", 8 * height)]
    placed = [(text, x, (1 + 2 * row) * height, height) for row in range(3) for text, x in cells]
    page = page_of(make_line, placed, (7 * height, 13 * height))
    for row in range(3):
        for x in np.arange(3.2, 8.4, 0.6):
            y = round((1.5 + 2 * row) * height)
            page[y : y + speck, round(x * height) :][:, :speck] = INK
    assert len(find_lines(page)) == 6


def test_dots_that_are_too_low_for_text_are_no_lines():
    page = np.full((300, 400), PAPER, np.uint8)
    for y in range(40, 280, 60):
        for x in range(40, 360, 12):
            page[y : y + 5, x : x + 5] = INK
    assert find_lines(page) == []


def test_bars_of_a_barcode_do_not_decide_how_high_text_is(make_line):
    texts = ["GL-2024", "LOT 42", "9g x 6"]
    page = page_of(make_line, [(t, 40, 20 + 50 * i, 32) for i, t in enumerate(texts)], (320, 500))
    for x in range(40, 460, 7):
        page[200:290, x : x + 2 + x % 3] = INK
    found = find_lines(page)
    for i in range(3):
        assert any(abs(quad[:, 1].mean() - 37 - 50 * i) < 8 for quad in found)


def test_bold_letters_of_a_low_page_are_found(make_line):
    page = page_of(make_line, [("A3 B8", 20, 5, 50), ("D2 E6", 20, 65, 50)], (120, 300))
    assert len(find_lines(cv2.erode(page, np.ones((7, 7), np.uint8)))) == 2


def test_the_grain_of_a_faint_page_is_no_text(make_line):
    texts = ["GL-2024-03", "Total 42.00", "北京市朝阳区", "9g×6袋"]
    placed = [(text, 40, 30 + 80 * i, 40) for i, text in enumerate(texts)]
    page = page_of(make_line, placed, (400, 500), ink=195)
    grain = np.random.default_rng(0).normal(0, 4, page.shape)
    grainy = np.rint(page + cv2.GaussianBlur(grain, (0, 0), 1) * 3).clip(0, 255).astype(np.uint8)
    assert len(find_lines(grainy)) == 4


def test_words_of_a_heading_stay_together(make_line):
    small = [("Total sales of the year 2024", 40, 200 + 50 * i, 32) for i in range(4)]
    page = page_of(make_line, [("AB  CD", 40, 30, 110), *small], (420, 800))
    found = find_lines(page)
    assert len(found) == 5
    assert np.ptp(found[0][:, 0]) > 240


def test_tight_rows_whose_letters_reach_into_each_other_are_two(make_line):
    above = page_of(make_line, [("gaaagaaag", 40, 60, 60)], (240, 500))
    below = page_of(make_line, [("aadaaadaa", 40, 60, 60)], (240, 500))
    foot = np.flatnonzero((above < 128).any(axis=1))[-1]
    head = np.flatnonzero((below < 128).any(axis=1))[0]
    page = np.minimum(above, np.roll(below, int(foot - head) - 4, axis=0))
    assert len(find_lines(page)) == 2


def test_small_print_is_found_without_the_rule_under_it(make_line):
    placed = [("aemno srcux 42", 120, 30 + 40 * i, 16) for i in range(4)]
    page = page_of(make_line, placed, (200, 400))
    width = make_line("aemno srcux 42", height=16).shape[1]
    foot = np.flatnonzero((page[60:100] < 128).any(axis=1))[-1] + 60
    page[foot + 1 : foot + 3, 40:360] = INK
    found = find_lines(page)
    assert len(found) == 4
    assert all(np.ptp(quad[:, 0]) < width + 8 for quad in found)


def test_text_that_begins_at_the_border_is_found_whole(make_line):
    placed = [(text, 40, 20 + 60 * i, 40) for i, text in enumerate(["HALLO 42", "BERG 17", "7 8"])]
    page = page_of(make_line, placed, (220, 400))
    page[118:124, 64:70] = PAPER
    left = int(np.flatnonzero((page < 128).any(axis=0))[0])
    found = find_lines(np.ascontiguousarray(page[:, left:]))
    assert len(found) == 3
    assert max(quad[0, 0] for quad in found) < 3


def test_a_stop_behind_a_letter_at_the_border_is_read_with_it(make_line):
    placed = [("A", 40, 20, 40), ("HALLO 42", 40, 90, 40), ("BERG 17", 40, 160, 40)]
    page = page_of(make_line, placed, (220, 400))
    rows, columns = np.nonzero(page[:70] < 128)
    foot, right, left = rows.max() + 1, columns.max() + 1, columns.min()
    page[foot - 3 : foot, right + 6 : right + 9] = INK
    first = find_lines(np.ascontiguousarray(page[:, left:]))[0]
    assert first[:, 0].max() >= right + 9 - left


def test_a_slanting_stamp_does_not_tilt_the_lines_around_it(make_line):
    text = "Total sales of the year 2024"
    page = page_of(make_line, [(text, 30, 20 + 50 * i, 32) for i in range(4)], (420, 640))
    stamp = page_of(make_line, [("BEZAHLT 2024-03-01 BERLIN", 60, 280, 32)], (420, 640))
    matrix = cv2.getRotationMatrix2D((320, 300), 12, 1)
    page = np.minimum(page, cv2.warpAffine(stamp, matrix, (640, 420), borderValue=PAPER))
    assert [slope_of(quad) for quad in find_lines(page)[:4]] == pytest.approx([0] * 4, abs=0.1)


def test_the_letters_of_short_words_do_not_tilt_a_page(make_line):
    texts = ["TTTTgy", "HHHjgy", "BBBypg"]
    page = page_of(make_line, [(t, 40, 30 + 60 * i, 40) for i, t in enumerate(texts)], (240, 400))
    assert [slope_of(quad) for quad in find_lines(page)] == pytest.approx([0] * 3, abs=0.1)


@pytest.mark.parametrize("quarters", [1, 3])
def test_lines_of_a_page_on_its_side_lie_where_they_do_on_the_level_page(quarters, make_line):
    text = "Total sales of the year 2024 in 12 shops"
    page = page_of(make_line, [(text, 30, 20 + 50 * i, 32) for i in range(8)], (440, 800))
    level = np.array(find_lines(page)).mean(axis=1)
    lying = np.array(find_lines(np.ascontiguousarray(np.rot90(page, quarters)))).mean(axis=1)
    height, width = page.shape
    back = {1: (width - lying[:, 1], lying[:, 0]), 3: (lying[:, 1], height - lying[:, 0])}
    seen = np.stack(back[quarters], axis=1)
    assert np.abs(np.sort(seen, axis=0) - np.sort(level, axis=0)).max() < 0.1
