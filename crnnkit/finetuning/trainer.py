"""The training loop: from random weights or a pretrained checkpoint to the best epoch's file."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from crnnkit.dataset.index import Line, read_index
from crnnkit.dataset.lines import Batch, LoadedLine, batches, load_lines
from crnnkit.errors import CrnnKitError, DatasetError
from crnnkit.finetuning.config import EpochResult, TrainConfig, write_history
from crnnkit.metrics import Score, score
from crnnkit.model.checkpoint import (
    Checkpoint,
    VocabChange,
    change_vocab,
    load_checkpoint,
    new_checkpoint,
    save_checkpoint,
)
from crnnkit.model.config import CheckpointInfo, ModelConfig, min_time_steps
from crnnkit.model.ctc import ctc_loss
from crnnkit.model.decode import collapse
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import Vocab

MIN_LR_SHARE = 0.01


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves behind."""

    best_path: Path
    last_path: Path
    best: EpochResult
    history: tuple[EpochResult, ...]
    vocab_change: VocabChange | None
    """None when training began from random weights."""


def train(
    config: TrainConfig,
    on_epoch: Callable[[EpochResult], None] | None = None,
    on_batch: Callable[[float], None] | None = None,
) -> TrainResult:
    """Train and keep the best epoch: lowest validation CER, then lowest validation loss.

    Args:
        on_epoch: called after every epoch.
        on_batch: called after every step with the share of the run that is done, 0 to 1.

    Raises:
        DatasetError: if an index file is faulty or a text needs more time steps than its line has.
        CheckpointError: if the pretrained checkpoint cannot be used.
        VocabError: if the vocabulary lacks characters of the data.
    """
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    torch.manual_seed(config.seed)
    train_index, val_index = read_index(config.train_data), read_index(config.val_data)
    checkpoint, vocab_change = _starting_point(
        config, [line.text for line in train_index + val_index]
    )
    run = _Run(
        config,
        checkpoint,
        _load(checkpoint.info, train_index, config.train_data),
        _load(checkpoint.info, val_index, config.val_data),
    )
    while run.progress < 1:
        result = run.train_epoch(on_batch)
        run.save(result)
        if on_epoch is not None:
            on_epoch(result)
    return TrainResult(run.best_path, run.last_path, run.best, tuple(run.history), vocab_change)


class _Run:
    """A training run's state: network, optimiser, history, time."""

    def __init__(
        self,
        config: TrainConfig,
        checkpoint: Checkpoint,
        train_lines: Sequence[LoadedLine],
        val_lines: Sequence[LoadedLine],
    ) -> None:
        self.config = config
        self.info = checkpoint.info
        # convolutions on a CPU are faster when a pixel's channels lie side by side
        self.model = checkpoint.model.to(config.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train_lines = train_lines
        self.val_lines = val_lines
        self.optimizer = make_optimizer(self.model, config.lr, config.weight_decay)
        self.history: list[EpochResult] = []
        self.best_path = config.output_dir / "best.safetensors"
        self.last_path = config.output_dir / "last.safetensors"
        self.lines_seen = 0
        first = next(batches(train_lines, config.batch_size))
        if not config.num_threads and config.device == "cpu":
            torch.set_num_threads(faster_threads(self.model, first))
        self.dtype = (
            faster_precision(self.model, first)
            if config.precision == "auto"
            else getattr(torch, config.precision)
        )
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def progress(self) -> float:
        """Share of the run that is done: of its epochs or of its minutes, whichever is more."""
        epochs_done = self.lines_seen / (len(self.train_lines) * self.config.epochs)
        return min(1.0, max(epochs_done, self.seconds / (60 * self.config.minutes)))

    @property
    def best(self) -> EpochResult:
        return min(self.history, key=lambda result: (result.val_cer, result.val_loss))

    def train_epoch(self, on_batch: Callable[[float], None] | None) -> EpochResult:
        """One pass over the training lines, cut short where the minutes end; then validate."""
        epoch = len(self.history) + 1
        config, sums, began = self.config, _Sums(self.info.vocab), time.perf_counter()
        self.model.train()
        seed = (config.seed, epoch)
        for batch in batches(self.train_lines, config.batch_size, seed, config.augment):
            sums.add(batch, *self._step(batch))
            self.lines_seen += len(batch.lines)
            if on_batch is not None:
                on_batch(self.progress)
            if self.progress >= 1:
                break
        lines_per_second = sums.num_lines / (time.perf_counter() - began)
        val_loss, val_score = self._validate()
        return EpochResult(
            epoch=epoch,
            train_loss=sums.loss,
            train_cer=sums.score.cer,
            val_loss=val_loss,
            val_cer=val_score.cer,
            val_exact=val_score.exact_match,
            lr=self.optimizer.param_groups[0]["lr"],
            lines_per_second=lines_per_second,
            seconds=self.seconds,
        )

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One optimiser step; returns losses (B,) and logits (B, T, V)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * lr_share(self.progress, self.config.warmup)
        logits, losses = self._forward(batch)
        if not torch.isfinite(losses).all():
            bad = [
                str(line.image)
                for line, loss in zip(batch.lines, losses, strict=True)
                if not loss.isfinite()
            ]
            raise CrnnKitError(
                f"loss is not finite in epoch {len(self.history) + 1} for: {', '.join(bad)}. "
                "Look at these pictures; if they are fine, lower lr."
            )
        # a small batch at the end of a width bucket takes a small step
        share = len(batch.lines) / self.config.batch_size
        loss = share * losses.sum() / batch.target_lengths.sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        return losses.detach(), logits.detach()

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        device = self.config.device
        images = batch.images.to(device, memory_format=torch.channels_last)
        with autocast(device, self.dtype):
            logits = self.model(images)
        losses = ctc_loss(logits, batch.target_ids.to(device), batch.target_lengths.to(device))
        return logits, losses

    def _validate(self) -> tuple[float, Score]:
        self.model.eval()
        sums = _Sums(self.info.vocab)
        with torch.inference_mode():
            for batch in batches(self.val_lines, self.config.batch_size):
                logits, losses = self._forward(batch)
                sums.add(batch, losses, logits)
        return sums.loss, sums.score

    def save(self, result: EpochResult) -> None:
        """Write last, and best where it is; then the history that names them."""
        self.history.append(result)
        metrics = {n: float(v) for n, v in asdict(result).items() if n not in ("seconds",)}
        checkpoint = Checkpoint(self.model, replace(self.info, metrics=metrics))
        save_checkpoint(self.last_path, checkpoint)
        if self.best is result:
            save_checkpoint(self.best_path, checkpoint)
        write_history(self.config.output_dir / "history.csv", self.history)


class _Sums:
    """Losses and readings of a pass, added up batch by batch."""

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.total_loss = 0.0
        self.references: list[str] = []
        self.hypotheses: list[str] = []

    def add(self, batch: Batch, losses: Tensor, logits: Tensor) -> None:
        self.total_loss += float(losses.sum())
        self.references += [line.text for line in batch.lines]
        self.hypotheses += [self.vocab.decode(collapse(ids)) for ids in logits.argmax(2).tolist()]

    @property
    def num_lines(self) -> int:
        return len(self.references)

    @property
    def score(self) -> Score:
        return score(self.references, self.hypotheses)

    @property
    def loss(self) -> float:
        """Nats per character."""
        return self.total_loss / max(1, self.score.num_characters)


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) with weight decay on matrices and kernels alone."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def autocast(device: str, dtype: torch.dtype) -> torch.autocast:
    """Mixed precision for the forward pass; nothing changes for float32."""
    return torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32)


