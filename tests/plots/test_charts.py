"""Bars and curves show the numbers that they are given."""

from collections import Counter
from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex

from crnnkit.metrics import score
from crnnkit.plots import charts
from crnnkit.plots.canvas import BLUE, GREY, ORANGE, RED

CHINESE = "参苓白术散 9g×6袋"
RARE = "\U00020000"
EPOCHS = [
    SimpleNamespace(epoch=e, train_loss=2.0, train_cer=0.5, val_loss=1.0, val_cer=1 / e)
    for e in (1, 2)
]
BINS = [(0.3, 0.1, 10), (0.8, 0.9, 190)]
POINTS = [(0.99, 10, 0), (0.9, 100, 1), (0.85, 110, 2), (0.5, 150, 20), (0.2, 200, 60)]
CURVES = {
    "plates": {"base": {60: 0.2, 600: 0.02, 200: 0.1}, "nothing": {60: 0.9, 600: 0.1}},
    "receipts": {"base": {60: 0.3}},
}

# One of each, with characters that matplotlib's font lacks wherever there is a text.
FIGURES = {
    "length_and_width": lambda: charts.plot_length_and_width([3, 9, 4], [64, 320, 96]),
    "character_frequency": lambda: charts.plot_character_frequency(
        Counter(CHINESE + "℃$" + RARE), missing=["参", RARE]
    ),
    "runs": lambda: charts.plot_runs({"good": EPOCHS, "few": EPOCHS[:1]}),
    "learning_curves": lambda: charts.plot_learning_curves(CURVES),
    "vocab_cost": lambda: charts.plot_vocab_cost({"own": 400, "merged": 7051}, 160, 80),
    "history": lambda: charts.plot_history(EPOCHS),
    "confusions": lambda: charts.plot_confusions({("参", "叁"): 3, ("", " "): 2, ("$", "S"): 1}),
    "cer_by_length": lambda: charts.plot_cer_by_length(
        {"1–5": score(["AB"], ["A"]), "6–10": score(["ABCDEF"], ["ABCDEF"])}
    ),
    "confidence": lambda: charts.plot_confidence(BINS, POINTS, POINTS[1]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_without_a_warning(drawn, name):
    picture = drawn(FIGURES[name]())
    assert picture.shape[1] in (800, 1000)
    assert picture.std() > 5


def test_every_plot_is_among_those_drawn_above():
    functions = {name.removeprefix("plot_") for name in vars(charts) if name.startswith("plot_")}
    assert functions == set(FIGURES)


def test_the_epoch_kept_is_marked_where_it_is_known_whatever_its_cer(words, epoch):
    history = [epoch(1, 0.4), epoch(2, 0.1), epoch(3, 0.11), epoch(4, 0.2)]
    figure = charts.plot_history(history, kept=3)
    assert "kept: epoch 3, CER 11.00%" in words(figure)
    (kept,) = (curve for curve in figure.axes[1].lines if curve.get_label() == "kept")
    assert kept.get_xydata().tolist() == [[3, 0.11]]
    assert not any("kept" in text for text in words(charts.plot_history(history)))


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([3, 4, 4, 6], [1, 2, 0, 1]),  # a bar for each value
        ([64, 96, 96, 160], [1, 2, 0, 1]),  # for each multiple of what they have in common
        ([5, 5], [2]),
        (range(60), [2] * 30),  # no more than can be told apart
    ],
)
def test_histograms_have_a_bar_for_each_value(values, bars):
    axes = charts.plot_length_and_width(list(values), [1]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == bars


def test_numbers_of_occurrences_are_written_out(drawn):
    figure = charts.plot_character_frequency({"A": 600, "B": 30})
    drawn(figure)
    axis = figure.axes[0].yaxis
    ticks = [*axis.get_majorticklabels(), *axis.get_minorticklabels()]
    labels = [tick.get_text() for tick in ticks if tick.get_text()]
    assert "100" in labels
    assert all(label.isdecimal() for label in labels)


def test_learning_curves_show_every_number_in_order(words):
    figure = charts.plot_learning_curves(CURVES)
    assert [axes.get_title() for axes in figure.axes] == ["plates", "receipts"]
    base, nothing = figure.axes[0].lines
    assert base.get_xydata().tolist() == [[60, 0.2], [200, 0.1], [600, 0.02]]
    assert nothing.get_label() == "nothing"
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["60", "200", "600"]
    assert {"20.0%", "10.0%", "2.0%", "90.0%", "30.0%"} <= set(words(figure))


def test_runs_are_told_apart_on_training_and_on_validation_lines(epoch):
    histories = {"good": [epoch(1, 0.4), epoch(2, 0.1)], "high": [epoch(1, 1.6)]}
    training, validation = charts.plot_runs(histories).axes
    assert [curve.get_label() for curve in validation.lines] == ["good", "high"]
    assert validation.lines[0].get_xydata().tolist() == [[1, 0.4], [2, 0.1]]
    assert training.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.5]]
    assert training.get_ylim() == validation.get_ylim(), "so that a gap can be seen"
    assert validation.get_ylim()[1] > 1.6


