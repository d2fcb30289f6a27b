import copy
import json
import os
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from crnnkit.errors import CheckpointError, VocabError
from crnnkit.model.checkpoint import load_checkpoint, new_checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ClassicConfig, ClassicConv, ModelConfig, Stage
from crnnkit.serving import export
from crnnkit.serving.export import export_onnx
from crnnkit.serving.recognizer import Recognizer

TINY = ModelConfig(stages=(Stage(8, (4, 2)), Stage(12, (4, 2))), bottleneck=8, lstm_hidden=6)


@pytest.fixture
def checkpoint_path(tmp_path):
    checkpoint = new_checkpoint(CheckpointInfo("0123456789AB 北京市", TINY))
    torch.nn.init.normal_(checkpoint.model.context.weight)
    with torch.no_grad():
        checkpoint.model.head.bias[0] = -2  # or it would read nothing into any line
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, checkpoint)
    return path


@pytest.fixture
def images(make_line):
    return [make_line(text) for text in ("01", "北京市 0123456789", "A", "AB 12")]


def test_the_file_reads_as_its_checkpoint_over_batches_and_widths(
    checkpoint_path, images, tmp_path
):
    report = export_onnx(checkpoint_path, tmp_path / "out" / "model.onnx", images)
    assert report.max_logit_difference < 1e-4
    assert report.num_lines == len(images)
    assert report.torch_ms > 0
    assert report.onnx_ms > 0
    assert os.listdir(tmp_path / "out") == ["model.onnx"]
    exported = Recognizer.load(report.onnx_path)
    batch = np.random.default_rng(5).normal(size=(5, 1, 32, 224)).astype(np.float32)
    wanted = load_checkpoint(checkpoint_path).model(torch.from_numpy(batch)).detach().numpy()
    np.testing.assert_allclose(exported.logits(batch), wanted, atol=1e-4)


CLASSIC = ClassicConfig(
    convs=(ClassicConv(4, kernel_hw=(34, 3)),), lstm_hidden=3, projection=0, head_bias=True
)


@pytest.mark.parametrize("config", [TINY, CLASSIC, replace(CLASSIC, head_bias=False)])
def test_the_bias_of_the_head_costs_nothing(config, tmp_path):
    checkpoint = new_checkpoint(CheckpointInfo("0123456789", config))
    save_checkpoint(tmp_path / "best.safetensors", checkpoint)
    path = export_onnx(tmp_path / "best.safetensors", tmp_path / "model.onnx").onnx_path
    (last,) = (node for node in onnx.load(path).graph.node if "logits" in node.output)
    assert last.op_type == "MatMul"  # added to every logit afterwards, it would


def test_the_description_travels_inside(checkpoint_path, tmp_path):
    path = export_onnx(checkpoint_path, tmp_path / "model.onnx").onnx_path
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert json.loads(properties["crnnkit"])["charset"] == "0123456789AB 北京市"


def test_an_exported_model_is_as_sure_as_its_checkpoint(checkpoint_path, images, tmp_path):
    checkpoint = load_checkpoint(checkpoint_path)
    hot = replace(checkpoint, info=replace(checkpoint.info, temperature=3.0))
    save_checkpoint(checkpoint_path, hot)
    path = export_onnx(checkpoint_path, tmp_path / "model.onnx").onnx_path
    ours, theirs = (Recognizer.load(p).read_lines(images) for p in (checkpoint_path, path))
    cold = Recognizer(Recognizer.load(path).logits, checkpoint.info, "cold").read_lines(images)
    for one, other, without in zip(ours, theirs, cold, strict=True):
        assert other.confidence == pytest.approx(one.confidence, abs=1e-4)
        assert other.confidence < without.confidence - 0.01


