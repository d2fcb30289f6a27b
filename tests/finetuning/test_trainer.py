from dataclasses import replace

import pytest
import torch

from crnnkit.dataset.index import Line, write_index
from crnnkit.errors import CrnnKitError, DatasetError, VocabError
from crnnkit.finetuning import trainer
from crnnkit.finetuning.config import TrainConfig, read_history
from crnnkit.finetuning.trainer import lr_share, train
from crnnkit.model.checkpoint import load_checkpoint, new_checkpoint, read_info
from crnnkit.model.config import ModelConfig, Stage
from crnnkit.preprocessing.images import write_image
from crnnkit.vocab import Vocab

TINY = ModelConfig(
    stages=(Stage(8, (2, 2)), Stage(16, (2, 1)), Stage(24, (4, 2))),
    bottleneck=24,
    lstm_hidden=16,
    dropout=0.0,
)


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setattr(trainer, "ModelConfig", lambda: TINY)


@pytest.fixture
def config(toy_data, tmp_path):
    return TrainConfig(
        toy_data / "train.txt",
        toy_data / "val.txt",
        tmp_path / "run",
        epochs=2,
        batch_size=4,
        precision="float32",
    )


def test_a_few_lines_are_learnt_by_heart(config, make_line):
    folder = config.train_data.parent
    lines = []
    for number, text in enumerate(("01", "10", "00"), 1):
        write_image(folder / f"{number}.png", make_line(text))
        lines.append(Line(folder / f"{number}.png", text, number))
    write_index(config.train_data, lines)
    settings = {"epochs": 120, "lr": 1e-2, "augment": False, "warmup": 0.1}
    result = train(replace(config, val_data=config.train_data, **settings))
    assert result.history[0].val_cer > 0.5
    assert result.best.val_cer == 0


def test_what_a_run_leaves_behind(config):
    seen, shares = [], []
    result = train(config, seen.append, shares.append)
    files = {path.name for path in config.output_dir.iterdir()}
    assert files == {"best.safetensors", "last.safetensors", "history.csv"}
    assert list(result.history) == seen == read_history(config.output_dir / "history.csv")
    assert shares == sorted(shares)
    assert shares[-1] == 1
    info = read_info(result.best_path)
    assert info.metrics["val_cer"] == result.best.val_cer
    assert set(info.training) == {"train_data_sha256", "pretrained_ckpt", "lr", "seed"}


def test_without_learning_no_weight_moves(config):
    result = train(replace(config, lr=0.0))
    torch.manual_seed(config.seed)
    fresh = new_checkpoint(read_info(result.last_path)).model
    trained = dict(load_checkpoint(result.last_path).model.named_parameters())
    assert all(torch.equal(trained[name], weight) for name, weight in fresh.named_parameters())


def test_equal_seeds_give_equal_weights(config, tmp_path):
    paths = [
        train(replace(config, output_dir=tmp_path / name, seed=seed)).last_path
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    first, same, other = (load_checkpoint(path).model.head.weight for path in paths)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_best_epoch_is_kept_not_the_last(config):
    result = train(replace(config, epochs=6, lr=0.5))  # far too high: it gets worse again
    expected = min(result.history, key=lambda epoch: (epoch.val_cer, epoch.val_loss))
    assert result.best == expected
    assert read_info(result.best_path).metrics["epoch"] == expected.epoch


def test_minutes_end_a_run_before_its_epochs(config):
    result = train(replace(config, epochs=100_000, minutes=0.01))
    assert 1 <= len(result.history) < 100_000


def test_a_pretrained_checkpoint_keeps_its_characters_and_takes_the_datas(config, tmp_path):
    base = train(replace(config, vocab_path=_vocab(tmp_path, "0123456789AB 北京市XYZ")))
    tuned = train(
        replace(config, output_dir=tmp_path / "tuned", pretrained_ckpt=base.best_path, lr=0.0)
    )
    assert tuned.vocab_change.new == ""
    assert read_info(tuned.best_path).charset == "0123456789AB 北京市XYZ"
    assert read_info(tuned.best_path).training["pretrained_ckpt"] == "best.safetensors"


def test_a_vocabulary_that_lacks_characters_is_refused(config, tmp_path):
    with pytest.raises(VocabError, match="'京'"):
        train(replace(config, vocab_path=_vocab(tmp_path, "0123456789AB 北市")))


def test_texts_too_long_for_their_pictures_are_named(config, make_line):
    image = config.train_data.parent / "narrow.png"
    write_image(image, make_line("1"))
    write_index(config.train_data, [Line(image, "0123456789" * 3, 1)])
    with pytest.raises(DatasetError, match=r"train.txt: 1 texts.*line 1: '0123456789"):
        train(config)


def test_a_loss_that_is_not_finite_names_the_pictures(config, monkeypatch):
    def broken(logits, _ids, _lengths):
        return logits.sum((1, 2)) * torch.tensor(float("nan"))

    monkeypatch.setattr(trainer, "ctc_loss", broken)
    with pytest.raises(CrnnKitError, match=r"not finite in epoch 1 for: .*train_\d.png"):
        train(config)


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        (0.0, 0.01),  # never zero
        (0.05, 0.5),
        (0.1, 1.0),
        (0.55, 0.505),  # half of the cosine
        (1.0, 0.01),
    ],
)
def test_learning_rate_over_a_run(progress, share):
    assert lr_share(progress, warmup=0.1) == pytest.approx(share)


def _vocab(folder, charset):
    path = folder / "vocab.txt"
    Vocab(charset).save(path)
    return path
