"""Counts and slices of an evaluation, against numbers worked out by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from crnnkit.errors import ConfigError, DatasetError, ImageError
from crnnkit.evaluation import report
from crnnkit.evaluation.report import evaluate
from crnnkit.model.constraints import Constraint
from crnnkit.preprocessing.images import write_image

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
    assert result.folded["space+case+width"].num_edits == 5  # nothing of what is wrong here
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


def test_lines_are_grouped_by_their_width_at_the_networks_input(make_lines, table_recognizer):
    lines = make_lines(["A", "B", "C"])
    for line, (height, width) in zip(lines, [(32, 64), (64, 130), (16, 300)], strict=True):
        write_image(line.image, np.full((height, width), 255, np.uint8))
    # 64, 65 and 600 pixels once scaled to a height of 32
    result = evaluate(table_recognizer({"0": "A", "1": "", "2": "C"}), lines)
    assert [line.width for line in result.lines] == [64, 65, 600]
    exact = {label: (s.num_exact, s.num_lines) for label, s in result.score_by_width.items()}
    assert exact == {"1–64": (1, 1), "65–128": (0, 1), "513+": (1, 1)}


def test_texts_seen_in_training_and_others_are_reported_apart(evaluate_texts):
    texts, read = ["A1", "B2", "A1", "C3"], ["A1", "B", "A", "C3"]
    result = evaluate_texts(texts, read, train_texts=["A1", "A1", "X", "C3"])
    exact = {name: (s.num_exact, s.num_lines) for name, s in result.score_by_seen.items()}
    assert exact == {"seen in training": (2, 3), "unseen": (0, 1)}
    assert evaluate_texts(texts, read).score_by_seen == {}


def test_characters_are_grouped_by_their_frequency_in_training(evaluate_texts):
    # A ten times, B once, C never; one B is left out
    result = evaluate_texts(["ABC", "B"], ["AC", "B"], train_texts=["A" * 10 + "B"])
    right = {
        name: (s.num_right, s.num_characters) for name, s in result.recall_by_frequency.items()
    }
    assert right == {"0": (1, 1), "1–9": (1, 2), "10–99": (1, 1)}
    assert evaluate_texts(["ABC"], ["ABC"]).recall_by_frequency == {}


def test_doubled_characters_are_counted(evaluate_texts):
    repeats = evaluate_texts(["0870011", "AB"], ["087011", "AB"]).repeats
    assert (repeats.num_right, repeats.num_characters) == (1, 2)


def test_folds_stand_beside_the_plain_number_under_their_own_names(evaluate_texts):
    result = evaluate_texts(["A O", "b1", "，"], ["A0", "B1", ","], folds=["O=0", "space+O=0"])
    exact = {how: s.num_exact for how, s in result.folded.items()}
    assert exact == {
        **{"space": 0, "case": 1, "width": 1, "space+case+width": 2},
        **{"O=0": 0, "space+O=0": 1},
    }
    assert result.score.num_exact == 0


def test_a_fold_that_leaves_nothing_is_refused_before_the_lines_are_read(
    make_lines, table_recognizer
):
    recognizer, lines = table_recognizer({"0": "A", "1": "B"}), make_lines([".", ".."])
    with pytest.raises(ConfigError, match=r"fold '\.=': it leaves nothing of any line, as .*'\.'"):
        evaluate(recognizer, lines, folds=[".="])
    assert recognizer.calls == []
    lines[1] = replace(lines[1], text=".B")
    assert evaluate(recognizer, lines, folds=[".="]).folded[".="].cer == 1  # an A too many


def test_a_fold_that_is_none_is_refused_before_the_lines_are_read(make_lines, table_recognizer):
    recognizer = table_recognizer({"0": "A"})
    with pytest.raises(ConfigError, match="fold 'spase'"):
        evaluate(recognizer, make_lines(["A"]), folds=["spase"])
    assert recognizer.calls == []


def test_each_distinct_text_counts_once_in_a_number_of_its_own(evaluate_texts):
    result = evaluate_texts(["AB", "AB", "AB", "CD"], ["AB", "AB", "AB", "C"])
    assert result.score.exact_match == 3 / 4
    assert (result.by_text.num_texts, result.by_text.exact_match) == (2, 1 / 2)
    assert result.by_text.cer == 1 / 4


def test_both_rates_have_an_interval(evaluate_texts):
    texts = [f"N{i:03}" for i in range(100)]
    result = evaluate_texts(texts, ["X" + t[1:] if i % 4 == 0 else t for i, t in enumerate(texts)])
    assert result.cer_interval[0] < result.score.cer < result.cer_interval[1]
    low, high = result.exact_interval
    # σ of a share of 0.75 among 100 is 0.043
    assert low == pytest.approx(0.75 - 1.96 * 0.043, abs=0.02)
    assert high == pytest.approx(0.75 + 1.96 * 0.043, abs=0.02)


def test_examples_of_a_confusion_are_lines_that_hold_it(evaluate_texts):
    result = evaluate_texts(["10", "O0", "0", "A0", "0"], ["10", "OO", "O", "AO", ""])
    assert [line.reference for line in result.examples("0", "O", 2)] == ["O0", "0"]
    assert [line.image.name for line in result.examples("0", "", 9)] == ["4.png"]


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
