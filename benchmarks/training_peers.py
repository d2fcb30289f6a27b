"""Training speed beside other trainers: `python -m benchmarks.training_peers DATA …`.

DATA/receipts is learnt by `crnnkit train`, by Tesseract's lstmtraining (as tesstrain calls it) and
by Calamari, each with its default network and batch, on one core, one after the other. A tenth of
train.txt, other documents, chooses the epoch; val.txt, of other documents again, is read once.
`crnnkit train` from nothing has --minutes; a peer is stopped when it has used as much CPU time as
that, so that other programs on the core do no harm. On a core of its own it is the same wall time.
A peer that is not there has a row that says so. Their environments, neither of them the project's:

    apt-get install tesseract-ocr
    python3.11 -m venv calamari
    calamari/bin/pip install calamari-ocr==2.3.1 'tensorflow==2.15.*'
    python -m benchmarks.training_peers DATA --minutes 5 --calamari calamari/bin/python
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil

from benchmarks.finetune import BASE, GENERAL, figures, prepare, tasks
from benchmarks.peers import run_tesseract
from benchmarks.serve import cpu_seconds
from crnnkit.dataset.index import Line, read_index
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.material import epoch_lines, load_material
from crnnkit.metrics import score
from crnnkit.model.checkpoint import read_info
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import normalize_text

SET = "receipts"
ONE_THREAD = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",
    "PYTHONUNBUFFERED": "1",
}
POLL_SECONDS = 0.2
LINES_PER_BUNDLE = 100
"""Pictures of one .lstmf file: Tesseract writes a file anew for every picture in it."""
TESSTRAIN_NETWORK = "[1,36,0,1 Ct3,3,16 Mp3,3 Lfys48 Lfx96 Lrx96 Lfx192 O1c{}]"
CALAMARI_BATCH = 16
CALAMARI_EPOCH = 1000
"""Lines after which Calamari validates: it keeps a checkpoint only then, and is stopped."""


@dataclass(frozen=True)
class Report:
    """How far a trainer had come at one moment."""

    lines: int
    """Training lines since the start, repeated ones each time."""
    cpu: float
    """CPU seconds since the start."""
    seconds: float


@dataclass(frozen=True)
class Run:
    """What was seen of one training."""

    reports: tuple[Report, ...]
    cpu: float
    """CPU seconds of the whole process."""
    seconds: float

    @property
    def lines_per_cpu_second(self) -> float:
        """Median from one report to the next: between two of a peer's there is no validation,
        between two of crnnkit's, which are epochs, there is one."""
        return self._rate([report.cpu for report in self.reports])

    @property
    def lines_per_second(self) -> float:
        """The same by the clock: on a shared core, less. Not a number after a single report."""
        return self._rate([report.seconds for report in self.reports])

    def _rate(self, clock: Sequence[float]) -> float:
        if len(clock) < 2:
            return float("nan")
        return float(np.median(np.diff([r.lines for r in self.reports]) / np.diff(clock)))


@dataclass(frozen=True)
class Result:
    """A trainer, its run, and what it reads on the test lines."""

    trainer: str
    run: Run
    hypotheses: list[str]

    def row(self, references: Sequence[str]) -> str:
        """Its line of the table."""
        run = self.run
        return (
            f"| {self.trainer} | {run.cpu:.0f} | {run.seconds:.0f} | {run.lines_per_second:.1f} "
            f"| {run.lines_per_cpu_second:.1f} | {figures(SET, references, self.hypotheses)} |"
        )


def observe(
    command: Sequence[str | Path],
    log: Path,
    lines_in: Callable[[str], int],
    cpu_budget: float = float("inf"),
) -> Run:
    """Run a trainer to its end, or until its process has used so many CPU seconds.

    Args:
        lines_in: training lines so far, by what it has printed into `log`.
    """
    began, cpu = time.perf_counter(), 0.0
    reports: list[Report] = []
    with log.open("wb") as output:
        environment = os.environ | ONE_THREAD
        child = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        process = psutil.Process(child.pid)
        while child.poll() is None and cpu < cpu_budget:
            time.sleep(POLL_SECONDS)
            cpu, seconds = cpu_seconds(process), time.perf_counter() - began
            lines = lines_in(log.read_text("utf-8", errors="replace"))
            if lines > (reports[-1].lines if reports else 0):
                reports.append(Report(lines, cpu, seconds))
        if child.poll():
            raise SystemExit(f"{command[0]} failed; the end of {log}:\n{log.read_text()[-2000:]}")
    finally:
        child.terminate()
        child.wait()
    return Run(tuple(reports), cpu, time.perf_counter() - began)


