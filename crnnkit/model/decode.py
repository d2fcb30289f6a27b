"""From logits to characters, with numpy, and exponentials by OpenCV."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from crnnkit.model.automaton import START, Automaton
from crnnkit.model.best_path import best_alignment, best_path
from crnnkit.model.language import CharModel
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import BLANK_ID

SURE = 0.95
"""Confidence of a character from which on it is not in doubt."""
WIDEST_CHARACTER = 1.25
"""In line heights: of a line with fewer characters than fill it at this width, some are missing."""
BEAM_SIZE = 8
"""Prefixes that are kept after each step, unless more are asked for."""

Prefix = tuple[int, ...]
Ending = tuple[float, float]
"""Probability of a prefix's paths that end in a blank, and of those that end in its last character;
relative to the best prefix of the step."""


@dataclass(frozen=True)
class Decoded:
    """One line's reading, in ids: a path and what it collapses to."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    """Time steps of each character, half-open [start, end)."""
    char_confidences: tuple[float, ...]
    """Per character: its greatest probability within its span, 0 to 1."""
    confidence: float
    """exp(mean log probability of the path over the kept `steps`), 0 to 1.

    Kept steps are those where the path or the best class is a character: what a constraint adds
    counts, and so does what it leaves out. An empty reading is as sure as its blanks.
    0 belongs to `NOTHING_FITS` alone.
    """
    steps: tuple[int, ...]
    """The kept time steps, see `confidence`."""

    @property
    def uprightness(self) -> float:
        """How much speaks for the line standing upright: the number of characters, each by the
        square of its confidence, so that many doubtful ones do not outweigh a few sure ones.

        A mean would not do: upside down, what is no character is read as nothing, and 1503 as a
        sure 0 (benchmarks/LOG.md).
        """
        return sum(confidence**2 for confidence in self.char_confidences)


NOTHING_FITS = Decoded((), (), (), 0.0, ())
"""The reading where no accepted text fits into the line's time steps."""


def collapse(best_ids: Sequence[int]) -> list[int]:
    """Merge equal neighbours, then drop blanks: Graves et al. 2006, the map B of section 3.1."""
    return [i for i, _ in groupby(best_ids) if i != BLANK_ID]


def greedy_decode(logits: NDArray[np.floating]) -> Decoded:
    """Best path decoding: the best class per step, equal neighbours merged, blanks dropped.

    Graves et al. 2006, section 3.2.

    Args:
        logits: (T, V).
    """
    best_ids = logits.argmax(1)
    return _reading(logits, best_ids, best_ids)


def is_sure(decoded: Decoded) -> bool:
    """Whether no character of a reading is in doubt: what language says need not be asked."""
    return min(decoded.char_confidences, default=1.0) >= SURE


def may_be_upside_down(decoded: Decoded, width: int, config: LineConfig) -> bool:
    """Whether a line is worth reading turned by 180°, too: it is read unsurely, or sparsely.

    Args:
        width: of the line's array, pixels. What is wider than `max_width` is mostly empty where
            little is read, and costs too much to be read once more for that.
        config: tells by `turn_below` under which confidence, or that no line is upside down.
    """
    is_unsure = not decoded.ids or decoded.confidence < config.turn_below
    filled = decoded.uprightness * WIDEST_CHARACTER * config.height
    is_sparse = filled < width <= config.max_width
    return config.turn_below > 0 and (is_unsure or is_sparse)


def decode_line(logits: NDArray[np.floating], language: CharModel | None = None) -> Decoded:
    """`greedy_decode`; where that is unsure and there is a language model, `beam_decode` with it.

    Args:
        logits: (T, V).
    """
    return advised(greedy_decode(logits), logits, language)


def advised(
    found: Decoded, logits: NDArray[np.floating], language: CharModel | None = None
) -> Decoded:
    """`decode_line` where the greedy reading has been found already.

    Args:
        found: `greedy_decode` of the logits.
        logits: (T, V).
    """
    if language is None or is_sure(found):
        return found
    text = next(likely_texts(logits, beam_size=BEAM_SIZE, language=language), found.ids)
    return found if text == found.ids else aligned(logits, text)


