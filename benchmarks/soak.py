"""Thousands of mixed requests to one service: what its memory becomes.

    python -m benchmarks.soak best.onnx data/demo/test.txt --pages data/demo/pages.jsonl

The service runs as a process of its own and is asked by several clients at once: lines, packets of
lines, pages, options, corrections, uploads that are cut off, altered or no pictures, and now and
then a model takes the served one's place and another is brought back.

Memory swings with what is at work, so single looks at it say little. It is looked at four times a
second, told as a median from stage to stage, and once more at rest after each, when what lies free
has been given back. It counts as flat if, once the first tenth of the requests is over (by then
two models are held, as for good), neither median of the later stages is more than 10 % above that
of the earlier ones.
"""

import argparse
import http.client
import itertools
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import onnx
import psutil

from benchmarks.serve import ask, body_of, cpu_seconds, memory_mib, start
from crnnkit.dataset.index import read_index
from crnnkit.dataset.pages import read_pages
from crnnkit.files import whole_file
from crnnkit.serving import memory

STAGE = 1000
"""Requests after which memory is told, and half of that the first time."""
LOOK_SECONDS = 0.25
REST_SECONDS = 1.5 * memory.SECONDS
MOST_GROWTH = 1.1
Request = tuple[str, bytes, set[int]]
"""Route, form and the statuses that may be answered."""
BOX = "[[0, 0], [80, 0], [80, 20], [0, 20]]"
OPTIONS = (
    {"chars": "1"},
    {"min_confidence": "0.7"},
    {"charset": "0123456789-"},
    {"pattern": "[A-Z0-9-]{2,20}"},
    {"lexicon": "12\nGL-2024"},
    {"pattern": "(broken"},
    {"patern": "1"},
)


class Mix:
    """Invents requests, equal ones for equal seeds. Threads may share one."""

    def __init__(self, lines: list[bytes], pages: list[bytes], seed: int) -> None:
        self._lines, self._pages = lines, pages or lines
        self._rng, self._lock = random.Random(seed), threading.Lock()
        kinds: dict[Callable[[], Request], int] = {
            self._line: 60,
            self._packet: 6,
            self._page: 5,
            self._with_options: 12,
            self._correction: 3,
            self._broken: 13,
            self._model: 1,
        }
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def next(self) -> Request:
        """One more request."""
        with self._lock:
            (kind,) = self._rng.choices(self._kinds, self._weights)
            return kind()

    def _line(self) -> Request:
        return "/api/ocr", body_of([self._rng.choice(self._lines)]), {200}

    def _packet(self) -> Request:
        lines = self._rng.choices(self._lines, k=self._rng.randint(2, 32))
        return "/api/ocr", body_of(lines), {200}

    def _page(self) -> Request:
        return "/api/ocr", body_of([self._rng.choice(self._pages)]), {200}

    def _with_options(self) -> Request:
        options = self._rng.choice(OPTIONS)
        return "/api/ocr", body_of([self._rng.choice(self._lines)], options), {200, 400}

    def _correction(self) -> Request:
        fields = {"box": BOX, "text": f"{self._rng.randrange(1000)}"}
        return "/api/feedback", body_of([self._rng.choice(self._lines)], fields), {201}

    def _broken(self) -> Request:
        content = bytearray(self._rng.choice(self._lines + self._pages))
        kind = self._rng.randrange(3)
        if kind == 0:
            del content[self._rng.randrange(len(content)) :]
        elif kind == 1:
            for _ in range(8):
                content[self._rng.randrange(len(content))] = self._rng.randrange(256)
        else:
            content[:] = self._rng.randbytes(self._rng.randrange(100_000))
        return "/api/ocr", body_of([bytes(content)]), {200, 415}

    def _model(self) -> Request:
        return self._rng.choice(["/api/models/reload", "/api/models/restore"]), b"", {200, 409}


def other_bytes(model: Path, folder: Path) -> list[bytes]:
    """The content of a model file, and of one that is another file and reads the same."""
    network = onnx.load(model)
    network.doc_string = "the same in other bytes"
    onnx.save(network, folder / "other.onnx")
    return [model.read_bytes(), (folder / "other.onnx").read_bytes()]


