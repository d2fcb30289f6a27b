import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.dataset.general_texts import NUMBER_PATTERNS, general_texts, within
from crnnkit.dataset.texts import (
    Lexicon,
    Pattern,
    mixture,
    phrase,
    random_string,
    recased,
    tells_way_up,
)
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.vocab import Vocab

ROOT = Path(__file__).parents[2]
WORDS = Lexicon.from_counts(["甲", "乙"], [1, 1])
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("template", "form"),
    [
        ("plain", r"plain"),
        ("GL-{year}-{month:02}-{n:03}-{A|B|C}", r"GL-(199\d|20[0-3]\d)-(0\d|1[0-2])-\d{3}-[ABC]"),
        ("{n}", r"\d{1,3}"),  # no width: as many digits as the number has
        ("{n:05}", r"\d{5}"),
        ("{day}/{hour:02}:{minute:02}:{second:02}", r"\d{1,2}/[0-2]\d:[0-5]\d:[0-5]\d"),
        ("{letter}{letter}", r"[A-Z]{2}"),
        ("{月|日|}", r"[月日]?"),  # an empty choice leaves the field out
        ("{word}号", r"[甲乙]号"),
    ],
)
@given(seed=SEEDS)
def test_pattern_fills_every_field(template: str, form: str, seed: int) -> None:
    pattern = Pattern(template, WORDS)
    text = pattern(np.random.default_rng(seed))
    assert re.fullmatch(form, text)
    assert set(text) <= set(pattern.alphabet) | {"甲", "乙"}


def test_pattern_reaches_both_ends_of_its_numbers() -> None:
    rng = np.random.default_rng(0)
    numbers = {Pattern("{n:01}")(rng) for _ in range(300)}
    months = {Pattern("{month}")(rng) for _ in range(500)}
    assert numbers == set("0123456789")
    assert months == {str(month) for month in range(1, 13)}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{yaer}", r"unknown field \{yaer\}\. Did you mean \{year\}\?"),
        ("{xyz}", r"unknown field \{xyz\}\. Known: year"),
        ("{n:3}", r"unknown field \{n:3\}"),  # a width is written 03
        ("{n", r"unpaired brace"),
        ("n}", r"unpaired brace"),
        ("{word}", r"\{word\} needs a lexicon"),
    ],
)
def test_faulty_pattern_is_refused_at_once(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Pattern(template)


def test_lexicon_reads_plain_words_counts_and_jieba_lines(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff阿莫西林\n布洛芬\t400\n头孢 100 n\nvitamin C 500\n\nB12\n", "utf-8")
    lexicon = Lexicon.load(path)
    assert lexicon.words == ("阿莫西林", "布洛芬", "头孢", "vitamin C", "B12")
    weights = np.diff(lexicon.cumulative, prepend=0.0)
    assert weights[1] / weights[0] == pytest.approx(20)  # the root of 400
    assert lexicon.cumulative[-1] == pytest.approx(1)


def test_lexicon_keeps_only_words_of_the_charset(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("甲乙\n乙丙\n", "utf-8")
    assert Lexicon.load(path, charset="甲乙").words == ("甲乙",)


def test_frequent_words_come_more_often() -> None:
    lexicon = Lexicon.from_counts(["rare", "often"], [1, 81])
    rng = np.random.default_rng(0)
    drawn = [lexicon(rng) for _ in range(2000)]
    assert drawn.count("often") / 2000 == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no lexicon: .*No such file"), ("\n \n", "no usable word among 2 lines")],
)
def test_useless_lexicon_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(DatasetError, match=message):
        Lexicon.load(path)


def test_random_string_draws_every_character_within_its_lengths() -> None:
    rng = np.random.default_rng(0)
    texts = [random_string("甲乙丙", (2, 4))(rng) for _ in range(300)]
    assert {len(text) for text in texts} == {2, 3, 4}
    assert set("".join(texts)) == set("甲乙丙")


def test_phrase_joins_words_with_the_separators() -> None:
    rng = np.random.default_rng(0)
    texts = {phrase(lambda _: "x", (1, 2), (", ",))(rng) for _ in range(50)}
    assert texts == {"x", "x, x"}


def test_recased_draws_all_four_cases() -> None:
    rng = np.random.default_rng(0)
    assert {recased(lambda _: "iPod")(rng) for _ in range(99)} == {"iPod", "IPOD", "Ipod", "ipod"}


def test_mixture_keeps_shares_and_never_returns_an_empty_text() -> None:
    rng = np.random.default_rng(0)
    source = mixture([(3.0, lambda _: "a"), (1.0, lambda _: "b"), (4.0, lambda _: " ")])
    texts = [source(rng) for _ in range(2000)]
    assert set(texts) == {"a", "b"}
    assert texts.count("a") / 2000 == pytest.approx(0.75, abs=0.04)


def test_general_texts_reach_every_character_of_their_charset() -> None:
    charset = Vocab.load(ROOT / "vocab/zh_en.txt").charset[:140] + "甲乙"
    english = Lexicon.from_counts(["total", "cash"], [1, 1])
    source = within(general_texts(charset, WORDS, english), charset, 24)
    rng = np.random.default_rng(0)
    texts = [source(rng) for _ in range(6000)]
    assert max(map(len, texts)) == 24
    assert set("".join(texts)) == set(charset)


def test_number_patterns_need_nothing_outside_the_vocabulary() -> None:
    vocab = Vocab.load(ROOT / "vocab/zh_en.txt")
    alphabet = "".join(Pattern(p, WORDS).alphabet for p in NUMBER_PATTERNS)
    assert vocab.missing(alphabet) == []


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("北京路", True),
        ("ABC", True),
        ("S08 6X9", False),  # 6X9 80S
        ("AB 88", False),  # two are too few
        ("田日中王", False),
        ("", False),
    ],
)
def test_some_texts_are_texts_upside_down_too(text, tells):
    assert tells_way_up(text) == tells
