"""How requests that come together share one network: who may come in, and whose lines run along."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from queue import SimpleQueue
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from crnnkit.serving.network import Network, most_lines


class BusyError(Exception):
    """As many requests as may be are at work or waiting, or no more are let in."""


class Gate:
    """Lets `active` requests work at once and `waiting` more wait, and refuses all others."""

    def __init__(self, active: int, waiting: int) -> None:
        self.is_closed = False
        """Whether nobody is let in any more; those inside finish."""
        self._capacity = active + waiting
        self._inside = 0
        self._left = threading.Condition()
        self._turns = threading.Semaphore(active)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and hold it.

        Raises:
            BusyError: at once, if there is no room to wait or the gate is closed.
        """
        with self._left:
            if self.is_closed or self._inside >= self._capacity:
                raise BusyError
            self._inside += 1
        try:
            with self._turns:
                yield
        finally:
            with self._left:
                self._inside -= 1
                self._left.notify_all()

    def drain(self, seconds: float) -> bool:
        """Let nobody in any more, and wait until all are out; False if `seconds` were too few."""
        with self._left:
            self.is_closed = True
            return self._left.wait_for(lambda: self._inside == 0, seconds)


Asked = TypeVar("Asked")
Found = TypeVar("Found")


@dataclass(eq=False)
class _Call(Generic[Asked, Found]):
    """A call that waits for its answer."""

    asked: Asked
    found: Found | None = None
    woken: SimpleQueue[None] = field(default_factory=SimpleQueue)
    """Told once there is an answer, or once the call may begin a run. An Event would wake the
    thread that waits and have it wait again, for the lock that the other thread still holds."""


class Sharing(ABC, Generic[Asked, Found]):
    """Answers calls that threads make at will; calls that wait together share a run.

    Some runs go on at once. While they do, calls pile up; the oldest takes along all that fit, so
    no time is spent waiting for company. If a run fails, each of its calls tries again on its own
    account, and gets its own error.
    """

    def __init__(self, parallel: int = 1) -> None:
        self.parallel = parallel
        """The most runs that go on at once; may be changed at any time."""
        self._lock = threading.Lock()
        self._waiting: list[_Call[Asked, Found]] = []
        self._running = 0

    @abstractmethod
    def _fits(self, asked: Sequence[Asked], other: Asked) -> bool:
        """Whether one more may join these."""

    @abstractmethod
    def _run(self, asked: Sequence[Asked]) -> Sequence[Found]:
        """Answer them all."""

    def answer(self, asked: Asked) -> Found:
        """The answer, once it is its turn."""
        call = _Call[Asked, Found](asked)
        with self._lock:
            has_turn = self._running < self.parallel
            if has_turn:
                self._running += 1
            else:
                self._waiting.append(call)
        if not has_turn:
            call.woken.get()
            if call.found is not None:
                return call.found
        with self._lock:
            calls = self._take_along(call)
        try:
            return self._run_or_alone(calls)
        finally:
            self._hand_on(calls)

    def _hand_on(self, calls: list[_Call[Asked, Found]]) -> None:
        """Wake the calls that are answered, and let the oldest of the others have the turn."""
        with self._lock:
            others = calls[1:]
            self._waiting[:0] = [call for call in others if call.found is None]
            woken = [call for call in others if call.found is not None]
            if self._waiting:
                woken.append(self._waiting.pop(0))
            else:
                self._running -= 1
        for call in woken:
            call.woken.put(None)

    def _take_along(self, first: _Call[Asked, Found]) -> list[_Call[Asked, Found]]:
        """The call and those still waiting that fit, oldest first."""
        calls, asked = [first], [first.asked]
        for call in self._waiting:
            if self._fits(asked, call.asked):
                calls.append(call)
                asked.append(call.asked)
        self._waiting = [call for call in self._waiting if call not in calls]
        return calls

    def _run_or_alone(self, calls: list[_Call[Asked, Found]]) -> Found:
        """The first call's answer; if the run fails, nobody knows yet whose fault it was."""
        if len(calls) > 1:
            with suppress(Exception):
                for call, found in zip(
                    calls, self._run([call.asked for call in calls]), strict=True
                ):
                    call.found = found
        if calls[0].found is None:
            (calls[0].found,) = self._run([calls[0].asked])
        return calls[0].found


class BatchedNetwork(Sharing[NDArray[np.float32], NDArray[np.float32]]):
    """A network whose callers share batches.

    Only equal widths share, as everywhere. A call that is alone is spread over the batches that
    may run at once.
    """

    def __init__(
        self,
        network: Network,
        parallel: int = 1,
        on_batch: Callable[[int], None] = lambda lines: None,
    ) -> None:
        """Wrap `network`.

        Args:
            parallel: the most batches that run at once.
            on_batch: is told the number of lines of every batch.
        """
        super().__init__(parallel)
        self._network = network
        self._on_batch = on_batch
        self._helpers = ThreadPoolExecutor(parallel, "batch")

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, H, W) → logits (B, T, V)."""
        num_parts = min(len(images), self.parallel - self._running)
        if num_parts < 2:
            return self.answer(images)
        mine, *others = np.array_split(images, num_parts)
        answers = [self._helpers.submit(self.answer, other) for other in others]
        return np.concatenate([self.answer(mine), *(answer.result() for answer in answers)])

    def _fits(self, asked: Sequence[NDArray[np.float32]], other: NDArray[np.float32]) -> bool:
        is_alike = other.shape[1:] == asked[0].shape[1:]
        return is_alike and sum(map(len, asked)) + len(other) <= most_lines(other.shape[3])

    def _run(self, asked: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.float32]]:
        images = np.concatenate(asked)
        logits = self._network(images)
        self._on_batch(len(images))
        ends = list(accumulate(map(len, asked)))
        return [logits[end - len(each) : end] for each, end in zip(asked, ends, strict=True)]
