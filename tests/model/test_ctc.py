import itertools

import pytest
import torch
import torch.nn.functional as F

from crnnkit.model.config import min_time_steps
from crnnkit.model.ctc import ctc_loss
from crnnkit.model.decode import collapse


def _logits(num_lines, num_steps, vocab_size):
    return torch.randn(num_lines, num_steps, vocab_size, dtype=torch.float32, requires_grad=True)


@pytest.mark.parametrize("target", [(1,), (1, 2), (2, 2), (1, 2, 1), (1, 1, 1), ()])
def test_loss_is_the_sum_over_all_paths(target):
    num_steps, vocab_size = 5, 3
    logits = _logits(1, num_steps, vocab_size)
    log_probs = logits[0].log_softmax(1)
    paths = [
        sum(log_probs[t, c] for t, c in enumerate(path))
        for path in itertools.product(range(vocab_size), repeat=num_steps)
        if tuple(collapse(path)) == target
    ]
    expected = -torch.logsumexp(torch.stack(paths), 0)
    ids = torch.tensor([target or (0,)])
    loss = ctc_loss(logits, ids, torch.tensor([len(target)]))
    torch.testing.assert_close(loss[0], expected)


def test_loss_and_gradient_equal_torchs_own_over_the_whole_vocabulary():
    logits = _logits(5, 24, 40)
    targets = [[7, 7, 3, 9], [1, 2, 1, 2, 1], [5], [39, 39, 39], [4, 8, 15, 16, 23]]
    lengths = torch.tensor([len(t) for t in targets])
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(t) for t in targets], batch_first=True)
    ours = ctc_loss(logits, ids, lengths)
    theirs = F.ctc_loss(
        logits.log_softmax(2).transpose(0, 1),
        ids,
        torch.full((5,), 24),
        lengths,
        reduction="none",
    )
    torch.testing.assert_close(ours, theirs)
    (ours_gradient,) = torch.autograd.grad(ours.sum(), logits, retain_graph=True)
    (theirs_gradient,) = torch.autograd.grad(theirs.sum(), logits)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", [[1, 2, 1], [1, 1, 2], [1, 2, 2, 1, 1]])
def test_loss_is_finite_exactly_where_the_label_fits(target):
    needed = min_time_steps(target)
    ids, lengths = torch.tensor([target]), torch.tensor([len(target)])
    assert torch.isfinite(ctc_loss(_logits(1, needed, 4), ids, lengths)).all()
    assert torch.isinf(ctc_loss(_logits(1, needed - 1, 4), ids, lengths)).all()


def test_gradient_of_bfloat16_logits_is_finite_and_padding_does_not_matter():
    logits = _logits(2, 12, 500).detach().bfloat16().requires_grad_()
    ids = torch.tensor([[3, 4, 0, 0], [3, 4, 5, 6]])
    losses = ctc_loss(logits, ids, torch.tensor([2, 4]))
    alone = ctc_loss(logits[:1], torch.tensor([[3, 4]]), torch.tensor([2]))
    torch.testing.assert_close(losses[:1], alone)
    losses.sum().backward()
    assert torch.isfinite(logits.grad).all()
