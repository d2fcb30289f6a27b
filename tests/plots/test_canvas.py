"""Any text can be written, without pyplot or a system font."""

import subprocess
import sys
from itertools import combinations

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from crnnkit.plots import charts, pictures
from crnnkit.plots.canvas import BLUE, GREEN, ORANGE, RED
from crnnkit.preprocessing.glyphs import BASELINE_PX, GLYPH_PX, draw_text

CHINESE = "参苓白术散 9g×6袋"


def test_nothing_of_the_figures_needs_pyplot():
    code = "import sys; from crnnkit.plots.charts import plot_confusions; "
    code += "plot_confusions({('a', 'b'): 1})._repr_jpeg_(); "
    code += "sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_equal_figures_give_equal_svg(epoch):
    first, second = (charts.plot_history([epoch(1, 0.5)]).svg() for _ in range(2))
    assert first == second
    assert b"<svg" in first


def test_a_text_that_matplotlib_cannot_write_is_drawn_as_a_picture(line, text_boxes, ink_of):
    axes = pictures.plot_line_grid([line, line], [CHINESE, "GL-2024"]).axes
    (box,) = text_boxes(axes[0])
    assert np.array_equal(ink_of(box), draw_text(CHINESE))
    assert [text.get_text() for text in axes[1].texts] == ["GL-2024"]


def test_a_character_of_matplotlib_s_font_stands_among_hanzi(line, text_boxes, ink_of):
    axes = pictures.plot_line_grid([line, line], ["温度 43℃", "温度 43"]).axes
    with_sign, without = (ink_of(text_boxes(a)[0]) for a in axes)
    sign = with_sign[:, without.shape[1] :]
    assert np.array_equal(with_sign[:, : without.shape[1]], without)
    assert 0.5 * GLYPH_PX < sign.shape[1] < 1.5 * GLYPH_PX, "a sign, not its code point"
    rows = np.flatnonzero(sign.any(1))
    assert abs(rows[-1] - BASELINE_PX) <= 2, "on the line that the digits stand on"


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
EYES = {
    "usual": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("pair", list(combinations((BLUE, ORANGE, GREEN, RED), 2)))
def test_colours_differ_for_every_eye(eye, pair):
    lab = []
    for colour in pair:
        srgb = np.array(to_rgb(colour))
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        seen = np.array(EYES[eye]) @ linear
        pixel = seen.clip(0, 1).astype(np.float32).reshape(1, 1, 3)
        lab.append(cv2.cvtColor(pixel, cv2.COLOR_LRGB2Lab).ravel())
    assert np.linalg.norm(lab[0] - lab[1]) > 20  # a difference of 2 is just seen


def test_dollar_signs_are_no_formula(line, words):
    figure = pictures.plot_line_grid([line], ["$x$"])
    assert words(figure) == ["$x$"]
    assert not any(text.get_parse_math() for axes in figure.axes for text in axes.texts)


def test_a_picture_of_a_text_is_as_large_as_written_ones(line, text_boxes):
    figure = pictures.plot_line_grid([line, line], ["口口口口", "MMMM"])
    figure.draw_without_rendering()
    (box,) = text_boxes(figure.axes[0])
    written = figure.axes[1].texts[0].get_window_extent()
    assert 0.7 < box.get_window_extent().width / written.width < 1.4
