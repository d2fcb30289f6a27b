"""Glyphs set on a line: the ink of a text before it is printed, and where each glyph stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from crnnkit.dataset.fonts import Face, Glyph, rasterize
from crnnkit.dataset.styles import Style

_ASCENT_EM = 0.86
_DESCENT_EM = 0.14
"""A line's usual reach above and below the baseline; faces disagree too much to ask them."""

_DOT_PX = 4
_SPACE_ADVANCE_EM = 0.3

_SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc", "5": "afgcd",
    "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abcdfg", "-": "g", "A": "abcefg",
    "b": "fgedc", "C": "afed", "d": "bgedc", "E": "afged", "F": "afge", "H": "fbgec",
    "L": "fed", "P": "abfge", "U": "fedcb", "o": "gedc", "n": "egc", "r": "eg", "t": "fged",
    ".": ".", ":": ":",
}  # fmt: skip
SEGMENT_CHARACTERS = frozenset(_SEGMENTS)
"""What a seven-segment display can show without ambiguity."""


@dataclass(frozen=True, eq=False)
class InkLine:
    """The ink of a line; positions in px of its own picture."""

    ink: np.ndarray
    """Coverage, uint8 (h, w), 255 = full ink, with room around the text."""
    spans: np.ndarray
    """Left and right edge of each character, float64 (L, 2)."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of what a crop should hold."""
    em_px: float


def compose(text: str, faces: Sequence[Face], style: Style, rng: np.random.Generator) -> InkLine:
    """Set `text`, one face per character, at the style's size, spacing, weight and raster."""
    glyphs, pens = _set_glyphs(text, faces, style, rng)
    em = style.em_px
    pad = em // 2
    lefts = [pen + glyph.left for pen, glyph in zip(pens, glyphs, strict=True)]
    rights = [left + glyph.ink.shape[1] for left, glyph in zip(lefts, glyphs, strict=True)]
    tops = [glyph.top for glyph in glyphs]
    bottoms = [glyph.top + glyph.ink.shape[0] for glyph in glyphs]
    top, bottom = min(tops), max(bottoms)
    if style.full_height:
        top, bottom = min(top, -round(_ASCENT_EM * em)), max(bottom, round(_DESCENT_EM * em))
    baseline, origin = pad - top, pad - min(lefts)
    size = (bottom - top + 2 * pad, max(rights) + origin + pad)
    ink = np.zeros(size, np.uint8)
    for glyph, left in zip(glyphs, lefts, strict=True):
        height, width = glyph.ink.shape
        y, x = baseline + glyph.top, left + origin
        target = ink[y : y + height, x : x + width]
        np.maximum(target, glyph.ink, out=target)
    spans = np.array([lefts, rights], np.float64).T + origin
    box = (spans.min(), float(pad), spans.max(), float(pad + bottom - top))
    line = InkLine(_weighted(ink, style.weight), spans, _not_flat(box, em), float(em))
    if style.neighbours:
        _add_neighbours(line, rng)
    if style.underline or style.frame:
        line = _ruled(line, style, baseline, rng)
    return _dotted(line) if style.raster == "dots" else line


def _set_glyphs(
    text: str, faces: Sequence[Face], style: Style, rng: np.random.Generator
) -> tuple[list[Glyph], list[int]]:
    """Each character's glyph and pen position in px."""
    em = style.em_px
    segments = style.raster == "segments" and SEGMENT_CHARACTERS.issuperset(text.replace(" ", ""))
    space = max(1, round(em * (_SPACE_ADVANCE_EM + 0.25 * rng.random())))
    glyphs: list[Glyph] = []
    pens: list[int] = []
    pen = 0.0
    for character, face in zip(text, faces, strict=True):
        if character == " ":
            glyph = Glyph(np.zeros((1, space), np.uint8), 0, -1, space)
        elif segments:
            glyph = _segment_glyph(character, em)
        else:
            glyph = rasterize(face, character, em, smooth=style.raster != "pixels")
        if style.jitter:
            glyph = _jittered(glyph, style.jitter, em, rng)
        glyphs.append(glyph)
        pens.append(round(pen))
        pen += max(glyph.advance + style.spacing_em * em, 0.2 * em)
    return glyphs, pens