def faster_threads(model: nn.Module, batch: Batch) -> int:
    """One thread, or as many as there are cores: whichever runs a batch faster.

    On a busy machine several threads wait for each other and are slower than one.
    """
    all_threads = torch.get_num_threads()
    seconds = {}
    for num_threads in (1, all_threads):
        torch.set_num_threads(num_threads)
        seconds[num_threads] = min(_seconds(model, batch, torch.float32) for _ in range(2))
    return min(seconds, key=lambda num_threads: seconds[num_threads])


def faster_precision(model: nn.Module, batch: Batch) -> torch.dtype:
    """Float32 or bfloat16: whichever runs a batch faster.

    Processors with bfloat16 units train twice as fast with it; on others it is slower.
    """
    dtypes = (torch.float32, torch.bfloat16)
    return min(dtypes, key=lambda dtype: min(_seconds(model, batch, dtype) for _ in range(3)))


def _seconds(model: nn.Module, batch: Batch, dtype: torch.dtype) -> float:
    """Time forward and backward of a batch; the weights stay as they are."""
    device = next(model.parameters()).device
    images = batch.images.to(device, memory_format=torch.channels_last)
    began = time.perf_counter()
    with autocast(device.type, dtype):
        logits = model(images)
    logits.float().square().mean().backward()
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - began


def lr_share(progress: float, warmup: float) -> float:
    """Share of the peak learning rate: a linear rise during warm-up, then half a cosine."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    done = (progress - warmup) / (1 - warmup)
    return MIN_LR_SHARE + (1 - MIN_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def _starting_point(
    config: TrainConfig, texts: Sequence[str]
) -> tuple[Checkpoint, VocabChange | None]:
    """A network to train, with its description and what became of its vocabulary."""
    training = {
        "train_data_sha256": hashlib.sha256(config.train_data.read_bytes()).hexdigest(),
        "pretrained_ckpt": config.pretrained_ckpt.name if config.pretrained_ckpt else None,
        "lr": config.lr,
        "seed": config.seed,
    }
    own = Vocab.from_texts(texts)
    if config.pretrained_ckpt is None:
        vocab = Vocab.load(config.vocab_path) if config.vocab_path else own
        line_config = LineConfig(enhance=config.enhance)
        info = CheckpointInfo(vocab.charset, ModelConfig(), line_config, training=training)
        return new_checkpoint(info), None
    base = load_checkpoint(config.pretrained_ckpt)
    if config.vocab_path:
        vocab = Vocab.load(config.vocab_path)
    else:
        known = base.info.vocab
        vocab = Vocab(known.charset + "".join(c for c in own.charset if c not in known))
    checkpoint, change = change_vocab(base, vocab)
    info = replace(
        checkpoint.info, line=replace(base.info.line, enhance=config.enhance), training=training
    )
    return Checkpoint(checkpoint.model, info), change


def _load(info: CheckpointInfo, index: Sequence[Line], source: Path) -> list[LoadedLine]:
    """Load lines and refuse those whose text cannot be written in their time steps."""
    loaded = load_lines(index, info.vocab, info.line)
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
