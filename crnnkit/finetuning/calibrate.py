"""After training: what language may say in a checkpoint's readings, and how sure they may be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from crnnkit.dataset.lines import Batch, LoadedLine
from crnnkit.finetuning.reading import read_batches
from crnnkit.metrics import score
from crnnkit.model.calibration import confidences_by_temperature, fit_temperature
from crnnkit.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from crnnkit.model.ctc import ctc_loss
from crnnkit.model.decode import advised, greedy_decode
from crnnkit.model.language import CharModel, Language

WEIGHTS = (0.15, 0.3, 0.5)
"""Of a language, tried beside none."""
MIN_GAIN = 3
"""Characters that a language must gain: with few validation lines, one or two are luck."""


@dataclass(frozen=True)
class Calibration:
    """What a checkpoint was given after training."""

    temperature: float
    language: Language | None
    """None: it would not have helped."""
    cer_alone: float
    """Of the lines, as the network alone reads them; NaN without lines."""
    cer: float
    """As they are read now."""


@dataclass
class _Trial:
    """What the lines are read as with one weight of the language, or without it."""

    language: Language | None
    model: CharModel | None
    texts: list[str] = field(default_factory=list)
    confidences: list[NDArray[np.float64]] = field(default_factory=list)
    """Of each line at every temperature."""


def calibrate(
    path: str | Path,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine] = (),
    batch_size: int = 16,
    language: Language | None = None,
) -> Calibration:
    """Choose a language's weight, fit the temperature, and write both into the checkpoint.

    Args:
        path: a .safetensors file; its weights stay as they are.
        lines: lines that the weights were not trained on, such as those of validation, loaded
            with the checkpoint's vocabulary.
        turned: the same by 180°, for checkpoints that read unsure lines both ways.
        language: of the training labels; kept with the weight of the lowest CER among those that
            help, see `_helps`, or not at all.

    Returns:
        what was chosen.
    """
    checkpoint = load_checkpoint(path)
    vocab = checkpoint.info.vocab
    weighed = [replace(language, weight=weight) for weight in WEIGHTS] if language else []
    trials = [_Trial(None, None), *(_Trial(each, CharModel(each, vocab)) for each in weighed)]
    labels = []
    for label, logits in _logits(checkpoint, lines, turned, batch_size):
        labels.append(label)
        confidences = {}  # mostly all weights read the same
        alone = greedy_decode(logits)
        for trial in trials:
            decoded = advised(alone, logits, trial.model)
            if decoded.ids not in confidences:
                other = None if decoded is alone else decoded
                confidences[decoded.ids] = confidences_by_temperature(logits, other)
            trial.texts.append(vocab.decode(decoded.ids))
            trial.confidences.append(confidences[decoded.ids])
    helping = [trial for trial in trials[1:] if _helps(labels, trials[0].texts, trial.texts)]
    best = min(helping, key=lambda trial: score(labels, trial.texts).cer, default=trials[0])
    is_right = [text == label for text, label in zip(best.texts, labels, strict=True)]
    temperature = fit_temperature(zip(best.confidences, is_right, strict=True))
    info = replace(checkpoint.info, temperature=temperature, language=best.language)
    save_checkpoint(path, Checkpoint(checkpoint.model, info))
    cers = [score(labels, t.texts).cer if labels else float("nan") for t in (trials[0], best)]
    return Calibration(temperature, best.language, *cers)


def _helps(labels: Sequence[str], before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether readings are better beyond luck: characters that became right outnumber those that
    became wrong by `MIN_GAIN`, and by a standard error, line by line."""
    gains = [
        Levenshtein.distance(label, then) - Levenshtein.distance(label, now)
        for label, then, now in zip(labels, before, after, strict=True)
    ]
    return sum(gains) >= max(MIN_GAIN, sum(gain**2 for gain in gains) ** 0.5)


def _logits(
    checkpoint: Checkpoint,
    lines: Sequence[LoadedLine],
    turned: Sequence[LoadedLine],
    batch_size: int,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Label and logits (T, V) of each line, the way up it is read."""

    def forward(batch: Batch) -> tuple[Tensor, Tensor]:
        logits = checkpoint.model(batch.images)
        return logits, ctc_loss(logits, batch.target_ids, batch.target_lengths)

    for batch, _, readings in read_batches(forward, checkpoint.info, lines, turned, batch_size):
        for line, (_, logits) in zip(batch.lines, readings, strict=True):
            yield line.text, logits
