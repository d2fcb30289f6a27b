"""Reading in processes of their own: Python's lock lets one keep little more than a core busy.

The service's process takes requests and answers them. What is to be read goes to the process that
has least to do; each holds all models in use, and its requests share batches. One that dies is
replaced, and only what it had at hand is lost.
"""

import itertools
import logging
import multiprocessing
import signal
import threading
import traceback
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, cast

from crnnkit.errors import CheckpointError, CrnnKitError
from crnnkit.serving import memory, monitoring
from crnnkit.serving.batching import BatchedNetwork, BusyError, Sharing
from crnnkit.serving.models import model_content, recognizer_of
from crnnkit.serving.recognizer import Recognizer
from crnnkit.serving.tasks import Pages, Task
from crnnkit.serving.threads import usable_cores
from crnnkit.vocab import Vocab

MAX_PROCESSES = 8
"""Beyond, the process that takes requests is what is waited for."""
SMALL = 16 * 1024
"""Bytes of a task's pictures up to which it may be done together with others: lines, not pages."""
MOST_TOGETHER = 16
"""Pictures that are read together for several requests."""
RESTART_SECONDS = 1.0
END_SECONDS = 5.0
"""After which a process that was told to end is killed."""

_log = logging.getLogger(__name__)


def default_processes() -> int:
    """One for each core that may be used, up to `MAX_PROCESSES`."""
    return min(usable_cores(), MAX_PROCESSES)


class ReaderDiedError(Exception):
    """The process that was reading has ended: killed for its memory, or by a library's fault."""


class ReaderGoneError(ReaderDiedError):
    """The process had ended before it was asked."""


class ReaderProcesses:
    """Processes that read with any of the models that are in use. Threads may share them."""

    def __init__(self, count: int, threads: int) -> None:
        """Start them.

        Args:
            threads: tasks that each of them works on at once.
        """
        self._threads = threads
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._keys = itertools.count()
        self._models: dict[int, tuple[bytes, Path]] = {}
        self._processes: list[_Process] = []
        self._unused = SimpleQueue[int | None]()
        """Keys of models that nobody has a reader of any more; None at the end."""
        threading.Thread(target=self._forget, daemon=True).start()
        for _ in range(count):
            self._start()

    def load(self, path: Path) -> "ProcessReader":
        """A reader of a model file; see `models.load_reader`."""
        content = model_content(path)
        with self._lock:
            key = next(self._keys)
            self._models[key] = content, path  # whoever starts meanwhile loads it, too
            processes = list(self._processes)
        try:
            with ThreadPoolExecutor(len(processes) or 1) as pool:
                asked = [pool.submit(each.ask, "load", key, content, path) for each in processes]
                vocabs: list[Vocab] = [each.result() for each in asked]
            if not vocabs:
                raise ReaderDiedError
        except ReaderDiedError:
            self._drop(key)
            raise CheckpointError(f"{path}: a process ended while it loaded it.") from None
        except CrnnKitError:
            self._drop(key)
            raise
        reader = ProcessReader(self, key, path.name, vocabs[0])
        # whoever collects it may hold any lock: it is only noted
        weakref.finalize(reader, self._unused.put, key)
        return reader

    def read(self, key: int, task: Task) -> Pages:
        """Have a task done with one of the models.

        Raises:
            BusyError: if no process is there to do it, for a moment.
            ReaderDiedError: if the process that did it has ended.
        """
        while True:
            with self._lock:
                if not self._processes:
                    raise BusyError
                chosen = min(self._processes, key=lambda process: process.num_tasks)
                cores = 1 + sum(not each.num_tasks for each in self._processes if each != chosen)
                chosen.num_tasks += 1
            try:
                return chosen.read(_Asked(key, cores, task))
            except ReaderGoneError:  # another one may do it
                self._remove(chosen)
            finally:
                with self._lock:
                    chosen.num_tasks -= 1

    def _remove(self, process: "_Process") -> None:
        with self._lock, suppress(ValueError):  # done already
            self._processes.remove(process)

    def _forget(self) -> None:
        for key in iter(self._unused.get, None):
            self._drop(key)

    def _drop(self, key: int) -> None:
        with self._lock:
            self._models.pop(key, None)
            processes = list(self._processes)
        for process in processes:
            with suppress(ReaderDiedError):
                process.ask("drop", key)

    def _start(self) -> None:
        """One more process, once it holds the models in use."""
        process, loaded = _Process(self._threads), set[int]()
        while True:
            with self._lock:
                missing = {key: self._models[key] for key in self._models if key not in loaded}
                is_late = self._closed.is_set()
                if not missing and not is_late:
                    self._processes.append(process)
            if is_late:
                return process.end()
            if not missing:
                break
            for key, (content, path) in missing.items():
                with suppress(CrnnKitError):  # told to whoever asked for it
                    process.ask("load", key, content, path)
                loaded.add(key)
        for key in loaded - self._models.keys():
            process.ask("drop", key)
        threading.Thread(target=self._replace, args=(process,), daemon=True).start()

    def _replace(self, process: "_Process") -> None:
        """Once a process has ended, start another one, again and again until that succeeds."""
        code = process.wait()
        self._remove(process)
        while not self._closed.is_set():
            _log.error("a reading process ended with exit code %s; another one is started", code)
            try:
                return self._start()
            except (OSError, ReaderDiedError):
                self._closed.wait(RESTART_SECONDS)

    def close(self) -> None:
        """End all processes."""
        self._closed.set()
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.end()
        self._unused.put(None)


