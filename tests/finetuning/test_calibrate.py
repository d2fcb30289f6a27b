from types import SimpleNamespace

import numpy as np
import pytest
import torch

from crnnkit.dataset.index import Line, read_index
from crnnkit.dataset.lines import load_lines
from crnnkit.finetuning import calibrate as calibrate_module
from crnnkit.finetuning.calibrate import calibrate
from crnnkit.model.calibration import TEMPERATURES
from crnnkit.model.checkpoint import load_checkpoint, new_checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage
from crnnkit.model.language import learn_language
from crnnkit.preprocessing.images import write_image
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.serving.recognizer import Recognizer

AT_ONE = TEMPERATURES.tolist().index(1)
TINY = ModelConfig(stages=(Stage(8, (4, 2)), Stage(12, (4, 2))), bottleneck=8, lstm_hidden=6)


def test_a_checkpoint_gets_its_temperature_and_keeps_all_else(toy_data, tmp_path):
    lines = read_index(toy_data / "val.txt")
    charset = "".join(sorted({c for line in lines for c in line.text}))
    before = new_checkpoint(CheckpointInfo(charset, TINY, metrics={"val_cer": 0.5}))
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, before)
    sure = Recognizer.load(path).read_lines([line.image for line in lines])

    lines_read = load_lines(lines, before.info.vocab, before.info.line)
    temperature = calibrate(path, lines_read).temperature
    assert temperature > 2  # a network of random weights reads nothing right
    after = load_checkpoint(path)
    assert after.info.temperature == temperature
    assert after.info.metrics == {"val_cer": 0.5}
    for name, weights in before.model.state_dict().items():
        assert torch.equal(weights, after.model.state_dict()[name])
    unsure = Recognizer.load(path).read_lines([line.image for line in lines])
    assert [reading.text for reading in unsure] == [reading.text for reading in sure]
    assert all(b.confidence < a.confidence for a, b in zip(sure, unsure, strict=True))


def test_lines_that_are_read_right_keep_a_checkpoint_sure(toy_data, tmp_path):
    line = read_index(toy_data / "val.txt")[0]
    checkpoint = new_checkpoint(CheckpointInfo("".join(sorted(set(line.text))), TINY))
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, checkpoint)
    # whatever it reads is called right
    text = Recognizer.load(path).read_line(line.image).text
    labelled = load_lines(
        [type(line)(line.image, text, 1)] * 40, checkpoint.info.vocab, checkpoint.info.line
    )
    assert calibrate(path, labelled).temperature < 1


def test_lines_that_stand_upside_down_count_as_they_are_read(tmp_path, monkeypatch):
    # a sure A where ink is on top, an unsure B where it is below
    def network(images):
        is_upright = images[:, 0, :16].amax((1, 2)) > images[:, 0, 16:].amax((1, 2))
        probs = torch.where(
            is_upright[:, None], torch.tensor([0.1, 0.8, 0.1]), torch.tensor([0.2, 0.3, 0.5])
        )
        return probs.log()[:, None]

    info = CheckpointInfo("AB", line=LineConfig(turn_below=0.7))
    upside_down = np.full((32, 64), 255, np.uint8)
    upside_down[26:] = 0
    write_image(tmp_path / "1.png", upside_down)
    line = Line(tmp_path / "1.png", "A", 1)
    upright, turned = (load_lines([line], info.vocab, info.line, flag) for flag in (False, True))
    seen = []

    def note(pairs):
        seen.extend((round(confidences[AT_ONE], 3), is_right) for confidences, is_right in pairs)
        return 1.0

    checkpoint = SimpleNamespace(model=network, info=info)
    monkeypatch.setattr(calibrate_module, "load_checkpoint", lambda path: checkpoint)
    monkeypatch.setattr(calibrate_module, "save_checkpoint", lambda path, made: None)
    monkeypatch.setattr(calibrate_module, "fit_temperature", note)
    calibrate("best.safetensors", upright)
    calibrate("best.safetensors", upright, turned)
    assert seen == [(0.5, False), (0.8, True)]


class DoubtfulNetwork(torch.nn.Module):
    """Reads every line as A, then B or, nearly as likely, C."""

    def forward(self, images):
        probs = torch.tensor([[0.01, 0.97, 0.01, 0.01], [0.02, 0.02, 0.5, 0.46]])
        return probs.log().repeat(len(images), 1, 1)


@pytest.mark.parametrize(
    ("label", "num_lines", "is_kept"),
    [
        ("AC", 20, True),
        ("AC", 2, False),  # two characters are luck
        ("AB", 20, False),  # it would make right lines wrong
    ],
)
def test_a_language_is_kept_where_it_helps(tmp_path, monkeypatch, label, num_lines, is_kept):
    info = CheckpointInfo("ABC")
    write_image(tmp_path / "1.png", np.full((32, 64), 255, np.uint8))
    lines = [Line(tmp_path / "1.png", label, n) for n in range(num_lines)]
    saved = []
    checkpoint = SimpleNamespace(model=DoubtfulNetwork(), info=info)
    monkeypatch.setattr(calibrate_module, "load_checkpoint", lambda path: checkpoint)
    monkeypatch.setattr(calibrate_module, "save_checkpoint", lambda path, made: saved.append(made))
    language = learn_language(["AC"] * 9)
    loaded = load_lines(lines, info.vocab, info.line)
    found = calibrate("best.safetensors", loaded, (), 16, language)
    assert (found.cer < found.cer_alone) is is_kept
    kept = saved[0].info.language
    assert (kept is not None) is is_kept
    if kept:
        assert kept.counts == language.counts
        assert kept.weight in calibrate_module.WEIGHTS
        assert saved[0].info.temperature < 2  # fitted to what is read with it: all right


def test_gains_that_losses_nearly_make_up_for_are_luck():
    labels = ["A"] * 40
    better = ["B"] * 20 + ["A"] * 20
    assert calibrate_module._helps(labels, better, ["A"] * 8 + ["B"] * 12 + ["A"] * 20)
    assert not calibrate_module._helps(labels, better, ["A"] * 12 + ["B"] * 16 + ["A"] * 12)
