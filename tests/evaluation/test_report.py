"""Counts, verdicts and comparisons of an evaluation, against numbers worked out by hand."""

from types import SimpleNamespace

import pytest

from crnnkit.errors import ConfigError, DatasetError, ImageError
from crnnkit.evaluation import report
from crnnkit.evaluation.report import compare, evaluate, verdict
from crnnkit.model.constraints import Constraint

DATE = r"\d{4}-\d\d-\d\d"


def test_a_report_counts_what_was_read(evaluate_texts):
    result = evaluate_texts(
        ["GL-2024", "AIO", "2024-03-01", "北京市"],
        # O for 0 | right | a day wrong | nothing
        ["GL-2O24", "AIO", "2024-03-07", ""],
        key_fields={"date": DATE},
    )
    assert result.model_name == "table.onnx"
    assert (result.score.num_lines, result.score.num_exact) == (4, 1)
    assert (result.score.num_edits, result.score.num_characters) == (1 + 0 + 1 + 3, 7 + 3 + 10 + 3)
    assert (result.folded_score.num_exact, result.folded_score.num_edits) == (2, 4)
    assert (result.fields["date"].num_fields, result.fields["date"].num_exact) == (1, 0)
    assert result.confusions == {
        ("0", "O"): 1,
        ("1", "7"): 1,
        ("北", ""): 1,
        ("京", ""): 1,
        ("市", ""): 1,
    }
    assert [line.num_edits for line in result.lines] == [1, 0, 1, 3]
    assert [line.is_exact for line in result.lines] == [False, True, False, False]
    assert [line.image.name for line in result.lines] == ["0.png", "1.png", "2.png", "3.png"]


def test_lines_are_grouped_by_the_length_of_what_is_printed(evaluate_texts):
    # lengths 5, 6, 10, 31: on both sides of the ranges' ends; the reading's length is no matter
    texts = ["A" * 5, "B" * 6, "C" * 10, "D" * 31]
    result = evaluate_texts(texts, ["A" * 9, *texts[1:]])
    lines = {label: score.num_lines for label, score in result.score_by_length.items()}
    assert lines == {"1–5": 1, "6–10": 2, "31+": 1}
    assert result.score_by_length["1–5"].cer == 4 / 5
    assert result.score_by_length["31+"].cer == 0


def test_characters_that_the_vocabulary_lacks_are_named(make_lines, table_recognizer):
    recognizer = table_recognizer({"0": "A", "1": "A"}, vocab="AB")
    result = evaluate(recognizer, make_lines(["京A京", "B"]))
    assert result.missing_characters == {"京": 2}


def test_every_line_is_read_in_order_and_progress_is_told(make_lines, table_recognizer):
    texts = [f"N{i}" for i in range(20)]
    recognizer = table_recognizer({str(i): text for i, text in enumerate(texts)})
    told = []
    result = evaluate(
        recognizer, make_lines(texts), batch_size=2, progress=lambda done, n: told.append((done, n))
    )
    assert [line.hypothesis for line in result.lines] == texts
    assert told == [(16, 20), (20, 20)]


