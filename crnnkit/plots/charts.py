"""Numbers as bars and curves."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.ticker import LogFormatter, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from crnnkit.dataset.faults import count_of
from crnnkit.metrics import Score
from crnnkit.plots.canvas import (
    BELOW,
    BESIDE,
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    Plot,
    empty_figure,
    is_plain,
    label_axes,
    new_figure,
    visible,
    write,
)
from crnnkit.preprocessing.glyphs import can_draw


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


def plot_length_and_width(lengths: Sequence[int], widths: Sequence[int]) -> Plot:
    """Histograms of label lengths L (characters) and line widths W (pixels of the input)."""
    figure = new_figure(2.8)
    panels = zip(
        figure.subplots(1, 2),
        (lengths, widths),
        ("characters per line", "line width at the network's input, px"),
        (BLUE, ORANGE),
        strict=True,
    )
    for axes, values, label, colour in panels:
        axes.hist(values, bins=_bins(values), color=colour, rwidth=0.9)
        median = float(np.median(values))
        axes.axvline(median, color=INK, lw=1, ls="--")
        axes.set_title(f"median {median:g}, longest {max(values)}", fontsize=9, color=GREY)
        label_axes(axes, label, "lines")
    return figure


def _bins(values: Sequence[int]) -> NDArray[np.floating]:
    """Edges with one value in each bin's middle, or equally many, at most some 30 bins."""
    common = int(np.gcd.reduce(np.diff(np.unique(values)), initial=0)) or 1
    step = common * -(-(max(values) - min(values) + common) // (30 * common))
    return np.arange(min(values), max(values) + common + step, step) - common / 2


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
    figure = new_figure(2.8)
    axes = figure.subplots()
    colours = [RED if c in missing else BLUE for c in shown]
    axes.bar(range(len(shown)), [counts[c] for c in shown], color=colours)
    axes.set_yscale("log")
    for axis_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.4)))
    axes.set_xlim(-0.8, len(shown) - 0.2)
    axes.set_xticks([])
    for i, character in enumerate(shown):
        colour = RED if character in missing else INK
        is_rare = not (is_plain(character) or can_draw(character))
        write(
            axes,
            (i, -0.03),
            visible(character),
            colour=colour,
            align=(0.5, 1),
            coords=BELOW,
            is_vertical=is_rare,
        )
    num_once = sum(n == 1 for n in counts.values())
    num_missing = sum(c in missing for c in counts)
    title = f"{len(counts)} characters ({len(shown)} shown), {num_once} occur once"
    lacking = f", {num_missing} missing in the vocabulary (red)" if num_missing else ""
    axes.set_title(title + lacking, fontsize=9, color=GREY)
    label_axes(axes, "", "occurrences")
    return figure


def plot_vocab_cost(vocab_sizes: Mapping[str, int], num_features: int, num_steps: int) -> Plot:
    """What the last layer costs: its weights, and its multiplications for one line.

    Args:
        vocab_sizes: name of a vocabulary → V.
        num_features: features per time step that the layer takes.
        num_steps: time steps T of the line.
    """
    figure = new_figure(0.8 + 0.35 * len(vocab_sizes))
    names = [f"{name}, V = {size:,}" for name, size in vocab_sizes.items()]
    weights = [(num_features + 1) * size / 1e6 for size in vocab_sizes.values()]
    products = [num_features * size * num_steps / 1e6 for size in vocab_sizes.values()]
    panels = figure.subplots(1, 2, sharey=True)
    labels = ("million weights of the last layer", f"million multiplications, T = {num_steps}")
    for axes, numbers, label in zip(panels, (weights, products), labels, strict=True):
        bars = axes.barh(names, numbers, color=BLUE, height=0.6)
        axes.bar_label(bars, [f" {number:.2f}" for number in numbers], fontsize=8, color=GREY)
        axes.margins(x=0.15)
        label_axes(axes, label, "")
    panels[0].invert_yaxis()
    return figure