class Stage(NamedTuple):
    """The service's memory, MiB, over some requests."""

    requests: int
    """Answered by its end."""
    under_load: float
    """Median."""
    at_rest: float


def growth(stages: Sequence[Stage]) -> tuple[float, float]:
    """Memory of the later half of the stages by that of the earlier, under load and at rest, the
    first tenth of the requests left out."""
    counted = [stage for stage in stages if stage.requests > stages[-1].requests / 10]
    if len(counted) < 2:
        raise SystemExit("too few requests to tell whether memory is flat")
    halves = counted[: len(counted) // 2], counted[len(counted) // 2 :]
    (load, rest), (later_load, later_rest) = (
        (median(s.under_load for s in half), median(s.at_rest for s in half)) for half in halves
    )
    return later_load / load, later_rest / rest


@contextmanager
def watched(server: psutil.Process) -> Iterator[list[int]]:
    """The memory of a service, MiB, looked at again and again until the end."""
    seen, stopped = [memory_mib(server)], threading.Event()

    def look() -> None:
        while not stopped.wait(LOOK_SECONDS):
            seen.append(memory_mib(server))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


def ask_many(
    port: int, mix: Mix, number: int, clients: int, swap: Callable[[], None]
) -> Counter[int]:
    """Ask `number` times; return how often each status was answered."""
    statuses, lock, turns = Counter[int](), threading.Lock(), iter(range(number))

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while True:
            with lock:
                if next(turns, None) is None:
                    return
            route, body, expected = mix.next()
            if route == "/api/models/reload":
                swap()
            status = ask(connection, body, route)
            if status not in expected:
                raise SystemExit(f"{route} answered {status} to a form that begins {body[:200]!r}")
            with lock:
                statuses[status] += 1

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return statuses


def soak(
    server: psutil.Process, ask: Callable[[int], Counter[int]], number: int
) -> tuple[list[Stage], Counter[int]]:
    """Ask `number` times, stage by stage, and tell the memory."""
    stages: list[Stage] = []
    statuses, began = Counter[int](), time.perf_counter()
    for end in [STAGE // 2, *range(STAGE, number, STAGE), number]:
        with watched(server) as seen:
            statuses += ask(end - statuses.total())
        time.sleep(REST_SECONDS)
        stages.append(Stage(end, median(seen), memory_mib(server)))
        print(
            f"{end} requests: {median(seen):.0f} MiB (at most {max(seen)}), at rest "
            f"{stages[-1].at_rest}; {time.perf_counter() - began:.0f} s, "
            f"CPU {cpu_seconds(server):.0f} s",
            flush=True,
        )
    return stages, statuses


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("index", type=Path, nargs="+", help="labelled lines")
    parser.add_argument("--pages", type=Path, nargs="*", default=[], help="labelled pages, .jsonl")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server-cores", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    lines = [line.image.read_bytes() for index in options.index for line in read_index(index)]
    pages = [page.image.read_bytes() for index in options.pages for page in read_pages(index)]
    with tempfile.TemporaryDirectory() as name:
        folder, turn, alone = Path(name), itertools.count(1), threading.Lock()
        contents = other_bytes(options.model, folder)
        served = folder / "serving.onnx"
        served.write_bytes(contents[0])

        def swap() -> None:
            with alone, whole_file(served) as partial:
                partial.write_bytes(contents[next(turn) % 2])

        feedback = ("--feedback", str(folder / "feedback"))
        process, port = start(served, options.server_cores, *feedback)
        try:
            server = psutil.Process(process.pid)
            print(f"started: {memory_mib(server)} MiB")
            mix = Mix(lines, pages, options.seed)
            stages, statuses = soak(
                server,
                lambda number: ask_many(port, mix, number, options.clients, swap),
                options.requests,
            )
            print(f"statuses: {dict(statuses)}")
            load, rest = growth(stages)
            verdict = "flat" if max(load, rest) <= MOST_GROWTH else "NOT FLAT"
            print(f"{verdict}: later by earlier stages {load:.2f} under load, {rest:.2f} at rest")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
