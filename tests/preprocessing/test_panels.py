"""Panels of light text become dark on light; what only looks like one stays."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.panels import dark_on_light

PAPER = 240


@pytest.fixture
def page(make_line) -> np.ndarray:
    """Dark text, and room for a panel below it: (300, 500)."""
    page = np.full((300, 500), PAPER, np.uint8)
    line = make_line("设备维护记录 GL-2024", height=32, ink=20, paper=PAPER)
    page[30:62, 40 : 40 + line.shape[1]] = line
    return page


@pytest.fixture
def panel(make_line) -> np.ndarray:
    """Light text on dark: (60, 320)."""
    panel = np.full((60, 320), 40, np.uint8)
    label = make_line("INVOICE 2024", height=36, ink=PAPER, paper=40)
    panel[12:48, 30 : 30 + label.shape[1]] = label
    return panel


def test_a_panel_becomes_dark_text_on_white_and_the_page_given_stays(page, panel):
    page[150:210, 100:420] = panel
    page = cv2.GaussianBlur(page, (0, 0), 1.5)
    before = page.copy()
    seen = dark_on_light(page)
    np.testing.assert_array_equal(page, before)
    np.testing.assert_array_equal(seen[:100], page[:100])
    assert seen[140:220, 90:120].min() > 200, "its soft edge is gone, too"
    inside, text = seen[155:205, 105:415].astype(int), panel[5:55, 5:315] > 200
    assert inside[text].mean() < 170
    assert inside[~cv2.dilate(text.astype(np.uint8), np.ones((9, 9))).astype(bool)].min() > 235


def test_a_dark_page_is_turned_to_its_negative(page):
    np.testing.assert_array_equal(dark_on_light(255 - page), page)


def test_a_page_in_a_shadow_is_evened(page):
    light = np.linspace(0.3, 1, page.shape[1])
    seen = dark_on_light((page * light).astype(np.uint8))
    assert seen[page == PAPER].std() < 10


def disc_with_text(page: np.ndarray) -> None:
    cv2.circle(page, (200, 190), 70, 40, -1)
    cv2.putText(page, "OK", (165, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.2, PAPER, 3)


def frame_round_text(page: np.ndarray) -> None:
    cv2.rectangle(page, (20, 15), (480, 90), 40, 8)


def small_mark(page: np.ndarray) -> None:
    page[150:160, 100:130] = 40
    page[153:157, 105:125:3] = PAPER


@pytest.mark.parametrize("draw", [disc_with_text, frame_round_text, small_mark])
def test_what_is_no_panel_of_text_stays(page, draw):
    draw(page)
    np.testing.assert_array_equal(dark_on_light(page), page)


def test_specks_of_a_dithered_page_are_not_followed_one_by_one(page, panel, monkeypatch):
    page[120:180, 100:420] = panel
    rows, columns = np.mgrid[: len(page), : page.shape[1]]
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16 + 8
    shade = np.linspace(0.2, 1, page.shape[1])
    dithered = np.where(page * shade > bayer[rows % 4, columns % 4], 255, 0).astype(np.uint8)
    followed = []

    def find_contours(*arguments):
        contours, hierarchy = real(*arguments)
        followed.append(len(contours))
        return contours, hierarchy

    real = cv2.findContours
    monkeypatch.setattr(cv2, "findContours", find_contours)
    dark_on_light(dithered)
    assert followed[0] < 200
    monkeypatch.setattr("crnnkit.preprocessing.panels._GRAINY", 1)
    dark_on_light(dithered)
    assert followed[-1] > 10_000


@pytest.mark.parametrize("grainy", [0, 1])
def test_specks_decide_nothing(page, panel, monkeypatch, grainy):
    page[120:180, 100:420] = panel
    page[200:260:3, 50:450:5] = 0  # specks in the light, and in the dark
    page[270:295, 60:400] = 30
    page[272:293:4, 64:396:6] = 220
    expected = dark_on_light(page)
    monkeypatch.setattr("crnnkit.preprocessing.panels._GRAINY", grainy)
    np.testing.assert_array_equal(dark_on_light(page), expected)
