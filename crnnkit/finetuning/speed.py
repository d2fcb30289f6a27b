"""How a network runs fastest on this machine: threads, precision, memory."""

import copy
import ctypes
import platform
import time

import torch
from torch import nn

from crnnkit.dataset.lines import Batch

# Parameters of glibc's mallopt, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_INT_MAX = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell glibc's allocator to keep large freed blocks for the next step.

    By default it gives them back to the system, which hands out zeroed pages one fault at a
    time: with 7,000 classes that takes a quarter of a training step (benchmarks/LOG.md).
    Elsewhere than on glibc this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _INT_MAX)


def autocast(device: str, dtype: torch.dtype) -> torch.autocast:
    """Mixed precision for the forward pass; nothing changes for float32."""
    return torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32)


def faster_threads(model: nn.Module, batch: Batch) -> int:
    """One thread, or as many as there are cores: whichever runs a batch faster.

    On a busy machine several threads wait for each other and are slower than one.
    """
    probe = copy.deepcopy(model).train()  # batch norm's running statistics move
    all_threads = torch.get_num_threads()
    seconds = {}
    for num_threads in (1, all_threads):
        torch.set_num_threads(num_threads)
        seconds[num_threads] = min(_seconds(probe, batch, torch.float32) for _ in range(2))
    return min(seconds, key=lambda num_threads: seconds[num_threads])


def faster_precision(model: nn.Module, batch: Batch) -> torch.dtype:
    """Float32 or bfloat16: whichever runs a batch faster.

    Processors with bfloat16 units train twice as fast with it; on others it is slower.
    """
    probe = copy.deepcopy(model).train()
    dtypes = (torch.float32, torch.bfloat16)
    return min(dtypes, key=lambda dtype: min(_seconds(probe, batch, dtype) for _ in range(3)))


def _seconds(model: nn.Module, batch: Batch, dtype: torch.dtype) -> float:
    """Time forward and backward of a batch."""
    device = next(model.parameters()).device
    images = batch.images.to(device, memory_format=torch.channels_last)
    began = time.perf_counter()
    with autocast(device.type, dtype):
        logits = model(images)
    logits.float().square().mean().backward()
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - began
