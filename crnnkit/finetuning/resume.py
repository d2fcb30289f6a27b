"""What a run needs to go on after an interruption as if there had been none.

Order and variation of an epoch follow from (seed, epoch), so the state between two epochs is all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.files import file_sha256, whole_file
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.history import EpochResult
from crnnkit.model.config import NetworkConfig

_KEY = "crnnkit-resume"
_MAY_DIFFER = ("resume", "minutes", "tensorboard")
_INPUTS = ("train_data", "val_data", "pretrained_ckpt", "vocab_path")
Networks = Mapping[str, nn.Module]
"""The network and its moving average, by name."""
Settings = dict[str, str]
"""What must be the same when a run goes on."""


@dataclass(frozen=True)
class RunState:
    """A run between two epochs."""

    tensors: dict[str, Tensor]
    """Weights, their moving average and AdamW's moments, by name."""
    history: tuple[EpochResult, ...]
    facts: dict[str, Any]
    """Counters, and what was measured once: JSON values."""

    @classmethod
    def of(
        cls,
        networks: Networks,
        optimizer: Optimizer,
        history: Sequence[EpochResult],
        facts: dict[str, Any],
    ) -> "RunState":
        """What a run is made of."""
        weights = {
            f"{name}.{key}": value
            for name, network in networks.items()
            for key, value in network.state_dict().items()
        }
        return cls(weights | _packed(optimizer), tuple(history), facts)

    def give_to(self, networks: Networks, optimizer: Optimizer) -> None:
        """Let weights and moments be what they were."""
        for name, network in networks.items():
            start = f"{name}."
            network.load_state_dict(
                {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}
            )
        _unpack(optimizer, self.tensors)


def settings_of(config: TrainConfig, network: NetworkConfig) -> Settings:
    """A run's settings, the shape of its network, and the contents of the files it learns from."""
    values = asdict(config)
    files = {name: values[name] for name in _INPUTS if values[name]}
    if config.general_data:
        files |= {
            f"general {name}": config.general_data / name for name in ("train.txt", "val.txt")
        }
    contents = {f"content of {name}": file_sha256(path)[:12] for name, path in files.items()}
    values["network"] = network  # another version may begin from nothing with another one
    return {n: str(v) for n, v in values.items() if n not in _MAY_DIFFER} | contents


def save_state(path: Path, settings: Settings, state: RunState) -> None:
    """Write a state; the file appears whole or not at all."""
    description = {
        "settings": settings,
        "history": [asdict(result) for result in state.history],
        "facts": state.facts,
    }
    tensors = {name: tensor.contiguous() for name, tensor in state.tensors.items()}
    with whole_file(path) as partial:
        partial.write_bytes(save(tensors, {_KEY: json.dumps(description)}))


def load_state(path: Path, settings: Settings) -> RunState:
    """Read what `save_state` wrote.

    Raises:
        CheckpointError: if there is no state to go on from.
        ConfigError: naming the settings and files that have changed since.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: no run to resume ({error}). Start it without resume."
        ) from None
    if description is None:
        raise CheckpointError(f"{path}: not written by a training run. Start it without resume.")
    _refuse_changes(path, description["settings"], settings)
    history = tuple(EpochResult(**row) for row in description["history"])
    return RunState(tensors, history, description["facts"])


def _packed(optimizer: Optimizer) -> dict[str, Tensor]:
    """Moments and step counts as named tensors: `optimizer.<parameter>.<moment>`."""
    return {
        f"optimizer.{number}.{name}": value
        for number, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def _unpack(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser of the same parameters the moments that `_packed` named."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".")
            state.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    # saved in one order; the fused step goes through memory as the weights lie in it
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)


def _refuse_changes(path: Path, before: Settings, now: Settings) -> None:
    changed = [
        f"{name} was {before.get(name)}, is {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise ConfigError(
            f"{path}: the interrupted run had other settings or data: {'; '.join(changed)}. "
            "Give the same ones, or start anew without resume."
        )
