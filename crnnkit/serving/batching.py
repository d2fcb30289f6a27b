"""How requests that come together share one network: who may come in, and whose lines run along."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue

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


@dataclass(eq=False)
class _Call:
    """Lines that wait for their logits."""

    images: NDArray[np.float32]
    logits: NDArray[np.float32] | None = None
    woken: SimpleQueue[None] = field(default_factory=SimpleQueue)
    """Told once there are logits, or once the call may run a batch. An Event would wake the thread
    that waits and have it wait again, for the lock that the other thread still holds."""


class BatchedNetwork:
    """A network that threads may call at will: calls that wait together share a batch.

    Some batches run at once. While they do, calls pile up; the oldest takes all of its own width
    along, so no time is spent waiting for company. Only equal widths share, as everywhere. A call
    that is alone is spread over the batches that may run at once. If a batch fails, each of its
    calls tries again on its own account, and gets its own error.
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
        self._network = network
        self._parallel = parallel
        self._on_batch = on_batch
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._running = 0
        self._helpers = ThreadPoolExecutor(parallel, "batch")

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, H, W) → logits (B, T, V)."""
        num_parts = min(len(images), self._parallel - self._running)
        if num_parts < 2:
            return self._answer(images)
        mine, *others = np.array_split(images, num_parts)
        answers = [self._helpers.submit(self._answer, other) for other in others]
        return np.concatenate([self._answer(mine), *(answer.result() for answer in answers)])

    def _answer(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits, once it is the lines' turn."""
        call = _Call(images)
        with self._lock:
            has_turn = self._running < self._parallel
            if has_turn:
                self._running += 1
            else:
                self._waiting.append(call)
        if not has_turn:
            call.woken.get()
            if call.logits is not None:
                return call.logits
        with self._lock:
            batch = self._take_along(call)
        try:
            return self._run_or_alone(batch)
        finally:
            self._hand_on(batch)

    def _hand_on(self, batch: list[_Call]) -> None:
        """Wake the calls that have logits, and let the oldest of the others have the turn."""
        with self._lock:
            others = batch[1:]
            self._waiting[:0] = [call for call in others if call.logits is None]
            woken = [call for call in others if call.logits is not None]
            if self._waiting:
                woken.append(self._waiting.pop(0))
            else:
                self._running -= 1
        for call in woken:
            call.woken.put(None)

    def _take_along(self, first: _Call) -> list[_Call]:
        """The call and those still waiting of its width, oldest first, as many as fit."""
        batch, lines, most = [first], len(first.images), most_lines(first.images.shape[3])
        for call in self._waiting:
            is_alike = call.images.shape[1:] == first.images.shape[1:]
            if is_alike and lines + len(call.images) <= most:
                batch.append(call)
                lines += len(call.images)
        self._waiting = [call for call in self._waiting if call not in batch]
        return batch

    def _run_or_alone(self, batch: list[_Call]) -> NDArray[np.float32]:
        """The first call's logits; if the batch fails, nobody knows yet whose fault it was."""
        if len(batch) > 1:
            with suppress(Exception):
                return self._run(batch)
        return self._run(batch[:1])

    def _run(self, batch: list[_Call]) -> NDArray[np.float32]:
        """Answer every call of the batch; return the first one's logits."""
        images = np.concatenate([call.images for call in batch])
        logits = self._network(images)
        self._on_batch(len(images))
        end = 0
        for call in batch:
            begin, end = end, end + len(call.images)
            call.logits = logits[begin:end]
        return logits[: len(batch[0].images)]
