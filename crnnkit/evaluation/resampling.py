"""How far a number measured on few lines can be trusted."""

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
"""Draws per interval or test; a p-value cannot fall below 1 / (draws + 1)."""
Z_95 = 1.959964
"""Quantile of the normal distribution for two-sided 95 %."""
MIN_TEXTS = 30
"""Fewer different texts tell nothing: of five, even if all broke, that might be chance."""


def cer_interval(texts: Sequence[str], edits: Sequence[int]) -> tuple[float, float]:
    """95 % interval of the CER, as `share_interval` gives it.

    Args:
        texts: what is printed, per line.
        edits: wrong characters, per line.
    """
    return share_interval(texts, edits, [len(text) for text in texts])


def share_interval(
    texts: Sequence[str], numerators: Sequence[int], denominators: Sequence[int]
) -> tuple[float, float]:
    """95 % interval of a share: by resampling, but nowhere narrower than Wilson's.

    Where all lines are read alike, e.g. all right, resampling shows no spread at all. Wilson's
    interval then counts each distinct text once.

    Args:
        texts: what is printed, per line.
        numerators: e.g. wrong characters, per line.
        denominators: e.g. characters, per line; above 0, equal for equal texts.
    """
    low, high = rate_interval(texts, numerators, denominators)
    number = sum(dict(zip(texts, denominators, strict=True)).values())
    share = min(1.0, sum(numerators) / sum(denominators))  # a CER may exceed 1
    wilson_low, wilson_high = wilson_interval(share, number)
    return min(low, wilson_low), max(high, wilson_high)


def wilson_interval(share: float, number: int) -> tuple[float, float]:
    """95 % score interval of a share of `number` independent draws.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    centre = (share + Z_95**2 / (2 * number)) / (1 + Z_95**2 / number)
    variance = share * (1 - share) / number + (Z_95 / (2 * number)) ** 2
    spread = Z_95 / (1 + Z_95**2 / number) * sqrt(variance)
    return max(0.0, centre - spread), min(1.0, centre + spread)


def rate_interval(
    texts: Sequence[str],
    numerators: Sequence[int],
    denominators: Sequence[int],
    coverage: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of Σ numerators ÷ Σ denominators, over distinct texts.

    Lines of equal text are drawn together, because they are often right or wrong together
    (Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation"). With edits after - edits before, it is that of a change: a paired bootstrap.

    Args:
        texts: what is printed, per line.
        numerators: e.g. wrong characters, per line.
        denominators: e.g. characters, per line; above 0.
        coverage: share of repetitions that the interval should hold, 0 to 1.
    """
    above = _sum_by_text(texts, numerators)
    below = _sum_by_text(texts, denominators)
    rng = np.random.default_rng(0)
    rates = np.empty(NUM_RESAMPLES)
    for i in range(NUM_RESAMPLES):
        drawn = rng.integers(len(below), size=len(below))
        rates[i] = above[drawn].sum() / below[drawn].sum()
    low, high = np.quantile(rates, ((1 - coverage) / 2, (1 + coverage) / 2))
    return float(low), float(high)


def change_p_value(texts: Sequence[str], changes: Sequence[int]) -> float:
    """How often chance alone changes a sum as much: 0 (excl.) to 1.

    Paired approximate randomisation test, two-sided: before and after swap places at random,
    lines of equal text together (Noreen 1989, "Computer-Intensive Methods for Testing
    Hypotheses"; Yeh 2000, "More accurate tests for the statistical significance of result
    differences"). For changes of exact match on texts that all differ, it is McNemar's exact test
    (1947, "Note on the sampling error of the difference between correlated proportions").

    Args:
        texts: what is printed, per line.
        changes: per line, e.g. edits after - edits before.
    """
    by_text = _sum_by_text(texts, changes)
    by_text = by_text[by_text != 0]
    rng = np.random.default_rng(0)
    sums = [by_text @ rng.choice((-1, 1), size=len(by_text)) for _ in range(NUM_RESAMPLES)]
    num_as_large = np.count_nonzero(np.abs(sums) >= abs(by_text.sum()))
    return float((1 + num_as_large) / (1 + NUM_RESAMPLES))


def _sum_by_text(texts: Sequence[str], values: Sequence[int]) -> NDArray[np.int64]:
    """Sums of `values` over lines of equal text, texts in order of first appearance."""
    sums: dict[str, int] = defaultdict(int)
    for text, value in zip(texts, values, strict=True):
        sums[text] += value
    return np.array(list(sums.values()), dtype=np.int64)