def test_the_cost_of_a_vocabulary_is_that_of_the_last_layer():
    weights, products = charts.plot_vocab_cost({"own": 100, "merged": 7000}, 159, 80).axes
    assert [bar.get_width() for bar in weights.patches] == [0.016, 1.12]
    assert [bar.get_width() for bar in products.patches] == pytest.approx([1.272, 89.04])
    assert [t.get_text() for t in weights.get_yticklabels()] == [
        "own, V = 100",
        "merged, V = 7,000",
    ]


def test_one_epoch_is_visible(epoch):
    axes = charts.plot_history([epoch(1, 0.4)]).axes[1]
    assert [tick for tick in axes.get_xticks() if 0.9 < tick < 1.1] == [1]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 0.5  # the training CER, with room above


def test_characters_come_by_frequency_and_missing_ones_first_in_red():
    figure = charts.plot_character_frequency(Counter("AAAABBBCCD"), missing=["C"], num_shown=3)
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [2, 4, 3]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [*[RED, BLUE, BLUE]]
    assert [text.get_text() for text in axes.texts] == ["C", "A", "B"]
    title = "4 characters (3 shown), 1 occur once, 1 missing in the vocabulary (red)"
    assert axes.get_title() == title


def test_a_code_point_stands_upright_below_its_bar(text_boxes, ink_of):
    figure = charts.plot_character_frequency(Counter(["\U00020000", "参"]))
    boxes = text_boxes(figure.axes[0])
    assert sorted(ink_of(box).shape[0] > ink_of(box).shape[1] * 2 for box in boxes) == [False, True]


def test_confusions_come_by_frequency_and_are_named():
    counts = {("1", "I"): 2, ("0", "O"): 5, ("", " "): 3}
    (axes,) = charts.plot_confusions(counts, num_shown=2).axes
    assert [bar.get_width() for bar in axes.patches] == [5, 3]
    assert [t.get_text() for t in axes.texts if "→" in t.get_text()] == ["0 → O", "∅ → ␣"]
    assert "10 errors in all" in axes.get_xlabel()


def test_bars_of_cer_by_length_name_rate_and_lines():
    (axes,) = charts.plot_cer_by_length({"1–5": score(["ABCD"], ["ABC"])}).axes
    assert [bar.get_height() for bar in axes.patches] == [0.25]
    assert "25.0%\n1 line" in [text.get_text() for text in axes.texts]


def test_where_there_is_nothing_to_count_the_figure_says_so(words):
    assert words(charts.plot_confusions({})) == ["no character was read wrong"]


def test_confidence_stands_against_accuracy_and_accepted_lines_against_errors():
    honest, accepted = charts.plot_confidence(BINS, POINTS).axes
    assert honest.lines[1].get_xydata().tolist() == [[0.3, 0.1], [0.8, 0.9]]
    assert [text.get_text() for text in honest.texts] == ["10", "190"]
    curve = accepted.lines[0].get_xydata().tolist()
    assert curve == [[0, 0], *[[number, errors] for _, number, errors in POINTS]]


def test_confidences_are_named_along_the_curve_where_there_is_room():
    def marks(chosen):
        accepted = charts.plot_confidence(BINS, POINTS, chosen).axes[1]
        return [(text.get_text(), text.xy, to_hex(text.get_color())) for text in accepted.texts]

    # ≥ 0.99 is too near the beginning, ≥ 0.8 too near 0.9
    assert marks(None) == [("≥ 0.9", (100, 1), GREY), ("≥ 0.5", (150, 20), GREY)]
    # the chosen one always is, and takes the place of its neighbour
    assert marks(POINTS[2]) == [("≥ 0.85", (110, 2), ORANGE), ("≥ 0.5", (150, 20), GREY)]


def test_one_line_without_error_is_drawn(drawn):
    drawn(charts.plot_confidence([(1.0, 1.0, 1)], [(1.0, 1, 0)]))
