"""Before against after: what changed, how much of it may be chance."""

import pytest

from crnnkit.errors import DatasetError
from crnnkit.evaluation.comparison import compare


def test_a_comparison_counts_lines_that_changed(evaluate_texts):
    texts = ["AAAA", "BBBB", "CCCC", "DDDD", "EEEE"]
    # wrong: 2, 1, 0, 0, 3 characters before; 0, 2, 1, 0, 1 after
    before = evaluate_texts(texts, ["AA", "BBB", "CCCC", "DDDD", "E"])
    after = evaluate_texts(texts, ["AAAA", "BB", "CCC", "DDDD", "EEE"])
    result = compare(before, after)
    assert (result.num_better, result.num_worse) == (2, 2)
    assert (result.num_mended, result.num_broken) == (1, 1)
    assert result.cer_change == pytest.approx((4 - 6) / 20)
    assert result.exact_change == 0


def test_getting_worse_is_said_aloud(evaluate_texts):
    texts = [f"LINE {i:02}" for i in range(30)]
    good, bad = evaluate_texts(texts, texts), evaluate_texts(texts, [t[:-1] for t in texts])
    worse, better = compare(good, bad), compare(bad, good)
    # every line changes alike, so no draw of lines gives another change
    cer = "CER +14.29 points (95% interval +14.29 to +14.29, p = 0.0005)"
    assert str(worse).startswith(f"WORSE after than before: {cer}; exact match -100.0 points")
    assert str(better).startswith("better after than before: CER -14.29 points")
    assert "exact match +100.0 points (p = 0.0005); 30 lines mended, 0 broken" in str(better)


def test_a_change_has_an_interval_over_pairs_of_readings(evaluate_texts):
    # each line has 9 of 10 characters wrong before and 8 after, but for 20 that stay as they were
    texts = [f"{i:010}" for i in range(100)]
    before = evaluate_texts(texts, [t[:1] for t in texts])
    after = evaluate_texts(texts, [t[: 1 if i < 20 else 2] for i, t in enumerate(texts)])
    low, high = compare(before, after).cer_change_interval
    # σ of the mean of 100 changes of 0 or -0.1: 0.1 √(0.2 · 0.8 / 100) = 0.004
    assert low == pytest.approx(-0.08 - 1.96 * 0.004, abs=0.002)
    assert high == pytest.approx(-0.08 + 1.96 * 0.004, abs=0.002)


def test_exact_matches_are_tested_by_themselves(evaluate_texts):
    # 12 lines mended at the price of 12 edits more in one line: CER the same, exact matches not
    texts = [f"LINE {i:02}" for i in range(12)] + ["A" * 30]
    before = evaluate_texts(texts, [t[:-1] for t in texts[:12]] + ["A" * 29])
    after = evaluate_texts(texts, [*texts[:12], "A" * 17])
    result = compare(before, after)
    assert result.cer_change == 0
    assert result.p_value == 1
    assert result.exact_p_value < 0.01  # McNemar: 2 · 0.5¹² = 0.0005
    assert str(result).startswith("CER the same after as before; exact match +92.3 points (p = 0.0")


def test_a_change_on_a_single_line_may_be_chance(evaluate_texts):
    result = compare(
        evaluate_texts(["AB", "CD"], ["A", "CD"]), evaluate_texts(["AB", "CD"], ["AB", "CD"])
    )
    assert "which may be chance" in str(result)


def test_reports_about_different_lines_are_not_compared(evaluate_texts):
    before = evaluate_texts(["AB"], ["AB"], name="base.onnx")
    after = evaluate_texts(["CD"], ["CD"], name="best.onnx")
    with pytest.raises(DatasetError, match=r"base\.onnx and best\.onnx .* different lines"):
        compare(before, after)
