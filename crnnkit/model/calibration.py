"""How sure a reading may claim to be: one number by which a network's logits are divided."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from crnnkit.model.decode import Decoded, at_temperature
from crnnkit.vocab import BLANK_ID

TEMPERATURES = np.geomspace(0.5, 8, 17)
"""Candidates, four to an octave; 1 is among them."""


def fit_temperature(lines: Iterable[tuple[NDArray[np.float64], bool]]) -> float:
    """The temperature at which a line's confidence best forecasts that the line is right.

    Temperature scaling (Guo et al. 2017, "On calibration of modern neural networks"), here with
    the log loss of the event that a whole line is right. As few lines may hold no error at all,
    right and wrong aim at Platt's (1999, "Probabilistic outputs for support vector machines")
    (R + 1) ÷ (R + 2) and 1 ÷ (W + 2) for R right and W wrong lines, instead of at 1 and 0.

    Args:
        lines: `confidences_by_temperature` and whether the reading was without error, of lines
            that the network was not trained on.

    Returns:
        one of `TEMPERATURES`; 1 without lines.
    """
    pairs = list(lines)
    if not pairs:
        return 1.0
    is_right = np.array([right for _, right in pairs])
    num_right = np.count_nonzero(is_right)
    num_wrong = len(pairs) - num_right
    target = np.where(is_right, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))[:, None]
    confidence = np.clip([confidences for confidences, _ in pairs], 1e-9, 1 - 1e-9)
    losses = -(target * np.log(confidence) + (1 - target) * np.log(1 - confidence)).mean(0)
    return float(TEMPERATURES[losses.argmin()])


def confidences_by_temperature(
    logits: NDArray[np.floating], decoded: Decoded | None = None
) -> NDArray[np.float64]:
    """A reading's confidence at every one of `TEMPERATURES`.

    Args:
        logits: (T, V).
        decoded: the reading; None = the greedy one, whose confidences are computed at once.
    """
    if decoded is not None:
        return np.array([at_temperature(decoded, logits, t).confidence for t in TEMPERATURES])
    kept = logits[logits.argmax(1) != BLANK_ID]
    steps = kept if len(kept) else logits
    deviations = steps - steps.max(1, keepdims=True)
    sums = [np.exp(deviations / np.float32(t)).sum(1, dtype=np.float64) for t in TEMPERATURES]
    return np.exp(-np.log(sums).mean(1))
