"""Characters and their ids: one character per id from 1 on, 0 is the CTC blank."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crnnkit.errors import VocabError
from crnnkit.files import write_text

BLANK_ID = 0

INVISIBLE_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that no picture can show: control, format (zero-width), line breaks."""

NORMALIZATION = "visible-1"
"""Name of the rules of `normalize_text`, kept in every checkpoint; other rules, other name."""


def normalize_text(text: str) -> str:
    """Bring a text into the one form that labels, vocabularies and metrics share.

    NFC; every Unicode space and tab becomes ' '; control and zero-width characters and
    byte-order marks are removed, the joiners of Persian and Indic scripts (U+200C, U+200D) among
    them, which such scripts would need; spaces at both ends are stripped.
    Full-width and half-width twins stay apart, and so do one space and two: a reader should copy
    what is printed. This is no setting: a label, a vocabulary and a metric of different settings
    would disagree unseen. Who wants widths or spaces folded folds what was read; metrics do.
    """
    kept = (
        " " if c == "\t" or unicodedata.category(c) == "Zs" else c
        for c in text
        if c == "\t" or unicodedata.category(c) not in INVISIBLE_CATEGORIES
    )
    # composed last: a removed zero-width character may have kept a letter from its accent
    return unicodedata.normalize("NFC", "".join(kept)).strip()


def _width_twins() -> dict[str, str]:
    twins: dict[str, str] = {}
    for code in range(0xFF01, 0xFFEF):  # the block Halfwidth and Fullwidth Forms
        form, _, original = unicodedata.decomposition(chr(code)).partition(" ")
        if form in ("<wide>", "<narrow>"):
            other = chr(int(original, 16))
            twins |= {chr(code): other, other: chr(code)}
    return twins


WIDTH_TWINS = _width_twins()
"""Character → the same one in its other width: 'Ａ' → 'A' and 'A' → 'Ａ', '。' → '｡'."""


def look_alikes(character: str) -> list[str]:
    """Characters drawn much like `character`, nearest first: other width, other case, both."""
    forms = [WIDTH_TWINS[character]] if character in WIDTH_TWINS else []
    forms += [form.swapcase() for form in (character, *forms)]
    # one letter's other case can be two letters: ß, SS
    return [form for form in dict.fromkeys(forms) if len(form) == 1 and form != character]


def is_normal(character: str) -> bool:
    """Whether a character may stand in a normalised text."""
    return character == " " or normalize_text(character) == character


@dataclass(frozen=True)
class Coverage:
    """How much of some texts a vocabulary can write."""

    num_lines: int
    num_lines_missing: int
    """Lines that it cannot write, for one character or more."""
    num_characters: int
    missing: dict[str, int]
    """Characters that the vocabulary lacks, with their number of occurrences."""
    unused: str
    """Characters of the vocabulary that no text uses."""

    @property
    def fraction(self) -> float:
        """Share of the texts' characters that can be written, 0 to 1."""
        if self.num_characters == 0:
            return 1.0
        return 1.0 - sum(self.missing.values()) / self.num_characters