# ---------------------------------------------------------------- crnnkit


def train_crnnkit(work: Path, test: Sequence[Line], minutes: float, start: Path | None) -> Result:
    """`crnnkit train` with default settings, from a checkpoint together with general lines."""
    origin = "base" if start else "nothing"
    config = TrainConfig(
        work / "train.txt",
        work / "val.txt",
        work / f"crnnkit_{origin}",
        pretrained_ckpt=start,
        general_data=GENERAL if start else None,
        minutes=minutes,
        num_threads=1,
    )
    code = "from crnnkit.cli.app import main; main()"
    command = [sys.executable, "-c", code, "train", *options(config)]
    epochs = observe(command, work / f"crnnkit_{origin}.log", epochs_in)
    best = config.output_dir / "best.safetensors"
    material = load_material(
        config, read_info(best), read_index(config.train_data), read_index(config.val_data)
    )
    per_epoch = len(epoch_lines(config, material, (0,)))
    # the last epoch is cut short where the minutes end
    reports = tuple(Report(e.lines * per_epoch, e.cpu, e.seconds) for e in epochs.reports[:-1])
    read = Recognizer.load(best, 1).read_lines([line.image for line in test])
    run = Run(reports, epochs.cpu, epochs.seconds)
    return Result(f"crnnkit, from {origin}", run, [reading.text for reading in read])


def options(config: TrainConfig) -> list[str]:
    """What `crnnkit train` is told, of the settings that differ here from its defaults."""
    names = ("train_data", "val_data", "output_dir", "pretrained_ckpt", "general_data", "minutes")
    values = {name: getattr(config, name) for name in (*names, "num_threads")}
    pairs = [(f"--{n.replace('_', '-')}", str(v)) for n, v in values.items() if v is not None]
    return [part for pair in pairs for part in pair]


def epochs_in(log: str) -> int:
    """Epochs that `crnnkit train` has printed."""
    return len(re.findall(r"Epoch \d+/", log))


# ---------------------------------------------------------------- Tesseract


def train_tesseract(work: Path, test: Sequence[Line], cpu_budget: float) -> Result:
    """Lstmtraining with tesstrain's network and rate; its last checkpoint is what tesstrain takes.

    Debian has no langdata (Latin.unicharset, radical-stroke.txt), so properties of the characters
    stay empty; the network does not see them.
    """
    folder = work / "tesseract"
    (folder / "own").mkdir(parents=True)
    for split in ("train", "val"):
        write_bundles(folder, split, read_index(work / f"{split}.txt"))
    unicharset = write_proto_model(folder, read_index(work / "train.txt"))
    network = TESSTRAIN_NETWORK.format(unicharset.read_text().split("\n")[0])
    proto = ("--traineddata", folder / "own/own.traineddata")
    command = ("lstmtraining", *proto, "--learning_rate", "0.002", "--net_spec", network)
    lists = ("--train_listfile", folder / "train.list", "--eval_listfile", folder / "val.list")
    output = ("--model_output", folder / "model", "--max_iterations", "0")
    log = work / "tesseract.log"
    run = observe((*command, *lists, *output), log, lstmtraining_lines, cpu_budget)
    last = ("--stop_training", "--continue_from", kept(folder / "model_checkpoint", cpu_budget))
    run_tool("lstmtraining", *last, *proto, "--model_output", folder / "read.traineddata")
    # 13: the picture is the line, as in training
    reading = ("--tessdata-dir", str(folder), "-l", "read", "--psm", "13")
    hypotheses = run_tesseract(pictures(work, test), *reading)
    return Result("lstmtraining, from nothing", run, hypotheses)


