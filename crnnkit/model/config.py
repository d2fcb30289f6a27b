"""The network's shape as data, and what travels with its weights. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, PositiveFloat, Tag, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated_dataclass

from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.model.language import Language
from crnnkit.model.spelling import Spelling
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import NORMALIZATION, Vocab

FORMAT_VERSION = 1
# Name of the description in the metadata of .safetensors and .onnx files.
METADATA_KEY = "crnnkit"


@dataclass(frozen=True)
class Stage:
    """A strided 3x3 convolution, then `num_convs - 1` residual ones of the same width."""

    channels: int
    stride_hw: tuple[int, int]
    num_convs: int = 1


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the CRNN: conv stages, a bottleneck, a BiLSTM beside it, a head.

    The default, the base's, costs 0.7 GFLOP for a 32x320 line with 7,000 classes, 0.5 with 70.
    """

    height: int = 32
    """Input height, pixels; the stages' vertical strides must bring it to 2 or 1."""
    stages: tuple[Stage, ...] = (
        Stage(32, (2, 2)),
        Stage(64, (2, 2), num_convs=2),
        Stage(128, (2, 1), num_convs=2),
        Stage(224, (2, 1), num_convs=2),
    )
    bottleneck: int = 160
    """Features per time step that LSTM and head work on."""
    lstm_hidden: int = 128
    """Hidden units of the BiLSTM, each direction."""
    dropout: float = 0.1
    """Share of the head's inputs, and of the lines' contexts, that training leaves out."""

    def __post_init__(self) -> None:
        """Refuse a stack whose height does not come out."""
        if not 1 <= self.final_height <= 4:
            raise ConfigError(
                f"model config: the stages turn height {self.height} into {self.final_height}; "
                "1 to 4 is expected"
            )

    @property
    def final_height(self) -> int:
        """Height after the last stage, before it is folded into the features."""
        height = self.height
        for stage in self.stages:
            height = -(-height // stage.stride_hw[0])
        return height

    def time_steps(self, width: int) -> int:
        """Time steps T that a line of `width` pixels yields: each stage rounds up."""
        for stage in self.stages:
            width = -(-width // stage.stride_hw[1])
        return width

    @property
    def receptive_field(self) -> int:
        """Pixels of width that the convolutions see from one time step; the LSTM sees the rest."""
        seen, pixels_per_step = 1, 1
        for stage in self.stages:
            seen += 2 * pixels_per_step  # a 3x3 convolution reaches one step to either side
            pixels_per_step *= stage.stride_hw[1]
            seen += 2 * pixels_per_step * (stage.num_convs - 1)
        return seen


@dataclass(frozen=True)
class Pool:
    """Max pooling, each pair (vertical, horizontal)."""

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    padding_hw: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ClassicConv:
    """Convolution of stride 1, batch norm if any, ReLU, max pooling if any."""

    channels: int
    has_norm: bool = True
    pool: Pool | None = None
    kernel_hw: tuple[int, int] = (3, 3)
    padding: int = 1


@dataclass(frozen=True)
class ClassicConfig:
    """Shape of the CRNN as Shi et al. published it and others trained it (`model.foreign`)."""

    convs: tuple[ClassicConv, ...]
    lstm_hidden: int
    """Hidden units of both BiLSTMs, each direction, and features between them."""
    projection: int
    """Features between the second BiLSTM and the head; 0 = the head follows at once."""
    head_bias: bool
    height: int = 32
    """Input height, pixels; the convolutions must bring it to 1."""

    def __post_init__(self) -> None:
        """Refuse a stack whose height does not come out."""
        if (final := self._size_after(self.height, axis=0)) != 1:
            raise ConfigError(
                f"model config: the convolutions turn height {self.height} into {final}; "
                "1 is expected"
            )

    def time_steps(self, width: int) -> int:
        """Time steps T that a line of `width` pixels yields."""
        return self._size_after(width, axis=1)

    def _size_after(self, size: int, axis: int) -> int:
        for conv in self.convs:
            size += 2 * conv.padding - conv.kernel_hw[axis] + 1
            if (pool := conv.pool) is not None:
                padded = size + 2 * pool.padding_hw[axis]
                size = (padded - pool.kernel_hw[axis]) // pool.stride_hw[axis] + 1
        return size


def _network_kind(config: object) -> str:
    """Tell the two descriptions apart, so that faults are told of the one that is meant."""
    is_classic = isinstance(config, ClassicConfig) or isinstance(config, dict) and "convs" in config
    return "classic" if is_classic else "light"


NetworkConfig = Annotated[
    Annotated[ModelConfig, Tag("light")] | Annotated[ClassicConfig, Tag("classic")],
    Discriminator(_network_kind),
]


def min_time_steps(target_ids: Sequence[int]) -> int:
    """Fewest time steps a CTC path for the label needs: L + number of equal neighbours.

    Equal neighbours need a blank between them (Graves et al. 2006, section 3.1).
    """
    repeats = sum(a == b for a, b in zip(target_ids, target_ids[1:], strict=False))
    return len(target_ids) + repeats


@validated_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CheckpointInfo:
    """All of a checkpoint but its weights; the same JSON travels in .safetensors and .onnx."""

    charset: str
    model: NetworkConfig = field(default_factory=ModelConfig)
    line: LineConfig = field(default_factory=LineConfig)
    metrics: dict[str, float] = field(default_factory=dict)
    """Numbers of the epoch that was saved, e.g. `val_cer`."""
    training: dict[str, Any] = field(default_factory=dict)
    """Settings and data hashes of the run that made the weights."""
    normalization: str = NORMALIZATION
    """Name of the normalisation that its texts went through: `crnnkit.vocab.normalize_text`."""
    temperature: PositiveFloat = 1.0
    """Logits are divided by it before confidences are computed (`model.calibration`)."""
    written_as: dict[str, str] = field(default_factory=dict)
    """Characters that labels write otherwise than printed: as which, or '' (`model.spelling`)."""
    language: Language | None = None
    """Which characters follow which in the training labels; None: it has no say."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Refuse a spelling that is none of this vocabulary's characters."""
        known = frozenset(self.charset)
        written = frozenset("".join(self.written_as.values()))
        if unknown := (written | self.written_as.keys()) - known:
            raise ConfigError(f"written_as holds {sorted(unknown)}, which charset lacks")
        if chained := written & self.written_as.keys():
            raise ConfigError(f"written_as writes {sorted(chained)} and writes them otherwise")

    @cached_property
    def spelling(self) -> Spelling:
        """How its labels write what is printed."""
        return Spelling(self.vocab, self.written_as)

    @cached_property
    def vocab(self) -> Vocab:
        """The vocabulary whose order the head's rows follow."""
        return Vocab(self.charset)

    def to_json(self) -> str:
        """JSON with the characters readable as they are."""
        return _INFO.dump_json(self).decode("utf-8")

    @classmethod
    def from_json(cls, text: str, source: str) -> "CheckpointInfo":
        """Read what `to_json` wrote.

        Args:
            source: name of the file, for messages.

        Raises:
            CheckpointError: if the text is of another format or version.
        """
        try:
            info = _INFO.validate_json(text)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]
            )
            raise CheckpointError(f"{source}: its description is not valid: {faults}") from None
        except ConfigError as error:
            raise CheckpointError(f"{source}: its description is not valid: {error}") from None
        if info.format_version != FORMAT_VERSION:
            raise CheckpointError(
                f"{source}: format version {info.format_version}, this crnnkit reads "
                f"{FORMAT_VERSION}. Install the crnnkit that wrote the file."
            )
        if info.normalization != NORMALIZATION:
            raise CheckpointError(
                f"{source}: its texts were normalised by {info.normalization!r}, this crnnkit "
                f"does it by {NORMALIZATION!r}. Install the crnnkit that wrote the file."
            )
        return info


_INFO = TypeAdapter(CheckpointInfo)
