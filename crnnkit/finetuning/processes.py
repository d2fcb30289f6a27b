"""Several processes that train one network, as torchrun starts them; alone, all this does nothing.

`torchrun --nproc-per-node 2 -m crnnkit.cli.app train …`: every process makes the same batches from
the same seed, computes its share of each, and adds its gradient to the others'. Nothing but sums,
readings and the first one's clock goes between them.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parameters_to_vector

from crnnkit.errors import CrnnKitError

T = TypeVar("T")


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def share() -> slice:
    """What this process takes of any sequence that all of them have."""
    return slice(rank(), None, count())


@contextmanager
def joined() -> Iterator[None]:
    """Meet the others, and leave them at the end; they may sit on other machines.

    The machines see the same files.
    """
    if count() == 1 or dist.is_initialized():
        yield
        return
    # An optimiser imports this, and where a group exists by then, it keeps the group for good:
    # gloo's threads would still run when Python ends, which now and then aborts it.
    import torch._dynamo

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    with _all_alive():
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def wait() -> None:
    """Go on when all have come here."""
    gathered(None)


def gathered(value: T) -> list[T]:
    """Every process's value, in the order of their numbers; of any type that pickles."""
    if count() == 1:
        return [value]
    values: list[T] = [value] * count()
    with _all_alive():
        dist.all_gather_object(values, value)
    return values


def agreed(value: T) -> T:
    """The first process's value, for what each would measure a little differently."""
    if count() == 1:
        return value
    values = [value]
    with _all_alive():
        dist.broadcast_object_list(values)
    return values[0]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of all gradients; one that has none adds nothing."""
    if count() == 1:
        return
    learning = list(parameters)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
    flat = parameters_to_vector([gradient.contiguous() for gradient in gradients])
    with _all_alive():
        dist.all_reduce(flat)
    for parameter, part in zip(learning, flat.split([p.numel() for p in learning]), strict=True):
        # in the weights' own order in memory, which the fused step relies on
        parameter.grad = torch.empty_like(parameter).copy_(part.view_as(parameter))


def average_buffers(module: nn.Module) -> None:
    """Give every process the mean of what each one's batch norms have seen."""
    for buffer in module.buffers():
        if count() > 1 and buffer.is_floating_point():
            with _all_alive():
                dist.all_reduce(buffer)
            buffer /= count()


@contextmanager
def _all_alive() -> Iterator[None]:
    """Say in words that another process has ended: gloo says that a connection was closed."""
    try:
        yield
    except RuntimeError as error:
        raise CrnnKitError(
            f"process {rank()} of {count()}: another one has ended or cannot be reached "
            f"({str(error).splitlines()[0]}). What that one printed says why."
        ) from None