def plot_history(history: Sequence[Epoch], kept: int | None = None) -> Plot:
    """Loss and CER per epoch.

    Args:
        kept: the epoch to mark as the one that was kept; `finetuning.history.best_epoch`
            chooses it. None: not chosen yet.
    """
    figure = new_figure(3.0)
    loss, cer = figure.subplots(1, 2)
    epochs = [e.epoch for e in history]
    style = {"marker": ".", "markersize": 4, "lw": 1.5}
    loss.plot(epochs, [e.train_loss for e in history], color=BLUE, label="training", **style)
    loss.plot(epochs, [e.val_loss for e in history], color=ORANGE, label="validation", **style)
    cer.plot(epochs, [e.train_cer for e in history], color=BLUE, label="training", **style)
    cer.plot(epochs, [e.val_cer for e in history], color=ORANGE, label="validation", **style)
    for best in (e for e in history if e.epoch == kept):
        cer.plot(best.epoch, best.val_cer, "o", color=ORANGE, markersize=8, label="kept")
        cer.set_title(f"kept: epoch {best.epoch}, CER {best.val_cer:.2%}", fontsize=9, color=GREY)
    cer.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes, label in ((loss, "loss, nats per character"), (cer, "character error rate")):
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(frameon=False, fontsize=8)
        label_axes(axes, "epoch", label)
    return figure


def plot_runs(histories: Mapping[str, Sequence[Epoch]]) -> Plot:
    """Several runs side by side: CER per epoch on training lines and on validation lines.

    Args:
        histories: name of a run → its epochs; at most four runs.
    """
    figure = new_figure(3.0)
    panels = figure.subplots(1, 2, sharey=True)
    looks = zip((BLUE, ORANGE, GREEN, RED), ("-", "--", ":", "-."), strict=True)
    for (name, history), (colour, dashes) in zip(histories.items(), looks, strict=False):
        epochs = [epoch.epoch for epoch in history]
        style = {"marker": ".", "ls": dashes, "lw": 1.5, "color": colour, "label": name}
        panels[0].plot(epochs, [epoch.train_cer for epoch in history], **style)
        panels[1].plot(epochs, [epoch.val_cer for epoch in history], **style)
    for axes, part in zip(panels, ("training", "validation"), strict=True):
        axes.set_ylim(0, 1.05 * max(1.0, axes.get_ylim()[1] / 1.05))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        label_axes(axes, "epoch", f"character error rate, {part} lines")
    panels[1].legend(frameon=False, fontsize=8)
    return figure


