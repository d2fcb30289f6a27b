"""Metrics: hand-counted cases, the limits, and the laws of an edit distance."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.errors import ConfigError, DatasetError
from crnnkit.metrics import (
    CharacterScore,
    FieldScore,
    Score,
    TextScore,
    confusions,
    field_accuracy,
    fold,
    recall_by_frequency,
    repeat_recall,
    score,
    score_by_text,
)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "num_edits", "cer"),
    [
        ("abc", "abc", 0, 0.0),  # equal
        ("abc", "abd", 1, 1 / 3),  # substitution
        ("abc", "ac", 1, 1 / 3),  # deletion
        ("abc", "abbc", 1, 1 / 3),  # insertion
        ("ab", "ba", 2, 1.0),  # a swap is two edits: Levenshtein, not Damerau
        ("abc", "", 3, 1.0),  # nothing read
        ("a", "bcd", 3, 3.0),  # an error rate may exceed 1
        ("", "ab", 2, math.inf),  # read where nothing is printed
        ("", "", 0, 0.0),  # nothing printed, nothing read
        ("北京市", "北市", 1, 1 / 3),  # characters, not bytes
        ("𠮷a", "吉a", 1, 1 / 2),  # a character beyond 16 bits is one
        ("aA", "AA", 1, 1 / 2),  # case counts
        ("a b", "ab", 1, 1 / 3),  # a space counts
        ("１", "1", 1, 1.0),  # width counts
    ],
)
def test_cer_of_one_line(reference: str, hypothesis: str, num_edits: int, cer: float) -> None:
    result = score([reference], [hypothesis])
    assert result.num_edits == num_edits
    assert result.cer == pytest.approx(cer)
    assert result.exact_match == (reference == hypothesis)


def test_cer_is_a_corpus_average() -> None:
    result = score(["a", "bbbb bbbb"], ["x", "bbbb bbbb"])
    assert result == Score(num_lines=2, num_exact=1, num_characters=10, num_edits=1)
    assert result.cer == pytest.approx(0.1)  # the mean over lines would be 0.5
    assert result.exact_match == 0.5


@pytest.mark.parametrize("function", [score, score_by_text])
def test_nothing_is_not_judged(function) -> None:
    with pytest.raises(DatasetError, match="no lines to compare. Check"):
        function([], [])


@pytest.mark.parametrize("function", [score, score_by_text, confusions, repeat_recall])
def test_lists_of_different_length_are_refused(function) -> None:
    with pytest.raises(ValueError, match="shorter"):
        function(["a", "b"], ["a"])


WORDS = st.text("ab北 ", max_size=8)


@given(WORDS, WORDS, WORDS)
def test_edits_are_a_metric(a: str, b: str, c: str) -> None:
    def edits(x: str, y: str) -> int:
        return score([x], [y]).num_edits

    assert edits(a, b) == edits(b, a)
    assert (edits(a, b) == 0) == (a == b)
    assert edits(a, c) <= edits(a, b) + edits(b, c)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
def test_score_does_not_depend_on_the_order(pairs: list[tuple[str, str]]) -> None:
    shuffled = random.Random(0).sample(pairs, len(pairs))
    assert score(*zip(*pairs, strict=True)) == score(*zip(*shuffled, strict=True))


def test_each_text_counts_once_however_many_lines_repeat_it() -> None:
    # 北京市 three times, one of them with a wrong character; AB once, wholly wrong
    result = score_by_text(["北京市"] * 3 + ["AB"], ["北京市", "北京市", "北市", ""])
    assert result.num_texts == 2
    assert result.cer == pytest.approx((1 / 3 + 2) / 5)  # over all lines it is 3 / 11
    assert result.exact_match == pytest.approx((2 / 3 + 0) / 2)  # over all lines 2 / 4


def test_without_repeated_texts_counting_by_text_changes_nothing() -> None:
    references, hypotheses = ["ab", "cde", "北"], ["ab", "cd", ""]
    plain, by_text = score(references, hypotheses), score_by_text(references, hypotheses)
    assert by_text == TextScore(3, pytest.approx(plain.cer), pytest.approx(plain.exact_match))


@pytest.mark.parametrize(
    ("text", "how", "folded"),
    [
        ("a b\u00a0c\u3000d\te", "space", "abcde"),  # other engines give other spaces
        ("a b", "case", "A B"),  # case alone leaves spaces
        ("ｉ１，（￥", "width", "i1,(¥"),  # full width
        ("ｱ\u3000", "width", "ア "),  # half width too, and the wide space
        ("①㎏ﬁ", "width", "①㎏ﬁ"),  # other compatibility forms are other characters
        ("OI0l", "O=0,I=1", "010l"),
        ("01", "0=1,1=0", "10"),  # all at once, not one after the other
        ("皖·A1", "·=", "皖A1"),  # left out
        ("GL-2o24 Io", "space+case+O=0,I=1", "GL-2024" + "10"),  # in this order
        ("o", "O=0+case", "O"),  # and not in that
        ("", "space+case+width", ""),
    ],
)
def test_fold(text: str, how: str, folded: str) -> None:
    assert fold(text, how) == folded


@given(st.text(), st.sampled_from(["space", "case", "width", "space+case+O=0,I=1"]))
def test_fold_twice_is_fold_once(text: str, how: str) -> None:
    assert fold(fold(text, how), how) == fold(text, how)


@pytest.mark.parametrize("how", ["spaces", "", "space+", "O", "AB=C", "O=0,I"])
def test_a_fold_that_is_none_is_refused(how: str) -> None:
    with pytest.raises(ConfigError, match="neither space, case, width nor replacements"):
        fold("text", how)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a8c", "aBc", {("8", "B"): 1}),  # substitution
        ("a8c", "ac", {("8", ""): 1}),  # deletion
        ("ac", "aBc", {("", "B"): 1}),  # insertion
        ("88", "BB", {("8", "B"): 2}),  # counted
        ("ab", "ab", {}),  # nothing wrong
        ("", "ab", {("", "a"): 1, ("", "b"): 1}),  # all invented
        ("xabc", "abcB", {("x", ""): 1, ("", "B"): 1}),  # positions shift in between
    ],
)
def test_confusions(reference: str, hypothesis: str, expected: dict[tuple[str, str], int]) -> None:
    assert confusions([reference], [hypothesis]) == Counter(expected)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_confusions_add_up_to_the_edits(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = zip(*pairs, strict=True)
    counts = confusions(references, hypotheses)
    assert counts.total() == score(references, hypotheses).num_edits
    assert all(printed != read for printed, read in counts)


@pytest.mark.parametrize(
    ("train_text", "band"),
    [
        ("b", (0, 0)),  # never shown
        ("a", (1, 9)),
        ("a" * 9, (1, 9)),
        ("a" * 10, (10, 99)),
        ("a" * 99, (10, 99)),
        ("a" * 1000, (1000, 10**9)),
    ],
)
def test_characters_fall_into_bands_of_their_frequency_in_training(train_text, band) -> None:
    assert recall_by_frequency(["a"], ["a"], [train_text]) == {band: CharacterScore(1, 1)}


def test_recall_counts_the_printed_characters_that_were_read() -> None:
    # a, twice in training: one read, one left out; 北, never: exchanged; an extra x counts nowhere
    result = recall_by_frequency(["a北a"], ["a京x"], ["aa"])
    assert result == {(0, 0): CharacterScore(1, 0), (1, 9): CharacterScore(2, 1)}
    assert result[1, 9].recall == 0.5


@pytest.mark.parametrize(
    ("reference", "hypothesis", "num_repeats", "num_right"),
    [
        ("0870011", "0870011", 2, 2),
        ("0870011", "087011", 2, 1),  # one 0 for two
        ("0870011", "08701", 2, 0),
        ("000", "000", 2, 2),  # each that equals the one before it
        ("000", "00", 2, 1),
        ("00", "80", 1, 0),  # the first is wrong: no repeat was read
        ("0808", "08", 0, 0),  # equal, but not neighbours
        ("", "00", 0, 0),
    ],
)
def test_doubled_characters(reference, hypothesis, num_repeats, num_right) -> None:
    result = repeat_recall([reference], [hypothesis])
    assert result == CharacterScore(num_repeats, num_right)
    assert result.recall == (num_right / num_repeats if num_repeats else None)


DATE = r"\d{4}-\d{2}-\d{2}"


@pytest.mark.parametrize(
    ("reference", "hypothesis", "num_exact", "num_fields"),
    [
        ("on 2024-03-01", "on 2024-03-01", 1, 1),  # right
        ("on 2024-03-01", "0n 2024-03-01", 1, 1),  # a fault outside the field does not matter
        ("on 2024-03-01", "on 2024-03-07", 0, 1),  # wrong field
        ("on 2024-03-01", "on 2024-03-0l", 0, 1),  # no longer a field
        ("no date", "on 2024-03-01", 0, 0),  # an invented field is none of the references
        ("2024-03-01 2024-03-01", "2024-03-01", 1, 2),  # each needs its own
        ("2024-03-01 2025-01-01", "2025-01-01 2024-03-01", 2, 2),  # order does not matter
    ],
)
def test_field_accuracy(reference: str, hypothesis: str, num_exact: int, num_fields: int) -> None:
    result = field_accuracy([reference], [hypothesis], {"date": DATE})
    assert result == {"date": FieldScore(num_fields, num_exact)}


def test_every_pattern_sees_every_line() -> None:
    result = field_accuracy(
        ["2024-03-01", "￥12"], ["2024-03-01", "￥13"], {"date": DATE, "amount": r"￥\d+"}
    )
    assert result == {"date": FieldScore(1, 1), "amount": FieldScore(1, 0)}
    assert result["amount"].accuracy == 0.0


def test_field_that_does_not_occur_has_no_accuracy() -> None:
    assert field_accuracy(["a"], ["a"], {"date": DATE})["date"].accuracy is None


def test_empty_matches_are_no_fields() -> None:
    assert field_accuracy(["a1"], ["a2"], {"number": r"\d*"})["number"] == FieldScore(1, 0)


def test_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"key field 'date': '\(' is no regular expression: .*\."):
        field_accuracy(["a"], ["a"], {"date": "("})
