"""What a run reports after each epoch, and its record on disk."""

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from crnnkit.files import whole_file


@dataclass(frozen=True)
class EpochResult:
    """Numbers of one pass over the training lines."""

    epoch: int
    """From 1."""
    train_loss: float
    """CTC loss, nats per character, on augmented lines."""
    train_cer: float
    """Of the same lines, while the weights were changing."""
    val_loss: float
    val_cer: float
    val_exact: float
    """Share of validation lines without error."""
    lr: float
    """At the end of the epoch."""
    lines_per_second: float
    """Training lines, validation not counted."""
    seconds: float
    """Since the start of the loop, validation counted."""
    general_cer: float | None = None
    """Of the general lines of `general_data`; None where there are none."""

    def line(self, epochs: int) -> str:
        """One line for a log."""
        general = "" if self.general_cer is None else f" | General CER: {self.general_cer:.3f}"
        return (
            f"Epoch {self.epoch}/{epochs} | Loss: {self.train_loss:.3f} | "
            f"CER: {self.train_cer:.3f} | Val Loss: {self.val_loss:.3f} | "
            f"Val CER: {self.val_cer:.3f}{general}"
        )


def best_epoch(
    history: Sequence[EpochResult], general_limit: float | None, num_characters: int
) -> EpochResult:
    """The latest epoch, among those that did not forget, whose validation CER lies within one
    standard error of the lowest.

    Few lines tell epochs apart by luck, and the later ones took smaller steps: the rule of one
    standard error (Breiman et al. 1984, section 3.4.3).

    Args:
        num_characters: of the validation lines; what the standard error is computed from.
        general_limit: highest general CER that still counts as remembering. Where no epoch
            keeps it, all have forgotten and the domain alone decides. None: not asked.
    """
    candidates = [e for e in history if remembers(e, general_limit)] or history
    lowest = min(epoch.val_cer for epoch in candidates)
    standard_error = math.sqrt(max(0.0, lowest * (1 - lowest)) / num_characters)
    return [epoch for epoch in candidates if epoch.val_cer <= lowest + standard_error][-1]


def epochs_without_gain(history: Sequence[EpochResult]) -> int:
    """How many epochs have passed since the validation CER was lowest."""
    cers = [epoch.val_cer for epoch in history]
    return len(cers) - 1 - cers.index(min(cers)) if cers else 0


def remembers(epoch: EpochResult, general_limit: float | None) -> bool:
    """Whether an epoch still reads general lines as well as `general_limit`, a CER, asks."""
    return general_limit is None or epoch.general_cer is None or epoch.general_cer <= general_limit


def write_history(path: Path, history: Sequence[EpochResult]) -> None:
    """Write the epochs as CSV; the file appears whole or not at all."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(EpochResult)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(result) for result in history)


def read_history(path: Path) -> list[EpochResult]:
    """Read what `write_history` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_from_row(row) for row in csv.DictReader(file)]


def _from_row(row: dict[str, str]) -> EpochResult:
    numbers = {name: float(value) if value else None for name, value in row.items()}
    return EpochResult(**numbers | {"epoch": int(row["epoch"])})  # type: ignore[arg-type]