def test_times_are_those_of_reading_without_the_warm_up(make_lines, table_recognizer, monkeypatch):
    # a clock that only reading moves: warm-up, then all three together, then one by one
    ticks = iter([5.0, 0.06, 0.1, 0.002, 0.004])
    now = [0.0]

    class Clocked(table_recognizer):
        def read_lines(self, sources, batch_size=32, constraint=None):
            now[0] += next(ticks)
            return super().read_lines(sources, batch_size, constraint)

    monkeypatch.setattr(report, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    recognizer = Clocked(dict.fromkeys("012", "A"))
    timing = evaluate(recognizer, make_lines(["A", "A", "A"]), batch_size=8).timing
    assert timing.ms_per_line_in_batches == pytest.approx(60 / 3)
    assert timing.ms_per_line == pytest.approx(4)  # the median of 100, 2 and 4
    assert (timing.num_timed_lines, timing.batch_size) == (3, 8)


def test_every_line_is_read_with_the_constraint(make_lines, table_recognizer):
    recognizer = table_recognizer({"0": "A"})
    constraint = Constraint.pattern("[AB]", recognizer.vocab)
    evaluate(recognizer, make_lines(["A"]), constraint=constraint)
    assert len(recognizer.constraints) == 3  # warm-up, in batches, one by one
    assert set(recognizer.constraints) == {constraint}


def test_of_many_lines_only_some_are_timed_one_by_one(make_lines, table_recognizer):
    recognizer = table_recognizer(dict.fromkeys(map(str, range(120)), "A"))
    timing = evaluate(recognizer, make_lines(["A"] * 120)).timing
    singles = [int(call[0]) for call in recognizer.calls if len(call) == 1]
    assert singles == list(range(0, 120, 3))  # spread over the data, at most 50
    assert timing.num_timed_lines == 40


def test_the_data_hash_follows_texts_and_pictures_but_not_file_names(make_lines, table_recognizer):
    recognizer = table_recognizer(dict.fromkeys("01", "A"))
    lines = make_lines(["A10", "B20"])
    digest = evaluate(recognizer, lines).data_sha256
    assert evaluate(recognizer, make_lines(["A10", "B20"], "elsewhere")).data_sha256 == digest
    assert evaluate(recognizer, lines[::-1]).data_sha256 != digest
    changed = lines[1].image.with_name("0.png")
    changed.write_bytes(lines[1].image.read_bytes())
    assert evaluate(recognizer, lines).data_sha256 != digest


def test_worst_lines_come_by_share_of_wrong_characters(evaluate_texts):
    # wrong: 3 of 10, none, 2 of 2, 2 of 4
    result = evaluate_texts(
        ["0123456789", "AB", "CD", "EFGH"], ["0123456", "AB", "", "EF"], confidences=[0.8] * 4
    )
    assert [line.reference for line in result.worst_lines(2)] == ["CD", "EFGH"]
    assert len(result.worst_lines(99)) == 3


def test_the_surest_errors_come_first_and_right_lines_never(evaluate_texts):
    result = evaluate_texts(
        ["A1", "A2", "A3", "A4"], ["A1", "B2", "B3", "B4"], confidences=[0.99, 0.5, 0.9, 0.7]
    )
    assert [line.reference for line in result.surest_errors(2)] == ["A3", "A4"]


def test_an_empty_set_is_no_perfect_score(table_recognizer):
    with pytest.raises(DatasetError, match="no lines"):
        evaluate(table_recognizer({}), [])


def test_a_picture_that_cannot_be_read_stops_the_evaluation(make_lines, table_recognizer):
    class Strict(table_recognizer):
        def read_lines(self, sources, batch_size=32, constraint=None):
            raise ImageError(f"{sources[0]}: no such picture")

    with pytest.raises(ImageError, match=r"0\.png: no such picture"):
        evaluate(Strict({}), make_lines(["A"]))


def test_a_key_field_that_is_no_pattern_is_refused(evaluate_texts):
    with pytest.raises(ConfigError, match="'date'"):
        evaluate_texts(["A"], ["A"], key_fields={"date": "("})


# ---------------------------------------------------------------- the verdict


@pytest.mark.parametrize(
    ("num_wrong", "is_ready", "reason"),
    [
        (4, True, "CER 4.00% < 5%"),
        (5, False, "CER 5.00% ≥ 5%"),  # the bar itself is not below the bar
        (7, False, "CER 7.00% ≥ 5%"),
    ],
)
def test_the_verdict_wants_cer_below_five_percent(evaluate_texts, num_wrong, is_ready, reason):
    # 100 characters, of which num_wrong are read wrong
    result = evaluate_texts(["0" * 100], ["1" * num_wrong + "0" * (100 - num_wrong)])
    decision = verdict(result)
    assert decision.is_ready is is_ready
    assert decision.reasons[0] == reason
    assert str(decision).startswith("ready: " if is_ready else "not ready: ")


def dated(evaluate_texts, num_wrong):
    """Score 20 dates in long lines, of which some have one digit wrong."""
    printed = [f"20240301X{'A' * 90}"] * 20
    read = [f"20240307X{'A' * 90}"] * num_wrong + printed[num_wrong:]
    return evaluate_texts(printed, read, key_fields={"date": r"\d{8}"})


def test_the_verdict_wants_key_fields_right_however_low_the_cer(evaluate_texts):
    assert verdict(dated(evaluate_texts, 1)).is_ready
    decision = verdict(dated(evaluate_texts, 2))
    assert not decision.is_ready
    assert decision.reasons == ("key field date 90.0% < 95%",)


def test_a_key_field_that_never_occurs_is_not_passed(evaluate_texts):
    decision = verdict(evaluate_texts(["AB"], ["AB"], key_fields={"date": DATE}))
    assert not decision.is_ready
    assert decision.reasons == ("key field date: no line holds one, so it cannot be judged",)


def test_bars_of_ones_own_are_taken(evaluate_texts):
    result = dated(evaluate_texts, 2)
    assert verdict(result, min_field_accuracy=0.9).is_ready
    assert not verdict(result, max_cer=0.0001, min_field_accuracy=0.9).is_ready


def test_a_verdict_without_key_fields_says_so(evaluate_texts):
    decision = verdict(evaluate_texts(["AB"], ["AB"]))
    assert str(decision) == "ready: CER 0.00% < 5%; no key fields were named"


# ---------------------------------------------------------------- before and after


def test_a_comparison_counts_lines_that_changed(evaluate_texts):
    texts = ["AAAA", "BBBB", "CCCC", "DDDD", "EEEE"]
    # wrong: 2, 1, 0, 0, 3 characters before; 0, 2, 1, 0, 1 after
    before = evaluate_texts(texts, ["AA", "BBB", "CCCC", "DDDD", "E"])
    after = evaluate_texts(texts, ["AAAA", "BB", "CCC", "DDDD", "EEE"])
    result = compare(before, after)
    assert (result.num_better, result.num_worse) == (2, 2)
    assert (result.num_mended, result.num_broken) == (1, 1)
    assert result.cer_change == pytest.approx((4 - 6) / 20)


def test_getting_worse_is_said_aloud(evaluate_texts):
    texts = [f"LINE {i:02}" for i in range(30)]
    good, bad = evaluate_texts(texts, texts), evaluate_texts(texts, [t[:-1] for t in texts])
    worse, better = compare(good, bad), compare(bad, good)
    assert str(worse).startswith("WORSE after than before: CER +14.29 points (p = 0.0005)")
    assert str(better).startswith("better after than before: CER -14.29 points")
    assert "30 lines mended, 0 broken" in str(better)


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
