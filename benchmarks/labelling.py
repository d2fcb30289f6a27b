"""Do the labelling aid's lines teach more than others? `python -m benchmarks.labelling DATA`.

DATA holds one folder per set with train.txt and val.txt. The base checkpoint reads the training
pictures of a set as the aid does; the first of the aid's order, and as many taken at random, are
trained on from the base with default settings, each for the same number of epochs and with the
same seed, which chooses the random ones too. A tenth of them chooses the epoch, val is read once.
Prints one row per run.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.finetune import BASE, DOMAINS, at_random, print_head, run, tasks
from crnnkit.dataset.index import Line, read_index
from crnnkit.serving.recognizer import Recognizer
from crnnkit.workbook.labelling import unlabelled


def in_order_of_the_aid(folder: Path, num_threads: int) -> list[Line]:
    """The lines of folder/train.txt as the aid would ask for them, with their labels."""
    line_of = {line.image: line for line in read_index(folder / "train.txt")}
    reader = Recognizer.load(BASE, num_threads or None)
    # what val.txt lists counts as labelled, and is not asked for
    tasks = unlabelled(folder / "img", folder / "val.txt", reader)
    return [line_of[task.image] for task in tasks if task.image in line_of]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", default="wire_markers", choices=DOMAINS)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=60.0, help="epochs end before")
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


if __name__ == "__main__":
    main()
