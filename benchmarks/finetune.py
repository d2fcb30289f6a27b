"""Fine-tuning on real domains: `python -m benchmarks.finetune DATA [--sets plates …]`.

DATA holds one folder per set with train.txt and val.txt. For each set one run with default
settings, from the base checkpoint and from nothing; a tenth of train, as new to it as val is
(other texts, other receipts, other wires), chooses the epoch; val is read once, at the end.
`--lines 60 200 600` gives the learning curve. Prints one row per run; `--peers` adds what RapidOCR
and Tesseract read.
`--folds 5` takes train and val together and lets each fifth of the lines be the test once; a last
row counts the readings of all folds.
`--figure FILE.png` draws the rows as learning curves, those that earlier calls printed to the file
`--rows FILE` too, and says what more lines would bring; with `--sets` and nothing after it, nothing
is trained.
"""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import peers
from crnnkit.dataset.index import Line, read_index, split_lines, write_index
from crnnkit.evaluation.learning_curve import outlook
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.result import TrainResult
from crnnkit.finetuning.trainer import train
from crnnkit.metrics import fold, score, score_by_text
from crnnkit.plots.charts import plot_learning_curves
from crnnkit.preprocessing.images import read_image
from crnnkit.serving.recognizer import Recognizer

BASE = Path("checkpoints/base.safetensors")
GENERAL = Path("data/general")
FROZEN = Path("benchmarks/frozen/clean.txt")
STARTS = ("base", "nothing")
Curves = dict[str, dict[str, dict[int, float]]]
"""Set → start → training lines → CER on val."""


@dataclass(frozen=True)
class Domain:
    """How a set is split and compared."""

    folds: str
    """What it does not tell apart, for the folded figures; see `metrics.fold`."""
    group_of: Callable[[Line], str] = lambda line: line.text


DOMAINS = {
    # peers write the dot that is printed on plates, the labels leave it out
    "plates": Domain("space+·="),
    # its texts come again on other wires, in val too
    "wire_markers": Domain("space+case+O=0,I=1", lambda line: line.image.name),
    # labels are in capitals whatever is printed
    "receipts": Domain("space+case", lambda line: re.split(r"[_-]", line.image.stem)[0]),
    "screens_zh": Domain("space+case+O=0,I=1"),
}


@dataclass(frozen=True)
class Task:
    """What one run learns from, and what it is judged by."""

    name: str
    """Of the set."""
    title: str
    lines: list[Line]
    test: list[Line]
    unchecked: tuple[Line, ...] = ()
    """More lines to train on, with labels that nobody checked; none of them chooses the epoch."""


def tasks(data: Path, name: str, num_folds: int = 1) -> list[Task]:
    """The set as it comes, or one task per fold."""
    lines, test = (read_index(data / name / f"{split}.txt") for split in ("train", "val"))
    if num_folds < 2:
        return [Task(name, name, lines, test)]
    shares = {f"{name} {n}/{num_folds}": 1 / num_folds for n in range(1, num_folds + 1)}
    folds = split_lines(lines + test, shares, 0, DOMAINS[name].group_of)
    return [
        Task(name, title, [line for t, fold in folds.items() if t != title for line in fold], fold)
        for title, fold in folds.items()
    ]


