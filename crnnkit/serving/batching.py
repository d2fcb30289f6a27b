"""How requests that come together share one network: who may come in, and whose lines run along."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

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


class BatchedNetwork:
    """A network that threads may call at will: calls that wait together share a batch.

    While one batch runs, calls pile up; the first to wake takes all of its own width along, so
    no time is spent waiting for company. Only equal widths share, as everywhere. If a batch
    fails, each of its calls tries again on its own account, and gets its own error.
    """

    def __init__(
        self, network: Network, on_batch: Callable[[int], None] = lambda lines: None
    ) -> None:
        """Wrap `network`; `on_batch` is told the number of lines of every batch."""
        self._network = network
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._is_running = False

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, H, W) → logits (B, T, V)."""
        call = _Call(images)
        with self._changed:
            self._waiting.append(call)
            self._changed.wait_for(lambda: call.logits is not None or not self._is_running)
            if call.logits is not None:
                return call.logits
            self._is_running = True
            batch = self._take_along(call)
        try:
            return self._run_or_alone(batch)
        finally:
            with self._changed:
                self._is_running = False
                self._changed.notify_all()

    def _take_along(self, first: _Call) -> list[_Call]:
        """The call and those waiting of its width, oldest first, as many as fit."""
        batch, lines, most = [first], len(first.images), most_lines(first.images.shape[3])
        for call in self._waiting:
            is_alike = call is not first and call.images.shape[1:] == first.images.shape[1:]
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
        ends = np.cumsum([len(call.images) for call in batch])
        for call, part in zip(batch, np.split(logits, ends[:-1]), strict=True):
            call.logits = part
        return logits[: ends[0]]
