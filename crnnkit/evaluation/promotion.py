"""A model takes the served one's place only if it does not read worse, and leaves a trace."""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from crnnkit.dataset.index import Line
from crnnkit.errors import CheckpointError, DatasetError
from crnnkit.evaluation.comparison import compare
from crnnkit.evaluation.report import evaluate
from crnnkit.evaluation.resampling import MIN_TEXTS
from crnnkit.files import whole_file, writing
from crnnkit.serving.models import model_sha256
from crnnkit.serving.recognizer import Recognizer

MAX_P_VALUE = 0.05
"""A CER that rose with less chance than this is worse, however little it rose."""
MAX_RISE = 0.005
"""A CER that rose by more than this is worse, even if it may be chance."""


def promote(
    candidate: Path, served: Path, lines: Sequence[Line], num_threads: int | None = None
) -> str:
    """Copy a model to where it is served, unless it reads the lines worse than the one there.

    Worse is a CER that rose by more than `MAX_RISE`, or by less but hardly by chance
    (`MAX_P_VALUE`); fewer than `MIN_TEXTS` different texts decide nothing. Where nothing is served
    yet, there is nothing to be worse than.

    A row of JSON is appended to `<served>.lineage.jsonl`: time, both hashes, the lines' hash, both
    CERs.

    Args:
        lines: the same ones every time, never trained on.

    Returns:
        what was found, in a sentence.

    Raises:
        CheckpointError: if a model cannot be read, or the candidate reads worse.
        DatasetError: if there are too few lines to tell.
    """
    if candidate.suffix != served.suffix:
        raise CheckpointError(f"{candidate}: a {served.suffix} file is served, export it first.")
    num_texts = len({line.text for line in lines})
    if served.exists() and num_texts < MIN_TEXTS:
        raise DatasetError(
            f"{candidate}: not promoted: {num_texts} different texts cannot tell whether it reads "
            f"worse, {MIN_TEXTS} can. Add lines, or copy the file to {served} unmeasured."
        )
    after = evaluate(Recognizer.load(candidate, num_threads), lines)
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": candidate.name,
        "sha256": model_sha256(candidate),
        "lines_sha256": after.data_sha256,
        "cer": after.score.cer,
    }
    finding = f"nothing was served before; CER {after.score.cer:.2%}"
    if served.exists():
        before = evaluate(Recognizer.load(served, num_threads), lines)
        change = compare(before, after)
        finding = str(change)
        is_surely_worse = change.cer_change > 0 and change.p_value < MAX_P_VALUE
        if is_surely_worse or change.cer_change > MAX_RISE:
            raise CheckpointError(
                f"{candidate}: not promoted: {finding}. More than {100 * MAX_RISE:g} points, or "
                f"p < {MAX_P_VALUE:g}, is too much; more lines tell better what is chance."
            )
        row |= {"before_sha256": model_sha256(served), "before_cer": before.score.cer}
    with whole_file(served) as partial:
        shutil.copyfile(candidate, partial)
    lineage = served.with_name(f"{served.name}.lineage.jsonl")
    with writing(lineage), lineage.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return finding
