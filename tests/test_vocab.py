"""Characters and ids: normalisation, the file, encoding, coverage."""

import hashlib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.errors import VocabError
from crnnkit.vocab import (
    BLANK_ID,
    WIDTH_TWINS,
    Coverage,
    Vocab,
    look_alikes,
    normalize_text,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", "abc"),  # nothing to do
        ("e\u0301", "é"),  # NFC: letter and accent become one
        ("e\u200b\u0301", "é"),  # composed after the zero-width space between them is gone
        ("\u212b", "Å"),  # the Ångström sign is canonically a letter
        ("a\u00a0b\u3000c\u2009d\te", "a b c d e"),  # NBSP, full-width, thin space, tab
        ("a  b", "a  b"),  # two spaces stay two: the picture may show them
        (" \u3000a\t", "a"),  # both ends stripped, of every space
        ("\ufeffa\u200b\u200db\u00ad", "ab"),  # BOM, zero-width, joiner, soft hyphen
        ("a\r\nb\u2028c\x00\x85", "abc"),  # line breaks and controls
        ("a\ud800b", "ab"),  # half of a surrogate pair cannot be written as UTF-8
        ("ＡＢ１２￥：", "ＡＢ１２￥："),  # full width is what is printed
        ("①㎏ﬁ", "①㎏ﬁ"),  # no compatibility folding either
        ("\ue000", "\ue000"),  # private use: old books live there
        ("𠮷", "𠮷"),  # beyond the 16-bit plane: one character
        ("\u200b \ufeff", ""),  # nothing remains
    ],
)
def test_normalize_text(text: str, expected: str) -> None:
    assert normalize_text(text) == expected


@given(st.text())
def test_normalized_text_is_a_fixed_point_and_visible(text: str) -> None:
    normal = normalize_text(text)
    assert normalize_text(normal) == normal
    assert unicodedata.is_normalized("NFC", normal)
    assert normal.encode("utf-8").decode("utf-8") == normal
    assert all(c == " " or not unicodedata.category(c).startswith(("Z", "Cc")) for c in normal)


@given(st.text(min_size=1).filter(normalize_text))
def test_decode_inverts_encode(text: str) -> None:
    text = normalize_text(text)
    vocab = Vocab.from_texts([text])
    ids = vocab.encode(text)
    assert BLANK_ID not in ids
    assert len(ids) == len(text)
    assert vocab.decode(ids) == text


def test_ids_follow_the_charset_from_1() -> None:
    vocab = Vocab("ba 北")
    assert vocab.encode("ab北 ") == [2, 1, 4, 3]
    assert len(vocab) == 5
    assert "北" in vocab
    assert "c" not in vocab


def test_vocab_of_texts_depends_on_their_characters_alone() -> None:
    assert Vocab.from_texts(["北 b", "a\u200b"]) == Vocab.from_texts(["ab", "北 a"])
    assert Vocab.from_texts(["北 b", "a"]).charset == " ab北"


@given(st.text(min_size=1).filter(normalize_text))
def test_saved_vocab_loads_as_it_was(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("vocab") / "deep/v.txt"
    vocab = Vocab.from_texts([text])
    vocab.save(path)
    assert Vocab.load(path) == vocab
    assert [p.name for p in path.parent.iterdir()] == ["v.txt"]


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        ("a\nb\n", "ab"),  # as written
        ("a\nb", "ab"),  # no line end at the end
        ("a\r\n \r\nb\r\n", "a b"),  # edited on Windows; the space survives
        ("\ufeffa\n", "a"),  # byte-order mark
        ("b\na\n", "ba"),  # the order is the file's
    ],
)
def test_load_accepts(tmp_path: Path, content: str, charset: str) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(content.encode())
    assert Vocab.load(path).charset == charset


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", r"v\.txt: the file is empty\. Build"),
        ("a\nbc\n\nd\n", r"v\.txt: .* 2 do not: line 2: 'bc'; line 3: ''\. A space"),
        ("a\nb\na\n", r"v\.txt: vocabulary: characters listed twice: 'a'\. Keep one"),
        ("a\n\u00a0\n", r"v\.txt: .*no normalised text contains: '\\xa0' \(U\+00A0\)\. Remove"),
        (
            "a\n\u212b\n",
            r"v\.txt: .*no normalised text contains: .* \(U\+212B\)",
        ),  # would become U+00C5
        (b"a\n\xb1\xb1\n", r"v\.txt: not UTF-8 \(byte 2\)\. Save it as UTF-8"),
    ],
)
def test_load_refuses(tmp_path: Path, content: str | bytes, expected: str) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(VocabError, match=expected):
        Vocab.load(path)


