import numpy as np
import pytest

from crnnkit.dataset.augment import augment


def test_equal_seeds_give_equal_pictures_and_others_differ(make_line):
    line = make_line("A1B2 北京")
    first, again, other = (augment(line, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("shape", [(32, 32), (32, 320), (48, 1000), (1, 1)])
def test_size_and_type_stay(shape):
    rng = np.random.default_rng(0)
    line = rng.integers(0, 256, shape, np.uint8)
    before = line.copy()
    for _ in range(30):
        varied = augment(line, rng)
        assert varied.shape == shape
        assert varied.dtype == np.uint8
    np.testing.assert_array_equal(line, before)


def test_ink_stays_within_the_picture(make_line):
    """A variation that pushes characters out of the picture would teach wrong labels."""
    line = make_line("A1B2", height=32)
    ink = (255 - line.astype(float)).sum()
    rng = np.random.default_rng(3)
    kept = []
    for _ in range(200):
        varied = augment(line, rng).astype(float)
        contrast = np.abs(varied - np.median(varied))
        kept.append((contrast > contrast.max() / 2).sum() / (line < 128).sum())
    assert ink > 0
    assert np.median(kept) == pytest.approx(1, abs=0.25)
    assert np.quantile(kept, 0.05) > 0.6
