"""What more labelled lines would bring: the learning curve, carried on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

COVERAGE = 0.9
MAX_REACH = 3.0
"""Nothing is said of more than so many times the largest number of lines that was tried."""
_NUM_DRAWS = 10_000


@dataclass(frozen=True)
class Outlook:
    """How the CER would change, or why that cannot be told."""

    more_lines: int
    change: float = 0.0
    """Of the CER; below 0: fewer errors."""
    interval: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest change that the points allow, by `COVERAGE`."""
    doubt: str = ""
    """Why there is no number; empty where there is one."""

    def __str__(self) -> str:
        """E.g. `500 more lines ≈ -1.20 points of CER (90%: -1.90 to -0.60)`."""
        if self.doubt:
            return f"what {self.more_lines} more lines would bring cannot be told: {self.doubt}"
        low, high = self.interval
        return (
            f"{self.more_lines} more lines ≈ {100 * self.change:+.2f} points of CER "
            f"({COVERAGE:.0%}: {100 * low:+.2f} to {100 * high:+.2f})"
        )


def outlook(cer_by_lines: Mapping[int, float], num_characters: int, more_lines: int) -> Outlook:
    """Carry on CER = a · lines^-b, which learning curves follow (Hestness et al. 2017, "Deep
    Learning Scaling is Predictable, Empirically").

    Least squares on logarithms; the interval is that of Student's t, for as many points as there
    are and at least the scatter that counting errors on the test lines has by itself.

    Args:
        cer_by_lines: training lines → CER on the same test lines.
        num_characters: of the test lines.
        more_lines: beside the largest number that was tried.
    """
    if doubt := _doubt_before(cer_by_lines, more_lines):
        return Outlook(more_lines, doubt=doubt)
    lines, cers = (np.array(values, float) for values in zip(*cer_by_lines.items(), strict=True))
    x, y, freedom = np.log(lines), np.log(cers), len(lines) - 2
    mean, centred = x.mean(), x - x.mean()
    slope = centred @ y / (centred @ centred)
    counting = np.mean((1 - np.minimum(cers, 1)) / (cers * num_characters))
    scatter = np.sqrt(max(np.sum((y - y.mean() - slope * centred) ** 2) / freedom, counting))

    rng = np.random.default_rng(0)
    spread = scatter * np.sqrt(freedom / rng.chisquare(freedom, _NUM_DRAWS))
    levels = y.mean() + rng.standard_normal(_NUM_DRAWS) * spread / len(x) ** 0.5
    slopes = slope + rng.standard_normal(_NUM_DRAWS) * spread / np.sqrt(centred @ centred)
    ends = np.log([lines.max(), lines.max() + more_lines]) - mean
    now, then = (np.exp(np.minimum(levels + slopes * end, 0.0)) for end in ends)
    low, high = np.quantile(then - now, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    now, then = np.exp(y.mean() + slope * ends)
    if high >= 0:
        between = f"between {100 * low:+.2f} and {100 * high:+.2f} points"
        return Outlook(more_lines, doubt=f"{len(lines)} points that scatter so allow {between}")
    return Outlook(more_lines, float(then - now), (float(low), float(high)))


def _doubt_before(cer_by_lines: Mapping[int, float], more_lines: int) -> str:
    """Why no curve can be drawn through these points; empty where one can."""
    if len(cer_by_lines) < 3:
        return f"a curve takes 3 numbers of lines at least, tried were {len(cer_by_lines)}"
    if min(cer_by_lines.values()) <= 0:
        return "with some there was no error left"
    largest = max(cer_by_lines)
    if largest + more_lines > MAX_REACH * largest:
        return f"at most {largest} were tried, and {MAX_REACH:g} times that is as far as one sees"
    return ""
