"""Thousands of mixed requests to one service: what its memory becomes.

    python -m benchmarks.soak best.onnx data/demo/test.txt --pages data/demo/pages.jsonl

The service runs as a process of its own and is asked by several clients at once: lines, packets of
lines, pages, options, corrections, uploads that are cut off, altered or no pictures, and now and
then a model is copied over the served one and another brought back.
"""

import argparse
import http.client
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import psutil

from benchmarks.serve import ask, body_of, cpu_seconds, start
from crnnkit.dataset.index import read_index
from crnnkit.dataset.pages import read_pages

TOLD_AT = (500, 1000, 2000, 5000, 10_000, 20_000)
"""Numbers of requests after which memory is told."""
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


def soak(
    server: psutil.Process, port: int, mix: Mix, number: int, clients: int, swap: Callable[[], None]
) -> Counter[int]:
    """Ask `number` times and tell the memory; return how often each status was answered."""
    statuses: Counter[int] = Counter()
    lock, began = threading.Lock(), time.perf_counter()

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while True:
            with lock:
                if statuses.total() >= number:
                    return
                statuses[0] += 1  # asked, not answered
            route, body, expected = mix.next()
            if route == "/api/models/reload":
                swap()
            status = ask(connection, body, route)
            if status not in expected:
                raise SystemExit(f"{route} answered {status} to a form that begins {body[:200]!r}")
            with lock:
                statuses[0] -= 1
                statuses[status] += 1
                answered = statuses.total() - statuses[0]
                if answered in TOLD_AT or answered == number:
                    mib = server.memory_info().rss >> 20
                    seconds = time.perf_counter() - began
                    cpu = cpu_seconds(server)
                    print(f"{answered} requests: {mib} MiB, {seconds:.0f} s, CPU {cpu:.0f} s")

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return statuses


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
        folder, turn = Path(name), Counter[str]()
        contents = other_bytes(options.model, folder)
        served = folder / "serving.onnx"
        served.write_bytes(contents[0])

        def swap() -> None:
            turn["swaps"] += 1
            served.write_bytes(contents[turn["swaps"] % 2])

        feedback = ("--feedback", str(folder / "feedback"))
        process, port = start(served, options.server_cores, *feedback)
        try:
            server = psutil.Process(process.pid)
            print(f"started: {server.memory_info().rss >> 20} MiB")
            mix = Mix(lines, pages, options.seed)
            print(soak(server, port, mix, options.requests, options.clients, swap))
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