def _disturb(monkeypatch, change):
    """Let the exporter write a network that differs from the checkpoint's."""
    write = export._write

    def wrong(checkpoint, path):
        disturbed = copy.deepcopy(checkpoint)
        with torch.no_grad():
            change(disturbed.model)
        write(disturbed, path)

    monkeypatch.setattr(export, "_write", wrong)


def test_logits_that_differ_leave_no_file_and_keep_the_old_one(
    checkpoint_path, tmp_path, monkeypatch
):
    (tmp_path / "model.onnx").write_bytes(b"old")
    _disturb(monkeypatch, lambda model: model.head.bias.add_(0.01))
    with pytest.raises(CheckpointError, match=r"model.onnx: not written: its logits differ.*0.01"):
        export_onnx(checkpoint_path, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["best.safetensors", "model.onnx"]


def test_logits_that_are_no_numbers_leave_no_file(checkpoint_path, tmp_path, monkeypatch):
    _disturb(monkeypatch, lambda model: model.head.weight[5].fill_(float("nan")))
    with pytest.raises(CheckpointError, match=r"model.onnx: not written: its logits differ.*nan"):
        export_onnx(checkpoint_path, tmp_path / "model.onnx")


def test_texts_that_differ_are_named(checkpoint_path, images, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_LOGIT_DIFFERENCE", 1e9)  # the texts alone must catch it
    _disturb(monkeypatch, lambda model: model.head.bias[1].add_(100))
    with pytest.raises(CheckpointError, match=r"4 of 4 lines read otherwise.*became '0"):
        export_onnx(checkpoint_path, tmp_path / "model.onnx", images)
    assert not (tmp_path / "model.onnx").exists()


def test_a_cut_head_reads_the_kept_characters_as_before(checkpoint_path, images, tmp_path):
    report = export_onnx(checkpoint_path, tmp_path / "cut.onnx", images, charset="市10")
    assert (report.cut.num_left_out, report.num_lines) == (13, 4)
    assert report.cut.num_changed > 0
    assert report.cut.whole_ms > 0
    assert os.listdir(tmp_path) == ["best.safetensors", "cut.onnx"]
    cut, whole = Recognizer.load(report.onnx_path), Recognizer.load(checkpoint_path)
    batch = np.random.default_rng(5).normal(size=(2, 1, 32, 96)).astype(np.float32)
    kept = [0, *whole.vocab.encode("市10")]
    np.testing.assert_allclose(cut.logits(batch), whole.logits(batch)[:, :, kept], atol=1e-4)
    assert cut.vocab.charset == "市10"
    assert "13 characters left out: " in report.remarks()[-1]


def test_a_cut_head_reads_what_is_written_as_the_kept_characters(checkpoint_path, images, tmp_path):
    checkpoint = load_checkpoint(checkpoint_path)
    rules = {"A": "市", "B": "", "3": "4"}
    spelt = tmp_path / "spelt.safetensors"
    save_checkpoint(spelt, replace(checkpoint, info=replace(checkpoint.info, written_as=rules)))
    report = export_onnx(spelt, tmp_path / "cut.onnx", images, charset="市10")
    cut, whole = Recognizer.load(report.onnx_path), Recognizer.load(spelt)
    assert cut.vocab.charset == "市10AB"
    batch = np.random.default_rng(5).normal(size=(2, 1, 32, 96)).astype(np.float32)
    kept = [0, *whole.vocab.encode("市10AB")]
    np.testing.assert_allclose(cut.logits(batch), whole.logits(batch)[:, :, kept], atol=1e-4)
    assert all(set(r.text) & set("AB") for r in Recognizer.load(checkpoint_path).read_lines(images))
    assert not any(set(r.text) & set("AB") for r in whole.read_lines(images))


def test_a_head_is_not_cut_to_characters_it_does_not_know(checkpoint_path, tmp_path):
    with pytest.raises(VocabError, match=r"best\.safetensors: .*does not know: '沪皖'.*Train"):
        export_onnx(checkpoint_path, tmp_path / "cut.onnx", charset="沪01皖")
