import numpy as np
import pytest

from crnnkit.evaluation.learning_curve import outlook

LINES = (60, 120, 250, 500, 1000)


def power_law(exponent, noise=0.0, rng=None):
    scatter = np.exp(noise * rng.standard_normal(len(LINES))) if noise else np.ones(len(LINES))
    return {n: 0.9 * n**-exponent * s for n, s in zip(LINES, scatter, strict=True)}


def test_a_power_law_is_carried_on():
    found = outlook(power_law(0.5), 100_000, 500)
    assert found.change == pytest.approx(0.9 * (1500**-0.5 - 1000**-0.5))
    assert found.interval[0] < found.change < found.interval[1] < 0
    assert str(found) == "500 more lines ≈ -0.52 points of CER (90%: -0.53 to -0.51)"


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth = 0.9 * (1500**-0.5 - 1000**-0.5)
    found = [outlook(power_law(0.5, 0.1, rng), 10**9, 500) for _ in range(300)]
    assert not any(o.doubt for o in found)
    held = np.mean([o.interval[0] <= truth <= o.interval[1] for o in found])
    assert 0.85 <= held <= 0.95


def test_few_test_lines_widen_the_interval_of_points_that_lie_on_a_line_by_luck():
    few, many = (outlook(power_law(0.5), n, 500).interval for n in (20_000, 2_000_000))
    assert few[1] - few[0] > 5 * (many[1] - many[0])


@pytest.mark.parametrize(
    ("cer_by_lines", "more", "doubt"),
    [
        ({60: 0.2, 600: 0.1}, 100, "takes 3 numbers of lines at least, tried were 2"),
        ({60: 0.2, 200: 0.1, 600: 0.0}, 100, "no error left"),
        (power_law(0.5), 2001, "at most 1000 were tried"),
        # nothing was learnt
        ({60: 0.2, 200: 0.2, 600: 0.2}, 100, "3 points that scatter so allow between"),
        # it falls, but three such points could be anything
        ({60: 0.2, 200: 0.19, 600: 0.1}, 100, "3 points that scatter so allow between"),
    ],
)
def test_what_the_points_do_not_support_is_not_said(cer_by_lines, more, doubt):
    found = outlook(cer_by_lines, 10_000, more)
    assert doubt in found.doubt
    assert str(found) == f"what {more} more lines would bring cannot be told: {found.doubt}"
