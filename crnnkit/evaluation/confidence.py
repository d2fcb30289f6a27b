"""What a confidence is worth: is it honest, and from which one on may lines pass unread?"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from itertools import groupby

from crnnkit.dataset.faults import count_of
from crnnkit.evaluation.report import LineResult
from crnnkit.evaluation.resampling import wilson_interval
from crnnkit.plots.canvas import Plot
from crnnkit.plots.charts import plot_confidence

NUM_BINS = 10
PRECISIONS = (0.9, 0.95, 0.98, 0.99, 0.995)
"""Shares of right lines among the accepted ones that a report gives thresholds for."""
GO_LIVE_PRECISION = 0.99


@dataclass(frozen=True)
class ConfidenceBin:
    """Lines of like confidence."""

    num_lines: int
    confidence: float
    """Mean, 0 to 1."""
    accuracy: float
    """Share of lines without error, 0 to 1."""


def reliability(lines: Sequence[LineResult]) -> tuple[ConfidenceBin, ...]:
    """Lines in `NUM_BINS` ranges of confidence, of equal width; empty ranges are left out.

    Guo et al. 2017, "On calibration of modern neural networks", section 2.
    """
    members: list[list[LineResult]] = [[] for _ in range(NUM_BINS)]
    for line in lines:
        members[min(int(NUM_BINS * line.confidence), NUM_BINS - 1)].append(line)
    return tuple(
        ConfidenceBin(
            num_lines=len(bin_lines),
            confidence=sum(line.confidence for line in bin_lines) / len(bin_lines),
            accuracy=sum(line.is_exact for line in bin_lines) / len(bin_lines),
        )
        for bin_lines in members
        if bin_lines
    )


def calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over lines, 0 to 1.

    Guo et al. 2017, equation 3.
    """
    num_lines = sum(b.num_lines for b in bins)
    return sum(b.num_lines * abs(b.confidence - b.accuracy) for b in bins) / num_lines


@dataclass(frozen=True)
class Acceptance:
    """What happens if lines from a confidence on are taken without a look."""

    threshold: float
    """Lowest confidence that is accepted, of six digits, so that it can be printed as it is."""
    num_accepted: int
    num_errors: int
    """Accepted lines that are wrong."""
    num_texts: int
    """Distinct texts among the accepted lines."""

    @property
    def precision(self) -> float:
        """Share of accepted lines that are right, 0 to 1."""
        return 1 - self.num_errors / self.num_accepted

    @property
    def precision_interval(self) -> tuple[float, float]:
        """95 % interval, as if each distinct text had been drawn once.

        Lines of equal text are often right or wrong together, so they do not count twice.
        """
        return wilson_interval(self.precision, self.num_texts)


def acceptance_curve(lines: Sequence[LineResult]) -> tuple[Acceptance, ...]:
    """Accepted lines and errors for every confidence that occurs, rounded down to the six digits
    that the service answers with, the highest first."""
    order = sorted(lines, key=lambda line: -line.confidence)
    curve: list[Acceptance] = []
    num_accepted = num_errors = 0
    texts: set[str] = set()
    for threshold, alike in groupby(order, key=lambda line: _rounded_down(line.confidence)):
        for line in alike:
            num_accepted += 1
            num_errors += not line.is_exact
            texts.add(line.reference)
        curve.append(Acceptance(threshold, num_accepted, num_errors, len(texts)))
    return tuple(curve)


def _rounded_down(confidence: float) -> float:
    # in decimals: 1e6 * confidence may round up to the next whole number
    return float(Decimal(str(confidence)).quantize(Decimal("1e-6"), ROUND_FLOOR))


def acceptance_at(curve: Sequence[Acceptance], precision: float) -> Acceptance | None:
    """The lowest threshold at which the accepted lines are right to the given share.

    At least 1 ÷ (1 - precision) lines must pass it, or one error more or less would decide. The
    threshold is chosen on the lines that it is measured on, so expect slightly less of others.

    Returns:
        None if no threshold gives that precision.
    """
    enough = [
        point
        for point in curve
        if point.precision >= precision and point.num_accepted >= lines_needed(precision)
    ]
    return enough[-1] if enough else None


def lines_needed(precision: float) -> int:
    """Lines of which a share of 1 - precision is one: 100 for 99 %."""
    return round(1 / (1 - precision))


def acceptance_sentence(lines: Sequence[LineResult], precision: float = GO_LIVE_PRECISION) -> str:
    """The threshold for a precision, or why these lines give none, in a sentence."""
    point = acceptance_at(acceptance_curve(lines), precision)
    goal = f"{100 * precision:g}% precision"
    if point is not None:
        low, high = point.precision_interval
        return (
            f"{goal}: accept confidence ≥ {point.threshold:.6f}, {point.num_accepted} of "
            f"{count_of(len(lines), 'line')}, {count_of(point.num_errors, 'error')} among them "
            f"(95% interval {low:.1%} – {high:.1%})"
        )
    needed = lines_needed(precision)
    why = (
        f"{needed} are needed to tell, {len(lines)} are there"
        if len(lines) < needed
        else f"no {needed} surest lines or more hold so few errors"
    )
    return f"{goal} is not reachable on these lines: {why}"


def confidence_figure(lines: Sequence[LineResult]) -> Plot:
    """Whether confidences are honest, and what passes from each on; the go-live one marked."""
    curve = acceptance_curve(lines)
    chosen = acceptance_at(curve, GO_LIVE_PRECISION)
    points = {point: (point.threshold, point.num_accepted, point.num_errors) for point in curve}
    return plot_confidence(
        [(b.confidence, b.accuracy, b.num_lines) for b in reliability(lines)],
        list(points.values()),
        points[chosen] if chosen else None,
    )
