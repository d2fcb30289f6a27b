"""How right a reading is: character error rate, exact match, confusions, key fields."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
        raise DatasetError("score: no lines to compare. Check that the split is not empty.")
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


def fold(text: str) -> str:
    """Forget what many domains do not tell apart: case, spaces, O and 0, I and 1."""
    return "".join(text.upper().split()).replace("O", "0").replace("I", "1")


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
