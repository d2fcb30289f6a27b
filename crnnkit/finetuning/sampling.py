"""Training steps that look at a part of a large vocabulary (Jean et al. 2015, arXiv 1412.2007).

With 7,000 classes the head and its softmax take a third of a step, nearly all of it for characters
that the batch does not hold. A random thousand of those speaks for the others.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassSample:
    """The classes of one step."""

    ids: Tensor
    """long (C,), ascending: the blank first, then what is kept, and the drawn ones."""
    log_weights: Tensor
    """float32 (C,): a drawn class stands for several, so this is added to its logit."""

    def compact(self, ids: Tensor) -> Tensor:
        """Vocabulary ids, all of them in the sample, as numbers of its classes."""
        return torch.searchsorted(self.ids, ids)


def sample_classes(
    kept: Tensor, vocab_size: int, num_drawn: int, rng: np.random.Generator
) -> ClassSample | None:
    """Draw `num_drawn` classes beside the kept ones; None where that would be nearly all.

    Args:
        kept: (N,) ids, any order, repeats allowed; the blank is kept anyway.
    """
    is_kept = torch.zeros(vocab_size, dtype=torch.bool)
    is_kept[kept] = True
    is_kept[0] = True
    others = (~is_kept).nonzero().squeeze(1)
    if len(others) < 2 * num_drawn:
        return None
    drawn = others[torch.from_numpy(rng.permutation(len(others))[:num_drawn])]
    weights = torch.zeros(vocab_size)
    weights[drawn] = math.log(len(others) / num_drawn)
    is_kept[drawn] = True
    ids = is_kept.nonzero().squeeze(1)
    return ClassSample(ids, weights[ids])
