"""Convolutions in 8 bits, where they read as well and are really faster."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from crnnkit.dataset.index import Line
from crnnkit.errors import DatasetError
from crnnkit.files import whole_file
from crnnkit.metrics import score
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.preprocessing.tensors import LineConfig, line_to_array
from crnnkit.serving.compare import read_in_turn
from crnnkit.serving.recognizer import Recognizer

MAX_CER_RISE = 0.003
MIN_SPEEDUP = 1.1
"""Times as fast that int8 must be to be worth its losses."""
NUM_CALIBRATION_LINES = 100
QUANTIZED = ("Conv", "Add", "Relu", "MaxPool")


@dataclass(frozen=True)
class QuantizeReport:
    """What int8 convolutions cost and gain on labelled lines."""

    onnx_path: Path
    cer_before: float
    cer_after: float
    ms_before: float
    """Median milliseconds of one line alone."""
    ms_after: float
    bytes_before: int
    bytes_after: int

    @property
    def refusal(self) -> str:
        """Why the file was left in float32; empty where it is int8 now."""
        rise = self.cer_after - self.cer_before
        reasons = []
        if rise > MAX_CER_RISE:
            reasons.append(
                f"the CER rises by {100 * rise:.2f} points, more than {100 * MAX_CER_RISE:.1f}"
            )
        if self.ms_before < MIN_SPEEDUP * self.ms_after:
            reasons.append(
                f"a line takes {self.ms_after:.2f} ms instead of {self.ms_before:.2f}, "
                f"not {MIN_SPEEDUP:g} times as fast"
            )
        return " and ".join(reasons)

    def __str__(self) -> str:
        """What became of the file, with the figures."""
        figures = (
            f"CER {self.cer_before:.2%} → {self.cer_after:.2%}, "
            f"{self.ms_before:.2f} → {self.ms_after:.2f} ms a line, "
            f"{self.bytes_before / 1e6:.1f} → {self.bytes_after / 1e6:.1f} MB"
        )
        if self.refusal:
            return f"{self.onnx_path} stays in float32, because {self.refusal} ({figures})"
        return f"{self.onnx_path} now has int8 convolutions ({figures})"


def quantize_onnx(
    onnx_path: str | Path,
    calibration: Sequence[ImageSource],
    lines: Sequence[Line],
    num_threads: int | None = None,
) -> QuantizeReport:
    """Replace an exported file by one with int8 convolutions, if that is better here.

    Scales are static, measured on the calibration lines, so a reading still never depends on
    its batch mates. LSTM and head stay in float32: onnxruntime quantises them with scales of the
    whole batch. The file is replaced only if the CER rises by at most `MAX_CER_RISE` and a line
    takes less than 1/`MIN_SPEEDUP` of the time.

    Args:
        onnx_path: file written by `export_onnx`.
        calibration: line pictures, best the training set's; some 100 of them are used.
        lines: labelled lines that decide, others than the calibration's.
        num_threads: of both readers when they are timed; None = every core.

    Raises:
        DatasetError: if there are no lines of either kind.
        CheckpointError: if the file is no model of crnnkit.
    """
    onnx_path = Path(onnx_path)
    if not calibration or not lines:
        raise DatasetError(
            f"{onnx_path}: int8 needs lines to calibrate on ({len(calibration)} given) and "
            f"labelled ones to be judged by ({len(lines)} given)."
        )
    before = Recognizer.load(onnx_path, num_threads)
    with tempfile.TemporaryDirectory() as folder:
        int8_path = Path(folder) / onnx_path.name
        _write_int8(onnx_path, _arrays(calibration, before.line_config), int8_path)
        after = Recognizer.load(int8_path, num_threads)
        report = _compare(before, after, lines, onnx_path, int8_path)
        if not report.refusal:
            with whole_file(onnx_path) as partial:
                shutil.copyfile(int8_path, partial)
    return report


def _compare(
    before: Recognizer, after: Recognizer, lines: Sequence[Line], full: Path, int8: Path
) -> QuantizeReport:
    images = [read_image(line.image) for line in lines]
    references = [line.text for line in lines]
    was, became = read_in_turn([before, after], images)
    return QuantizeReport(
        full,
        score(references, was.texts).cer,
        score(references, became.texts).cer,
        was.ms,
        became.ms,
        full.stat().st_size,
        int8.stat().st_size,
    )


def _arrays(pictures: Sequence[ImageSource], config: LineConfig) -> "_Calibration":
    """Pictures from all over the set, as the network's input."""
    step = max(1, len(pictures) // NUM_CALIBRATION_LINES)
    chosen = pictures[::step][:NUM_CALIBRATION_LINES]
    return _Calibration(line_to_array(read_image(source), config) for source in chosen)


class _Calibration(CalibrationDataReader):
    """Lines one by one, as onnxruntime asks for them."""

    def __init__(self, arrays: Iterator[NDArray[np.float32]]) -> None:
        self._arrays = arrays

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next input; None at the end."""
        array = next(self._arrays, None)
        return None if array is None else {"images": array[np.newaxis]}


def _write_int8(onnx_path: Path, calibration: _Calibration, output: Path) -> None:
    """Quantise what comes before the first LSTM, one scale per channel of the weights.

    Weights have 7 bits (`reduce_range`): with 8, processors without VNNI overflow in silence.
    """
    # its hints are about quantisation-aware training and about the step that is done here
    logging.getLogger().addFilter(_no_hints)
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(onnx_path, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                output,
                calibration,
                nodes_to_quantize=_nodes_before_lstm(onnx.load(prepared)),
                op_types_to_quantize=list(QUANTIZED),
                activation_type=QuantType.QUInt8,  # signed ones are slower than float32
                per_channel=True,
                reduce_range=True,
            )
    finally:
        logging.getLogger().removeFilter(_no_hints)


def _no_hints(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING


def _nodes_before_lstm(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that see pictures: all before the first LSTM that can be int8."""
    types = [node.op_type for node in model.graph.node]
    before = model.graph.node[: types.index("LSTM")]
    return [node.name for node in before if node.op_type in QUANTIZED]
