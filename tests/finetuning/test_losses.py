from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import Batch, LoadedLine, batches
from crnnkit.errors import CrnnKitError
from crnnkit.finetuning.losses import Anchor, forward, refuse_not_finite
from crnnkit.finetuning.sampling import ClassSample
from crnnkit.model.config import ModelConfig, Stage
from crnnkit.model.crnn import CRNN
from crnnkit.preprocessing.tensors import LineConfig


class Columns(nn.Module):
    """A network of four time steps and five classes."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 5)

    def hidden(self, images):
        return images[:, 0].transpose(1, 2)

    def forward(self, images):
        return self.head(self.hidden(images))


@pytest.fixture
def batch(tmp_path):
    lines = tuple(Line(tmp_path / f"{n}.png", str(n), n) for n in range(1, 6))
    ones = torch.ones(5, dtype=torch.long)
    return Batch(torch.rand(5, 1, 8, 4), ones[:, None], ones, lines)


def test_parts_of_a_batch_add_up_to_its_divergence(batch):
    start, moved = Columns(), Columns()
    logits = moved(batch.images)
    anchor = Anchor(start.head, {batch.lines[i]: start.hidden(batch.images)[i] for i in (0, 1, 2)})

    def divergence(rows):
        return anchor.divergence(batch.take(rows), batch, logits[rows], torch.float32, None)

    p, q = start(batch.images[:3]).softmax(2), logits[:3].softmax(2)
    expected = (p * (p / q).log()).sum(2).mean()
    assert divergence([0, 1, 2, 3, 4]).item() == pytest.approx(expected.item(), rel=1e-4)
    # two of the three general lines here, one there
    assert (divergence([0, 2, 4]) + divergence([1, 3])).item() == pytest.approx(
        expected.item(), rel=1e-4
    )
    assert divergence([3, 4]) == 0


@pytest.fixture
def network():
    """A network of fifty classes whose batch norm and dropout do as in reading."""
    return CRNN(ModelConfig(stages=(Stage(4, (8, 4)),), bottleneck=6, lstm_hidden=5), 50).eval()


def test_logits_of_sampled_classes_are_those_of_the_whole_head(network, batch):
    images = torch.randn(5, 1, 32, 64)
    ids, log_weights = torch.tensor([0, 1, 40]), torch.tensor([0.0, 0.0, 2.5])
    lines = replace(batch, images=images)
    logits, losses = forward(network, lines, torch.float32, ClassSample(ids, log_weights))
    torch.testing.assert_close(logits, network(images)[:, :, ids] + log_weights)
    assert losses.shape == (5,)


def test_the_start_itself_diverges_by_nothing(network, batch, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 32, 64), np.uint8)
    loaded = [
        LoadedLine(line, picture, LineConfig(), (1,))
        for line, picture in zip(batch.lines, pixels, strict=True)
    ]
    anchor = Anchor.of(network, loaded[:4], 3, torch.float32)  # two batches
    (lines,) = batches(loaded, 5)
    for classes in (None, ClassSample(torch.tensor([0, 1, 40]), torch.tensor([0.0, 0.0, 2.5]))):
        logits, _ = forward(network, lines, torch.float32, classes)
        drift = anchor.divergence(lines, lines, logits, torch.float32, classes)
        assert drift.item() == pytest.approx(0, abs=1e-6)
        other = anchor.divergence(lines, lines, logits.flip(2), torch.float32, classes)
        assert other.item() > 0.01


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pictures_whose_loss_is_not_finite_are_named(batch, value):
    losses = torch.tensor([1.0, value, 2.0, value, 3.0])
    with pytest.raises(CrnnKitError, match=r"in epoch 7 for: [^ ]*2.png, [^ ]*4.png. Look at"):
        refuse_not_finite(losses, batch, 7)
    refuse_not_finite(torch.ones(5), batch, 7)
