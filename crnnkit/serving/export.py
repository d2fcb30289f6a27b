"""From a checkpoint to one ONNX file that reads the same, or to no file at all."""

import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from crnnkit.errors import CheckpointError
from crnnkit.model.checkpoint import Checkpoint, load_checkpoint
from crnnkit.model.config import METADATA_KEY
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.serving.recognizer import Recognizer

PARITY_BATCHES = (1, 3, 8)
PARITY_WIDTHS = (64, 320, 640, 1280)
# Both sides compute in float32; what is left are orders of summation.
MAX_LOGIT_DIFFERENCE = 1e-3
OPSET = 17


@dataclass(frozen=True)
class ExportReport:
    """Proof that the exported file reads as its checkpoint does, and how fast."""

    onnx_path: Path
    max_logit_difference: float
    """Over random pictures of all parity batches and widths."""
    num_lines: int
    """Real lines of which both read the same text."""
    torch_ms: float | None
    """Median milliseconds of one line alone; None without lines."""
    onnx_ms: float | None


def export_onnx(
    checkpoint_path: str | Path,
    onnx_path: str | Path,
    parity_images: Sequence[ImageSource] = (),
    num_threads: int | None = None,
) -> ExportReport:
    """Export a checkpoint with dynamic batch and width, and its description inside.

    The file takes its name only after torch and onnxruntime agreed: on the logits of random
    pictures, and on the text of every picture given.

    Args:
        parity_images: line pictures, best the validation set's.
        num_threads: of both readers when they are timed; None = every core.

    Raises:
        CheckpointError: if the checkpoint cannot be read or the two disagree.
    """
    onnx_path = Path(onnx_path)
    checkpoint = load_checkpoint(checkpoint_path)
    onnx_path.parent.mkdir(parents=True, exist_ok=True)
    partial = onnx_path.with_name(f".{onnx_path.stem}.partial.onnx")
    try:
        _write(checkpoint, partial)
        report = _check_parity(
            Recognizer.load(checkpoint_path, num_threads),
            Recognizer.load(partial, num_threads),
            [read_image(source) for source in parity_images],
            onnx_path,
        )
        os.replace(partial, onnx_path)
    finally:
        partial.unlink(missing_ok=True)
    return report


def _write(checkpoint: Checkpoint, path: Path) -> None:
    """Trace the network and add the description to the file's metadata."""
    # two lines of an odd width: sizes that equal nothing else cannot be taken for constants
    example = torch.zeros(2, 1, checkpoint.info.line.height, 96)
    with warnings.catch_warnings():
        # the newer exporter takes minutes where this one takes seconds (benchmarks/LOG.md)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size")
        # the LSTM compares sizes while it is traced
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        torch.onnx.export(
            checkpoint.model,
            (example,),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "B", 3: "W"}, "logits": {0: "B", 1: "T"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: checkpoint.info.to_json()})
    onnx.save(model, path)


def _check_parity(
    wanted: Recognizer, exported: Recognizer, images: Sequence[NDArray[np.uint8]], onnx_path: Path
) -> ExportReport:
    """Compare the two on random pictures and on real lines; time them on the latter."""
    difference = _max_logit_difference(wanted, exported)
    if difference > MAX_LOGIT_DIFFERENCE:
        raise CheckpointError(
            f"{onnx_path}: not written: its logits differ from the checkpoint's by up to "
            f"{difference:.2g}, more than {MAX_LOGIT_DIFFERENCE:g}."
        )
    wanted_texts, torch_ms = _timed_texts(wanted, images)
    texts, onnx_ms = _timed_texts(exported, images)
    differing = [
        f"{number}: {ours!r} became {theirs!r}"
        for number, (ours, theirs) in enumerate(zip(wanted_texts, texts, strict=True), 1)
        if ours != theirs
    ]
    if differing:
        raise CheckpointError(
            f"{onnx_path}: not written: {len(differing)} of {len(images)} lines read otherwise "
            f"than by the checkpoint: {'; '.join(differing[:10])}"
        )
    return ExportReport(onnx_path, difference, len(images), torch_ms, onnx_ms)


def _max_logit_difference(wanted: Recognizer, exported: Recognizer) -> float:
    rng = np.random.default_rng(0)
    height = wanted.line_config.height
    worst = 0.0
    for batch in PARITY_BATCHES:
        for width in PARITY_WIDTHS:
            images = rng.uniform(-1, 1, (batch, 1, height, width)).astype(np.float32)
            worst = max(worst, float(np.abs(wanted.logits(images) - exported.logits(images)).max()))
    return worst


def _timed_texts(
    recognizer: Recognizer, images: Sequence[NDArray[np.uint8]]
) -> tuple[list[str], float | None]:
    """Read lines one by one; texts and median milliseconds a line, the first one not counted."""
    texts, milliseconds = [], []
    for image in images[:1] and [images[0], *images]:
        began = time.perf_counter()
        texts.append(recognizer.read_line(image).text)
        milliseconds.append(1e3 * (time.perf_counter() - began))
    return texts[1:], median(milliseconds[1:]) if images else None