@dataclass(frozen=True)
class Vocab:
    """An ordered set of characters; `charset[i]` has id `i + 1`, and `len(vocab)` counts the blank.

    Raises:
        VocabError: if there is no character, one occurs twice, or `normalize_text` would
            change one.
    """

    charset: str
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the characters and index them."""
        if not self.charset:
            raise VocabError("vocabulary: no characters. Build it from texts that have some.")
        duplicates = [c for c, n in Counter(self.charset).items() if n > 1]
        if duplicates:
            raise VocabError(
                f"vocabulary: characters listed twice: {_shown(duplicates)}. Keep one of each."
            )
        changed = [c for c in self.charset if not is_normal(c)]
        if changed:
            raise VocabError(
                f"vocabulary: characters that no normalised text contains: {_shown(changed)} "
                f"({' '.join(f'U+{ord(c):04X}' for c in changed[:20])}). "
                "Remove them or replace them by their normal form."
            )
        object.__setattr__(self, "_ids", {c: i for i, c in enumerate(self.charset, start=1)})

    def __len__(self) -> int:
        """Vocabulary size V, blank included."""
        return len(self.charset) + 1

    def __contains__(self, character: str) -> bool:
        """Whether the character has an id."""
        return character in self._ids

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Vocab":
        """The characters of some texts, in code point order so that equal data give equal ids."""
        return cls("".join(sorted({c for text in texts for c in normalize_text(text)})))

    @classmethod
    def merged(cls, vocabs: Iterable["Vocab"]) -> "Vocab":
        """The characters of several vocabularies; those of the first keep their ids."""
        return cls("".join(dict.fromkeys(c for vocab in vocabs for c in vocab.charset)))

    @classmethod
    def load(cls, path: str | Path) -> "Vocab":
        """Read a vocabulary file: one character per line, line 1 = id 1.

        Raises:
            VocabError: if the file is missing, not UTF-8, or a line does not hold one character.
        """
        try:
            return cls(read_characters(path))
        except VocabError as error:
            raise VocabError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write one character per line; the file appears whole or not at all."""
        write_text(path, "".join(c + "\n" for c in self.charset))

    def encode(self, text: str) -> list[int]:
        """Ids of a normalised text (L,).

        Raises:
            VocabError: naming every character that has no id.
        """
        missing = self.missing(text)
        if missing:
            raise VocabError(
                f"text {text!r} has characters that the vocabulary lacks: {_shown(missing)}. "
                "Correct the text or rebuild the vocabulary (03_vocab)."
            )
        return [self._ids[c] for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids without blanks; the inverse of `encode`.

        Raises:
            VocabError: if an id is the blank or lies outside the vocabulary.
        """
        wrong = [i for i in ids if not 1 <= i < len(self)]
        if wrong:
            raise VocabError(f"ids {wrong[:20]} lie outside 1…{len(self) - 1}")
        return "".join(self.charset[i - 1] for i in ids)

    def missing(self, text: str) -> list[str]:
        """Characters of `text` without an id, each once, in order of appearance."""
        return [c for c in dict.fromkeys(text) if c not in self._ids]

    def coverage(self, texts: Iterable[str]) -> Coverage:
        """Count what this vocabulary can and cannot write of `texts`, once normalised."""
        normal = [normalize_text(text) for text in texts]
        counts = Counter(c for text in normal for c in text)
        return Coverage(
            num_lines=len(normal),
            num_lines_missing=sum(bool(self.missing(text)) for text in normal),
            num_characters=counts.total(),
            missing={c: n for c, n in counts.most_common() if c not in self._ids},
            unused="".join(c for c in self.charset if c not in counts),
        )

    @property
    def sha256(self) -> str:
        """Hash of characters and order; two vocabularies of one hash give equal ids."""
        return hashlib.sha256(self.charset.encode("utf-8")).hexdigest()


def read_characters(path: str | Path) -> str:
    """Read a file of one character per line; what the characters are is not judged.

    Raises:
        VocabError: if the file is missing, not UTF-8, or a line does not hold one character.
    """
    path = Path(path)
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise VocabError(f"{path}: no such vocabulary file. Build one with 03_vocab.") from None
    except OSError as error:
        raise VocabError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise VocabError(f"{path}: not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    if not content:
        raise VocabError(f"{path}: the file is empty. Build a vocabulary with 03_vocab.")
    lines = [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]
    faults = [f"line {n}: {line!r}" for n, line in enumerate(lines, 1) if len(line) != 1]
    if faults:
        raise VocabError(
            f"{path}: each line must hold exactly one character, {len(faults)} do not: "
            f"{'; '.join(faults[:20])}. A space is a line holding one space."
        )
    return "".join(lines)


def _shown(characters: Sequence[str]) -> str:
    """Up to 20 characters, quoted, with the number of those left out."""
    more = f" and {len(characters) - 20} more" if len(characters) > 20 else ""
    return " ".join(repr(c) for c in characters[:20]) + more
