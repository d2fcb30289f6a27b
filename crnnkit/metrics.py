"""How right a reading is: character error rate, exact match, confusions, key fields."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

from rapidfuzz.distance import Levenshtein

from crnnkit.errors import ConfigError, DatasetError


@dataclass(frozen=True)
class Score:
    """Counts over a set of lines; rates are corpus (micro) averages, characters code points."""

    num_lines: int
    """At least 1: `score` refuses to judge nothing."""
    num_exact: int
    num_characters: int
    """Characters of the references."""
    num_edits: int
    """Insertions + deletions + substitutions from hypothesis to reference."""

    @property
    def cer(self) -> float:
        """Character error rate: edits ÷ reference characters. May exceed 1."""
        if self.num_characters == 0:
            return 0.0 if self.num_edits == 0 else float("inf")
        return self.num_edits / self.num_characters

    @property
    def exact_match(self) -> float:
        """Share of lines read without any error, 0 to 1."""
        return self.num_exact / self.num_lines


def score(references: Sequence[str], hypotheses: Sequence[str]) -> Score:
    """Compare readings with what is printed, line by line.

    Raises:
        DatasetError: if there are no lines; an empty set must not pass for a perfect one.
        ValueError: if the two sequences differ in length.
    """
    if not references and not hypotheses:
        raise _nothing_to_score()
    edits = [
        Levenshtein.distance(reference, hypothesis)
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    return Score(
        num_lines=len(edits),
        num_exact=edits.count(0),
        num_characters=sum(map(len, references)),
        num_edits=sum(edits),
    )


@dataclass(frozen=True)
class TextScore:
    """As `Score`, but every distinct text counts once, however many lines repeat it."""

    num_texts: int
    cer: float
    """Mean edits per line of each text, summed, ÷ characters of the distinct texts."""
    exact_match: float
    """Mean over texts of the share of its lines that were read without error, 0 to 1."""


def score_by_text(references: Sequence[str], hypotheses: Sequence[str]) -> TextScore:
    """Compare as `score` does, each distinct text with the same weight; raises what it raises."""
    readings: dict[str, list[str]] = defaultdict(list)
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        readings[reference].append(hypothesis)
    scores = [score([text] * len(read), read) for text, read in readings.items()]
    if not scores:
        raise _nothing_to_score()
    return TextScore(
        num_texts=len(scores),
        cer=sum(s.num_edits / s.num_lines for s in scores) / max(1, sum(map(len, readings))),
        exact_match=sum(s.exact_match for s in scores) / len(scores),
    )


def _nothing_to_score() -> DatasetError:
    return DatasetError("score: no lines to compare. Check that the split is not empty.")


def shared_words(reference: str, hypothesis: str) -> int:
    """Words, between white space, that both texts have, each as often as in both."""
    return (Counter(reference.split()) & Counter(hypothesis.split())).total()


# ---------------------------------------------------------------- folds

FOLDS: dict[str, Callable[[str], str]] = {
    "space": lambda text: "".join(text.split()),
    "case": str.upper,
    "width": lambda text: "".join(map(_without_width, text)),
}
"""What a domain may not tell apart: any space, upper and lower case, full and half width."""


def fold(text: str, how: str) -> str:
    """Forget differences that do not matter in a domain; never instead of the plain number.

    Args:
        how: names of `FOLDS` and replacements of single characters, joined by '+' and applied
            in this order, e.g. `space`, `O=0,I=1`, `space+case+O=0`, `·=` (a dot left out).

    Raises:
        ConfigError: if a part is neither a name nor replacements.
    """
    for step in _fold_steps(how):
        text = step(text)
    return text


@lru_cache
def _fold_steps(how: str) -> list[Callable[[str], str]]:
    return [FOLDS.get(part) or _replacement(part) for part in how.split("+")]


def _replacement(part: str) -> Callable[[str], str]:
    pairs = [pair.partition("=") for pair in part.split(",")]
    if not all(len(old) == 1 and sign for old, sign, _ in pairs):
        raise ConfigError(
            f"fold {part!r}: neither {', '.join(FOLDS)} nor replacements of single characters "
            "such as O=0,I=1."
        )
    table = str.maketrans({old: new for old, _, new in pairs})
    return lambda text: text.translate(table)


def _without_width(character: str) -> str:
    """A full-width or half-width form's ordinary twin (Unicode: <wide>, <narrow>)."""
    has_twin = unicodedata.decomposition(character).startswith(("<wide>", "<narrow>"))
    return unicodedata.normalize("NFKC", character) if has_twin else character


# ---------------------------------------------------------------- characters


