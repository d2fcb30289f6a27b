"""Pages: found lines, the right way up, read and put in their places."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from crnnkit.preprocessing.columns import as_row
from crnnkit.preprocessing.enhance import deblur
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.preprocessing.lines import crop_line, find_lines
from crnnkit.preprocessing.tensors import UInt8Image, half_turn
from crnnkit.serving.readings import LineReading, PageLine

Quad = NDArray[np.float32]
"""(4, 2) corners x, y, clockwise from the text's top left."""
ReadLines = Callable[[Iterable[UInt8Image]], list[LineReading]]

NUM_PROBES = 7
"""Lines that are read both ways up where it is doubtful which way up a page is."""
SURE = 0.8
"""Lines read with so much confidence, most of them, stand upright."""


def read_pages(sources: Iterable[ImageSource], read_lines: ReadLines) -> list[list[PageLine]]:
    """Find the lines of each page and read them, in reading order.

    Pages are decoded one at a time; the lines of all of them are read together. A page out of
    focus is sharpened. A page on its head is read the other way up.
    """
    quads: list[list[Quad]] = []
    owners: list[tuple[int, int]] = []  # page and quad of each picture

    def crops() -> Iterator[UInt8Image]:
        for number, source in enumerate(sources):
            page, found = _prepared(read_image(source), read_lines)
            quads.append(found)
            for index, quad in enumerate(found):
                for view in _views(page, quad):
                    owners.append((number, index))
                    yield view

    best: dict[tuple[int, int], LineReading] = {}
    for owner, reading in zip(owners, read_lines(crops()), strict=True):
        best[owner] = max(best.get(owner, reading), reading, key=lambda one: one.certainty)
    return [
        [_placed(best[number, index], quad) for index, quad in enumerate(found)]
        for number, found in enumerate(quads)
    ]


def _prepared(page: UInt8Image, read_lines: ReadLines) -> tuple[UInt8Image, list[Quad]]:
    """The page in focus, and the quads of its lines, the way up its text stands."""
    quads = find_lines(page)
    page = deblur(page) if len(quads) > 1 else page
    if _is_upside_down(page, quads, read_lines):
        quads = [np.roll(quad, 2, axis=0) for quad in reversed(quads)]
    return page, quads


def _is_upside_down(page: UInt8Image, quads: Sequence[Quad], read_lines: ReadLines) -> bool:
    """Whether the longest lines, if read with doubt, read surer the other way up."""
    probes = sorted(quads, key=_length)[-NUM_PROBES:] if len(quads) > 1 else []
    crops = [crop_line(page, quad) for quad in probes]
    readings = read_lines(crops)
    if not readings or median(reading.confidence for reading in readings) >= SURE:
        return False
    turned = read_lines(map(half_turn, crops))
    return sum(r.certainty for r in turned) > 1.2 * sum(r.certainty for r in readings)


def _views(page: UInt8Image, quad: Quad) -> Iterator[UInt8Image]:
    """A line as it lies; one that runs downwards also as a row of its upright characters."""
    crop = crop_line(page, quad)
    yield crop
    across, down = quad[1] - quad[0]
    if down > abs(across) and (row := as_row(crop)) is not None:
        yield row


def _length(quad: Quad) -> float:
    return float(np.linalg.norm(quad[1] - quad[0]))


def _placed(reading: LineReading, quad: Quad) -> PageLine:
    """A reading on its page; of a line read upside down the text begins at the other end."""
    box = np.roll(quad, 2, axis=0) if reading.turned else quad
    return PageLine(reading.text, reading.confidence, box, reading.char_confidences, reading.edges)
