from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crnnkit.dataset.index import read_index, write_index
from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.finetuning import start
from crnnkit.finetuning.events import CHARTS
from crnnkit.finetuning.trainer import train
from crnnkit.model.checkpoint import load_checkpoint


def test_an_interrupted_run_goes_on_bit_for_bit(config, tmp_path):
    config = replace(config, epochs=4, average_decay=0.9)
    whole = train(config)
    cut = replace(config, output_dir=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        train(cut, on_epoch=interrupt_after(2))
    resumed = train(replace(cut, resume=True))
    assert [without_times(e) for e in resumed.history] == [without_times(e) for e in whole.history]
    for path in ("best_path", "last_path"):
        expected = load_checkpoint(getattr(whole, path)).model.state_dict()
        found = load_checkpoint(getattr(resumed, path)).model.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_tensorboard_shows_the_history_of_a_run_and_of_its_resumption(config):
    config = replace(config, epochs=3, tensorboard=True)
    train(replace(config, epochs=4, seed=5))  # a new run in the same folder hides this one
    with pytest.raises(KeyboardInterrupt):
        train(config, on_epoch=interrupt_after(2))
    history = train(replace(config, resume=True)).history
    shown = EventAccumulator(str(config.output_dir / "tensorboard")).Reload()
    for chart, field in CHARTS.items():
        if field == "general_cer":  # there are no general lines
            assert chart not in shown.Tags()["scalars"]
            continue
        points = [(point.step, point.value) for point in shown.Scalars(chart)]
        assert points == [(e.epoch, pytest.approx(getattr(e, field))) for e in history]


def test_a_run_is_not_resumed_with_other_settings(config):
    train(config)
    with pytest.raises(ConfigError, match=r"lr was None, is 0.1"):
        train(replace(config, resume=True, lr=0.1))


def test_a_run_is_not_resumed_with_other_data(config):
    train(config)
    (first, *others) = read_index(config.train_data)
    write_index(config.train_data, [replace(first, text="0"), *others])
    with pytest.raises(ConfigError, match=r"settings or data: content of train_data was \w+, is"):
        train(replace(config, resume=True))


def test_a_run_is_not_resumed_with_another_network(config, monkeypatch):
    train(config)
    larger = replace(start.FROM_NOTHING, lstm_hidden=start.FROM_NOTHING.lstm_hidden + 1)
    monkeypatch.setattr(start, "FROM_NOTHING", larger)
    with pytest.raises(ConfigError, match=r"network was .*lstm_hidden=16, .*lstm_hidden=17, "):
        train(replace(config, resume=True))


def test_without_a_state_there_is_nothing_to_resume(config):
    with pytest.raises(CheckpointError, match=r"resume.safetensors: no run to resume"):
        train(replace(config, resume=True))


def interrupt_after(epochs):
    def on_epoch(result):
        if result.epoch == epochs:
            raise KeyboardInterrupt

    return on_epoch


def without_times(epoch):
    return replace(epoch, seconds=0.0, lines_per_second=0.0)
