"""What does `crnnkit synth --like` bring? `python -m benchmarks.likeness DATA`.

DATA holds plates/train.txt and val.txt. Few of the training lines are taken. Beside them, lines
with number plates at random are rendered, once with the usual looks and once like the few. The
few alone, and with each of the two, are trained on from the base for the same number of lines,
without general lines. All other lines, val's too, are read once, at the end. Prints one row per
run.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks.finetune import BASE, at_random, figures
from crnnkit.dataset.index import Line, read_index, write_index
from crnnkit.dataset.synthesize import SynthConfig, synthesize
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.trainer import train
from crnnkit.serving.recognizer import Recognizer

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
ARMS = ("alone", "usual looks", "like them")


def plate_patterns() -> tuple[str, ...]:
    """Half of the plates from 皖, as the set's are, half from anywhere."""
    letter, sign = one_of(LETTERS), one_of("0123456789" + LETTERS)
    return tuple(province + letter + 5 * sign for province in ("皖", one_of(PROVINCES)))


def one_of(characters: str) -> str:
    """A pattern's field that is one of the characters."""
    return "{" + "|".join(characters) + "}"


def rendered(arm: str, few: list[Line], number: int, folder: Path, seed: int) -> list[Line]:
    """The lines to train on beside the few."""
    if arm == "alone":
        return []
    crops = folder / "crops"
    crops.mkdir(parents=True, exist_ok=True)
    for line in few:
        shutil.copy(line.image, crops)
    out = folder / arm.replace(" ", "_")
    like = crops if arm == "like them" else None
    patterns = plate_patterns()
    config = SynthConfig(out, number, patterns=patterns, like=like, val_fraction=0, seed=seed)
    if not out.exists():
        synthesize(config, processes=1)
    return read_index(out / "train.txt")


def run(arguments: argparse.Namespace, arm: str, seed: int) -> str:
    """Train once, read the test once; gives the row."""
    folder = arguments.out / f"likeness_{seed}"
    train_lines, val = (read_index(arguments.data / f"plates/{s}.txt") for s in ("train", "val"))
    few = at_random(train_lines, arguments.lines, seed)
    test = [line for line in train_lines if line not in few] + val
    lines = few + rendered(arm, few, arguments.rendered, folder, seed)
    run_dir = folder / f"run_{arm.replace(' ', '_')}"
    write_index(run_dir / "train.txt", lines)
    write_index(run_dir / "val.txt", few)  # the last epochs differ little: nothing is held out
    config = TrainConfig(
        run_dir / "train.txt",
        run_dir / "val.txt",
        run_dir,
        pretrained_ckpt=BASE,
        minutes=arguments.minutes,
        turn="never",  # plates stand upright
        language="never",  # of the texts, the pictures alone are compared
        num_threads=arguments.threads,
        seed=seed + 1,
    )
    epochs = round(arguments.steps_lines / max(len(lines), config.epoch_lines))
    result = train(replace(config, epochs=epochs))
    recognizer = Recognizer.load(result.best_path, arguments.threads or None)
    read = [r.text for r in recognizer.read_lines([line.image for line in test])]
    row = figures("plates", [line.text for line in test], read)
    return f"| {arm} | {seed} | {len(lines)} | {epochs} | {len(test)} | {row} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--lines", type=int, default=60, help="labelled ones")
    parser.add_argument("--rendered", type=int, default=2000, help="lines beside them")
    parser.add_argument("--steps-lines", type=int, default=4000, help="trained on, with repeats")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--minutes", type=float, default=60.0, help="epochs end before")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/benchmark"))
    arguments = parser.parse_args()
    print(
        "| lines | seed | train lines | epochs | test lines | exact % | CER % | folded exact % "
        "| folded CER % | CER %, texts once |"
    )
    print("|---" * 10 + "|")
    for seed in arguments.seeds:
        for arm in arguments.arms:
            print(run(arguments, arm, seed), flush=True)


if __name__ == "__main__":
    main()