def _jittered(glyph: Glyph, amount: float, em: int, rng: np.random.Generator) -> Glyph:
    """Shifted, turned and resized a little, as no two characters of a hand are alike."""
    turn, size, dx, dy, lean = (rng.random(5) - 0.5) * amount
    height, width = glyph.ink.shape
    room = max(2, em // 8)
    scale = 1 + 0.25 * size
    radians = np.radians(12 * turn)
    linear = scale * np.array(
        [[np.cos(radians), -np.sin(radians) - 0.3 * lean], [np.sin(radians), np.cos(radians)]]
    )
    centre = np.array([width / 2, height / 2])
    shift = centre + room - linear @ centre
    target = (width + 2 * room, height + 2 * room)
    ink = cv2.warpAffine(glyph.ink, np.column_stack([linear, shift]), target)
    left = glyph.left - room + round(0.12 * em * dx)
    top = glyph.top - room + round(0.2 * em * dy)
    columns = np.flatnonzero(ink.any(0))
    if columns.size == 0:
        return glyph
    first, last = columns[0], columns[-1] + 1
    return Glyph(ink[:, first:last], left + int(first), top, glyph.advance)


def _weighted(ink: np.ndarray, weight: int) -> np.ndarray:
    """Thicker by a px per unit, or thinner but never gone: hairlines keep half their ink."""
    if weight > 0:
        return cv2.dilate(ink, np.ones((weight + 1, weight + 1), np.uint8))
    if weight < 0:
        return np.maximum(cv2.erode(ink, np.ones((2, 2), np.uint8)), (ink * 0.55).astype(np.uint8))
    return ink


def _not_flat(box: tuple[float, float, float, float], em: int) -> tuple[float, float, float, float]:
    """A crop of a lone dash or dot is not blown up to fill the picture."""
    left, top, right, bottom = box
    lacking = max(0.0, 0.55 * em - (bottom - top)) / 2
    return (left, top - lacking, right, bottom + lacking)


def _add_neighbours(line: InkLine, rng: np.random.Generator) -> None:
    """Draw the edges of the lines above and below: this line's own ink, shifted."""
    _, top, _, bottom = line.box
    first, last = round(top), round(bottom)
    own = np.roll(line.ink[first:last], int(rng.integers(line.ink.shape[1])), axis=1)
    gap = round(line.em_px * (0.08 + 0.15 * rng.random()))
    end_above, start_below = max(first - gap, 0), last + gap
    height_above = min(end_above, len(own))
    height_below = min(max(line.ink.shape[0] - start_below, 0), len(own))
    if rng.random() < 0.7:
        line.ink[end_above - height_above : end_above] = own[len(own) - height_above :]
    if rng.random() < 0.7:
        line.ink[start_below : start_below + height_below] = own[:height_below]


def _ruled(line: InkLine, style: Style, baseline: int, rng: np.random.Generator) -> InkLine:
    """With an underline or a frame, part of which the crop may lose."""
    left, top, right, bottom = line.box
    em = line.em_px
    thick = max(1, round(em / 24))
    if style.underline:
        y = min(round(baseline + em * (0.1 + 0.1 * rng.random())), line.ink.shape[0] - 1)
        cv2.line(line.ink, (round(left), y), (round(right), y), 255, thick)
        bottom = max(bottom, float(y + 1))
    if style.frame:
        gap = em * (0.08 + 0.15 * rng.random())
        corners = (round(left - gap), round(top - gap)), (round(right + gap), round(bottom + gap))
        cv2.rectangle(line.ink, *corners, 255, thick)
    return InkLine(line.ink, line.spans, (left, top, right, bottom), em)


def _dotted(line: InkLine) -> InkLine:
    """Every px becomes a round dot, as pins print it."""
    dot = np.zeros((_DOT_PX, _DOT_PX), np.uint8)
    cv2.circle(dot, (_DOT_PX // 2, _DOT_PX // 2), _DOT_PX // 2, 1, -1)
    binary = (line.ink > 90).astype(np.uint8) * np.uint8(255)
    left, top, right, bottom = (edge * _DOT_PX for edge in line.box)
    return InkLine(
        np.kron(binary, dot), line.spans * _DOT_PX, (left, top, right, bottom),
        line.em_px * _DOT_PX,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _segment_glyph(character: str, em: int) -> Glyph:
    """Seven bars a to g, clockwise from the top, g in the middle; a dot or colon besides."""
    height, width = round(0.8 * em), round(0.45 * em)
    bar = max(2, round(0.09 * em))
    lit = _SEGMENTS[character]
    if character in ".:":
        ink = np.zeros((height, bar + 1), np.uint8)
        rows = [height - bar] if character == "." else [height // 3, 2 * height // 3]
        for row in rows:
            ink[row : row + bar] = 255
        return Glyph(ink, 1, -height, bar + 4)
    ink = np.zeros((height, width), np.uint8)
    half, gap = height // 2, max(1, bar // 3)
    bars = {
        "a": (0, bar, bar, width - bar),
        "g": (half - bar // 2, half + bar - bar // 2, bar, width - bar),
        "d": (height - bar, height, bar, width - bar), "f": (bar, half - gap, 0, bar),
        "b": (bar, half - gap, width - bar, width), "e": (half + gap, height - bar, 0, bar),
        "c": (half + gap, height - bar, width - bar, width),
    }  # fmt: skip
    for name in lit:
        y0, y1, x0, x1 = bars[name]
        ink[y0:y1, x0:x1] = 255
    return Glyph(ink, round(0.08 * em), -height, round(0.62 * em))
