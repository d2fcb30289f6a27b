"""Read text lines and pages with a trained model."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crnnkit.errors import ConfigError
from crnnkit.model.config import CheckpointInfo
from crnnkit.model.constraints import Constraint
from crnnkit.model.decode import (
    Decoded,
    at_temperature,
    decode_line,
    greedy_decode,
    may_be_upside_down,
)
from crnnkit.model.language import CharModel
from crnnkit.model.long_lines import chunk_starts, merged, segments
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.preprocessing.quads import char_edges
from crnnkit.preprocessing.tensors import (
    FloatLine,
    LineConfig,
    UInt8Image,
    content_width,
    half_turn,
    line_to_array,
    line_width,
)
from crnnkit.serving.network import Network, load_network, most_lines
from crnnkit.serving.pages import read_pages
from crnnkit.serving.readings import LineReading, PageLine

LOOK_AHEAD = 256
"""Lines taken from a stream before the oldest of them must have been read."""
OVERLAP = 8
"""How far chunks of a long line overlap, in heights of the line: some eight hanzi."""
MAX_CHUNKS = 16
"""Lines so many times as wide as the network reads at once are squeezed to that."""


@dataclass(frozen=True)
class _Waiting:
    """A line until its batch is read."""

    index: int
    image: UInt8Image
    line: FloatLine


class _Found(NamedTuple):
    """A line's reading: as training decided which way up lines stand, and as it is worth."""

    raw: Decoded
    honest: Decoded
    """At the model's temperature."""


