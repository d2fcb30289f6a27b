"""Endless batches of rendered glyphs and lines, which the base checkpoint learns from."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from crnnkit.dataset.general_texts import general_texts, within
from crnnkit.dataset.lines import pad_targets
from crnnkit.dataset.synth import RenderedLine, Renderer
from crnnkit.dataset.texts import Lexicon, TextSource, tells_way_up
from crnnkit.finetuning.config import PretrainConfig
from crnnkit.finetuning.optimizer import Network
from crnnkit.model.config import CheckpointInfo, min_time_steps
from crnnkit.preprocessing.tensors import (
    content_width,
    fit_line,
    half_turn,
    pixels_to_array,
)

NO_TARGET = -100  # what cross_entropy leaves out


class Glyphs(IterableDataset):
    """Endless batches of single glyphs: float32 (B, 1, 32, 32) and their ids (B,)."""

    def __init__(
        self, renderer: Renderer, info: CheckpointInfo, config: PretrainConfig, seen: int
    ) -> None:
        self.renderer, self.info, self.config, self.seen = renderer, info, config, seen
        self.vocab = info.vocab

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = _worker_rng(self.config.seed, self.seen)
        drawable = [c for c in self.vocab.charset if c != " " and self.renderer.can_draw(c)]
        while True:
            chosen = [
                drawable[i] for i in rng.integers(len(drawable), size=self.config.glyph_batch)
            ]
            grays = self.renderer.render_glyphs(chosen, rng)
            images = np.stack([pixels_to_array(gray, self.info.line) for gray in grays])
            yield torch.from_numpy(images), torch.tensor(self.vocab.encode("".join(chosen)))


class FramedBatch(NamedTuple):
    """Rendered lines of one width."""

    images: Tensor
    """float32 (B, 1, H, W)."""
    target_ids: Tensor
    """long (B, L), padded with the blank."""
    target_lengths: Tensor
    """long (B,)."""
    frame_ids: Tensor
    """long (B, T): the character centred in a time step, else NO_TARGET."""
    taught: Tensor | None
    """float32 (B, T, bottleneck): what the teacher's head sees, if there is a teacher."""


@dataclass(frozen=True)
class _FramedLine:
    gray: NDArray[np.uint8]
    target_ids: list[int]
    frame_ids: NDArray[np.int64]


class Lines(IterableDataset):
    """Endless batches of rendered lines of equal width."""

    def __init__(
        self,
        renderer: Renderer,
        info: CheckpointInfo,
        config: PretrainConfig,
        seen: int,
        teacher: Network | None = None,
    ) -> None:
        self.renderer, self.info, self.config, self.seen = renderer, info, config, seen
        self.vocab, self.teacher = info.vocab, teacher

    def __iter__(self) -> Iterator[FramedBatch]:
        rng = _worker_rng(self.config.seed, self.seen)
        charset = "".join(c for c in self.vocab.charset if c == " " or self.renderer.can_draw(c))
        chinese = Lexicon.load(self.config.chinese_lexicon, charset)
        # word lists give every noun with "'s" too
        english = Lexicon.load(self.config.english_lexicon, charset.replace("'", ""))
        mixture = general_texts(charset, chinese, english)
        buckets: dict[int, list[_FramedLine]] = defaultdict(list)
        seen = self.seen
        while True:
            source = within(mixture, charset, self._longest(seen))
            line = self._render(source, rng)
            width = line.gray.shape[1]
            buckets[width].append(line)
            seen += self.config.num_workers or 1
            if len(buckets[width]) * width >= self.config.batch_columns:
                yield self._collate(buckets.pop(width))

    def _longest(self, seen: int) -> int:
        """Characters of the longest text: short lines first."""
        grown = min(1.0, seen / max(1, self.config.short_lines))
        return round(4 + grown * (self.config.max_characters - 4))

    def _render(self, source: TextSource, rng: np.random.Generator) -> _FramedLine:
        """Render until a text fits its picture's time steps, which nearly all do."""
        while True:
            rendered = self.renderer.render_line(source(rng), rng)
            target_ids = self.vocab.encode(rendered.text)
            gray = fit_line(rendered.image, self.info.line)
            time_steps = self.info.model.time_steps(gray.shape[1])
            if (
                min_time_steps(target_ids) <= time_steps
                and gray.shape[1] <= self.info.line.max_width
            ):
                if tells_way_up(rendered.text) and rng.random() < self.config.turned_share:
                    # turned before it is padded: padding on the left would give it away
                    turned = fit_line(half_turn(rendered.image), self.info.line)
                    return _FramedLine(turned, [], np.full(time_steps, NO_TARGET, np.int64))
                return _FramedLine(gray, target_ids, self._frames(rendered, target_ids, time_steps))

    def _frames(
        self, rendered: RenderedLine, target_ids: Sequence[int], time_steps: int
    ) -> NDArray[np.int64]:
        """Place each character's id at the time step that holds its centre."""
        size_hw = rendered.image.shape[:2]
        scale = content_width(size_hw, self.info.line) / size_hw[1]
        px_per_step = self.info.line.height / self.info.model.time_steps(self.info.line.height)
        centres = rendered.glyph_spans.mean(1) * scale / px_per_step
        frames = np.full(time_steps, NO_TARGET, np.int64)
        for step, target in zip(centres.astype(int), target_ids, strict=True):
            if 0 <= step < time_steps:
                frames[step] = target
        return frames

    @torch.no_grad()
    def _collate(self, lines: Sequence[_FramedLine]) -> FramedBatch:
        target_ids, target_lengths = pad_targets([line.target_ids for line in lines])
        arrays = np.stack([pixels_to_array(line.gray, self.info.line) for line in lines])
        images = torch.from_numpy(arrays)
        return FramedBatch(
            images=images,
            target_ids=target_ids,
            target_lengths=target_lengths,
            frame_ids=torch.from_numpy(np.stack([line.frame_ids for line in lines])),
            # read here, in the worker: the learner's core has enough to do
            taught=self.teacher.hidden(images) if self.teacher is not None else None,
        )


def _worker_rng(seed: int, seen: int) -> np.random.Generator:
    """A generator that differs between workers and between the pieces of a run."""
    worker = get_worker_info()
    return np.random.default_rng((seed, seen, worker.id if worker else 0))
