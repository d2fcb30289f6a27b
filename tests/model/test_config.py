import pytest

from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage, min_time_steps


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


def test_description_survives_json_with_its_characters_readable():
    info = CheckpointInfo("京A 1", metrics={"val_cer": 0.25}, training={"lr": 1e-3})
    text = info.to_json()
    assert "京A 1" in text
    assert CheckpointInfo.from_json(text, "x") == info


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"height":32', '"heigth":32', "heigth"),  # unknown name, nested
        ('"charset"', '"characters"', "charset"),  # missing and unknown
        ('"bottleneck":160', '"bottleneck":"wide"', "bottleneck"),  # wrong type
        ('"max_width":2048', '"max_width":2047', "no multiple"),  # right type, impossible value
        ('"format_version":1', '"format_version":99', "format version 99"),
    ],
)
def test_a_description_of_another_form_is_refused_with_the_name(old, new, message):
    text = CheckpointInfo("ab").to_json()
    assert old in text
    with pytest.raises(CheckpointError, match=f"model.onnx.*{message}"):
        CheckpointInfo.from_json(text.replace(old, new), "model.onnx")
