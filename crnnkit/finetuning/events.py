"""The epochs as TensorBoard shows them, beside history.csv: `tensorboard --logdir checkpoints`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from crnnkit.finetuning import processes
from crnnkit.finetuning.config import TrainConfig
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


@contextmanager
def event_file(config: TrainConfig, num_epochs: int) -> Iterator[Callable[[EpochResult], None]]:
    """What puts an epoch on every curve, on disk when it returns; where none are wanted, nothing.

    Args:
        num_epochs: done already; what an earlier run in the folder says of later ones is hidden.
    """
    if not (config.tensorboard and processes.is_first()):
        yield lambda _: None
        return
    from torch.utils.tensorboard import SummaryWriter  # an extra: see TrainConfig.tensorboard

    folder = str(config.output_dir / "tensorboard")
    with SummaryWriter(folder, purge_step=num_epochs + 1) as writer:
        yield partial(_write, writer)


def _write(writer: "SummaryWriter", result: EpochResult) -> None:
    for chart, field in CHARTS.items():
        if (value := getattr(result, field)) is not None:
            writer.add_scalar(chart, value, result.epoch)
    writer.flush()
