"""The probability of a text: brute force over paths, and the loss of training."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from crnnkit.model.ctc import ctc_loss
from crnnkit.model.decode import collapse
from crnnkit.model.likelihood import text_log_prob


@pytest.mark.parametrize(
    "ids",
    [
        (),  # blanks alone
        (1,),
        (1, 2),
        (1, 1),  # a blank must stand between
        (2, 1, 2),
        (1, 2, 2),
        (1, 1, 2, 2),  # needs 6 steps of 5: impossible
    ],
)
def test_a_texts_probability_is_the_sum_over_its_paths(ids):
    logits = np.random.default_rng(3).normal(size=(5, 3)).astype(np.float32)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    paths = [path for path in product(range(3), repeat=5) if tuple(collapse(path)) == ids]
    expected = sum(math.prod(probs[t, i] for t, i in enumerate(path)) for path in paths)
    assert math.exp(text_log_prob(logits, ids)) == pytest.approx(expected, rel=1e-5)


def test_it_is_minus_the_loss_of_training():
    logits = 5 * torch.randn(1, 40, 300)
    ids = [7, 7, 200, 1, 299, 7]
    loss = ctc_loss(logits, torch.tensor([ids]), torch.tensor([6]))
    assert text_log_prob(logits[0].numpy(), ids) == pytest.approx(-float(loss), rel=1e-5)


def test_a_text_too_long_for_its_line_is_impossible():
    assert text_log_prob(np.zeros((3, 5), np.float32), [1, 1, 2]) == -math.inf


def test_large_logits_do_not_overflow():
    logits = np.float32(1e4) * np.eye(4, dtype=np.float32)[[1, 0, 2]]
    assert text_log_prob(logits, [1, 2]) == pytest.approx(0, abs=1e-3)
