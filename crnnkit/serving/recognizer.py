"""Read text lines and pages with a trained model; torch is needed for .safetensors alone."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from crnnkit.errors import CheckpointError, ConfigError, VocabError
from crnnkit.model.config import METADATA_KEY, CheckpointInfo
from crnnkit.model.constraints import Constraint
from crnnkit.model.decode import Decoded, at_temperature, beam_decode, greedy_decode
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.preprocessing.lines import crop_line, find_lines
from crnnkit.preprocessing.tensors import (
    FloatLine,
    UInt8Image,
    half_turn,
    line_to_array,
    line_width,
)

# What onnxruntime raises on files that are cut off, altered or of another kind.
_ONNX_ERRORS = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
    ValueError,  # names that are no UTF-8, inputs that are missing
)


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


class Network(Protocol):
    """A network made ready to run, whatever runs it."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 1, H, W) → logits (B, T, V)."""


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
            num_threads: threads for one batch. None takes every core this process may use,
                and leaves torch as it is: torch has one number for the whole process.

        Raises:
            CheckpointError: if the file is missing, damaged, or no model of crnnkit.
        """
        path = Path(path)
        if num_threads is not None and num_threads < 1:
            raise ConfigError(f"num_threads is {num_threads}; it must be at least 1.")
        if path.suffix == ".onnx":
            return cls(*_load_onnx(path, num_threads or _usable_cores()), name=path.name)
        if path.suffix == ".safetensors":
            return cls(*_load_torch(path, num_threads), name=path.name)
        if path.suffix in (".pth", ".pt", ".ckpt", ".bin"):
            remedy = "It would have to be unpickled, which runs code. Give .safetensors or .onnx."
        else:
            remedy = "Give an .onnx file or a .safetensors checkpoint."
        raise CheckpointError(f"{path}: {path.suffix!r} is no model format read here. {remedy}")

    def read_line(self, source: ImageSource, constraint: Constraint | None = None) -> LineReading:
        """Read a picture of one line; see `read_lines`."""
        return self.read_lines([source], constraint=constraint)[0]

    def read_lines(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        constraint: Constraint | None = None,
    ) -> list[LineReading]:
        """Read pictures of one line each, in the order given.

        Only lines of equal padded width share a batch, so a reading never depends on the
        others. At most `batch_size` lines of each width are held at a time.

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
        buckets: dict[int, list[_Waiting]] = defaultdict(list)
        readings: dict[int, LineReading] = {}
        for index, source in enumerate(sources):
            image = read_image(source)
            line = line_to_array(image, self.line_config)
            bucket = buckets[line.shape[2]]
            bucket.append(_Waiting(index, image, line))
            if len(bucket) == batch_size:
                readings |= self._read_bucket(bucket, constraint)
                bucket.clear()
        for bucket in buckets.values():
            readings |= self._read_bucket(bucket, constraint)
        return [readings[index] for index in range(len(readings))]

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
        if not bucket:
            return {}
        logits = self.logits(np.stack([waiting.line for waiting in bucket]))
        return {
            waiting.index: self._reading(line_logits, waiting.image, constraint)
            for waiting, line_logits in zip(bucket, logits, strict=True)
        }

    def _reading(
        self, logits: NDArray[np.float32], image: UInt8Image, constraint: Constraint | None
    ) -> LineReading:
        """What a line says; if that is unsure, what it says turned by 180°, if that is surer."""
        decoded, turned = _decode(logits, constraint), False
        if decoded.confidence < self.line_config.turn_below:
            line = line_to_array(half_turn(image), self.line_config)
            other_logits = self.logits(line[np.newaxis])[0]
            other = _decode(other_logits, constraint)
            if other.confidence > decoded.confidence:
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


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load_onnx(path: Path, num_threads: int) -> tuple[Network, CheckpointInfo]:
    session, description = _open_onnx(path, num_threads)
    if description is None:
        raise CheckpointError(
            f"{path}: an ONNX file, but not one of crnnkit: its metadata lacks {METADATA_KEY!r}, "
            "so its vocabulary is unknown. Export it with crnnkit export."
        )
    info = CheckpointInfo.from_json(description, str(path))

    def network(images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(["logits"], {"images": images})[0]
        return logits

    _try_onnx(path, network, info)
    return network, info


def _open_onnx(path: Path, num_threads: int) -> tuple[onnxruntime.InferenceSession, str | None]:
    """The network and its description, if it has one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Both keep memory for the widest batch ever seen; every new width would add to it.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # what goes wrong is raised, and need not be printed too
    try:
        # Read whole, so that a file replaced meanwhile is never half old and half new.
        content = path.read_bytes()
        session = onnxruntime.InferenceSession(
            content, options, ["CPUExecutionProvider"], enable_fallback=False
        )
        return session, session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such model. Export one with 06_serving or crnnkit export."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}. Check path and rights.") from None
    except _ONNX_ERRORS as error:
        raise CheckpointError(
            f"{path}: no readable ONNX file ({error}). It is damaged or of another format: "
            "copy or export it again."
        ) from None


def _try_onnx(path: Path, network: Network, info: CheckpointInfo) -> None:
    """Run a blank line through the network: does it do what its description tells?"""
    height = info.line.height
    width = line_width((height, 1), info.line)
    try:
        expected = (1, info.model.time_steps(width), len(info.vocab))
        found = network(np.zeros((1, 1, height, width), np.float32)).shape
    except VocabError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except _ONNX_ERRORS as error:
        raise CheckpointError(
            f"{path}: fails on a line of {height} x {width} pixels, which its description tells "
            f"it to take: {error}. Export it again with crnnkit export."
        ) from None
    if found != expected:
        raise CheckpointError(
            f"{path}: its output has the shape {found}, its description tells {expected} "
            "(B, T, vocabulary size with blank). Export it again with crnnkit export."
        )


def _load_torch(path: Path, num_threads: int | None) -> tuple[Network, CheckpointInfo]:
    try:
        import torch

        from crnnkit.model.checkpoint import load_checkpoint
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path}: reading a checkpoint needs {error.name}, which is not installed. "
            "Install crnnkit[workbook], or give the .onnx file exported from it."
        ) from None
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    checkpoint = load_checkpoint(path)

    def network(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = checkpoint.model(torch.from_numpy(images)).numpy()
        return logits

    return network, checkpoint.info
