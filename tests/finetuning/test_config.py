from math import inf, nan
from pathlib import Path

import pytest

from crnnkit.errors import ConfigError
from crnnkit.finetuning import config
from crnnkit.finetuning.config import PretrainConfig, TrainConfig

FILES = (Path("train.txt"), Path("val.txt"), Path("out"))


def test_all_values_out_of_range_are_named_at_once():
    with pytest.raises(ConfigError, match=r"epochs is 0.*lr is -1.*precision is 'float8'"):
        TrainConfig(*FILES, epochs=0, lr=-1, precision="float8")


@pytest.mark.parametrize("name", ["lr", "minutes", "warmup", "weight_decay", "varied_share"])
@pytest.mark.parametrize("value", [nan, inf])
def test_what_is_no_finite_number_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}, must be "):
        TrainConfig(*FILES, **{name: value})


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="learning_rate"):
        TrainConfig(*FILES, learning_rate=1e-3)


def test_what_a_setting_needs_is_named(monkeypatch):
    settings = {"distill": 1.0, "blend_base": 0.1, "freeze_norm": True, "tensorboard": True}
    monkeypatch.setattr(config, "find_spec", {"tensorboard": None}.get)
    with pytest.raises(ConfigError) as error:
        TrainConfig(*FILES, **settings)
    for named in (
        "distill is 1.0, but there is no pretrained_ckpt",
        "blend_base is 0.1, but",
        "freeze_norm is True, but",
        "pip install 'crnnkit[tensorboard]'",
        "distill is 1.0, but there is no general_data",
    ):
        assert named in str(error.value)


def test_all_values_of_pretraining_out_of_range_are_named_at_once():
    files = [Path(name) for name in ("base.safetensors", "vocab.txt", "zh.txt", "en.txt")]
    with pytest.raises(ConfigError, match=r"minutes is 0.*cooldown is 1.*precision is 'auto'"):
        PretrainConfig(*files, minutes=0, cooldown=1.0, precision="auto")


@pytest.mark.parametrize(
    ("given", "lr"),
    [
        ({}, 2e-3),
        # what can read already learns gently
        ({"pretrained_ckpt": Path("base.safetensors")}, 4e-4),
        # zero is a wish, too
        ({"pretrained_ckpt": Path("base.safetensors"), "lr": 0.0}, 0.0),
    ],
)
def test_a_rate_that_is_not_given_suits_the_start(given, lr):
    assert TrainConfig(*FILES, **given).peak_lr == lr


@pytest.mark.parametrize(
    ("given", "weight"),
    [
        ({}, 0.0),
        ({"pretrained_ckpt": Path("base.safetensors")}, 0.0),  # nothing to hold it by
        ({"general_data": Path("general")}, 0.0),  # nothing to hold it to
        ({"pretrained_ckpt": Path("b.safetensors"), "general_data": Path("general")}, 2.0),
        (
            {"pretrained_ckpt": Path("b.safetensors"), "general_data": Path("g"), "distill": 0.0},
            0.0,  # zero is a wish, too
        ),
    ],
)
def test_general_lines_hold_the_network_where_there_are_any(given, weight):
    assert TrainConfig(*FILES, **given).anchor_weight == weight