def beam_decode(
    logits: NDArray[np.floating],
    automaton: Automaton | None = None,
    beam_size: int = BEAM_SIZE,
    max_candidates: int = 8,
    min_ratio: float = 1e-3,
    language: CharModel | None = None,
) -> Decoded:
    """The text, among those accepted, whose paths together are most probable.

    Prefix beam search: Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech
    Recognition using Bi-Directional Recurrent DNNs", algorithm 1, without its language model and
    with prefixes dropped that no accepted text begins with. It starts from the best accepted
    path, so that no text comes out which is less probable, and an accepted one wherever one fits.

    Args:
        logits: (T, V).
        automaton: which texts may come out; None = all.
        beam_size: prefixes kept after each step.
        max_candidates: characters tried in each step, the most probable ones.
        min_ratio: a character less probable than this share of the best class of its step counts
            as impossible there.
        language: what multiplies in how well a character follows those before it.
    """
    path = best_ids = logits.argmax(1)
    if automaton and not automaton.accepts(collapse(path.tolist())):
        accepted = best_path(logits, automaton)
        if accepted is None:
            return NOTHING_FITS
        path = accepted
    steps = np.arange(len(path))
    best = logits[steps, best_ids]
    path_score = (logits[steps, path] - best).sum()
    ranked = _ranked(logits, best, automaton, beam_size, max_candidates, min_ratio, language)
    text, score = next(ranked, ((), -np.inf))
    is_better = score > (path_score if language is None else -np.inf)
    if is_better and list(text) != collapse(path.tolist()):
        return aligned(logits, text)
    return _reading(logits, path, best_ids)


def likely_texts(
    logits: NDArray[np.floating],
    automaton: Automaton | None = None,
    beam_size: int = 32,
    max_candidates: int = 8,
    min_ratio: float = 1e-3,
    language: CharModel | None = None,
) -> Iterator[Prefix]:
    """What `beam_decode` holds at its end: accepted texts, the most probable first.

    Args:
        logits: (T, V).
    """
    best = logits.max(1)
    ranked = _ranked(logits, best, automaton, beam_size, max_candidates, min_ratio, language)
    return (text for text, _ in ranked)


def aligned(logits: NDArray[np.floating], text: Sequence[int]) -> Decoded:
    """A text as the reading of a line: by the best of the paths that collapse to it.

    Args:
        logits: (T, V).
    """
    path = best_alignment(logits, text)
    return NOTHING_FITS if path is None else _reading(logits, path, logits.argmax(1))


def _ranked(
    logits: NDArray[np.floating],
    best: NDArray[np.floating],
    automaton: Automaton | None,
    beam_size: int,
    max_candidates: int,
    min_ratio: float,
    language: CharModel | None,
) -> Iterator[tuple[Prefix, float]]:
    """The accepted texts of the last beam, best first, and their log probabilities; those of a
    step are up to that of its `best` logit (T,)."""
    beam: dict[Prefix, Ending] = {(): (1.0, 0.0)}
    states: dict[Prefix, frozenset[int]] = {(): frozenset({START})}

    def begins_a_text(prefix: Prefix) -> bool:
        if automaton and prefix not in states:
            states[prefix] = automaton.step(states[prefix[:-1]], prefix[-1])
        return not automaton or bool(states[prefix])

    log_scale = 0.0
    alphabet = automaton.alphabet if automaton else None
    candidates = _candidates(logits, best, alphabet, max_candidates, min_ratio)
    blanks = np.exp(logits[:, BLANK_ID] - best).tolist()
    for blank, tried in zip(blanks, candidates, strict=True):
        if not tried:  # as in most steps: every prefix stays by the blank
            if blank == 0.0:
                return
            beam = {prefix: (sum(ending), 0.0) for prefix, ending in beam.items()}
            log_scale += math.log(blank)
            continue
        beam = _extended(beam, blank, tried, language)
        totals = [(a + b, prefix) for prefix, (a, b) in beam.items()]
        totals.sort(key=itemgetter(0), reverse=True)
        ranked = (prefix for _, prefix in totals)
        kept = list(islice(filter(begins_a_text, ranked) if automaton else ranked, beam_size))
        scale = sum(beam[kept[0]]) if kept else 0.0
        if scale == 0.0:
            return
        beam = {prefix: (beam[prefix][0] / scale, beam[prefix][1] / scale) for prefix in kept}
        log_scale += math.log(scale)
    for prefix, ending in beam.items():
        is_accepted = not automaton or bool(states[prefix] & automaton.finals)
        if is_accepted and sum(ending) > 0.0:  # 0 where its probability is too small a number
            yield prefix, log_scale + math.log(sum(ending))


def _candidates(
    logits: NDArray[np.floating],
    best: NDArray[np.floating],
    alphabet: NDArray[np.integer] | None,
    max_candidates: int,
    min_ratio: float,
) -> list[dict[int, float]]:
    """Per step the characters worth trying, all where no alphabet is given, and their
    probabilities, up to that of its `best` logit (T,)."""
    # a slice is no copy: vocabularies are large
    columns = logits[:, 1:] if alphabet is None else logits[:, alphabet]
    highest = columns.max(1, initial=-np.inf)
    least = np.maximum(logits[:, BLANK_ID], highest) + math.log(min_ratio)
    found: list[list[tuple[float, int]]] = [[] for _ in best]
    rows = np.flatnonzero(highest >= least)  # in most steps a blank is all there is
    few = columns[rows]
    likely = np.flatnonzero(few >= least[rows, np.newaxis])  # in one dimension thrice as fast
    at, places = np.divmod(likely, max(1, few.shape[1]))
    probabilities = np.exp(few[at, places] - best[rows[at]])
    ids = places + 1 if alphabet is None else alphabet[places]
    for t, p, i in zip(rows[at].tolist(), probabilities.tolist(), ids.tolist(), strict=True):
        found[t].append((p, i))
    return [{i: p for p, i in sorted(tried, reverse=True)[:max_candidates]} for tried in found]


