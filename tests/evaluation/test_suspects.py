"""Doubtful labels, by a network whose probabilities are written down."""

from dataclasses import replace
from math import exp, inf, log

import numpy as np
import pytest

from crnnkit.dataset.index import Line
from crnnkit.evaluation.suspects import rank_suspects
from crnnkit.model.config import CheckpointInfo
from crnnkit.model.language import learn_language
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.serving.recognizer import Recognizer


@pytest.fixture
def reader():
    """Read one character per line: blank, A, B by the picture's number of inked rows."""
    probs = {
        1: (0.01, 0.98, 0.01),  # a sure A
        2: (0.01, 0.60, 0.39),  # an A that may be a B
        3: (0.90, 0.06, 0.04),  # surely nothing
        4: (0.01, 0.01, 0.98),  # a sure B
    }

    def network(images):
        num_ink = (images[:, 0, :, 0] > 0).sum(1)
        return np.log(np.array([[probs[n]] for n in num_ink], np.float32))

    return Recognizer(network, CheckpointInfo("AB"), "written.onnx")


@pytest.fixture
def labelled(tmp_path):
    def make(*inks_and_texts):
        lines = []
        for i, (num_ink, text) in enumerate(inks_and_texts):
            image = np.full((32, 64), 255, np.uint8)
            image[:num_ink] = 0
            write_image(tmp_path / f"{i}.png", image)
            lines.append(Line(tmp_path / f"{i}.png", text, i + 1))
        return lines

    return make


def test_the_label_that_a_sure_reading_contradicts_comes_first(reader, labelled):
    told = []
    lines = labelled((2, "B"), (1, "A"), (3, "B"), (1, "B"), (4, "B"))
    ranked = rank_suspects(reader, lines, lambda done, total: told.append((done, total)))
    # a sure A labelled B, a close call; neither a picture of nothing nor a right label
    assert [(s.image.stem, s.label, s.reading) for s in ranked] == [
        *[("3", "B", "A"), ("0", "B", "A")]
    ]
    assert told == [(i, 5) for i in range(1, 6)]


def test_losses_are_those_of_label_and_reading_per_character(reader, labelled):
    (suspect,) = rank_suspects(reader, labelled((2, "B")))
    assert suspect.label_loss == pytest.approx(-log(0.39), abs=1e-5)
    assert suspect.reading_loss == pytest.approx(-log(0.60), abs=1e-5)
    assert suspect.doubt == pytest.approx(0.60 - 0.39, abs=1e-5)


def test_the_reading_is_as_sure_as_the_recogniser_says(reader, labelled):
    reader.temperature = 2.0
    (line,) = labelled((2, "B"))
    (suspect,) = rank_suspects(reader, [line])
    assert suspect.confidence == pytest.approx(reader.read_line(line.image).confidence)
    assert suspect.confidence < 0.60  # at temperature 1


@pytest.mark.parametrize("label", ["A", "B"])
def test_what_language_decides_speaks_neither_for_nor_against_a_label(reader, labelled, label):
    info = CheckpointInfo("AB", language=learn_language(["B"] * 9))
    advised = Recognizer(reader.network, info, "advised.onnx")
    lines = labelled((2, label))
    assert advised.read_line(lines[0].image).text == "B"  # of 0.60 for A and 0.39 for B
    assert rank_suspects(advised, lines) == []


def test_a_line_wider_than_the_network_reads_at_once_is_judged_as_it_is_read(labelled):
    # an A, with 0.9, wherever there is ink; squeezed, it would be grey
    def network(images):
        has_ink = images[:, 0, 16, ::4] > 0.9
        probs = np.array([[0.98, 0.01, 0.01], [0.05, 0.9, 0.05]], np.float32)
        return np.log(probs[has_ink.astype(int)])

    (line,) = labelled((1, "AB"))
    image = np.full((32, 4000), 255, np.uint8)
    image[:, [200, 201, 3800, 3801]] = 0
    write_image(line.image, image)
    (suspect,) = rank_suspects(Recognizer(network, CheckpointInfo("AB"), "wide.onnx"), [line])
    assert suspect.reading == "AA"
    assert suspect.reading_loss < suspect.label_loss < inf


def test_a_loss_is_shared_by_the_characters_of_its_text(labelled):
    # two steps that say A and B, with 0.9 each
    steps = np.log(np.array([[0.05, 0.9, 0.05], [0.05, 0.05, 0.9]], np.float32))
    reader = Recognizer(lambda images: steps[np.newaxis], CheckpointInfo("AB"), "two.onnx")
    (suspect,) = rank_suspects(reader, labelled((1, "BA")))
    assert suspect.reading == "AB"
    assert exp(-suspect.reading_loss) == pytest.approx(0.9, abs=1e-5)
    assert exp(-suspect.label_loss) == pytest.approx(0.05, abs=1e-5)


@pytest.mark.parametrize("label", ["京", "AB"])  # not in the vocabulary; longer than one step
def test_a_label_that_cannot_be_written_is_wholly_doubtful(reader, labelled, label):
    (suspect,) = rank_suspects(reader, labelled((1, label)))
    assert suspect.label_loss == inf
    assert suspect.doubt == pytest.approx(0.98, abs=1e-5)


def test_lines_that_may_be_upside_down_are_judged_by_the_better_way_up(labelled):
    # a sure A where ink is on top, an unsure B where it is below
    def network(images):
        is_upright = images[:, 0, :16].max((1, 2)) > images[:, 0, 16:].max((1, 2))
        sure, unsure = [0.01, 0.98, 0.01], [0.2, 0.35, 0.45]
        return np.log(np.array([[sure if up else unsure] for up in is_upright], np.float32))

    (line,) = labelled((6, "A"))
    image = read_image(line.image)
    write_image(line.image, image[::-1, ::-1])
    upright = Recognizer(network, CheckpointInfo("AB"), "upright.onnx")
    assert [suspect.reading for suspect in rank_suspects(upright, [line])] == ["B"]
    both = Recognizer(network, CheckpointInfo("AB", line=LineConfig(turn_below=0.9)), "both.onnx")
    assert rank_suspects(both, [line]) == []
    (suspect,) = rank_suspects(both, [replace(line, text="B")])
    assert (suspect.reading, suspect.label_loss) == ("A", pytest.approx(-log(0.45), abs=1e-5))
