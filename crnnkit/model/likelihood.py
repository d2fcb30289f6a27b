"""How probable a given text is, with numpy alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crnnkit.vocab import BLANK_ID


def text_log_prob(logits: NDArray[np.floating], target_ids: Sequence[int]) -> float:
    """Log probability of a text over all its paths; minus the CTC loss that training minimises.

    Graves et al. 2006, the forward variables of section 4.1, in logarithms.

    Args:
        logits: (T, V).
        target_ids: (L,) without blanks.

    Returns:
        natural logarithm, at most 0; -inf where T < L + number of equal neighbours.
    """
    states = np.full(2 * len(target_ids) + 1, BLANK_ID)  # a blank before, between and after
    states[1::2] = target_ids
    best = logits.max(1, keepdims=True)
    log_sums = best + np.log(np.exp(logits - best).sum(1, keepdims=True, dtype=np.float64))
    log_probs = logits[:, states] - log_sums
    may_skip = np.zeros(len(states), bool)  # the blank between two characters that differ
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    alpha = np.full(len(states), -np.inf)
    alpha[:2] = log_probs[0, :2]
    for step in log_probs[1:]:
        moved = np.logaddexp(alpha[1:], alpha[:-1])
        skipped = np.where(may_skip[2:], alpha[:-2], -np.inf)
        alpha = step + np.concatenate([alpha[:1], moved[:1], np.logaddexp(moved[1:], skipped)])
    return float(np.logaddexp.reduce(alpha[-2:]))
