"""How fast lines are read: `python -m benchmarks.inference plates=best.onnx [SET=MODEL ...]`.

Each set is a folder of $CRNNKIT_DATA (default: ../shared/data beside the project) with val.txt.
The model, RapidOCR and Tesseract read the same pictures, already in memory, in one thread;
recognition only. Times are CPU time, so that other programs disturb them less, and medians where
lines are read one by one. Figures are compared fairly: `benchmarks.finetune.DOMAINS` says what a
set does not tell apart; wire markers may be upside down, so RapidOCR has its 0/180° classifier.

`--operators` adds where the time goes, against the core's rate of matrix products, `--process`
the time to load a model and the memory of a process that only reads, `--threads` the throughput
of two threads against two processes (needs two idle cores).
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import cv2
import numpy as np

from benchmarks.decode import DATA
from benchmarks.finetune import DOMAINS
from benchmarks.operators import print_operators
from benchmarks.peers import rapidocr_engine, read_with_tesseract
from crnnkit.dataset.index import Line, read_index
from crnnkit.metrics import fold, score
from crnnkit.preprocessing.images import read_image
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import normalize_text

BATCH_SIZES = (8, 32)
LANGUAGES = {"plates": "chi_sim", "screens_zh": "chi_sim"}
"""Tesseract's; English where none is named."""


def one_by_one(read: Callable, images: Sequence[np.ndarray]) -> tuple[list, float]:
    """Results, and the median CPU milliseconds of one; the first call is made twice."""
    results, milliseconds = [read(images[0])], []
    for image in images:
        began = time.process_time()
        results.append(read(image))
        milliseconds.append(1e3 * (time.process_time() - began))
    return results[1:], median(milliseconds)


def print_row(name: str, engine: str, references: list[str], texts: list[str], ms: str) -> None:
    """One row: figures as they are, fair figures, times."""
    alike = score(*[[fold(t, DOMAINS[name].folds) for t in said] for said in (references, texts)])
    plain = score(references, texts)
    figures = (plain.exact_match, plain.cer, alike.exact_match, alike.cer)
    shown = " | ".join(f"{100 * figure:.2f}" for figure in figures)
    print(f"| {name} | {len(texts)} | {engine} | {shown} | {ms} |", flush=True)


def measure_ours(name: str, path: str, lines: list[Line], images: list[np.ndarray]) -> None:
    recognizer = Recognizer.load(path, num_threads=1)
    readings, alone_ms = one_by_one(recognizer.read_line, images)
    times = [f"{alone_ms:.2f}"]
    for batch_size in BATCH_SIZES:
        began = time.process_time()
        together = recognizer.read_lines(images, batch_size)
        times.append(f"{1e3 * (time.process_time() - began) / len(images):.2f}")
        check_alike(readings, together)
    texts = [reading.text for reading in readings]
    print_row(name, path, [line.text for line in lines], texts, " | ".join(times))


def check_alike(alone: list, together: list) -> None:
    """A reading does not depend on its batch mates."""
    assert [reading.text for reading in alone] == [reading.text for reading in together]
    pairs = zip(alone, together, strict=True)
    assert max(abs(a.confidence - b.confidence) for a, b in pairs) < 1e-4


def measure_rapidocr(name: str, lines: list[Line], images: list[np.ndarray]) -> None:
    """One by one: batches bring it no speed. Wire markers a second time with its classifier."""
    engine = rapidocr_engine()
    bgr = [np.ascontiguousarray(_in_colour(image)[..., ::-1]) for image in images]
    for use_cls in (False, True)[: 2 if name == "wire_markers" else 1]:

        def read(image: np.ndarray, use_cls: bool = use_cls) -> str:
            result = engine(image, use_det=False, use_cls=use_cls, use_rec=True)
            return normalize_text(result.txts[0] if result.txts else "")

        texts, alone_ms = one_by_one(read, bgr)
        title = "RapidOCR with classifier" if use_cls else "RapidOCR"
        print_row(name, title, [line.text for line in lines], texts, f"{alone_ms:.2f} | – | –")


