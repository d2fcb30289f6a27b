"""Shadows: evened wherever they fall; panels, pictures and colours are none, and stay."""

import numpy as np
import pytest

from crnnkit.preprocessing.enhance import auto, choose_steps, flatten_light, is_unevenly_lit
from crnnkit.preprocessing.lines import find_lines


def in_light(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """`image` where so much light falls on each of its columns (W,) or pixels (H, W)."""
    return np.rint(image * (light if image.ndim == 2 else light[..., None])).astype(np.uint8)


def across(page: np.ndarray, *light: float) -> np.ndarray:
    """Light (W,) that changes evenly between values at even distances."""
    return np.interp(np.linspace(0, len(light) - 1, page.shape[1]), range(len(light)), light)


def add_panel(make_line, page: np.ndarray, place: str, value: int) -> np.ndarray:
    """The page with a panel of a grey value, on which stands a light line."""
    height, width = (70, page.shape[1]) if place in ("above", "below") else (page.shape[0], 420)
    panel = np.full((height, width), value, np.uint8)
    line = make_line("GL-2024-03 北京市", height=32, ink=255, paper=value)
    panel[20:52, 60 : 60 + line.shape[1]] = line
    return {
        "above": lambda: np.vstack([panel, page]),
        "below": lambda: np.vstack([page, panel]),
        "beside": lambda: np.hstack([panel, page]),
    }[place]()


@pytest.mark.parametrize("value", [20, 60, 120])
@pytest.mark.parametrize("place", ["above", "below", "beside"])
def test_a_panel_is_no_shadow_and_light_text_on_it_is_found(place, value, make_line, page):
    picture = add_panel(make_line, page, place, value)
    np.testing.assert_array_equal(auto(picture), picture)
    assert len(find_lines(picture)) == 7


def test_a_black_logo_on_white_paper_is_no_shadow(page):
    page[200:300, 440:540] = 0
    np.testing.assert_array_equal(auto(page), page)


@pytest.mark.parametrize(
    "light",
    [(1, 0.4), (0.4, 0.4, 1), (1, 0.4, 1)],
    ids=["falling off", "over most of the page", "over the middle"],
)
def test_a_shadow_is_one_wherever_it_falls(light, page):
    for image in (page, page.T):
        assert is_unevenly_lit(in_light(image, across(image, *light)))


def test_a_page_with_a_panel_may_lie_in_a_shadow(make_line, page):
    picture = add_panel(make_line, page, "above", 20)
    down = np.linspace(1, 0.25, len(picture))[:, None] * np.ones(picture.shape[1])
    assert choose_steps(in_light(picture, down)) == ("flatten_light",)


@pytest.mark.parametrize("height", [90, 300])
def test_bold_letters_are_no_shadow(height, make_line):
    line = make_line("GL-2024-03-001", height=height)
    shadowed = in_light(line, across(line, 0.4, 1))
    assert np.abs(flatten_light(shadowed).astype(int) - line).mean() < 8


def test_more_light_makes_no_colour_darker(page):
    tinted = (np.dstack([page] * 3) * [0.3, 0.5, 1.0]).astype(np.uint8)
    tinted[280:300, 40:240] = 255  # a label lighter than the paper
    tinted[:, 480:] = 0, 0, 255
    shadowed = in_light(tinted, across(page, 0.4, 1))
    assert (flatten_light(shadowed) >= shadowed).all()


@pytest.mark.parametrize("value", [0, 90, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 4), (40, 200), (2, 900)])
def test_blank_pictures_of_any_size_have_no_shadow(value, size):
    blank = np.full(size, value, np.uint8)
    with np.errstate(all="raise"):
        assert choose_steps(blank) == ()
        np.testing.assert_array_equal(flatten_light(blank), blank)
    assert not is_unevenly_lit(blank)
