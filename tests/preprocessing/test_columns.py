"""Columns of characters: told from rows, and set in a row."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.columns import as_row
from crnnkit.preprocessing.lines import crop_line, find_lines

VERSE = "春眠不觉晓处处闻啼"


def column_page(make_line, verses: list[str], height: int = 40) -> np.ndarray:
    """Columns from the right to the left, under a heading."""
    page = np.full((560, 480), 250, np.uint8)
    heading = make_line("设备维护记录 2024", height=36, paper=250)
    page[20:56, 40 : 40 + heading.shape[1]] = heading
    for i, verse in enumerate(verses):
        for j, character in enumerate(verse):
            glyph = make_line(character, height=height, paper=250)
            x, y = 400 - 90 * i, 90 + round(0.85 * height) * j
            place = page[y : y + height, x : x + glyph.shape[1]]
            np.minimum(place, glyph, out=place)
    return page


@pytest.mark.parametrize("num_columns", [1, 3])
def test_columns_are_found_from_the_right_to_the_left_after_their_heading(make_line, num_columns):
    heading, *columns = find_lines(column_page(make_line, [VERSE] * num_columns))
    assert np.ptp(heading[:, 0]) > 4 * np.ptp(heading[:, 1])
    assert len(columns) == num_columns
    for quad in columns:
        assert np.ptp(quad[:, 1]) > 5 * np.ptp(quad[:, 0])
        down = quad[1] - quad[0]  # the text begins at the top right and runs down
        assert down[1] > 0
        assert quad[0, 0] > quad[3, 0]
    lefts = [quad[:, 0].min() for quad in columns]
    assert lefts == sorted(lefts, reverse=True)


def test_digits_below_each_other_are_rows(make_line):
    page = np.full((420, 420), 250, np.uint8)
    for i, digit in enumerate("11480350"):
        for text, x in (("Total 总计", 30), (digit, 300)):
            line = make_line(text, height=32, paper=250)
            page[30 + 42 * i : 62 + 42 * i, x : x + line.shape[1]] = line
    assert len(find_lines(page)) == 16


def test_a_column_set_in_a_row_shows_its_characters_side_by_side(make_line):
    quad = find_lines(column_page(make_line, [VERSE]))[1]
    row = as_row(crop_line(column_page(make_line, [VERSE]), quad))
    assert row is not None
    assert row.shape[1] / row.shape[0] == pytest.approx(len(VERSE), rel=0.45)
    cells = np.array_split(row, len(VERSE), axis=1)
    glyph = make_line(VERSE[0], height=40, paper=250)
    alike = [
        cv2.matchTemplate(
            cv2.copyMakeBorder(cell, 12, 12, 12, 12, cv2.BORDER_REPLICATE),
            glyph[6:34, 6:34],
            cv2.TM_CCOEFF_NORMED,
        ).max()
        for cell in cells
    ]
    assert alike[0] > 0.8
    assert np.argmax(alike) == 0


def test_a_page_may_have_nothing_but_a_column(make_line):
    page = column_page(make_line, [VERSE])
    page[:80] = 250
    (quad,) = find_lines(page)
    assert np.ptp(quad[:, 1]) > 5 * np.ptp(quad[:, 0])
