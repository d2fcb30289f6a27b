"""Weights that others trained, in our form: ModelScope's CRNN and meijieru's crnn.pytorch."""

import pickle
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from crnnkit.errors import CheckpointError, ConfigError, VocabError
from crnnkit.model.checkpoint import MAX_FILE_BYTES, Checkpoint, check_weights, new_checkpoint
from crnnkit.model.config import CheckpointInfo, ClassicConfig, ClassicConv, Pool
from crnnkit.model.crnn import ClassicCRNN
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import BLANK_ID, is_normal, read_characters

# ModelScope's trainer and torch's parallel wrappers put these before, or into, a weight's name.
WRAPPERS = ("recognizer.", "module.")
# How many batches a batch norm has seen: torch did not count them before version 0.4.1.
COUNTER = ".num_batches_tracked"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)

# What torch.load raises on files that are cut off, of another kind, or hold more than tensors.
_LOAD_ERRORS = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, OSError),
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError),
)


@dataclass(frozen=True)
class Layout:
    """One project's network: its shape, its names and what it takes for input."""

    name: str
    network: ClassicConfig
    modules: Mapping[str, str]
    """Our module → theirs."""
    line: LineConfig

    def their_name(self, name: str) -> str:
        """Their name of a weight of ours."""
        module, _, weight = name.rpartition(".")
        return f"{self.modules[module]}.{weight}"


_HALVES = Pool((2, 2), (2, 2))
_HALVES_HEIGHT = Pool((2, 1), (2, 1))
_HALVES_HEIGHT_OVERLAPPING = Pool((2, 2), (2, 1), (0, 1))

MODELSCOPE = Layout(
    "ModelScope CRNN",
    ClassicConfig(
        convs=(
            ClassicConv(64, pool=_HALVES),
            ClassicConv(128, pool=_HALVES),
            ClassicConv(256),
            ClassicConv(256, pool=_HALVES_HEIGHT),
            ClassicConv(512),
            ClassicConv(512, pool=_HALVES_HEIGHT),
            ClassicConv(512, kernel_hw=(2, 1), padding=0),
        ),
        lstm_hidden=256,
        projection=512,
        head_bias=False,
    ),
    {f"convs.{i}.conv": f"conv{at}" for i, at in enumerate("0.0 1.0 2.0 2.3 3.0 3.3 4.0".split())}
    | {f"convs.{i}.norm": f"conv{at}" for i, at in enumerate("0.1 1.1 2.1 2.4 3.1 3.4 4.1".split())}
    | {"lstm1": "rnn.0.rnn", "between": "rnn.0.embedding"}
    | {"lstm2": "rnn.1.rnn", "projection": "rnn.1.embedding", "head": "cls"},
    LineConfig(convention="modelscope", width_multiple=640, max_width=640),
)

MEIJIERU = Layout(
    "crnn.pytorch",
    ClassicConfig(
        convs=(
            ClassicConv(64, has_norm=False, pool=_HALVES),
            ClassicConv(128, has_norm=False, pool=_HALVES),
            ClassicConv(256),
            ClassicConv(256, has_norm=False, pool=_HALVES_HEIGHT_OVERLAPPING),
            ClassicConv(512),
            ClassicConv(512, has_norm=False, pool=_HALVES_HEIGHT_OVERLAPPING),
            ClassicConv(512, kernel_hw=(2, 2), padding=0),
        ),
        lstm_hidden=256,
        projection=0,
        head_bias=True,
    ),
    {f"convs.{i}.conv": f"cnn.conv{i}" for i in range(7)}
    | {f"convs.{i}.norm": f"cnn.batchnorm{i}" for i in (2, 4, 6)}
    | {"lstm1": "rnn.0.rnn", "between": "rnn.0.embedding"}
    | {"lstm2": "rnn.1.rnn", "head": "rnn.1.embedding"},
    LineConfig(convention="meijieru", width_multiple=1, min_width=100, max_width=100),
)


@dataclass(frozen=True)
class Imported:
    """A foreign checkpoint in our form, and what became of its classes."""

    checkpoint: Checkpoint
    layout: Layout
    left_out: str
    """Listed characters without a class here: repeated ones, and those no normalised text has."""
    has_unknown: bool
    """Whether there was a class for unknown characters; it is left out, too."""

    def __str__(self) -> str:
        """Some lines to print."""
        info, line = self.checkpoint.info, self.checkpoint.info.line
        num_parameters = sum(p.numel() for p in self.checkpoint.model.parameters())
        unknown = "; the class of unknown characters is left out" if self.has_unknown else ""
        names = " ".join(f"U+{ord(c):04X}" for c in self.left_out)
        left_out = f"; {len(self.left_out)} lines are left out ({names})" if names else ""
        widths = " to ".join(str(w) for w in sorted({line.min_width, line.max_width}))
        return (
            f"layout: {self.layout.name}, {num_parameters:,} parameters\n"
            f"vocabulary: {len(info.charset)} characters kept{unknown}{left_out}\n"
            f"lines: {line.convention}'s scaling and values, {line.height} px high, {widths} px "
            f"wide, padded to a multiple of {line.width_multiple} px"
        )


