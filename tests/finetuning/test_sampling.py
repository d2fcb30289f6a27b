import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.finetuning.sampling import sample_classes

KEPT = torch.tensor([40, 7, 7, 3])


@given(seed=st.integers(0, 1000), num_drawn=st.integers(1, 20))
def test_a_sample_holds_the_blank_what_is_kept_and_so_many_others(seed, num_drawn):
    sample = sample_classes(KEPT, 50, num_drawn, np.random.default_rng(seed))
    ids = sample.ids.tolist()
    assert ids == sorted(set(ids))
    assert {0, 3, 7, 40} <= set(ids)
    assert len(ids) == 4 + num_drawn
    assert sample.ids[sample.compact(KEPT)].tolist() == KEPT.tolist()


def test_where_little_would_be_saved_all_classes_are_looked_at():
    assert sample_classes(KEPT, 50, 24, np.random.default_rng(1)) is None  # 46 others


def test_drawn_classes_speak_for_all_others():
    logits = torch.randn(50, generator=torch.Generator().manual_seed(1))
    rng = np.random.default_rng(1)
    sums = []
    for _ in range(4000):
        sample = sample_classes(KEPT, 50, 10, rng)
        sums.append((logits[sample.ids] + sample.log_weights).exp().sum())
    # the softmax's denominator is right on average
    torch.testing.assert_close(torch.stack(sums).mean(), logits.exp().sum(), rtol=0.03, atol=0)
