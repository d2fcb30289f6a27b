"""Every figure of the notebooks and the report; readable on machines without a CJK font."""

import io
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from crnnkit.dataset.faults import count_of
from crnnkit.metrics import Score
from crnnkit.preprocessing.glyphs import GLYPH_PX, can_draw, draw_text

INK, GREY, PALE = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, ORANGE, GREEN, RED = "#2563eb", "#ea580c", "#15803d", "#b91c1c"

WIDTH_IN = 10.0
"""Width of a figure, inches; a notebook shows 100 pixels per inch."""

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


class Epoch(Protocol):
    """What a learning curve needs of an epoch; `finetuning.config.EpochResult` has it."""

    @property
    def epoch(self) -> int:
        """From 1."""

    @property
    def train_loss(self) -> float:
        """Nats per character."""

    @property
    def train_cer(self) -> float:
        """Character error rate on the training lines."""

    @property
    def val_loss(self) -> float:
        """Nats per character."""

    @property
    def val_cer(self) -> float:
        """Character error rate on the validation lines."""


def plot_line_grid(
    images: Sequence[UInt8Image], titles: Sequence[str], num_columns: int = 2
) -> Plot:
    """Line pictures with their texts above."""
    if len(images) != len(titles):
        raise ValueError(f"{len(images)} pictures, {len(titles)} titles: give one for each.")
    if not images:
        return _nothing("no lines to show")
    num_rows = -(-len(images) // num_columns)
    figure = _figure(0.75 * num_rows)
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, title in zip(grid, images, titles, strict=False):
        _show(axes, image)
        _write(axes, (0, 1.08), title, align=(0, 0), coords="axes fraction")
    return figure


def plot_steps(image_by_step: Mapping[str, UInt8Image]) -> Plot:
    """One picture after each step: lines below each other, pages side by side."""
    images = list(image_by_step.values())
    is_wide = np.mean([image.shape[1] / image.shape[0] for image in images]) > 2
    num_rows, num_columns = (len(images), 1) if is_wide else (1, len(images))
    figure = _figure(0.85 * num_rows if is_wide else 4.5)
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (step, image) in zip(grid, image_by_step.items(), strict=True):
        _show(axes, image)
        _write(axes, (0, 1.04), step, align=(0, 0), colour=GREY, coords="axes fraction")
    return figure


def plot_page_boxes(page: UInt8Image, quads: Sequence[NDArray[np.floating]]) -> Plot:
    """A page and its text lines, numbered in reading order.

    Args:
        page: (H, W) or (H, W, 3).
        quads: (4, 2) corners x, y in pixels, clockwise from the top left.
    """
    height, width = page.shape[:2]
    figure = Plot(figsize=(8, float(np.clip(8 * height / width, 1.2, 10))), layout="constrained")
    axes = figure.subplots()
    _show(axes, page, anchor="C")
    for number, quad in enumerate(quads, start=1):
        axes.add_patch(Polygon(quad, fill=True, facecolor=BLUE + "1f", edgecolor=BLUE, lw=1))
        x, y = (quad[0] + quad[3]) / 2
        axes.text(x, y, f"{number} ", color=BLUE, fontsize=7, ha="right", va="center")
    return figure


def plot_length_and_width(lengths: Sequence[int], widths: Sequence[int]) -> Plot:
    """Histograms of label lengths L (characters) and line widths W (pixels of the input)."""
    figure = _figure(2.8)
    panels = zip(
        figure.subplots(1, 2),
        (lengths, widths),
        ("characters per line", "line width at the network's input, px"),
        (BLUE, ORANGE),
        strict=True,
    )
    for axes, values, label, colour in panels:
        bins = min(30, max(values) - min(values) + 1)
        axes.hist(values, bins=bins, color=colour, rwidth=0.9)
        median = float(np.median(values))
        axes.axvline(median, color=INK, lw=1, ls="--")
        axes.set_title(f"median {median:g}, longest {max(values)}", fontsize=9, color=GREY)
        _label(axes, label, "lines")
    return figure


def plot_character_frequency(
    counts: Mapping[str, int], missing: Collection[str] = (), num_shown: int = 60
) -> Plot:
    """How often each character occurs, the most frequent first.

    Args:
        counts: character → occurrences.
        missing: characters that the vocabulary lacks; they come first, in red.
        num_shown: number of bars at most.
    """
    order = sorted(counts, key=lambda c: (c not in missing, -counts[c], c))
    shown = order[:num_shown]
    figure = _figure(2.8)
    axes = figure.subplots()
    colours = [RED if c in missing else BLUE for c in shown]
    axes.bar(range(len(shown)), [counts[c] for c in shown], color=colours)
    axes.set_yscale("log")
    axes.set_xlim(-0.8, len(shown) - 0.2)
    axes.set_xticks([])
    for i, character in enumerate(shown):
        colour = RED if character in missing else INK
        is_rare = not (_is_plain(character) or can_draw(character))
        _write(
            axes,
            (i, -0.03),
            _visible(character),
            colour=colour,
            align=(0.5, 1),
            coords=_BELOW,
            is_vertical=is_rare,
        )
    num_once = sum(n == 1 for n in counts.values())
    num_missing = sum(c in missing for c in counts)
    title = f"{len(counts)} characters ({len(shown)} shown), {num_once} occur once"
    lacking = f", {num_missing} missing in the vocabulary (red)" if num_missing else ""
    axes.set_title(title + lacking, fontsize=9, color=GREY)
    _label(axes, "", "occurrences")
    return figure


def plot_history(history: Sequence[Epoch]) -> Plot:
    """Loss and CER per epoch; a dot marks the epoch that was kept (lowest validation CER)."""
    figure = _figure(3.0)
    loss, cer = figure.subplots(1, 2)
    epochs = [e.epoch for e in history]
    style = {"marker": ".", "markersize": 4, "lw": 1.5}
    loss.plot(epochs, [e.train_loss for e in history], color=BLUE, label="training", **style)
    loss.plot(epochs, [e.val_loss for e in history], color=ORANGE, label="validation", **style)
    cer.plot(epochs, [e.train_cer for e in history], color=BLUE, label="training", **style)
    cer.plot(epochs, [e.val_cer for e in history], color=ORANGE, label="validation", **style)
    best = min(history, key=lambda e: (e.val_cer, e.val_loss))
    cer.plot(best.epoch, best.val_cer, "o", color=ORANGE, markersize=8, label="kept")
    cer.set_title(f"best: epoch {best.epoch}, CER {best.val_cer:.2%}", fontsize=9, color=GREY)
    cer.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes, label in ((loss, "loss, nats per character"), (cer, "character error rate")):
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(frameon=False, fontsize=8)
        _label(axes, "epoch", label)
    return figure


def plot_readings_over_epochs(
    images: Sequence[UInt8Image],
    references: Sequence[str],
    readings_by_epoch: Mapping[int, Sequence[str]],
) -> Plot:
    """The same lines, read after several epochs: how a network learns to read.

    Args:
        images: line pictures.
        references: what is printed on them.
        readings_by_epoch: epoch → one reading per line.
    """
    rows = []
    for i, reference in enumerate(references):
        readings = [(f"epoch {e}", texts[i]) for e, texts in readings_by_epoch.items()]
        rows.append([("printed", reference), *readings])
    return _plot_readings(images, rows)


def plot_before_after(
    images: Sequence[UInt8Image],
    references: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
) -> Plot:
    """Lines, what is printed on them, and what was read before and after fine-tuning."""
    texts = zip(references, before, after, strict=True)
    labels = ("printed", "before", "after")
    return _plot_readings(images, [list(zip(labels, row, strict=True)) for row in texts])


def plot_confusions(counts: Mapping[tuple[str, str], int], num_shown: int = 15) -> Plot:
    """The most frequent wrong characters, printed → read; ∅ is nothing, ␣ a space."""
    pairs = sorted(counts, key=lambda pair: (-counts[pair], pair))[:num_shown]
    if not pairs:
        return _nothing("no character was read wrong")
    figure = _figure(0.6 + 0.28 * len(pairs))
    axes = figure.subplots()
    axes.barh(range(len(pairs)), [counts[pair] for pair in pairs], color=BLUE, height=0.7)
    axes.invert_yaxis()
    axes.set_yticks([])
    for i, (printed, read) in enumerate(pairs):
        label = f"{_visible(printed)} → {_visible(read)}"
        _write(axes, (-0.01, i), label, size=10, align=(1, 0.5), coords=_BESIDE)
        axes.text(counts[printed, read], i, f" {counts[printed, read]}", va="center", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label(axes, f"occurrences (printed → read), {sum(counts.values())} errors in all", "")
    return figure


def plot_cer_by_length(score_by_length: Mapping[str, Score]) -> Plot:
    """Character error rate of short and of long lines; keys are ranges of characters per line."""
    figure = _figure(2.6)
    axes = figure.subplots()
    scores = list(score_by_length.values())
    bars = axes.bar(list(score_by_length), [s.cer for s in scores], color=BLUE, width=0.6)
    labels = [f"{s.cer:.1%}\n{count_of(s.num_lines, 'line')}" for s in scores]
    axes.bar_label(bars, labels, fontsize=8, color=GREY, padding=2)
    axes.margins(y=0.25)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    _label(axes, "characters per line", "character error rate")
    return figure


def plot_reading(
    line: NDArray[np.generic],
    characters: str,
    spans: Sequence[tuple[int, int]],
    char_confidences: Sequence[float],
    num_steps: int,
) -> Plot:
    """Where on a line the network saw each character, and how sure it was.

    Args:
        line: (H, W) the network's input with its padding, uint8 grey.
        characters: the reading, L characters.
        spans: time steps of each character, half-open [start, end).
        char_confidences: one per character, 0 to 1.
        num_steps: time steps T that the network made of the W pixels.
    """
    figure = _figure(2.4)
    picture, bars = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.4))
    limits = (0, 255) if line.dtype == np.uint8 else (-1, 1)
    extent = (0, num_steps, 1, 0)
    picture.imshow(line, cmap="gray", vmin=limits[0], vmax=limits[1], extent=extent, aspect="auto")
    picture.axis("off")
    for character, (start, end), sure in zip(characters, spans, char_confidences, strict=True):
        colour = BLUE if sure >= 0.9 else ORANGE if sure >= 0.5 else RED
        picture.axvspan(start, end, color=colour, alpha=0.2, lw=0)
        bars.bar(start, sure, width=end - start, align="edge", color=colour)
        centre = ((start + end) / 2, 1.05)
        _write(picture, centre, _visible(character), size=10, align=(0.5, 0), coords=_BELOW)
    bars.set_ylim(0, 1.05)
    bars.set_xlim(0, num_steps)
    bars.yaxis.set_major_formatter(PercentFormatter(1.0))
    _label(bars, "time step", "confidence")
    return figure


