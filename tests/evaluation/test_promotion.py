import json
from hashlib import sha256

import pytest

from crnnkit.errors import CheckpointError, DatasetError
from crnnkit.evaluation import promotion
from crnnkit.evaluation.promotion import promote

TEXTS = [f"AB {number:017}" for number in range(30)]


@pytest.fixture
def lines(make_lines):
    return make_lines(TEXTS)


@pytest.fixture
def models(tmp_path, monkeypatch, lines, table_recognizer):
    """Files whose content says how many of the lines they read wrong, a character of 20 each."""

    def load(path, num_threads):
        num_wrong = int(path.read_text())
        texts = {line.image.stem: line.text for line in lines}
        wrong = {line.image.stem: line.text[1:] for line in lines[:num_wrong]}
        return table_recognizer(texts | wrong, name=path.name)

    monkeypatch.setattr(promotion.Recognizer, "load", staticmethod(load))

    def make(name, num_wrong):
        (tmp_path / name).write_text(str(num_wrong))
        return tmp_path / name

    return make


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (8, 0),  # better
        (3, 3),  # the same
        (3, 6),  # worse by 0.5 points, which may be chance
    ],
)
def test_what_is_not_worse_is_served_and_leaves_a_trace(models, lines, was, becomes):
    served, candidate = models("serving.onnx", was), models("best.onnx", becomes)
    promote(candidate, served, lines)
    assert served.read_text() == str(becomes)
    (row,) = map(json.loads, (served.parent / "serving.onnx.lineage.jsonl").open())
    assert row["source"] == "best.onnx"
    assert row["before_sha256"] == sha256(str(was).encode()).hexdigest()
    assert row["sha256"] == sha256(str(becomes).encode()).hexdigest()


def test_what_reads_worse_is_refused_and_the_old_one_stays(models, lines):
    served = models("serving.onnx", 0)
    with pytest.raises(CheckpointError, match=r"best.onnx: not promoted: WORSE after"):
        promote(models("best.onnx", 9), served, lines)
    assert served.read_text() == "0"
    assert not (served.parent / "serving.onnx.lineage.jsonl").exists()


def test_a_rise_beyond_the_margin_is_refused_though_it_may_be_chance(models, lines):
    served = models("serving.onnx", 3)
    with pytest.raises(CheckpointError, match=r"\+0\.67 points .*may be chance.*than 0.5 points"):
        promote(models("best.onnx", 7), served, lines)
    assert served.read_text() == "3"


def test_a_small_rise_that_is_hardly_chance_is_refused(models, lines, monkeypatch):
    monkeypatch.setattr(promotion, "MAX_RISE", 1.0)
    with pytest.raises(CheckpointError, match=r"\+1\.00 points .*p = 0\.0\d+\)"):
        promote(models("best.onnx", 6), models("serving.onnx", 0), lines)


def test_too_few_texts_decide_nothing(models, lines):
    served = models("serving.onnx", 3)
    few = [*lines[:29], lines[0]]  # 30 lines, but a text twice
    with pytest.raises(DatasetError, match=r"not promoted: 29 different texts .*, 30 can"):
        promote(models("best.onnx", 0), served, few)
    assert served.read_text() == "3"


def test_the_first_model_has_none_to_be_measured_by(models, lines, tmp_path):
    served = tmp_path / "serving.onnx"
    assert "nothing was served" in promote(models("best.onnx", 9), served, lines)
    assert served.read_text() == "9"


def test_a_file_of_another_kind_than_the_served_one_is_refused(models, lines):
    with pytest.raises(CheckpointError, match=r"best.safetensors: a .onnx file is served, export"):
        promote(models("best.safetensors", 0), models("serving.onnx", 9), lines)
