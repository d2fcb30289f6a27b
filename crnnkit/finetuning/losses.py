"""What a step learns from: the CTC loss, and how far general lines have moved from the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import Batch, LoadedLine, batches
from crnnkit.errors import CrnnKitError
from crnnkit.finetuning.sampling import ClassSample
from crnnkit.finetuning.speed import autocast
from crnnkit.model.crnn import CRNN, ClassicCRNN
from crnnkit.model.ctc import ctc_loss

Network = CRNN | ClassicCRNN


def forward(
    model: Network, batch: Batch, dtype: torch.dtype, classes: ClassSample | None = None
) -> tuple[Tensor, Tensor]:
    """Logits (B, T, V) and CTC losses (B,); of the sampled classes alone, (B, T, C)."""
    target_ids = batch.target_ids if classes is None else classes.compact(batch.target_ids)
    logits = class_logits(model.head, _hidden(model, batch.images, dtype), dtype, classes)
    device = logits.device
    return logits, ctc_loss(logits, target_ids.to(device), batch.target_lengths.to(device))


def refuse_not_finite(losses: Tensor, batch: Batch, epoch: int) -> None:
    """Stop a run before its weights are lost.

    Raises:
        CrnnKitError: naming the pictures whose loss is infinite or no number.
    """
    is_bad = (~losses.isfinite()).tolist()
    if any(is_bad):
        bad = [str(line.image) for line, is_one in zip(batch.lines, is_bad, strict=True) if is_one]
        raise CrnnKitError(
            f"loss is not finite in epoch {epoch} for: {', '.join(bad)}. "
            "Look at these pictures; if they are fine, lower lr."
        )


@dataclass(frozen=True)
class Anchor:
    """The network that training began from: general lines are to be read as it reads them."""

    head: nn.Linear
    """Its last layer."""
    hidden: Mapping[Line, Tensor]
    """What that sees of each general line, (T, features)."""

    @classmethod
    @torch.no_grad()
    def of(
        cls, start: Network, general: Sequence[LoadedLine], batch_size: int, dtype: torch.dtype
    ) -> "Anchor":
        """Read the general lines, once for the whole run: they are never varied."""
        hidden: dict[Line, Tensor] = {}
        for batch in batches(general, batch_size):
            hidden |= zip(batch.lines, _hidden(start, batch.images, dtype), strict=True)
        return cls(start.head, hidden)

    def divergence(
        self,
        mine: Batch,
        whole: Batch,
        logits: Tensor,
        dtype: torch.dtype,
        classes: ClassSample | None,
    ) -> Tensor:
        """Kullback-Leibler divergence from the start, nats per time step, mean over the general
        lines of a whole batch (Li and Hoiem 2016, "Learning without Forgetting").

        Args:
            mine: some lines of it; what these add to the mean is returned.
            logits: (B, T, V) of theirs.
        """
        rows = [row for row, line in enumerate(mine.lines) if line in self.hidden]
        if not rows:
            return logits.new_zeros(())
        hidden = torch.stack([self.hidden[mine.lines[row]] for row in rows])
        with torch.no_grad():
            wanted = class_logits(self.head, hidden, dtype, classes)
        nats = F.kl_div(
            logits[rows].log_softmax(2, dtype=torch.float32).flatten(0, 1),
            wanted.log_softmax(2, dtype=torch.float32).flatten(0, 1),
            log_target=True,
            reduction="sum",
        )
        return nats / (sum(line in self.hidden for line in whole.lines) * logits.shape[1])


def _hidden(model: Network, images: Tensor, dtype: torch.dtype) -> Tensor:
    """What the head sees of each time step, (B, T, features)."""
    device = next(model.parameters()).device
    with autocast(device.type, dtype):
        return model.hidden(images.to(device, memory_format=torch.channels_last))


def class_logits(
    head: nn.Linear, hidden: Tensor, dtype: torch.dtype, classes: ClassSample | None
) -> Tensor:
    """(B, T, features) → (B, T, V); of the sampled classes alone, (B, T, C)."""
    with autocast(hidden.device.type, dtype):
        if classes is None:
            return cast(Tensor, head(hidden))
        ids = classes.ids.to(hidden.device)
        logits = F.linear(hidden, head.weight[ids], head.bias[ids])
    return logits + classes.log_weights.to(hidden.device)
