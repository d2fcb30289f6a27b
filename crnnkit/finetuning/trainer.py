"""The training loop: from random weights or a pretrained checkpoint to the best epoch's file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crnnkit.dataset.index import read_index
from crnnkit.dataset.lines import Batch, LoadedLine, batches
from crnnkit.finetuning import processes
from crnnkit.finetuning.calibrate import calibrate
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.events import event_file
from crnnkit.finetuning.history import (
    EpochResult,
    best_epoch,
    epochs_without_gain,
    write_history,
)
from crnnkit.finetuning.losses import Anchor, forward, refuse_not_finite
from crnnkit.finetuning.material import Material, epoch_lines, load_material
from crnnkit.finetuning.optimizer import (
    begin_learning,
    blended,
    frozen_copy,
    lr_share,
    make_optimizer,
    moving_average,
)
from crnnkit.finetuning.reading import Pass, read_lines
from crnnkit.finetuning.result import TrainResult
from crnnkit.finetuning.resume import RunState, load_state, save_state, settings_of
from crnnkit.finetuning.sampling import ClassSample, sample_classes
from crnnkit.finetuning.speed import faster_precision, faster_threads, keep_freed_memory
from crnnkit.finetuning.start import starting_point
from crnnkit.model.checkpoint import Checkpoint, save_checkpoint
from crnnkit.model.config import CheckpointInfo
from crnnkit.model.crnn import CRNN, ClassicCRNN
from crnnkit.model.decode import collapse
from crnnkit.model.language import learn_language
from crnnkit.model.spelling import learn_spelling

TURN_EPOCHS = (3, 8)
"""Epochs after which the training lines are turned upright by what the network has learnt; a
pretrained one can tell before the first."""
TURN_BELOW = 0.8
"""Confidence under which such a checkpoint reads a line both ways."""
OnBatch = Callable[[float, float], None]
"""Takes the share of the run that is done, 0 to 1, and the epoch's lines a second so far."""


@processes.joined()
def train(
    config: TrainConfig,
    on_epoch: Callable[[EpochResult], None] | None = None,
    on_batch: OnBatch | None = None,
) -> TrainResult:
    """Train and keep the best epoch, see `history.best_epoch`; make its confidences honest.

    Where torchrun started several processes, all of them call this and get the same result.

    Args:
        on_epoch: called after every epoch.
        on_batch: called after every step.

    Raises:
        DatasetError: if an index file is faulty or a text needs more time steps than its line has.
        CheckpointError: if the pretrained checkpoint cannot be used, or there is no run to resume.
        VocabError: if the vocabulary lacks characters of the data.
    """
    keep_freed_memory()
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    torch.manual_seed(config.seed)
    train_index, val_index = read_index(config.train_data), read_index(config.val_data)
    checkpoint, vocab_change = starting_point(
        config, [line.text for line in train_index + val_index]
    )
    material = load_material(config, checkpoint.info, train_index, val_index)
    run = _Run(config, checkpoint, material)
    if config.resume:
        run.restore(load_state(run.state_path, run.settings))
    else:
        run.prepare()
    with event_file(config, len(run.history)) as show:
        while not run.is_over:
            result = run.train_epoch(on_batch)
            run.save(result)
            show(result)
            if on_epoch is not None:
                on_epoch(result)
    val, val_turned = run.material.val, run.material.val_turned
    calibration = None
    if processes.is_first():
        texts = [line.text for line in train_index]
        language = learn_language(texts) if config.language == "auto" else None
        calibration = calibrate(run.best_path, val, val_turned, config.batch_size, language)
    calibration = processes.agreed(calibration)
    assert calibration is not None, "the first process made it"
    return TrainResult(
        best_path=run.best_path,
        last_path=run.last_path,
        best=run.best,
        history=tuple(run.history),
        vocab_change=vocab_change,
        general_cer_before=run.general_cer_before,
        num_turned=run.material.num_turned,
        written_as=run.info.written_as,
        calibration=calibration,
        max_forgetting=config.max_forgetting,
    )