def test_load_of_nothing_or_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(VocabError, match=r"none\.txt: no such vocabulary file\. .*03_vocab"):
        Vocab.load(tmp_path / "none.txt")
    with pytest.raises(VocabError, match="cannot be read: Is a directory"):
        Vocab.load(tmp_path)


def test_load_shows_20_faults_and_counts_all(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("ab\n" * 30)
    with pytest.raises(VocabError, match="30 do not") as raised:
        Vocab.load(path)
    assert str(raised.value).count("'ab'") == 20


def test_empty_vocab_is_refused() -> None:
    with pytest.raises(VocabError, match="no characters"):
        Vocab.from_texts(["", "\u200b"])


def test_encode_names_all_missing_characters_once() -> None:
    vocab = Vocab("ab")
    with pytest.raises(VocabError, match=r"text 'axbyx' .* lacks: 'x' 'y'\. Correct .*03_vocab"):
        vocab.encode("axbyx")
    assert vocab.missing("axbyx") == ["x", "y"]
    assert vocab.missing("ab") == []


def test_encode_shows_20_missing_characters() -> None:
    with pytest.raises(VocabError, match="'t' and 6 more"):
        Vocab("0").encode("abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize("wrong", [BLANK_ID, 3, -1])  # the blank, past the end, from the end
def test_decode_refuses_ids_without_a_character(wrong: int) -> None:
    with pytest.raises(VocabError, match=rf"ids \[{wrong}\] lie outside 1…2"):
        Vocab("ab").decode([1, wrong, 2])


def test_coverage_counts_occurrences_and_lines() -> None:
    coverage = Vocab("abz ").coverage(["axx", "b\u00a0y", "ab"])  # NBSP counts as the space
    assert coverage == Coverage(
        num_lines=3,
        num_lines_missing=2,
        num_characters=8,
        missing={"x": 2, "y": 1},
        unused="z",
    )
    assert coverage.fraction == pytest.approx(5 / 8)


def test_coverage_of_nothing_is_whole() -> None:
    assert Vocab("ab").coverage([]).fraction == 1.0


def test_merged_vocabularies_keep_the_ids_of_the_first() -> None:
    assert Vocab.merged([Vocab("ba"), Vocab("acb"), Vocab("d")]) == Vocab("bacd")


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("A", ["Ａ", "a", "ａ"]),  # other width, other case, both
        ("ａ", ["a", "Ａ", "A"]),
        ("：", [":"]),
        ("￥", ["¥"]),
        ("。", ["｡"]),  # narrow forms are half-width, too
        ("É", ["é"]),
        ("ß", []),  # its capital form is two letters
        ("京", []),
        (" ", []),  # every space is one
    ],
)
def test_look_alikes(character: str, expected: list[str]) -> None:
    assert look_alikes(character) == expected


def test_width_twins_are_pairs() -> None:
    assert all(WIDTH_TWINS[twin] == c != twin for c, twin in WIDTH_TWINS.items())
    assert len(WIDTH_TWINS) > 2 * 94  # printable ASCII and more


def test_sha256_is_that_of_characters_in_order() -> None:
    assert Vocab("ab北").sha256 == hashlib.sha256("ab北".encode()).hexdigest()
    assert Vocab("ab").sha256 != Vocab("ba").sha256
