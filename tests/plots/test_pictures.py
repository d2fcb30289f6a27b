"""Pictures and their texts stand where they belong, whatever the characters."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from crnnkit.plots import pictures
from crnnkit.plots.canvas import GREEN, INK, RED

CHINESE = "参苓白术散 9g×6袋"
ODD = ["", " ", "$1 and $2", r"\frac{1}", "a_b^c", CHINESE, "37℃ 体温", "\U00020000", "🙂"]
PAGE = np.full((200, 160), 255, np.uint8)
PAGE[40:80, 20:140] = 0
QUAD = np.array([[10, 20], [150, 20], [150, 50], [10, 50]], np.float32)
RARE = "\U00020000"

# One of each, with characters that matplotlib's font lacks wherever there is a text.
FIGURES = {
    "line_grid": lambda line: pictures.plot_line_grid([line] * len(ODD), ODD),
    "steps": lambda line: pictures.plot_steps({"as given": line, "灰度": 255 - line}),
    "page_steps": lambda line: pictures.plot_steps({"as given": PAGE, "灰度": PAGE}),
    "page_boxes": lambda line: pictures.plot_page_boxes(PAGE, [QUAD, QUAD + 60]),
    "readings_over_epochs": lambda line: pictures.plot_readings_over_epochs(
        [line] * 2, [CHINESE, "$1 $2"], {1: ["", ""], 2: [CHINESE, "🙂"]}
    ),
    "before_after": lambda line: pictures.plot_before_after(
        [line] * 2, [CHINESE, "$1 $2"], ["", RARE], ["37℃ 体温", "$1 $2"]
    ),
    "time_steps": lambda line: pictures.plot_time_steps(line, line.shape[1] // 4, 47, [3, 9]),
    "suspects": lambda line: pictures.plot_suspects([line] * 2, [CHINESE, ""], ["", RARE]),
    "reading": lambda line: pictures.plot_reading(line, "参A", [(1, 3), (4, 5)], [0.9, 0.3], 20),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_without_a_warning(line, drawn, name):
    picture = drawn(FIGURES[name](line))
    assert picture.shape[1] in (800, 1000)
    assert picture.std() > 5


def test_every_plot_is_among_those_drawn_above():
    functions = {name.removeprefix("plot_") for name in vars(pictures) if name.startswith("plot_")}
    assert functions | {"page_steps"} == set(FIGURES)


def test_readings_are_marked_right_or_wrong(line):
    figure = pictures.plot_before_after([line] * 2, ["A1", "B2"], ["A7", "B2"], ["A1", ""])
    shown = [(t.get_text(), to_hex(t.get_color())) for axes in figure.axes for t in axes.texts]
    readings = [item for item in shown if item[0] not in ("printed", "before", "after", "")]
    assert readings == [
        *[("A1", INK), ("✗", RED), ("A7", RED)],
        *[("✓", GREEN), ("A1", GREEN)],
        *[("B2", INK), ("✓", GREEN), ("B2", GREEN)],
        *[("✗", RED), ("∅", RED)],  # nothing read
    ]


def test_a_suspect_shows_its_label_and_what_is_read_instead(line):
    _, texts = pictures.plot_suspects([line], ["S03"], ["SD3"]).axes
    shown = [(t.get_text(), to_hex(t.get_color())) for t in texts.texts if t.get_text()]
    assert [text for text, _ in shown] == ["label", "S03", "read", "✗", "SD3"]
    assert (shown[1][1], shown[-1][1]) == (INK, RED)


def test_readings_over_epochs_name_their_epochs(line, words):
    figure = pictures.plot_readings_over_epochs([line], ["AB"], {1: [""], 5: ["AB"]}, ["A8"])
    assert [w for w in words(figure) if w[0] in "pek∅A"] == [
        *["printed", "AB", "epoch 1", "∅", "epoch 5", "AB", "kept", "A8"]
    ]


def test_quads_are_outlined_and_numbered_in_order():
    page = np.zeros((100, 100, 3), np.uint8)
    quads = [np.array([[x, 10], [x + 20, 10], [x + 20, 30], [x, 30]], float) for x in (10, 60)]
    (axes,) = pictures.plot_page_boxes(page, quads).axes
    assert [patch.get_xy()[:4].tolist() for patch in axes.patches] == [q.tolist() for q in quads]
    assert [(t.get_text().strip(), t.get_position()) for t in axes.texts] == [
        *[("1", (10, 20)), ("2", (60, 20))]
    ]


def test_a_reading_lies_over_its_time_steps():
    line = np.zeros((32, 80), np.float32)
    figure = pictures.plot_reading(line, "A1", [(2, 4), (10, 11)], [0.95, 0.6], num_steps=20)
    picture, bars = figure.axes
    # 20 steps over 80 px: the axis counts steps
    assert picture.images[0].get_extent() == [0, 20, 1, 0]
    assert [(b.get_x(), b.get_width(), b.get_height()) for b in bars.patches] == [
        *[(2, 2, 0.95), (10, 1, 0.6)]
    ]
    assert [t.get_position() for t in picture.texts] == [(3, 1.05), (10.5, 1.05)]
    assert picture.images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize(("shape_hw", "layout"), [((32, 200), (2, 1)), ((200, 150), (1, 2))])
def test_lines_lie_below_each_other_and_pages_side_by_side(shape_hw, layout, words):
    picture = np.zeros(shape_hw, np.uint8)
    figure = pictures.plot_steps({"before": picture, "after": picture})
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == layout
    assert words(figure) == ["before", "after"]


def test_where_there_is_no_line_to_show_the_figure_says_so(words):
    assert words(pictures.plot_line_grid([], [])) == ["no lines to show"]
    assert words(pictures.plot_before_after([], [], [], [])) == ["no lines to show"]


def test_lists_of_different_lengths_are_refused(line):
    with pytest.raises(ValueError, match="shorter"):
        pictures.plot_before_after([line] * 2, ["A", "B"], ["A"], ["A", "B"])
    with pytest.raises(ValueError, match="1 pictures, 2 titles"):
        pictures.plot_line_grid([line], ["A", "B"])


def test_what_a_time_step_sees_is_centred_on_it_and_as_wide_as_told():
    (axes,) = pictures.plot_time_steps(np.zeros((32, 320), np.uint8), 80, 47, [10]).axes
    view, step = (patch.get_bbox() for patch in axes.patches)
    assert (view.x0, view.x1) == (40 - 23.5, 40 + 23.5)
    assert (step.x0, step.x1) == (39.5, 43.5)
