"""An evaluation as files: report.json, report.md, and report.html, one page with its pictures."""

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jinja2
from PIL import Image
from rapidfuzz.distance import Levenshtein

import crnnkit
from crnnkit.dataset.faults import count_of
from crnnkit.evaluation.comparison import Comparison, compare
from crnnkit.evaluation.confidence import (
    GO_LIVE_PRECISION,
    PRECISIONS,
    acceptance_at,
    acceptance_curve,
    calibration_error,
    confidence_figure,
    reliability,
)
from crnnkit.evaluation.report import EvaluationReport, LineResult
from crnnkit.evaluation.suspects import Suspect
from crnnkit.evaluation.tables import Table, about, acceptance_table, main_table, slice_tables
from crnnkit.evaluation.verdict import Verdict, verdict
from crnnkit.files import write_text
from crnnkit.finetuning.history import EpochResult
from crnnkit.metrics import CharacterScore, Score
from crnnkit.plots.canvas import Plot, visible
from crnnkit.plots.charts import plot_history
from crnnkit.preprocessing.images import read_image

FORMAT_VERSION = 2
"""Of report.json. 2: folds by name, scores by text and by slice, confidences."""
NUM_LINES_SHOWN = 24
"""Worst lines, and labels to check, on the page; report.json and suspects.tsv hold all."""
NUM_CHANGES_SHOWN = 8
NUM_CONFUSIONS_SHOWN = 10
NUM_EXAMPLES_SHOWN = 3
"""Pictures per confusion."""
MAX_CROP_HW = (64, 900)
"""Larger line pictures are scaled down to this on the page, pixels."""


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report."""

    json: Path
    markdown: Path
    html: Path
    suspects: Path | None
    """All labels to check; None where none were given."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a text, right or wrong; an empty wrong one is where something is missing."""

    text: str
    is_wrong: bool


def write_report(
    folder: str | Path,
    after: EvaluationReport,
    before: EvaluationReport | None = None,
    history: Sequence[EpochResult] = (),
    decision: Verdict | None = None,
    suspects: Sequence[Suspect] = (),
    kept_epoch: int | None = None,
) -> ReportFiles:
    """Write report.json, .md, .html and, if any, suspects.tsv; each appears whole or not at all.

    Args:
        after: the recogniser that is judged.
        before: another one on the same lines, e.g. the base checkpoint.
        history: epochs of the training that led from before to after.
        decision: the verdict; by default that of `verdict(after)`.
        suspects: labels to check, as `rank_suspects` orders them.
        kept_epoch: the one of the history whose weights are judged, marked on the curve. None:
            not known.

    Raises:
        DatasetError: if the two reports are about different lines.
    """
    decision = decision or verdict(after)
    comparison = compare(before, after) if before else None
    folder = Path(folder)
    content = {
        "format_version": FORMAT_VERSION,
        "crnnkit": crnnkit.__version__,
        "verdict": asdict(decision),
        "after": _report_json(after, folder),
        "before": _report_json(before, folder) if before else None,
        "comparison": asdict(comparison) if comparison else None,
        "history": [asdict(epoch) for epoch in history],
        "kept_epoch": kept_epoch,
    }
    as_json = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    first = suspects[:NUM_LINES_SHOWN]
    as_markdown = _as_markdown(after, before, decision, comparison, first)
    as_html = _as_html(after, before, history, kept_epoch, decision, comparison, first)
    return ReportFiles(
        _write(folder / "report.json", as_json),
        _write(folder / "report.md", as_markdown),
        _write(folder / "report.html", as_html),
        _write(folder / "suspects.tsv", _suspects_tsv(suspects, folder)) if suspects else None,
    )


def mark_differences(reference: str, hypothesis: str) -> tuple[list[Piece], list[Piece]]:
    """Cut both texts where they begin or cease to differ.

    Returns:
        as many pieces of what is printed as of what was read, in step.
    """
    edits = Levenshtein.opcodes(reference, hypothesis)
    printed = [Piece(reference[e.src_start : e.src_end], e.tag != "equal") for e in edits]
    read = [Piece(hypothesis[e.dest_start : e.dest_end], e.tag != "equal") for e in edits]
    return printed, read


def _write(path: Path, content: str) -> Path:
    write_text(path, content)
    return path


def _suspects_tsv(suspects: Sequence[Suspect], folder: Path) -> str:
    """Picture, label, what is read, doubt: for a spreadsheet or a labelling tool."""
    rows = [
        (_relative(s.image, folder), s.label, s.reading, f"{s.doubt:.3f}", f"{s.label_loss:.3f}")
        for s in suspects
    ]
    head = ("picture", "label", "read", "doubt", "loss")
    return "".join("\t".join(row) + "\n" for row in (head, *rows))


# ---------------------------------------------------------------- JSON


def _report_json(report: EvaluationReport, folder: Path) -> dict[str, object]:
    return {
        "model": report.model_name,
        "data_sha256": report.data_sha256,
        **_score_json(report.score),
        "cer_interval": report.cer_interval,
        "exact_interval": report.exact_interval,
        "by_text": asdict(report.by_text),
        "folded": _scores_json(report.folded),
        "fields": {
            name: asdict(field) | {"accuracy": field.accuracy}
            for name, field in report.fields.items()
        },
        "by_length": _scores_json(report.score_by_length),
        "by_width": _scores_json(report.score_by_width),
        "by_seen": _scores_json(report.score_by_seen),
        "by_frequency": {n: _recall_json(s) for n, s in report.recall_by_frequency.items()},
        "repeats": _recall_json(report.repeats),
        "confusions": [[printed, read, n] for (printed, read), n in report.confusions.items()],
        "missing_characters": report.missing_characters,
        "confidence": _confidence_json(report.lines),
        "timing": asdict(report.timing),
        "lines": [asdict(line) | {"image": _relative(line.image, folder)} for line in report.lines],
    }


