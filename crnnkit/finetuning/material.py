"""The lines a run works on: loaded, checked, turned upright, and chosen for each epoch."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from crnnkit.dataset.index import Line, read_index
from crnnkit.dataset.lines import LoadedLine, load_lines
from crnnkit.dataset.texts import tells_way_up
from crnnkit.errors import DatasetError
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.reading import Pass
from crnnkit.model.config import CheckpointInfo, min_time_steps

TURN_SHARE = 0.01
"""Where more of the training lines than this are upside down, so will be others."""
TURN_MARGIN = 3.0
"""A line counts as upside down where turning it lowers its loss by more than this, in nats: it is
then twenty times as likely."""

SAMPLE_SIZE = 300
"""Training lines, at least, that tell what all are like."""


@dataclass(frozen=True)
class Material:
    """All lines of a run, in memory."""

    train: tuple[LoadedLine, ...]
    train_turned: tuple[LoadedLine, ...]
    """The same by 180°; empty where the run takes all lines as upright."""
    val: tuple[LoadedLine, ...]
    val_turned: tuple[LoadedLine, ...]
    general_train: tuple[LoadedLine, ...] = ()
    general_val: tuple[LoadedLine, ...] = ()
    printed: Mapping[Line, str] = field(default_factory=dict)
    """Of training and validation lines, where labels write otherwise: `model.spelling`."""

    @property
    def num_turned(self) -> int:
        """Training lines that stand by 180° to their picture."""
        return sum(item.turned for item in self.train)

    @property
    def has_turned(self) -> bool:
        """Whether lines upside down belong to this domain."""
        return self.num_turned > TURN_SHARE * len(self.train)

    @cached_property
    def class_ids(self) -> list[int]:
        """The classes that training lines hold, ascending."""
        return sorted({i for item in self.train for i in item.target_ids})

    @property
    def printed_texts(self) -> list[str]:
        """What is printed on training and validation lines, in that order; nothing to tell: []."""
        return [self.printed[item.line] for item in self.train + self.val] if self.printed else []

    def sample(self) -> "Material":
        """The same with some of the training lines alone, spread evenly; few lines are all kept."""
        step = max(1, len(self.train) // SAMPLE_SIZE)
        return replace(self, train=self.train[::step], train_turned=self.train_turned[::step])

    def with_printed_texts(self, texts: Sequence[str], info: CheckpointInfo) -> "Material":
        """The same, with what `printed_texts` told."""
        lines = (item.line for item in self.train + self.val)
        return self.as_printed(dict(zip(lines, texts, strict=True)), info) if texts else self

    def as_printed(self, printed: Mapping[Line, str], info: CheckpointInfo) -> "Material":
        """The same lines, to be read as printed; one too short for that as labelled."""

        def aimed(items: tuple[LoadedLine, ...]) -> tuple[LoadedLine, ...]:
            return tuple(_aimed_at(item, printed[item.line], info) for item in items)

        return replace(
            self,
            train=aimed(self.train),
            train_turned=aimed(self.train_turned),
            val=aimed(self.val),
            val_turned=aimed(self.val_turned),
            printed=printed,
        )

    def turned_upright(self, upright: Pass, turned: Pass) -> "Material":
        """Every training line the way up in which it reads better.

        Both its label and a free reading must say so: the label alone misleads where it differs
        from the print, as capitals do on receipts; a free reading alone takes 96 for 96.

        Args:
            upright, turned: the training lines read as they are and by 180°.
        """
        if not self.train_turned:
            return self
        return self.with_turned(
            [
                item.turned
                != (
                    turned.loss_of[item.line] < upright.loss_of[item.line] - TURN_MARGIN
                    and turned.uprightness_of[item.line] > upright.uprightness_of[item.line]
                )
                for item in self.train
            ]
        )

    def with_turned(self, turned: Sequence[bool]) -> "Material":
        """The training lines with these ones by 180° to their picture."""
        if not self.train_turned:
            return self
        pairs = [
            (item, other) if item.turned == wanted else (other, item)
            for item, other, wanted in zip(self.train, self.train_turned, turned, strict=True)
        ]
        train, train_turned = zip(*pairs, strict=True)
        return replace(self, train=train, train_turned=train_turned)


def _aimed_at(item: LoadedLine, text: str, info: CheckpointInfo) -> LoadedLine:
    ids = tuple(info.vocab.encode(text))
    fits = min_time_steps(ids) <= info.model.time_steps(item.pixels.shape[1])
    return replace(item, target_ids=ids) if fits else item


def load_material(
    config: TrainConfig, info: CheckpointInfo, train: Sequence[Line], val: Sequence[Line]
) -> Material:
    """Load every line that the run needs.

    Raises:
        DatasetError: naming the lines whose text cannot be written in their time steps.
    """
    may_turn = config.turn == "auto"
    general = config.general_data
    train_lines = _checked(info, train, config.train_data)
    val_lines = _checked(info, val, config.val_data)
    return Material(
        train=train_lines,
        train_turned=_load(info, train, turned=True) if may_turn else (),
        val=val_lines,
        val_turned=_load(info, val, turned=True) if may_turn else (),
        general_train=_known(info, general / "train.txt") if general else (),
        general_val=_known(info, general / "val.txt") if general else (),
    )


def epoch_lines(config: TrainConfig, material: Material, seed: tuple[int, ...]) -> list[LoadedLine]:
    """The lines of one epoch: all training lines, rare ones repeated, and a draw of general ones.

    A training set smaller than `config.epoch_lines` is repeated until it is nearest to that.
    """
    lines = repeat_rare(material.train, config.rare_repeat)
    lines *= max(1, round(config.epoch_lines / len(lines)))
    rng = np.random.default_rng(seed)
    columns = sum(item.width for item in lines) * config.general_share / (1 - config.general_share)
    lines_of_epoch = lines + _drawn_to_width(material.general_train, columns, rng)
    if material.has_turned:
        wanted = round(len(lines) * config.nothing_share)
        lines_of_epoch += _drawn(nothings(material.train_turned), wanted, rng)
    return lines_of_epoch


def nothings(upside_down: Sequence[LoadedLine]) -> list[LoadedLine]:
    """Lines that stand upside down, to be read as nothing; not those that would be text again."""
    return [
        replace(item, line=replace(item.line, text=""), target_ids=())
        for item in upside_down
        if tells_way_up(item.line.text)
    ]


def _drawn(lines: Sequence[LoadedLine], wanted: int, rng: np.random.Generator) -> list[LoadedLine]:
    return [lines[i] for i in rng.permutation(len(lines))[:wanted]]


def _drawn_to_width(
    lines: Sequence[LoadedLine], columns: float, rng: np.random.Generator
) -> list[LoadedLine]:
    """Lines in random order, again and again, until together they are so many pixels wide."""
    if not lines:
        return []
    rounds = max(1, math.ceil(columns / sum(item.width for item in lines)))
    order = np.concatenate([rng.permutation(len(lines)) for _ in range(rounds)])
    widths_before = np.cumsum([0, *(lines[i].width for i in order)])[:-1]
    return [lines[i] for i, before in zip(order, widths_before, strict=True) if before < columns]


def repeat_rare(lines: Sequence[LoadedLine], most: int) -> list[LoadedLine]:
    """Show lines with rare characters more than once.

    A line is repeated by the square root of how much rarer its rarest character is than the
    median character, at most `most` times.
    """
    counts = Counter(i for item in lines for i in set(item.target_ids))
    median = float(np.median(list(counts.values())))
    repeated = []
    for item in lines:
        rarest = min(counts[i] for i in item.target_ids)
        repeated += [item] * int(np.clip((median / rarest) ** 0.5, 1, most))
    return repeated


def _load(
    info: CheckpointInfo, lines: Sequence[Line], turned: bool = False
) -> tuple[LoadedLine, ...]:
    return tuple(load_lines(lines, info.vocab, info.line, turned))


def _checked(info: CheckpointInfo, lines: Sequence[Line], source: Path) -> tuple[LoadedLine, ...]:
    """Load lines and refuse those whose text cannot be written in their time steps."""
    loaded = _load(info, lines)
    too_long = [
        item.line
        for item in loaded
        if min_time_steps(item.target_ids) > info.model.time_steps(item.pixels.shape[1])
    ]
    if too_long:
        shown = "; ".join(f"line {line.line_number}: {line.text!r}" for line in too_long[:20])
        raise DatasetError(
            f"{source}: {len(too_long)} texts need more time steps than their pictures have: "
            f"{shown}. Correct the texts, widen the crops or leave the lines out (02_dataset)."
        )
    return loaded


def _known(info: CheckpointInfo, index: Path) -> tuple[LoadedLine, ...]:
    """General lines that the vocabulary can write; a smaller vocabulary gives up the others."""
    known = frozenset(info.charset)
    lines = [line for line in read_index(index) if known.issuperset(line.text)]
    return tuple(replace(item, varies=False) for item in _load(info, lines))
