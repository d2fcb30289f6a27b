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
from crnnkit.evaluation.report import (
    Comparison,
    EvaluationReport,
    LineResult,
    Verdict,
    compare,
    verdict,
)
from crnnkit.finetuning.history import EpochResult
from crnnkit.metrics import Score
from crnnkit.plots.charts import plot_history
from crnnkit.preprocessing.images import read_image

FORMAT_VERSION = 1
"""Of report.json."""
NUM_LINES_SHOWN = 24
"""Worst lines on the page; report.json holds all lines."""
NUM_CHANGES_SHOWN = 8
NUM_CONFUSIONS_SHOWN = 10
MAX_CROP_HW = (64, 900)
"""Larger line pictures are scaled down to this on the page, pixels."""


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report."""

    json: Path
    markdown: Path
    html: Path


@dataclass(frozen=True)
class Piece:
    """A stretch of a text, right or wrong; an empty wrong one is where something is missing."""

    text: str
    is_wrong: bool


@dataclass(frozen=True)
class Row:
    """A number of the report, in words."""

    name: str
    before: str
    after: str


def write_report(
    folder: str | Path,
    after: EvaluationReport,
    before: EvaluationReport | None = None,
    history: Sequence[EpochResult] = (),
    decision: Verdict | None = None,
) -> ReportFiles:
    """Write report.json, report.md and report.html; each appears whole or not at all.

    Args:
        after: the recogniser that is judged.
        before: another one on the same lines, e.g. the base checkpoint.
        history: epochs of the training that led from before to after.
        decision: the verdict; by default that of `verdict(after)`.

    Raises:
        DatasetError: if the two reports are about different lines.
    """
    decision = decision or verdict(after)
    comparison = compare(before, after) if before else None
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = ReportFiles(folder / "report.json", folder / "report.md", folder / "report.html")
    content = _as_json(folder, after, before, history, decision, comparison)
    _write(files.json, json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    _write(files.markdown, _as_markdown(after, before, decision, comparison))
    _write(files.html, _as_html(after, before, history, decision, comparison))
    return files


def mark_differences(reference: str, hypothesis: str) -> tuple[list[Piece], list[Piece]]:
    """Cut both texts where they begin or cease to differ.

    Returns:
        as many pieces of what is printed as of what was read, in step.
    """
    edits = Levenshtein.opcodes(reference, hypothesis)
    printed = [Piece(reference[e.src_start : e.src_end], e.tag != "equal") for e in edits]
    read = [Piece(hypothesis[e.dest_start : e.dest_end], e.tag != "equal") for e in edits]
    return printed, read


def _write(path: Path, content: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(content, encoding="utf-8", newline="\n")
    os.replace(partial, path)


def _rows(after: EvaluationReport, before: EvaluationReport | None) -> list[Row]:
    """The main numbers, before and after."""

    def numbers(report: EvaluationReport) -> dict[str, str]:
        low, high = report.cer_interval
        return {
            "Character error rate": f"{report.score.cer:.2%} ({low:.2%} – {high:.2%})",
            "Lines exactly right": _exact(report.score),
            "Character error rate, folded": f"{report.folded_score.cer:.2%}",
            "Lines exactly right, folded": _exact(report.folded_score),
            "ms per line, one by one": f"{report.timing.ms_per_line:.1f}",
            "ms per line, in batches": f"{report.timing.ms_per_line_in_batches:.1f}",
        } | {f"Key field: {name}": _share(f.accuracy) for name, f in report.fields.items()}

    then = numbers(before) if before else {}
    return [Row(name, then.get(name, "–"), value) for name, value in numbers(after).items()]


def _exact(score: Score) -> str:
    return f"{score.exact_match:.1%} ({score.num_exact} of {score.num_lines})"


def _share(value: float | None) -> str:
    return "none in the data" if value is None else f"{value:.1%}"


# ---------------------------------------------------------------- JSON


def _as_json(
    folder: Path,
    after: EvaluationReport,
    before: EvaluationReport | None,
    history: Sequence[EpochResult],
    decision: Verdict,
    comparison: Comparison | None,
) -> dict[str, object]:
    return {
        "format_version": FORMAT_VERSION,
        "crnnkit": crnnkit.__version__,
        "verdict": asdict(decision),
        "after": _report_json(after, folder),
        "before": _report_json(before, folder) if before else None,
        "comparison": asdict(comparison) if comparison else None,
        "history": [asdict(epoch) for epoch in history],
    }


def _report_json(report: EvaluationReport, folder: Path) -> dict[str, object]:
    return {
        "model": report.model_name,
        "data_sha256": report.data_sha256,
        **_score_json(report.score),
        "cer_interval": report.cer_interval,
        "folded": _score_json(report.folded_score),
        "fields": {
            name: asdict(field) | {"accuracy": field.accuracy}
            for name, field in report.fields.items()
        },
        "by_length": {name: _score_json(score) for name, score in report.score_by_length.items()},
        "confusions": [[printed, read, n] for (printed, read), n in report.confusions.items()],
        "missing_characters": report.missing_characters,
        "timing": asdict(report.timing),
        "lines": [asdict(line) | {"image": _relative(line.image, folder)} for line in report.lines],
    }


def _score_json(score: Score) -> dict[str, float]:
    return asdict(score) | {"cer": score.cer, "exact_match": score.exact_match}


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
) -> str:
    head = ["", before.model_name, after.model_name] if before else ["", after.model_name]
    numbers = [
        [r.name, r.before, r.after] if before else [r.name, r.after] for r in _rows(after, before)
    ]
    lengths = [
        [name, f"{score.cer:.2%}", str(score.num_lines)]
        for name, score in after.score_by_length.items()
    ]
    wrong_characters = [
        [_visible(printed), _visible(read), str(n)]
        for (printed, read), n in list(after.confusions.items())[:NUM_CONFUSIONS_SHOWN]
    ]
    worst = [
        [line.image.name, line.reference, line.hypothesis, f"{line.confidence:.2f}"]
        for line in after.worst_lines(NUM_LINES_SHOWN)
    ]
    parts = [
        f"# {after.model_name}: {decision}",
        f"{after.score.num_lines} lines, {after.score.num_characters} characters, "
        f"data {after.data_sha256[:12]}. Interval: 95%. "
        "Folded: case, spaces, O and 0, I and 1 not told apart.",
        str(comparison) if comparison else "",
        _table(head, numbers),
        "## By length",
        _table(["characters per line", "CER", "lines"], lengths),
        "## Most frequent errors",
        _table(["printed", "read", "times"], wrong_characters),
        "## Worst lines",
        _table(["picture", "printed", "read", "confidence"], worst),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


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


def _visible(text: str) -> str:
    """∅ for nothing, ␣ for a space."""
    return text.replace(" ", "␣") or "∅"


# ---------------------------------------------------------------- HTML


def _as_html(
    after: EvaluationReport,
    before: EvaluationReport | None,
    history: Sequence[EpochResult],
    decision: Verdict,
    comparison: Comparison | None,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": _visible, "picture": _picture_uri, "count_of": count_of}
    environment.globals["differences"] = mark_differences
    return environment.get_template("report.html.jinja").render(
        after=after,
        before=before,
        decision=decision,
        comparison=comparison,
        rows=_rows(after, before),
        curve=_data_uri("image/svg+xml", plot_history(history).svg()) if history else None,
        history=history,
        worst=after.worst_lines(NUM_LINES_SHOWN),
        surest=after.surest_errors(NUM_LINES_SHOWN // 3),
        changes=_changes(before, after) if before else {},
        confusions=list(after.confusions.items())[:NUM_CONFUSIONS_SHOWN],
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


def _picture_uri(path: Path) -> str:
    """A line picture as a data URI of a few KB."""
    picture = Image.fromarray(read_image(path))
    picture.thumbnail((MAX_CROP_HW[1], MAX_CROP_HW[0]))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return _data_uri("image/jpeg", content.getvalue())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
