"""Fine-tuning on real domains: `python -m benchmarks.finetune DATA [--sets plates …]`.

DATA holds one folder per set with train.txt and val.txt. For each set one run with default
settings, from the base checkpoint and from nothing; a tenth of train (other texts, of receipts
other documents) chooses the epoch, val is read once, at the end. `--lines 60 200 600` gives the
learning curve. Prints one row per run; `--peers` adds what RapidOCR and Tesseract read.
"""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import peers
from crnnkit.dataset.index import Line, read_index, split_lines, write_index
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.result import TrainResult
from crnnkit.finetuning.trainer import train
from crnnkit.metrics import fold, score, score_by_text
from crnnkit.preprocessing.images import read_image
from crnnkit.serving.recognizer import Recognizer

BASE = Path("checkpoints/base.safetensors")
GENERAL = Path("data/general")
FROZEN = Path("benchmarks/frozen/clean.txt")


@dataclass(frozen=True)
class Domain:
    """How a set is split and compared."""

    folds: str
    """What it does not tell apart, for the folded figures; see `metrics.fold`."""
    group_of: Callable[[Line], str] = lambda line: line.text


DOMAINS = {
    # peers write the dot that is printed on plates, the labels leave it out
    "plates": Domain("space+·="),
    "wire_markers": Domain("space+case+O=0,I=1"),
    # labels are in capitals whatever is printed
    "receipts": Domain("space+case", lambda line: re.split(r"[_-]", line.image.stem)[0]),
    "screens_zh": Domain("space+case+O=0,I=1"),
}


def prepare(name: str, lines: Sequence[Line], folder: Path) -> list[Line]:
    """Write folder/train.txt and val.txt, nine tenths and a tenth; returns those of train.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = split_lines(lines, {"train": 0.9, "val": 0.1}, 0, DOMAINS[name].group_of)
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


def run(
    arguments: argparse.Namespace, name: str, lines: Sequence[Line], start: Path | None, title: str
) -> None:
    """Train once on these lines, read val once, print the row that `title` names."""
    folder = arguments.out / f"{name}_{len(lines)}_{title}"
    train_lines = prepare(name, lines, folder)
    test = read_index(arguments.data / name / "val.txt")
    config = TrainConfig(
        folder / "train.txt",
        folder / "val.txt",
        folder,
        pretrained_ckpt=start,
        general_data=GENERAL if start else None,
        minutes=arguments.minutes,
        epochs=arguments.epochs,
        num_threads=arguments.threads,
    )
    began = time.perf_counter()
    result = train(config)
    minutes = (time.perf_counter() - began) / 60
    recognizer = Recognizer.load(result.best_path, arguments.threads or None)
    hypotheses = [r.text for r in recognizer.read_lines([line.image for line in test])]
    row = figures(name, [line.text for line in test], hypotheses)
    print(
        f"| {name} | {len(train_lines)} | {title} | {minutes:.1f} | {row} "
        f"| {unseen(name, train_lines, test, hypotheses)} | {_general(recognizer, result)} |",
        flush=True,
    )


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
    parser.add_argument("--sets", nargs="+", default=list(DOMAINS), choices=DOMAINS)
    parser.add_argument("--lines", nargs="+", type=int, default=[0], help="0: all")
    parser.add_argument("--starts", nargs="+", default=["base"], choices=["base", "nothing"])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/benchmark"))
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    print_head()
    for name in arguments.sets:
        lines = read_index(arguments.data / name / "train.txt")
        for num_lines in arguments.lines:
            for start in arguments.starts:
                chosen = at_random(lines, num_lines)
                run(arguments, name, chosen, BASE if start == "base" else None, start)
        if arguments.peers:
            run_peers(arguments, name)


if __name__ == "__main__":
    main()
