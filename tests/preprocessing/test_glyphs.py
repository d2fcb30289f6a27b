"""Texts drawn with the font inside OpenCV: every character is its own, or its code point."""

import numpy as np
import pytest

from crnnkit.preprocessing.glyphs import can_draw, draw_text


@pytest.mark.parametrize("pair", ["北京", "己已", "0O", "￥¥", "μΩ", "éè"])
def test_different_characters_look_different(pair):
    first, second = (draw_text(c) for c in pair)
    assert first.max() > 200
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_a_text_keeps_within_its_picture():
    ink = draw_text("Ågjpq|参苓白术散 9g×6袋Å")
    assert ink.dtype == np.uint8
    assert not ink[0].any()
    assert not ink[-1].any()
    # as wide as its characters, not as the canvas
    assert ink.shape[1] > 2 * draw_text("参苓白").shape[1]
    assert ink[:, -12:].any()


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("A", True),
        (" ", True),
        ("?", True),  # what OpenCV shows for characters it lacks, but it has this one
        ("参", True),
        ("℃", False),  # drawn as nothing
        ("\U00020000", False),  # drawn as '?'
        ("🙂", False),
    ],
)
def test_it_is_known_what_the_font_lacks(character, expected):
    assert can_draw(character) is expected


def test_a_character_that_the_font_lacks_is_written_as_its_code_point():
    assert np.array_equal(draw_text("A\U00020000"), draw_text("AU+20000"))
    assert np.array_equal(draw_text("℃"), draw_text("U+2103"))


def test_nothing_can_be_drawn():
    assert not draw_text("").any()
