"""The numbers of a report in words: the tables that Markdown and HTML share."""

from collections.abc import Mapping
from dataclasses import dataclass

from crnnkit.dataset.faults import count_of
from crnnkit.evaluation.confidence import (
    PRECISIONS,
    acceptance_at,
    acceptance_curve,
    calibration_error,
    reliability,
)
from crnnkit.evaluation.report import EvaluationReport
from crnnkit.metrics import CharacterScore, Score


@dataclass(frozen=True)
class Table:
    """Cells in words; the first column names, the others are numbers."""

    title: str
    hint: str
    """What the numbers are."""
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...] = ()
    """Length of a bar for each row, 0 to 1; empty for a table without bars."""


def main_table(after: EvaluationReport, before: EvaluationReport | None) -> Table:
    """The numbers of which each recogniser has one."""
    numbers = _numbers(after)
    if before is None:
        return Table("Numbers", "", ("", after.model_name), tuple(numbers.items()))
    then = _numbers(before)
    rows = tuple((name, then.get(name, "–"), value) for name, value in numbers.items())
    head = ("", f"before: {before.model_name}", f"after: {after.model_name}")
    return Table("Numbers", "", head, rows)


def _numbers(report: EvaluationReport) -> dict[str, str]:
    score, by_text = report.score, report.by_text
    numbers = {
        "Character error rate": f"{score.cer:.2%} {_interval(report.cer_interval, 2)}",
        "Lines exactly right": f"{_exact(score)} {_interval(report.exact_interval, 1)}",
    }
    if by_text.num_texts < score.num_lines:
        texts = f"each of {by_text.num_texts} texts once"
        numbers[f"Character error rate, {texts}"] = f"{by_text.cer:.2%}"
        numbers[f"Lines exactly right, {texts}"] = f"{by_text.exact_match:.1%}"
    numbers |= {f"Key field: {name}": share(f.accuracy) for name, f in report.fields.items()}
    numbers["Doubled characters right"] = _recall(report.repeats)
    numbers["Expected calibration error"] = f"{calibration_error(reliability(report.lines)):.1%}"
    numbers["ms per line, one by one"] = f"{report.timing.ms_per_line:.1f}"
    numbers["ms per line, in batches"] = f"{report.timing.ms_per_line_in_batches:.1f}"
    return numbers


def slice_tables(report: EvaluationReport) -> list[Table]:
    """Where a recogniser is good and where it is not; tables without rows are left out."""
    tables = [
        _folded_table(report),
        _score_table("Texts of training", "texts", report.score_by_seen),
        _score_table("By length", "characters", report.score_by_length),
        _score_table("By line width", "pixels at the input", report.score_by_width),
        _frequency_table(report.recall_by_frequency),
    ]
    return [table for table in tables if table.rows]


def _folded_table(report: EvaluationReport) -> Table:
    rows = [(how, f"{s.cer:.2%}", f"{s.exact_match:.1%}") for how, s in report.folded.items()]
    plain = ("nothing", f"{report.score.cer:.2%}", f"{report.score.exact_match:.1%}")
    hint = "What changes if a difference is not counted. The plain numbers are those that count."
    return Table("Folded", hint, ("not told apart", "CER", "exactly right"), (plain, *rows))


def _score_table(title: str, kind: str, scores: Mapping[str, Score]) -> Table:
    highest = max((score.cer for score in scores.values()), default=0)
    return Table(
        title=title,
        hint="Character error rate and lines exactly right.",
        head=(kind, "CER", "exactly right", "lines"),
        rows=tuple(
            (name, f"{score.cer:.2%}", f"{score.exact_match:.1%}", f"{score.num_lines}")
            for name, score in scores.items()
        ),
        shares=tuple(score.cer / highest if highest else 0.0 for score in scores.values()),
    )


def _frequency_table(scores: Mapping[str, CharacterScore]) -> Table:
    wrong = {name: 1 - (score.recall or 0.0) for name, score in scores.items()}
    highest = max(wrong.values(), default=0)
    return Table(
        title="By character frequency",
        hint="Characters that were not read, by how often the training texts hold them.",
        head=("times in training", "not read", "characters"),
        rows=tuple(
            (name, f"{wrong[name]:.2%}", f"{score.num_characters}")
            for name, score in scores.items()
        ),
        shares=tuple(part / highest if highest else 0.0 for part in wrong.values()),
    )


def acceptance_table(report: EvaluationReport) -> Table:
    """How many lines may pass unread, and how many errors pass with them."""
    curve = acceptance_curve(report.lines)
    rows = []
    for precision in PRECISIONS:
        point = acceptance_at(curve, precision)
        goal = f"{100 * precision:g}%"
        if point is None:
            rows.append((goal, "not reachable", "–", "–", "–"))
        else:
            accepted = f"{point.num_accepted} ({point.num_accepted / len(report.lines):.0%})"
            low, high = point.precision_interval
            reached = f"{point.precision:.1%} ({low:.1%} – {high:.1%})"
            threshold = f"{point.threshold:.6f}"
            rows.append((goal, threshold, accepted, f"{point.num_errors}", reached))
    return Table(
        title="Accept without a look",
        hint="If all lines from a confidence on are taken as read. The thresholds were chosen on "
        "these lines: expect slightly more errors on others.",
        head=("right among accepted", "confidence ≥", "lines accepted", "errors", "measured"),
        rows=tuple(rows),
    )


def _interval(interval: tuple[float, float], digits: int) -> str:
    low, high = interval
    return f"({low:.{digits}%} – {high:.{digits}%})"


def _exact(score: Score) -> str:
    return f"{score.exact_match:.1%}, {score.num_exact} of {score.num_lines}"


def share(value: float | None) -> str:
    """`97.5%`."""
    return "none in the data" if value is None else f"{value:.1%}"


def _recall(score: CharacterScore) -> str:
    of = f", {score.num_right} of {score.num_characters}" if score.num_characters else ""
    return f"{share(score.recall)}{of}"


def about(report: EvaluationReport) -> str:
    """What was read, in a line."""
    lines = count_of(report.score.num_lines, "line")
    characters = count_of(report.score.num_characters, "character")
    return f"{lines}, {characters} · data {report.data_sha256[:12]}"
