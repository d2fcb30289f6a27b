"""Which texts a constraint lets out, against Python's own re, and what it refuses."""

import itertools
import re
import time

import pytest

from crnnkit.errors import ConfigError, VocabError
from crnnkit.model.constraints import Constraint, constraint_of, read_lexicon
from crnnkit.model.patterns import learn_pattern
from crnnkit.vocab import Vocab

VOCAB = Vocab("ab1-京 ")
TEXTS = ["".join(text) for n in range(5) for text in itertools.product(VOCAB.charset, repeat=n)]

PATTERNS = [
    "a",
    "",  # the empty text alone
    "a*",
    "(a|b1)*",  # a loop over a group
    "[^a]+",
    r"[^\d\s]{2}",
    r"\d{2,3}",
    r"\d{2,}",
    "a{0,2}b",
    "(ab?){2}",
    "(a?b?)*1",  # what repeats may be empty
    "(|a)b",
    "((a*)*)*b",  # nested loops
    r"\w+\s\w?",
    r"\W\D\S",
    r"[a\d]*?京",  # lazy: the same texts
    "(?:ab|a1|京){1,}",
    "[a-z1]{3}",  # the range reaches beyond the vocabulary
    "[一-龥]?.",
    "^a.$",  # anchors round everything say nothing
    "(a{0}b?){2,}",
    "(a?){3}b{2}",
    r"a\-1",
]


@pytest.mark.parametrize("regex", PATTERNS)
def test_a_pattern_accepts_what_re_matches(regex):
    constraint = Constraint.pattern(regex, VOCAB)
    expected = [text for text in TEXTS if re.fullmatch(regex, text)]
    assert [text for text in TEXTS if constraint.accepts(text)] == expected
    assert 0 < len(expected) < len(TEXTS)


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(?=a)b", "look-ahead and look-behind are not supported"),
        ("(?<!a)b", "negative look-ahead and look-behind"),
        (r"(a)\1", "a backreference is"),
        ("(a)?(?(1)b|1)", "a condition on a group"),
        ("(?>a)b", "an atomic group"),
        ("a++", "a possessive repeat"),
        (r"a\b", "an anchor"),
        ("a^b", "an anchor"),
        ("(?i)a", r"flags such as \(\?i\)"),
        ("(?i:a)", r"flags such as \(\?i:…\)"),
        ("(a", "no regular expression: missing .* at position 0"),
        ("a{3,1}", "min repeat greater than max repeat"),
        ("a{1,99999999999}", "repetition number is too large"),
    ],
)
def test_what_a_pattern_may_not_hold_is_named(regex, message):
    with pytest.raises(ConfigError, match=message) as error:
        Constraint.pattern(regex, VOCAB)
    assert str(error.value).startswith(f"pattern {regex!r}: ")


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("ax[yz1]", r"vocabulary lacks 'x' 'y' 'z'"),
        ("[A-Z]1", "no character of the vocabulary is in the class of A-Z"),
        (r"[^\d\D]", "no character of the vocabulary"),
    ],
)
def test_what_the_vocabulary_lacks_is_named(regex, message):
    with pytest.raises(VocabError, match=message):
        Constraint.pattern(regex, VOCAB)


def test_an_opposite_may_name_what_the_vocabulary_lacks():
    assert Constraint.pattern("[^xyz]", VOCAB).accepts("a")


@pytest.mark.parametrize(
    "regex",
    [
        "(a{999}){999}",
        "((((.{9}){9}){9}){9}){9}",
        "(a?){1000}",  # each copy may follow each
        "(a?){0,99999999}",
        "(" * 400 + "a" + ")" * 400,
    ],
)
def test_a_pattern_that_would_grow_without_end_is_refused_soon(regex):
    began = time.process_time()
    with pytest.raises(ConfigError, match="more than 100,000|nested too deeply"):
        Constraint.pattern(regex, VOCAB)
    assert time.process_time() - began < 5


def test_what_explodes_in_a_deterministic_automaton_stays_small():
    assert Constraint.pattern("(a|b)*a(a|b){200}", VOCAB).automaton.size < 1000
    assert Constraint.pattern("(){999999999}", VOCAB).accepts("")  # nothing, however often


def test_a_lexicon_accepts_its_texts_once_normalised():
    constraint = Constraint.lexicon(["ab", " a\u00a01 ", "ab"], VOCAB)
    assert [text for text in TEXTS if constraint.accepts(text)] == ["ab", "a 1"]


def test_a_lexicon_names_every_text_with_missing_characters():
    with pytest.raises(VocabError, match="2 of 3 texts .*: 'xa': 'x'; 'b沪y': '沪' 'y'. Take"):
        Constraint.lexicon(["xa", "ab", "b沪y"], VOCAB)


@pytest.mark.parametrize("texts", [[], ["ab", " "]])
def test_a_lexicon_without_text_is_refused(texts):
    with pytest.raises(ConfigError, match="lexicon: no texts, or an empty one"):
        Constraint.lexicon(texts, VOCAB)


def test_characters_accept_any_text_of_theirs():
    constraint = Constraint.characters("a1", VOCAB)
    assert [t for t in TEXTS if constraint.accepts(t)] == [t for t in TEXTS if set(t) <= set("a1")]


def test_characters_that_the_vocabulary_lacks_are_named():
    with pytest.raises(VocabError, match="lacks 'x' '沪'"):
        Constraint.characters("xa沪", VOCAB)
    with pytest.raises(ConfigError, match="none given"):
        Constraint.characters("", VOCAB)


def test_one_setting_makes_a_constraint_and_several_are_refused():
    assert constraint_of(VOCAB) is None
    assert constraint_of(VOCAB, pattern="a+").accepts("aa")
    assert constraint_of(VOCAB, lexicon=["ab", ""]).accepts("ab")
    assert constraint_of(VOCAB, chars="ab").accepts("ba")
    with pytest.raises(ConfigError, match="pattern and chars are given"):
        constraint_of(VOCAB, pattern="a", chars="a")
    with pytest.raises(ConfigError, match="no texts"):
        constraint_of(VOCAB, lexicon=[])  # an empty file must not lift the constraint


def test_a_lexicon_file_holds_one_text_a_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffab\r\n京 1\n".encode())
    assert read_lexicon(path) == ["ab", "京 1"]
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"words\.txt: no lexicon: .*Give a UTF-8 file"):
        read_lexicon(path)
    with pytest.raises(ConfigError, match="gone"):
        read_lexicon(tmp_path / "gone")


@pytest.mark.parametrize(
    ("texts", "max_unseen", "pattern"),
    [
        (["京A12", "沪B99"], 0, "[京沪][A-Z][0-9][0-9]"),
        (["A-1", "B-2", "x.1"], 1, r"[A-Z]\-[0-9]|[a-z]\.[0-9]"),  # other signs are themselves
        (["A1", "B22"], 0, "[A-Z]+[0-9]+"),  # two shapes, each once: too rare
        (["A1", "1A"], 0, "[0-9A-Z][0-9A-Z]"),  # runs do not help, merging kinds does
        (["A1", "1A", "AA1"], 0, "[0-9A-Z]+"),
    ],
)
def test_a_pattern_is_learnt_from_texts(texts, max_unseen, pattern):
    assert learn_pattern(texts, max_unseen) == pattern
    assert all(re.fullmatch(pattern, text) for text in texts)


def test_no_pattern_is_learnt_from_nothing():
    with pytest.raises(ConfigError, match="no texts"):
        learn_pattern([])
