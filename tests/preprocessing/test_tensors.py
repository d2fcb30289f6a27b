import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.errors import ConfigError, ImageError
from crnnkit.preprocessing.tensors import (
    LineConfig,
    content_width,
    fit_line,
    line_to_array,
    line_width,
    median_gray,
)

CONFIG = LineConfig()
MODELSCOPE = LineConfig("modelscope", width_multiple=640, max_width=640)
STRETCHED = LineConfig("meijieru", width_multiple=1, min_width=100, max_width=100)
KEPT = LineConfig("meijieru", width_multiple=1, min_width=32)


@pytest.mark.parametrize(
    ("size_hw", "content", "padded"),
    [
        ((32, 320), 320, 320),
        ((24, 94), 125, 128),  # a licence plate
        ((64, 320), 160, 160),
        ((32, 321), 321, 352),
        ((100, 1), 1, 32),  # never narrower than a pixel
        ((10, 10_000), 2048, 2048),  # squeezed
    ],
)
def test_widths(size_hw, content, padded):
    assert content_width(size_hw, CONFIG) == content
    assert line_width(size_hw, CONFIG) == padded
    array = line_to_array(np.zeros(size_hw, np.uint8), CONFIG)
    assert array.shape == (1, 32, padded)
    assert array.dtype == np.float32


def test_ground_is_zero_and_ink_positive_whatever_the_colours(make_line):
    dark_on_bright = line_to_array(make_line("A1B2"), CONFIG)
    bright_on_dark = line_to_array(255 - make_line("A1B2"), CONFIG)
    faint = line_to_array(make_line("A1B2", ink=100, paper=160), CONFIG)
    np.testing.assert_allclose(bright_on_dark, dark_on_bright, atol=1e-5)
    np.testing.assert_allclose(faint, dark_on_bright, atol=0.2)
    assert np.median(dark_on_bright) == 0
    assert dark_on_bright.max() > 1.5
    assert dark_on_bright.min() > -0.5


def test_the_padding_is_ground(make_line):
    line = make_line("A1B2")
    array = line_to_array(line, CONFIG)
    content = content_width(line.shape[:2], CONFIG)
    assert content < array.shape[2]
    assert not array[:, :, content:].any()


def test_an_empty_line_stays_quiet():
    rng = np.random.default_rng(0)
    noisy = (200 + rng.normal(0, 1, (32, 96))).astype(np.uint8)
    assert np.abs(line_to_array(noisy, CONFIG)).max() < 2
    assert not line_to_array(np.full((32, 96), 7, np.uint8), CONFIG).any()


@given(st.integers(1, 200), st.integers(1, 900))
def test_any_size_fits_its_own_multiple(height, width):
    rng = np.random.default_rng((height, width))
    gray = rng.integers(0, 256, (height, width), np.uint8)
    fitted = fit_line(gray, CONFIG)
    assert fitted.shape == (32, line_width((height, width), CONFIG))
    assert fitted.shape[1] % CONFIG.width_multiple == 0


@pytest.mark.parametrize(
    ("config", "size_hw", "content", "padded"),
    [
        (MODELSCOPE, (32, 100), 100, 640),
        (MODELSCOPE, (30, 100), 106, 640),  # 106.7 is rounded down
        (MODELSCOPE, (32, 641), 640, 640),  # beyond 20:1 squashed
        (MODELSCOPE, (99, 1), 1, 640),
        (STRETCHED, (32, 10), 100, 100),
        (STRETCHED, (32, 900), 100, 100),
        (KEPT, (30, 100), 106, 106),
        (KEPT, (32, 10), 32, 32),  # never higher than wide
    ],
)
def test_widths_of_other_conventions(config, size_hw, content, padded):
    assert content_width(size_hw, config) == content
    array = line_to_array(np.zeros(size_hw, np.uint8), config)
    assert array.shape == (1, 32, padded) == (1, 32, line_width(size_hw, config))
    assert array.dtype == np.float32


def test_values_of_other_conventions():
    red = np.zeros((32, 40, 3), np.uint8)
    red[:, :, 0] = 255
    array = line_to_array(red, MODELSCOPE)[0]
    np.testing.assert_allclose(array[:, :40], 0.2989, atol=1e-6)
    assert not array[:, 40:].any()
    for gray, value in [(0, -1), (255, 1), (51, -0.6)]:
        array = line_to_array(np.full((20, 30), gray, np.uint8), STRETCHED)
        np.testing.assert_allclose(array, value, atol=1e-6)


def test_grey_and_its_rgb_copy_give_the_same(make_line):
    gray = make_line("北京 1")
    rgb = np.repeat(gray[:, :, np.newaxis], 3, 2)
    np.testing.assert_array_equal(line_to_array(gray, CONFIG), line_to_array(rgb, CONFIG))


def test_configured_steps_are_applied(make_line):
    line = make_line("A1B2", ink=100, paper=120)
    plain = fit_line(line, CONFIG)
    stretched = fit_line(line, LineConfig(enhance=("stretch_contrast",)))
    assert np.ptp(stretched) > 2 * np.ptp(plain)


@pytest.mark.parametrize(
    "image", [np.zeros((0, 5), np.uint8), np.zeros((4, 5)), np.zeros(9, np.uint8)]
)
def test_what_is_no_picture_is_refused_with_its_shape(image):
    with pytest.raises(ImageError, match=r"line of shape .*read_image"):
        fit_line(image, CONFIG)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 0}, "height is 0"),
        ({"max_width": 100}, "100 is no multiple of"),
        ({"min_width": 33, "max_width": 32}, "min_width 33 is greater than max_width 32"),
        ({"convention": "paddle"}, "'paddle'; it must be one of crnnkit, modelscope, meijieru"),
    ],
)
def test_impossible_sizes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LineConfig(**settings)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40))
def test_the_median_is_numpys(values):
    gray = np.array([values], np.uint8)
    assert median_gray(gray) == np.median(gray)