def _in_colour(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


def measure_tesseract(name: str, lines: list[Line], images: list[np.ndarray]) -> None:
    """All lines in one process, without the time to read one: its start and model are not ours."""
    language = LANGUAGES.get(name, "eng")
    os.environ["OMP_THREAD_LIMIT"] = "1"
    _, start = _children_seconds(lambda: read_with_tesseract(images[:1], language))
    texts, total = _children_seconds(lambda: read_with_tesseract(images, language))
    ms = 1e3 * (total - start) / (len(images) - 1)
    print_row(
        name,
        f"Tesseract {language}",
        [line.text for line in lines],
        texts,
        f"{ms:.2f} | – | –",
    )


def _children_seconds(call: Callable[[], list[str]]) -> tuple[list[str], float]:
    """What a call returns and the CPU time of the processes that it ran."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    texts = call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return texts, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Prints: CPU seconds of the imports, of loading the model, and MiB that the process ever held;
# not getrusage's figure, which begins with the parent's.
PROCESS = """
import sys, time
from pathlib import Path
began = time.process_time()
from crnnkit.serving.recognizer import Recognizer
imported = time.process_time()
recognizer = Recognizer.load(sys.argv[1], num_threads=1)
loaded = time.process_time()
recognizer.read_lines(sys.argv[2:])
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(f"{imported - began:.2f} | {loaded - imported:.2f} | {peak / 1024:.0f}")
"""


def print_process(models: Sequence[tuple[str, str, list[Line]]]) -> None:
    print("\n| model | imports s | load s | peak MiB |\n" + "|---" * 4 + "|")
    for _, path, lines in models:
        pictures = [str(line.image) for line in lines]
        command = [sys.executable, "-c", PROCESS, path, *pictures]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"| {path} | {done.stdout.strip()} |", flush=True)


# Reads the pictures once for each line on its input, and prints lines per second.
WORKER = """
import sys, time
from crnnkit.preprocessing.images import read_image
from crnnkit.serving.recognizer import Recognizer
recognizer = Recognizer.load(sys.argv[1], num_threads=1)
images = [read_image(path) for path in sys.argv[2:]]
recognizer.read_lines(images[:8])
print("ready", flush=True)
for _ in sys.stdin:
    began = time.perf_counter()
    for image in images:
        recognizer.read_line(image)
    print(len(images) / (time.perf_counter() - began), flush=True)
"""
ROUNDS = 9
"""Of threads and processes in turn: the core's speed changes by a third within seconds."""


def print_threads(path: str, lines: list[Line]) -> None:
    """Lines per second of two processes, and of two threads that share a recogniser."""
    command = [sys.executable, "-c", WORKER, path, *(str(line.image) for line in lines)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    recognizer = Recognizer.load(path, num_threads=1)
    images = [read_image(line.image) for line in lines]
    recognizer.read_lines(images[:8])

    def read_all(_thread: int) -> float:
        began = time.perf_counter()
        for image in images:
            recognizer.read_line(image)
        return len(images) / (time.perf_counter() - began)

    outputs = [worker.stdout for worker in workers if worker.stdout]
    for output in outputs:
        output.readline()
    rates = []
    for _ in range(ROUNDS):
        for worker in workers:
            print(file=worker.stdin, flush=True)
        processes = sum(float(output.readline()) for output in outputs)
        with ThreadPoolExecutor(2) as pool:
            rates.append((sum(pool.map(read_all, range(2))), processes))
    for worker in workers:
        worker.communicate()
    threads, processes = np.median(rates, axis=0)
    shares = [100 * ours / theirs for ours, theirs in rates]
    print(
        f"\n{path}: two processes {processes:.0f} lines/s, two threads {threads:.0f}: "
        f"{np.median(shares):.0f} % ({min(shares):.0f} to {max(shares):.0f} in {ROUNDS} rounds)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="SET=MODEL", help="a data folder and a model")
    parser.add_argument("--limit", type=int, help="read so many lines of each set")
    parser.add_argument("--no-peers", action="store_true", help="leave the other engines out")
    parser.add_argument("--operators", action="store_true", help="where the time goes")
    parser.add_argument("--process", action="store_true", help="load time and memory")
    parser.add_argument("--threads", action="store_true", help="two threads, two processes")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    pairs = [pair.partition("=")[::2] for pair in arguments.models]
    models = [
        (name, path, read_index(DATA / name / "val.txt")[: arguments.limit]) for name, path in pairs
    ]
    print("| set | lines | engine | exact % | CER % | fair exact % | fair CER % ", end="")
    batches = "".join(f"| in batches of {size} " for size in BATCH_SIZES)
    print(f"| ms a line alone {batches}|\n" + "|---" * 10 + "|")
    done = set()
    for name, path, lines in models:
        images = [read_image(line.image) for line in lines]
        measure_ours(name, path, lines, images)
        if name not in done and not arguments.no_peers:
            measure_rapidocr(name, lines, images)
            measure_tesseract(name, lines, images)
        done.add(name)
    for name, path, _ in models if arguments.operators else []:
        print_operators(f"{name}, {path}", path)
    if arguments.process:
        print_process(models)
    if arguments.threads:
        print_threads(*models[0][1:])


if __name__ == "__main__":
    main()
