"""How well a recogniser reads labelled lines: counts, slices, intervals and times."""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from rapidfuzz.distance import Levenshtein

from crnnkit.dataset.index import Line
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.evaluation.resampling import cer_interval, share_interval
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
from crnnkit.model.constraints import Constraint
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import content_width
from crnnkit.serving.readings import LineReading
from crnnkit.serving.recognizer import Recognizer

FOLDS = ("space", "case", "width", "space+case+width")
"""Folds of `metrics.fold` that every report shows beside the plain numbers."""
LENGTH_BUCKETS = ((1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 10**9))
"""Ranges of reference lengths, characters, both ends included."""
WIDTH_BUCKETS = ((1, 64), (65, 128), (129, 256), (257, 512), (513, 10**9))
"""Ranges of line widths at the network's input, pixels, both ends included."""
NUM_TIMED_LINES = 50
"""Lines read one by one for the time of a single line."""


@dataclass(frozen=True)
class LineResult:
    """One line: what is printed and what was read."""

    image: Path
    reference: str
    hypothesis: str
    confidence: float
    """Of the whole line, 0 to 1, as `model.decode` defines it."""
    num_edits: int
    width: int
    """Of the line at the network's input without padding, pixels."""

    @property
    def is_exact(self) -> bool:
        """Whether every character is right."""
        return self.num_edits == 0


@dataclass(frozen=True)
class Timing:
    """How long reading takes, picture files included, after a warm-up that is not counted."""

    ms_per_line: float
    """Median of lines read one by one, milliseconds."""
    num_timed_lines: int
    ms_per_line_in_batches: float
    """All lines read together, divided by their number, milliseconds."""
    batch_size: int


@dataclass(frozen=True)
class EvaluationReport:
    """A recogniser measured on labelled lines."""

    model_name: str
    data_sha256: str
    """Of the lines' texts and picture files in their order, whatever the files' names."""
    score: Score
    by_text: TextScore
    """The same, each distinct text counted once."""
    folded: dict[str, Score]
    """Fold (`metrics.fold`) → score; the plain one above is what counts."""
    cer_interval: tuple[float, float]
    """95 % interval of the CER, over distinct texts."""
    exact_interval: tuple[float, float]
    """The same of the exact match."""
    fields: dict[str, FieldScore]
    """Key field → how often it was read right."""
    confusions: dict[tuple[str, str], int]
    """(printed, read) → occurrences, the most frequent first; '' is nothing."""
    score_by_length: dict[str, Score]
    """Range of reference lengths, e.g. '6–10' → score."""
    score_by_width: dict[str, Score]
    """Range of line widths at the network's input, pixels, e.g. '65–128' → score."""
    score_by_seen: dict[str, Score]
    """'seen in training', 'unseen' → score of lines of such texts; empty without training texts."""
    recall_by_frequency: dict[str, CharacterScore]
    """Range of a character's occurrences in the training texts → how many were read right."""
    repeats: CharacterScore
    """Characters that equal the one before, as two in 0870011."""
    missing_characters: dict[str, int]
    """Characters of the references that the vocabulary lacks → occurrences."""
    timing: Timing
    lines: tuple[LineResult, ...]
    """In the order of the data."""

    def worst_lines(self, number: int) -> list[LineResult]:
        """Wrong lines, most edits per printed character first."""
        wrong = [line for line in self.lines if not line.is_exact]
        wrong.sort(key=lambda line: -line.num_edits / max(1, len(line.reference)))
        return wrong[:number]

    def surest_errors(self, number: int) -> list[LineResult]:
        """Wrong lines, highest confidence first: wrong labels gather here."""
        wrong = [line for line in self.lines if not line.is_exact]
        return sorted(wrong, key=lambda line: -line.confidence)[:number]

    def examples(self, printed: str, read: str, number: int) -> list[LineResult]:
        """The first lines in which one character was read for another, as in `confusions`."""
        wrong = (line for line in self.lines if not line.is_exact)
        pair = (printed, read)
        has_it = (r for r in wrong if pair in confusions([r.reference], [r.hypothesis]))
        return list(islice(has_it, number))


