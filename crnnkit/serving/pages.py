"""Pages: found lines, the right way up, read and put in their places."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from crnnkit.preprocessing.columns import as_row
from crnnkit.preprocessing.enhance import deblur, flatten_light, is_unevenly_lit, to_gray
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.preprocessing.lines import find_lines
from crnnkit.preprocessing.quads import coverage, crop_line, on_page
from crnnkit.preprocessing.sheet import find_sheet
from crnnkit.preprocessing.tensors import UInt8Image, half_turn
from crnnkit.serving.readings import LineReading, PageLine

Quad = NDArray[np.float32]
"""(4, 2) corners x, y, clockwise from the text's top left."""
ReadLines = Callable[[Iterable[UInt8Image]], list[LineReading]]
CutLine = Callable[[Quad], UInt8Image]
"""Takes a line out of its picture."""

NUM_PROBES = 7
"""Lines that are read both ways up where it is doubtful which way up a page is."""
SURE = 0.8
"""Lines read with so much confidence, most of them, stand upright."""
LEAST_SHARE = 0.45
"""What is read with less than this share of its page's median confidence is no text."""
EDGE_PX = 15
"""Twice the width of a sheet's soft edge on a photograph."""


class _Part(NamedTuple):
    """What is read of a page in one: the page, or a sheet on it, seen from straight above."""

    picture: UInt8Image
    quads: list[Quad]
    """In px of the picture, in reading order."""
    page: UInt8Image
    sheet: Quad | None
    """Corners of the sheet on its page."""


def read_pages(sources: Iterable[ImageSource], read_lines: ReadLines) -> list[list[PageLine]]:
    """Find the lines of each page and read them, in reading order.

    Pages are decoded one at a time; the lines of all of them are read together. As
    `enhance.auto` would, a sheet that was photographed at an angle is looked at from straight
    above, a page out of focus is sharpened, one in a shadow evened, and slanting or sideways lines
    are found and cut out level. Boxes are those of the picture given, and what stands around a
    sheet is read, too. A page on its head is read the other way up. Of several places that look
    like lines those are left out in which nothing is read, or what is much less sure than
    elsewhere on the page: stains, and the edges of the paper.
    """
    places: list[list[Quad]] = []
    best: dict[tuple[int, int], LineReading] = {}  # of page and quad
    owners: list[tuple[int, int]] = []  # of each picture

    def crops() -> Iterator[UInt8Image]:
        for number, source in enumerate(sources):
            places.append([])
            for part in _parts(read_image(source)):
                cut, quads, known = _prepared(part, read_lines)
                first = len(places[number])
                places[number] += quads if part.sheet is None else on_page(quads, part.sheet)
                best.update({(number, first + index): known[index] for index in known})
                for index, quad in enumerate(quads):
                    for view in _views(cut, quad, is_known=index in known):
                        owners.append((number, first + index))
                        yield view

    for owner, reading in zip(owners, read_lines(crops()), strict=True):
        best[owner] = max(best.get(owner, reading), reading, key=lambda one: one.certainty)
    return [
        _text_lines([(best[number, index], quad) for index, quad in enumerate(found)])
        for number, found in enumerate(places)
    ]


def _parts(page: UInt8Image) -> Iterator[_Part]:
    """The page; or, of a page with a sheet on it, what is above, the sheet, and what is below."""
    gray = to_gray(page)
    sheet = find_sheet(gray)
    if sheet is None:
        yield _Part(page, find_lines(gray), page, None)
        return
    around, middle = _lines_around(gray, sheet), sheet[:, 1].mean()
    above = [quad for quad in around if quad[:, 1].mean() < middle]
    below = [quad for quad in around if quad[:, 1].mean() >= middle]
    yield _Part(page, above, page, None)
    flat = crop_line(page, sheet)
    yield _Part(flat, find_lines(flat), page, sheet)
    yield _Part(page, below, page, None)


def _lines_around(gray: np.ndarray, sheet: Quad) -> list[Quad]:
    """Lines of a page (H, W) beside a sheet, which is covered, lest its edges be taken for text."""
    covered = gray.copy()
    mask = cv2.fillConvexPoly(np.zeros_like(gray), np.rint(sheet).astype(np.int32), 1)
    mask = cv2.dilate(mask, np.ones((EDGE_PX, EDGE_PX), np.uint8))
    covered[mask > 0] = np.median(gray[mask == 0])
    return [quad for quad in find_lines(covered) if coverage(sheet, quad) < 0.5]


def _prepared(
    part: _Part, read_lines: ReadLines
) -> tuple[CutLine, list[Quad], dict[int, LineReading]]:
    """What cuts out a part's lines, in focus, their quads, the way up the text stands, and what the
    longest of them say: if read with doubt, they are tried the other way up."""
    quads = part.quads
    cut = _cutter(part)
    if len(quads) < 2:
        return cut, quads, {}
    probes = sorted(range(len(quads)), key=lambda index: _length(quads[index]))[-NUM_PROBES:]
    crops = [cut(quads[index]) for index in probes]
    readings = read_lines(crops)
    if median(reading.confidence for reading in readings) < SURE:
        turned = read_lines(map(half_turn, crops))
        if sum(r.certainty for r in turned) > 1.2 * sum(r.certainty for r in readings):
            quads = [np.roll(quad, 2, axis=0) for quad in reversed(quads)]
            probes, readings = [len(quads) - 1 - index for index in probes], turned
    return cut, quads, dict(zip(probes, readings, strict=True))


def _cutter(part: _Part) -> CutLine:
    """Cuts lines out of a part's picture, brought into focus and evenly lit; of a sheet that needs
    neither, out of the photograph."""
    picture = part.picture
    if len(part.quads) > 1:
        picture = deblur(flatten_light(picture) if is_unevenly_lit(picture) else picture)
    if part.sheet is not None and np.array_equal(picture, part.picture):
        return partial(crop_line, part.page, sheet=part.sheet)
    return partial(crop_line, picture)


def _views(cut: CutLine, quad: Quad, is_known: bool) -> Iterator[UInt8Image]:
    """A line as it lies, unless known; one that runs downwards also as a row of its upright
    characters."""
    across, down = quad[1] - quad[0]
    runs_down = down > abs(across)
    if is_known and not runs_down:
        return
    crop = cut(quad)
    if not is_known:
        yield crop
    if runs_down and (row := as_row(crop)) is not None:
        yield row


def _text_lines(read: list[tuple[LineReading, Quad]]) -> list[PageLine]:
    """What was read, in its place, without what is no text; the only line of a page stays."""
    if len(read) == 1:
        return [_placed(*read[0])]
    usual = median([reading.confidence for reading, _ in read if reading.text] or [0.0])
    return [
        _placed(reading, quad)
        for reading, quad in read
        if reading.text and reading.confidence >= LEAST_SHARE * usual
    ]


def _length(quad: Quad) -> float:
    return float(np.linalg.norm(quad[1] - quad[0]))


def _placed(reading: LineReading, quad: Quad) -> PageLine:
    """A reading on its page; of a line read upside down the text begins at the other end."""
    box = np.roll(quad, 2, axis=0) if reading.turned else quad
    return PageLine(
        text=reading.text,
        confidence=reading.confidence,
        box=box,
        char_confidences=reading.char_confidences,
        edges=reading.edges,
        passes_check=reading.passes_check,
    )
