"""Any text can be written, without pyplot or a system font."""

import subprocess
import sys

import numpy as np

from crnnkit.plots import charts, pictures
from crnnkit.preprocessing.glyphs import draw_text

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
