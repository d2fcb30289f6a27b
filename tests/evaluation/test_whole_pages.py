"""Pages compared with what is printed, from cases done by hand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.pages import Page
from crnnkit.errors import DatasetError
from crnnkit.evaluation.whole_pages import evaluate_pages


@dataclass(frozen=True)
class Found:
    text: str
    box: np.ndarray


def at(row: int, left: int = 0, right: int = 10) -> tuple[tuple[int, int], ...]:
    """Corners of a line 2 px high in the row of this number."""
    top, bottom = 4 * row, 4 * row + 2
    return ((left, top), (right, top), (right, bottom), (left, bottom))


PAGE = Page(Path("p.png"), ("AB CD", "EF"), (at(0), at(1)))


def score_of(*found: tuple[str, tuple]):
    lines = [Found(text, np.array(box, np.float32)) for text, box in found]
    return evaluate_pages(lambda _: lines, [PAGE])


@pytest.mark.parametrize(
    ("found", "word_f1", "recall", "edits", "ordered"),
    [
        ([("AB CD", at(0)), ("EF", at(1))], 1.0, 1.0, 0, 1),
        ([("ab cd", at(0)), ("e f", at(1))], 4 / 7, 1.0, 0, 1),  # case and, in CER, spaces
        ([("AB", at(0, 0, 5)), ("CD", at(0, 5, 10)), ("EF", at(1))], 1.0, 1.0, 0, 1),  # halves
        ([("AB CD", at(0)), ("EF", at(2))], 1.0, 0.5, 0, 1),  # beside the line
        ([("EF", at(1)), ("AB CD", at(0))], 1.0, 1.0, 4, 0),  # wrong order
        ([("AB CD", at(0)), ("EF", at(1)), ("X", at(5))], 6 / 7, 1.0, 1, 1),  # nothing there
        ([], 0.0, 0.0, 6, 1),
    ],
)
def test_a_page_is_compared_with_what_is_printed(found, word_f1, recall, edits, ordered):
    score = score_of(*found)
    assert score.word_f1 == pytest.approx(word_f1)
    assert score.line_recall == recall
    assert score.cer == pytest.approx(edits / 6)
    assert score.num_ordered == ordered
    assert score.seconds >= 0


def test_one_found_line_counts_for_one_printed_line():
    twice = Page(Path("p.png"), ("AB", "AB"), (at(0), at(0)))
    line = Found("AB", np.array(at(0), np.float32))
    assert evaluate_pages(lambda _: [line], [twice]).line_recall == 0.5


def test_words_count_as_often_as_they_are_printed():
    page = Page(Path("p.png"), ("A A B",), (at(0),))
    line = Found("A B B", np.array(at(0), np.float32))
    assert evaluate_pages(lambda _: [line], [page]).word_f1 == pytest.approx(2 / 3)


def test_no_pages_are_an_error():
    with pytest.raises(DatasetError, match="no pages to compare"):
        evaluate_pages(lambda _: [], [])
