from dataclasses import replace

import pytest

from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage, min_time_steps
from crnnkit.model.foreign import MEIJIERU, MODELSCOPE


@pytest.mark.parametrize(
    ("width", "steps"),
    [
        (1, 1),  # never nothing
        (4, 1),
        (5, 2),  # each stage rounds up
        (32, 8),
        (320, 80),
    ],
)
def test_time_steps(width, steps):
    assert ModelConfig().time_steps(width) == steps


@pytest.mark.parametrize(
    ("layout", "width", "steps"),
    [
        (MODELSCOPE, 640, 160),
        (MODELSCOPE, 11, 2),  # both halvings round down
        (MEIJIERU, 100, 26),  # W/4 + 1: the last poolings overlap
        (MEIJIERU, 128, 33),
        (MEIJIERU, 280, 71),
        (MEIJIERU, 103, 26),
        (MEIJIERU, 4, 2),
    ],
)
def test_time_steps_of_classic_networks(layout, width, steps):
    assert layout.network.time_steps(width) == steps


@pytest.mark.parametrize(
    ("ids", "steps"),
    [
        ((), 0),
        ((1,), 1),
        ((1, 2, 1), 3),  # equal, but not neighbours
        ((1, 1, 2), 4),  # a blank between the two
        ((1, 2, 2, 1, 1), 7),  # not 2L + 1 = 11
        ((3, 3, 3), 5),
    ],
)
def test_min_time_steps(ids, steps):
    assert min_time_steps(ids) == steps


def test_a_stack_that_does_not_fold_the_height_is_refused():
    with pytest.raises(ConfigError, match="height 32 into 16"):
        ModelConfig(stages=(Stage(8, (2, 2)),))


def test_classic_convolutions_that_leave_height_are_refused():
    with pytest.raises(ConfigError, match="height 64 into 3"):
        replace(MODELSCOPE.network, height=64)


@pytest.mark.parametrize("layout", [MODELSCOPE, MEIJIERU])
def test_a_classic_description_survives_json(layout):
    info = CheckpointInfo("ab", layout.network, layout.line)
    assert CheckpointInfo.from_json(info.to_json(), "x") == info
    with pytest.raises(CheckpointError, match="model.classic.lstm_hidden: Field required"):
        CheckpointInfo.from_json(info.to_json().replace("lstm_hidden", "lstm_hiden"), "x")


def test_description_survives_json_with_its_characters_readable():
    info = CheckpointInfo("京A 1", metrics={"val_cer": 0.25}, training={"lr": 1e-3})
    text = info.to_json()
    assert "京A 1" in text
    assert CheckpointInfo.from_json(text, "x") == info


def test_a_description_from_before_there_were_temperatures_is_read():
    text = CheckpointInfo("ab").to_json()
    assert ',"temperature":1.0' in text
    assert CheckpointInfo.from_json(text.replace(',"temperature":1.0', ""), "x").temperature == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"height":32', '"heigth":32', "model.light.heigth"),  # unknown name, nested
        ('"charset"', '"characters"', "charset"),  # missing and unknown
        ('"bottleneck":160', '"bottleneck":"wide"', "model.light.bottleneck: [^;]*$"),  # wrong type
        ('"max_width":2048', '"max_width":2047', "no multiple"),  # right type, impossible value
        ('"temperature":1.0', '"temperature":0', "temperature"),  # cannot be divided by
        ('"written_as":{}', '"written_as":{"x":"a"}', "holds .'x'., which charset lacks"),
        ('"written_as":{}', '"written_as":{"a":"b","b":""}', "writes .'b'. and writes them other"),
        ('"format_version":1', '"format_version":99', "format version 99"),
    ],
)
def test_a_description_of_another_form_is_refused_with_the_name(old, new, message):
    text = CheckpointInfo("ab").to_json()
    assert old in text
    with pytest.raises(CheckpointError, match=f"model.onnx.*{message}"):
        CheckpointInfo.from_json(text.replace(old, new), "model.onnx")
