"""What beam and constraint bring: `python -m benchmarks.decode plates=best.onnx [SET=MODEL ...]`.

Each set is a folder of $CRNNKIT_DATA (default: ../shared/data beside the project) with train.txt
and val.txt. The pattern is learnt from the texts of train.txt; the lines of val.txt are read one
by one, in one thread. Times are CPU time, so that other programs disturb them less.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers import FOLD
from crnnkit.dataset.index import Line, read_index
from crnnkit.metrics import fold, score
from crnnkit.model.constraints import Constraint
from crnnkit.model.decode import Decoded, beam_decode, greedy_decode
from crnnkit.model.patterns import learn_pattern
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import line_to_array
from crnnkit.serving.recognizer import Recognizer

DATA = Path(os.environ.get("CRNNKIT_DATA", Path(__file__).parents[1].parent / "shared" / "data"))


def timed(function: Callable, arguments: list) -> tuple[list, float]:
    """Results, and milliseconds each; the first call is made twice and counted once."""
    function(arguments[0])
    began = time.process_time()
    results = [function(argument) for argument in arguments]
    return results, 1000 * (time.process_time() - began) / len(arguments)


def compare(name: str, model: str, lines: list[Line], constraint: Constraint) -> None:
    """Print one table row per way of decoding."""
    recognizer = Recognizer.load(model, num_threads=1)
    images = [read_image(line.image) for line in lines]

    def network(image: np.ndarray) -> np.ndarray:
        return recognizer.logits(line_to_array(image, recognizer.line_config)[np.newaxis])[0]

    all_logits, network_ms = timed(network, images)
    ways: dict[str, Callable[[np.ndarray], Decoded]] = {
        "greedy": greedy_decode,
        "beam": beam_decode,
        "pattern": lambda logits: beam_decode(logits, constraint.automaton),
    }
    references = [line.text for line in lines]
    for way, decode in ways.items():
        readings, decoding_ms = timed(decode, all_logits)
        if way == "greedy":
            plain_ms = network_ms + decoding_ms
        texts = [recognizer.vocab.decode(reading.ids) for reading in readings]
        plain = score(references, texts)
        alike = score([fold(t, FOLD) for t in references], [fold(t, FOLD) for t in texts])
        print(
            f"| {name} | {way} | {100 * plain.cer:.2f} | {100 * plain.exact_match:.1f} | "
            f"{100 * alike.cer:.2f} | {100 * alike.exact_match:.1f} | {network_ms:.2f} | "
            f"{decoding_ms:.2f} | {(network_ms + decoding_ms) / plain_ms:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="SET=MODEL", help="a data folder and a model")
    parser.add_argument("--max-unseen", type=float, default=0.02, help="see learn_pattern")
    arguments = parser.parse_args()
    rows = []
    for pair in arguments.models:
        name, _, model = pair.partition("=")
        texts = [line.text for line in read_index(DATA / name / "train.txt")]
        vocab = Recognizer.load(model, num_threads=1).vocab
        pattern = learn_pattern(texts, arguments.max_unseen)
        rows.append((name, model, Constraint.pattern(pattern, vocab)))
        shown = pattern if len(pattern) <= 80 else pattern[:79] + "…"
        print(f"{name}: {pattern.count('|') + 1} shapes learnt from {len(texts)} texts: {shown}")
    print("\n| set | decoding | CER % | exact % | folded CER % | folded exact % | ", end="")
    print("network ms | decoding ms | time against greedy |\n|" + "---|" * 9)
    for name, model, constraint in rows:
        compare(name, model, read_index(DATA / name / "val.txt"), constraint)


if __name__ == "__main__":
    main()
