"""Two processes train what one does, on a small network."""

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.history import read_history
from crnnkit.finetuning.trainer import train
from crnnkit.model.checkpoint import new_checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage
from crnnkit.preprocessing.tensors import LineConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = ModelConfig(
    stages=(Stage(8, (2, 2)), Stage(16, (2, 1)), Stage(24, (4, 2))),
    bottleneck=24,
    lstm_hidden=16,
    dropout=0.0,
)
CHARSET = "0123456789AB 北京市" + "".join(map(chr, range(0x6000, 0x6000 + 2200)))
"""More than two thousand, so that steps look at a sample of them."""


@pytest.fixture
def base(tmp_path):
    """Write a network of random weights to start from."""
    path = tmp_path / "base.safetensors"
    save_checkpoint(path, new_checkpoint(CheckpointInfo(CHARSET, TINY, LineConfig())))
    return path


@pytest.fixture
def config(toy_data, tmp_path, base):
    """A run whose weights stand still, so that AdamW's moments are those of the gradients alone."""
    return TrainConfig(
        toy_data / "train.txt",
        toy_data / "val.txt",
        tmp_path / "one",
        pretrained_ckpt=base,
        general_data=toy_data,
        freeze_norm=True,
        epochs=1,
        epoch_lines=504,
        minutes=60.0,
        batch_size=7,  # of 504 lines, so that one batch has no line for the second process
        lr=0.0,
        precision="float32",
        num_threads=1,
    )


def command(config):
    """Give what says the same to Python on the command line."""
    defaults = TrainConfig(config.train_data, config.val_data, config.output_dir)
    settings = {n: v for n, v in vars(config).items() if v != getattr(defaults, n)}
    settings |= {n: getattr(config, n) for n in ("train_data", "val_data", "output_dir")}
    options = []
    for name, value in settings.items():
        option = "--" + name.replace("_", "-")
        options += [option] if value is True else [option, str(value)]
    return ["-m", "crnnkit.cli.app", "train", *options]


def start(*commands):
    """Start a process per command as torchrun would; give their codes and what they say."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    for rank, command in enumerate(commands):
        running.append(
            subprocess.Popen(
                [sys.executable, *command],
                env=os.environ | meeting | {"RANK": str(rank), "WORLD_SIZE": str(len(commands))},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    said = [process.communicate(timeout=300)[0] for process in running]
    return [process.returncode for process in running], said


def moments(folder):
    """AdamW's first moments, flat, by number of the parameter, after 504 lines and a third as many
    general ones in batches of 7."""
    tensors = load_file(folder / "resume.safetensors")
    assert tensors["optimizer.0.step"] == 96
    return {n: t.flatten() for n, t in tensors.items() if n.endswith("exp_avg")}


WHAT_IS_SHARED = """
import json, torch
from crnnkit.finetuning import processes as p
norm = torch.nn.BatchNorm1d(1)
norm.running_mean.fill_(p.rank())
readings = "abcde"[p.share()]
with p.joined():
    if p.rank() == 1:  # the other one had no line of this batch
        norm.weight.grad = torch.tensor([2.0])
    p.sum_gradients(norm.parameters())
    p.average_buffers(norm)
    agreed, gathered = p.agreed(readings), p.gathered(readings)
gradients = [parameter.grad.item() for parameter in norm.parameters()]
print(json.dumps([gradients, norm.running_mean.item(), agreed, gathered]))
"""


def test_what_goes_between_processes():
    codes, said = start(*[["-c", WHAT_IS_SHARED]] * 2)
    assert codes == [0, 0], said
    for printed in said:
        found = json.loads(printed.splitlines()[-1])  # libraries may warn before
        assert found == [[2.0, 0.0], 0.5, "ace", ["ace", "bd"]], printed


NO_THREAD_IS_LEFT = """
import pathlib, torch
from crnnkit.finetuning import processes as p
with p.joined():
    weights = torch.nn.Linear(2, 1)
    weights(torch.ones(1, 2)).sum().backward()
    p.sum_gradients(weights.parameters())
    torch.optim.AdamW(weights.parameters()).step()  # imports what would keep the group
print([t for t in pathlib.Path("/proc/self/task").glob("*/comm") if "gloo" in t.read_text()])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are listed in /proc")
def test_no_thread_is_left_to_abort_python_at_its_end():
    codes, said = start(*[["-c", NO_THREAD_IS_LEFT]] * 2)
    assert codes == [0, 0], said
    assert [printed.splitlines()[-1] for printed in said] == ["[]", "[]"]


def test_two_processes_find_the_gradients_of_one(config, tmp_path):
    one = train(config)
    two = replace(config, output_dir=tmp_path / "two")
    codes, said = start(command(two), command(two))
    assert codes == [0, 0], said
    expected, found = moments(config.output_dir), moments(two.output_dir)
    scale = torch.cat(list(expected.values())).abs().max()
    assert scale > 0
    for name, moment in expected.items():
        assert torch.allclose(found[name], moment, rtol=1e-4, atol=1e-5 * scale), name
    (epoch,) = read_history(two.output_dir / "history.csv")
    for name in ("train_loss", "train_cer", "val_loss", "val_cer", "general_cer"):
        assert getattr(epoch, name) == pytest.approx(getattr(one.best, name), rel=1e-4), name
    assert "Epoch 1/1" in said[0]
    assert said[1] == ""  # only the first one prints


def test_torchrun_leaves_one_set_of_files(config, tmp_path):
    two = replace(config, epochs=2, lr=1e-3, general_data=None, freeze_norm=False)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", *command(two)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in two.output_dir.iterdir()} == {
        *("best.safetensors", "last.safetensors", "resume.safetensors"),
        *("best.onnx", "history.csv"),
    }
    assert [e.epoch for e in read_history(two.output_dir / "history.csv")] == [1, 2]
    assert re.findall(r"^Epoch (./.)", done.stdout, re.MULTILINE) == ["1/2", "2/2"]
    assert done.stdout.count("Wrote ") == 1


def test_one_process_that_fails_ends_the_others_in_words(config):
    missing = replace(config, train_data=config.train_data.with_name("missing.txt"))
    codes, (first, second) = start(command(config), command(missing))
    assert codes == [1, 1]
    assert second.startswith("crnnkit: 1 error in the data:")
    assert "missing.txt: unreadable_index" in second
    assert re.search(r"^crnnkit: process 0 of 2: another one has ended", first, re.MULTILINE)
    assert "Traceback" not in first + second