def confusions(references: Sequence[str], hypotheses: Sequence[str]) -> Counter[tuple[str, str]]:
    """Count (printed, read) pairs of wrong characters; '' stands for nothing.

    ('8', 'B') is a substitution, ('8', '') a deletion, ('', 'B') an insertion.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        for edit in Levenshtein.editops(reference, hypothesis):
            printed = "" if edit.tag == "insert" else reference[edit.src_pos]
            read = "" if edit.tag == "delete" else hypothesis[edit.dest_pos]
            counts[printed, read] += 1
    return counts


@dataclass(frozen=True)
class CharacterScore:
    """How many characters of a kind were read right."""

    num_characters: int
    """Of that kind in the references."""
    num_right: int

    @property
    def recall(self) -> float | None:
        """Share read right, 0 to 1; None where the references hold none of the kind."""
        return self.num_right / self.num_characters if self.num_characters else None


FREQUENCY_BANDS = ((0, 0), (1, 9), (10, 99), (100, 999), (1000, 10**9))
"""Ranges of a character's occurrences in the training texts, both ends included."""


def recall_by_frequency(
    references: Sequence[str], hypotheses: Sequence[str], train_texts: Iterable[str]
) -> dict[tuple[int, int], CharacterScore]:
    """How well characters are read that training showed never, seldom, often.

    Returns:
        band of `FREQUENCY_BANDS` → characters of the references that fall into it.
    """
    occurrences = Counter(c for text in train_texts for c in text)
    printed: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        printed.update(reference)
        right.update(compress(reference, _read_right(reference, hypothesis)))
    scores = {}
    for band in FREQUENCY_BANDS:
        members = [c for c in printed if band[0] <= occurrences[c] <= band[1]]
        num_printed = sum(printed[c] for c in members)
        if num_printed:
            scores[band] = CharacterScore(num_printed, sum(right[c] for c in members))
    return scores


def repeat_recall(references: Sequence[str], hypotheses: Sequence[str]) -> CharacterScore:
    """How well characters are read that equal the one before: two in 0870011.

    CTC needs a blank between them (Graves et al. 2006, section 3.1), so they are the first to go.
    A repeat is right if the one before it is, too.
    """
    num_repeats = num_right = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        is_right = _read_right(reference, hypothesis)
        repeats = [i for i in range(1, len(reference)) if reference[i] == reference[i - 1]]
        num_repeats += len(repeats)
        num_right += sum(is_right[i - 1] and is_right[i] for i in repeats)
    return CharacterScore(num_repeats, num_right)


def _read_right(reference: str, hypothesis: str) -> list[bool]:
    """Which characters of the reference the alignment of fewest edits finds in the reading."""
    is_right = [False] * len(reference)
    for block in Levenshtein.opcodes(reference, hypothesis):
        if block.tag == "equal":
            is_right[block.src_start : block.src_end] = [True] * (block.src_end - block.src_start)
    return is_right


# ---------------------------------------------------------------- key fields


@dataclass(frozen=True)
class FieldScore:
    """How often a key field of the references was read without error."""

    num_fields: int
    num_exact: int

    @property
    def accuracy(self) -> float | None:
        """Share of fields read right, 0 to 1; None where the data hold no such field."""
        return self.num_exact / self.num_fields if self.num_fields else None


def field_accuracy(
    references: Sequence[str], hypotheses: Sequence[str], patterns: Mapping[str, str]
) -> dict[str, FieldScore]:
    """Score what each regular expression finds in the references.

    A field counts as right if the same pattern finds the same string in the reading;
    of several equal fields in a line, each needs its own. Empty matches are no fields.

    Args:
        patterns: field name → regular expression, e.g. `{"date": r"\\d{4}-\\d{2}-\\d{2}"}`.

    Raises:
        ConfigError: if a pattern is not a regular expression.
    """
    return {
        name: _score_field(_compiled(name, pattern), zip(references, hypotheses, strict=True))
        for name, pattern in patterns.items()
    }


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"key field {name!r}: {pattern!r} is no regular expression: {error}."
        ) from None


def _score_field(pattern: re.Pattern[str], pairs: Iterable[tuple[str, str]]) -> FieldScore:
    num_fields = num_exact = 0
    for reference, hypothesis in pairs:
        expected = _fields(pattern, reference)
        found = _fields(pattern, hypothesis)
        num_fields += expected.total()
        num_exact += (expected & found).total()
    return FieldScore(num_fields, num_exact)


def _fields(pattern: re.Pattern[str], text: str) -> Counter[str]:
    return Counter(match.group() for match in pattern.finditer(text) if match.group())