@dataclass(frozen=True, eq=False)
class ProcessReader:
    """A model that some processes hold."""

    _processes: ReaderProcesses
    _key: int
    name: str
    vocab: Vocab

    def read(self, task: Task) -> Pages:
        """Have a task done; see `Task.done_by` and `ReaderProcesses.read`."""
        return self._processes.read(self._key, task)


class _Process:
    """One process, seen from the service. Threads may share it, each on a connection of its own."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        pairs = [context.Pipe() for _ in range(threads)]
        self._process = context.Process(
            target=_work, args=([theirs for _, theirs in pairs],), daemon=True
        )
        self._process.start()
        self._connections = [ours for ours, _ in pairs]
        self._free = SimpleQueue[Connection]()
        for ours, theirs in pairs:
            self._free.put(ours)
            theirs.close()  # the process holds it: should that end, nobody does
        self.num_tasks = 0
        self._lane = _Lane(self)

    def read(self, asked: "_Asked") -> Pages:
        """Have a task done; small ones that wait together are done together, but for those that
        say what may come out, which may take long."""
        is_small = asked.task.is_free and asked.task.num_bytes <= SMALL
        return self._lane.answer(asked) if is_small else self.read_alone(asked)

    def read_alone(self, asked: "_Asked") -> Pages:
        """Have a task done at once."""
        pages, batches = self.ask("read", asked.key, asked.cores, asked.task)
        for num_lines in batches:
            monitoring.BATCH_LINES.observe(num_lines)
        return pages

    def ask(self, what: str, *arguments: Any) -> Any:
        """Have something done; return or raise what comes of it.

        Raises:
            ReaderGoneError: if the process had ended before.
            ReaderDiedError: if it ended meanwhile.
        """
        connection = self._free.get()
        try:
            try:
                connection.send((what, arguments))
            except OSError:
                raise ReaderGoneError from None
            found = connection.recv()
        except (EOFError, OSError):
            raise ReaderDiedError from None
        finally:
            self._free.put(connection)
        if isinstance(found, Exception):
            raise found
        return found

    def wait(self) -> int | None:
        """Wait for its end; its exit code."""
        self._process.join()
        return self._process.exitcode

    def end(self) -> None:
        """End it; nobody may be asking."""
        for connection in self._connections:
            connection.close()
        self._process.join(END_SECONDS)
        self._process.kill()
        self._process.join()


class _Asked(NamedTuple):
    """A task, and with what it is to be done."""

    key: int
    """Of the model."""
    cores: int
    """That may be used: the process's own, and those of processes that rest."""
    task: Task


class _Lane(Sharing[_Asked, Pages]):
    """Small tasks of a process, which cost a quarter less when done together."""

    def __init__(self, process: _Process) -> None:
        super().__init__()
        self._process = process

    def _fits(self, asked: Sequence[_Asked], other: _Asked) -> bool:
        number = sum(len(each.task.pictures) for each in [*asked, other])
        return other.key == asked[0].key and number <= MOST_TOGETHER

    def _run(self, asked: Sequence[_Asked]) -> Sequence[Pages]:
        pictures = tuple(chain.from_iterable(each.task.pictures for each in asked))
        pages = iter(self._process.read_alone(asked[0]._replace(task=Task(pictures))))
        return [list(islice(pages, len(each.task.pictures))) for each in asked]


def _work(connections: Sequence[Connection]) -> None:
    """What a process does: all that it is asked, until the service closes its connections or is
    gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to all of a group, while the service drains
    memory.keep_small()
    worker, left = _Worker(), list(connections)
    with ThreadPoolExecutor(max(1, len(left))) as pool:
        while left:
            for ready in wait(left):
                connection = cast(Connection, ready)
                try:
                    what, arguments = connection.recv()
                except (EOFError, OSError):
                    left.remove(connection)
                    continue
                doing = pool.submit(getattr(worker, what), *arguments)
                doing.add_done_callback(partial(_tell, connection))


def _tell(connection: Connection, done: Future[Any]) -> None:
    """Answer with what was found, or with the fault, whatever it is: somebody waits."""
    error = done.exception()
    if error is None:
        found = done.result()
    elif isinstance(error, CrnnKitError):
        found = error
    else:
        found = RuntimeError("".join(traceback.format_exception(error)))
    with suppress(OSError):  # the service is gone
        connection.send(found)


class _Worker:
    """The models of a process."""

    def __init__(self) -> None:
        self.models: dict[int, tuple[Recognizer, BatchedNetwork]] = {}
        self._batches: list[int] = []
        self._lock = threading.Lock()

    def load(self, key: int, content: bytes, path: Path) -> Vocab:
        """Take up a model."""
        self.models[key] = recognizer_of(content, path, self._count)
        return self.models[key][0].vocab

    def drop(self, key: int) -> None:
        """Hold a model no longer."""
        self.models.pop(key, None)

    def read(self, key: int, cores: int, task: Task) -> tuple[Pages, list[int]]:
        """What the pictures say, and the lines of each batch that was run meanwhile."""
        recognizer, network = self.models[key]
        network.parallel = cores
        pages = task.done_by(recognizer)
        with self._lock:
            batches, self._batches = self._batches, []
        return pages, batches

    def _count(self, num_lines: int) -> None:
        with self._lock:
            self._batches.append(num_lines)