class Recognizer:
    """A trained model that reads pictures. Threads may share one.

    While the network of one thread runs, another one prepares or decodes a line. They take turns at
    that: Python's own lock is handed on at each call of numpy, a hundred times a line, which costs
    two threads a sixth of what two processes read (benchmarks/LOG.md).
    """

    def __init__(self, network: Network, info: CheckpointInfo, name: str) -> None:
        self.name = name
        self._turn = threading.Lock()
        self.vocab = info.vocab
        self.line_config = info.line
        self._whole_line = _without_squeezing(info.line)
        self.model_config = info.model
        self.temperature = info.temperature
        self.network, self._spelling = network, info.spelling
        self.language = CharModel(info.language, info.vocab) if info.language else None
        """Asked where the network is unsure; None = the network alone reads."""

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

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 1, H, W) → (B, T, V); what labels write otherwise counts for what they write."""
        logits = self.network(images)
        with self._turn:
            return self._spelling.merge(logits)

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
        others. A line waits for at most `batch_size` lines of its width, fewer of wide ones
        (`network.most_lines`), and for at most `LOOK_AHEAD` lines in all, so the sources need not
        end.

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
            with self._turn:
                line = line_to_array(image, self._whole_line)
            waiting, width = _Waiting(index, image, line), line.shape[2]
            if width > self.line_config.max_width:
                found = self._found_in(line, constraint)
                readings[index] = self._upright(found, waiting, constraint)
            else:
                buckets[width].append(waiting)
            if width in buckets and len(buckets[width]) == min(batch_size, most_lines(width)):
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
        """Find the lines of a page and read them; see `serving.pages.read_pages`."""
        return self.read_pages([source], constraint)[0]

    def read_pages(
        self, sources: Iterable[ImageSource], constraint: Constraint | None = None
    ) -> list[list[PageLine]]:
        """Read pages; lines of all of them share batches. See `serving.pages.read_pages`."""
        return read_pages(sources, lambda crops: self.read_lines(crops, constraint=constraint))

    def _read_bucket(
        self, bucket: Sequence["_Waiting"], constraint: Constraint | None
    ) -> dict[int, LineReading]:
        logits = self.logits(np.stack([waiting.line for waiting in bucket]))
        return {
            waiting.index: self._upright(self._found(line_logits, constraint), waiting, constraint)
            for waiting, line_logits in zip(bucket, logits, strict=True)
        }

    def _upright(
        self, found: "_Found", waiting: "_Waiting", constraint: Constraint | None
    ) -> LineReading:
        """What a line says; or, if that speaks little for its standing upright, what it says
        turned by 180°, if that speaks more."""
        if may_be_upside_down(found.raw, waiting.line.shape[2], self.line_config):
            # no batch mate may change a reading, so the turned line goes alone
            line = line_to_array(half_turn(waiting.image), self._whole_line)
            other = self._found_in(line, constraint)
            if other.raw.uprightness > found.raw.uprightness:
                return self._reading(other.honest, waiting.image, constraint, turned=True)
        return self._reading(found.honest, waiting.image, constraint)

    def line_logits(self, image: UInt8Image) -> NDArray[np.float32]:
        """(T, V) of one line of any width, the way up it is given."""
        return np.concatenate(list(self._parts(line_to_array(image, self._whole_line))))

    def _found_in(self, line: FloatLine, constraint: Constraint | None) -> "_Found":
        """Read one line (1, H, W) of any width."""
        parts = self._parts(line)
        if constraint is not None or line.shape[2] <= self.line_config.max_width:
            return self._found(np.concatenate(list(parts)), constraint)
        # language knows how lines begin, not how chunks do
        found = [(self._at_temperature(greedy_decode(part), part), len(part)) for part in parts]
        raw = merged((each.raw, length) for each, length in found)
        return _Found(raw, merged((each.honest, length) for each, length in found))

    def _parts(self, line: FloatLine) -> Iterator[NDArray[np.floating]]:
        """Logits (T, V) of a line (1, H, W), piece by piece where it is read in chunks."""
        chunk, width = self.line_config.max_width, line.shape[2]
        if width <= chunk:
            return self._chunk_logits([line])
        starts = chunk_starts(width, chunk, OVERLAP * self.line_config.height)
        time_steps = self.model_config.time_steps
        return segments(
            self._chunk_logits(line[..., x : x + chunk] for x in starts),
            [time_steps(x + chunk) - time_steps(chunk) for x in starts],
        )

    def _chunk_logits(self, chunks: Iterable[FloatLine]) -> Iterator[NDArray[np.float32]]:
        """Logits (T, V) of each chunk (1, H, W), one after the other.

        A chunk that looks like the one before is not read again: where a header was altered, a
        small file is a line of 30,000 px, empty but for its beginning.
        """
        before: FloatLine | None = None
        for chunk in chunks:
            if before is None or not np.array_equal(chunk, before):
                logits = self.logits(chunk[np.newaxis])[0]
            before = chunk
            yield logits

    def _found(self, logits: NDArray[np.float32], constraint: Constraint | None) -> "_Found":
        language = self.language
        if constraint is not None:  # may take long: nobody waits for that
            return self._at_temperature(constraint.decode(logits, language), logits)
        with self._turn:
            return self._at_temperature(decode_line(logits, language), logits)

    def _at_temperature(self, raw: Decoded, logits: NDArray[np.float32]) -> "_Found":
        return _Found(raw, at_temperature(raw, logits, self.temperature))

    def _reading(
        self,
        decoded: Decoded,
        image: UInt8Image,
        constraint: Constraint | None,
        turned: bool = False,
    ) -> LineReading:
        size_hw, config = image.shape[:2], self._whole_line
        text, check = self.vocab.decode(decoded.ids), constraint.check if constraint else None
        num_steps = self.model_config.time_steps(line_width(size_hw, config))
        share = content_width(size_hw, config) / line_width(size_hw, config)
        return LineReading(
            text=text,
            confidence=decoded.confidence,
            char_confidences=decoded.char_confidences,
            spans=decoded.spans,
            edges=char_edges(decoded.spans, num_steps * share),
            turned=turned,
            passes_check=check(text) if check else None,
        )


def _without_squeezing(config: LineConfig) -> LineConfig:
    """The same for lines of any width; imported networks are squeezed as they were in training."""
    if config.convention != "crnnkit":
        return config
    return replace(config, max_width=MAX_CHUNKS * config.max_width)
