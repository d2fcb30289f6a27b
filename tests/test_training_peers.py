import inspect
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import training_peers as peers
from benchmarks.training_peers import Report, Result, Run
from crnnkit.cli.training import train
from crnnkit.dataset.index import Line
from crnnkit.finetuning.config import TrainConfig
from crnnkit.preprocessing.images import read_image, write_image


def run_of(*lines_and_cpu):
    reports = tuple(Report(lines, cpu, 2 * cpu) for lines, cpu in lines_and_cpu)
    return Run(reports, cpu=99, seconds=199)


# ---------------------------------------------------------------- what trainers print


@pytest.mark.parametrize(
    ("log", "epochs"),
    [
        ("", 0),
        ("Epoch 1/100 | Loss: 3.0\nEpoch 2/100 | Loss: 2.0\n", 2),
        ("Best epoch 3: Val CER 2 %\n", 0),  # the end of a run, not an epoch
    ],
)
def test_epochs_that_crnnkit_printed(log, epochs):
    assert peers.epochs_in(log) == epochs


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        ("Loaded 300/300 lines (1-300) of document train_00000.lstmf\n", 0),  # loading
        ("At iteration 97/100/100, Mean rms=6.9%\n\nAt iteration 173/200/205, Mean\n", 205),
    ],
)
def test_samples_that_lstmtraining_printed(log, lines):
    assert peers.lstmtraining_lines(log) == lines


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        ("", 0),
        ("Epoch 1/100\n", 0),  # nothing learnt yet
        ("Epoch 1/100\n 1/62 - 30s - loss: 9.5 8/62 - 37s - loss: 8.1", 8 * 16),
        ("Epoch 1/100\n 8/62 - 37s - CER: 1.264210/62 - 40s - CER: 1.2642", 10 * 16),  # glued
        ("Epoch 1/100\n 62/62 - 37s - loss: 8\nEpoch 2/100\n", 62 * 16),  # a new one began
        ("Epoch 1/100\n 62/62 - 37s\nEpoch 2/100\n 3/62 - 9s", 65 * 16),
        ("|    AVG Count    |  1  | 10/62 |\n", 0),  # validation's table
    ],
)
def test_lines_of_the_steps_that_calamari_printed(log, lines):
    assert peers.calamari_lines(log) == lines


# ---------------------------------------------------------------- watching


def test_speed_is_the_usual_one_between_reports_and_leaves_start_and_a_validation_out():
    run = run_of((100, 50.0), (200, 51.0), (300, 52.0), (400, 63.0), (500, 64.0))
    assert run.lines_per_cpu_second == 100
    assert run.lines_per_second == 50


@pytest.mark.parametrize("reports", [[], [(100, 5.0)]])
def test_a_run_too_short_to_have_a_speed_has_none_and_keeps_its_row(reports):
    run = run_of(*reports)
    assert np.isnan(run.lines_per_cpu_second)
    assert "| nan | nan | 0.00 |" in Result("own", run, [""]).row(["abcd"])


def observe(code, log, budget=float("inf")):
    return peers.observe([sys.executable, "-c", code], log, lambda text: text.count("."), budget)


def test_a_trainer_is_stopped_when_it_has_used_its_cpu_seconds_and_no_child_is_left(tmp_path):
    burn = "import time\nfor _ in range(9**9): print('.', end='', flush=True); sum(range(10**5))"
    before = psutil.Process().children()
    run = observe(burn, tmp_path / "log", 0.5)
    assert 0.5 <= run.cpu < 3
    assert run.reports[0].lines < run.reports[-1].lines
    assert run.reports[0].cpu < run.reports[-1].cpu <= run.cpu
    assert set(psutil.Process().children()) <= set(before)


def test_sleep_is_not_counted_as_cpu_time(tmp_path):
    began = time.perf_counter()
    run = observe("import time; print('.'); time.sleep(1)", tmp_path / "log", 0.9)
    assert run.seconds >= 1 <= time.perf_counter() - began
    assert run.cpu < 0.9
    assert [report.lines for report in run.reports] == [1]


