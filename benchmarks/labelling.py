"""Do the labelling aid's lines teach more than others? `python -m benchmarks.labelling DATA`.

DATA holds one folder per set with train.txt and val.txt. The base checkpoint reads the training
pictures of a set as the aid does; the first of the aid's order, and as many taken at random, are
trained on from the base with default settings, each for the same number of epochs and with the
same seed, which chooses the random ones too. A tenth of them chooses the epoch, val is read once.
Prints one row per run.
`--readings 0.95` trains once more per seed: on the aid's lines and on what the model that was
tuned on them reads in the others with at least this confidence, for as many lines in all.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.finetune import (
    BASE,
    DOMAINS,
    Task,
    at_random,
    print_head,
    run,
    run_folder,
    tasks,
)
from crnnkit.dataset.index import Line, read_index
from crnnkit.finetuning.config import TrainConfig
from crnnkit.metrics import score
from crnnkit.serving.recognizer import Recognizer
from crnnkit.workbook.labelling import confident_readings, unlabelled


def in_order_of_the_aid(folder: Path, num_threads: int) -> list[Line]:
    """The lines of folder/train.txt as the aid would ask for them, with their labels."""
    line_of = {line.image: line for line in read_index(folder / "train.txt")}
    reader = Recognizer.load(BASE, num_threads or None)
    # what val.txt lists counts as labelled, and is not asked for
    tasks = unlabelled(folder / "img", folder / "val.txt", reader)
    return [line_of[task.image] for task in tasks if task.image in line_of]


def run_with_readings(arguments: argparse.Namespace, task: Task, origin: str, seed: int) -> str:
    """Train on the task's lines and the confident readings of the run `origin`; gives the row.

    Prints how many readings that are, and how wrong by the labels that are hidden from training.
    """
    folder = arguments.data / arguments.set
    reader = Recognizer.load(
        run_folder(arguments, task, origin) / "best.safetensors", arguments.threads or None
    )
    label_of = {line.image: line.text for line in read_index(folder / "train.txt")}
    own = {line.image for line in task.lines}
    tasks_left = unlabelled(folder / "img", folder / "val.txt", reader)
    waiting = [t for t in tasks_left if t.image in label_of and t.image not in own]
    found = confident_readings(waiting, arguments.readings)
    quality = score([label_of[line.image] for line in found.lines], [r.text for r in found.lines])
    print(
        f"{origin}: {len(found.lines)} of {len(waiting)} read with confidence ≥ "
        f"{arguments.readings:g}, {100 * quality.exact_match:.1f} % of them as labelled"
    )
    num_lines = len(task.lines) + len(found.lines)
    epochs = max(1, round(arguments.epochs * TrainConfig.epoch_lines / num_lines))
    fewer = argparse.Namespace(**vars(arguments) | {"epochs": epochs})
    more = replace(task, unchecked=found.lines)
    return run(fewer, more, BASE, f"{origin} and readings", seed)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", default="wire_markers", choices=DOMAINS)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=60.0, help="epochs end before")
    parser.add_argument("--readings", type=float, help="least confidence; default: not tried")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/benchmark"))
    arguments = parser.parse_args()
    ordered = in_order_of_the_aid(arguments.data / arguments.set, arguments.threads)
    (task,) = tasks(arguments.data, arguments.set)
    print_head()
    for seed in arguments.seeds:
        chosen = {
            "aid": ordered[: arguments.lines],
            "random": at_random(ordered, arguments.lines, seed),
        }
        for title, lines in chosen.items():
            chosen_task = replace(task, lines=lines)
            print(run(arguments, chosen_task, BASE, f"{title} {seed}", seed)[0], flush=True)
        if arguments.readings:
            aid = replace(task, lines=chosen["aid"])
            print(run_with_readings(arguments, aid, f"aid {seed}", seed), flush=True)


if __name__ == "__main__":
    main()
