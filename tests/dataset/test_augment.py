import numpy as np
import pytest

from crnnkit.dataset.augment import VARIATIONS, _warp, augment, each_alone


def test_equal_seeds_give_equal_pictures_and_others_differ(make_line):
    line = make_line("A1B2 北京")
    first, again, other = (augment(line, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("shape", [(32, 32), (32, 320), (48, 1000), (1, 1), (32, 64, 3)])
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


def test_the_channels_of_a_grey_line_in_rgb_vary_alike_but_for_noise(make_line, monkeypatch):
    monkeypatch.setitem(VARIATIONS, "noise", (0.35, lambda pixels, _: pixels))
    line = make_line("A1B2")
    for seed in range(30):
        gray = augment(line, np.random.default_rng(seed))
        rgb = augment(np.stack([line] * 3, 2), np.random.default_rng(seed))
        np.testing.assert_array_equal(rgb, np.stack([gray] * 3, 2))


def test_a_short_line_stays_in_its_wide_padding(make_line):
    """Stretched about the padded picture's middle, its first character would leave it."""
    line = np.pad(255 - make_line("B"), ((0, 0), (0, 600)))
    assert line[:, :3].max() == 0
    left_edges = []
    for seed in range(100):
        varied = _warp(line, np.random.default_rng(seed)).max(0)
        left_edges.append(int((varied > 100).argmax()))
    assert min(left_edges) > 0
    assert max(left_edges) < 20


def test_each_variation_can_be_seen_alone(make_line):
    line = make_line("A1B2")
    alone = each_alone(line, seed=3)
    assert list(alone) == ["shape", "tone", "sharpness", "noise", "stain"]
    assert all(varied.shape == line.shape for varied in alone.values())
    assert not any(np.array_equal(varied, line) for varied in alone.values())
    changed = alone["stain"] != line
    assert 0 < changed.mean() < 0.3, "a spot, the rest as it was"
