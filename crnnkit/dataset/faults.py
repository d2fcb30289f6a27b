"""What can be wrong with a data set, and how it is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crnnkit.errors import DatasetError

MAX_SHOWN = 20
"""Faults that a message spells out; the others are counted."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with a data set, and where."""

    severity: Literal["error", "warning", "repaired"]
    """error: the line cannot be learned or would falsify the measurement; training stops.
    warning: probably a mistake, but only looking at the picture can tell; the line is used as is.
    repaired: reading puts it right without asking, and `crnnkit doctor --fix` writes it so."""
    code: str
    file: Path
    line_number: int
    """From 1; 0 = the file as a whole."""
    value: str
    message: str
    remedy: str

    def __str__(self) -> str:
        """`file:line: code: message. remedy`."""
        where = f"{self.file}:{self.line_number}" if self.line_number else f"{self.file}"
        return f"{where}: {self.code}: {self.message}. {self.remedy}"


def raise_if_errors(faults: Iterable[Fault]) -> None:
    """Raise one DatasetError for all faults that are errors, if there are any."""
    errors = [fault for fault in faults if fault.severity == "error"]
    if errors:
        raise DatasetError(f"{count_of(len(errors), 'error')} in the data:\n{list_faults(errors)}")


def list_faults(faults: Sequence[Fault], max_shown: int = MAX_SHOWN) -> str:
    """The first faults, one per line, and the number of the others."""
    rows = [str(fault) for fault in faults[:max_shown]]
    if len(faults) > max_shown:
        rows.append(f"… and {len(faults) - max_shown} more")
    return "\n".join(rows)


def count_of(number: int, noun: str) -> str:
    """`1 line`, `2 lines`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(value: str) -> str:
    """A value quoted, cut to a length that a terminal bears."""
    return repr(value if len(value) <= 80 else value[:79] + "…")
