"""The settings of a training run and what it reports, without torch."""

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from crnnkit.errors import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run; a setting of unknown name is refused by the constructor.

    Raises:
        ConfigError: naming every value outside its range.
    """

    train_data: Path
    """Index file of the training lines."""
    val_data: Path
    """Index file of the lines that choose the best epoch; never used for the gradient."""
    output_dir: Path
    """Folder for best.safetensors, last.safetensors and history.csv."""
    vocab_path: Path | None = None
    """Vocabulary file. None: the characters of the pretrained checkpoint and of both data sets."""
    pretrained_ckpt: Path | None = None
    """Checkpoint to start from. None: from random weights."""
    epochs: int = 60
    """Passes over the training lines, at most."""
    minutes: float = 10.0
    """Wall-clock budget of the training loop; whichever of the two ends first counts."""
    batch_size: int = 16
    """Lines per optimiser step."""
    lr: float = 2e-3
    """Peak learning rate of AdamW; warmed up, then a cosine down to 1 % of it."""
    warmup: float = 0.05
    """Share of the run during which the learning rate rises from 0."""
    weight_decay: float = 0.01
    """AdamW's, on weight matrices only."""
    max_gradient_norm: float = 5.0
    """Gradients longer than this (L2) are shortened to it."""
    seed: int = 1
    """Of weights, order and augmentation."""
    num_threads: int = 0
    """Threads of torch; 0 = one or all cores, whichever is faster at the start."""
    augment: bool = True
    """Vary the training pictures (dataset.augment)."""
    enhance: tuple[str, ...] = ()
    """Steps of `preprocessing.enhance` for every line; stored in the checkpoint."""
    precision: str = "auto"
    """Of the forward pass: float32, bfloat16, or auto = the faster one, measured at the start."""
    device: str = "cpu"
    """A torch device: cpu, cuda, mps."""

    def __post_init__(self) -> None:
        """Check ranges, all at once."""
        positive = ("epochs", "minutes", "batch_size", "max_gradient_norm")
        faults = [
            f"{n} is {getattr(self, n)}, must be > 0" for n in positive if getattr(self, n) <= 0
        ]
        not_negative = ("lr", "warmup", "weight_decay", "num_threads")
        faults += [
            f"{n} is {getattr(self, n)}, must be ≥ 0" for n in not_negative if getattr(self, n) < 0
        ]
        if self.warmup >= 1:
            faults.append(f"warmup is {self.warmup}, must be < 1")
        if self.precision not in PRECISIONS:
            faults.append(
                f"precision is {self.precision!r}, must be one of {', '.join(PRECISIONS)}"
            )
        if faults:
            raise ConfigError("training settings: " + "; ".join(faults))


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

    def line(self, epochs: int) -> str:
        """One line for a log."""
        return (
            f"Epoch {self.epoch}/{epochs} | Loss: {self.train_loss:.3f} | "
            f"CER: {self.train_cer:.3f} | Val Loss: {self.val_loss:.3f} | "
            f"Val CER: {self.val_cer:.3f}"
        )


def write_history(path: Path, history: Sequence[EpochResult]) -> None:
    """Write the epochs as CSV; the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(EpochResult)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(result) for result in history)
    os.replace(partial, path)


def read_history(path: Path) -> list[EpochResult]:
    """Read what `write_history` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            EpochResult(
                epoch=int(row["epoch"]),
                **{f.name: float(row[f.name]) for f in fields(EpochResult) if f.name != "epoch"},
            )
            for row in csv.DictReader(file)
        ]
