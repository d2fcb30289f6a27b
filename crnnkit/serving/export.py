"""From a checkpoint to one ONNX file that reads the same, or to no file at all."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from crnnkit.errors import CheckpointError, VocabError
from crnnkit.files import whole_file
from crnnkit.model.checkpoint import Checkpoint, change_vocab, load_checkpoint
from crnnkit.model.config import METADATA_KEY
from crnnkit.model.crnn import CRNN, ClassicCRNN
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.serving.compare import read_in_turn
from crnnkit.serving.network import torch_network
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import Vocab

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
    torch_ms: float
    """Median milliseconds of one line alone; NaN without lines."""
    onnx_ms: float
    cut: "CutReport | None" = None
    """What leaving characters out did, where it was asked for."""

    def remarks(self) -> list[str]:
        """What to tell of the export, a sentence a line."""
        remarks = [
            f"Wrote {self.onnx_path}: logits differ by at most {self.max_logit_difference:.1g}, "
            f"{self.num_lines} lines read alike"
        ]
        if self.num_lines:
            remarks.append(
                f"One line takes {self.torch_ms:.1f} ms in torch, {self.onnx_ms:.1f} ms in ONNX"
            )
        if self.cut:
            remarks.append(f"{self.cut.num_left_out} characters left out")
        if self.cut and self.num_lines:
            remarks[-1] += (
                f": {self.cut.whole_ms:.1f} → {self.cut.ms:.1f} ms a line, "
                f"{self.cut.num_changed} of {self.num_lines} lines read otherwise than with them"
            )
        return remarks


@dataclass(frozen=True)
class CutReport:
    """A head cut to some characters, beside the whole one."""

    num_left_out: int
    """Characters."""
    num_changed: int
    """Lines that the whole head reads otherwise."""
    whole_ms: float
    """Median milliseconds of one line alone with the whole head; NaN without lines."""
    ms: float
    """The same with the cut head."""


def export_onnx(
    checkpoint_path: str | Path,
    onnx_path: str | Path,
    parity_images: Sequence[ImageSource] = (),
    num_threads: int | None = None,
    charset: str | None = None,
) -> ExportReport:
    """Export a checkpoint with dynamic batch and width, and its description inside.

    The file takes its name only after torch and onnxruntime agreed: on the logits of random
    pictures, and on the text of every picture given.

    Args:
        parity_images: line pictures, best the validation set's.
        num_threads: of all readers when they are timed; None = every core.
        charset: the characters that the file is to write, in its order of ids; None = all of the
            checkpoint's. What is left out is never read, and costs no time.

    Raises:
        CheckpointError: if the checkpoint cannot be read or the two disagree.
        VocabError: if the checkpoint does not know all characters of `charset`.
    """
    onnx_path = Path(onnx_path)
    whole = load_checkpoint(checkpoint_path)
    checkpoint = whole if charset is None else _cut(whole, charset, checkpoint_path)
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    images = [read_image(source) for source in parity_images]
    with whole_file(onnx_path) as partial:
        _write(checkpoint, partial)
        exported = Recognizer.load(partial, num_threads)
        report = _check_parity(_torch_reader(checkpoint), exported, images, onnx_path)
        if charset is not None:
            report = replace(report, cut=_compare_heads(whole, exported, images, num_threads))
    return report


def _cut(checkpoint: Checkpoint, charset: str, path: str | Path) -> Checkpoint:
    """The checkpoint with the head's rows of these characters, and of those written as them."""
    written_as = checkpoint.info.written_as.items()
    also = "".join(c for c, w in written_as if c not in charset and (not w or w in charset))
    cut, change = change_vocab(checkpoint, Vocab(charset + also))
    if change.new:
        raise VocabError(
            f"{path}: cannot be cut to characters that it does not know: {change.new!r}. "
            "Train it on lines that hold them, or leave them out."
        )
    return cut


def _torch_reader(checkpoint: Checkpoint) -> Recognizer:
    return Recognizer(torch_network(checkpoint), checkpoint.info, "checkpoint")


class _OneProduct(torch.nn.Module):
    """A network whose head is one product of matrices.

    Added to every logit of a large vocabulary afterwards, the bias costs up to a quarter of a
    line's time: as a row more of the weights, for a feature that is always 1, it costs nothing.
    """

    def __init__(self, network: CRNN | ClassicCRNN) -> None:
        super().__init__()
        self.network = network
        weight, bias = network.head.weight, network.head.bias
        rows = weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)
        self.register_buffer("rows", rows.detach().T.contiguous())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) → logits (B, T, V)."""
        hidden = self.network.hidden(images)
        if self.network.head.bias is not None:
            hidden = torch.cat([hidden, torch.ones_like(hidden[..., :1])], dim=-1)
        return hidden @ self.get_buffer("rows")


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
            _OneProduct(checkpoint.model).eval(),
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
    if not difference <= MAX_LOGIT_DIFFERENCE:  # NaN is refused, too
        raise CheckpointError(
            f"{onnx_path}: not written: its logits differ from the checkpoint's by up to "
            f"{difference:.2g}, more than {MAX_LOGIT_DIFFERENCE:g}."
        )
    by_torch, by_onnx = read_in_turn([wanted, exported], images)
    differing = [
        f"{number}: {ours!r} became {theirs!r}"
        for number, (ours, theirs) in enumerate(zip(by_torch.texts, by_onnx.texts, strict=True), 1)
        if ours != theirs
    ]
    if differing:
        raise CheckpointError(
            f"{onnx_path}: not written: {len(differing)} of {len(images)} lines read otherwise "
            f"than by the checkpoint: {'; '.join(differing[:10])}"
        )
    return ExportReport(onnx_path, difference, len(images), by_torch.ms, by_onnx.ms)


def _max_logit_difference(wanted: Recognizer, exported: Recognizer) -> float:
    rng = np.random.default_rng(0)
    height = wanted.line_config.height
    differences = []
    for batch in PARITY_BATCHES:
        for width in PARITY_WIDTHS:
            images = rng.uniform(-1, 1, (batch, 1, height, width)).astype(np.float32)
            differences.append(np.abs(wanted.logits(images) - exported.logits(images)).max())
    return float(np.max(differences))  # keeps NaN, which Python's max may drop


def _compare_heads(
    whole: Checkpoint,
    exported: Recognizer,
    images: Sequence[NDArray[np.uint8]],
    num_threads: int | None,
) -> CutReport:
    """Read the lines with the whole head and with the cut one, both in onnxruntime."""
    with TemporaryDirectory() as folder:
        uncut_path = Path(folder) / "uncut.onnx"
        _write(whole, uncut_path)
        uncut = Recognizer.load(uncut_path, num_threads)
    by_whole, by_cut = read_in_turn([uncut, exported], images)
    return CutReport(
        num_left_out=len(uncut.vocab) - len(exported.vocab),
        num_changed=sum(a != b for a, b in zip(by_whole.texts, by_cut.texts, strict=True)),
        whole_ms=by_whole.ms,
        ms=by_cut.ms,
    )
