from dataclasses import replace

import pytest
import torch

from crnnkit.dataset.index import read_index
from crnnkit.dataset.lines import batches, load_lines
from crnnkit.errors import CheckpointError, ConfigError, DatasetError
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.prune import MULTIPLE, prune
from crnnkit.finetuning.trainer import train
from crnnkit.model.checkpoint import load_checkpoint, new_checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage
from crnnkit.model.foreign import MODELSCOPE
from crnnkit.vocab import Vocab

CONFIG = ModelConfig(
    stages=(Stage(16, (2, 2)), Stage(24, (4, 2), num_convs=2), Stage(32, (4, 2))),
    bottleneck=8,
    lstm_hidden=6,
)


@pytest.fixture
def lines(toy_data):
    return read_index(toy_data / "train.txt")


@pytest.fixture
def checkpoint(lines):
    info = CheckpointInfo(Vocab.from_texts([line.text for line in lines]).charset, CONFIG)
    return new_checkpoint(replace(info, metrics={"val_cer": 0.5}, temperature=2.0))


@pytest.fixture
def loaded(lines, checkpoint):
    return load_lines(lines, checkpoint.info.vocab, checkpoint.info.line)


def logits(checkpoint, loaded):
    with torch.inference_mode():
        return [checkpoint.model.eval()(batch.images) for batch in batches(loaded, 16)]


def widths(checkpoint):
    return [stage.channels for stage in checkpoint.info.model.stages]


@pytest.mark.parametrize(
    ("share", "left"),
    [
        (0.01, [16, 24, 32]),  # less than half of eight leaves nobody
        (0.3, [8, 16, 24]),  # 11.2, 16.8, 22.4
        (0.5, [8, 16, 16]),  # 12 lies between 8 and 16: to the even multiple
        (0.99, [MULTIPLE] * 3),  # a stage never vanishes
    ],
)
def test_a_multiple_of_eight_channels_stays(checkpoint, loaded, share, left):
    pruned = prune(checkpoint, share, loaded)
    assert widths(pruned) == left
    assert widths(checkpoint) == [16, 24, 32]


def test_channels_that_nothing_reads_leave_first_and_take_nothing_along(checkpoint, loaded):
    """With them alone gone, the network computes what it did on the lines it was normed on."""
    model = checkpoint.model
    idle = [torch.tensor([0, 3, 4, 7, 8, 11, 12, 15]), torch.arange(1, 17, 2), torch.arange(8)]
    units = list(model.convs)
    with torch.no_grad():
        for stage, numbers in zip([[0], [1, 2], [3]], idle, strict=True):
            for unit in stage:  # what they make is loud, and nothing reads it
                units[unit].norm.weight[numbers] = 9.0
        readers = [*(unit.conv for unit in units[1:]), model.bottleneck[0]]
        for reader, stage in zip(readers, (0, 1, 1, 2), strict=True):
            reader.weight[:, idle[stage]] = 0.0
    whole = prune(checkpoint, 0.01, loaded)  # all stay: the same norms on the same lines
    pruned = prune(checkpoint, 0.3, loaded)
    assert widths(pruned) == [8, 16, 24]
    for before, after in zip(logits(whole, loaded), logits(pruned, loaded), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_channels_that_are_silent_on_the_lines_leave_first(checkpoint, loaded):
    with torch.no_grad():
        checkpoint.model.convs[0].norm.bias[::2] = -9.0  # nothing passes the ReLU
        checkpoint.model.convs[0].norm.bias[1::2] = 9.0
        checkpoint.model.convs[1].conv.weight[:, ::2] *= 100  # what would be made of it
    kept = prune(checkpoint, 0.5, loaded).model.convs[0].conv.weight
    assert torch.equal(kept, checkpoint.model.convs[0].conv.weight[1::2])


def test_the_norms_are_those_of_the_smaller_network(checkpoint, loaded):
    pruned = prune(checkpoint, 0.5, loaded)
    norm = pruned.model.convs[0].norm
    with torch.no_grad():
        seen = [pruned.model.convs[0].conv(batch.images) for batch in batches(loaded, 16)]
    expected = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(norm.running_mean, expected)
    assert not pruned.model.training


def test_a_pruned_checkpoint_is_one_to_load_and_to_train_on(checkpoint, loaded, toy_data, tmp_path):
    path = tmp_path / "pruned.safetensors"
    pruned = prune(checkpoint, 0.5, loaded)
    save_checkpoint(path, pruned)
    again = load_checkpoint(path)
    assert (again.info.metrics, again.info.temperature) == ({}, 2.0)  # numbers of another network
    for before, after in zip(logits(pruned, loaded), logits(again, loaded), strict=True):
        assert torch.equal(before, after)
    settings = TrainConfig(
        *(toy_data / "train.txt", toy_data / "val.txt", tmp_path / "run"),
        pretrained_ckpt=path,
        epochs=1,
        epoch_lines=1,
        num_threads=1,
        precision="float32",
    )
    assert widths(load_checkpoint(train(settings).best_path)) == [8, 16, 16]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_outside_its_range_is_refused(checkpoint, loaded, share):
    with pytest.raises(ConfigError, match=rf"share is {share}, must be > 0, < 1"):
        prune(checkpoint, share, loaded)


def test_lines_are_needed(checkpoint):
    with pytest.raises(DatasetError, match="no lines"):
        prune(checkpoint, 0.3, [])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (replace(MODELSCOPE.network, lstm_hidden=4), "in their own shape"),
        (replace(CONFIG, stages=(*CONFIG.stages, Stage(32, (1, 1)))), "without a stride"),
    ],
)
def test_networks_of_other_shapes_are_refused(checkpoint, loaded, model, message):
    other = new_checkpoint(replace(checkpoint.info, model=model))
    with pytest.raises(CheckpointError, match=message):
        prune(other, 0.3, loaded)