def evaluate(
    recognizer: Recognizer,
    lines: Sequence[Line],
    *,
    key_fields: Mapping[str, str] | None = None,
    folds: Sequence[str] = (),
    train_texts: Collection[str] = (),
    batch_size: int = 32,
    constraint: Constraint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Read labelled lines and compare with what is printed.

    Args:
        key_fields: name → regular expression of what must be right, e.g. a date.
        folds: more folds than `FOLDS`, e.g. `O=0,I=1`.
        train_texts: what the recogniser was trained on; texts and characters seen there are
            then reported apart from unseen ones.
        batch_size: lines of equal width read at once.
        constraint: which texts may come out; None = all.
        progress: called with (lines read, lines in all).

    Raises:
        DatasetError: if there are no lines.
        ImageError: if a picture cannot be read; no line is left out.
        ConfigError: if a key field's pattern is no regular expression, or a fold is none or leaves
            nothing of any line.
    """
    if not lines:
        raise DatasetError("evaluate: no lines. Check that the index file is not empty.")
    for how in folds:  # refused before the lines are read, which takes long
        if not any(fold(line.text, how) for line in lines):
            example = f"{lines[0].image}: {lines[0].text!r}"
            raise ConfigError(f"fold {how!r}: it leaves nothing of any line, as {example}.")
    readings, timing = _read(recognizer, lines, batch_size, constraint, progress)
    results = _results(recognizer, lines, readings)
    printed, read = [line.text for line in lines], [reading.text for reading in readings]
    return EvaluationReport(
        model_name=recognizer.name,
        data_sha256=_data_sha256(lines),
        score=score(printed, read),
        by_text=score_by_text(printed, read),
        folded={how: _folded_score(printed, read, how) for how in (*FOLDS, *folds)},
        cer_interval=cer_interval(printed, [line.num_edits for line in results]),
        exact_interval=share_interval(printed, [r.is_exact for r in results], [1] * len(results)),
        fields=field_accuracy(printed, read, key_fields or {}),
        confusions=dict(confusions(printed, read).most_common()),
        score_by_length=_score_by_range(results, [len(text) for text in printed], LENGTH_BUCKETS),
        score_by_width=_score_by_range(results, [line.width for line in results], WIDTH_BUCKETS),
        score_by_seen=_score_by_seen(results, set(train_texts)),
        recall_by_frequency=_recall_by_frequency(printed, read, train_texts),
        repeats=repeat_recall(printed, read),
        missing_characters=recognizer.vocab.coverage(printed).missing,
        timing=timing,
        lines=results,
    )


def _read(
    recognizer: Recognizer,
    lines: Sequence[Line],
    batch_size: int,
    constraint: Constraint | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[LineReading], Timing]:
    """Read every line, in batches; then some again one by one, for the clock alone."""
    images = [line.image for line in lines]
    recognizer.read_lines(images[:batch_size], batch_size, constraint)
    readings: list[LineReading] = []
    seconds = 0.0
    chunk_size = 8 * batch_size  # several widths of line fill their batches
    for start in range(0, len(images), chunk_size):
        began = time.perf_counter()
        chunk = images[start : start + chunk_size]
        readings += recognizer.read_lines(chunk, batch_size, constraint)
        seconds += time.perf_counter() - began
        if progress is not None:
            progress(len(readings), len(images))
    single_ms = []
    for image in images[:: -(-len(images) // NUM_TIMED_LINES)]:
        began = time.perf_counter()
        recognizer.read_line(image, constraint)
        single_ms.append(1000 * (time.perf_counter() - began))
    in_batches = 1000 * seconds / len(images)
    return readings, Timing(median(single_ms), len(single_ms), in_batches, batch_size)


def _data_sha256(lines: Sequence[Line]) -> str:
    """Hash of what the lines say and show, in their order; file names do not matter."""
    digest = hashlib.sha256()
    for line in lines:
        for content in (line.text.encode(), line.image.read_bytes()):
            digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _results(
    recognizer: Recognizer, lines: Sequence[Line], readings: Sequence[LineReading]
) -> tuple[LineResult, ...]:
    return tuple(
        LineResult(
            image=line.image,
            reference=line.text,
            hypothesis=reading.text,
            confidence=reading.confidence,
            num_edits=Levenshtein.distance(line.text, reading.text),
            width=content_width(read_image(line.image).shape[:2], recognizer.line_config),
        )
        for line, reading in zip(lines, readings, strict=True)
    )


def _folded_score(printed: Sequence[str], read: Sequence[str], how: str) -> Score:
    return score([fold(text, how) for text in printed], [fold(text, how) for text in read])


def _score_of(results: Sequence[LineResult]) -> Score:
    return score([line.reference for line in results], [line.hypothesis for line in results])


def _score_by_range(
    results: Sequence[LineResult], values: Sequence[int], ranges: Sequence[tuple[int, int]]
) -> dict[str, Score]:
    """Scores of the lines whose value falls into each range; ranges without lines are left out."""
    scores = {}
    for low, high in ranges:
        members = [r for r, value in zip(results, values, strict=True) if low <= value <= high]
        if members:
            scores[_range_label(low, high)] = _score_of(members)
    return scores


def _score_by_seen(results: Sequence[LineResult], train_texts: Collection[str]) -> dict[str, Score]:
    if not train_texts:
        return {}
    seen = [line for line in results if line.reference in train_texts]
    unseen = [line for line in results if line.reference not in train_texts]
    parts = {"seen in training": seen, "unseen": unseen}
    return {name: _score_of(members) for name, members in parts.items() if members}


def _recall_by_frequency(
    printed: Sequence[str], read: Sequence[str], train_texts: Collection[str]
) -> dict[str, CharacterScore]:
    if not train_texts:
        return {}
    scores = recall_by_frequency(printed, read, train_texts)
    return {_range_label(*band): recalled for band, recalled in scores.items()}


def _range_label(low: int, high: int) -> str:
    """`6–10`, `31+`, `0`."""
    if low == high:
        return f"{low}"
    return f"{low}+" if high == 10**9 else f"{low}–{high}"