def write_bundles(folder: Path, split: str, lines: Sequence[Line]) -> None:
    """Write folder/SPLIT_*.lstmf, and SPLIT.list that names them; the lines in a drawn order."""
    order = np.random.default_rng(0).permutation(len(lines))
    bundles = []
    for first in range(0, len(lines), LINES_PER_BUNDLE):
        chosen = [lines[i] for i in order[first : first + LINES_PER_BUNDLE]]
        images = [read_image(line.image) for line in chosen]
        bundle = folder / f"{split}_{first:05}"
        cv2.imwritemulti(str(bundle.with_suffix(".tif")), images)
        bundle.with_suffix(".box").write_text(boxes([line.text for line in chosen], images))
        run_tool("tesseract", bundle.with_suffix(".tif"), bundle, "--psm", "13", "lstm.train")
        bundles.append(f"{bundle}.lstmf\n")
    (folder / f"{split}.list").write_text("".join(bundles))


def boxes(texts: Sequence[str], images: Sequence[np.ndarray]) -> str:
    """A box file whose page n is the line n: one box of the whole picture, then the line's end."""
    rows = []
    for page, (text, image) in enumerate(zip(texts, images, strict=True)):
        height, width = image.shape[:2]
        rows.append(f"WordStr 0 0 {width} {height} {page} #{text}\n")
        rows.append(f"\t {width} {height} {width + 1} {height + 1} {page}\n")
    return "".join(rows)


def write_proto_model(folder: Path, lines: Sequence[Line]) -> Path:
    """Write what a network is trained against, folder/own/own.traineddata; returns the set of
    characters."""
    texts, unicharset = folder / "texts.txt", folder / "own.unicharset"
    texts.write_text("".join(f"{line.text}\n" for line in lines))
    (folder / "radical-stroke.txt").write_text("# none\n")
    run_tool("unicharset_extractor", "--output_unicharset", unicharset, "--norm_mode", "2", texts)
    source = ("--input_unicharset", unicharset, "--script_dir", folder)
    run_tool("combine_lang_model", *source, "--output_dir", folder, "--lang", "own")
    return unicharset


def lstmtraining_lines(log: str) -> int:
    """Samples so far, which lstmtraining prints every hundred: learnt / without skipped / all."""
    found = re.findall(r"At iteration \d+/\d+/(\d+)", log)
    return int(found[-1]) if found else 0


# ---------------------------------------------------------------- Calamari


def train_calamari(programs: Path, work: Path, test: Sequence[Line], cpu_budget: float) -> Result:
    """Calamari with its default network; the checkpoint that read the validation lines best."""
    output = work / "calamari"
    command: list[str | Path] = [programs / "calamari-train", "--trainer.output_dir", output]
    for split in ("train", "val"):
        write_labelled(work / split, read_index(work / f"{split}.txt"))
        command += [f"--{split}.images", work / split / "*.png", f"--{split}.num_processes", "1"]
    command += ["--trainer.samples_per_epoch", str(CALAMARI_EPOCH)]
    command += ["--train.batch_size", str(CALAMARI_BATCH)]
    command += ["--trainer.progress_bar_mode", "2", "--trainer.progbar_delta_time", "1"]
    run = observe(command, work / "calamari.log", calamari_lines, cpu_budget)
    test_pictures = pictures(work, test)
    reading = ("--data.images", work / "test/*.png", "--pipeline.num_processes", "1")
    best = kept(output / "best.ckpt", cpu_budget)
    run_tool(programs / "calamari-predict", "--checkpoint", best, *reading)
    texts = [path.with_suffix(".pred.txt").read_text("utf-8") for path in test_pictures]
    return Result("Calamari, from nothing", run, [normalize_text(text) for text in texts])


def write_labelled(folder: Path, lines: Sequence[Line]) -> None:
    """Write NUMBER.png and NUMBER.gt.txt of each line."""
    folder.mkdir()
    for number, line in enumerate(lines):
        write_image(folder / f"{number:05}.png", read_image(line.image))
        (folder / f"{number:05}.gt.txt").write_text(line.text, "utf-8")


