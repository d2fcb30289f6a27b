"""A smaller network from a trained one: the channels that are used least leave it."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from crnnkit.dataset.lines import Batch, LoadedLine, batches
from crnnkit.errors import CheckpointError, ConfigError, DatasetError
from crnnkit.model.checkpoint import Checkpoint, new_checkpoint
from crnnkit.model.config import ModelConfig
from crnnkit.model.crnn import CRNN

MULTIPLE = 8
"""A stage keeps a multiple of so many channels: processors compute so many at once anyway."""
NUM_LINES = 300
"""Lines that are enough to tell what channels are used for."""
BATCH_SIZE = 16


def prune(checkpoint: Checkpoint, share: float, lines: Sequence[LoadedLine]) -> Checkpoint:
    """Leave the least used channels of every stage out: a network that really is smaller.

    The outputs of a stage's convolutions are added up, so a channel leaves all of them or none.
    Afterwards the batch norms take the means and variances that the smaller network has on the
    lines, which mends most of the damage without any training (benchmarks/LOG.md).

    Args:
        share: of the channels that leave; a multiple of `MULTIPLE` stays in each stage.
        lines: of the training set, loaded as the checkpoint reads them; labels do not matter.

    Returns:
        a checkpoint without metrics, to train on from like any other.

    Raises:
        ConfigError: if the share is not between 0 and 1.
        DatasetError: if there are no lines.
        CheckpointError: if the network is not one whose stages can be told apart.
    """
    if not 0 < share < 1:
        raise ConfigError(f"prune: share is {share}, must be > 0, < 1.")
    if not lines:
        raise DatasetError("prune: no lines are given, and they tell what channels are used for.")
    model, config = checkpoint.model, checkpoint.info.model
    if not (isinstance(model, CRNN) and isinstance(config, ModelConfig)):
        raise CheckpointError("prune: networks that were imported in their own shape stay whole.")
    if any(stage.stride_hw == (1, 1) for stage in config.stages):
        raise CheckpointError("prune: a stage without a stride shares channels with its neighbour.")
    some = list(batches(lines[:: -(-len(lines) // NUM_LINES)], BATCH_SIZE))
    kept = _kept_channels(model, share, some)
    stages = tuple(
        replace(stage, channels=len(channels))
        for stage, channels in zip(config.stages, kept, strict=True)
    )
    info = replace(checkpoint.info, model=replace(config, stages=stages), metrics={})
    pruned = new_checkpoint(info)
    pruned.model.load_state_dict(_weights_of(model, kept))
    pruned.model.eval()
    update_bn((batch.images for batch in some), pruned.model)
    return pruned


def _kept_channels(model: CRNN, share: float, some: Sequence[Batch]) -> list[Tensor]:
    """For every stage, the ids of the channels that stay, in order."""
    uses = iter(_uses(model, some))
    kept = []
    for stage in model.config.stages:
        use = torch.stack([next(uses) for _ in range(stage.num_convs)]).sum(0)
        wanted = MULTIPLE * round((1 - share) * stage.channels / MULTIPLE)
        num_kept = min(max(wanted, MULTIPLE), stage.channels)
        kept.append(use.topk(num_kept).indices.sort().values)
    return kept


@torch.inference_mode()
def _uses(model: CRNN, some: Sequence[Batch]) -> list[Tensor]:
    """How much each channel is used, (C,) per convolution.

    A channel's mean on the lines times the length (L2) of the weights that read it. Of the
    measures tried (scales of batch norm, weights alone, Taylor's), this one costs least CER.
    """
    names = [f"convs.{number}.conv.weight" for number in range(1, len(model.convs))]
    readers = [model.get_parameter(name) for name in (*names, "bottleneck.0.weight")]
    means = [torch.zeros(reader.shape[1]) for reader in readers]
    model.eval()
    for batch in some:
        x = batch.images
        for unit, mean in zip(model.convs, means, strict=True):
            x = unit(x)
            mean += x.mean((2, 3)).sum(0)  # of every line alike, however wide
    return [
        mean * torch.linalg.vector_norm(reader, dim=(0, 2, 3))
        for mean, reader in zip(means, readers, strict=True)
    ]


def _weights_of(model: CRNN, kept: Sequence[Tensor]) -> dict[str, Tensor]:
    """The weights of these channels alone: rows of what makes them, columns of what reads them."""
    weights = model.state_dict()
    stages = zip(model.config.stages, kept, strict=True)
    makes = [channels for stage, channels in stages for _ in range(stage.num_convs)]
    reads = torch.tensor([0])  # the picture
    for number, channels in enumerate(makes):
        for name in [n for n in weights if n.startswith(f"convs.{number}.") and weights[n].ndim]:
            weights[name] = weights[name][channels]
        kernel = f"convs.{number}.conv.weight"
        weights[kernel] = weights[kernel][:, reads]
        reads = channels
    weights["bottleneck.0.weight"] = weights["bottleneck.0.weight"][:, reads]
    return weights