def plot_learning_curves(
    cers: Mapping[str, Mapping[str, Mapping[int, float]]],
) -> Plot:
    """CER on test lines against the number of training lines, one panel per data set.

    Both scales are logarithmic: a learning curve is then nearly straight (`outlook`), and what
    lies close together at its end can be told apart. No error at all lies below the picture.

    Args:
        cers: data set → where training began from, at most four → training lines → CER.
    """
    figure = new_figure(3.2)
    panels = figure.subplots(1, len(cers), squeeze=False)[0]
    for axes, (name, by_start) in zip(panels, cers.items(), strict=True):
        for (start, by_lines), colour in zip(
            by_start.items(), (BLUE, ORANGE, GREEN, RED), strict=False
        ):
            lines, values = zip(*sorted(by_lines.items()), strict=True)
            axes.plot(lines, values, ".-", color=colour, markersize=8, label=start)
            for x, y in zip(lines, values, strict=True):
                axes.annotate(
                    f"{y:.1%}", (x, y), (3, 4), textcoords="offset points", fontsize=7, color=colour
                )
        tried = sorted({n for by_lines in by_start.values() for n in by_lines})
        axes.set_xscale("log")
        axes.set_xticks(tried, [f"{n:,}" for n in tried], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_yscale("log", nonpositive="clip")
        axes.margins(x=0.15, y=0.2)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(name, fontsize=9, color=GREY)
        axes.legend(frameon=False, fontsize=8)
        label_axes(axes, "training lines", "character error rate" if axes is panels[0] else "")
    return figure


def plot_confusions(counts: Mapping[tuple[str, str], int], num_shown: int = 15) -> Plot:
    """The most frequent wrong characters, printed → read; ∅ is nothing, ␣ a space."""
    pairs = sorted(counts, key=lambda pair: (-counts[pair], pair))[:num_shown]
    if not pairs:
        return empty_figure("no character was read wrong")
    figure = new_figure(0.6 + 0.28 * len(pairs))
    axes = figure.subplots()
    axes.barh(range(len(pairs)), [counts[pair] for pair in pairs], color=BLUE, height=0.7)
    axes.invert_yaxis()
    axes.set_yticks([])
    for i, (printed, read) in enumerate(pairs):
        label = f"{visible(printed)} → {visible(read)}"
        write(axes, (-0.01, i), label, size=10, align=(1, 0.5), coords=BESIDE)
        axes.text(counts[printed, read], i, f" {counts[printed, read]}", va="center", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_axes(axes, f"occurrences (printed → read), {sum(counts.values())} errors in all", "")
    return figure


def plot_cer_by_length(score_by_length: Mapping[str, Score]) -> Plot:
    """Character error rate of short and of long lines; keys are ranges of characters per line."""
    figure = new_figure(2.6)
    axes = figure.subplots()
    scores = list(score_by_length.values())
    bars = axes.bar(list(score_by_length), [s.cer for s in scores], color=BLUE, width=0.6)
    labels = [f"{s.cer:.1%}\n{count_of(s.num_lines, 'line')}" for s in scores]
    axes.bar_label(bars, labels, fontsize=8, color=GREY, padding=2)
    axes.margins(y=0.25)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    label_axes(axes, "characters per line", "character error rate")
    return figure


MARKED_CONFIDENCES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Named along the curve of `plot_confidence`, as far as there is room."""


def plot_confidence(
    bins: Sequence[tuple[float, float, int]],
    acceptances: Sequence[tuple[float, int, int]],
    chosen: tuple[float, int, int] | None = None,
) -> Plot:
    """Whether confidences are honest, and how many errors pass with how many accepted lines.

    Args:
        bins: mean confidence, share of right lines (both 0 to 1), number of lines.
        acceptances: lowest accepted confidence, lines accepted, errors among them; the highest
            confidence first.
        chosen: the one of them to mark.
    """
    figure = new_figure(3.4)
    honest, accepted = figure.subplots(1, 2, width_ratios=(0.4, 0.6))
    honest.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    confidences, accuracies, counts = zip(*bins, strict=True)
    honest.plot(confidences, accuracies, ".-", color=BLUE, markersize=8)
    for x, y, count in bins:
        honest.annotate(
            f"{count}", (x, y), (4, -9), textcoords="offset points", fontsize=7, color=GREY
        )
    honest.set_title(
        f"{count_of(sum(counts), 'line')}; on the diagonal: honest", fontsize=9, color=GREY
    )
    for axis in (honest.xaxis, honest.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    label_axes(honest, "confidence", "lines exactly right")

    _, numbers, errors = zip(*acceptances, strict=True)
    accepted.plot([0, *numbers], [0, *errors], color=BLUE, drawstyle="steps-post")
    marked = [] if chosen is None else [(*chosen, ORANGE)]
    for confidence in MARKED_CONFIDENCES:
        number, num_errors = max((p[1:] for p in acceptances if p[0] >= confidence), default=(0, 0))
        if all(abs(number - other) > numbers[-1] / 8 for other in (0, *[m[1] for m in marked])):
            marked.append((confidence, number, num_errors, GREY))
    for confidence, number, num_errors, colour in marked:
        accepted.plot(number, num_errors, "o", color=colour, markersize=5)
        name, above = f"≥ {confidence:g}", {"xytext": (-4, 4), "textcoords": "offset points"}
        accepted.annotate(name, (number, num_errors), ha="right", fontsize=8, color=colour, **above)
    accepted.set_title("what passes from a confidence on", fontsize=9, color=GREY)
    label_axes(accepted, "lines accepted, the surest first", "errors among them")
    return figure
