"""The base checkpoint's own recipe: rendered glyphs first, then rendered lines.

CTC from random weights with thousands of classes stays on the all-blank plateau for very long.
So the convolutions, bottleneck and head first learn to name single glyphs; lines start from
there, helped by cross-entropy at the glyphs' centres, which the renderer knows, until CTC
alone goes on. A run may be interrupted: it continues from what its output file holds.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from crnnkit.dataset.general_texts import general_texts, within
from crnnkit.dataset.lines import pad_targets
from crnnkit.dataset.synth import RenderedLine, Renderer
from crnnkit.dataset.texts import Lexicon, TextSource
from crnnkit.errors import CheckpointError
from crnnkit.finetuning.optimizer import make_optimizer
from crnnkit.finetuning.speed import autocast, keep_freed_memory
from crnnkit.model.checkpoint import Checkpoint, load_checkpoint, new_checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig, min_time_steps
from crnnkit.model.crnn import CRNN
from crnnkit.model.ctc import ctc_loss
from crnnkit.preprocessing.tensors import LineConfig, content_width, fit_line, pixels_to_array
from crnnkit.vocab import BLANK_ID, Vocab

NO_TARGET = -100  # what cross_entropy leaves out
EMA_DECAY = 0.999
REPORT_SECONDS = 30.0


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of the recipe."""

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
    glyph_batch: int = 256
    batch_columns: int = 8192
    """Pixel columns of a batch of lines: 32 lines of width 256."""
    glyph_lr: float = 2e-3
    line_lr: float = 1e-3
    warmup_steps: int = 200
    """Steps over which the rate rises at the start of every piece: AdamW's moments start afresh."""
    cooldown: float = 0.3
    """Share of the piece over whose end the rate falls to a twentieth: what is written then reads
    better than any average of fast steps."""
    save_minutes: float = 5.0
    num_threads: int = 0
    """Threads of torch; 0 = as many as torch itself chooses."""
    num_workers: int = 1
    """Rendering processes."""
    dtype: torch.dtype = torch.bfloat16
    device: str = "cpu"
    seed: int = 1


@dataclass(frozen=True)
class Report:
    """How the run stands, averaged since the report before."""

    stage: str
    seen: int
    """Glyphs or lines since the very beginning."""
    loss: float
    accuracy: float
    """Glyphs named right; of lines: glyph centres named right."""
    per_second: float
    minutes: float

    def __str__(self) -> str:
        """One line for a log."""
        return (
            f"{self.minutes:6.1f} min | {self.stage} {self.seen:>9,} | loss {self.loss:6.3f} | "
            f"accuracy {self.accuracy:5.1%} | {self.per_second:5.0f}/s"
        )


def pretrain(
    config: PretrainConfig, renderer: Renderer, on_report: Callable[[Report], None]
) -> None:
    """Run one piece of the recipe: `config.minutes` from where the output file stands.

    Raises:
        CheckpointError: if the output exists but is no checkpoint of the light CRNN.
        VocabError, DatasetError: if vocabulary, lexicons or faces cannot be used.
    """
    keep_freed_memory()
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    torch.manual_seed(config.seed)
    run = _Run(config, renderer, on_report)
    if run.glyphs_seen < config.glyphs:
        run.learn_glyphs()
    run.learn_lines()
    run.save()


