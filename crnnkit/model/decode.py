"""From logits to characters, with numpy alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from crnnkit.vocab import BLANK_ID


@dataclass(frozen=True)
class Decoded:
    """One line's reading, in ids."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    """Time steps of each character, half-open [start, end)."""
    char_confidences: tuple[float, ...]
    """Per character: the greatest probability within its span, 0 to 1."""
    confidence: float
    """exp(mean log probability of the best class over the kept steps), 0 to 1.

    Kept steps are those that name a character; an empty reading is as sure as its blanks.
    """


def collapse(best_ids: Sequence[int]) -> list[int]:
    """Merge equal neighbours, then drop blanks: Graves et al. 2006, the map B of section 3.1."""
    return [i for i, _ in groupby(best_ids) if i != BLANK_ID]


def greedy_decode(logits: NDArray[np.floating]) -> Decoded:
    """Best path decoding: the best class per step, equal neighbours merged, blanks dropped.

    Graves et al. 2006, section 3.2.

    Args:
        logits: (T, V).
    """
    best_ids = logits.argmax(1)
    best_probs = _best_probabilities(logits)
    starts = np.flatnonzero(np.diff(best_ids, prepend=-1))
    ends = np.append(starts[1:], len(best_ids))
    runs = [(s, e) for s, e in zip(starts, ends, strict=True) if best_ids[s] != BLANK_ID]
    kept = best_ids != BLANK_ID
    steps = best_probs[kept] if kept.any() else best_probs
    return Decoded(
        ids=tuple(int(best_ids[s]) for s, _ in runs),
        spans=tuple((int(s), int(e)) for s, e in runs),
        char_confidences=tuple(float(best_probs[s:e].max()) for s, e in runs),
        confidence=float(np.exp(np.log(steps).mean())),
    )


def _best_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax probability of the best class per step (T,): 1 ÷ Σ exp(logit - best logit)."""
    best = logits.max(1, keepdims=True)
    return 1.0 / np.exp((logits - best).astype(np.float64)).sum(1)
