"""The temperature: found again where it is known, and careful where lines are few."""

import numpy as np
import pytest

from crnnkit.model.calibration import TEMPERATURES, confidences_by_temperature, fit_temperature
from crnnkit.model.decode import aligned, at_temperature, greedy_decode


def one_character(confidence):
    """Logits of one step that names a character with some confidence, and one other class."""
    return np.array([[-50, np.log(confidence / (1 - confidence)), 0]], np.float32)


def readings(*pairs):
    """What `fit_temperature` takes, of logits and whether they are right."""
    return [(confidences_by_temperature(logits), is_right) for logits, is_right in pairs]


def test_confidences_of_another_reading_than_the_greedy_one():
    logits = np.random.default_rng(0).normal(size=(9, 4), scale=2).astype(np.float32)
    decoded = aligned(logits, (1, 2))
    assert decoded.ids != greedy_decode(logits).ids
    expected = [at_temperature(decoded, logits, t).confidence for t in TEMPERATURES]
    np.testing.assert_allclose(confidences_by_temperature(logits, decoded), expected)
    assert (confidences_by_temperature(logits) > expected).all()


def test_confidences_are_those_of_decoding():
    logits = np.random.default_rng(0).normal(size=(30, 12), scale=3).astype(np.float32)
    logits[::2, 0] += 9  # blanks, which do not count
    expected = [greedy_decode(logits / t).confidence for t in TEMPERATURES]
    np.testing.assert_allclose(confidences_by_temperature(logits), expected, rtol=1e-5)


def test_an_empty_reading_is_as_sure_as_its_blanks():
    logits = np.array([[3, 0], [5, 1]], np.float32)
    expected = [greedy_decode(logits / t).confidence for t in TEMPERATURES]
    np.testing.assert_allclose(confidences_by_temperature(logits), expected, rtol=1e-5)


@pytest.mark.parametrize("factor", [0.5, 1, 2, 4])
def test_the_factor_by_which_a_network_is_too_sure_is_found_again(factor):
    rng = np.random.default_rng(1)
    honest = rng.uniform(0.55, 0.995, 4000)
    lines = [(factor * one_character(c), rng.random() < c) for c in honest]
    # TEMPERATURES are four to an octave: at most one of them away
    assert abs(np.log2(fit_temperature(readings(*lines)) / factor)) <= 0.26


def test_one_is_among_the_candidates():
    assert 1 in TEMPERATURES
    assert fit_temperature([]) == 1


def test_a_few_lines_without_error_do_not_make_a_network_surer():
    # 10 of 10 right: by Platt's rule as good as 11 of 12
    assert fit_temperature(readings((one_character(0.98), True)) * 10) > 1
    assert fit_temperature(readings((one_character(0.98), True)) * 1000) < 1


def test_errors_make_a_network_less_sure():
    lines = [(one_character(0.98), i % 4 > 0) for i in range(100)]
    # at 0.75 right, log(0.98 / 0.02) ÷ log(0.75 / 0.25) = 3.5
    assert fit_temperature(readings(*lines)) == pytest.approx(3.5, rel=0.1)
