from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from crnnkit.dataset.index import Line, read_index, write_index
from crnnkit.errors import CrnnKitError, DatasetError, VocabError
from crnnkit.finetuning import losses, material, start, trainer
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.history import read_history
from crnnkit.finetuning.optimizer import lr_share
from crnnkit.finetuning.trainer import train
from crnnkit.model.checkpoint import load_checkpoint, new_checkpoint, read_info
from crnnkit.model.config import ModelConfig
from crnnkit.model.crnn import CRNN
from crnnkit.preprocessing.images import write_image
from crnnkit.preprocessing.tensors import half_turn
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import Vocab
from tests.finetuning.test_resume import interrupt_after, without_times


def test_a_few_lines_are_learnt_by_heart(config, make_line):
    folder = config.train_data.parent
    lines = []
    for number, text in enumerate(("01", "10", "00"), 1):
        write_image(folder / f"{number}.png", make_line(text))
        lines.append(Line(folder / f"{number}.png", text, number))
    write_index(config.train_data, lines)
    settings = {"epochs": 120, "lr": 1e-2, "varied_share": 0.0, "warmup": 0.1}
    result = train(replace(config, val_data=config.train_data, **settings))
    assert result.history[0].val_cer > 0.5
    assert result.best.val_cer == 0


def test_what_a_run_leaves_behind(config):
    seen, shares = [], []
    result = train(config, seen.append, lambda share, rate: shares.append((share, rate)))
    files = {path.name for path in config.output_dir.iterdir()}
    assert files == {"best.safetensors", "last.safetensors", "history.csv", "resume.safetensors"}
    assert list(result.history) == seen == read_history(config.output_dir / "history.csv")
    assert [share for share, _ in shares] == sorted(share for share, _ in shares)
    assert shares[-1][0] == 1
    assert all(rate > 0 for _, rate in shares)
    info = read_info(result.best_path)
    assert info.metrics["val_cer"] == result.best.val_cer
    assert set(info.training) == {"train_data_sha256", "pretrained_ckpt", "lr", "seed"}


def test_the_best_checkpoint_carries_the_temperature_of_the_validation_lines(config):
    # two epochs teach nothing, so its confidences are lowered
    assert read_info(train(config).best_path).temperature > 1.5


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


def test_the_best_epoch_is_kept_not_the_last(config, monkeypatch):
    # the later ones would have forgotten: the rule is history.best_epoch's
    monkeypatch.setattr(trainer, "best_epoch", lambda history, *_: history[:3][-1])
    result = train(replace(config, epochs=6))
    assert (result.best.epoch, len(result.history)) == (3, 6)
    assert read_info(result.best_path).metrics["epoch"] == 3
    assert read_info(result.last_path).metrics["epoch"] == 6


def test_minutes_end_a_run_before_its_epochs(config):
    result = train(replace(config, epochs=100_000, minutes=0.01))
    assert 1 <= len(result.history) < 100_000


def test_what_is_looked_at_before_the_first_step_takes_none_of_the_minutes(config, tmp_path):
    base = train(config)
    settings = {"pretrained_ckpt": base.best_path, "minutes": 1e-6, "warmup": 0.5}
    tuned = train(replace(config, output_dir=tmp_path / "tuned", **settings))
    assert [epoch.epoch for epoch in tuned.history] == [1]
    assert tuned.history[0].lr < 0.02 * replace(config, **settings).peak_lr  # still warming up
    assert tuned.best_path.parent == tmp_path / "tuned"


