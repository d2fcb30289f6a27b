"""Labels that a trained recogniser does not believe: the first ones to check by eye."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crnnkit.dataset.index import Line
from crnnkit.model.decode import at_temperature, greedy_decode
from crnnkit.model.likelihood import text_log_prob
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import half_turn, line_to_array
from crnnkit.serving.recognizer import Recognizer


@dataclass(frozen=True)
class Suspect:
    """A line that a recogniser reads otherwise than its label says."""

    image: Path
    label: str
    reading: str
    confidence: float
    """Of the reading, 0 to 1, as the recogniser gives it."""
    label_loss: float
    """-log probability of the label, nats per character: the loss of training. Infinite where the
    vocabulary or the line's time steps cannot write it."""
    reading_loss: float
    """The same of the reading; infinite where nothing was read, which contradicts no label."""

    @property
    def doubt(self) -> float:
        """How much more probable the reading is than the label, per character: -1 to 1."""
        return exp(-self.reading_loss) - exp(-self.label_loss)


def rank_suspects(
    recognizer: Recognizer,
    lines: Sequence[Line],
    progress: Callable[[int, int], None] | None = None,
) -> list[Suspect]:
    """The lines that are read otherwise than labelled, the most doubtful label first.

    The doubt is the loss of the label, set against that of the reading: a label of high loss on a
    picture that cannot be read at all says little. It is the normalised margin of Northcutt et al.
    2021, "Confident learning", with the geometric mean over characters for texts of any length.
    The lines may be those of training: wrong labels are learnt by heart last (Arpit et al. 2017,
    "A closer look at memorization in deep networks").

    Args:
        progress: called with (lines judged, lines in all).

    Raises:
        ImageError: if a picture cannot be read.
    """
    suspects = []
    for number, line in enumerate(lines, start=1):
        suspects.append(_judge(recognizer, line))
        if progress is not None:
            progress(number, len(lines))
    differing = [suspect for suspect in suspects if suspect.reading != suspect.label]
    return sorted(differing, key=lambda suspect: -suspect.doubt)


def _judge(recognizer: Recognizer, line: Line) -> Suspect:
    image, config, vocab = read_image(line.image), recognizer.line_config, recognizer.vocab
    ways_up = [image, half_turn(image)] if config.turn_below else [image]
    candidates = [recognizer.logits(line_to_array(i, config)[np.newaxis])[0] for i in ways_up]
    readings = [greedy_decode(logits) for logits in candidates]
    surest = max(range(len(readings)), key=lambda way: readings[way].uprightness)
    honest = at_temperature(readings[surest], candidates[surest], recognizer.temperature)
    read_ids = honest.ids
    label_ids = None if vocab.missing(line.text) else vocab.encode(line.text)
    return Suspect(
        image=line.image,
        label=line.text,
        reading=vocab.decode(read_ids),
        confidence=honest.confidence,
        # a label is given the benefit of either way up
        label_loss=min(_loss(logits, label_ids) for logits in candidates) if label_ids else inf,
        reading_loss=_loss(candidates[surest], read_ids) if read_ids else inf,
    )


def _loss(logits: NDArray[np.floating], target_ids: Sequence[int]) -> float:
    """Nats per character."""
    return -text_log_prob(logits, target_ids) / len(target_ids)
