"""Who is let in, and whose lines share a batch."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

from crnnkit.serving.batching import BatchedNetwork, BusyError, Gate
from crnnkit.serving.network import MAX_COLUMNS


class HeldNetwork:
    """Answers each line with its own first pixel, and holds its first batch until told."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.at_once = threading.Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, 1, H, W) → (B, 1, 1)."""
        assert self.at_once.acquire(blocking=False), "two batches at once"
        self.shapes.append(images.shape)
        self.has_begun.set()
        assert self.may_end.wait(20)
        self.at_once.release()
        return images[:, :, 0, :1].copy()


def lines(value: float, *, number: int = 1, width: int = 32) -> np.ndarray:
    return np.full((number, 1, 32, width), value, np.float32)


@pytest.fixture
def call_while_held(wait_until):
    """Answers of calls that all wait while a first one runs."""
    return partial(_call_while_held, wait_until)


def _call_while_held(
    wait_until, network: HeldNetwork, batched: BatchedNetwork, images: list
) -> list:
    with ThreadPoolExecutor(len(images) + 1) as pool:
        first = pool.submit(batched, lines(99))
        assert network.has_begun.wait(20)
        calls = [pool.submit(batched, each) for each in images]
        try:
            wait_until(lambda: len(batched._waiting) == len(images))
        finally:
            network.may_end.set()
        assert first.result(20).tolist() == [[[99]]]
        return [call.result(20) for call in calls]


def test_calls_that_wait_together_share_a_batch_and_get_their_own_lines(call_while_held):
    network, told = HeldNetwork(), []
    batched = BatchedNetwork(network, on_batch=told.append)
    answers = call_while_held(network, batched, [lines(i, number=i) for i in range(1, 5)])
    assert network.shapes == [(1, 1, 32, 32), (10, 1, 32, 32)]
    assert told == [1, 10]
    for i, answer in enumerate(answers, start=1):
        assert answer.tolist() == [[[i]]] * i


def test_only_equal_widths_share(call_while_held):
    network = HeldNetwork()
    images = [lines(1), lines(2, width=64), lines(3), lines(4, width=64)]
    answers = call_while_held(network, BatchedNetwork(network), images)
    assert sorted(network.shapes[1:]) == [(2, 1, 32, 32), (2, 1, 32, 64)]
    assert [float(answer[0, 0, 0]) for answer in answers] == [1, 2, 3, 4]


def test_a_batch_holds_no_more_lines_than_it_may(call_while_held):
    network = HeldNetwork()
    waiting = [lines(i, number=3, width=MAX_COLUMNS // 4) for i in range(3)]
    call_while_held(network, BatchedNetwork(network), waiting)
    assert [shape[0] for shape in network.shapes] == [1, 3, 3, 3]


class CountingNetwork:
    """Answers each line with its own first pixel, and knows how many batches ever ran at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.lock = seconds, threading.Lock()
        self.running = self.most = 0
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, 1, H, W) → (B, 1, 1)."""
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.shapes.append(images.shape)
        time.sleep(self.seconds)
        with self.lock:
            self.running -= 1
        return images[:, :, 0, :1].copy()


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_as_many_batches_run_at_once_as_may_and_every_call_gets_its_own_lines(parallel):
    network = CountingNetwork(0.002)
    batched = BatchedNetwork(network, parallel)

    def ask(number: int) -> bool:
        size = 1 + number % 3
        answer = batched(lines(number, number=size, width=32 * (1 + number % 2)))
        return answer.tolist() == [[[number]]] * size

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, number) for number in range(200)]
        assert all(answer.result(20) for answer in answers)
    assert network.most == parallel
    assert len(network.shapes) < 200  # some waited together


def test_a_call_that_is_alone_is_spread_and_its_lines_keep_their_order():
    network = CountingNetwork(0.2)
    images = np.concatenate([lines(value) for value in range(5)])
    answer = BatchedNetwork(network, parallel=2)(images)
    assert answer[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert (network.most, sorted(shape[0] for shape in network.shapes)) == (2, [2, 3])


@pytest.mark.parametrize("values", [(13, 1, 2), (1, 2, 13)], ids=["first", "last"])
def test_a_failing_call_fails_alone(wait_until, values):
    def network(images: np.ndarray) -> np.ndarray:
        begun.set()
        assert may_go_on.wait(20)
        if (images == 13).any():
            raise RuntimeError("thirteen")
        return images[:, :, 0, :1]

    begun, may_go_on = threading.Event(), threading.Event()
    batched = BatchedNetwork(network)
    with ThreadPoolExecutor(4) as pool:
        calls = {0: pool.submit(batched, lines(0))}
        assert begun.wait(20)
        try:
            for number, value in enumerate(values, start=1):
                calls[value] = pool.submit(batched, lines(value))
                wait_until(lambda number=number: len(batched._waiting) == number)
        finally:
            may_go_on.set()
        with pytest.raises(RuntimeError, match="thirteen"):
            calls[13].result(20)
        assert [float(calls[i].result(20)[0, 0, 0]) for i in (0, 1, 2)] == [0, 1, 2]


def assert_is_refused(gate: Gate) -> None:
    """At once: who is let in, or waits, would hold the test up for ever."""
    refused = threading.Event()

    def visit() -> None:
        with suppress(BusyError), gate.turn():
            return
        refused.set()

    threading.Thread(target=visit, daemon=True).start()
    assert refused.wait(5)


def test_the_gate_lets_in_who_fits_and_refuses_the_next(wait_until):
    gate, release = Gate(active=2, waiting=1), threading.Event()
    working: list[int] = []

    def visit(number: int) -> None:
        with gate.turn():
            working.append(number)
            assert release.wait(20)

    with ThreadPoolExecutor(3) as pool:
        visits = [pool.submit(visit, number) for number in range(3)]
        try:
            wait_until(lambda: gate._inside == 3 and len(working) >= 2)
            time.sleep(0.02)
            assert len(working) == 2  # the third waits for its turn
            assert_is_refused(gate)
        finally:
            release.set()
        for done in visits:
            done.result(20)
    assert len(working) == 3
    with gate.turn():  # all have left
        pass


def test_a_turn_that_fails_is_given_back():
    gate = Gate(active=1, waiting=0)
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), gate.turn():
            raise ValueError("inside")


def test_a_closed_gate_waits_for_those_inside(wait_until):
    gate, release = Gate(active=1, waiting=1), threading.Event()

    def visit() -> None:
        with gate.turn():
            release.wait(20)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(visit)
        try:
            wait_until(lambda: gate._inside == 1)
            assert not gate.drain(0.01)  # not out yet
            assert_is_refused(gate)
        finally:
            release.set()
        assert gate.drain(20)
