"""Read text lines and pages with a trained model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crnnkit.errors import ConfigError
from crnnkit.model.config import CheckpointInfo
from crnnkit.model.constraints import Constraint
from crnnkit.model.decode import Decoded, at_temperature, beam_decode, greedy_decode
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.preprocessing.lines import crop_line, find_lines
from crnnkit.preprocessing.tensors import (
    FloatLine,
    UInt8Image,
    half_turn,
    line_to_array,
)
from crnnkit.serving.network import Network, load_network

LOOK_AHEAD = 256
"""Lines taken from a stream before the oldest of them must have been read."""


@dataclass(frozen=True)
class LineReading:
    """What a line picture says; confidences are defined in `model.decode`."""

    text: str
    confidence: float
    char_confidences: tuple[float, ...]
    """One per character of `text`."""
    spans: tuple[tuple[int, int], ...]
    """Time steps of each character, half-open [start, end)."""
    turned: bool = False
    """Whether the picture was read upside down; the spans then belong to it turned by 180°."""


@dataclass(frozen=True)
class PageLine:
    """One line of a page and its place."""

    text: str
    confidence: float
    box: NDArray[np.float32]
    """(4, 2) corners x, y in pixels of the upright page, clockwise from the text's top left."""


@dataclass(frozen=True)
class _Waiting:
    """A line until its batch is read."""

    index: int
    image: UInt8Image
    line: FloatLine


class Recognizer:
    """A trained model that reads pictures. Threads may share one."""

    def __init__(self, network: Network, info: CheckpointInfo, name: str) -> None:
        self.name = name
        self.vocab = info.vocab
        self.line_config = info.line
        self.model_config = info.model
        self.temperature = info.temperature
        self.logits = network

    @classmethod
    def load(cls, path: str | Path, num_threads: int | None = None) -> "Recognizer":
        """Load an .onnx file (onnxruntime) or a .safetensors checkpoint (torch, on the CPU).

        Args:
            path: the model file.
            num_threads: threads for one batch. None takes every core this process may use (a
                container's quota counts), and leaves torch as it is: torch has one number for
                the whole process.

        Raises:
            CheckpointError: if the file is missing, damaged, or no model of crnnkit.
        """
        path = Path(path)
        return cls(*load_network(path, num_threads), name=path.name)

    def read_line(self, source: ImageSource, constraint: Constraint | None = None) -> LineReading:
        """Read a picture of one line; see `read_lines`."""
        return self.read_lines([source], constraint=constraint)[0]

    def read_lines(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        constraint: Constraint | None = None,
    ) -> list[LineReading]:
        """Read pictures of one line each, in the order given; see `stream_lines`."""
        return list(self.stream_lines(sources, batch_size, constraint))

    def stream_lines(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        constraint: Constraint | None = None,
    ) -> Iterator[LineReading]:
        """Read pictures of one line each while they come, and give the readings in their order.

        Only lines of equal padded width share a batch, so a reading never depends on the
        others. A line waits for at most `batch_size` lines of its width and for at most
        `LOOK_AHEAD` lines in all, so the sources need not end.

        Args:
            constraint: which texts may come out. A line too short for any of them reads as
                nothing, with confidence 0.

        Raises:
            ImageError: if a picture cannot be read; none is left out.
            ConfigError: if the constraint was made for another vocabulary.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
        if constraint and constraint.vocab != self.vocab:
            raise ConfigError(
                f"constraint: made for another vocabulary than that of {self.name}. "
                "Make it with recognizer.vocab."
            )
        return self._in_order(sources, batch_size, constraint)

    def _in_order(
        self, sources: Iterable[ImageSource], batch_size: int, constraint: Constraint | None
    ) -> Iterator[LineReading]:
        buckets: dict[int, list[_Waiting]] = defaultdict(list)  # the oldest line's stands first
        readings: dict[int, LineReading] = {}
        given = 0
        for index, source in enumerate(sources):
            image = read_image(source)
            line = line_to_array(image, self.line_config)
            width = line.shape[2]
            buckets[width].append(_Waiting(index, image, line))
            if len(buckets[width]) == batch_size:
                readings |= self._read_bucket(buckets.pop(width), constraint)
            if index - given == LOOK_AHEAD and given not in readings:
                readings |= self._read_bucket(buckets.pop(next(iter(buckets))), constraint)
            while given in readings:
                yield readings.pop(given)
                given += 1
        for bucket in buckets.values():
            readings |= self._read_bucket(bucket, constraint)
        yield from (readings[index] for index in sorted(readings))

    def read_page(
        self, source: ImageSource, constraint: Constraint | None = None
    ) -> list[PageLine]:
        """Find the lines of a page and read them, in reading order; see `read_lines`."""
        page = read_image(source)
        quads = find_lines(page)
        crops = (crop_line(page, quad) for quad in quads)
        readings = self.read_lines(crops, constraint=constraint)
        return [
            PageLine(reading.text, reading.confidence, quad)
            for reading, quad in zip(readings, quads, strict=True)
        ]

    def _read_bucket(
        self, bucket: Sequence["_Waiting"], constraint: Constraint | None
    ) -> dict[int, LineReading]:
        logits = self.logits(np.stack([waiting.line for waiting in bucket]))
        return {
            waiting.index: self._reading(line_logits, waiting.image, constraint)
            for waiting, line_logits in zip(bucket, logits, strict=True)
        }

    def _reading(
        self, logits: NDArray[np.float32], image: UInt8Image, constraint: Constraint | None
    ) -> LineReading:
        """What a line says the way up in which it looks more upright; see `turn_below`."""
        decoded, turned = _decode(logits, constraint), False
        if decoded.uprightness < self.line_config.turn_below:
            # no batch mate may change a reading, so the turned line goes alone
            line = line_to_array(half_turn(image), self.line_config)
            other_logits = self.logits(line[np.newaxis])[0]
            other = _decode(other_logits, constraint)
            if other.uprightness > decoded.uprightness:
                decoded, logits, turned = other, other_logits, True
        honest = at_temperature(decoded, logits, self.temperature)
        return LineReading(
            text=self.vocab.decode(honest.ids),
            confidence=honest.confidence,
            char_confidences=honest.char_confidences,
            spans=honest.spans,
            turned=turned,
        )


def _decode(logits: NDArray[np.float32], constraint: Constraint | None) -> Decoded:
    if constraint is None:
        return greedy_decode(logits)
    return beam_decode(logits, constraint.automaton)
