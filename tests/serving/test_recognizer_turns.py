"""Threads that share a recogniser: turns at what is Python, none at the network."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from crnnkit.model.constraints import Constraint
from crnnkit.serving import recognizer as recognizer_module
from crnnkit.serving.recognizer import Recognizer


class Watched:
    """A call that tells how many threads are inside."""

    def __init__(self, call: Callable) -> None:
        self.call, self.inside, self.most = call, 0, 0
        self._lock = threading.Lock()

    def __call__(self, *arguments: object) -> object:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.002)
        found = self.call(*arguments)
        with self._lock:
            self.inside -= 1
        return found


@pytest.fixture
def reader(onnx_path) -> Recognizer:
    return Recognizer.load(onnx_path, num_threads=1)


def read_at_once(reader: Recognizer, line: object, constraint: Constraint | None = None) -> None:
    with ThreadPoolExecutor(4) as pool:
        readings = pool.map(lambda _: reader.read_lines([line] * 3, 1, constraint), range(4))
        assert len({reading.text for three in readings for reading in three}) == 1


@pytest.mark.parametrize("name", ["line_to_array", "decode_line", "at_temperature"])
def test_threads_take_turns_at_what_is_python(reader, make_line, monkeypatch, name):
    watched = Watched(getattr(recognizer_module, name))
    monkeypatch.setattr(recognizer_module, name, watched)
    read_at_once(reader, make_line("AB 12"))
    assert watched.most == 1


def test_what_labels_write_otherwise_is_merged_in_turn(reader, make_line):
    reader._spelling.merge = watched = Watched(reader._spelling.merge)
    read_at_once(reader, make_line("AB 12"))
    assert watched.most == 1


def test_networks_run_side_by_side(reader, make_line):
    reader.network = watched = Watched(reader.network)
    read_at_once(reader, make_line("AB 12"))
    assert watched.most > 1


def test_nobody_waits_for_what_a_constraint_takes(reader, make_line, monkeypatch):
    watched = Watched(Constraint.decode)
    monkeypatch.setattr(Constraint, "decode", lambda *arguments: watched(*arguments))
    read_at_once(reader, make_line("AB 12"), Constraint.pattern(r"\w*", reader.vocab))
    assert watched.most > 1
