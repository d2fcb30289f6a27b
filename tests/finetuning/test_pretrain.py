import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from crnnkit.dataset.fonts import find_faces
from crnnkit.dataset.synth import Renderer
from crnnkit.errors import CheckpointError
from crnnkit.finetuning import pretrain as recipe
from crnnkit.finetuning import rendered
from crnnkit.finetuning.config import PretrainConfig
from crnnkit.finetuning.pretrain import pretrain
from crnnkit.finetuning.rendered import NO_TARGET, Lines
from crnnkit.model.checkpoint import (
    load_checkpoint,
    new_checkpoint,
    read_info,
    save_checkpoint,
)
from crnnkit.model.config import CheckpointInfo, ClassicConfig, ClassicConv, ModelConfig, Stage
from crnnkit.preprocessing.tensors import half_turn
from crnnkit.vocab import Vocab

TINY = ModelConfig(
    stages=(Stage(8, (2, 2)), Stage(16, (2, 1)), Stage(24, (4, 2))), bottleneck=24, lstm_hidden=16
)
ASCII = "".join(chr(code) for code in range(32, 127))
CHARSET = ASCII + "。，：¥℃年月日时分元第一二三四五六七八九十北京市路号"


@pytest.fixture(scope="module")
def renderer():
    faces = [face for face in find_faces() if face.draws(CHARSET.replace(" ", ""))][:3]
    if not faces:
        pytest.skip("not run: no font on this machine draws Chinese")
    return Renderer(faces)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "ModelConfig", lambda: TINY)
    monkeypatch.setattr(recipe, "REPORT_SECONDS", 0.0)
    Vocab(CHARSET).save(tmp_path / "vocab.txt")
    (tmp_path / "chinese.txt").write_text("北京市\n一月\n号\n", encoding="utf-8")
    (tmp_path / "english.txt").write_text("total\namount\nvalve\n", encoding="utf-8")
    return PretrainConfig(
        output=tmp_path / "base.safetensors",
        vocab_path=tmp_path / "vocab.txt",
        chinese_lexicon=tmp_path / "chinese.txt",
        english_lexicon=tmp_path / "english.txt",
        minutes=0.1,
        glyphs=64,
        glyph_batch=32,
        batch_columns=256,
        num_workers=0,
        precision="float32",
    )


def test_glyphs_stand_where_their_frames_say(config, renderer):
    info = CheckpointInfo(CHARSET, TINY)
    lines = Lines(renderer, info, config, 0)
    line = lines._render(lambda rng: "A1 b", np.random.default_rng(1))
    placed = [i for i in line.frame_ids.tolist() if i != NO_TARGET]
    assert placed == info.vocab.encode("A1 b")
    assert len(line.frame_ids) == TINY.time_steps(line.gray.shape[1])


def test_lines_upside_down_are_to_be_read_as_nothing(config, renderer):
    info = CheckpointInfo(CHARSET, TINY)

    def render(text, turned_share):
        lines = Lines(renderer, info, replace(config, turned_share=turned_share), 0)
        return lines._render(lambda rng: text, np.random.default_rng(1))

    upright, turned = render("BAAB", 0.0), render("BAAB", 0.99)
    assert turned.target_ids == []
    assert set(turned.frame_ids) == {NO_TARGET}
    width = np.flatnonzero((upright.gray != upright.gray[:, -1:]).any(0))[-1] + 1
    # the text itself stands on its head, the padding stays on the right
    assert turned.gray.shape == upright.gray.shape
    assert np.array_equal(turned.gray[:, :width], half_turn(upright.gray[:, :width]))
    # 11 would be 11 again
    assert render("1111", 0.99).target_ids == info.vocab.encode("1111")


def test_a_run_goes_from_glyphs_to_lines_and_continues_where_it_stopped(config, renderer):
    reports = []
    pretrain(config, renderer, reports.append)
    first = read_info(config.output).training
    assert first["glyphs_seen"] == config.glyphs
    assert first["lines_seen"] > 0
    assert {report.stage for report in reports} == {"glyphs", "lines"}

    reports.clear()
    pretrain(replace(config, minutes=0.02), renderer, reports.append)
    second = read_info(config.output).training
    assert second["glyphs_seen"] == config.glyphs  # not once more
    assert second["lines_seen"] > first["lines_seen"]
    assert reports[0].seen > first["lines_seen"]


def test_glyph_logits_never_name_the_blank(config, renderer):
    run = recipe._Run(config, renderer, print)
    logits = run._glyph_logits(torch.randn(4, 1, 32, 32))
    assert torch.isneginf(logits[:, 0]).all()
    assert torch.isfinite(logits[:, 1:]).all()


