"""What a network in training reads: the sums of a pass, and lines read as they will be served."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import Batch, LoadedLine, batches
from crnnkit.metrics import Score, score
from crnnkit.model.decode import Decoded, greedy_decode
from crnnkit.vocab import Vocab

Forward = Callable[[Batch], tuple[Tensor, Tensor]]
"""A batch → logits (B, T, V) and losses (B,)."""
Reading = tuple[Decoded, NDArray[np.float32]]
"""What a line says, and the logits (T, V) that say so."""


class Pass:
    """Losses and readings of a pass over lines, added up batch by batch."""

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.loss_of: dict[Line, float] = {}
        self.uprightness_of: dict[Line, float] = {}
        """Only where lines were read, not trained on."""
        self.total_loss = 0.0
        self.references: list[str] = []
        self.hypotheses: list[str] = []

    def add(self, batch: Batch, losses: Tensor, ids: Sequence[Sequence[int]]) -> None:
        """Take in a batch: its losses (B,), nats, and the ids read on each of its lines."""
        values = losses.tolist()
        self.loss_of.update(zip(batch.lines, values, strict=True))
        self.total_loss += sum(values)
        self.references += [line.text for line in batch.lines]
        self.hypotheses += [self.vocab.decode(row) for row in ids]

    @classmethod
    def of_all(cls, parts: Sequence["Pass"]) -> "Pass":
        """Passes over parts of the lines as one."""
        whole = cls(parts[0].vocab)
        for part in parts:
            whole.loss_of |= part.loss_of
            whole.uprightness_of |= part.uprightness_of
            whole.total_loss += part.total_loss
            whole.references += part.references
            whole.hypotheses += part.hypotheses
        return whole

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
    vocab: Vocab,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine] = (),
    batch_size: int = 16,
    turn_below: float = 0.0,
) -> Pass:
    """Read lines as the finished checkpoint would; see `read_batches`."""
    done = Pass(vocab)
    for batch, losses, readings in read_batches(forward, lines, turned, batch_size, turn_below):
        uprightness = [decoded.uprightness for decoded, _ in readings]
        done.uprightness_of.update(zip(batch.lines, uprightness, strict=True))
        done.add(batch, losses, [decoded.ids for decoded, _ in readings])
    return done


@torch.inference_mode()
def read_batches(
    forward: Forward,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine] = (),
    batch_size: int = 16,
    turn_below: float = 0.0,
) -> Iterator[tuple[Batch, Tensor, list[Reading]]]:
    """Lines batch by batch, with their losses (B,) and readings.

    Args:
        turned: the same lines by 180°, for those whose uprightness is less than `turn_below`.
    """
    other = dict(zip((item.line for item in lines), turned, strict=False))
    for batch in batches(lines, batch_size):
        logits, losses = forward(batch)
        readings = [(greedy_decode(row), row) for row in logits.float().cpu().numpy()]
        for number, line in enumerate(batch.lines):
            if line in other and readings[number][0].uprightness < turn_below:
                readings[number] = _surer(forward, readings[number], other[line])
        yield batch, losses, readings


def _surer(forward: Forward, reading: Reading, turned: LoadedLine) -> Reading:
    logits = forward(next(batches([turned], 1)))[0][0].float().cpu().numpy()
    return max(reading, (greedy_decode(logits), logits), key=lambda found: found[0].uprightness)
