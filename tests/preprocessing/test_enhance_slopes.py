"""Slopes: found on pages of many kinds, at every angle, and on nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.enhance import deskew, estimate_skew, to_gray, turn
from crnnkit.preprocessing.images import read_image

ROOT = Path(__file__).parents[2]
DEMO_PAGES = sorted((ROOT / "data" / "demo" / "pages").iterdir())
CHINESE_PAGES = ROOT / "benchmarks" / "pages_zh"


@pytest.mark.parametrize("angle", [-44, -14, -6.5, -1, 0, 1.5, 4, 13, 30, 38])
def test_estimate_skew_finds_the_slope(angle, page):
    sloping = turn(page, -angle)[0]
    for image in (sloping, 255 - sloping):
        assert estimate_skew(image) == pytest.approx(angle, abs=0.25)


@pytest.mark.parametrize("angle", [-38, 7, 24, 44])
@pytest.mark.parametrize("path", DEMO_PAGES, ids=lambda path: path.stem)
def test_the_slope_of_worn_pages_with_few_words_is_found(path, angle):
    page = turn(to_gray(read_image(path)), -angle)[0]
    plate = -1.1 if path.stem == "name_plate" else 0  # as it was photographed
    assert estimate_skew(page) == pytest.approx(angle + plate, abs=1)


@pytest.mark.parametrize("angle", [-38, 0, 7, 24])
@pytest.mark.parametrize("name", ["columns_1.jpg", "invoice_3.jpg", "screenshot_8.png"])
def test_hanzi_in_rows_and_columns_do_not_hide_a_slope(name, angle):
    page = turn(to_gray(read_image(CHINESE_PAGES / name)), -angle)[0]
    assert estimate_skew(page) == pytest.approx(angle, abs=0.3)


@pytest.mark.parametrize("angle", [-38, 0, 24, 44])
@pytest.mark.parametrize("name", ["vertical_2.jpg", "vertical_5.jpg"])
def test_columns_of_hanzi_are_set_upright(name, angle):
    page = turn(to_gray(read_image(CHINESE_PAGES / name)), -angle)[0]
    assert estimate_skew(page) == pytest.approx(angle, abs=0.8)


@pytest.mark.parametrize("angle", [66, 90, 114])
def test_text_on_its_side_may_slope_as_well(angle, page):
    assert estimate_skew(turn(page, -angle)[0]) == pytest.approx(angle, abs=0.3)


@pytest.mark.parametrize("text", ["7", "/", "%", ":", "7/7", "DISC%", "X5:18:1", "讲抽出", "二三"])
def test_the_strokes_of_few_letters_are_no_slope(text, make_line):
    for height in (40, 64):
        assert estimate_skew(make_line(text, height=height)) == 0


@pytest.mark.parametrize(
    "path", [*DEMO_PAGES, *CHINESE_PAGES.glob("vertical*")], ids=lambda path: path.stem
)
def test_a_slope_is_no_fault_while_hardly_any_row_is_steeper_for_a_turn(path):
    assert estimate_skew(read_image(path)) == 0


def test_few_large_letters_that_slope_are_not_taken_for_sideways():
    sign = turn(to_gray(read_image(CHINESE_PAGES / "sign_5.jpg")), -44)[0]  # tilted by -2.3
    assert estimate_skew(sign) == pytest.approx(41.7, abs=0.5)


def test_dark_corners_that_turning_left_are_no_text(page):
    height, width = page.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -3, 1)
    on_grey = cv2.warpAffine(page, matrix, (width, height), borderValue=128)
    assert estimate_skew(on_grey) == pytest.approx(3, abs=0.25)


def test_estimate_skew_of_noise_and_of_upright_text_is_zero(make_line, page):
    noise = np.random.default_rng(0).normal(128, 30, (100, 200)).clip(0, 255).astype(np.uint8)
    for image in (noise, make_line("GL-2024-03-001-A 北京市", height=40), page):
        assert estimate_skew(image) == 0


@pytest.mark.parametrize("angle", [-10, 5])
def test_deskew_turns_a_page_level_and_cuts_nothing_off(angle, page):
    sloping = turn(page, -angle)[0]
    level = deskew(sloping)
    assert estimate_skew(level) == 0
    assert level.shape[0] > page.shape[0]
    assert level.shape[1] > page.shape[1]
    ink = [np.count_nonzero(image < 128) for image in (sloping, level)]
    assert ink[1] == pytest.approx(ink[0], rel=0.05)
    assert level.min(axis=0)[[0, -1]].min() > 200  # the new corners are paper
