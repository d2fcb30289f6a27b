"""Lines wider than the network reads at once: overlapping chunks, joined on their posteriors."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crnnkit.model.decode import Decoded
from crnnkit.vocab import BLANK_ID

Logits = NDArray[np.floating]

MARGIN = 0.25
"""Share of an overlap, at either end, where one of the chunks lacks what stands beside."""


def chunk_starts(width: int, chunk: int, overlap: int) -> list[int]:
    """Left edges, px, of the chunks of a line that is wider than one.

    All are `chunk` wide and overlap by at least `overlap`; the last ends where the line ends.
    """
    starts = range(0, width - overlap, chunk - overlap)
    return [min(start, width - chunk) for start in starts]


def segments(chunks: Iterable[Logits], starts: Sequence[int]) -> Iterator[Logits]:
    """Cut the chunks' logits so that they follow each other without overlap: the line's (T, V).

    In each overlap one chunk hands over to the next at the step around which both are surest
    that there is no character: a character stands wholly in the one or wholly in the other.
    Two chunks are held at a time.

    Args:
        chunks: logits (T, V) of each.
        starts: time step of the line at which each begins, in ascending order.
    """
    begin = 0
    places = zip(pairwise(chunks), pairwise(starts), strict=True)
    for (left, right), (start, next_start) in places:
        # The last overlap may be long and reach back behind the seam before it.
        first, end = max(begin, next_start), start + len(left)
        seam = first + _seam(left[first - start :], right[first - next_start : end - next_start])
        yield left[begin - start : seam - start]
        begin = seam
    yield right[begin - next_start :]


def merged(parts: Iterable[tuple[Decoded, int]]) -> Decoded:
    """One greedy reading of the segments' readings, each given with its number of time steps."""
    decoded, lengths = zip(*parts, strict=True)
    offsets = np.cumsum([0, *lengths])
    spans = [
        tuple((int(start + offset), int(end + offset)) for start, end in part.spans)
        for part, offset in zip(decoded, offsets, strict=False)
    ]
    steps = [
        tuple(step + int(offset) for step in part.steps)
        for part, offset in zip(decoded, offsets, strict=False)
    ]
    kept = [sum(end - start for start, end in part.spans) for part in decoded]
    weights = kept if any(kept) else lengths
    mean = np.average(np.log([part.confidence for part in decoded]), weights=weights)
    return Decoded(
        ids=sum((part.ids for part in decoded), ()),
        spans=sum(spans, ()),
        char_confidences=sum((part.char_confidences for part in decoded), ()),
        confidence=float(np.exp(mean)),
        steps=sum(steps, ()),
    )


def _seam(left: Logits, right: Logits) -> int:
    """The step of an overlap, (T, V) as either chunk has it, before which they are joined."""
    blank = np.minimum(_blank_log_probs(left), _blank_log_probs(right))
    # Both sides of the seam are to be blank, lest a peak that moved by a step counts twice.
    surest = np.minimum(blank[:-1], blank[1:])
    margin = int(MARGIN * len(blank))
    return margin + int(surest[margin : len(surest) - margin].argmax()) + 1


def _blank_log_probs(logits: Logits) -> Logits:
    best = logits.max(1, keepdims=True)
    log_probs: Logits = logits[:, BLANK_ID] - best[:, 0] - np.log(np.exp(logits - best).sum(1))
    return log_probs
