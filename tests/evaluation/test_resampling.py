"""Intervals and p-values, against what is known of them."""

import math

import pytest

from crnnkit.evaluation.resampling import (
    cer_interval,
    change_p_value,
    rate_interval,
    share_interval,
    wilson_interval,
)


def texts_of(number, length=10):
    return [f"{i:0{length}}" for i in range(number)]


def test_an_interval_holds_the_cer_and_narrows_with_more_lines():
    widths = []
    for number in (50, 5000):
        edits = [i % 5 == 0 for i in range(number)]  # CER 2 %
        low, high = cer_interval(texts_of(number), edits)
        assert low < 0.02 < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.3)  # √100


def test_an_interval_has_the_width_of_the_normal_approximation():
    # 400 lines of 10 characters, a quarter with one edit: σ of the mean = √(p(1-p)/n) / 10
    low, high = rate_interval(texts_of(400), [i % 4 == 0 for i in range(400)], [10] * 400)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.25 * 0.75 / 400) / 10, rel=0.1)


def test_a_rate_has_the_interval_of_its_own_denominators():
    # a quarter of 400 lines right: σ = √(p(1-p)/n)
    low, high = rate_interval(texts_of(400), [i % 4 == 0 for i in range(400)], [1] * 400)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.25 * 0.75 / 400), rel=0.1)
    narrow = rate_interval(texts_of(400), [i % 4 == 0 for i in range(400)], [1] * 400, 0.5)
    assert narrow[1] - narrow[0] == pytest.approx(0.344 * (high - low), rel=0.15)  # 0.674 / 1.96


def test_a_perfect_reading_may_be_luck():
    low, high = share_interval(texts_of(20), [1] * 20, [1] * 20)
    assert (low, high) == (pytest.approx(0.8389, abs=1e-4), 1)  # n / (n + z²)
    low, high = cer_interval(texts_of(20), [0] * 20)  # 200 characters: about the rule of three
    assert (low, high) == (0, pytest.approx(3 / 200, rel=0.3))


def test_a_text_that_repeats_is_one_draw_of_a_share():
    share = share_interval(["SAME"] * 100, [1] * 70 + [0] * 30, [1] * 100)
    assert share == wilson_interval(0.7, 1)
    assert share[1] - share[0] > 0.8


def test_a_cer_above_one_has_an_interval():
    assert cer_interval(["AB"], [6]) == (pytest.approx(0.342, abs=1e-3), 3)


def test_the_share_of_unequal_texts_has_the_wider_interval():
    # a text of 100 lines among 50 others: resampling knows that it decides
    texts = [*["SAME"] * 100, *texts_of(50)]
    hits = [1] * 100 + [0] * 50
    assert share_interval(texts, hits, [1] * 150) == rate_interval(texts, hits, [1] * 150)


def test_repeated_texts_do_not_narrow_an_interval():
    texts, edits = texts_of(30), [i % 3 == 0 for i in range(30)]
    once = cer_interval(texts, edits)
    assert cer_interval(texts * 20, edits * 20) == once


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([0, 0, 0], 1),  # nothing changed
        ([-1], 1),  # turned round, it is as large
        ([-1, 1], 1),  # a gain and a loss: no sum is smaller than 0
        ([-1, -1, -1, -1], 2 / 16),  # all of one sign: one of 2⁴, on either side
        ([3, 2, 1], 2 / 8),  # sums ±6, ±4, ±2, 0, 0: two are as large as 6
        ([-4, 1, 1], 1),  # |sums| 2, 4, 4, 6, twice each: none is below 2
        ([-4, -1, 1], 6 / 8),  # the same sums: two are below 4
    ],
)
def test_a_p_value_counts_the_sign_changes_that_change_as_much(changes, expected):
    assert change_p_value(texts_of(len(changes)), changes) == pytest.approx(expected, abs=0.03)


def test_lines_of_one_text_count_as_one():
    assert change_p_value(["SAME"] * 40, [-1] * 40) == 1.0
    assert change_p_value(texts_of(40), [-1] * 40) < 0.001


def test_equal_data_give_equal_numbers():
    edits = [i % 7 for i in range(50)]
    assert cer_interval(texts_of(50), edits) == cer_interval(texts_of(50), edits)
