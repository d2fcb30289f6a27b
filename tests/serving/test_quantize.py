"""int8 convolutions: what the file then holds, and when it is left as it was."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

from crnnkit.dataset.index import Line
from crnnkit.errors import DatasetError
from crnnkit.preprocessing.images import write_image
from crnnkit.preprocessing.tensors import line_to_array
from crnnkit.serving import quantize
from crnnkit.serving.compare import TimedTexts
from crnnkit.serving.quantize import QuantizeReport, quantize_onnx
from crnnkit.serving.recognizer import Recognizer

TEXTS = ("北京市 12", "2024-03-01", "B0B", "0123456789AB 0123456789AB")


@pytest.fixture
def copied(onnx_path, tmp_path) -> Path:
    """A model file that may be replaced."""
    path = tmp_path / "best.onnx"
    path.write_bytes(onnx_path.read_bytes())
    return path


@pytest.fixture
def lines(make_line, tmp_path) -> list[Line]:
    for text in TEXTS:
        write_image(tmp_path / f"{text}.png", make_line(text))
    return [Line(tmp_path / f"{text}.png", text, n) for n, text in enumerate(TEXTS, 1)]


def decide(monkeypatch, before: TimedTexts, after: TimedTexts) -> None:
    """Let the two readers say and take what the test wants."""
    monkeypatch.setattr(quantize, "read_in_turn", lambda _readers, _images: [before, after])


@pytest.fixture
def int8(copied, lines, monkeypatch) -> Recognizer:
    decide(monkeypatch, TimedTexts(TEXTS, 2.0), TimedTexts(TEXTS, 1.0))
    report = quantize_onnx(copied, [line.image for line in lines], lines, num_threads=1)
    assert report.refusal == ""
    assert str(report).startswith(f"{copied} now has int8 convolutions (CER 0.00% → 0.00%, 2.00 →")
    return Recognizer.load(copied, num_threads=1)


def test_the_convolutions_and_nothing_else_become_int8(int8, copied, recognizer, make_line):
    graph = onnx.load(copied).graph
    made_of = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("Conv", "LSTM", "MatMul"):
            source = made_of.get(node.input[1])
            quantized = source is not None and source.op_type == "DequantizeLinear"
            assert quantized == (node.op_type == "Conv"), node.name
        if node.op_type == "QuantizeLinear":
            zero = next(t for t in graph.initializer if t.name == node.input[2])
            assert zero.data_type == onnx.TensorProto.UINT8, node.name
    assert int8.vocab == recognizer.vocab
    assert sorted(path.name for path in copied.parent.glob("*.onnx")) == ["best.onnx"]
    batch = line_to_array(make_line(TEXTS[0]), recognizer.line_config)[np.newaxis]
    exact, rounded = recognizer.logits(batch), int8.logits(batch)
    assert 0 < np.abs(exact - rounded).mean() < 0.2 * exact.std()


def test_an_int8_reading_does_not_depend_on_its_batch_mates(int8):
    batch = np.random.default_rng(3).normal(size=(5, 1, 32, 128)).astype(np.float32)
    batch[1:] *= 50  # with scales of the whole batch, the first line would fade away
    np.testing.assert_allclose(int8.logits(batch)[:1], int8.logits(batch[:1]), atol=1e-5)


@pytest.mark.parametrize(
    ("cer_after", "ms_after", "refusal"),
    [
        (0.1029, 1.0, ""),  # 0.29 points worse, twice as fast
        (0.1031, 1.0, "the CER rises by 0.31 points, more than 0.3"),
        (0.09, 1.9, "a line takes 1.90 ms instead of 2.00, not 1.1 times as fast"),
        (0.2, 3.0, "10.00 points, more than 0.3 and a line takes 3.00 ms"),  # both are said
    ],
)
def test_int8_must_read_as_well_and_be_faster(cer_after, ms_after, refusal):
    report = QuantizeReport(Path("best.onnx"), 0.1, cer_after, 2.0, ms_after, 2, 1)
    assert refusal in report.refusal
    assert bool(report.refusal) == bool(refusal)


def test_a_refused_file_stays_as_it_was_and_the_reason_is_told(copied, lines, monkeypatch):
    decide(monkeypatch, TimedTexts(TEXTS, 2.0), TimedTexts(("?", *TEXTS[1:]), 1.0))
    content = copied.read_bytes()
    report = quantize_onnx(copied, [line.image for line in lines], lines)
    assert "stays in float32, because the CER rises by 13.64 points" in str(report)
    assert copied.read_bytes() == content
    assert [path.name for path in copied.parent.glob("*.onnx")] == ["best.onnx"]


def test_lines_are_read_by_both_and_hints_are_not_shown(copied, lines, caplog):
    with caplog.at_level(logging.INFO):
        report = quantize_onnx(copied, [line.image for line in lines], lines, num_threads=1)
    assert report.ms_before > 0
    assert report.cer_before > 0  # a network of random weights
    assert [record.message for record in caplog.records] == []


@pytest.mark.parametrize("missing", ["calibration", "lines"])
def test_without_lines_there_is_no_int8(copied, lines, missing):
    pictures = [line.image for line in lines]
    arguments = {"calibration": pictures, "lines": lines} | {missing: []}
    with pytest.raises(DatasetError, match=r"best\.onnx: int8 needs lines .*\(0 given\)"):
        quantize_onnx(copied, **arguments)
