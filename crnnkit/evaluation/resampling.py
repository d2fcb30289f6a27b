"""How far a number measured on few lines can be trusted."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
"""Draws per interval or test; a p-value cannot fall below 1 / (draws + 1)."""


def cer_interval(texts: Sequence[str], edits: Sequence[int]) -> tuple[float, float]:
    """95 % interval of the CER, as `rate_interval` gives it.

    With edits after - edits before, it is that of the change: a paired bootstrap.

    Args:
        texts: what is printed, per line.
        edits: wrong characters, per line.
    """
    return rate_interval(texts, edits, [len(text) for text in texts])


def rate_interval(
    texts: Sequence[str],
    numerators: Sequence[int],
    denominators: Sequence[int],
    coverage: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of Σ numerators ÷ Σ denominators, over distinct texts.

    Lines of equal text are drawn together, because they are often right or wrong together
    (Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation").

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
