"""The service under load, and beside it the recogniser alone on the same lines.

    python -m benchmarks.serve best.onnx data/demo/test.txt --pages data/demo/pages.jsonl

The service runs as a process of its own on the cores of --server-cores, the clients here on those
of --client-cores. Both sides' CPU seconds are told beside the rates: where other programs run,
they say more than the clock.
"""

import argparse
import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from crnnkit.dataset.index import read_index
from crnnkit.dataset.pages import read_pages
from crnnkit.serving.recognizer import Recognizer

LINES_PER_REQUEST = 32
BOUNDARY = "crnnkit-benchmark"


@dataclass(frozen=True)
class Load:
    """What came of some seconds of requests."""

    seconds: float
    latencies: list[float]
    """Seconds of each request."""
    refused: int
    server_cpu: float
    """CPU seconds of the service."""
    client_cpu: float

    @property
    def p95_ms(self) -> float:
        """The latency that 95 % of the requests keep, ms."""
        return 1e3 * float(np.percentile(self.latencies, 95))


def body_of(pictures: Sequence[bytes], fields: Mapping[str, str] | None = None) -> bytes:
    """A multipart form with one field `image` per picture, and other fields."""
    heads = [(f'name="{name}"', value.encode()) for name, value in (fields or {}).items()]
    heads += [('name="image"; filename="a.png"', picture) for picture in pictures]
    disposition = f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
    parts = [f"{disposition}{head}\r\n\r\n".encode() + value + b"\r\n" for head, value in heads]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def ask(connection: http.client.HTTPConnection, body: bytes, route: str = "/api/ocr") -> int:
    """Post a form; return the status once the answer is read."""
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", route, body, headers)
    response = connection.getresponse()
    response.read()
    return response.status


def load(
    server: psutil.Process, port: int, bodies: list[bytes], clients: int, seconds: float
) -> Load:
    """Let clients ask one request after the other for some seconds."""
    deadline = time.perf_counter() + seconds

    def client(number: int) -> list[tuple[int, float]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        answers: list[tuple[int, float]] = []
        while (began := time.perf_counter()) < deadline:
            body = bodies[(number + len(answers) * clients) % len(bodies)]
            answers.append((ask(connection, body), time.perf_counter() - began))
        return answers

    began, own, cpu = time.perf_counter(), time.process_time(), cpu_seconds(server)
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for each in pool.map(client, range(clients)) for answer in each]
    wrong = {status for status, _ in answers} - {200, 503}
    if wrong:
        raise SystemExit(f"answers with status {wrong}")
    return Load(
        time.perf_counter() - began,
        [latency for status, latency in answers if status == 200],
        sum(status == 503 for status, _ in answers),
        cpu_seconds(server) - cpu,
        time.process_time() - own,
    )


def cpu_seconds(service: psutil.Process) -> float:
    """CPU seconds that a service and the processes that read for it used so far."""
    times = [process.cpu_times() for process in [service, *service.children()]]
    return sum(each.user + each.system for each in times)


def memory_mib(service: psutil.Process) -> int:
    """What a service and the processes that read for it hold, MiB; what they share counts for each
    of them."""
    processes = [service, *service.children()]
    return sum(process.memory_info().rss for process in processes) >> 20


def alone(recognizer: Recognizer, pictures: list[bytes], seconds: float) -> tuple[float, float]:
    """Lines per second of the clock and per CPU second of the recogniser, read in this process."""
    began, cpu, lines = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        for start in range(0, len(pictures), LINES_PER_REQUEST):
            recognizer.read_pages(pictures[start : start + LINES_PER_REQUEST])
        lines += len(pictures)
    return lines / (time.perf_counter() - began), lines / (time.process_time() - cpu)


def start(model: Path, cores: Sequence[int], *options: str) -> tuple[subprocess.Popen[str], int]:
    """A service on cores of its own, and its port."""
    code = "from crnnkit.cli.app import main; main()"
    command = [sys.executable, "-u", "-c", code, "serve", "--model", str(model), "--port", "0"]
    command += options
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    for line in process.stderr or ():
        if found := re.search(r"serves on http://[\d.]+:(\d+)", line):
            # Nobody reads on: a full pipe would hold the service up.
            threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
            return process, int(found[1])
    raise SystemExit("the service did not start")


def main() -> None:
    """Measure and print one line per load."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("index", type=Path, help="labelled lines")
    parser.add_argument("--pages", type=Path, help="labelled pages, .jsonl")
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--processes", type=int, default=0, help="of the service that read")
    parser.add_argument("--server-cores", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--client-cores", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    pictures = [line.image.read_bytes() for line in read_index(options.index)]
    pictures = pictures[: len(pictures) // LINES_PER_REQUEST * LINES_PER_REQUEST]

    os.sched_setaffinity(0, options.server_cores)
    recognizer = Recognizer.load(options.model)
    recognizer.read_pages(pictures[:LINES_PER_REQUEST])
    own_rate, own_cpu_rate = alone(recognizer, pictures, options.seconds)
    print(f"recogniser alone: {own_rate:.0f} lines/s, {own_cpu_rate:.0f} lines per CPU second")
    del recognizer
    os.sched_setaffinity(0, options.client_cores)

    reading = ("--processes", str(options.processes))
    process, port = start(options.model, options.server_cores, *reading)
    server = psutil.Process(process.pid)
    starts = range(0, len(pictures), LINES_PER_REQUEST)
    packets = [body_of(pictures[i : i + LINES_PER_REQUEST]) for i in starts]
    singles = [body_of([picture]) for picture in pictures]
    measure: Callable[[list[bytes], int], Load] = lambda bodies, clients: load(  # noqa: E731
        server, port, bodies, clients, options.seconds
    )
    try:
        measure(packets, 2)  # warm
        report("32 lines a request", measure(packets, 2), LINES_PER_REQUEST, own_rate, own_cpu_rate)
        report("one line a request", measure(singles, 8), 1, own_rate, own_cpu_rate)
        if options.pages:
            pages = [body_of([page.image.read_bytes()]) for page in read_pages(options.pages)]
            report("one page a request", measure(pages, 2), 0, own_rate, own_cpu_rate)
        print(f"memory of the service and its processes: {memory_mib(server)} MiB")
    finally:
        process.terminate()
        process.wait()


def report(name: str, found: Load, lines: int, own_rate: float, own_cpu_rate: float) -> None:
    """Print what came of a load; `lines` a request, 0 where they are not counted."""
    rate = len(found.latencies) / found.seconds
    text = f"{name}: {rate:.1f} requests/s, p50 {1e3 * np.median(found.latencies):.0f} ms, "
    text += f"p95 {found.p95_ms:.0f} ms, {found.refused} refused; CPU seconds a second: service "
    text += (
        f"{found.server_cpu / found.seconds:.2f}, clients {found.client_cpu / found.seconds:.2f}"
    )
    if lines:
        per_cpu = lines * len(found.latencies) / found.server_cpu
        text += f"; {rate * lines:.0f} lines/s = {rate * lines / own_rate:.0%} of the recogniser "
        text += f"alone, {per_cpu:.0f} lines per CPU second = {per_cpu / own_cpu_rate:.0%}"
    print(text)


if __name__ == "__main__":
    main()
