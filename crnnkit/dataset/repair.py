"""A repaired copy of a data set's index files; the files that were given stay as they are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crnnkit.dataset.doctor import Diagnosis
from crnnkit.dataset.faults import raise_if_errors
from crnnkit.dataset.index import new_folder, write_index
from crnnkit.errors import ConfigError, DatasetError

CHANGES_NAME, LEFT_OUT_NAME = "changes.txt", "left_out.txt"


@dataclass(frozen=True)
class Repair:
    """What was written, changed and left out."""

    num_lines: dict[Path, int]
    """New index file → its lines."""
    changes: dict[str, int]
    """Code → faults that are no more, most frequent first; `changes.txt` names each."""
    left_out: dict[str, int]
    """Code → lines that are not in the new files; `left_out.txt` names each and says why."""
    num_left_out: int
    """Lines left out; one line can have several faults."""


def repair(index_paths: Mapping[str, Path], diagnosis: Diagnosis, out: Path) -> Repair:
    """Write the lines without error to new index files of the same names in folder `out`.

    What reading repairs is written repaired, paths relative to the new files; pictures stay where
    they are. Lines with errors are left out and listed. The folder appears whole or not at all.

    Args:
        index_paths: split → index file, as given to `examine`.
        diagnosis: what `examine` found.

    Raises:
        ConfigError: if two files would have the same name.
        DatasetError: if an index file cannot be read or has no line without error, or if `out`
            holds something already.
    """
    names = {split: Path(path).name for split, path in index_paths.items()}
    _check(names, diagnosis)
    wrong = [fault for fault in diagnosis.faults if fault.severity == "error"]
    left_out = {(fault.file, fault.line_number) for fault in wrong}
    changed = [
        fault
        for fault in diagnosis.faults
        if fault.severity == "repaired" and (fault.file, fault.line_number) not in left_out
    ]
    with new_folder(out) as partial:
        for split, name in names.items():
            write_index(partial / name, diagnosis.lines[split])
        for name, faults in ((CHANGES_NAME, changed), (LEFT_OUT_NAME, wrong)):
            listed = "".join(f"{fault}\n" for fault in faults)
            (partial / name).write_text(listed, encoding="utf-8", newline="\n")
    return Repair(
        num_lines={out / name: len(diagnosis.lines[split]) for split, name in names.items()},
        changes=dict(Counter(fault.code for fault in changed).most_common()),
        left_out=dict(Counter(fault.code for fault in wrong).most_common()),
        num_left_out=len(left_out),
    )


def _check(names: Mapping[str, str], diagnosis: Diagnosis) -> None:
    raise_if_errors(fault for fault in diagnosis.faults if fault.line_number == 0)
    written = [*names.values(), CHANGES_NAME, LEFT_OUT_NAME]
    twice = [name for name, number in Counter(written).items() if number > 1]
    if twice:
        raise ConfigError(f"repair: two files would be called {twice[0]!r}. Rename an index file.")
    empty = [split for split, lines in diagnosis.lines.items() if not lines]
    if empty:
        raise DatasetError(f"{empty[0]}: no line is without error. Correct some by hand first.")