_BELOW = ("data", "axes fraction")
_BESIDE = ("axes fraction", "data")


def _plot_readings(images: Sequence[UInt8Image], rows: Sequence[Sequence[tuple[str, str]]]) -> Plot:
    """Pictures left, (label, text) right; the first text is right, others are marked against it."""
    if not images:
        return _nothing("no lines to show")
    num_texts = max(map(len, rows))
    figure = _figure((0.2 * num_texts + 0.1) * len(rows))
    grid = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(0.42, 0.58))
    for (left, right), image, texts in zip(grid, images, rows, strict=True):
        _show(left, image, anchor="E")
        right.axis("off")
        right.set_ylim(num_texts - 0.5, -0.5)
        right.set_xlim(0, 1)
        for i, (label, text) in enumerate(texts):
            is_right = text == texts[0][1]
            colour = INK if i == 0 else GREEN if is_right else RED
            mark = "" if i == 0 else "✓" if is_right else "✗"
            _write(right, (0.02, i), label, size=8, colour=GREY)
            _write(right, (0.13, i), mark, size=8, colour=colour)
            _write(right, (0.16, i), text or "∅", colour=colour)
    return figure


def _figure(height_in: float) -> Plot:
    return Plot(figsize=(WIDTH_IN, height_in), layout="constrained")


