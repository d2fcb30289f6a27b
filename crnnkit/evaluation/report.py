"""How well a recogniser reads labelled lines: counts, intervals, times, and a verdict."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rapidfuzz.distance import Levenshtein

from crnnkit.dataset.faults import count_of
from crnnkit.dataset.index import Line
from crnnkit.errors import DatasetError
from crnnkit.evaluation.resampling import cer_interval, change_p_value
from crnnkit.metrics import FieldScore, Score, confusions, field_accuracy, fold, score
from crnnkit.model.constraints import Constraint
from crnnkit.serving.readings import LineReading
from crnnkit.serving.recognizer import Recognizer

MAX_CER = 0.05
MIN_FIELD_ACCURACY = 0.95
"""The bars of the verdict where none are given."""

FOLD = "case+space+O=0,I=1"
"""What many domains do not tell apart, for the folded figures; see `metrics.fold`."""
LENGTH_BUCKETS = ((1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 10**9))
"""Ranges of reference lengths, characters, both ends included."""
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
    folded_score: Score
    """Case, spaces, O and 0, I and 1 not told apart (`metrics.fold`)."""
    cer_interval: tuple[float, float]
    """95 % bootstrap interval of the CER."""
    fields: dict[str, FieldScore]
    """Key field → how often it was read right."""
    confusions: dict[tuple[str, str], int]
    """(printed, read) → occurrences, the most frequent first; '' is nothing."""
    score_by_length: dict[str, Score]
    """Range of reference lengths, e.g. '6–10' → score."""
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


@dataclass(frozen=True)
class Verdict:
    """Whether a recogniser may go live, and why."""

    is_ready: bool
    reasons: tuple[str, ...]
    """What it fails, or, where it is ready, what it passes."""

    def __str__(self) -> str:
        """E.g. `not ready: CER 7.20% ≥ 5%`."""
        return f"{'ready' if self.is_ready else 'not ready'}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class Comparison:
    """Two recognisers on the same lines."""

    cer_change: float
    """CER after - CER before; below 0 is better."""
    num_better: int
    """Lines with fewer edits than before."""
    num_worse: int
    num_mended: int
    """Lines wrong before and right after."""
    num_broken: int
    """Lines right before and wrong after."""
    p_value: float
    """Chance of a CER change at least as large if before and after were interchangeable."""

    def __str__(self) -> str:
        """The result in a sentence."""
        if self.cer_change == 0:
            change = "CER the same after as before"
        else:
            way = "better" if self.cer_change < 0 else "WORSE"
            doubt = "" if self.p_value < 0.05 else ", which may be chance"
            points = f"{100 * self.cer_change:+.2f} points"
            change = f"{way} after than before: CER {points} (p = {self.p_value:.4f}{doubt})"
        return f"{change}; {count_of(self.num_mended, 'line')} mended, {self.num_broken} broken"


def evaluate(
    recognizer: Recognizer,
    lines: Sequence[Line],
    *,
    key_fields: Mapping[str, str] | None = None,
    batch_size: int = 32,
    constraint: Constraint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Read labelled lines and compare with what is printed.

    Args:
        key_fields: name → regular expression of what must be right, e.g. a date.
        batch_size: lines of equal width read at once.
        constraint: which texts may come out; None = all.
        progress: called with (lines read, lines in all).

    Raises:
        DatasetError: if there are no lines.
        ImageError: if a picture cannot be read; no line is left out.
        ConfigError: if a key field's pattern is no regular expression.
    """
    if not lines:
        raise DatasetError("evaluate: no lines. Check that the index file is not empty.")
    readings, timing = _read(recognizer, lines, batch_size, constraint, progress)
    references = [line.text for line in lines]
    hypotheses = [reading.text for reading in readings]
    results = tuple(
        LineResult(
            line.image,
            line.text,
            reading.text,
            reading.confidence,
            Levenshtein.distance(line.text, reading.text),
        )
        for line, reading in zip(lines, readings, strict=True)
    )
    return EvaluationReport(
        model_name=recognizer.name,
        data_sha256=_data_sha256(lines),
        score=score(references, hypotheses),
        folded_score=score(
            [fold(t, FOLD) for t in references], [fold(t, FOLD) for t in hypotheses]
        ),
        cer_interval=cer_interval(references, [line.num_edits for line in results]),
        fields=field_accuracy(references, hypotheses, key_fields or {}),
        confusions=dict(confusions(references, hypotheses).most_common()),
        score_by_length=_score_by_length(references, hypotheses),
        missing_characters=recognizer.vocab.coverage(references).missing,
        timing=timing,
        lines=results,
    )


def verdict(
    report: EvaluationReport,
    max_cer: float = MAX_CER,
    min_field_accuracy: float = MIN_FIELD_ACCURACY,
) -> Verdict:
    """Judge whether a recogniser may go live: CER below `max_cer` and every key field right.

    A key field that no line holds cannot be judged, so it does not pass.
    """
    cer = report.score.cer
    passed = [f"CER {cer:.2%} < {100 * max_cer:g}%"] if cer < max_cer else []
    failed = [f"CER {cer:.2%} ≥ {100 * max_cer:g}%"] if not passed else []
    bar = f"{100 * min_field_accuracy:g}%"
    for name, field in report.fields.items():
        accuracy = field.accuracy
        if accuracy is None:
            failed.append(f"key field {name}: no line holds one, so it cannot be judged")
        elif accuracy < min_field_accuracy:
            failed.append(f"key field {name} {accuracy:.1%} < {bar}")
        else:
            passed.append(f"key field {name} {accuracy:.1%} ≥ {bar}")
    if not report.fields:
        passed.append("no key fields were named")
    return Verdict(not failed, tuple(failed or passed))


def compare(before: EvaluationReport, after: EvaluationReport) -> Comparison:
    """Compare two recognisers on the same lines, and tell a change from chance.

    Raises:
        DatasetError: if the reports are about different lines.
    """
    if before.data_sha256 != after.data_sha256:
        raise DatasetError(
            f"compare: {before.model_name} and {after.model_name} were measured on different "
            f"lines (data {before.data_sha256[:8]} and {after.data_sha256[:8]}). "
            "Evaluate both on the same index file."
        )
    pairs = [
        (then.num_edits, now.num_edits) for then, now in zip(before.lines, after.lines, strict=True)
    ]
    changes = [now - then for then, now in pairs]
    return Comparison(
        cer_change=after.score.cer - before.score.cer,
        num_better=sum(change < 0 for change in changes),
        num_worse=sum(change > 0 for change in changes),
        num_mended=sum(now == 0 < then for then, now in pairs),
        num_broken=sum(then == 0 < now for then, now in pairs),
        p_value=change_p_value([line.reference for line in after.lines], changes),
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


def _score_by_length(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, Score]:
    scores = {}
    for shortest, longest in LENGTH_BUCKETS:
        pairs = [
            (reference, hypothesis)
            for reference, hypothesis in zip(references, hypotheses, strict=True)
            if shortest <= len(reference) <= longest
        ]
        if pairs:
            is_last = (shortest, longest) == LENGTH_BUCKETS[-1]
            label = f"{shortest}+" if is_last else f"{shortest}–{longest}"
            scores[label] = score(*zip(*pairs, strict=True))
    return scores
