from pathlib import Path

import cv2
import numpy as np
import pytest

from crnnkit.errors import ConfigError
from crnnkit.preprocessing.enhance import (
    STEPS,
    auto,
    choose_steps,
    deblur,
    denoise,
    enhance,
    estimate_blur,
    estimate_noise,
    flatten_light,
    flatten_sheet,
    is_light_on_dark,
    sharpen,
    stretch_contrast,
    to_gray,
)
from crnnkit.preprocessing.images import read_image

DEMO_PAGES = sorted((Path(__file__).parents[2] / "data" / "demo" / "pages").iterdir())


@pytest.fixture
def line(make_line) -> np.ndarray:
    """A clean line, black on white."""
    return make_line("GL-2024-03-001-A 北京市", height=40)


def turned(image: np.ndarray, angle: float) -> np.ndarray:
    """`image` turned so that its lines fall to the right by `angle` degrees, on white."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    return cv2.warpAffine(image, matrix, (width, height), borderValue=(255, 255, 255))


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def darkened(image: np.ndarray, least: float = 0.25) -> np.ndarray:
    """Light falls off, to a quarter if not told otherwise, from the left to the right."""
    light = np.linspace(1, least, image.shape[1])
    return (image * (light if image.ndim == 2 else light[:, None])).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


SHEET = np.array([[134, 21], [558, 14], [645, 335], [34, 342]], np.float32)
"""Corners of the photographed page, px."""


def photographed(image: np.ndarray, table: int = 40, corners: np.ndarray = SHEET) -> np.ndarray:
    """A page on a table, seen from below and a little from the left: (353, 673)."""
    height, width = image.shape[:2]
    page_corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    view = cv2.getPerspectiveTransform(page_corners, corners)
    return cv2.warpPerspective(image, view, (673, 353), borderValue=(table,) * 3)


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_step_takes_grey_and_colour_and_changes_only_its_copy(name, channels, line):
    image = line if channels == 1 else np.dstack([line] * 3)
    before = image.copy()
    result = STEPS[name](image)
    np.testing.assert_array_equal(image, before)
    assert result.dtype == np.uint8
    assert result.shape[:2] == image.shape[:2]
    assert result.ndim == (2 if name == "to_gray" else image.ndim)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("polarity", ["dark on light", "light on dark"])
def test_every_step_leaves_clean_text_nearly_as_it_is(name, polarity, line, page):
    for clean in (line, page):
        image = clean if polarity == "dark on light" else 255 - clean
        assert mean_difference(STEPS[name](image), image) < 4


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("value", [0, 90, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 4), (40, 200)])
def test_every_step_leaves_blank_pictures_of_any_size_alone(name, value, size):
    blank = np.full(size, value, np.uint8)
    np.testing.assert_array_equal(STEPS[name](blank), blank)


def test_to_gray_weighs_the_channels_as_red_green_blue():
    primaries = np.eye(3, dtype=np.uint8)[None] * 255
    assert to_gray(primaries).tolist() == [[76, 150, 29]]


@pytest.mark.parametrize(
    ("ink", "paper", "expected"),
    [
        (0, 255, False),  # print
        (255, 0, True),  # a dark screen
        (100, 130, False),  # faded
        (200, 60, True),
        (128, 128, False),  # blank
    ],
)
def test_is_light_on_dark(ink, paper, expected, make_line):
    assert is_light_on_dark(make_line("GL-2024", ink=ink, paper=paper)) is expected


@pytest.mark.parametrize("height", [20, 24])
def test_letters_of_a_low_plate_are_light_whatever_stands_beside_it(height, make_line):
    plate = make_line("A12345", height=height, ink=160, paper=70)
    wall = np.full((height, 3), 255, np.uint8)
    assert is_light_on_dark(np.hstack([wall, plate, wall]))


def test_stretch_contrast_spreads_faded_text_over_the_whole_range(make_line):
    faded = make_line("GL-2024-03", ink=110, paper=170)
    stretched = stretch_contrast(faded)
    assert (stretched.min(), stretched.max()) == (0, 255)
    np.testing.assert_array_equal(stretch_contrast(stretched), stretched)


def test_stretch_contrast_does_not_show_the_grain_of_blank_paper():
    blank = noisy(np.full((100, 200), 200, np.uint8), 2)
    np.testing.assert_array_equal(stretch_contrast(blank), blank)


def test_stretch_contrast_sees_text_that_covers_little_of_the_page(line):
    page = np.full((600, 800), 255, np.uint8)
    page[100:140, 100 : 100 + line.shape[1]] = line
    faded = (page * 0.3 + 100).astype(np.uint8)
    assert mean_difference(stretch_contrast(faded), page) < 1


def test_stretch_contrast_keeps_the_tint_of_colours():
    image = np.zeros((10, 10, 3), np.uint8) + np.array([80, 100, 120], np.uint8)
    image[:5] += 60
    stretched = stretch_contrast(image).astype(int)
    assert (stretched[..., 0] < stretched[..., 1]).all()
    assert (stretched[..., 1] < stretched[..., 2]).any()


def test_flatten_light_takes_a_shadow_off_a_page(page):
    across = np.linspace(0.35, 1, page.shape[1])
    shadowed = (page * across).astype(np.uint8)
    flat = flatten_light(shadowed)
    paper = page == 255
    assert shadowed[paper].std() > 40
    assert flat[paper].std() < 8
    assert mean_difference(flat, page) < 0.2 * mean_difference(shadowed, page)


def test_flatten_light_takes_a_shadow_off_a_bold_line(make_line):
    line = make_line("GL-2024-03-001-A", height=90)
    shadowed = (line * np.linspace(0.4, 1, line.shape[1])).astype(np.uint8)
    assert mean_difference(flatten_light(shadowed), line) < 8


def test_flatten_light_evens_a_dark_screen_too(page):
    screen = 255 - (page * np.linspace(0.5, 1, page.shape[1])).astype(np.uint8)
    even = 255 - page
    assert mean_difference(flatten_light(screen), even) < 0.2 * mean_difference(screen, even)


def test_flatten_light_takes_a_black_margin_for_no_shadow(page):
    beside = noisy(np.full((page.shape[0], 120), 4, np.uint8), 2)
    flat = flatten_light(np.hstack([beside, page]))
    assert flat[:, :90].mean() < 40


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_estimate_noise_finds_the_sigma_that_was_added(sigma, page):
    grey_page = (page * 0.5 + 60).astype(np.uint8)  # room for noise on both sides
    assert estimate_noise(grey_page) == 0
    assert estimate_noise(noisy(grey_page, sigma)) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("channels", [1, 3])
def test_denoise_removes_most_noise_and_keeps_the_strokes(channels, page):
    clean = page if channels == 1 else np.dstack([page] * 3)
    clean = (clean * 0.5 + 60).astype(np.uint8)
    dirty = noisy(clean, 12)
    assert mean_difference(denoise(dirty), clean) < 0.5 * mean_difference(dirty, clean)


def test_denoise_does_not_touch_clean_text(line):
    for clean in (line, noisy(line // 2 + 60, 1)):
        np.testing.assert_array_equal(denoise(clean), clean)


def test_sharpen_steepens_blurred_edges(line):
    blurred = cv2.GaussianBlur(line, (0, 0), 1.5)
    sharpened = sharpen(blurred)
    assert mean_difference(sharpened, line) < mean_difference(blurred, line)
    before, after = (np.abs(np.diff(image.astype(int))).max() for image in (blurred, sharpened))
    assert after > 1.2 * before


def test_enhance_applies_steps_in_the_order_given(line):
    faded = (line // 4 + 100).astype(np.uint8)
    expected = sharpen(stretch_contrast(faded))
    np.testing.assert_array_equal(enhance(faded, ("stretch_contrast", "sharpen")), expected)
    assert (enhance(faded, ("sharpen", "stretch_contrast")) != expected).any()
    np.testing.assert_array_equal(enhance(faded, ()), faded)


def test_enhance_names_every_unknown_step_and_its_neighbour(line):
    expected = (
        r"'strech_contrast' \(did you mean 'stretch_contrast'\?\), 'xyz'\. Known steps: to_gr"
    )
    with pytest.raises(ConfigError, match=expected):
        enhance(line, ["strech_contrast", "sharpen", "xyz"])


# ---------------------------------------------------------------- focus


def test_estimate_blur_grows_with_the_blur_whatever_the_contrast(page):
    estimates = [estimate_blur(blurred(page, sigma)) for sigma in (0.1, 1, 1.5, 2, 3)]
    assert estimates == sorted(estimates)
    assert estimates[0] < 1 < estimates[2] < 1.5 < estimates[3] < 2 < estimates[4]
    faded = (blurred(page, 2) * 0.4 + 90).astype(np.uint8)
    assert estimate_blur(faded) == pytest.approx(estimates[3], rel=0.05)
    assert estimate_blur(np.full((40, 90), 200, np.uint8)) == 0
    assert estimate_blur(noisy(np.full((40, 90), 200, np.uint8), 1)) == 0


@pytest.mark.parametrize("pattern", ["stripes", "checks"])
def test_stripes_and_dots_a_pixel_wide_are_sharp_and_left_to_the_pixel(pattern, page):
    rows, columns = np.mgrid[: len(page), : page.shape[1]]
    bare = ((rows + columns * (pattern == "checks")) % 2 * 255).astype(np.uint8)
    worn = noisy(bare, 3)  # slopes next to none
    for picture in (bare, worn, np.vstack([page, bare]), np.vstack([page, worn])):
        assert estimate_blur(picture) < 1
        np.testing.assert_array_equal(deblur(picture), picture)
    assert estimate_blur(np.vstack([blurred(page, 2), bare])) > 1.5


@pytest.mark.parametrize(
    ("sigma", "left"),  # how much of the difference to the sharp page is left
    [(1.4, 0.65), (1.5, 0.65), (2.0, 0.8), (2.5, 0.9)],
)
def test_deblur_brings_a_page_nearer_to_the_sharp_one(sigma, left, page):
    soft = blurred(page, sigma)
    assert mean_difference(deblur(soft), page) < left * mean_difference(soft, page)


def test_a_sharp_speck_does_not_hide_that_faded_text_is_out_of_focus(page):
    faded = (blurred(page, 2) * 0.35 + 150).astype(np.uint8)
    faded[10:13, 10:13] = 0
    assert choose_steps(faded) == ("deblur",)


def test_deblur_leaves_sharp_pictures_to_the_pixel(line, page):
    for sharp in (line, page, 255 - page, blurred(page, 0.7)):
        np.testing.assert_array_equal(deblur(sharp), sharp)


def test_deblur_treats_light_text_and_every_colour_alike(page):
    soft = blurred(page)
    negative = 255 - deblur(255 - soft)
    assert np.abs(negative.astype(int) - deblur(soft)).max() <= 1
    coloured = deblur(np.dstack([soft] * 3))
    np.testing.assert_array_equal(coloured, np.dstack([deblur(soft)] * 3))


# ---------------------------------------------------------------- a sheet on a table


def test_flatten_sheet_looks_at_the_page_from_straight_above(page):
    photo = photographed(page)
    flat = flatten_sheet(photo)
    assert photo[:, :30].max() < 50 < flat[:, :30].min(), "no table is left"

    def coarse(image: np.ndarray) -> np.ndarray:
        return cv2.resize(image, (70, 40), interpolation=cv2.INTER_AREA)

    assert mean_difference(coarse(flat), coarse(page)) < 6
    assert mean_difference(coarse(photo), coarse(page)) > 60


# ---------------------------------------------------------------- what a picture needs

FAULTS = {
    "clean": (lambda page: page, ()),
    "light on dark": (lambda page: 255 - page, ()),
    "dim all over": (lambda page: page // 2, ()),  # even light: the network's input sees to it
    "low contrast": (lambda page: page // 4 + 100, ()),
    "a little soft": (lambda page: blurred(page, 0.7), ()),
    "slanting": (lambda page: turned(page, 7), ("deskew",)),
    "slanting light text": (lambda page: 255 - turned(page, -4), ("deskew",)),
    "on its side": (lambda page: np.rot90(page).copy(), ("deskew",)),
    "darkened": (darkened, ("flatten_light",)),
    "darkened by half": (lambda page: darkened(page, 0.5), ("flatten_light",)),
    "darkened by a fifth": (lambda page: darkened(page, 0.8), ()),
    "a dark screen in a glare": (lambda page: 255 - darkened(page), ("flatten_light",)),
    "blurred": (blurred, ("deblur",)),
    "photographed": (photographed, ("flatten_sheet",)),
    "all of them": (  # the sheet first: its table is neither shadow nor slope
        lambda page: photographed(darkened(blurred(page))),
        ("flatten_sheet", "flatten_light", "deblur"),
    ),
    "slanting in a shadow": (lambda page: darkened(turned(page, 7)), ("deskew", "flatten_light")),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("fault", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_picture_gets_the_steps_that_its_fault_needs_and_no_other(
    fault, expected, channels, page
):
    picture = fault(page if channels == 1 else np.dstack([page] * 3))
    assert choose_steps(picture) == expected


@pytest.mark.parametrize("path", DEMO_PAGES, ids=lambda path: path.stem)
def test_a_good_page_of_the_demo_set_stays_to_the_pixel_and_its_faults_are_seen(path):
    page = read_image(path)
    np.testing.assert_array_equal(auto(page), page)
    assert choose_steps(darkened(page)) == ("flatten_light",)
    assert choose_steps(blurred(page)) == ("deblur",)


@pytest.mark.parametrize(("fault", "expected"), FAULTS.values(), ids=FAULTS)
def test_after_auto_there_is_nothing_left_to_mend(fault, expected, page):
    picture = fault(page)
    mended = auto(picture)
    assert choose_steps(mended) == ()
    assert np.array_equal(mended, picture) == (expected == ())


@pytest.mark.parametrize(
    ("fault", "left"),  # how much of the difference to the good page is left
    [(darkened, 0.15), (blurred, 0.65)],
)
def test_auto_brings_a_page_back(fault, left, page):
    spoiled = fault(page)
    assert mean_difference(auto(spoiled), page) < left * mean_difference(spoiled, page)


@pytest.mark.parametrize("sigma", [2, 4])
def test_a_large_page_is_sharpened_in_bands_without_seams(sigma, make_line):
    row = np.hstack([make_line("北京市朝阳区 GL-2024", height=40)] * 5)
    page = np.tile(np.vstack([row, np.full_like(row, 255)]), (8, 1))
    soft = blurred(page, sigma)
    assert estimate_blur(soft) == pytest.approx(estimate_blur(soft[:160]), rel=0.05)
    whole, part = deblur(soft), deblur(soft[150:450])  # around the seam at row 192
    assert np.abs(whole[250:350].astype(int) - part[100:200]).max() <= 1


def test_the_blur_of_a_large_page_is_that_of_its_parts(make_line):
    row = np.hstack([make_line("北京市朝阳区 GL-2024", height=40)] * 8)
    page = np.tile(np.vstack([row, np.full_like(row, 255)]), (9_000_000 // row.size, 1))
    page[:100] = 255
    assert page.size > 8_000_000
    part = blurred(page[:800], 2)
    assert estimate_blur(part) > 1.5
    assert estimate_blur(blurred(page, 2)) == pytest.approx(estimate_blur(part), rel=0.05)
