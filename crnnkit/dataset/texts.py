"""What rendered lines say: lexicons, patterns, random strings, and mixtures of them.

A text source is any function from a seeded generator to a string.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from crnnkit.errors import ConfigError, DatasetError
from crnnkit.vocab import normalize_text

TextSource = Callable[[np.random.Generator], str]

_FIELD_RANGES = {
    "year": (1990, 2040),
    "month": (1, 13),
    "day": (1, 29),
    "hour": (0, 24),
    "minute": (0, 60),
    "second": (0, 60),
}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIELDS = (*_FIELD_RANGES, "n", "letter", "word")
_FIELD = re.compile(r"\{([^{}]*)\}")

# Signs that are signs upside down too: themselves, or one another.
_TURNABLE = frozenset(
    " 012456789oOQHIilNSsXxZzMWmwunpdbqeay|-=+~.,:;·…'\"()[]{}<>/\\%#*_一二三十口日田中王工回"
)
_MIN_UPRIGHT = 3  # characters that tell which way is up


@dataclass(frozen=True)
class Lexicon:
    """Words and how often each is drawn."""

    words: tuple[str, ...]
    cumulative: np.ndarray
    """Cumulative probabilities, float64 (len(words),), ending in 1."""

    @classmethod
    def from_counts(cls, words: Sequence[str], counts: Sequence[float]) -> "Lexicon":
        """Draw words in proportion to the square root of their counts.

        The root flattens Zipf's law: otherwise a dozen words would make up half of the lines.
        """
        if not words:
            raise DatasetError("lexicon: it has no words. Give one word per line.")
        weights = np.sqrt(np.asarray(counts, np.float64))
        cumulative = np.cumsum(weights / weights.sum())
        return cls(tuple(words), cumulative)

    @classmethod
    def load(cls, path: str | Path, charset: str | None = None) -> "Lexicon":
        """Read `word`, `word<TAB>count` or jieba's `word count tag` lines.

        A blank after the word counts as a separator only where a number follows, so a lexicon may
        hold phrases. With `charset`, words that need any other character are left out.

        Raises:
            DatasetError: if the file cannot be read as UTF-8 or no word is left.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{path}: no lexicon: {error}. Give a UTF-8 file, one word per line."
            ) from None
        allowed = None if charset is None else frozenset(charset)
        words: list[str] = []
        counts: list[float] = []
        for line in lines:
            match = re.fullmatch(r"(.+?)[\t ]+(\d+)([\t ]+\S+)?", line.strip())
            word = normalize_text(match[1] if match else line)
            if word and (allowed is None or allowed.issuperset(word)):
                words.append(word)
                counts.append(max(1.0, float(match[2])) if match else 1.0)
        if not words:
            raise DatasetError(f"{path}: no usable word among {len(lines)} lines.")
        return cls.from_counts(words, counts)

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw one word."""
        index = bisect_right(self.cumulative, rng.random())
        return self.words[min(index, len(self.words) - 1)]


@dataclass(frozen=True)
class Pattern:
    """A number scheme such as `GL-{year}-{month:02}-{n:03}-{A|B|C}`.

    Fields: year (1990 to 2039), month, day, hour, minute, second, n (0 to 999, or as many digits as
    its width says), letter (A to Z), word (from the lexicon), and `{a|b|c}`, one of several.
    `:03` pads a number with zeros to three digits.

    Raises:
        ConfigError: if a field has another name or form.
    """

    template: str
    lexicon: Lexicon | None = None

    def __post_init__(self) -> None:
        """Refuse unknown fields before a thousand lines were rendered."""
        rest = _FIELD.sub("", self.template)
        if "{" in rest or "}" in rest:
            raise ConfigError(f"pattern {self.template!r}: unpaired brace. Close every '{{'.")
        for body in _FIELD.findall(self.template):
            name, _, width = body.partition(":")
            if "|" in body or (name in _FIELDS and re.fullmatch(r"(0\d+)?", width)):
                if name == "word" and self.lexicon is None:
                    raise ConfigError(f"pattern {self.template!r}: {{word}} needs a lexicon.")
                continue
            near = get_close_matches(name, _FIELDS, 1)
            hint = f"Did you mean {{{near[0]}}}?" if near else f"Known: {', '.join(_FIELDS)}."
            raise ConfigError(f"pattern {self.template!r}: unknown field {{{body}}}. {hint}")

    def __call__(self, rng: np.random.Generator) -> str:
        """Fill every field at random."""
        return _FIELD.sub(lambda match: self._fill(match[1], rng), self.template)

    @property
    def alphabet(self) -> str:
        """Every character that a text of this pattern may have, words aside; some may repeat."""
        characters = _FIELD.sub("", self.template)
        for body in _FIELD.findall(self.template):
            if "|" in body:
                characters += body.replace("|", "")
            elif body == "letter":
                characters += _LETTERS
            elif body != "word":
                characters += "0123456789"
        return characters

    def _fill(self, body: str, rng: np.random.Generator) -> str:
        if "|" in body:
            choices = body.split("|")
            return choices[rng.integers(len(choices))]
        name, _, width = body.partition(":")
        if name == "word":
            assert self.lexicon is not None, "checked on construction"
            return self.lexicon(rng)
        if name == "letter":
            return _LETTERS[rng.integers(26)]
        low, high = _FIELD_RANGES.get(name, (0, 10 ** int(width or 3)))
        return str(rng.integers(low, high)).zfill(int(width or 0))


def random_string(charset: str, lengths: tuple[int, int]) -> TextSource:
    """Characters drawn evenly: the only way rare ones occur often enough to be learnt."""

    def draw(rng: np.random.Generator) -> str:
        count = rng.integers(lengths[0], lengths[1] + 1)
        return "".join(charset[i] for i in rng.integers(len(charset), size=count))

    return draw


def phrase(
    words: TextSource, lengths: tuple[int, int], separators: Sequence[str] = ("",)
) -> TextSource:
    """Several words in a row, each pair joined by one of `separators`."""

    def draw(rng: np.random.Generator) -> str:
        text = words(rng)
        for _ in range(rng.integers(lengths[0], lengths[1] + 1) - 1):
            text += separators[int(rng.integers(len(separators)))] + words(rng)
        return text

    return draw


def recased(source: TextSource) -> TextSource:
    """The source's words as they are, in capitals, capitalised, or in small letters."""

    def draw(rng: np.random.Generator) -> str:
        text = source(rng)
        return (text, text.upper(), text.title(), text.lower())[rng.integers(4)]

    return draw


def mixture(sources: Sequence[tuple[float, TextSource]]) -> TextSource:
    """One of the sources, with probability in proportion to its weight; texts are normalised."""
    bounds = np.cumsum([weight for weight, _ in sources])

    def draw(rng: np.random.Generator) -> str:
        while True:
            index = bisect_right(bounds, rng.random() * bounds[-1])
            text = normalize_text(sources[min(index, len(sources) - 1)][1](rng))
            if text:
                return text

    return draw


def tells_way_up(text: str) -> bool:
    """Whether the text is no text when it stands upside down."""
    return sum(c not in _TURNABLE for c in text) >= _MIN_UPRIGHT