def prepare(task: Task, folder: Path) -> list[Line]:
    """Write folder/train.txt and val.txt, nine tenths and a tenth; returns those of train.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = split_lines(task.lines, {"train": 0.9, "val": 0.1}, 0, DOMAINS[task.name].group_of)
    parts["train"] += task.unchecked
    for split, members in parts.items():
        write_index(folder / f"{split}.txt", members)
    return parts["train"]


def at_random(lines: Sequence[Line], num_lines: int, seed: int = 0) -> list[Line]:
    """So many of the lines, the first of a seeded order; all where 0 are asked for."""
    if not num_lines:
        return list(lines)
    return [
        lines[i] for i in sorted(np.random.default_rng(seed).permutation(len(lines))[:num_lines])
    ]


def figures(name: str, references: Sequence[str], hypotheses: Sequence[str]) -> str:
    """Exact match, CER, both folded, and CER with every distinct text counted once; percent."""
    folds = DOMAINS[name].folds
    alike = score([fold(t, folds) for t in references], [fold(t, folds) for t in hypotheses])
    plain, by_text = score(references, hypotheses), score_by_text(references, hypotheses)
    numbers = (plain.exact_match, plain.cer, alike.exact_match, alike.cer, by_text.cer)
    return " | ".join(f"{100 * number:.2f}" for number in numbers)


def unseen(name: str, train_lines: Sequence[Line], test: Sequence[Line], read: list[str]) -> str:
    """Folded exact match on test texts that train does not hold, and how many lines that are."""
    known = {line.text for line in train_lines}
    pairs = [(line.text, text) for line, text in zip(test, read, strict=True)]
    new = [[fold(t, DOMAINS[name].folds) for t in pair] for pair in pairs if pair[0] not in known]
    if not new:
        return "–"
    right = sum(reference == hypothesis for reference, hypothesis in new)
    return f"{100 * right / len(new):.1f} of {len(new)}"


def run_folder(arguments: argparse.Namespace, task: Task, origin: str) -> Path:
    """Where a run leaves its checkpoint."""
    return arguments.out / f"{task.title.replace('/', '_')}_{len(task.lines)}_{origin}"


def run(
    arguments: argparse.Namespace,
    task: Task,
    start: Path | None,
    origin: str,
    seed: int = TrainConfig.seed,
) -> tuple[str, list[str]]:
    """Train once, read the test once; gives the row, whose start is called `origin`, and what was
    read."""
    name, test = task.name, task.test
    folder = run_folder(arguments, task, origin)
    train_lines = prepare(task, folder)
    config = TrainConfig(
        folder / "train.txt",
        folder / "val.txt",
        folder,
        pretrained_ckpt=start,
        general_data=GENERAL if start else None,
        minutes=arguments.minutes,
        epochs=arguments.epochs,
        num_threads=arguments.threads,
        seed=seed,
    )
    began = time.perf_counter()
    result = train(config)
    minutes = (time.perf_counter() - began) / 60
    recognizer = Recognizer.load(result.best_path, arguments.threads or None)
    hypotheses = [r.text for r in recognizer.read_lines([line.image for line in test])]
    row = figures(name, [line.text for line in test], hypotheses)
    row = (
        f"| {task.title} | {len(train_lines)} | {origin} | {minutes:.1f} | {row} "
        f"| {unseen(name, train_lines, test, hypotheses)} | {_general(recognizer, result)} |"
    )
    return row, hypotheses


def run_folds(arguments: argparse.Namespace, name: str, num_lines: int, origin: str) -> list[str]:
    """Every fold, and all of them together; prints the rows and gives them back."""
    rows: list[str] = []
    references: list[str] = []
    hypotheses: list[str] = []
    for task in tasks(arguments.data, name, arguments.folds):
        fewer = replace(task, lines=at_random(task.lines, num_lines))
        row, read = run(arguments, fewer, BASE if origin == "base" else None, origin)
        rows.append(row)
        print(row, flush=True)
        references += [line.text for line in task.test]
        hypotheses += read
    if len(rows) > 1:
        row = figures(name, references, hypotheses)
        print(f"| {name}, all folds | – | {origin} | – | {row} | – | – |", flush=True)
    return rows


def learning_curves(rows: Sequence[str]) -> Curves:
    """The CERs in rows that `run` gave; other lines are passed over, a later run replaces one."""
    curves: Curves = {}
    for row in rows:
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        if len(cells) > 5 and cells[0] in DOMAINS and cells[2] in STARTS:
            by_start = curves.setdefault(cells[0], {})
            by_start.setdefault(cells[2], {})[int(cells[1].replace(",", ""))] = (
                float(cells[5]) / 100
            )
    return curves


def draw(arguments: argparse.Namespace, curves: Curves) -> None:
    """Write the figure, and say what half as many lines again would bring."""
    plot_learning_curves(curves).savefig(arguments.figure)
    for name, by_start in curves.items():
        test = read_index(arguments.data / name / "val.txt")
        for start, by_lines in by_start.items():
            more = outlook(by_lines, sum(len(line.text) for line in test), max(by_lines) // 2)
            print(f"{name} from {start}: {more}")


def _general(recognizer: Recognizer, result: TrainResult) -> str:
    """CER in percent on the frozen clean set; its faces and texts are in no training."""
    if result.general_cer_before is None:
        return "–"
    lines = read_index(FROZEN)
    read = [reading.text for reading in recognizer.read_lines([line.image for line in lines])]
    return f"{100 * score([line.text for line in lines], read).cer:.2f}"


def run_peers(arguments: argparse.Namespace, name: str) -> None:
    """The same figures of engines that were not trained on the set."""
    test = read_index(arguments.data / name / "val.txt")
    images = [read_image(line.image) for line in test]
    engines = {"RapidOCR": peers.read_with_rapidocr, "Tesseract": peers.read_with_tesseract}
    for engine, reader in engines.items():
        row = figures(name, [line.text for line in test], reader(images))
        print(f"| {name} | 0 | {engine} | 0 | {row} | – | – |", flush=True)


def print_head() -> None:
    """The columns of the rows."""
    print(
        "| set | train lines | start | minutes | exact % | CER % | folded exact % | folded CER % "
        "| CER %, texts once | unseen texts, folded exact % | frozen clean CER % |"
    )
    print("|---" * 11 + "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(DOMAINS), choices=DOMAINS)
    parser.add_argument("--lines", nargs="+", type=int, default=[0], help="0: all")
    parser.add_argument("--folds", type=int, default=1, help="1: train.txt and val.txt as they are")
    parser.add_argument("--starts", nargs="+", default=["base"], choices=STARTS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/benchmark"))
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--figure", type=Path, help="learning curves as a picture")
    parser.add_argument("--rows", type=Path, help="file with rows of earlier calls, to draw too")
    arguments = parser.parse_args()
    rows = arguments.rows.read_text(encoding="utf-8").splitlines() if arguments.rows else []
    print_head()
    for name in arguments.sets:
        for num_lines in arguments.lines:
            for start in arguments.starts:
                rows += run_folds(arguments, name, num_lines, start)
        if arguments.peers:
            run_peers(arguments, name)
    if arguments.figure:
        draw(arguments, learning_curves(rows))


if __name__ == "__main__":
    main()
