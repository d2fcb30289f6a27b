"""Figures show what they are given, whatever the characters, without pyplot or warnings."""

import io
import subprocess
import sys
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.offsetbox import AnnotationBbox
from PIL import Image

from crnnkit import plots
from crnnkit.metrics import score
from crnnkit.preprocessing.glyphs import draw_text

CHINESE = "参苓白术散 9g×6袋"
ODD = ["", " ", "$1 and $2", r"\frac{1}", "a_b^c", CHINESE, "37℃ 体温", "\U00020000", "🙂"]


def drawn(figure):
    """Render without a warning; uint8 (H, W, 3)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.asarray(Image.open(io.BytesIO(figure._repr_jpeg_())).convert("RGB"))


def words(figure):
    """Every text of a figure that matplotlib writes itself."""
    figure.draw_without_rendering()
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [axes.get_title() for axes in figure.axes] + [t.get_text() for t in figure.texts]
    return [text for text in found if text]


def epoch(number, val_cer, val_loss=1.0):
    return SimpleNamespace(
        epoch=number, train_loss=2.0, train_cer=0.5, val_loss=val_loss, val_cer=val_cer
    )


@pytest.fixture
def line(make_line):
    return make_line(CHINESE)


PAGE = np.full((200, 160), 255, np.uint8)
PAGE[40:80, 20:140] = 0
QUAD = np.array([[10, 20], [150, 20], [150, 50], [10, 50]], np.float32)
SCORE_BY_LENGTH = {"1–5": score(["AB"], ["A"]), "6–10": score(["ABCDEF"], ["ABCDEF"])}
RARE = "\U00020000"

# One of each, with characters that matplotlib's font lacks wherever there is a text.
FIGURES = {
    "line_grid": lambda line: plots.plot_line_grid([line] * len(ODD), ODD),
    "steps": lambda line: plots.plot_steps({"as given": line, "灰度": 255 - line}),
    "page_steps": lambda line: plots.plot_steps({"as given": PAGE, "灰度": PAGE}),
    "page_boxes": lambda line: plots.plot_page_boxes(PAGE, [QUAD, QUAD + 60]),
    "length_and_width": lambda line: plots.plot_length_and_width([3, 9, 4], [64, 320, 96]),
    "character_frequency": lambda line: plots.plot_character_frequency(
        Counter(CHINESE + "℃$" + RARE), missing=["参", RARE]
    ),
    "history": lambda line: plots.plot_history([epoch(1, 0.5), epoch(2, 0.2)]),
    "readings_over_epochs": lambda line: plots.plot_readings_over_epochs(
        [line] * 2, [CHINESE, "$1 $2"], {1: ["", ""], 2: [CHINESE, "🙂"]}
    ),
    "before_after": lambda line: plots.plot_before_after(
        [line] * 2, [CHINESE, "$1 $2"], ["", RARE], ["37℃ 体温", "$1 $2"]
    ),
    "confusions": lambda line: plots.plot_confusions(
        {("参", "叁"): 3, ("", " "): 2, ("$", "S"): 1}
    ),
    "cer_by_length": lambda line: plots.plot_cer_by_length(SCORE_BY_LENGTH),
    "reading": lambda line: plots.plot_reading(line, "参A", [(1, 3), (4, 5)], [0.9, 0.3], 20),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_without_a_warning(line, name):
    picture = drawn(FIGURES[name](line))
    assert picture.shape[1] in (800, 1000)
    assert picture.std() > 5


def test_every_plot_is_among_those_drawn_above():
    functions = {name.removeprefix("plot_") for name in vars(plots) if name.startswith("plot_")}
    assert functions | {"page_steps"} == set(FIGURES)


def test_nothing_of_the_figures_needs_pyplot():
    code = "import sys, crnnkit.plots as p; p.plot_confusions({('a', 'b'): 1})._repr_jpeg_(); "
    code += "sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_equal_figures_give_equal_svg():
    first, second = (plots.plot_history([epoch(1, 0.5)]).svg() for _ in range(2))
    assert first == second
    assert b"<svg" in first


# ---------------------------------------------------------------- texts


def ink_of(box):
    return np.asarray(box.offsetbox.get_data())[..., 3]


def test_a_text_that_matplotlib_cannot_write_is_drawn_as_a_picture(line):
    axes = plots.plot_line_grid([line, line], [CHINESE, "GL-2024"]).axes
    (box,) = (a for a in axes[0].artists if isinstance(a, AnnotationBbox))
    assert np.array_equal(ink_of(box), draw_text(CHINESE))
    assert [text.get_text() for text in axes[1].texts] == ["GL-2024"]


def test_dollar_signs_are_no_formula(line):
    figure = plots.plot_line_grid([line], ["$x$"])
    assert words(figure) == ["$x$"]
    assert not any(text.get_parse_math() for axes in figure.axes for text in axes.texts)


def test_a_picture_of_a_text_is_as_large_as_written_ones(line):
    figure = plots.plot_line_grid([line, line], ["口口口口", "MMMM"])
    figure.draw_without_rendering()
    (box,) = (a for a in figure.axes[0].artists if isinstance(a, AnnotationBbox))
    written = figure.axes[1].texts[0].get_window_extent()
    assert 0.7 < box.get_window_extent().width / written.width < 1.4


# ---------------------------------------------------------------- what each shows


def test_readings_are_marked_right_or_wrong(line):
    figure = plots.plot_before_after([line] * 2, ["A1", "B2"], ["A7", "B2"], ["A1", ""])
    shown = [(t.get_text(), to_hex(t.get_color())) for axes in figure.axes for t in axes.texts]
    readings = [item for item in shown if item[0] not in ("printed", "before", "after", "")]
    assert readings == [
        *[("A1", plots.INK), ("✗", plots.RED), ("A7", plots.RED)],
        *[("✓", plots.GREEN), ("A1", plots.GREEN)],
        *[("B2", plots.INK), ("✓", plots.GREEN), ("B2", plots.GREEN)],
        *[("✗", plots.RED), ("∅", plots.RED)],  # nothing read
    ]


def test_readings_over_epochs_name_their_epochs(line):
    figure = plots.plot_readings_over_epochs([line], ["AB"], {1: [""], 5: ["AB"]})
    assert [w for w in words(figure) if w[0] in "pe∅A"] == [
        *["printed", "AB", "epoch 1", "∅", "epoch 5", "AB"]
    ]


def test_the_epoch_kept_is_the_one_of_lowest_cer_then_loss():
    history = [epoch(1, 0.4), epoch(2, 0.1, 2.0), epoch(3, 0.1, 1.0), epoch(4, 0.2)]
    figure = plots.plot_history(history)
    assert "best: epoch 3, CER 10.00%" in words(figure)
    (kept,) = (curve for curve in figure.axes[1].lines if curve.get_label() == "kept")
    assert kept.get_xydata().tolist() == [[3, 0.1]]


def test_one_epoch_is_visible():
    axes = plots.plot_history([epoch(1, 0.4)]).axes[1]
    assert [tick for tick in axes.get_xticks() if 0.9 < tick < 1.1] == [1]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 0.5  # the training CER, with room above


def test_characters_come_by_frequency_and_missing_ones_first_in_red():
    figure = plots.plot_character_frequency(Counter("AAAABBBCCD"), missing=["C"], num_shown=3)
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [2, 4, 3]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        *[plots.RED, plots.BLUE, plots.BLUE]
    ]
    assert [text.get_text() for text in axes.texts] == ["C", "A", "B"]
    title = "4 characters (3 shown), 1 occur once, 1 missing in the vocabulary (red)"
    assert axes.get_title() == title


def test_a_code_point_stands_upright_below_its_bar():
    figure = plots.plot_character_frequency(Counter(["\U00020000", "参"]))
    boxes = [a for a in figure.axes[0].artists if isinstance(a, AnnotationBbox)]
    assert sorted(ink_of(box).shape[0] > ink_of(box).shape[1] * 2 for box in boxes) == [False, True]


def test_confusions_come_by_frequency_and_are_named():
    counts = {("1", "I"): 2, ("0", "O"): 5, ("", " "): 3}
    (axes,) = plots.plot_confusions(counts, num_shown=2).axes
    assert [bar.get_width() for bar in axes.patches] == [5, 3]
    assert [t.get_text() for t in axes.texts if "→" in t.get_text()] == ["0 → O", "∅ → ␣"]
    assert "10 errors in all" in axes.get_xlabel()


def test_bars_of_cer_by_length_name_rate_and_lines():
    (axes,) = plots.plot_cer_by_length({"1–5": score(["ABCD"], ["ABC"])}).axes
    assert [bar.get_height() for bar in axes.patches] == [0.25]
    assert "25.0%\n1 line" in [text.get_text() for text in axes.texts]


def test_quads_are_outlined_and_numbered_in_order():
    page = np.zeros((100, 100, 3), np.uint8)
    quads = [np.array([[x, 10], [x + 20, 10], [x + 20, 30], [x, 30]], float) for x in (10, 60)]
    (axes,) = plots.plot_page_boxes(page, quads).axes
    assert [patch.get_xy()[:4].tolist() for patch in axes.patches] == [q.tolist() for q in quads]
    assert [(t.get_text().strip(), t.get_position()) for t in axes.texts] == [
        *[("1", (10, 20)), ("2", (60, 20))]
    ]


def test_a_reading_lies_over_its_time_steps():
    line = np.zeros((32, 80), np.float32)
    figure = plots.plot_reading(line, "A1", [(2, 4), (10, 11)], [0.95, 0.6], num_steps=20)
    picture, bars = figure.axes
    # 20 steps over 80 px: the axis counts steps
    assert picture.images[0].get_extent() == [0, 20, 1, 0]
    assert [(b.get_x(), b.get_width(), b.get_height()) for b in bars.patches] == [
        *[(2, 2, 0.95), (10, 1, 0.6)]
    ]
    assert [t.get_position() for t in picture.texts] == [(3, 1.05), (10.5, 1.05)]
    assert picture.images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize(("shape_hw", "layout"), [((32, 200), (2, 1)), ((200, 150), (1, 2))])
def test_lines_lie_below_each_other_and_pages_side_by_side(shape_hw, layout):
    picture = np.zeros(shape_hw, np.uint8)
    figure = plots.plot_steps({"before": picture, "after": picture})
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == layout
    assert words(figure) == ["before", "after"]


def test_where_there_is_nothing_to_show_the_figure_says_so():
    assert words(plots.plot_line_grid([], [])) == ["no lines to show"]
    assert words(plots.plot_before_after([], [], [], [])) == ["no lines to show"]
    assert words(plots.plot_confusions({})) == ["no character was read wrong"]


def test_lists_of_different_lengths_are_refused(line):
    with pytest.raises(ValueError, match="shorter"):
        plots.plot_before_after([line] * 2, ["A", "B"], ["A"], ["A", "B"])
    with pytest.raises(ValueError, match="1 pictures, 2 titles"):
        plots.plot_line_grid([line], ["A", "B"])