def test_a_sample_of_the_characters_costs_a_line_what_all_of_them_do(config, renderer):
    torch.manual_seed(1)
    run = recipe._Run(config, renderer, print)
    batch = next(iter(Lines(renderer, run.info, config, 10_000)))
    is_asked = torch.zeros(run.model.vocab_size, dtype=torch.bool)
    is_asked[batch.target_ids.flatten()] = True
    is_asked[0] = True
    with torch.no_grad():  # characters that nobody asks for are all alike: any of them tells all
        run.model.head.weight[~is_asked] = 0
    hidden = run.model.eval().hidden(batch.images)
    losses = {}
    for drawn_classes in (10, 1000):
        run.config = replace(config, drawn_classes=drawn_classes)
        run.model.zero_grad()
        losses[drawn_classes] = run._label_losses(hidden.detach(), batch)
        losses[drawn_classes][0].backward()
        looked_at = int(run.model.head.weight.grad.any(1).sum())
        assert looked_at == min(is_asked.sum() + drawn_classes, run.model.vocab_size)
    for sampled, whole in zip(losses[10], losses[1000], strict=True):
        assert sampled.item() == pytest.approx(whole.item(), rel=1e-4)


def new_network(path, charset=CHARSET, model=TINY):
    training = {"glyphs_seen": 64, "lines_seen": 0}
    save_checkpoint(path, new_checkpoint(CheckpointInfo(charset, model, training=training)))
    return path


def test_a_pupil_learns_what_its_teacher_sees_of_each_line(config, renderer, tmp_path, monkeypatch):
    teacher = new_network(tmp_path / "teacher.safetensors")
    run = recipe._Run(replace(config, teacher=teacher), renderer, print)
    assert run.model.dropout.p == 0
    batch = next(iter(Lines(renderer, run.info, run.config, 0, run.teacher)))
    with torch.no_grad():
        seen = load_checkpoint(teacher).model.eval().hidden(batch.images)
    assert torch.allclose(batch.taught, seen, atol=1e-5)
    assert run._lesson(seen, batch).item() == pytest.approx(0, abs=1e-6)
    off = seen + 2 * seen.std()
    assert run._lesson(off, batch).item() == pytest.approx(4, rel=1e-4)
    alone = recipe._Run(config, renderer, print)
    assert alone._lesson(off, next(iter(Lines(renderer, run.info, config, 0)))).item() == 0

    losses = []
    monkeypatch.setattr(run, "_step", lambda loss, lr: losses.append(loss.item()))
    monkeypatch.setattr(run, "_lesson", lambda hidden, batch: hidden.new_tensor(1e4))
    run.config = replace(run.config, minutes=0.02)
    run.learn_lines()
    assert min(losses) > 1e4


@pytest.mark.parametrize(
    "other",
    [
        {"charset": CHARSET[1:]},
        {"model": replace(TINY, bottleneck=32)},
        {"model": replace(TINY, stages=(*TINY.stages[:2], Stage(24, (4, 1))))},
    ],
)
def test_another_kind_of_network_does_not_teach(config, renderer, tmp_path, other):
    teacher = new_network(tmp_path / "teacher.safetensors", **other)
    with pytest.raises(CheckpointError, match=r"teacher\.safetensors cannot teach .*crnnkit prune"):
        pretrain(replace(config, teacher=teacher), renderer, print)


def test_an_imported_network_is_not_continued(config, renderer):
    classic = ClassicConfig(
        convs=(ClassicConv(4, kernel_hw=(34, 3)),), lstm_hidden=3, projection=0, head_bias=True
    )
    save_checkpoint(config.output, new_checkpoint(CheckpointInfo(CHARSET, classic)))
    with pytest.raises(CheckpointError, match="base.safetensors: an imported network"):
        pretrain(config, renderer, print)


@pytest.mark.parametrize(
    ("cooldown", "done", "steps", "share"),
    [
        (0.5, 0.2, 99, 0.5),  # half of the warm-up's 200 steps
        (0.5, 0.2, 199, 1.0),  # warmed up
        (0.5, 0.75, 999, 0.5),  # half of the cooldown
        (0.5, 1.0, 999, 0.05),  # never below a twentieth
        (0.0, 0.99, 999, 1.0),  # no cooldown: another piece follows
    ],
)
def test_the_rate_rises_at_the_start_and_falls_at_the_end(
    config, renderer, cooldown, done, steps, share
):
    run = recipe._Run(replace(config, minutes=100.0, cooldown=cooldown), renderer, print)
    run.started = time.perf_counter() - 60 * 100.0 * done
    run.steps = steps
    assert run._lr_share() == pytest.approx(share, abs=0.01)


def test_workers_and_pieces_draw_different_lines(monkeypatch):
    drawn = []
    for worker in (None, SimpleNamespace(id=1), SimpleNamespace(id=2)):
        monkeypatch.setattr(rendered, "get_worker_info", lambda worker=worker: worker)
        drawn += [rendered._worker_rng(1, seen).integers(1 << 60) for seen in (0, 500)]
    assert len(set(drawn)) == 6


def test_a_report_averages_what_was_added_since_the_last():
    meter = recipe._Meter()
    meter.add(3, torch.tensor(6.0), torch.tensor(5), 10)
    meter.add(1, torch.tensor(2.0), torch.tensor(1), 2)
    report = meter.report("lines", 4, 0.5)
    assert (report.loss, report.accuracy) == (2.0, 0.5)
