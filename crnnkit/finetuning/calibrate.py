"""After training: fit the temperature of a checkpoint, and store it there."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crnnkit.dataset.lines import Batch, LoadedLine
from crnnkit.finetuning.reading import read_batches
from crnnkit.model.calibration import fit_temperature
from crnnkit.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from crnnkit.model.ctc import ctc_loss


def calibrate(
    path: str | Path,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine] = (),
    batch_size: int = 16,
) -> float:
    """Fit a checkpoint's temperature and write it into the checkpoint's description.

    Args:
        path: a .safetensors file; its weights stay as they are.
        lines: lines that the weights were not trained on, such as those of validation, loaded
            with the checkpoint's vocabulary.
        turned: the same by 180°, for checkpoints that read unsure lines both ways.

    Returns:
        the temperature.
    """
    checkpoint = load_checkpoint(path)
    temperature = fit_temperature(_readings(checkpoint, lines, turned, batch_size))
    info = replace(checkpoint.info, temperature=temperature)
    save_checkpoint(path, Checkpoint(checkpoint.model, info))
    return temperature


def _readings(
    checkpoint: Checkpoint,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine],
    batch_size: int,
) -> Iterator[tuple[NDArray[np.float32], bool]]:
    """Logits (T, V) of each line the way up it is read, and whether they read its label."""

    def forward(batch: Batch) -> tuple[Tensor, Tensor]:
        logits = checkpoint.model(batch.images)
        return logits, ctc_loss(logits, batch.target_ids, batch.target_lengths)

    info, vocab = checkpoint.info, checkpoint.info.vocab
    for batch, _, readings in read_batches(forward, info, lines, turned, batch_size):
        for line, (decoded, logits) in zip(batch.lines, readings, strict=True):
            yield logits, vocab.decode(decoded.ids) == line.text
