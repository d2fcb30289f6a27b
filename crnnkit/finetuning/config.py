"""The settings of a training run and of the base checkpoint's recipe, without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from crnnkit.errors import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")
CHOICES = ("auto", "never")
"""Of what a run may decide for itself."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run; a setting of unknown name is refused by the constructor.

    Raises:
        ConfigError: naming every value outside its range.
    """

    train_data: Path
    """Index file of the training lines."""
    val_data: Path
    """Index file of the lines that choose the best epoch; never used for the gradient."""
    output_dir: Path
    """Folder for best.safetensors, last.safetensors, history.csv and resume.safetensors."""
    vocab_path: Path | None = None
    """Vocabulary file. None: the characters of the pretrained checkpoint and of both data sets."""
    pretrained_ckpt: Path | None = None
    """Checkpoint to start from. None: from random weights."""
    epochs: int = 100
    """Passes over the training lines, at most."""
    minutes: float = 10.0
    """Wall-clock budget of the training loop; whichever of the two ends first counts."""
    epoch_lines: int = 1300
    """A smaller training set is passed as often in what counts as one epoch as brings it nearest to
    so many lines: validation reads 200 general ones each time, which should not take long beside
    the learning."""
    patience: int = 0
    """Epochs without a better one after which the run ends; 0 = never."""
    batch_size: int = 16
    """Lines per optimiser step."""
    lr: float | None = None
    """Peak learning rate of AdamW; warmed up, then a cosine down to 1 % of it. None: 2e-3 from
    random weights, 4e-4 from a checkpoint, which a higher rate would make forget."""
    warmup: float = 0.05
    """Share of the run during which the learning rate rises from 0."""
    conv_lr_share: float = 1.0
    """Learning rate of the convolutions, as a share of `lr`."""
    frozen_share: float = 0.0
    """Share of the run, at its start, during which the convolutions do not learn."""
    freeze_norm: bool = False
    """Batch norm keeps the checkpoint's statistics: a step then depends on each line alone, however
    the lines are dealt out to processes."""
    weight_decay: float = 0.01
    """AdamW's, on weight matrices only."""
    dropout: float | None = None
    """Share of what the head sees that a training step leaves out (Srivastava et al. 2014), and of
    the lines that it reads without their context (`CRNN.hidden`). None: 0.3 from random weights,
    which learn few lines by heart; otherwise the checkpoint's own."""
    max_gradient_norm: float = 5.0
    """Gradients longer than this (L2) are shortened to it."""
    average_decay: float = 0.998
    """Of the moving average of the weights, per step: the averaged network is what is validated
    and kept. 0 = the weights of the last step."""
    rare_repeat: int = 3
    """Lines with the rarest characters are shown up to so many times an epoch."""
    general_data: Path | None = None
    """Folder whose train.txt is trained along, so that general reading is not forgotten, and
    whose val.txt measures it after each epoch. None: neither."""
    general_share: float = 0.25
    """Of an epoch's pixel columns, what a step's time depends on, so many are general lines'."""
    max_forgetting: float | None = None
    """An epoch whose general CER lies higher than this above the start's is not the best while
    another one keeps it. None: the domain alone chooses, and the run says what was forgotten."""
    distill: float | None = None
    """Weight of the divergence from the pretrained network's output on general lines, nats per time
    step, beside the loss per character. None: 2 where both are given, otherwise 0."""
    blend_base: float = 0.0
    """Share of the pretrained weights in what is validated and kept (Wortsman et al. 2022)."""
    turn: str = "auto"
    """auto: training lines that read better upside down are turned, and where there are such
    lines, the checkpoint reads unsure lines both ways. never: all lines are upright."""
    language: str = "auto"
    """auto: the checkpoint keeps which characters follow which in the training labels, if that
    helps to read the validation lines where the network is unsure. never: it does not."""
    seed: int = 1
    """Of weights, order and augmentation."""
    num_threads: int = 0
    """Threads of torch; 0 = one or all cores, whichever is faster at the start."""
    varied_share: float = 1.0
    """Share of the training pictures that are varied (dataset.augment); general lines never are."""
    drawn_classes: int = 1000
    """Of a vocabulary more than twice as large, a step looks at the characters of the training
    texts, those of its batch, and so many others. 0 = always at all."""
    nothing_share: float = 0.06
    """Where training lines were found upside down: so many more lines an epoch stand upside down
    and have to be read as nothing, which is how a reader can tell."""
    enhance: tuple[str, ...] = ()
    """Steps of `preprocessing.enhance` for every line; stored in the checkpoint."""
    precision: str = "auto"
    """Of the forward pass: float32, bfloat16, or auto = the faster one, measured at the start."""
    device: str = "cpu"
    """A torch device: cpu, cuda, mps."""
    tensorboard: bool = False
    """Write the epochs to output_dir/tensorboard too, which takes the extra of that name."""
    resume: bool = False
    """Go on from output_dir/resume.safetensors after an interruption."""

    def __post_init__(self) -> None:
        """Check ranges, all at once."""
        faults = _range_faults(
            asdict(self),
            positive=(
                *("epochs", "minutes", "epoch_lines", "batch_size", "max_gradient_norm"),
                "rare_repeat",
            ),
            not_negative=(
                *("lr", "conv_lr_share", "weight_decay", "num_threads", "patience", "distill"),
                *("max_forgetting", "drawn_classes"),
            ),
            shares=(
                *("warmup", "frozen_share", "average_decay", "general_share", "blend_base"),
                *("nothing_share", "dropout"),
            ),
        )
        if not 0 <= self.varied_share <= 1:
            faults.append(f"varied_share is {self.varied_share}, must be ≥ 0, ≤ 1")
        faults += _choice_faults("precision", self.precision, PRECISIONS)
        faults += _choice_faults("turn", self.turn, CHOICES)
        faults += _choice_faults("language", self.language, CHOICES)
        faults += self._faults_of_what_is_missing()
        if faults:
            raise ConfigError("training settings: " + "; ".join(faults))

    @property
    def peak_lr(self) -> float:
        """`lr`, or what suits the start."""
        return self.lr if self.lr is not None else 4e-4 if self.pretrained_ckpt else 2e-3

    @property
    def anchor_weight(self) -> float:
        """`distill`, or what keeps general reading where that can be asked for."""
        if self.distill is not None:
            return self.distill
        return 2.0 if self.pretrained_ckpt and self.general_data else 0.0

    def _faults_of_what_is_missing(self) -> list[str]:
        faults = []
        if self.pretrained_ckpt is None:
            faults += [
                f"{name} is {value}, but there is no pretrained_ckpt"
                for name, value in asdict(self).items()
                if name in ("distill", "blend_base", "freeze_norm") and value
            ]
        if self.tensorboard and find_spec("tensorboard") is None:
            faults.append(
                "tensorboard is True, but the package is not installed: "
                "pip install 'crnnkit[tensorboard]' -c constraints.txt"
            )
        if self.distill and self.general_data is None:
            faults.append(f"distill is {self.distill}, but there is no general_data")
        return faults


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of one piece of the base checkpoint's recipe.

    Raises:
        ConfigError: naming every value outside its range.
    """

    output: Path
    """Checkpoint to write, and to continue from where it exists."""
    vocab_path: Path
    chinese_lexicon: Path
    english_lexicon: Path
    minutes: float
    """Wall-clock length of this piece of the run."""
    glyphs: int = 600_000
    """Glyphs to classify before lines begin."""
    framed_lines: int = 200_000
    """Lines over which the cross-entropy at glyph centres fades out."""
    short_lines: int = 60_000
    """Lines over which the longest text grows from 4 characters to `max_characters`."""
    max_characters: int = 24
    turned_share: float = 0.06
    """Share of the lines that stand upside down and have to be read as nothing: a reader that
    finds nothing can turn the line, one that finds something there cannot know."""
    glyph_batch: int = 256
    batch_columns: int = 8192
    """Pixel columns of a batch of lines: 32 lines of width 256."""
    drawn_classes: int = 600
    """Characters that a step on lines looks at, drawn beside the batch's own."""
    teacher: Path | None = None
    """Checkpoint of equal vocabulary and bottleneck: what its head sees of a line is learnt, too,
    which a pruned network does in a fraction of the lines that labels alone take."""
    glyph_lr: float = 2e-3
    line_lr: float = 1e-3
    warmup_steps: int = 200
    """Steps over which the rate rises at the start of every piece: AdamW's moments start afresh."""
    cooldown: float = 0.3
    """Share of the piece over whose end the rate falls to a twentieth: what is written then reads
    better than any average of fast steps. 0 = never, where another piece follows."""
    ema_decay: float = 0.999
    """Share that the moving average keeps of itself at a step."""
    save_minutes: float = 5.0
    num_threads: int = 0
    """Threads of torch; 0 = as many as torch itself chooses."""
    num_workers: int = 1
    """Rendering processes."""
    precision: str = "bfloat16"
    """Of the forward pass: float32 or bfloat16."""
    device: str = "cpu"
    """A torch device: cpu, cuda, mps."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Check ranges, all at once."""
        faults = _range_faults(
            asdict(self),
            positive=(
                "minutes",
                "framed_lines",
                "glyph_batch",
                "batch_columns",
                "drawn_classes",
                "warmup_steps",
            ),
            not_negative=("glyph_lr", "line_lr", "num_threads", "num_workers"),
            shares=("cooldown", "ema_decay", "turned_share"),
        )
        faults += _choice_faults("precision", self.precision, PRECISIONS[1:])
        if faults:
            raise ConfigError("settings of pretraining: " + "; ".join(faults))


def _range_faults(
    values: Mapping[str, Any],
    positive: Sequence[str],
    not_negative: Sequence[str],
    shares: Sequence[str],
) -> list[str]:
    given = {name: value or 0 for name, value in values.items()}
    rules = [
        *((n, "finite and > 0", 0 < given[n] < inf) for n in positive),
        *((n, "finite and ≥ 0", 0 <= given[n] < inf) for n in not_negative),
        *((n, "≥ 0, < 1", 0 <= given[n] < 1) for n in shares),
    ]
    return [f"{n} is {values[n]}, must be {rule}" for n, rule, is_kept in rules if not is_kept]


def _choice_faults(name: str, value: str, choices: Sequence[str]) -> list[str]:
    if value in choices:
        return []
    return [f"{name} is {value!r}, must be one of {', '.join(choices)}"]
