"""CTC loss for large vocabularies (Graves et al. 2006)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from crnnkit.vocab import BLANK_ID

# As a logit: probability 0 in float32. Not -inf, which torch's CTC gradient turns into NaN.
_IMPOSSIBLE = -1e4


def ctc_loss(logits: Tensor, target_ids: Tensor, target_lengths: Tensor) -> Tensor:
    """Negative log probability of each label, natural logarithm.

    A path only visits the blank and the label's own characters, so the sum over paths runs on
    those few columns of the log probabilities. They do not sum to one as `F.ctc_loss` expects;
    but every path has T steps, so dividing the kept probabilities by their sum `s_t` changes
    the loss by exactly `Σ_t log s_t`, which is taken back.

    Args:
        logits: (B, T, V); the loss is computed in float32 whatever their type.
        target_ids: (B, L) long, rows padded with the blank after their label.
        target_lengths: (B,) long; on the CPU, where torch reads them, or with the logits.

    Returns:
        (B,) float32; `inf` where T < L + number of equal neighbours.
    """
    num_steps = logits.shape[1]
    columns, compact_ids = _compact_alphabet(target_ids)
    log_probs = logits.log_softmax(2, dtype=torch.float32)
    kept = log_probs.gather(2, columns.unsqueeze(1).expand(-1, num_steps, -1))
    # a column that repeats another (or the padding's blank) must not count twice
    duplicate = compact_ids != torch.arange(1, columns.shape[1], device=columns.device)
    is_duplicate = F.pad(duplicate, (1, 0)).unsqueeze(1)
    kept = kept.masked_fill(is_duplicate, _IMPOSSIBLE)
    loss = F.ctc_loss(
        kept.log_softmax(2).transpose(0, 1),
        compact_ids,
        torch.full_like(target_lengths, num_steps),
        target_lengths,
        blank=0,
        reduction="none",
    )
    return loss - kept.logsumexp(2).sum(1)


def _compact_alphabet(target_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Number a label's characters by first occurrence.

    Returns:
        columns: (B, 1 + L) vocabulary ids: the blank, then the label's own characters;
        compact_ids: (B, L) for each character the column of its first occurrence, 0 = padding.
    """
    blank = target_ids.new_full((target_ids.shape[0], 1), BLANK_ID)
    columns = torch.cat([blank, target_ids], dim=1)
    compact_ids = (target_ids.unsqueeze(2) == columns.unsqueeze(1)).int().argmax(2)
    return columns, compact_ids
