import json
import os
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from crnnkit.errors import CheckpointError, WriteError
from crnnkit.model.checkpoint import (
    LOOK_ALIKE_MARGIN,
    Checkpoint,
    change_vocab,
    load_checkpoint,
    new_checkpoint,
    read_info,
    save_checkpoint,
)
from crnnkit.model.config import (
    CheckpointInfo,
    ClassicConfig,
    ClassicConv,
    ModelConfig,
    Pool,
    Stage,
)
from crnnkit.vocab import NORMALIZATION, Vocab

TINY = ModelConfig(stages=(Stage(4, (4, 2)), Stage(6, (4, 2))), bottleneck=8, lstm_hidden=5)


@pytest.fixture
def checkpoint():
    made = new_checkpoint(CheckpointInfo("abc 京", TINY, metrics={"val_cer": 0.5}))
    torch.nn.init.normal_(made.model.head.bias)
    made.model.eval()
    return made


def test_a_saved_checkpoint_reads_and_describes_itself_the_same(checkpoint, tmp_path):
    path = tmp_path / "new" / "best.safetensors"
    save_checkpoint(path, checkpoint)
    loaded = load_checkpoint(path)
    images = torch.randn(2, 1, 32, 48)
    torch.testing.assert_close(loaded.model(images), checkpoint.model(images), rtol=0, atol=0)
    assert loaded.info == checkpoint.info == read_info(path)
    assert os.listdir(path.parent) == ["best.safetensors"]


def test_half_precision_halves_the_file_and_loads_as_float32(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "full.safetensors", checkpoint)
    save_checkpoint(tmp_path / "half.safetensors", checkpoint, half=True)
    stored = load_file(tmp_path / "half.safetensors")
    assert stored["head.weight"].dtype == torch.float16
    loaded = load_checkpoint(tmp_path / "half.safetensors")
    assert loaded.model.head.weight.dtype == torch.float32
    torch.testing.assert_close(
        loaded.model.head.weight, checkpoint.model.head.weight, rtol=1e-3, atol=1e-3
    )


def test_a_save_that_fails_leaves_the_old_file(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match="No space left"):
        save_checkpoint(path, checkpoint)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["best.safetensors"]


def test_a_missing_file_names_those_that_are_there(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "other.safetensors", checkpoint)
    with pytest.raises(CheckpointError, match=r"best.safetensors: no such.*other.safetensors"):
        load_checkpoint(tmp_path / "best.safetensors")


def _strip_metadata(path):
    save_file(load_file(path), path)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def _drop_weight(path, checkpoint):
    weights = load_file(path)
    del weights["head.bias"]
    save_file(weights, path, metadata={"crnnkit": checkpoint.info.to_json()})


def test_a_file_without_our_description_is_refused(checkpoint, tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, checkpoint)
    _strip_metadata(path)
    with pytest.raises(CheckpointError, match="not one of crnnkit"):
        load_checkpoint(path)


def test_a_damaged_file_is_refused(checkpoint, tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, checkpoint)
    _cut(path)
    with pytest.raises(CheckpointError, match="damaged or of another format"):
        load_checkpoint(path)


def test_a_name_that_could_not_be_read_again_is_refused(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"a.pt: checkpoints are .safetensors"):
        save_checkpoint(tmp_path / "a.pt", checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(checkpoint, tmp_path, value):
    path = tmp_path / "a.safetensors"
    checkpoint.model.head.weight.data[2, 1] = value
    save_checkpoint(path, checkpoint)
    with pytest.raises(CheckpointError, match=r"a.safetensors: .*head.weight .*not finite"):
        load_checkpoint(path)


def test_a_missing_weight_is_named(checkpoint, tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, checkpoint)
    _drop_weight(path, checkpoint)
    with pytest.raises(CheckpointError, match=r"1 weights do not fit.*head.bias is missing"):
        load_checkpoint(path)


def test_a_vocabulary_of_another_size_is_named_with_both_shapes(checkpoint, tmp_path):
    path = tmp_path / "a.safetensors"
    wrong = Checkpoint(checkpoint.model, CheckpointInfo("abc", TINY))
    save_checkpoint(path, wrong)
    with pytest.raises(CheckpointError, match=r"head.bias has shape \(6,\), expected \(4,\)"):
        load_checkpoint(path)


def test_pickles_are_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/opened",))

    for name in ("model.pth", "model.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "opened").exists()


CLASSIC = ClassicConfig(
    convs=(
        ClassicConv(4, pool=Pool((8, 2), (8, 2))),
        ClassicConv(6, kernel_hw=(4, 1), padding=0),
    ),
    lstm_hidden=5,
    projection=8,
    head_bias=False,
)


@pytest.mark.parametrize("config", [TINY, CLASSIC, replace(CLASSIC, projection=0, head_bias=True)])
def test_a_new_vocabulary_keeps_the_logits_of_shared_characters_bit_for_bit(config):
    checkpoint = new_checkpoint(CheckpointInfo("abc 京", config))
    checkpoint.model.eval()
    changed, change = change_vocab(checkpoint, Vocab("京xa"))
    images = torch.randn(3, 1, 32, 48)
    old, new = checkpoint.model(images), changed.model(images)
    assert torch.equal(new[..., 0], old[..., 0])  # blank
    assert torch.equal(new[..., 1], old[..., 5])  # 京
    assert torch.equal(new[..., 3], old[..., 1])  # a
    # no x, X or full-width one is known: it starts as the mean
    torch.testing.assert_close(new[..., 2], old[..., 1:].mean(2))
    assert (change.kept, change.new, change.dropped) == ("京a", "x", "bc ")
    assert str(change) == "vocabulary: 2 kept, 1 new (x), 3 dropped (bc )"


def test_a_new_vocabulary_keeps_the_spelling_of_its_characters(checkpoint):
    rules = {"a": "b", "1": "京", "c": ""}
    info = replace(checkpoint.info, charset="abc1京", written_as=rules)
    changed, _ = change_vocab(new_checkpoint(info), Vocab("cab1"))
    assert changed.info.written_as == {"a": "b", "c": ""}


@pytest.mark.parametrize(
    ("new", "alike"),
    [("ａ", "a"), ("A", "a"), ("Ｂ", "b")],  # other width, other case, both
)
def test_a_new_character_starts_a_margin_below_its_look_alike(checkpoint, new, alike):
    changed, _ = change_vocab(checkpoint, Vocab(new + checkpoint.info.charset))
    images = torch.randn(3, 1, 32, 48)
    before, after = checkpoint.model(images), changed.model(images)
    (old_id,) = checkpoint.info.vocab.encode(alike)
    torch.testing.assert_close(after[..., 1], before[..., old_id] - LOOK_ALIKE_MARGIN)
    # all that was read is still read, although the new character has the lower id
    ids = before.argmax(-1)
    assert torch.equal(after.argmax(-1), ids + (ids > 0))


def test_a_checkpoint_of_another_normalisation_is_refused(checkpoint, tmp_path):
    path = tmp_path / "a.safetensors"
    info = replace(checkpoint.info, normalization="nfkc-7")
    save_checkpoint(path, Checkpoint(checkpoint.model, info))
    with pytest.raises(CheckpointError, match=r"normalised by 'nfkc-7', this .* 'visible-1'"):
        load_checkpoint(path)


def test_a_checkpoint_from_before_normalisation_had_a_name_is_read():
    description = json.loads(CheckpointInfo("abc", TINY).to_json())
    assert description.pop("normalization") == NORMALIZATION
    read = CheckpointInfo.from_json(json.dumps(description), "old.safetensors")
    assert read == CheckpointInfo("abc", TINY)