def import_checkpoint(
    weights_path: str | Path, vocab_path: str | Path, width: int | None = None
) -> Imported:
    """Read a file of torch.save and its vocabulary; code in the file is never run.

    The head's rows are the blank, one per line of the vocabulary, and perhaps one for unknown
    characters. Rows whose character cannot be in a `Vocab` are left out: of equal lines the last
    one stays, as ModelScope trains it.

    Args:
        width: crnn.pytorch alone: pixels that every line is stretched to, 0 = the aspect is kept;
            None = 100.

    Raises:
        CheckpointError: naming every weight that is missing, not known, misshaped or not finite.
        VocabError: if the vocabulary cannot be read or belongs to another network.
        ConfigError: if a width is given to a network that has its own.
    """
    path = Path(weights_path)
    characters = read_characters(vocab_path)
    found = _read_weights(path)
    layout = _recognize_layout(path, found)
    head = found.get(layout.their_name("head.weight"))
    num_classes = head.shape[0] if head is not None and head.ndim else len(characters) + 1
    weights = _our_weights(path, layout, found, num_classes)
    num_unknown = num_classes - 1 - len(characters)
    if num_unknown not in (0, 1):
        raise VocabError(
            f"{vocab_path}: {len(characters)} characters, but {path} has {num_classes} classes: "
            f"the blank, {num_classes - 1} characters, or {num_classes - 2} and one class for "
            "unknown ones. Give the vocabulary that it was trained with."
        )
    kept_ids = _usable_ids(characters)
    for name in weights.keys() & {"head.weight", "head.bias"}:
        weights[name] = weights[name][[BLANK_ID, *kept_ids]]
    charset = "".join(characters[i - 1] for i in kept_ids)
    info = CheckpointInfo(
        charset,
        layout.network,
        _line_config(layout, width),
        training={"imported_from": path.name, "layout": layout.name},
    )
    checkpoint = new_checkpoint(info)
    checkpoint.model.load_state_dict(weights)
    checkpoint.model.eval()
    left_out = Counter(characters) - Counter(charset)
    return Imported(checkpoint, layout, "".join(left_out.elements()), num_unknown == 1)


def _read_weights(path: Path) -> dict[str, Tensor]:
    """A flat dict of tensors, their names without the wrappers'."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file. Give the file of weights, e.g. .pt or .pth.")
    try:
        if (size := _unpacked_bytes(path)) > MAX_FILE_BYTES:
            raise CheckpointError(f"{path}: {size} bytes; at most {MAX_FILE_BYTES} are read.")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as error:
        raise CheckpointError(
            f"{path}: no readable file of weights ({_reason(error)}). It is damaged, of another "
            "format, or holds more than tensors: save the network's state_dict alone."
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a dict of tensors.")
    wrong = [str(name) for name, value in content.items() if not _is_plain_tensor(value)]
    if wrong:
        raise CheckpointError(
            f"{path}: these are no plain tensors: {', '.join(wrong)}. Save the state_dict alone."
        )
    return _without_wrappers(path, content)


def _reason(error: Exception) -> str:
    """What torch says of a file, without its advice to run what is in it."""
    named = re.search(r"(GLOBAL|operand) \S+", str(error))
    first = str(error).partition("\n")[0].partition(". ")[0]
    return named[0] if named else first or type(error).__name__


def _unpacked_bytes(path: Path) -> int:
    """Size of a file, or of what a zip archive, such as torch writes, holds."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _is_plain_tensor(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in DTYPES
    )


def _without_wrappers(path: Path, content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = [str(name) for name in content]
    for wrapper in WRAPPERS:
        names = [name.replace(wrapper, "") for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CheckpointError(
            f"{path}: holds these weights with and without the prefixes {' '.join(WRAPPERS)}: "
            f"{', '.join(twice)}. Keep one of each."
        )
    return dict(zip(names, content.values(), strict=True))


def _recognize_layout(path: Path, found: Mapping[str, Tensor]) -> Layout:
    """The layout that shares most modules with the file."""
    modules = {name.rpartition(".")[0] for name in found}

    def num_shared(layout: Layout) -> int:
        return len(modules & set(layout.modules.values()))

    layout = max((MODELSCOPE, MEIJIERU), key=num_shared)
    if num_shared(layout) == 0:
        raise CheckpointError(
            f"{path}: neither {MODELSCOPE.name} nor {MEIJIERU.name}: no name of their weights is "
            f"in it. It holds: {', '.join(sorted(found)[:10]) or 'nothing'}"
        )
    return layout


def _our_weights(
    path: Path, layout: Layout, found: dict[str, Tensor], num_classes: int
) -> dict[str, Tensor]:
    """The weights by our names, once they are known to be exactly those of the layout."""
    with torch.device("meta"):  # shapes alone
        network = ClassicCRNN(layout.network, num_classes).state_dict()
    wanted = {layout.their_name(name): tensor for name, tensor in network.items()}
    if not any(name.endswith(COUNTER) for name in found):
        found = found | {name: torch.tensor(0) for name in wanted if name.endswith(COUNTER)}
    check_weights(path, wanted, found)
    return {name: found[layout.their_name(name)] for name in network}


def _usable_ids(characters: str) -> list[int]:
    """Ids, from 1, of the characters that a `Vocab` can hold: of equal ones the last."""
    last = {character: i for i, character in enumerate(characters, 1)}
    return sorted(i for character, i in last.items() if is_normal(character))


def _line_config(layout: Layout, width: int | None) -> LineConfig:
    if width is None:
        return layout.line
    if layout is not MEIJIERU:
        raise ConfigError(
            f"width {width}: {layout.name} takes lines of {layout.line.max_width} px; a width can "
            f"be chosen for {MEIJIERU.name} alone."
        )
    if width == 0:
        return replace(layout.line, min_width=layout.line.height, max_width=LineConfig.max_width)
    return replace(layout.line, min_width=width, max_width=width)
