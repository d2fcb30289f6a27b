"""The base checkpoint's own recipe: rendered glyphs first, then rendered lines.

CTC from random weights with thousands of classes stays on the all-blank plateau for very long.
So the convolutions, bottleneck and head first learn to name single glyphs; lines start from
there, helped by cross-entropy at the glyphs' centres, which the renderer knows, until CTC
alone goes on. A run may be interrupted: it continues from what its output file holds.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from crnnkit.dataset.synth import Renderer
from crnnkit.errors import CheckpointError
from crnnkit.finetuning.config import PretrainConfig
from crnnkit.finetuning.losses import class_logits
from crnnkit.finetuning.optimizer import Network, frozen_copy, make_optimizer
from crnnkit.finetuning.rendered import NO_TARGET, FramedBatch, Glyphs, Lines
from crnnkit.finetuning.sampling import sample_classes
from crnnkit.finetuning.speed import autocast, keep_freed_memory
from crnnkit.model.checkpoint import Checkpoint, load_checkpoint, new_checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig
from crnnkit.model.crnn import CRNN
from crnnkit.model.ctc import ctc_loss
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import BLANK_ID, Vocab

REPORT_SECONDS = 30.0
TURN_BELOW = 0.5
"""Uprightness under which the base reads a line both ways: of lines that all stand upright none
is read worse by it, of wire markers a fifth fewer characters are wrong (benchmarks/LOG.md)."""


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
        self.teacher = _teacher(config, checkpoint)
        self.glyphs_seen = int(self.info.training.get("glyphs_seen", 0))
        self.lines_seen = int(self.info.training.get("lines_seen", 0))
        self.is_cuda = torch.device(config.device).type == "cuda"
        self.model = checkpoint.model.train().to(config.device)
        self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.teacher is not None:
            self.model.dropout.p = 0.0  # features with gaps are not the teacher's
        self.average = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
        )
        self.optimizer = make_optimizer(self.model, config.line_lr, weight_decay=0.01)
        self.class_rng = np.random.default_rng((config.seed, self.lines_seen))
        self.steps = 0
        self.started = self.saved = time.perf_counter()
        self.meter = _Meter()

    @property
    def minutes(self) -> float:
        return (time.perf_counter() - self.started) / 60

    def learn_glyphs(self) -> None:
        """Name single glyphs: mean of the time steps' features, then the head."""
        loader = self._loader(Glyphs(self.renderer, self.info, self.config, self.glyphs_seen))
        for images, ids in loader:
            logits = self._forward(images, self._glyph_logits)
            targets = self._moved(ids)
            loss = F.cross_entropy(logits.float(), targets)
            right = (logits.argmax(1) == targets).sum()
            self._step(loss, self.config.glyph_lr)
            self.glyphs_seen += len(ids)
            self.meter.add(len(ids), loss.detach() * len(ids), right, len(ids))
            self._tick("glyphs", self.glyphs_seen)
            if self.glyphs_seen >= self.config.glyphs or self.minutes >= self.config.minutes:
                return

    def learn_lines(self) -> None:
        """Read lines: CTC, and cross-entropy at glyph centres that fades out."""
        lines = Lines(self.renderer, self.info, self.config, self.lines_seen, self.teacher)
        for batch in self._loader(lines):
            if self.minutes >= self.config.minutes:
                return
            hidden = self._forward(batch.images, self.model.hidden)
            ctc, framing, right = self._label_losses(hidden, batch)
            num_centres = int((batch.frame_ids != NO_TARGET).sum())
            loss = ctc + self._lesson(hidden, batch)
            if (share := 1 - self.lines_seen / self.config.framed_lines) > 0:
                loss = loss + share * framing / max(1, num_centres)
            self._step(loss, self.config.line_lr)
            count = len(batch.images)
            self.lines_seen += count
            self.meter.add(count, ctc.detach() * count, right, num_centres)
            self._tick("lines", self.lines_seen)

    def _label_losses(self, hidden: Tensor, batch: FramedBatch) -> tuple[Tensor, Tensor, Tensor]:
        """CTC, nats a character; cross-entropy at all glyph centres; how many of these are named
        right. Among the batch's characters and some others: a head of 7,000 takes half a step.
        """
        model, config = self.model, self.config
        sample = sample_classes(
            batch.target_ids, model.vocab_size, config.drawn_classes, self.class_rng
        )
        target_ids, frame_ids = batch.target_ids, batch.frame_ids
        if sample is not None:
            target_ids = sample.compact(target_ids)
            frame_ids = frame_ids.where(frame_ids == NO_TARGET, sample.compact(frame_ids))
        logits = class_logits(model.head, hidden, getattr(torch, config.precision), sample)
        # lengths stay on the CPU, where torch reads them
        losses = ctc_loss(logits, self._moved(target_ids), batch.target_lengths)
        centres = self._moved(frame_ids)
        framing = F.cross_entropy(
            logits.flatten(0, 1).float(),
            centres.flatten(),
            ignore_index=NO_TARGET,
            reduction="sum",
        )
        right = (logits.argmax(2) == centres).sum()  # never where a step has no target
        return losses.sum() / batch.target_lengths.sum(), framing, right

    def _lesson(self, hidden: Tensor, batch: FramedBatch) -> Tensor:
        """How far the features are from the teacher's, as a share of the variance of these
        (Romero et al. 2015, "FitNets"); 0 without a teacher."""
        if batch.taught is None:
            return hidden.new_zeros(())
        taught = self._moved(batch.taught)
        return F.mse_loss(hidden.float(), taught) / taught.var()

    def _glyph_logits(self, images: Tensor) -> Tensor:
        """Logits (B, V) of single glyphs, which are never blank."""
        model = self.model
        features: Tensor = torch.relu(model.features(images)).mean(1)  # (B, bottleneck)
        logits: Tensor = model.head(model.dropout(features))
        return logits.index_fill(1, torch.full((1,), BLANK_ID, device=logits.device), float("-inf"))

    def _moved(self, tensor: Tensor) -> Tensor:
        """The tensor on the device; from pinned memory it is copied beside the computing."""
        return tensor.to(self.config.device, non_blocking=self.is_cuda)

    def _forward(self, images: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Run pictures (B, 1, H, W) through a network in mixed precision."""
        images = self._moved(images).contiguous(memory_format=torch.channels_last)
        with autocast(self.config.device, getattr(torch, self.config.precision)):
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
        fall = left / self.config.cooldown if self.config.cooldown else 1.0
        return max(0.05, min(1.0, rise, fall))

    def _loader(self, dataset: IterableDataset) -> DataLoader:
        workers = self.config.num_workers
        return DataLoader(
            dataset,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=max(2, 8 // workers) if workers else None,
            worker_init_fn=_use_one_thread,
            in_order=False,  # whichever worker has a batch: none waits for a slower one
            pin_memory=self.is_cuda,
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
        line = replace(self.info.line, turn_below=TURN_BELOW)
        info = replace(self.info, line=line, training=self.info.training | counters)
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


def _teacher(config: PretrainConfig, pupil: Checkpoint) -> Network | None:
    if config.teacher is None:
        return None
    teacher = load_checkpoint(config.teacher)
    if not (
        teacher.info.charset == pupil.info.charset
        and teacher.model.head.in_features == pupil.model.head.in_features
        and teacher.info.model.time_steps(320) == pupil.info.model.time_steps(320)
    ):
        raise CheckpointError(
            f"{config.teacher} cannot teach {config.output}: vocabulary, bottleneck and time steps "
            "must be the same. It can teach what crnnkit prune makes of it."
        )
    return frozen_copy(teacher.model)


class _Meter:
    """Sums since the last report, kept on the device: reading a number there at every step would
    make the processor wait for it."""

    def __init__(self) -> None:
        self.count = self.asked = 0
        self.right: Tensor | int = 0
        self.loss: Tensor | float = 0.0
        self.began = time.perf_counter()

    def add(self, count: int, loss: Tensor, right: Tensor, asked: int) -> None:
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
            loss=float(self.loss) / self.count,
            accuracy=int(self.right) / max(1, self.asked),
            per_second=self.count / self.seconds,
            minutes=minutes,
        )


def _use_one_thread(worker_id: int) -> None:
    """Workers are as many as the cores; OpenCV would start as many threads again in each."""
    cv2.setNumThreads(1)
