import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.preprocessing.reading_order import reading_order

# Each picture is a page; every run of one letter is a line, letters are the reading order.
PAGES = {
    "one paragraph": """
        aaaaaaaaaaaa
        bbbbbbbbbbbb
        cccccc
    """,
    "a row is read from left to right": """
        aaaa   bb   ccc
    """,
    "a receipt is read row by row": """
        aaaaaaaaaaaaa
        bbbbbb         cc
        ddddddddd     eee
        ffff           gg
        hhhhhhhhhh    iii
    """,
    "two columns of running text are read one after the other": """
        aaaaaaaaaaaa   dddddddddddd
        bbbbbbbbbbbb   eeeeeeeeeeee
        cccccccccccc   ffffffffffff
    """,
    "a title stands over its columns, a footer under them": """
                 aaaaaaaaaa
        bbbbbbbbbbbb   eeeeeeeeeeee
        cccccccccccc   ffffffffffff
        dddddddd       gggggggggggg
               hhhhhhhhhhhhhh
    """,
    "columns need not have equally many lines": """
        aaaaaaaaaaaa   eeeeeeeeeeee
        bbbbbbbbbbbb   ffffffffffff
        cccccccccccc   gggggggggggg
        dddddddddddd
    """,
    "a footer may begin where the first column does": """
        aaaaaaaaaaaa   dddddddddddd
        bbbbbbbbbbbb   eeeeeeeeeeee
        cccccccccccc   ffffffffffff
        gggggggggggggggggggggg
    """,
    "lines of a column may be indented": """
        aaaaaaaaaaaa     ddddddddddddd
          bbbbbbbbbbbb eeeeeeeeeeee
        ccccccccccccc    ffffffffffff
    """,
    "text beside numbers is read row by row": """
        aaaaaaaaaaaaaa   bb
        cccccccccccc     dd
        eeeeeeeeeeeee    ff
    """,
    "two rows side by side are too few for columns": """
        aaaaaaaaaaaa   bbbbbbbbbbbb
        cccccccccccc   dddddddddddd
    """,
}


def boxes_of(page: str) -> np.ndarray:
    """Boxes of a page's letters in alphabetical order, characters 10 px wide, lines 14 px high."""
    rows = page.strip("\n").splitlines()
    letters = sorted(set("".join(rows)) - {" "})
    boxes = []
    for letter in letters:
        y = next(i for i, row in enumerate(rows) if letter in row)
        left, right = rows[y].index(letter), rows[y].rindex(letter) + 1
        boxes.append([10 * left, 20 * y, 10 * right, 20 * y + 14])
    return np.array(boxes, dtype=float)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pages_are_read_in_alphabetical_order(page, seed):
    boxes = boxes_of(page)
    shuffled = np.random.default_rng(seed).permutation(len(boxes))
    order = reading_order(boxes[shuffled])
    assert shuffled[order].tolist() == list(range(len(boxes)))


@pytest.mark.parametrize("jitter_px", [1, 3])
def test_lines_of_a_row_need_not_stand_level(jitter_px):
    boxes = boxes_of(PAGES["a receipt is read row by row"])
    shift = np.random.default_rng(0).integers(-jitter_px, jitter_px + 1, len(boxes))
    boxes[:, [1, 3]] += shift[:, None]
    assert reading_order(boxes) == list(range(len(boxes)))


@pytest.mark.parametrize(("top", "order"), [(2, [1, 0]), (6, [0, 1])])
def test_a_line_whose_middle_is_as_low_as_the_foot_of_another_is_of_the_next_row(top, order):
    assert reading_order(np.array([[100, 0, 200, 14], [0, top, 90, top + 14]])) == order


def test_columns_of_hanzi_are_one_block_read_from_the_right():
    heading, footer = [10, 0, 200, 14], [10, 200, 200, 214]
    columns = [[20 + 50 * i, 30, 50 + 50 * i, 180] for i in (1, 0, 2)]
    boxes, is_column = np.array([footer, *columns, heading]), np.array([False, *[True] * 3, False])
    assert reading_order(boxes, is_column) == [4, 3, 1, 2, 0]
    assert reading_order(boxes[[0, 4]], is_column[[0, 4]]) == [1, 0]


def test_no_lines_have_no_order():
    assert reading_order(np.zeros((0, 4))) == []


numbers = st.integers(0, 300)


@given(st.lists(st.tuples(numbers, numbers, st.integers(1, 200), st.integers(1, 60)), max_size=30))
def test_every_line_is_read_exactly_once(rectangles):
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in rectangles], float).reshape(-1, 4)
    assert sorted(reading_order(boxes)) == list(range(len(boxes)))
