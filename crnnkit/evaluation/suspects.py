"""Labels that a trained recogniser does not believe: the first ones to check by eye."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crnnkit.dataset.index import Line
from crnnkit.model.likelihood import text_log_prob
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import half_turn
from crnnkit.serving.readings import LineReading
from crnnkit.serving.recognizer import Recognizer


@dataclass(frozen=True)
class Suspect:
    """A line that a recogniser reads otherwise than its label says, and holds that for likelier."""

    image: Path
    label: str
    reading: str
    confidence: float
    """Of the reading, 0 to 1, as the recogniser gives it."""
    label_loss: float
    """-log probability of the label by the network alone, nats per character: the loss of
    training. Infinite where the vocabulary or the line's time steps cannot write it."""
    reading_loss: float
    """The same of the reading."""

    @property
    def doubt(self) -> float:
        """How much more probable the reading is than the label, per character: above 0, up to 1."""
        return exp(-self.reading_loss) - exp(-self.label_loss)


def rank_suspects(
    recognizer: Recognizer,
    lines: Sequence[Line],
    progress: Callable[[int, int], None] | None = None,
) -> list[Suspect]:
    """The lines whose labels are doubted, the most doubtful first.

    A label is doubted where the recogniser, as it is served, reads something else, and its network
    alone holds that for more probable than the label. What language alone decided is no evidence
    against a label, nor is that nothing was read.

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
    readings = recognizer.stream_lines(line.image for line in lines)
    for number, (line, reading) in enumerate(zip(lines, readings, strict=True), start=1):
        if reading.text not in ("", line.text):
            suspects.append(_judge(recognizer, line, reading))
        if progress is not None:
            progress(number, len(lines))
    doubted = [suspect for suspect in suspects if suspect.doubt > 0]
    return sorted(doubted, key=lambda suspect: -suspect.doubt)


def _judge(recognizer: Recognizer, line: Line, reading: LineReading) -> Suspect:
    image, vocab = read_image(line.image), recognizer.vocab
    ways_up = [image, half_turn(image)] if recognizer.line_config.turn_below else [image]
    candidates = [recognizer.line_logits(way_up) for way_up in ways_up]
    label_ids = None if vocab.missing(line.text) else vocab.encode(line.text)
    return Suspect(
        image=line.image,
        label=line.text,
        reading=reading.text,
        confidence=reading.confidence,
        # a label is given the benefit of either way up
        label_loss=min(_loss(logits, label_ids) for logits in candidates) if label_ids else inf,
        reading_loss=_loss(candidates[reading.turned], vocab.encode(reading.text)),
    )


def _loss(logits: NDArray[np.floating], target_ids: Sequence[int]) -> float:
    """Nats per character."""
    return -text_log_prob(logits, target_ids) / len(target_ids)