@pytest.mark.parametrize(
    ("written_as", "stands_upside_down", "is_reason"),
    [({}, False, False), ({"0": "1"}, False, True), ({}, True, True)],
)
def test_many_lines_are_all_read_before_training_only_where_some_give_reason(
    config, tmp_path, monkeypatch, written_as, stands_upside_down, is_reason
):
    base, read = train(config), []

    def read_lines(forward, info, lines, *others):
        read.append(len(lines))
        return real(forward, info, lines, *others)

    def turned_upright(self, *_):
        return self.with_turned([stands_upside_down] * len(self.train))

    real = trainer.read_lines
    monkeypatch.setattr(trainer, "read_lines", read_lines)
    monkeypatch.setattr(trainer, "learn_spelling", lambda *_: written_as)
    monkeypatch.setattr(material, "SAMPLE_SIZE", 2)
    monkeypatch.setattr(material.Material, "turned_upright", turned_upright)
    train(replace(config, output_dir=tmp_path / "tuned", pretrained_ckpt=base.best_path, epochs=1))
    whole, val = (len(read_index(path)) for path in (config.train_data, config.val_data))
    some = len(range(0, whole, whole // 2))
    assert 2 <= some < whole
    assert read[:2] == [some, some]
    assert (read[2:4] == [whole, whole]) == is_reason
    assert is_reason or read[2:] == [val]


def test_a_pretrained_checkpoint_keeps_its_characters_and_takes_the_datas(config, tmp_path):
    base = train(replace(config, vocab_path=_vocab(tmp_path, "0123456789AB 北京市XYZ")))
    tuned = train(
        replace(config, output_dir=tmp_path / "tuned", pretrained_ckpt=base.best_path, lr=0.0)
    )
    assert tuned.vocab_change.new == ""
    assert read_info(tuned.best_path).charset == "0123456789AB 北京市XYZ"
    assert read_info(tuned.best_path).training["pretrained_ckpt"] == "best.safetensors"


def test_random_weights_drop_more_than_a_checkpoint_does_unless_told(
    config, tmp_path, tiny_network
):
    default = replace(config, dropout=None, epochs=1)
    fresh = train(default)
    dropout = start.FROM_NOTHING.dropout
    assert load_checkpoint(fresh.best_path).model.dropout.p == dropout > tiny_network.dropout
    for asked, kept in ((None, dropout), (0.7, 0.7)):
        again = replace(default, pretrained_ckpt=fresh.best_path, dropout=asked)
        tuned = load_checkpoint(train(replace(again, output_dir=tmp_path / str(asked))).best_path)
        assert tuned.model.dropout.p == tuned.info.model.dropout == kept


def test_a_network_from_nothing_takes_less_than_half_of_the_bases_work(toy_data, tmp_path):
    config = TrainConfig(toy_data / "train.txt", toy_data / "val.txt", tmp_path)
    operations = []
    for network in (start.starting_point(config, ["0"])[0].model, CRNN(ModelConfig(), 8)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.features(torch.zeros(1, 1, 32, 320))
        operations.append(counter.get_total_flops())
    assert operations[0] < operations[1] / 2


def test_what_a_step_leaves_out_changes_what_is_learnt(config, tmp_path):
    fresh = train(config)
    settings = replace(config, pretrained_ckpt=fresh.best_path, epochs=1)
    losses = [
        train(replace(settings, dropout=share, output_dir=tmp_path / str(share))).history[0]
        for share in (0.0, 0.9)
    ]
    assert losses[0].train_loss < losses[1].train_loss


def test_a_vocabulary_that_lacks_characters_is_refused(config, tmp_path):
    message = r"vocab\.txt: lacks 1 character of the data, '京', in \d+ of \d+ lines"
    with pytest.raises(VocabError, match=message):
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

    monkeypatch.setattr(losses, "ctc_loss", broken)
    with pytest.raises(CrnnKitError, match=r"not finite in epoch 1 for: .*train_\d.png"):
        train(config)


def test_patience_ends_a_run_that_gets_no_better(config):
    result = train(replace(config, epochs=50, lr=0.5, patience=3))  # far too high
    cers = [epoch.val_cer for epoch in result.history]
    assert cers.index(min(cers)) + 1 + 3 == len(cers) < 50


def test_the_average_is_kept_not_the_last_step(config, tmp_path):
    plain = train(replace(config, average_decay=0.0))
    averaged = train(replace(config, output_dir=tmp_path / "averaged", average_decay=0.99))
    weights = [load_checkpoint(r.last_path).model.head.weight for r in (plain, averaged)]
    assert not torch.equal(*weights)


def test_frozen_convolutions_do_not_move(config):
    result = train(replace(config, frozen_share=0.99, minutes=60.0, average_decay=0.0))
    torch.manual_seed(config.seed)
    fresh = dict(new_checkpoint(read_info(result.last_path)).model.named_parameters())
    trained = dict(load_checkpoint(result.last_path).model.named_parameters())
    moved = {n.split(".")[0] for n in fresh if not torch.equal(trained[n], fresh[n])}
    assert "head" in moved
    assert not moved & {"convs", "bottleneck"}


def test_blending_keeps_a_share_of_the_start(config, tmp_path):
    base = train(config)
    tuned = replace(config, pretrained_ckpt=base.best_path, average_decay=0.0, seed=9)
    paths = [
        train(replace(tuned, output_dir=tmp_path / str(share), blend_base=share)).last_path
        for share in (0.0, 0.5)
    ]
    start, end, middle = (
        load_checkpoint(path).model.head.weight for path in (base.best_path, *paths)
    )
    assert torch.allclose(middle, (start + end) / 2, atol=1e-6)


def test_general_lines_are_trained_along_and_measured(config, tmp_path):
    base = train(config)
    general = config.train_data.parent
    settings = {"pretrained_ckpt": base.best_path, "general_data": general, "general_share": 0.5}
    result = train(replace(config, output_dir=tmp_path / "tuned", **settings))
    assert result.general_cer_before is not None
    assert all(epoch.general_cer is not None for epoch in result.history)
    plain = train(replace(config, output_dir=tmp_path / "plain", pretrained_ckpt=base.best_path))
    assert plain.history[0].general_cer is None
    assert not torch.equal(
        *(load_checkpoint(r.last_path).model.head.weight for r in (result, plain))
    )


def test_distilling_changes_what_is_learnt_of_general_lines(config, tmp_path):
    base = train(config)
    general = config.train_data.parent
    settings = {"pretrained_ckpt": base.best_path, "general_data": general, "average_decay": 0.0}
    near, far = (
        train(replace(config, output_dir=tmp_path / str(w), distill=w, lr=0.01, **settings))
        for w in (30.0, 0.0)
    )
    start, with_it, without = (
        load_checkpoint(path).model.head.weight
        for path in (base.best_path, near.last_path, far.last_path)
    )
    assert (with_it - start).norm() < (without - start).norm()


def test_what_labels_write_otherwise_than_printed_is_neither_learnt_nor_forgotten(
    config, tmp_path, make_line
):
    folder = config.train_data.parent
    printed, labelled = [], []
    for number, text in enumerate(("01", "10", "00"), 1):
        write_image(folder / f"{number}.png", make_line(text))
        printed.append(Line(folder / f"{number}.png", text, number))
        labelled.append(replace(printed[-1], text=text.replace("0", "O")))
    write_index(config.train_data, printed)
    write_index(folder / "val.txt", printed)
    settings = {"epochs": 120, "lr": 1e-2, "varied_share": 0.0, "warmup": 0.1}
    base = train(replace(config, **settings))
    assert base.best.val_cer == 0
    general = tmp_path / "general"
    for split in ("train", "val"):
        write_index(general / f"{split}.txt", printed)
        write_index(folder / f"{split}.txt", labelled)
    tuning = replace(
        config,
        output_dir=tmp_path / "tuned",
        pretrained_ckpt=base.best_path,
        epochs=4,
        general_data=general,
        varied_share=0.0,
    )
    tuned = train(tuning)
    assert tuned.written_as == {"0": "O"}
    assert tuned.history[0].val_cer == tuned.history[0].general_cer == 0
    assert tuned.history[0].val_loss < 0.5  # of what is printed
    assert tuned.history[-1].train_cer == 0
    recognizer = Recognizer.load(tuned.best_path)
    assert [r.text for r in recognizer.read_lines([p.image for p in printed])] == ["O1", "1O", "OO"]

    cut = replace(tuning, output_dir=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        train(cut, on_epoch=interrupt_after(2))
    resumed = train(replace(cut, resume=True))
    assert [without_times(e) for e in resumed.history] == list(map(without_times, tuned.history))
    assert resumed.written_as == {"0": "O"}


def test_upside_down_lines_are_found_and_turned(config, tmp_path, make_line):
    """A network that reads upright lines tells which of the others are upside down."""
    texts = ("017", "245", "734", "152")
    upright = _lines(tmp_path / "upright", [(text, make_line(text)) for text in texts])
    mixed = _lines(
        tmp_path / "mixed",
        [(text, make_line(text)) for text in texts] + [("245", half_turn(make_line("245")))],
    )
    learning = {"epochs": 100, "lr": 1e-2, "varied_share": 0.0}
    base = train(replace(config, train_data=upright, val_data=upright, **learning))
    assert base.num_turned == 0
    settings = {"train_data": mixed, "val_data": mixed, "pretrained_ckpt": base.best_path, "lr": 0}
    found = train(replace(config, output_dir=tmp_path / "auto", **settings))
    assert found.num_turned == 1
    assert read_info(found.last_path).line.turn_below > 0
    assert found.history[-1].val_cer == 0  # val holds the line too, and is read both ways
    never = train(replace(config, output_dir=tmp_path / "never", turn="never", **settings))
    assert never.num_turned == 0
    assert read_info(never.last_path).line.turn_below == 0
    assert never.history[-1].val_cer > 0


def _lines(folder, pictures):
    lines = []
    for number, (text, image) in enumerate(pictures, 1):
        write_image(folder / f"{number}.png", image)
        lines.append(Line(folder / f"{number}.png", text, number))
    write_index(folder / "index.txt", lines)
    return folder / "index.txt"


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