class _Run:
    """Network, its moving average, and the counters that travel in the checkpoint."""

    def __init__(
        self, config: PretrainConfig, renderer: Renderer, on_report: Callable[[Report], None]
    ) -> None:
        self.config, self.renderer, self.on_report = config, renderer, on_report
        checkpoint = _starting_point(config)
        if not isinstance(checkpoint.model, CRNN):
            raise CheckpointError(
                f"{config.output}: an imported network; the recipe trains the light CRNN alone. "
                "Write to another file, or fine-tune the imported one with crnnkit train."
            )
        self.info = checkpoint.info
        self.glyphs_seen = int(self.info.training.get("glyphs_seen", 0))
        self.lines_seen = int(self.info.training.get("lines_seen", 0))
        self.model = checkpoint.model.train().to(config.device)
        self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY), use_buffers=True
        )
        self.optimizer = make_optimizer(self.model, config.line_lr, weight_decay=0.01)
        self.steps = 0
        self.started = self.saved = time.perf_counter()
        self.meter = _Meter()

    @property
    def minutes(self) -> float:
        return (time.perf_counter() - self.started) / 60

    def learn_glyphs(self) -> None:
        """Name single glyphs: mean of the time steps' features, then the head."""
        loader = self._loader(_Glyphs(self.renderer, self.info, self.config, self.glyphs_seen))
        for images, ids in loader:
            logits = self._forward(images, self._glyph_logits)
            loss = F.cross_entropy(logits.float(), ids.to(self.config.device))
            right = (logits.argmax(1).cpu() == ids).sum()
            self._step(loss, self.config.glyph_lr)
            self.glyphs_seen += len(ids)
            self.meter.add(len(ids), float(loss.detach()) * len(ids), int(right), len(ids))
            self._tick("glyphs", self.glyphs_seen)
            if self.glyphs_seen >= self.config.glyphs or self.minutes >= self.config.minutes:
                return

    def learn_lines(self) -> None:
        """Read lines: CTC, and cross-entropy at glyph centres that fades out."""
        loader = self._loader(_Lines(self.renderer, self.info, self.config, self.lines_seen))
        for batch in loader:
            if self.minutes >= self.config.minutes:
                return
            logits = self._forward(batch.images, self.model)
            targets = batch.frame_ids.to(self.config.device)
            losses = ctc_loss(
                logits,
                batch.target_ids.to(self.config.device),
                batch.target_lengths.to(self.config.device),
            )
            ctc = losses.sum() / batch.target_lengths.sum()
            framing = max(0.0, 1 - self.lines_seen / self.config.framed_lines)
            loss = ctc
            if framing > 0:
                loss = ctc + framing * F.cross_entropy(
                    logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET
                )
            is_centre = batch.frame_ids != NO_TARGET
            right = (logits.argmax(2).cpu() == batch.frame_ids)[is_centre].sum()
            self._step(loss, self.config.line_lr)
            count = len(batch.images)
            self.lines_seen += count
            self.meter.add(count, float(ctc.detach()) * count, int(right), int(is_centre.sum()))
            self._tick("lines", self.lines_seen)

    def _glyph_logits(self, images: Tensor) -> Tensor:
        """Logits (B, V) of single glyphs, which are never blank."""
        model = self.model
        features: Tensor = torch.relu(model.features(images)).mean(1)  # (B, bottleneck)
        logits: Tensor = model.head(model.dropout(features))
        return logits.index_fill(1, torch.tensor([BLANK_ID], device=logits.device), float("-inf"))

    def _forward(self, images: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Run pictures (B, 1, H, W) through a network in mixed precision."""
        images = images.to(self.config.device, memory_format=torch.channels_last)
        with autocast(self.config.device, self.config.dtype):
            return network(images)

    def _step(self, loss: Tensor, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr * self._lr_share()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.steps += 1

    def _lr_share(self) -> float:
        """Rises over the first steps, falls over the last minutes of the piece."""
        left = 1 - self.minutes / self.config.minutes
        rise = (self.steps + 1) / self.config.warmup_steps
        return max(0.05, min(1.0, rise, left / self.config.cooldown))

    def _loader(self, dataset: IterableDataset) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=None,
            num_workers=self.config.num_workers,
            prefetch_factor=8 if self.config.num_workers else None,
        )

    def _tick(self, stage: str, seen: int) -> None:
        """Report and save where it is time."""
        if self.meter.seconds >= REPORT_SECONDS:
            self.on_report(self.meter.report(stage, seen, self.minutes))
            self.meter = _Meter()
        if time.perf_counter() - self.saved >= 60 * self.config.save_minutes:
            self.save()
            self.saved = time.perf_counter()

    def save(self) -> None:
        """Write the moving average, which reads better than the weights of any one step."""
        counters = {"glyphs_seen": self.glyphs_seen, "lines_seen": self.lines_seen}
        info = replace(self.info, training=self.info.training | counters)
        average = self.average.module
        assert isinstance(average, CRNN)
        save_checkpoint(self.config.output, Checkpoint(average, info), half=True)


def _starting_point(config: PretrainConfig) -> Checkpoint:
    if config.output.exists():
        return load_checkpoint(config.output)
    vocab = Vocab.load(config.vocab_path)
    return new_checkpoint(
        CheckpointInfo(vocab.charset, ModelConfig(), LineConfig(), training={"recipe": "pretrain"})
    )


class _Meter:
    """Sums since the last report."""

    def __init__(self) -> None:
        self.count = self.right = self.asked = 0
        self.loss = 0.0
        self.began = time.perf_counter()

    def add(self, count: int, loss: float, right: int, asked: int) -> None:
        self.count += count
        self.loss += loss
        self.right += right
        self.asked += asked

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def report(self, stage: str, seen: int, minutes: float) -> Report:
        return Report(
            stage=stage,
            seen=seen,
            loss=self.loss / self.count,
            accuracy=self.right / max(1, self.asked),
            per_second=self.count / self.seconds,
            minutes=minutes,
        )


class _Glyphs(IterableDataset):
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


@dataclass(frozen=True)
class FramedBatch:
    """Rendered lines of one width."""

    images: Tensor
    """float32 (B, 1, H, W)."""
    target_ids: Tensor
    """long (B, L), padded with the blank."""
    target_lengths: Tensor
    """long (B,)."""
    frame_ids: Tensor
    """long (B, T): the character centred in a time step, else NO_TARGET."""


@dataclass(frozen=True)
class _FramedLine:
    gray: NDArray[np.uint8]
    target_ids: list[int]
    frame_ids: NDArray[np.int64]


class _Lines(IterableDataset):
    """Endless batches of rendered lines of equal width."""

    def __init__(
        self, renderer: Renderer, info: CheckpointInfo, config: PretrainConfig, seen: int
    ) -> None:
        self.renderer, self.info, self.config, self.seen = renderer, info, config, seen
        self.vocab = info.vocab

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
                yield _collate(buckets.pop(width), self.info.line)

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


def _collate(lines: Sequence[_FramedLine], config: LineConfig) -> FramedBatch:
    target_ids, target_lengths = pad_targets([line.target_ids for line in lines])
    return FramedBatch(
        images=torch.from_numpy(np.stack([pixels_to_array(line.gray, config) for line in lines])),
        target_ids=target_ids,
        target_lengths=target_lengths,
        frame_ids=torch.from_numpy(np.stack([line.frame_ids for line in lines])),
    )


def _worker_rng(seed: int, seen: int) -> np.random.Generator:
    """A generator that differs between workers and between the pieces of a run."""
    worker = get_worker_info()
    return np.random.default_rng((seed, seen, worker.id if worker else 0))