def _score_json(score: Score) -> dict[str, float]:
    return asdict(score) | {"cer": score.cer, "exact_match": score.exact_match}


def _scores_json(scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    return {name: _score_json(score) for name, score in scores.items()}


def _recall_json(score: CharacterScore) -> dict[str, float | None]:
    return asdict(score) | {"recall": score.recall}


def _confidence_json(lines: Sequence[LineResult]) -> dict[str, object]:
    bins, curve = reliability(lines), acceptance_curve(lines)
    points = {precision: acceptance_at(curve, precision) for precision in PRECISIONS}
    return {
        "calibration_error": calibration_error(bins),
        "reliability": [asdict(confidence_bin) for confidence_bin in bins],
        "accept_for_precision": {
            f"{precision:g}": point
            and asdict(point) | {"precision": point.precision, "interval": point.precision_interval}
            for precision, point in points.items()
        },
    }


def _relative(image: Path, folder: Path) -> str:
    """Path from the report's folder, so that report and data can move together."""
    try:
        return Path(os.path.relpath(image, folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return image.as_posix()


# ---------------------------------------------------------------- Markdown


def _as_markdown(
    after: EvaluationReport,
    before: EvaluationReport | None,
    decision: Verdict,
    comparison: Comparison | None,
    suspects: Sequence[Suspect],
) -> str:
    wrong_characters = [
        (visible(printed), visible(read), str(n))
        for (printed, read), n in list(after.confusions.items())[:NUM_CONFUSIONS_SHOWN]
    ]
    worst = [
        (line.image.name, line.reference, line.hypothesis, f"{line.confidence:.2f}")
        for line in after.worst_lines(NUM_LINES_SHOWN)
    ]
    to_check = [(s.image.name, s.label, s.reading, f"{s.doubt:.2f}") for s in suspects]
    main = main_table(after, before)
    parts = [
        f"# {after.model_name}: {decision}",
        f"{about(after)}. Intervals: 95%.",
        str(comparison) if comparison else "",
        _table(main.head, main.rows),
        *(_section(table) for table in (*slice_tables(after), acceptance_table(after))),
        "## Most frequent errors",
        _table(("printed", "read", "times"), wrong_characters),
        "## Worst lines",
        _table(("picture", "printed", "read", "confidence"), worst),
        "## Labels to check" if to_check else "",
        _table(("picture", "label", "read", "doubt"), to_check) if to_check else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _section(table: Table) -> str:
    return f"## {table.title}\n\n{table.hint}\n\n{_table(table.head, table.rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_escaped(c) for c in cells) + " |" for cells in lines)


def _escaped(cell: str) -> str:
    """A text that Markdown shows as it is."""
    if cell == "---":
        return cell
    return "".join("\\" + c if c in r"\`*_{}[]<>#|~$" else c for c in cell)


# ---------------------------------------------------------------- HTML


def _as_html(
    after: EvaluationReport,
    before: EvaluationReport | None,
    history: Sequence[EpochResult],
    kept_epoch: int | None,
    decision: Verdict,
    comparison: Comparison | None,
    suspects: Sequence[Suspect],
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "picture": _picture_uri, "count_of": count_of}
    environment.globals["differences"] = mark_differences
    return environment.get_template("report.html.jinja").render(
        after=after,
        before=before,
        decision=decision,
        comparison=comparison,
        about=about(after),
        numbers=main_table(after, before),
        slices=slice_tables(after),
        acceptance=acceptance_table(after),
        accepted=acceptance_at(acceptance_curve(after.lines), GO_LIVE_PRECISION),
        confidences=_figure_uri(confidence_figure(after.lines)),
        curve=_figure_uri(plot_history(history, kept_epoch)) if history else None,
        history=history,
        kept_epoch=kept_epoch,
        worst=after.worst_lines(NUM_LINES_SHOWN),
        surest=after.surest_errors(NUM_LINES_SHOWN // 3),
        changes=_changes(before, after) if before else {},
        confusions=[
            (printed, read, count, after.examples(printed, read, NUM_EXAMPLES_SHOWN))
            for (printed, read), count in list(after.confusions.items())[:NUM_CONFUSIONS_SHOWN]
        ],
        suspects=suspects,
        version=crnnkit.__version__,
    )


def _changes(
    before: EvaluationReport, after: EvaluationReport
) -> Mapping[str, list[tuple[LineResult, LineResult]]]:
    """Lines that fine-tuning broke, and lines that it mended; most wrong characters first."""
    pairs = sorted(
        zip(before.lines, after.lines, strict=True),
        key=lambda pair: -max(line.num_edits for line in pair),
    )
    broken = [pair for pair in pairs if pair[0].is_exact and not pair[1].is_exact]
    mended = [pair for pair in pairs if pair[1].is_exact and not pair[0].is_exact]
    return {"broken": broken[:NUM_CHANGES_SHOWN], "mended": mended[:NUM_CHANGES_SHOWN]}


def _figure_uri(figure: Plot) -> str:
    return _data_uri("image/svg+xml", figure.svg())


def _picture_uri(path: Path) -> str:
    """A line picture as a data URI of a few KB."""
    picture = Image.fromarray(read_image(path))
    picture.thumbnail((MAX_CROP_HW[1], MAX_CROP_HW[0]))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return _data_uri("image/jpeg", content.getvalue())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