def calamari_lines(log: str) -> int:
    """Lines so far, from what Keras prints: `Epoch 2/100`, then steps such as `12/62 - 9s`.

    A step follows the rate before it without a space: `CER: 1.264210/62` is step 10.
    """
    epoch = step = steps_per_epoch = 0
    for match in re.finditer(r"Epoch (\d+)/|(?:\.\d{4})?(\d+)/(\d+) - \d+s", log):
        if match[1]:
            epoch, step = int(match[1]), 0
        else:
            step, steps_per_epoch = int(match[2]), int(match[3])
    return CALAMARI_BATCH * (max(0, epoch - 1) * steps_per_epoch + step)


# ---------------------------------------------------------------- the table


def pictures(work: Path, test: Sequence[Line]) -> list[Path]:
    """The test lines as numbered pictures without labels, written where they are not yet."""
    paths = [work / f"test/{number:05}.png" for number in range(len(test))]
    (work / "test").mkdir(exist_ok=True)
    for path, line in zip(paths, test, strict=True):
        if not path.exists():
            write_image(path, read_image(line.image))
    return paths


def run_tool(*command: str | Path) -> None:
    """Run a peer's program to its end; what it says is shown only if it fails."""
    environment = os.environ | ONE_THREAD
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        raise SystemExit(f"{command[0]} failed:\n{result.stderr[-2000:]}")


def kept(checkpoint: Path, cpu_budget: float) -> Path:
    """The checkpoint, if its trainer came as far as writing it."""
    if not checkpoint.exists():
        raise SystemExit(f"no {checkpoint} after {cpu_budget:.0f} CPU s: give --minutes more")
    return checkpoint


def absent(programs: Sequence[str | Path]) -> str:
    """What is missing of a peer; empty where all of it is there."""
    missing = [str(program) for program in programs if shutil.which(program) is None]
    return f"not run: no {', '.join(missing)}" if missing else ""


def verdict(own: Result, peers: Sequence[Result], references: Sequence[str]) -> str:
    """How many times the lines of the fastest peer, and what share of the lowest CER of any."""
    fastest = max(peers, key=lambda peer: np.nan_to_num(peer.run.lines_per_cpu_second))
    times = own.run.lines_per_cpu_second / fastest.run.lines_per_cpu_second
    cers = [score(references, result.hypotheses).cer for result in (own, *peers)]
    return (
        f"{own.trainer}: {times:.1f} times the lines per CPU second of {fastest.trainer}, "
        f"{cers[0] / min(cers[1:]):.2f} times the lowest CER of the peers."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help=f"folder of the folder {SET}")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--calamari", type=Path, help="Python of the environment that has it")
    parser.add_argument("--out", type=Path, default=Path("checkpoints/training_peers"))
    arguments = parser.parse_args()
    work = arguments.out.resolve()
    work.mkdir(parents=True)  # what an earlier run left there would be trained on
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    (task,) = tasks(arguments.data, SET)
    prepare(task, work)
    test = task.test
    references = [line.text for line in test]
    print(
        "| trainer | CPU s | wall s | lines/s | lines per CPU s | exact % | CER % | folded exact % "
        "| folded CER % | CER %, texts once |\n" + "|---" * 10 + "|"
    )

    def show(result: Result) -> Result:
        print(result.row(references), flush=True)
        return result

    minutes = arguments.minutes
    own = [show(train_crnnkit(work, test, minutes, None))]
    budget = own[0].run.cpu
    folder = arguments.calamari.parent if arguments.calamari else Path("CALAMARI/bin")
    needed = ("tesseract", "lstmtraining", "unicharset_extractor", "combine_lang_model")
    peers = []
    if reason := absent(needed):
        print(f"| lstmtraining | {reason} |" + " |" * 8)
    else:
        peers.append(show(train_tesseract(work, test, budget)))
    if reason := absent([folder / "calamari-train", folder / "calamari-predict"]):
        print(f"| Calamari | {reason} |" + " |" * 8)
    else:
        peers.append(show(train_calamari(folder, work, test, budget)))
    own.append(show(train_crnnkit(work, test, minutes, BASE)))
    for result in own if peers else []:
        print(verdict(result, peers, references))


if __name__ == "__main__":
    main()
