import numpy as np
import pytest

from crnnkit.dataset import degrade

STEP = np.repeat(np.array([[60.0] * 40 + [200.0] * 40], np.float32), 32, axis=0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_shape_and_type_stay(rng: np.random.Generator, channels: tuple[int, ...]) -> None:
    image = np.full((24, 50, *channels), 128, np.float32)
    results = [
        degrade.uneven_light(image, 0.5, rng),
        degrade.blur(image, 1.0, rng),
        degrade.shrink(image, 0.5, rng),
        degrade.add_noise(image, 5.0, rng),
    ]
    assert [result.shape for result in results] == [image.shape] * 4
    assert {result.dtype for result in results} == {np.dtype(np.float32)}
    compressed = degrade.compress_jpeg(degrade.to_uint8(image), 50)
    assert (compressed.shape, compressed.dtype) == (image.shape, np.uint8)


def test_noise_has_the_asked_deviation_and_no_bias(rng: np.random.Generator) -> None:
    grain = degrade.add_noise(np.zeros((100, 400), np.float32), 7.0, rng)
    assert grain.std() == pytest.approx(7.0, rel=0.03)
    assert abs(grain.mean()) < 0.2


def test_noise_is_larger_than_its_pool_if_the_picture_is(rng: np.random.Generator) -> None:
    grain = degrade.add_noise(np.zeros((1100, 1000), np.float32), 1.0, rng)
    assert grain.std() == pytest.approx(1.0, rel=0.01)


def test_noise_is_equal_in_all_colours(rng: np.random.Generator) -> None:
    grain = degrade.add_noise(np.zeros((20, 30, 3), np.float32), 9.0, rng)
    assert np.array_equal(grain[..., 0], grain[..., 2])


def steepness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=1)).max())


def test_blur_and_shrinking_soften_an_edge(rng: np.random.Generator) -> None:
    for seed in range(10):
        assert steepness(degrade.blur(STEP, 2.0, np.random.default_rng(seed))) < 80
    softened = [degrade.shrink(STEP, 0.3, np.random.default_rng(s)) for s in range(10)]
    assert np.median([steepness(image) for image in softened]) < 80


def test_light_changes_slowly_and_never_goes_out() -> None:
    for seed in range(20):
        lit = degrade.uneven_light(STEP, 0.9, np.random.default_rng(seed)) / STEP
        assert lit.min() >= 0.15
        assert steepness(lit) < 0.06


def test_binary_picture_has_two_levels_and_keeps_the_edge(rng: np.random.Generator) -> None:
    noisy = degrade.add_noise(STEP, 10.0, rng)
    binary = degrade.binarize(noisy)
    assert len(np.unique(binary)) == 2
    assert np.array_equal(binary > 130, STEP > 130)


def test_jpeg_keeps_red_red() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    compressed = degrade.compress_jpeg(red, 90)
    assert compressed[..., 0].min() > 180
    assert compressed[..., 2].max() < 30


def test_rounding_clips_instead_of_wrapping() -> None:
    values = np.array([[-5.0, 0.4, 0.6, 254.6, 300.0]], np.float32)
    assert degrade.to_uint8(values).tolist() == [[0, 0, 1, 255, 255]]


def test_worn_ink_is_never_darker(rng: np.random.Generator) -> None:
    ink = np.full((32, 200), 250, np.uint8)
    worn = degrade.erode_ink(ink, 0.5, rng)
    assert set(np.unique(worn)) == {125, 250}


@pytest.mark.parametrize("kind", degrade.GROUNDS)
def test_grounds_are_seeded_and_of_the_asked_size(kind: str) -> None:
    first, again = (degrade.ground_texture(kind, (33, 77), np.random.default_rng(5)) for _ in "ab")
    assert first.shape == (33, 77)
    assert np.array_equal(first, again)
