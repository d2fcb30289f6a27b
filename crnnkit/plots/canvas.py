"""What every figure is drawn on; readable on machines without a CJK font."""

import io
from functools import lru_cache
from itertools import groupby

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from crnnkit.preprocessing.glyphs import BASELINE_PX, GLYPH_PX, can_draw, draw_text

INK, GREY, PALE = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, ORANGE, GREEN, RED = "#2540d0", "#d97706", "#0f766e", "#b91c1c"
"""Apart for colour-blind eyes, and each legible as text on white; figures have a white ground, so
they look the same in a dark notebook."""

WIDTH_IN = 10.0
"""Width of a figure, inches; a notebook shows 100 pixels per inch."""

BELOW, BESIDE = ("data", "axes fraction"), ("axes fraction", "data")
"""Coordinates of `write`: data on one axis, 0 to 1 on the other."""

UInt8Image = NDArray[np.uint8]


class Plot(Figure):
    """A figure that a notebook shows by itself; matplotlib's own does so only after pyplot ran."""

    def _repr_jpeg_(self) -> bytes:
        content = io.BytesIO()
        # a page of pictures takes 2 MB as PNG, and notebooks are committed with their figures
        self.savefig(content, format="jpg", pil_kwargs={"quality": 80, "optimize": True})
        return content.getvalue()

    def svg(self) -> bytes:
        """The figure as SVG; equal figures give equal bytes."""
        content = io.BytesIO()
        with rc_context({"svg.hashsalt": "crnnkit"}):
            self.savefig(content, format="svg", metadata={"Date": None})
        return content.getvalue()


def new_figure(height_in: float) -> Plot:
    """A figure of the common width, `height_in` inches high."""
    return Plot(figsize=(WIDTH_IN, height_in), layout="constrained")


def empty_figure(message: str) -> Plot:
    """A figure that says why it is empty."""
    figure = new_figure(0.6)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=GREY)
    return figure


def show(axes: Axes, image: UInt8Image, anchor: str = "W") -> None:
    """Show a picture, grey or RGB, pixels of equal sides, at one side of its place."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_anchor(anchor)
    axes.axis("off")


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Name the axes and leave out what carries nothing."""
    axes.set_xlabel(x, fontsize=9, color=GREY)
    axes.set_ylabel(y, fontsize=9, color=GREY)
    axes.tick_params(which="both", labelsize=8, color=PALE, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)


def write(
    axes: Axes,
    xy: tuple[float, float],
    text: str,
    *,
    size: float = 9.0,
    colour: str = INK,
    align: tuple[float, float] = (0, 0.5),
    coords: str | tuple[str, str] = "data",
    is_vertical: bool = False,
) -> None:
    """Write a text of any characters at `xy`, `size` in points.

    What matplotlib's own font lacks is drawn as a picture, so that a figure looks the same on
    every machine, whatever fonts it has.
    """
    if is_plain(text):
        ha = {0: "left", 0.5: "center", 1: "right"}[align[0]]
        va = {0: "bottom", 0.5: "center", 1: "top"}[align[1]]
        label = axes.annotate(text, xy, xycoords=coords, annotation_clip=False, color=colour)
        label.set(ha=ha, va=va, fontsize=size, parse_math=False, rotation=90 * is_vertical)
        return
    ink = np.rot90(_ink(text), int(is_vertical))
    rgba = np.dstack([np.full_like(ink, 255 * c) for c in to_rgb(colour)] + [ink])
    picture = OffsetImage(rgba, zoom=size / GLYPH_PX)
    box = AnnotationBbox(picture, xy, xycoords=coords, box_alignment=align, frameon=False, pad=0)
    box.set_annotation_clip(False)
    axes.add_artist(box)


def visible(character: str) -> str:
    """A character as it can be seen: ∅ for nothing, ␣ for a space."""
    return {"": "∅", " ": "␣"}.get(character, character)


def is_plain(text: str) -> bool:
    """Whether DejaVu Sans, which comes with matplotlib, has every character."""
    return all(ord(c) in _plain_code_points() for c in text)


def _ink(text: str) -> UInt8Image:
    """Ink of a text (H, W), of either font what it has: hanzi are in one, ℃ is in the other."""
    runs = groupby(text, lambda c: is_plain(c) and not can_draw(c))
    pieces = [_plain_ink("".join(run)) if lacks else draw_text("".join(run)) for lacks, run in runs]
    return np.hstack(pieces)


def _plain_ink(text: str) -> UInt8Image:
    """Ink of a text in matplotlib's own font, on the baseline and at the height of `draw_text`."""
    font = FT2Font(_plain_font())
    font.set_size(GLYPH_PX, 72)
    font.set_text(text)
    font.draw_glyphs_to_bitmap()
    ink, top = np.asarray(font.get_image()), BASELINE_PX + font.get_descent() // 64
    above = max(0, top - len(ink))
    placed = np.pad(ink[-top:], ((above, 0), (0, 0)))
    height = len(draw_text(" "))
    return np.pad(placed, ((0, max(0, height - len(placed))), (0, 0)))[:height]


def _plain_font() -> str:
    return findfont(FontProperties(family="DejaVu Sans"))


@lru_cache(maxsize=1)
def _plain_code_points() -> frozenset[int]:
    return frozenset(FT2Font(_plain_font()).get_charmap())
