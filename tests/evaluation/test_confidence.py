"""What a confidence is worth, on lines whose confidences and faults are known."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.evaluation.confidence import (
    Acceptance,
    ConfidenceBin,
    acceptance_at,
    acceptance_curve,
    acceptance_sentence,
    calibration_error,
    reliability,
)
from crnnkit.evaluation.report import LineResult


def lines_of(*confidences_and_rights, text=None):
    return [
        LineResult(Path(f"{i}.png"), text or f"T{i}", "", confidence, int(not is_right), 64)
        for i, (confidence, is_right) in enumerate(confidences_and_rights)
    ]


def test_lines_of_like_confidence_share_a_bin():
    bins = reliability(
        lines_of((0.91, True), (0.99, False), (1.0, True), (0.1, False), (0.19, True))
    )
    assert bins == (
        ConfidenceBin(2, pytest.approx(0.145), 0.5),
        ConfidenceBin(3, pytest.approx(2.9 / 3), pytest.approx(2 / 3)),  # 1 is no bin of its own
    )


@pytest.mark.parametrize(
    ("bins", "error"),
    [
        ([ConfidenceBin(10, 0.8, 0.8)], 0),
        ([ConfidenceBin(10, 0.9, 0.6)], 0.3),  # too sure
        ([ConfidenceBin(10, 0.6, 0.9)], 0.3),  # too modest
        ([ConfidenceBin(30, 0.5, 0.5), ConfidenceBin(10, 1.0, 0.8)], 0.05),  # weighted by lines
        ([ConfidenceBin(10, 0.6, 0.8), ConfidenceBin(10, 0.9, 0.7)], 0.2),  # gaps do not cancel
    ],
)
def test_the_calibration_error_is_the_mean_gap(bins, error):
    assert calibration_error(bins) == pytest.approx(error)


def test_the_curve_counts_what_passes_from_each_confidence_on():
    lines = lines_of((0.5, False), (0.9, True), (0.7, False), (0.7, True), (0.8, True))
    assert acceptance_curve(lines) == (
        Acceptance(0.9, 1, 0, 1),
        Acceptance(0.8, 2, 0, 2),
        Acceptance(0.7, 4, 1, 4),  # equal confidences pass together
        Acceptance(0.5, 5, 2, 5),
    )


def test_the_threshold_accepts_as_many_lines_as_the_precision_allows():
    curve = (
        Acceptance(0.9, 20, 0, 20),
        Acceptance(0.8, 40, 3, 40),  # 92.5 %
        Acceptance(0.7, 60, 3, 60),  # 95 % again
        Acceptance(0.6, 80, 8, 80),  # 90 %
    )
    assert acceptance_at(curve, 0.95) == curve[2]
    assert acceptance_at(curve, 0.9) == curve[3]
    assert acceptance_at(curve, 0.96) is None  # 20 lines without error prove no 96 %


@pytest.mark.parametrize(("num_lines", "is_enough"), [(99, False), (100, True)])
def test_99_percent_need_100_lines(num_lines, is_enough):
    point = acceptance_at((Acceptance(0.9, num_lines, 0, num_lines),), 0.99)
    assert (point is not None) is is_enough


@pytest.mark.parametrize(
    ("num_accepted", "num_errors", "num_texts", "interval"),
    [
        # Wilson's interval, from the quadratic (p - p̂)² = z² p (1 - p) / n
        (100, 0, 100, (0.9630, 1.0)),
        (100, 1, 100, (0.9455, 0.9982)),
        (200, 2, 100, (0.9455, 0.9982)),  # texts count, not lines
        (10, 5, 10, (0.2366, 0.7634)),
    ],
)
def test_a_precision_has_an_honest_interval(num_accepted, num_errors, num_texts, interval):
    point = Acceptance(0.9, num_accepted, num_errors, num_texts)
    assert point.precision == 1 - num_errors / num_accepted
    assert point.precision_interval == pytest.approx(interval, abs=1e-4)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            lines_of(*[(0.8, True)] * 150, (0.7, False), (0.6, False)),
            "99% precision: accept confidence ≥ 0.700000, 151 of 152 lines, 1 error among them "
            "(95% interval 96.3% – 99.9%)",
        ),
        (
            lines_of(*[(0.8, True)] * 99),
            "99% precision is not reachable on these lines: 100 are needed to tell, 99 are there",
        ),
        (
            lines_of(*[(0.9, False)] * 3, *[(0.8, True)] * 200),
            "99% precision is not reachable on these lines: "
            "no 100 surest lines or more hold so few errors",
        ),
    ],
)
def test_the_sentence_says_how_many_lines_and_errors_or_why_none(lines, sentence):
    assert acceptance_sentence(lines) == sentence


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_printed_threshold_accepts_exactly_the_lines_that_it_claims(confidences):
    for point in acceptance_curve(lines_of(*[(confidence, True) for confidence in confidences])):
        printed = float(f"{point.threshold:.6f}")
        assert sum(confidence >= printed for confidence in confidences) == point.num_accepted


def test_a_threshold_close_to_one_is_not_rounded_up():
    surest = [(0.99999951 + i * 1e-9, True) for i in range(150)]
    lines = lines_of(*surest, *[(0.999998, False)] * 20)
    assert "accept confidence ≥ 0.999999, 150 of 170 lines" in acceptance_sentence(lines)


def test_equal_texts_widen_the_interval():
    same = lines_of(*[(0.9, True)] * 300, text="SAME")
    assert "(95% interval 20.7% – 100.0%)" in acceptance_sentence(same)