def _extended(
    beam: dict[Prefix, Ending],
    blank: float,
    candidates: dict[int, float],
    language: CharModel | None,
) -> dict[Prefix, Ending]:
    """The prefixes after one more step; a prefix stays by a blank or by its last character."""
    found: dict[Prefix, Ending] = {}
    for prefix, (after_blank, after_character) in beam.items():
        stays = candidates.get(prefix[-1] if prefix else BLANK_ID, 0.0)
        found[prefix] = (after_blank + after_character) * blank, after_character * stays
    tried = list(candidates.items())
    for prefix, (after_blank, after_character) in beam.items():
        total = after_blank + after_character
        last = prefix[-1] if prefix else BLANK_ID
        known = language.known(prefix) if language else {}
        for i, probability in tried:
            weight = (after_blank if i == last else total) * probability
            if weight and language:
                weight *= known.get(i) or language.factor(prefix, i)
            if weight:
                longer = (*prefix, i)
                in_blank, in_character = found.get(longer, (0.0, 0.0))
                found[longer] = in_blank, in_character + weight
    return found


def at_temperature(decoded: Decoded, logits: NDArray[np.floating], temperature: float) -> Decoded:
    """The same reading, as sure as it is once the logits are divided by a temperature.

    Args:
        decoded: a reading of `logits`.
        logits: (T, V).
        temperature: above 0; 1 changes nothing.
    """
    if temperature == 1 or decoded == NOTHING_FITS:
        return decoded
    id_at = {
        step: character_id
        for character_id, span in zip(decoded.ids, decoded.spans, strict=True)
        for step in range(*span)
    }
    path = [id_at.get(step, BLANK_ID) for step in decoded.steps]
    log_probs = _log_probs(logits, path, decoded.steps, temperature)
    return _as_sure_as(log_probs, decoded.ids, decoded.spans, decoded.steps)


def _reading(
    logits: NDArray[np.floating], path: NDArray[np.intp], best_ids: NDArray[np.intp]
) -> Decoded:
    """What a path (T,) says, and how sure it is; `best_ids` (T,) are the best classes."""
    # the exponentials of a whole vocabulary are what costs: only of steps that count
    (steps,) = np.maximum(path, best_ids).nonzero()  # the blank's id is 0, the least
    if not len(steps):
        steps = np.arange(len(path))
    log_probs = _log_probs(logits, path[steps], steps)
    ids, spans, end = [], [], 0
    # in Python: a line has few steps, and each call of numpy costs as much as twenty of them
    for character_id, run in groupby(path.tolist()):
        start, end = end, end + len(list(run))
        if character_id != BLANK_ID:
            ids.append(character_id)
            spans.append((start, end))
    return _as_sure_as(log_probs, tuple(ids), tuple(spans), tuple(steps.tolist()))


def _log_probs(
    logits: NDArray[np.floating],
    path: Sequence[int] | NDArray[np.intp],
    steps: Sequence[int] | NDArray[np.intp],
    temperature: float = 1.0,
) -> list[float]:
    """Log probabilities of what a path says at some `steps` (N,), `path` (N,)."""
    scores = logits.take(steps, 0)
    scores -= np.maximum.reduce(scores, 1, keepdims=True)
    if temperature != 1:
        scores /= temperature
    chosen = scores[np.arange(len(steps)), path].astype(np.float64)
    # as exact as numpy's in float32, and four times as fast on processors without AVX512
    found: list[float] = (chosen - np.log(np.add.reduce(cv2.exp(scores, scores), 1))).tolist()
    return found


def _as_sure_as(
    log_probs: Sequence[float],
    ids: tuple[int, ...],
    spans: tuple[tuple[int, int], ...],
    steps: tuple[int, ...],
) -> Decoded:
    """A reading as sure as the log probabilities (N,) of its kept `steps` (N,) make it."""
    at = dict(zip(steps, log_probs, strict=True))
    return Decoded(
        ids=ids,
        spans=spans,
        char_confidences=tuple(math.exp(max(map(at.__getitem__, range(*span)))) for span in spans),
        confidence=math.exp(sum(log_probs) / len(log_probs)),
        steps=steps,
    )
