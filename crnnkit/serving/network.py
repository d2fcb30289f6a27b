"""Networks made ready to run, from either kind of model file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from crnnkit.errors import CheckpointError, ConfigError, VocabError
from crnnkit.model.config import METADATA_KEY, CheckpointInfo
from crnnkit.preprocessing.tensors import line_width
from crnnkit.serving.threads import usable_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from crnnkit.model.checkpoint import Checkpoint

MAX_COLUMNS = 2048
"""Pixel columns that a batch holds, unless its only line is wider. More are read no faster; and the
scores of 7,000 characters, 14 MiB for so many, come anew from the system, cleared, from 32 MiB on.
"""


class Network(Protocol):
    """A network made ready to run, whatever runs it."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 1, H, W) → logits (B, T, V)."""


def most_lines(width: int) -> int:
    """How many lines of a width, pixels, are read at once."""
    return max(1, MAX_COLUMNS // width)


def load_network(path: Path, num_threads: int | None) -> tuple[Network, CheckpointInfo]:
    """Load an .onnx file or a .safetensors checkpoint; see `Recognizer.load`."""
    if num_threads is not None and num_threads < 1:
        raise ConfigError(f"num_threads is {num_threads}; it must be at least 1.")
    if path.suffix == ".onnx":
        return _load_onnx(path, num_threads or usable_cores())
    if path.suffix == ".safetensors":
        return _load_torch(path, num_threads)
    if path.suffix in (".pth", ".pt", ".ckpt", ".bin"):
        remedy = "It would have to be unpickled, which runs code. Give .safetensors or .onnx."
    else:
        remedy = "Give an .onnx file or a .safetensors checkpoint."
    raise CheckpointError(f"{path}: {path.suffix!r} is no model format read here. {remedy}")


def _load_onnx(path: Path, num_threads: int) -> tuple[Network, CheckpointInfo]:
    return onnx_network(file_content(path), path, num_threads)


def file_content(path: Path) -> bytes:
    """Content of a model file: whole, so that one replaced meanwhile is never half old, half new.

    Raises:
        CheckpointError: if it cannot be read.
    """
    with readable(path):
        return path.read_bytes()


def onnx_network(content: bytes, path: Path, num_threads: int) -> tuple[Network, CheckpointInfo]:
    """The network in the content of an ONNX file; `path` is named where it is faulty.

    Raises:
        CheckpointError: if it is damaged or no model of crnnkit.
    """
    session, description = _open_onnx(content, path, num_threads)
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


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Says what is wrong with a model's path where its file cannot be read.

    Raises:
        CheckpointError: in place of the system's error.
    """
    try:
        yield
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such model. Export one with 06_serving or crnnkit export, or take the one "
            "that comes with crnnkit: checkpoints/base.onnx."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}. Check path and rights.") from None


def _open_onnx(
    content: bytes, path: Path, num_threads: int
) -> tuple["InferenceSession", str | None]:
    """The network and its description, if it has one."""
    # here, as a service whose processes read needs none of its 30 MB itself
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Both keep memory for the widest batch ever seen; every new width would add to it.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # what goes wrong is raised, and need not be printed too
    try:
        session = onnxruntime.InferenceSession(
            content, options, ["CPUExecutionProvider"], enable_fallback=False
        )
        # Kept by onnxruntime to start over elsewhere, which it is told not to.
        session._model_bytes = None
        return session, session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except _onnx_errors() as error:
        raise CheckpointError(
            f"{path}: no readable ONNX file ({error}). It is damaged or of another format: "
            "copy or export it again."
        ) from None


def _onnx_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises on files that are cut off, altered or of another kind."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    return (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
        ValueError,  # names that are no UTF-8, inputs that are missing
    )


def _try_onnx(path: Path, network: Network, info: CheckpointInfo) -> None:
    """Run a blank line through the network: does it do what its description tells?"""
    height = info.line.height
    width = line_width((height, 1), info.line)
    try:
        expected = (1, info.model.time_steps(width), len(info.vocab))
        found = network(np.zeros((1, 1, height, width), np.float32)).shape
    except VocabError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except _onnx_errors() as error:
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
    return torch_network(checkpoint), checkpoint.info


def torch_network(checkpoint: "Checkpoint") -> Network:
    """A checkpoint's network, run by torch."""
    import torch

    def network(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = checkpoint.model(torch.from_numpy(images)).numpy()
        return logits

    return network
