"""How far a number measured on few lines can be trusted."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
"""Draws per interval or test; a p-value cannot fall below 1 / (draws + 1)."""


def cer_interval(
    texts: Sequence[str], edits: Sequence[int], coverage: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the CER, over distinct texts.

    Lines of equal text are drawn together, because they are often right or wrong together
    (Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation").

    Args:
        texts: what is printed, per line.
        edits: wrong characters, per line.
        coverage: share of repetitions that the interval should hold, 0 to 1.
    """
    edit_sums = _sum_by_text(texts, edits)
    lengths = _sum_by_text(texts, [len(text) for text in texts])
    rng = np.random.default_rng(0)
    cers = np.empty(NUM_RESAMPLES)
    for i in range(NUM_RESAMPLES):
        drawn = rng.integers(len(lengths), size=len(lengths))
        cers[i] = edit_sums[drawn].sum() / lengths[drawn].sum()
    low, high = np.quantile(cers, ((1 - coverage) / 2, (1 + coverage) / 2))
    return float(low), float(high)


def change_p_value(texts: Sequence[str], edit_changes: Sequence[int]) -> float:
    """How often chance alone changes the number of edits as much: 0 (excl.) to 1.

    Paired approximate randomisation test, two-sided: before and after swap places at random,
    lines of equal text together (Noreen 1989, "Computer-Intensive Methods for Testing
    Hypotheses"; Yeh 2000, "More accurate tests for the statistical significance of result
    differences").

    Args:
        texts: what is printed, per line.
        edit_changes: edits after - edits before, per line.
    """
    changes = _sum_by_text(texts, edit_changes)
    changes = changes[changes != 0]
    rng = np.random.default_rng(0)
    sums = [changes @ rng.choice((-1, 1), size=len(changes)) for _ in range(NUM_RESAMPLES)]
    num_as_large = np.count_nonzero(np.abs(sums) >= abs(changes.sum()))
    return float((1 + num_as_large) / (1 + NUM_RESAMPLES))


def _sum_by_text(texts: Sequence[str], values: Sequence[int]) -> NDArray[np.int64]:
    """Sums of `values` over lines of equal text, texts in order of first appearance."""
    sums: dict[str, int] = defaultdict(int)
    for text, value in zip(texts, values, strict=True):
        sums[text] += value
    return np.array(list(sums.values()), dtype=np.int64)
