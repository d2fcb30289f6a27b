import pytest
import torch
from torch import nn

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import Batch
from crnnkit.errors import CrnnKitError
from crnnkit.finetuning.losses import Anchor, refuse_not_finite


class Columns(nn.Module):
    """A network of four time steps and five classes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 5)

    def forward(self, images):
        return self.linear(images[:, 0].transpose(1, 2))


@pytest.fixture
def batch(tmp_path):
    lines = tuple(Line(tmp_path / f"{n}.png", str(n), n) for n in range(1, 6))
    ones = torch.ones(5, dtype=torch.long)
    return Batch(torch.rand(5, 1, 8, 4), ones[:, None], ones, lines)


def test_parts_of_a_batch_add_up_to_its_divergence(batch):
    start, moved = Columns(), Columns()
    logits = moved(batch.images)
    anchor = Anchor(start, frozenset(batch.lines[i] for i in (0, 1, 2)))

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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pictures_whose_loss_is_not_finite_are_named(batch, value):
    losses = torch.tensor([1.0, value, 2.0, value, 3.0])
    with pytest.raises(CrnnKitError, match=r"in epoch 7 for: [^ ]*2.png, [^ ]*4.png. Look at"):
        refuse_not_finite(losses, batch, 7)
    refuse_not_finite(torch.ones(5), batch, 7)
