"""The epochs as TensorBoard shows them, beside history.csv: `tensorboard --logdir checkpoints`."""

from pathlib import Path
from typing import TYPE_CHECKING

from crnnkit.finetuning.history import EpochResult

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CHARTS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "cer/train": "train_cer",
    "cer/val": "val_cer",
    "cer/general": "general_cer",
    "exact/val": "val_exact",
    "speed/lr": "lr",
    "speed/lines_per_second": "lines_per_second",
}
"""TensorBoard's name of a curve → the field of `EpochResult`, whose docstring has the unit."""


def open_events(folder: Path, num_epochs: int) -> "SummaryWriter":
    """An event file for what follows after `num_epochs`; later ones of a run before are hidden."""
    from torch.utils.tensorboard import SummaryWriter  # an extra: see TrainConfig.tensorboard

    return SummaryWriter(str(folder), purge_step=num_epochs + 1)


def write_events(writer: "SummaryWriter", result: EpochResult) -> None:
    """One point of every curve that the run has, by epoch; on disk when this returns."""
    for chart, field in CHARTS.items():
        if (value := getattr(result, field)) is not None:
            writer.add_scalar(chart, value, result.epoch)
    writer.flush()
