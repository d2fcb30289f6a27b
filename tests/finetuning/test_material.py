from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import LoadedLine
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.material import (
    TURN_MARGIN,
    Material,
    epoch_lines,
    repeat_rare,
)
from crnnkit.finetuning.reading import Pass
from crnnkit.model.config import CheckpointInfo
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import Vocab

CONFIG = TrainConfig(Path("train.txt"), Path("val.txt"), Path("out"), epoch_lines=1)


def loaded(name, *ids, turned=False, width=32):
    pixels = np.zeros((32, width), np.uint8)
    return LoadedLine(Line(Path(name), name, 1), pixels, LineConfig(), ids, turned)


def names(lines):
    return "".join(item.line.text for item in lines)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, "abcdefghi" + "j"),  # nothing is repeated
        (5, "abcdefghi" + "jjj"),  # its character is nine times as rare as the median: √9
        (2, "abcdefghi" + "jj"),
    ],
)
def test_lines_with_rare_characters_are_repeated(most, expected):
    lines = [loaded(name, 1, 2) for name in "abcdefghi"] + [loaded("j", 9)]
    assert names(repeat_rare(lines, most)) == expected


def test_a_small_set_is_repeated_until_an_epoch_is_worth_validating():
    material = Material((loaded("a", 1), loaded("b", 2)), (), (), ())
    assert names(epoch_lines(CONFIG, material, (1, 1))) == "ab"
    for wanted, found in ((2, "ab"), (4, "abab"), (5, "abab"), (7, "abababab")):
        long = replace(CONFIG, epoch_lines=wanted)
        assert names(epoch_lines(long, material, (1, 1))) == found


def test_general_lines_take_their_share_and_change_with_the_epoch():
    own = tuple(loaded("a", 1) for _ in range(6))
    general = tuple(loaded(str(n), 1) for n in range(9))
    material = Material(own, (), (), (), general)
    draws = [names(epoch_lines(CONFIG, material, (1, epoch))) for epoch in (1, 2)]
    for drawn in draws:
        assert drawn.startswith("aaaaaa")
        assert len(set(drawn[6:])) == 2  # a quarter of eight, none twice
    assert draws[0] != draws[1]


def test_few_general_lines_keep_their_share_beside_many_of_the_domain():
    own = tuple(loaded("A", 1) for _ in range(300))
    general = tuple(loaded(str(n), 1) for n in range(9))
    drawn = epoch_lines(CONFIG, Material(own, (), (), (), general), (1, 1))
    shown = Counter(names(drawn).lstrip("A"))
    assert sum(shown.values()) == 100
    assert set(shown.values()) == {11, 12}  # again only once all others were shown


def test_a_sample_is_spread_over_the_training_lines():
    own = tuple(loaded(str(n), 1) for n in range(1000))
    assert Material(own, own, (), ()).sample() == Material(own[::3], own[::3], (), ())
    few = Material(own[:500], (), (), ())
    assert few.sample() == few


def test_the_share_of_general_lines_is_one_of_columns():
    own = tuple(loaded("a", 1) for _ in range(12))
    general = tuple(loaded(str(n), 1, width=64) for n in range(9))
    drawn = names(epoch_lines(CONFIG, Material(own, (), (), (), general), (1, 1)))
    assert len(drawn.lstrip("a")) == 2  # 128 columns beside 384


@pytest.mark.parametrize(
    ("losses", "confidences", "is_turned"),
    [
        ((9.0, 1.0), (0.3, 0.9), True),
        # the label alone: capitals in the label of small print
        ((9.0, 1.0), (0.9, 0.3), False),
        # the free reading alone: 96 upside down is 96
        ((1.0, 1.0), (0.3, 0.9), False),
        # better turned, but not by the margin
        ((TURN_MARGIN, 0.5), (0.3, 0.9), False),
    ],
)
def test_a_line_is_turned_only_where_label_and_reading_agree(losses, confidences, is_turned):
    line = loaded("a", 1)
    material = Material((line,), (loaded("a", 1, turned=True),), (), ())
    passes = []
    for loss, confidence in zip(losses, confidences, strict=True):
        done = Pass(Vocab("a"))
        done.loss_of[line.line], done.uprightness_of[line.line] = loss, confidence
        passes.append(done)
    turned = material.turned_upright(*passes)
    assert turned.num_turned == is_turned
    assert turned.train[0].turned == is_turned


def test_a_turned_line_is_turned_back_when_the_network_knows_better():
    line = loaded("a", 1, turned=True)
    material = Material((line,), (loaded("a", 1),), (), ())
    worse, better = Pass(Vocab("a")), Pass(Vocab("a"))
    worse.loss_of[line.line], worse.uprightness_of[line.line] = 9.0, 0.3
    better.loss_of[line.line], better.uprightness_of[line.line] = 1.0, 0.9
    assert material.turned_upright(worse, better).num_turned == 0


def test_lines_upside_down_are_shown_as_nothing_where_the_domain_has_them():
    def material(turned):
        own = tuple(loaded(text, 1, turned=turned) for text in ("GKL3", "PAK3", "1806"))
        other = tuple(loaded(item.line.text, 1, turned=not turned) for item in own)
        return Material(own, other, (), ())

    config = TrainConfig(Path("t"), Path("v"), Path("o"), epoch_lines=1, nothing_share=0.7)
    drawn = epoch_lines(config, material(turned=True), (1, 1))[3:]
    # 1806 upside down is 9081
    assert {item.target_ids for item in drawn} == {()}
    assert len(drawn) == 2
    assert names(drawn) == ""
    assert len(epoch_lines(config, material(turned=False), (1, 1))) == 3


def test_lines_are_read_as_printed_where_that_fits():
    info = CheckpointInfo("Aa·")
    own, other = loaded("A", 1), loaded("A", 1, turned=True)
    val = LoadedLine(Line(Path("v"), "AA", 1), np.zeros((32, 16), np.uint8), LineConfig(), (1, 1))
    printed = {own.line: "·a", val.line: "a·a·A"}
    material = Material((own,), (other,), (val,), ()).as_printed(printed, info)
    assert [item.target_ids for item in material.train + material.train_turned] == [(3, 2)] * 2
    assert material.class_ids == [2, 3]
    assert own.line.text == "A"  # what is reported stays the label
    # 16 pixels are four time steps: too few for five characters
    assert [item.target_ids for item in material.val] == [(1, 1)]