class _Run:
    """A training run's state: network, its moving average, optimiser, history, time."""

    def __init__(self, config: TrainConfig, checkpoint: Checkpoint, material: Material) -> None:
        self.config, self.info, self.material = config, checkpoint.info, material
        self.settings = settings_of(config, self.info.model)
        # convolutions on a CPU are faster when a pixel's channels lie side by side
        self.model = checkpoint.model.to(config.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.start = frozen_copy(self.model) if config.anchor_weight or config.blend_base else None
        self.average = AveragedModel(
            self.model, multi_avg_fn=moving_average(config.average_decay), use_buffers=True
        )
        self.networks = {"model": self.model, "average": self.average}
        self.optimizer = make_optimizer(
            self.model, config.peak_lr, config.weight_decay, config.conv_lr_share
        )
        self.history: list[EpochResult] = []
        self.best_path = config.output_dir / "best.safetensors"
        self.last_path = config.output_dir / "last.safetensors"
        self.state_path = config.output_dir / "resume.safetensors"
        self.general_cer_before: float | None = None
        self.epoch_done = 0.0  # share of the epoch that is not in the history yet
        self.dtype = torch.float32
        self.started, self.seconds = time.perf_counter(), 0.0

    def prepare(self) -> None:
        """Measure what is measured once: speed, general reading, upside-down lines."""
        config = self.config
        probe = next(batches(self.material.train, config.batch_size))
        if not config.num_threads and config.device == "cpu":
            torch.set_num_threads(faster_threads(self.model, probe))
        self.dtype = (
            processes.agreed(faster_precision(self.model, probe))
            if config.precision == "auto"
            else getattr(torch, config.precision)
        )
        if self.material.general_val and config.pretrained_ckpt:
            self.general_cer_before = self._general_cer(self.model)
        if config.pretrained_ckpt and self._is_worth_reading():
            network = self._kept_network()
            read = self._read(network, self.material.train)
            self._turn_lines(network, read)
            self._learn_spelling(network, read)
        self.started = time.perf_counter()

    def _is_worth_reading(self) -> bool:
        """Whether, of some training lines, any stand upside down or are labelled otherwise than
        printed: to read all of many lines both ways takes as long as an epoch."""
        some, network = self.material.sample(), self._kept_network()
        if len(some.train) == len(self.material.train):
            return True
        read, turned = (self._read(network, lines) for lines in (some.train, some.train_turned))
        has_spelling = bool(learn_spelling(read.references, read.hypotheses, self.info.charset))
        return has_spelling or some.turned_upright(read, turned).num_turned > 0

    def _look_at_clock(self) -> None:
        """What ends the run and sets its rate is read here alone, and the same in all processes."""
        self.seconds = processes.agreed(time.perf_counter() - self.started)

    @property
    def progress(self) -> float:
        """Share of the run that is done: of its epochs or of its minutes, whichever is more."""
        epochs_done = len(self.history) + self.epoch_done
        time_done = self.seconds / (60 * self.config.minutes)
        return min(1.0, max(epochs_done / self.config.epochs, time_done))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, or nothing better has come for `patience` epochs."""
        patience = self.config.patience
        return self.progress >= 1 or 0 < patience <= epochs_without_gain(self.history)

    @property
    def best(self) -> EpochResult:
        before, allowed = self.general_cer_before, self.config.max_forgetting
        limit = None if before is None or allowed is None else before + allowed
        num_characters = sum(len(item.target_ids) for item in self.material.val)
        return best_epoch(self.history, limit, num_characters)

    def train_epoch(self, on_batch: OnBatch | None) -> EpochResult:
        """One pass over the training lines, cut short where the minutes end; then validate."""
        epoch = len(self.history) + 1
        config, began = self.config, time.perf_counter()
        sums = Pass(self.info.vocab, self.info.spelling)
        # dropout's draws: see resume.py
        torch.manual_seed((config.seed + 1_000 * processes.rank()) * 100_003 + epoch)
        begin_learning(self.model, config.freeze_norm)
        lines = epoch_lines(config, self.material, (config.seed, epoch))
        rng, num_lines = np.random.default_rng((config.seed, epoch, 1)), 0
        for batch in batches(lines, config.batch_size, (config.seed, epoch), config.varied_share):
            self._step(batch, rng, sums)
            self._look_at_clock()
            num_lines += len(batch.lines)
            lines_per_second = num_lines / (time.perf_counter() - began)
            self.epoch_done = num_lines / len(lines)
            if on_batch is not None:
                on_batch(self.progress, lines_per_second)
            if self.progress >= 1:
                break
        sums = Pass.of_all(processes.gathered(sums))
        for network in (self.model, self.average):
            processes.average_buffers(network)
        network = self._kept_network()
        if epoch in TURN_EPOCHS:
            self._turn_lines(network)
        val = self._read(network, self.material.val, self.material.val_turned)
        general_cer = self._general_cer(network)
        self._look_at_clock()
        result = EpochResult(
            epoch=epoch,
            train_loss=sums.loss,
            train_cer=sums.score.cer,
            val_loss=val.loss,
            val_cer=val.score.cer,
            val_exact=val.score.exact_match,
            lr=self.optimizer.param_groups[0]["lr"],
            lines_per_second=lines_per_second,
            seconds=self.seconds,
            general_cer=general_cer,
        )
        return processes.agreed(result)

    def _step(self, batch: Batch, rng: np.random.Generator, sums: Pass) -> None:
        """One optimiser step on a batch, of which this process computes its share."""
        self._set_learning_rates()
        classes = self._classes(batch, rng)
        self.optimizer.zero_grad(set_to_none=True)
        if mine := range(len(batch.lines))[processes.share()]:
            self._learn(batch.take(mine), batch, classes, sums)
        processes.sum_gradients(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.average.update_parameters(self.model)

    @cached_property
    def anchor(self) -> Anchor | None:
        """What general lines are held to; read when the precision is settled."""
        if self.start is None or not self.config.anchor_weight:
            return None
        general = self.material.general_train
        return Anchor.of(self.start, general, self.config.batch_size, self.dtype)

    def _learn(self, mine: Batch, whole: Batch, classes: ClassSample | None, sums: Pass) -> None:
        """Add what some of a whole batch's lines give to its gradient; note what they read."""
        logits, losses = forward(self.model, mine, self.dtype, classes)
        refuse_not_finite(losses, mine, len(self.history) + 1)
        # a small batch at the end of a width bucket takes a small step
        share = len(whole.lines) / self.config.batch_size
        loss = share * losses.sum() / whole.target_lengths.sum().clamp(min=1)
        if self.anchor is not None:
            drift = self.anchor.divergence(mine, whole, logits, self.dtype, classes)
            loss = loss + share * self.config.anchor_weight * drift
        loss.backward()
        # numpy's argmax is several times as fast as torch's
        best = logits.detach().float().cpu().numpy().argmax(2)
        ids = best if classes is None else classes.ids.numpy()[best]
        sums.add(mine, losses.detach(), [collapse(row) for row in ids.tolist()])

    def _classes(self, batch: Batch, rng: np.random.Generator) -> ClassSample | None:
        """What this step looks at of the vocabulary; None: all of it."""
        if not self.config.drawn_classes or not isinstance(self.model, CRNN):
            return None
        kept = torch.cat([torch.tensor(self.material.class_ids), batch.target_ids.flatten()])
        return sample_classes(kept, self.model.vocab_size, self.config.drawn_classes, rng)

    def _set_learning_rates(self) -> None:
        is_frozen = self.progress < self.config.frozen_share
        for group in self.optimizer.param_groups:
            share = 0.0 if is_frozen and group["is_conv"] else group["lr_share"]
            group["lr"] = self.config.peak_lr * share * lr_share(self.progress, self.config.warmup)

    def _turn_lines(self, network: CRNN | ClassicCRNN, upright: Pass | None = None) -> None:
        """Turn training lines that read better upside down; if there are some, read so as well.

        Args:
            upright: the training lines as `network` reads them, where they have been read.
        """
        if not self.material.train_turned:
            return
        self.material = self.material.turned_upright(
            upright or self._read(network, self.material.train),
            self._read(network, self.material.train_turned),
        )
        self._read_both_ways_below(TURN_BELOW if self.material.has_turned else 0.0)

    def _read_both_ways_below(self, confidence: float) -> None:
        self.info = replace(self.info, line=replace(self.info.line, turn_below=confidence))

    def _learn_spelling(self, network: CRNN | ClassicCRNN, read: Pass) -> None:
        """Train on what is printed where labels write that otherwise throughout.

        Args:
            read: the training lines as `network`, the pretrained one, reads them.
        """
        written_as = learn_spelling(read.references, read.hypotheses, self.info.charset)
        if written_as:
            val = self._read(network, self.material.val)
            self.info = replace(self.info, written_as=written_as)
            printed = read.printed(self.info.spelling) | val.printed(self.info.spelling)
            self.material = self.material.as_printed(printed, self.info)

    def _read(
        self,
        network: CRNN | ClassicCRNN,
        lines: Sequence[LoadedLine],
        turned: Sequence[LoadedLine] = (),
        info: CheckpointInfo | None = None,
    ) -> Pass:
        """Read lines, every process its share of them, with a result that all have."""

        def run(batch: Batch) -> tuple[Tensor, Tensor]:
            return forward(network, batch, self.dtype)

        network.eval()
        share = processes.share()
        wanted, batch_size = info or self.info, self.config.batch_size
        read = read_lines(run, wanted, lines[share], turned[share], batch_size)
        return Pass.of_all(processes.gathered(read))

    def _general_cer(self, network: CRNN | ClassicCRNN) -> float | None:
        """Of general lines, as printed; None without any."""
        info = replace(self.info, written_as={})
        lines = self.material.general_val
        return self._read(network, lines, info=info).score.cer if lines else None

    def _kept_network(self) -> CRNN | ClassicCRNN:
        """What is validated and kept: the moving average, blended with the start if asked for."""
        network = self.average.module if self.config.average_decay else self.model
        assert isinstance(network, CRNN | ClassicCRNN)
        if not self.config.blend_base:
            return network
        assert self.start is not None, "the configuration asks for both or neither"
        return blended(network, self.start, self.config.blend_base)

    def save(self, result: EpochResult) -> None:
        """Take in an epoch and, in the first process, write it."""
        self.history.append(result)
        self.epoch_done = 0.0
        if processes.is_first():
            self._write(result)

    def _write(self, result: EpochResult) -> None:
        """Write last, best where it is, the history, and at the end the state that names them."""
        metrics = {
            n: float(v) for n, v in asdict(result).items() if n != "seconds" and v is not None
        }
        checkpoint = Checkpoint(self._kept_network(), replace(self.info, metrics=metrics))
        save_checkpoint(self.last_path, checkpoint)
        if self.best is result:
            save_checkpoint(self.best_path, checkpoint)
        write_history(self.config.output_dir / "history.csv", self.history)
        save_state(self.state_path, self.settings, self._state())

    def _state(self) -> RunState:
        facts = {
            "seconds": self.seconds,
            "precision": str(self.dtype).removeprefix("torch."),
            "num_threads": torch.get_num_threads(),
            "general_cer_before": self.general_cer_before,
            "turned": [item.turned for item in self.material.train],
            "turn_below": self.info.line.turn_below,
            "written_as": self.info.written_as,
            "printed": self.material.printed_texts,
        }
        return RunState.of(self.networks, self.optimizer, self.history, facts)

    def restore(self, state: RunState) -> None:
        """Become the interrupted run."""
        facts = state.facts
        self.history = list(state.history)
        state.give_to(self.networks, self.optimizer)
        self.general_cer_before = facts["general_cer_before"]
        self.material = self.material.with_turned(facts["turned"])
        self._read_both_ways_below(facts["turn_below"])
        self.info = replace(self.info, written_as=facts["written_as"])
        self.material = self.material.with_printed_texts(facts["printed"], self.info)
        self.dtype = getattr(torch, facts["precision"])
        torch.set_num_threads(facts["num_threads"])
        self.seconds = facts["seconds"]
        self.started = time.perf_counter() - self.seconds