def _nothing(message: str) -> Plot:
    """A figure that says why it is empty."""
    figure = _figure(0.6)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=GREY)
    return figure


def _show(axes: Axes, image: UInt8Image, anchor: str = "W") -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_anchor(anchor)
    axes.axis("off")


def _label(axes: Axes, x: str, y: str) -> None:
    """Name the axes and leave out what carries nothing."""
    axes.set_xlabel(x, fontsize=9, color=GREY)
    axes.set_ylabel(y, fontsize=9, color=GREY)
    axes.tick_params(labelsize=8, color=PALE, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)


def _visible(character: str) -> str:
    """A character as it can be seen: ∅ for nothing, ␣ for a space."""
    return {"": "∅", " ": "␣"}.get(character, character)


def _write(
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
    if _is_plain(text):
        ha = {0: "left", 0.5: "center", 1: "right"}[align[0]]
        va = {0: "bottom", 0.5: "center", 1: "top"}[align[1]]
        label = axes.annotate(text, xy, xycoords=coords, annotation_clip=False, color=colour)
        label.set(ha=ha, va=va, fontsize=size, parse_math=False, rotation=90 * is_vertical)
        return
    ink = np.rot90(draw_text(text), int(is_vertical))
    rgba = np.dstack([np.full_like(ink, 255 * c) for c in to_rgb(colour)] + [ink])
    picture = OffsetImage(rgba, zoom=size / GLYPH_PX)
    box = AnnotationBbox(picture, xy, xycoords=coords, box_alignment=align, frameon=False, pad=0)
    box.set_annotation_clip(False)
    axes.add_artist(box)


def _is_plain(text: str) -> bool:
    """Whether DejaVu Sans, which comes with matplotlib, has every character."""
    return all(ord(c) in _plain_code_points() for c in text)


@lru_cache(maxsize=1)
def _plain_code_points() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())
