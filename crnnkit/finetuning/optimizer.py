"""How weights move: AdamW in groups, the learning rate over a run, the moving average."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from crnnkit.model.crnn import CRNN, ClassicCRNN

MIN_LR_SHARE = 0.01
Tensors = tuple[Tensor, ...] | list[Tensor]
Network = CRNN | ClassicCRNN


def make_optimizer(
    model: Network, lr: float, weight_decay: float, conv_lr_share: float = 1.0
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) with weight decay on matrices and kernels alone.

    Every group tells by `is_conv` whether it holds convolutions and by `lr_share` how fast they
    learn beside the rest.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = []
    for is_conv in (False, True):
        for is_matrix in (True, False):
            groups.append(
                {
                    "params": [
                        p
                        for name, p in named
                        if name.startswith(("convs", "bottleneck")) == is_conv
                        and (p.ndim >= 2) == is_matrix
                    ],
                    "weight_decay": weight_decay if is_matrix else 0.0,
                    "is_conv": is_conv,
                    "lr_share": conv_lr_share if is_conv else 1.0,
                }
            )
    return torch.optim.AdamW(groups, lr=lr, fused=True)


def lr_share(progress: float, warmup: float) -> float:
    """Share of the peak learning rate: a linear rise during warm-up, then half a cosine."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    done = (progress - warmup) / (1 - warmup)
    return MIN_LR_SHARE + (1 - MIN_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """The update that `AveragedModel` takes: decay rises to its value over the first steps, so
    that a short run is not held back by where it began."""

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, num_averaged: Tensor | int) -> None:
        if averages[0].is_floating_point():  # all are of one type
            kept = min(decay, (1 + int(num_averaged)) / (10 + int(num_averaged)))
            get_ema_multi_avg_fn(kept)(averages, values, num_averaged)
        else:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)

    return update


def begin_learning(model: Network, freeze_norm: bool) -> None:
    """Dropout and batch norm as in training; with `freeze_norm` the latter as in reading."""
    model.train()
    if freeze_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def frozen_copy(model: Network) -> Network:
    """The network as it is now, which no longer learns."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def blended(network: Network, start: nn.Module, share: float) -> Network:
    """A copy whose weights are by this share those of `start`."""
    copy = frozen_copy(network)
    for value, base in zip(copy.state_dict().values(), start.state_dict().values(), strict=True):
        if value.is_floating_point():
            value.lerp_(base, share)
    return copy
