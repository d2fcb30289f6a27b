"""One file per model: weights and, in its metadata, all that is needed to use them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from crnnkit.errors import CheckpointError
from crnnkit.files import whole_file
from crnnkit.model.config import METADATA_KEY, CheckpointInfo
from crnnkit.model.crnn import CRNN, ClassicCRNN, make_network
from crnnkit.vocab import BLANK_ID, Vocab, look_alikes

MAX_FILE_BYTES = 1 << 30
LOOK_ALIKE_MARGIN = 2.0
"""Logits by which a new character starts below its look-alike: what was read stays the reading."""


@dataclass(frozen=True)
class Checkpoint:
    """A network with its description."""

    model: CRNN | ClassicCRNN
    info: CheckpointInfo


def new_checkpoint(info: CheckpointInfo) -> Checkpoint:
    """A network of random weights of the described shape; seed torch before."""
    return Checkpoint(make_network(info.model, len(info.vocab)), info)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, half: bool = False) -> None:
    """Write a checkpoint; the file appears whole or not at all.

    Args:
        half: store the weights as float16, half the size.

    Raises:
        CheckpointError: if the file is not to end in .safetensors.
        WriteError: if the disk refuses; an older file of that name is untouched.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: checkpoints are .safetensors files; name it so.")
    weights = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in checkpoint.model.state_dict().items()
    }
    # not save_file, which makes a file that only its owner may read
    content = save(weights, {METADATA_KEY: checkpoint.info.to_json()})
    with whole_file(path) as partial:
        partial.write_bytes(content)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, in evaluation mode and float32.

    Raises:
        CheckpointError: if the file is missing, of another format, or does not hold exactly
            the weights that its description asks for, all of them finite.
    """
    path = Path(path)
    weights, info = _read(path)
    checkpoint = new_checkpoint(info)
    check_weights(path, checkpoint.model.state_dict(), weights)
    checkpoint.model.load_state_dict(weights)
    checkpoint.model.eval()
    return checkpoint


def read_info(path: str | Path) -> CheckpointInfo:
    """Read a checkpoint's description alone."""
    return _read(Path(path), with_weights=False)[1]


def _read(path: Path, with_weights: bool = True) -> tuple[dict[str, Tensor], CheckpointInfo]:
    _check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            description = (file.metadata() or {}).get(METADATA_KEY)
            names = file.keys() if with_weights else []
            weights = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: no readable .safetensors file ({error}). It is damaged or of another format."
        ) from None
    if description is None:
        raise CheckpointError(
            f"{path}: a .safetensors file, but not one of crnnkit: its metadata lacks "
            f"{METADATA_KEY!r}."
        )
    weights = {n: t.float() if t.is_floating_point() else t for n, t in weights.items()}
    return weights, CheckpointInfo.from_json(description, str(path))


def _check_file(path: Path) -> None:
    if not path.is_file():
        near = sorted(str(p) for p in path.parent.glob("*.safetensors"))
        found = f" There are: {', '.join(near[:5])}." if near else ""
        raise CheckpointError(
            f"{path}: no such checkpoint.{found} checkpoints/base.safetensors comes with crnnkit, "
            "04_finetuning trains others."
        )
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path}: not a .safetensors file, such as best.safetensors. `crnnkit import` takes "
            "weights that others trained; nothing else is unpickled."
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CheckpointError(
            f"{path}: {path.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read."
        )


def check_weights(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not exactly those wanted, or not finite, naming every one."""
    faults = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    faults += [f"{name} is not known" for name in found.keys() - wanted.keys()]
    faults += [
        f"{name} has shape {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if wanted[name].shape != found[name].shape
    ]
    faults += [
        f"{name} holds numbers that are not finite"
        for name in wanted.keys() & found.keys()
        if not torch.isfinite(found[name]).all()
    ]
    if faults:
        raise CheckpointError(
            f"{path}: {len(faults)} weights do not fit the described network: "
            f"{'; '.join(sorted(faults))}"
        )


@dataclass(frozen=True)
class VocabChange:
    """What became of the head's rows when a checkpoint took another vocabulary."""

    kept: str
    new: str
    dropped: str

    def __str__(self) -> str:
        """One line to print, e.g. `vocabulary: 88 kept, 3 new (京沪粤), 0 dropped`."""
        parts = []
        for name in ("kept", "new", "dropped"):
            characters = getattr(self, name)
            shown = characters if len(characters) <= 40 else characters[:40] + "…"
            listed = f" ({shown})" if characters and name != "kept" else ""
            parts.append(f"{len(characters)} {name}{listed}")
        return "vocabulary: " + ", ".join(parts)


def change_vocab(checkpoint: Checkpoint, vocab: Vocab) -> tuple[Checkpoint, VocabChange]:
    """Give a checkpoint another vocabulary, keeping all that it knows of shared characters.

    Rows of shared characters and of the blank move as they are, so their logits stay bit-equal;
    a new character starts as its look-alike (`look_alikes`) `LOOK_ALIKE_MARGIN` less likely, or,
    where the old vocabulary has none, at the mean of all character rows, just above impossible.
    """
    old = checkpoint.info.vocab
    written_as = {
        c: w for c, w in checkpoint.info.written_as.items() if c in vocab and (not w or w in vocab)
    }
    new_info = replace(checkpoint.info, charset=vocab.charset, written_as=written_as)
    changed = new_checkpoint(new_info)
    state = checkpoint.model.state_dict()
    state["head.weight"] = _moved_rows(state["head.weight"], old, vocab)
    if "head.bias" in state:
        state["head.bias"] = _moved_rows(state["head.bias"], old, vocab, LOOK_ALIKE_MARGIN)
    changed.model.load_state_dict(state)
    changed.model.eval()
    change = VocabChange(
        kept="".join(c for c in vocab.charset if c in old),
        new="".join(c for c in vocab.charset if c not in old),
        dropped="".join(c for c in old.charset if c not in vocab),
    )
    return changed, change


def _moved_rows(rows: Tensor, old: Vocab, new: Vocab, margin: float = 0.0) -> Tensor:
    """Rows (V, …) of the old vocabulary in the new one's order; look-alikes' less `margin`."""
    mean = rows[1:].mean(0) if len(rows) > 1 else torch.zeros_like(rows[0])

    def row_of(character: str) -> Tensor:
        if character in old:
            return rows[old.encode(character)[0]]
        alike = next((c for c in look_alikes(character) if c in old), None)
        return mean if alike is None else rows[old.encode(alike)[0]] - margin

    return torch.stack([rows[BLANK_ID], *map(row_of, new.charset)])
