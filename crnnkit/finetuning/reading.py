"""What a network in training reads: the sums of a pass, and lines read as they will be served."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import Batch, LoadedLine, batches
from crnnkit.metrics import Score, score
from crnnkit.model.config import CheckpointInfo
from crnnkit.model.decode import Decoded, greedy_decode, may_be_upside_down
from crnnkit.model.spelling import Spelling, printed_text
from crnnkit.vocab import Vocab

Forward = Callable[[Batch], tuple[Tensor, Tensor]]
"""A batch → logits (B, T, V) and losses (B,)."""
Reading = tuple[Decoded, NDArray[np.float32]]
"""What a line says, and the logits (T, V) that say so."""


class Pass:
    """Losses and readings of a pass over lines, added up batch by batch."""

    def __init__(self, vocab: Vocab, spelling: Spelling | None = None) -> None:
        """`spelling`: what it does not tell apart, in labels and readings."""
        self.vocab, self._spelling = vocab, spelling or Spelling(vocab, {})
        self.loss_of: dict[Line, float] = {}
        self.uprightness_of: dict[Line, float] = {}
        """Only where lines were read, not trained on."""
        self.total_loss = 0.0
        self.lines: list[Line] = []
        self.references: list[str] = []
        self.hypotheses: list[str] = []

    def add(self, batch: Batch, losses: Tensor, ids: Sequence[Sequence[int]]) -> None:
        """Take in a batch: its losses (B,), nats, and the ids read on each of its lines."""
        values = losses.tolist()
        self.loss_of.update(zip(batch.lines, values, strict=True))
        self.total_loss += sum(values)
        self.lines += batch.lines
        self.references += [self._spelling.text(line.text) for line in batch.lines]
        self.hypotheses += [self._spelling.text(self.vocab.decode(row)) for row in ids]

    @classmethod
    def of_all(cls, parts: Sequence["Pass"]) -> "Pass":
        """Passes over parts of the lines as one."""
        whole = cls(parts[0].vocab)
        for part in parts:
            whole.loss_of |= part.loss_of
            whole.uprightness_of |= part.uprightness_of
            whole.total_loss += part.total_loss
            whole.lines += part.lines
            whole.references += part.references
            whole.hypotheses += part.hypotheses
        return whole

    def printed(self, spelling: Spelling) -> dict[Line, str]:
        """What is printed on each line, after label and reading; see `model.spelling`."""
        return {
            line: printed_text(line.text, reading, spelling)
            for line, reading in zip(self.lines, self.hypotheses, strict=True)
        }

    @property
    def num_lines(self) -> int:
        """Lines so far."""
        return len(self.references)

    @property
    def score(self) -> Score:
        """CER and exact match."""
        return score(self.references, self.hypotheses)

    @property
    def loss(self) -> float:
        """Nats per character."""
        return self.total_loss / max(1, self.score.num_characters)


def read_lines(
    forward: Forward,
    info: CheckpointInfo,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine] = (),
    batch_size: int = 16,
) -> Pass:
    """Read lines as the finished checkpoint would; see `read_batches`."""
    done = Pass(info.vocab)
    for batch, losses, readings in read_batches(forward, info, lines, turned, batch_size):
        uprightness = [decoded.uprightness for decoded, _ in readings]
        done.uprightness_of.update(zip(batch.lines, uprightness, strict=True))
        done.add(batch, losses, [decoded.ids for decoded, _ in readings])
    return done


@torch.inference_mode()
def read_batches(
    forward: Forward,
    info: CheckpointInfo,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine] = (),
    batch_size: int = 16,
) -> Iterator[tuple[Batch, Tensor, list[Reading]]]:
    """Lines batch by batch, with their losses (B,) and readings.

    Args:
        turned: the same lines by 180°, for those that may be upside down where `info` says so.
    """
    other = dict(zip((item.line for item in lines), turned, strict=False))
    for batch in batches(lines, batch_size):
        rows, losses = _forward(forward, info, batch)
        readings = [(greedy_decode(row), row) for row in rows]
        width = batch.images.shape[3]
        for number, line in enumerate(batch.lines):
            upright = readings[number]
            if line in other and may_be_upside_down(upright[0], width, info.line):
                row = _forward(forward, info, next(batches([other[line]], 1)))[0][0]
                turned_by_180 = (greedy_decode(row), row)
                readings[number] = max(upright, turned_by_180, key=lambda way: way[0].uprightness)
        yield batch, losses, readings


def _forward(
    forward: Forward, info: CheckpointInfo, batch: Batch
) -> tuple[NDArray[np.float32], Tensor]:
    """Logits (B, T, V), spelt as labels are, and losses (B,)."""
    logits, losses = forward(batch)
    return info.spelling.merge(logits.float().cpu().numpy()), losses