def test_a_trainer_that_fails_is_no_result(tmp_path):
    with pytest.raises(SystemExit, match="no such picture"):
        observe("raise SystemExit('no such picture')", tmp_path / "log")


# ---------------------------------------------------------------- what peers are given


def test_every_setting_is_an_option_of_the_command():
    config = TrainConfig(Path("a.txt"), Path("b.txt"), Path("out"), minutes=2.5, num_threads=1)
    told = peers.options(config)
    assert told[-4:] == ["--minutes", "2.5", "--num-threads", "1"]
    assert "--pretrained-ckpt" not in told
    known = {f"--{name.replace('_', '-')}" for name in inspect.signature(train).parameters}
    assert set(told[::2]) <= known


def test_one_page_of_boxes_per_line():
    images = [np.zeros((31, 204), np.uint8), np.zeros((26, 104, 3), np.uint8)]
    assert peers.boxes(["TEL : 7", "#1"], images) == (
        "WordStr 0 0 204 31 0 #TEL : 7\n\t 204 31 205 32 0\n"
        "WordStr 0 0 104 26 1 ##1\n\t 104 26 105 27 1\n"
    )


def test_pictures_are_numbered_in_order_and_only_training_has_labels(tmp_path):
    lines = []
    for shade in (0, 90):
        write_image(tmp_path / f"{shade}.png", np.full((9, 20), shade, np.uint8))
        lines.append(Line(tmp_path / f"{shade}.png", f"T{shade}", 1))
    peers.write_labelled(tmp_path / "train", lines)
    paths = peers.pictures(tmp_path, lines)
    assert [path.name for path in paths] == ["00000.png", "00001.png"]
    assert [int(read_image(path)[0, 0]) for path in paths] == [0, 90]
    assert {path.suffix for path in (tmp_path / "test").iterdir()} == {".png"}
    assert (tmp_path / "train/00001.gt.txt").read_text() == "T90"
    assert read_image(tmp_path / "train/00001.png")[0, 0] == 90


def test_a_peer_stopped_before_its_first_checkpoint_is_no_result(tmp_path):
    with pytest.raises(SystemExit, match="after 94 CPU s: give --minutes more"):
        peers.kept(tmp_path / "best.ckpt", 94.2)
    (tmp_path / "best.ckpt").touch()
    assert peers.kept(tmp_path / "best.ckpt", 94.2) == tmp_path / "best.ckpt"


def test_what_is_missing_of_a_peer_is_named(tmp_path):
    assert peers.absent([sys.executable]) == ""
    reason = peers.absent([sys.executable, tmp_path / "calamari-train"])
    assert reason == f"not run: no {tmp_path / 'calamari-train'}"


# ---------------------------------------------------------------- the table


def test_verdict_takes_the_faster_peer_and_the_better_reader():
    short = Result("short", run_of((9, 1.0)), [""] * 2)  # has no speed
    own = Result("own", run_of((0, 0.0), (400, 1.0)), ["ABCD", "EFGX"])  # CER 1/8
    fast = Result("fast", run_of((0, 0.0), (100, 1.0)), ["", ""])
    good = Result("good", run_of((0, 0.0), (50, 1.0)), ["ABCX", "EFGX"])  # CER 2/8
    said = peers.verdict(own, [short, fast, good], ["ABCD", "EFGH"])
    assert said == (
        "own: 4.0 times the lines per CPU second of fast, 0.50 times the lowest CER of the peers."
    )


def test_a_row_has_as_many_cells_as_the_heading():
    row = Result("own", run_of((0, 0.0), (400, 1.0)), ["ABCD"]).row(["abcd"])
    assert row.startswith("| own | 99 | 199 | 200.0 | 400.0 | 0.00 | 100.00 | 100.00 | 0.00 |")
    assert row.count("|") == 11
