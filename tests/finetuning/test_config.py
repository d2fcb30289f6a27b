from dataclasses import replace
from pathlib import Path

import pytest

from crnnkit.errors import ConfigError
from crnnkit.finetuning.config import EpochResult, TrainConfig, read_history, write_history

FILES = (Path("train.txt"), Path("val.txt"), Path("out"))


def test_all_values_out_of_range_are_named_at_once():
    with pytest.raises(ConfigError, match=r"epochs is 0.*lr is -1.*precision is 'float8'"):
        TrainConfig(*FILES, epochs=0, lr=-1, precision="float8")


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="learning_rate"):
        TrainConfig(*FILES, learning_rate=1e-3)


def test_history_survives_its_file(tmp_path):
    first = EpochResult(1, 1.5, 0.5, 1.25, 0.4, 0.1, 1e-3, 250.0, 12.5)
    history = [first, replace(first, epoch=2, val_cer=0.3)]
    write_history(tmp_path / "history.csv", history)
    assert read_history(tmp_path / "history.csv") == history


def test_the_line_for_the_log_is_the_tutorials():
    result = EpochResult(1, 1.876, 0.234, 1.792, 0.211, 0.1, 1e-3, 250.0, 12.5)
    assert result.line(50) == (
        "Epoch 1/50 | Loss: 1.876 | CER: 0.234 | Val Loss: 1.792 | Val CER: 0.211"
    )
