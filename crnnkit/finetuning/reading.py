"""What a network in training reads: the sums of a pass, and lines read as they will be served."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import Batch, LoadedLine, batches
from crnnkit.metrics import Score, score
from crnnkit.model.decode import Decoded, greedy_decode
from crnnkit.vocab import Vocab

Forward = Callable[[Batch], tuple[Tensor, Tensor]]
"""A batch → logits (B, T, V) and losses (B,)."""


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


@torch.inference_mode()
def read_lines(
    forward: Forward,
    vocab: Vocab,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine] = (),
    batch_size: int = 16,
    turn_below: float = 0.0,
) -> Pass:
    """Read lines as the finished checkpoint would.

    Args:
        turned: the same lines by 180°, for those whose uprightness is less than `turn_below`.
    """
    done = Pass(vocab)
    other = dict(zip((item.line for item in lines), turned, strict=False))
    for batch in batches(lines, batch_size):
        logits, losses = forward(batch)
        readings = [greedy_decode(row) for row in logits.float().cpu().numpy()]
        for number, line in enumerate(batch.lines):
            if line in other and readings[number].uprightness < turn_below:
                readings[number] = _surer(forward, readings[number], other[line])
            done.uprightness_of[line] = readings[number].uprightness
        done.add(batch, losses, [reading.ids for reading in readings])
    return done


def _surer(forward: Forward, reading: Decoded, turned: LoadedLine) -> Decoded:
    logits, _ = forward(next(batches([turned], 1)))
    other = greedy_decode(logits[0].float().cpu().numpy())
    return max(reading, other, key=lambda decoded: decoded.uprightness)
