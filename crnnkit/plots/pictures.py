"""Line and page pictures with their texts."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Polygon
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from crnnkit.plots.canvas import (
    BELOW,
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    RED,
    Plot,
    UInt8Image,
    empty_figure,
    label_axes,
    new_figure,
    show,
    visible,
    write,
)


def plot_line_grid(
    images: Sequence[UInt8Image], titles: Sequence[str], num_columns: int = 2
) -> Plot:
    """Line pictures with their texts above."""
    if len(images) != len(titles):
        raise ValueError(f"{len(images)} pictures, {len(titles)} titles: give one for each.")
    if not images:
        return empty_figure("no lines to show")
    num_rows = -(-len(images) // num_columns)
    figure = new_figure(0.75 * num_rows)
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, title in zip(grid, images, titles, strict=False):
        show(axes, image)
        write(axes, (0, 1.08), title, align=(0, 0), coords="axes fraction")
    return figure


def plot_steps(image_by_step: Mapping[str, UInt8Image]) -> Plot:
    """One picture after each step: lines below each other, pages side by side."""
    images = list(image_by_step.values())
    is_wide = np.mean([image.shape[1] / image.shape[0] for image in images]) > 2
    num_rows, num_columns = (len(images), 1) if is_wide else (1, len(images))
    figure = new_figure(0.85 * num_rows if is_wide else 4.5)
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (step, image) in zip(grid, image_by_step.items(), strict=True):
        show(axes, image)
        write(axes, (0, 1.04), step, align=(0, 0), colour=GREY, coords="axes fraction")
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
    show(axes, page, anchor="C")
    for number, quad in enumerate(quads, start=1):
        axes.add_patch(Polygon(quad, fill=True, facecolor=BLUE + "1f", edgecolor=BLUE, lw=1))
        x, y = (quad[0] + quad[3]) / 2
        ground = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.15"}
        axes.text(x, y, f"{number}", color=BLUE, fontsize=9, ha="right", va="center", bbox=ground)
    return figure


def plot_readings_over_epochs(
    images: Sequence[UInt8Image],
    references: Sequence[str],
    readings_by_epoch: Mapping[int, Sequence[str]],
    kept: Sequence[str] | None = None,
) -> Plot:
    """The same lines, read after several epochs: how a network learns to read.

    Args:
        images: line pictures.
        references: what is printed on them.
        readings_by_epoch: epoch → one reading per line; 0: before the first one.
        kept: one reading per line by the model that training kept, the last row.
    """
    rows = []
    for i, reference in enumerate(references):
        readings = [
            (f"epoch {epoch}" if epoch else "before", texts[i])
            for epoch, texts in readings_by_epoch.items()
        ]
        last = [("kept", kept[i])] if kept is not None else []
        rows.append([("printed", reference), *readings, *last])
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


def plot_time_steps(
    line: NDArray[np.generic], num_steps: int, receptive_field: int, shown: Sequence[int]
) -> Plot:
    """A line cut into its time steps, and what the convolutions see from some of them.

    Args:
        line: (H, W) the network's input with its padding, uint8 grey.
        num_steps: time steps T that the network makes of the W pixels.
        receptive_field: width seen from one step, pixels.
        shown: the steps whose view is drawn.
    """
    height, width = line.shape
    pixels = width / num_steps
    figure = new_figure(1.9)
    axes = figure.subplots()
    axes.imshow(line, cmap="gray", vmin=0, vmax=255)
    axes.vlines(np.arange(1, num_steps) * pixels - 0.5, -0.5, height - 0.5, color=PALE, lw=0.5)
    for step, colour in zip(shown, (BLUE, ORANGE, GREEN, RED), strict=False):
        left, right = step * pixels - receptive_field / 2, step * pixels + receptive_field / 2
        axes.axvspan(left, right, ymax=0.5, color=colour, alpha=0.3, lw=0)
        axes.axvspan(step * pixels - 0.5, (step + 1) * pixels - 0.5, color=colour, alpha=0.6, lw=0)
        write(axes, (step * pixels, -1.5), f"step {step}", align=(0.5, 0), colour=colour)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_yticks([])
    label_axes(axes, f"W = {width} px, T = {num_steps} time steps", "")
    return figure


def plot_suspects(
    images: Sequence[UInt8Image], labels: Sequence[str], readings: Sequence[str]
) -> Plot:
    """Lines, what their labels say, and what a recogniser reads there instead."""
    texts = zip(labels, readings, strict=True)
    return _plot_readings(images, [[("label", label), ("read", read)] for label, read in texts])


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
    figure = new_figure(2.4)
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
        write(picture, centre, visible(character), size=10, align=(0.5, 0), coords=BELOW)
    bars.set_ylim(0, 1.05)
    bars.set_xlim(0, num_steps)
    bars.yaxis.set_major_formatter(PercentFormatter(1.0))
    label_axes(bars, "time step", "confidence")
    return figure


def _plot_readings(images: Sequence[UInt8Image], rows: Sequence[Sequence[tuple[str, str]]]) -> Plot:
    """Pictures left, (label, text) right; the first text is right, others are marked against it."""
    if not images:
        return empty_figure("no lines to show")
    num_texts = max(map(len, rows))
    figure = new_figure((0.2 * num_texts + 0.1) * len(rows))
    grid = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(0.42, 0.58))
    for (left, right), image, texts in zip(grid, images, rows, strict=True):
        show(left, image, anchor="E")
        right.axis("off")
        right.set_ylim(num_texts - 0.5, -0.5)
        right.set_xlim(0, 1)
        for i, (label, text) in enumerate(texts):
            is_right = text == texts[0][1]
            colour = INK if i == 0 else GREEN if is_right else RED
            mark = "" if i == 0 else "✓" if is_right else "✗"
            write(right, (0.02, i), label, size=8, colour=GREY)
            write(right, (0.13, i), mark, size=8, colour=colour)
            write(right, (0.16, i), text or "∅", colour=colour)
    return figure
