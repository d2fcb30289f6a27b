"""How well whole pages are read: words, lines found, order, time."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np
from rapidfuzz.distance import Levenshtein

from crnnkit.dataset.pages import Page
from crnnkit.errors import DatasetError
from crnnkit.metrics import fold, shared_words
from crnnkit.preprocessing.quads import coverage, iou

FOLD = "space+case"
"""What the CER of a page does not tell apart: a page's lines may be joined in any way."""
LEAST_IOU = 0.5
"""From which on a line counts as found."""


class FoundLine(Protocol):
    """What is compared of a line that was read."""

    @property
    def text(self) -> str:
        """What was read."""

    @property
    def box(self) -> np.ndarray:
        """(4, 2) corners, px."""


PageReader = Callable[[Path], Sequence[FoundLine]]


@dataclass(frozen=True)
class PageResult:
    """One page: what is printed and what was read."""

    image: Path
    num_words: int
    """Printed words, between white space, upper-cased."""
    num_read_words: int
    num_shared_words: int
    """Words both printed and read, each as often as in both: bags of words."""
    num_lines: int
    num_found: int
    """Printed lines for which a line was found with an IoU of `LEAST_IOU`, each for one."""
    num_characters: int
    num_edits: int
    """From the lines read, one after the other, to those printed, both folded by `FOLD`."""
    is_ordered: bool
    """Whether printed lines were read in their order; lines that were not found do not count."""
    seconds: float
    """Processor time, child processes included: what one thread takes on an idle computer."""


@dataclass(frozen=True)
class PagesScore:
    """Pages together; rates are sums over sums, 0 to 1."""

    results: tuple[PageResult, ...]

    @property
    def word_f1(self) -> float:
        """Harmonic mean of the words' precision and recall."""
        words = self._sum("num_words") + self._sum("num_read_words")
        return 2 * self._sum("num_shared_words") / words if words else 1.0

    @property
    def line_recall(self) -> float:
        """Share of the printed lines that were found."""
        lines = self._sum("num_lines")
        return self._sum("num_found") / lines if lines else 1.0

    @property
    def cer(self) -> float:
        """Edits ÷ printed characters of the pages read in order; may exceed 1."""
        return self._sum("num_edits") / max(1, self._sum("num_characters"))

    @property
    def num_ordered(self) -> int:
        """Pages whose lines were read in their order."""
        return self._sum("is_ordered")

    @property
    def seconds(self) -> float:
        """Median time of a page."""
        return median(result.seconds for result in self.results)

    def _sum(self, name: str) -> int:
        return sum(getattr(result, name) for result in self.results)


def evaluate_pages(
    read_page: PageReader,
    pages: Iterable[Page],
    on_page: Callable[[PageResult], None] = lambda _: None,
) -> PagesScore:
    """Read labelled pages and compare.

    Args:
        on_page: told of each page when it is read.

    Raises:
        DatasetError: if there are no pages.
    """
    results = []
    for page in pages:
        started = sum(os.times()[:4])
        lines = read_page(page.image)
        results.append(_compare(page, lines, sum(os.times()[:4]) - started))
        on_page(results[-1])
    if not results:
        raise DatasetError("evaluate: no pages to compare. Check that the file holds some.")
    return PagesScore(tuple(results))


def _compare(page: Page, lines: Sequence[FoundLine], seconds: float) -> PageResult:
    printed, read = " ".join(page.texts).upper(), " ".join(line.text for line in lines).upper()
    reference, hypothesis = fold(printed, FOLD), fold(read, FOLD)
    quads = [np.array(quad, np.float32) for quad in page.quads]
    boxes = [line.box for line in lines]
    return PageResult(
        image=page.image,
        num_words=len(printed.split()),
        num_read_words=len(read.split()),
        num_shared_words=shared_words(printed, read),
        num_lines=len(quads),
        num_found=_num_found(quads, boxes),
        num_characters=len(reference),
        num_edits=Levenshtein.distance(reference, hypothesis),
        is_ordered=_is_ordered(quads, boxes),
        seconds=seconds,
    )


def _num_found(quads: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> int:
    """Pairs of printed and found lines that cover each other, the best first."""
    overlaps = np.array([[iou(quad, box) for box in boxes] for quad in quads])
    num_found = 0
    while overlaps.size and overlaps.max() >= LEAST_IOU:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps[row], overlaps[:, column] = 0, 0
        num_found += 1
    return num_found


def _is_ordered(quads: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> bool:
    """Whether the boxes that hold most of each quad come in the order of the quads."""
    places = []
    for quad in quads:
        held = [coverage(quad, box) for box in boxes]
        if held and max(held) >= 0.5:
            places.append(int(np.argmax(held)))
    return places == sorted(places)
