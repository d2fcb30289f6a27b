"""From logits to characters, with numpy alone."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, pairwise

import numpy as np
from numpy.typing import NDArray

from crnnkit.model.automaton import START, Automaton, Trellis, trie
from crnnkit.model.language import CharModel
from crnnkit.vocab import BLANK_ID

SMALL = 500
"""Cells up to which a trellis is searched as a whole."""
LIMITS = (8.0, 24.0)
"""What a path may cost against the best path without constraint, nats: tried in this order."""

SURE = 0.95
"""Confidence of a character from which on it is not in doubt."""

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
    """exp(mean log probability of the path over the kept steps), 0 to 1.

    Kept steps are those where the path or the best class is a character: what a constraint adds
    counts, and so does what it leaves out. An empty reading is as sure as its blanks.
    0 belongs to `NOTHING_FITS` alone.
    """

    @property
    def uprightness(self) -> float:
        """How much speaks for the line standing upright, 0 to 1: nothing read, no evidence."""
        return self.confidence if self.ids else 0.0


NOTHING_FITS = Decoded((), (), (), 0.0)
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
    return _reading(logits, logits.argmax(1))


def is_sure(decoded: Decoded) -> bool:
    """Whether no character of a reading is in doubt: what language says need not be asked."""
    return min(decoded.char_confidences, default=1.0) >= SURE


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
    return beam_decode(logits, language=language)


def beam_decode(
    logits: NDArray[np.floating],
    automaton: Automaton | None = None,
    beam_size: int = 8,
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
    path = logits.argmax(1)
    if automaton and not automaton.accepts(collapse(path.tolist())):
        accepted = best_path(logits, automaton)
        if accepted is None:
            return NOTHING_FITS
        path = accepted
    scores = logits - logits.max(1, keepdims=True)
    path_score = scores[np.arange(len(path)), path].sum()
    ranked = _ranked(scores, automaton, beam_size, max_candidates, min_ratio, language)
    text, score = next(ranked, ((), -np.inf))
    is_better = score > (path_score if language is None else -np.inf)
    if is_better and list(text) != collapse(path.tolist()):
        return aligned(logits, text)
    return _reading(logits, path)


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
    scores = logits - logits.max(1, keepdims=True)
    ranked = _ranked(scores, automaton, beam_size, max_candidates, min_ratio, language)
    return (text for text, _ in ranked)


def aligned(logits: NDArray[np.floating], text: Sequence[int]) -> Decoded:
    """A text as the reading of a line: by the best of the paths that collapse to it.

    Args:
        logits: (T, V).
    """
    path = best_path(logits, trie([tuple(text)]))
    return NOTHING_FITS if path is None else _reading(logits, path)


def best_path(logits: NDArray[np.floating], automaton: Automaton) -> NDArray[np.intp] | None:
    """The most probable path (T,) whose text the automaton accepts; None if no such text fits.

    Exact where no state reads more than `MAX_CHOICES` characters. Of a large automaton first
    only the part is searched whose texts the line makes likely: if its best path is good enough,
    no path outside can be better.

    Args:
        logits: (T, V).
    """
    scores = logits - logits.max(1, keepdims=True)
    costs = -scores.max(0)
    trellis = automaton.trellis(costs)
    for limit in LIMITS if len(trellis.ids) > SMALL else ():
        score, path = _search(scores, trellis.within(costs, limit, len(logits)))
        if score >= -limit:
            return path
    return _search(scores, trellis)[1]


def _search(
    scores: NDArray[np.floating], trellis: Trellis
) -> tuple[float, NDArray[np.intp] | None]:
    """Viterbi's search for the best path (T,), and its score; (-inf, None) if there is none.

    Args:
        scores: (T, V) log probabilities, up to a number per step.
    """
    totals = _total_scores(scores, trellis)
    at_end = np.where(trellis.is_final[trellis.states], totals[-1], -np.inf)
    cell = int(at_end.argmax())
    if at_end[cell] == -np.inf:
        return -np.inf, None
    path = np.empty(len(scores), np.intp)
    for t in range(len(scores) - 1, -1, -1):
        path[t] = trellis.ids[cell]
        before = _cells_before(cell, trellis)
        cell = int(before[totals[t, before].argmax()])
    return float(at_end.max()), path


def _total_scores(scores: NDArray[np.floating], trellis: Trellis) -> NDArray[np.float32]:
    """Score of the best path into each cell after each number of steps (T + 1, N).

    A character is entered from any cell of the states before its own, but for cells of the same
    character: equal neighbours need a blank between them. It suffices that each state hands on
    its best cell, the character of that, and the best cell of other characters.
    """
    ids, states, first = trellis.ids, trellis.states, trellis.first
    totals = np.empty((len(scores) + 1, len(ids)), np.float32)
    totals[0] = np.where((states == START) & (ids == BLANK_ID), 0, -np.inf)
    totals[1:] = scores[:, ids]
    none = np.full(len(ids), -np.inf, np.float32)
    for before, after in pairwise(totals):
        best, best_id, other = _leaders(before, ids, none, states, trellis.starts)
        enter, enter_id, enter_other = _leaders(
            best[first], best_id[first], other[first], trellis.second, trellis.pair_starts
        )
        entered = np.where(ids == enter_id[states], enter_other[states], enter[states])
        entered[trellis.starts] = best  # a state's blank comes after its characters
        after += np.maximum(before, entered)
    return totals


def _leaders(
    scores: NDArray[np.float32],
    ids: NDArray[np.int32],
    others: NDArray[np.float32],
    groups: NDArray[np.int32],
    starts: NDArray[np.intp],
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Per group: the best score, an id that has it, and the best score of any other id.

    Args:
        others: what each member scores with an id other than its own.
    """
    best = np.maximum.reduceat(scores, starts)
    best_id = np.maximum.reduceat(np.where(scores == best[groups], ids, -1), starts)
    other = np.maximum.reduceat(np.where(ids == best_id[groups], others, scores), starts)
    return best, best_id, other


def _cells_before(cell: int, trellis: Trellis) -> NDArray[np.intp]:
    """The cells from which a path may come into this one, itself included."""
    state, own_id = trellis.states[cell], trellis.ids[cell]
    if own_id == BLANK_ID:
        return np.flatnonzero(trellis.states == state)
    leads_here = np.zeros(len(trellis.is_final), bool)
    leads_here[trellis.first[trellis.second == state]] = True
    is_before = leads_here[trellis.states] & (trellis.ids != own_id)
    is_before[cell] = True
    return np.flatnonzero(is_before)


def _ranked(
    scores: NDArray[np.floating],
    automaton: Automaton | None,
    beam_size: int,
    max_candidates: int,
    min_ratio: float,
    language: CharModel | None,
) -> Iterator[tuple[Prefix, float]]:
    """The accepted texts of the last beam, best first, and their log probabilities, up to that of
    `scores`."""
    beam: dict[Prefix, Ending] = {(): (1.0, 0.0)}
    states: dict[Prefix, frozenset[int]] = {(): frozenset({START})}

    def begins_a_text(prefix: Prefix) -> bool:
        if automaton and prefix not in states:
            states[prefix] = automaton.step(states[prefix[:-1]], prefix[-1])
        return not automaton or bool(states[prefix])

    log_scale = 0.0
    alphabet = automaton.alphabet if automaton else None
    candidates = _candidates(scores, alphabet, max_candidates, min_ratio)
    for blank, tried in zip(np.exp(scores[:, BLANK_ID]).tolist(), candidates, strict=True):
        beam = _extended(beam, blank, tried, language)
        ranked = sorted(beam, key=lambda prefix: -sum(beam[prefix]))
        kept = list(islice(filter(begins_a_text, ranked), beam_size))
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
    scores: NDArray[np.floating],
    alphabet: NDArray[np.integer] | None,
    max_candidates: int,
    min_ratio: float,
) -> list[dict[int, float]]:
    """Per step the characters worth trying, all where no alphabet is given, and their
    probabilities, up to that of `scores`."""
    # a slice is no copy: vocabularies are large
    columns = scores[:, 1:] if alphabet is None else scores[:, alphabet]
    best = np.maximum(scores[:, BLANK_ID], columns.max(1, initial=-np.inf))
    steps, places = np.nonzero(columns >= best[:, np.newaxis] + math.log(min_ratio))
    found: list[list[tuple[float, int]]] = [[] for _ in scores]
    probabilities = np.exp(columns[steps, places])
    ids = places + 1 if alphabet is None else alphabet[places]
    for t, p, i in zip(steps.tolist(), probabilities.tolist(), ids.tolist(), strict=True):
        found[t].append((p, i))
    return [{i: p for p, i in sorted(tried, reverse=True)[:max_candidates]} for tried in found]


def _extended(
    beam: dict[Prefix, Ending],
    blank: float,
    candidates: dict[int, float],
    language: CharModel | None,
) -> dict[Prefix, Ending]:
    """The prefixes after one more step; a prefix stays by a blank or by its last character."""
    in_blank: dict[Prefix, float] = {}
    in_character: dict[Prefix, float] = defaultdict(float)
    for prefix, (after_blank, after_character) in beam.items():
        total = after_blank + after_character
        last = prefix[-1] if prefix else BLANK_ID
        in_blank[prefix] = total * blank
        in_character[prefix] += after_character * candidates.get(last, 0.0)
        for i, probability in candidates.items():
            before = after_blank if i == last else total
            factor = language.factor(prefix, i) if language else 1.0
            in_character[*prefix, i] += probability * before * factor
    return {prefix: (in_blank.get(prefix, 0.0), p) for prefix, p in in_character.items()}


def at_temperature(decoded: Decoded, logits: NDArray[np.floating], temperature: float) -> Decoded:
    """The same reading, as sure as it is once the logits are divided by a temperature.

    Args:
        decoded: a reading of `logits`.
        logits: (T, V).
        temperature: above 0; 1 changes nothing.
    """
    if temperature == 1 or decoded == NOTHING_FITS:
        return decoded
    path = np.full(len(logits), BLANK_ID, np.intp)
    for character_id, (start, end) in zip(decoded.ids, decoded.spans, strict=True):
        path[start:end] = character_id
    return _reading(logits / temperature, path)


def _reading(logits: NDArray[np.floating], path: NDArray[np.intp]) -> Decoded:
    """What a path (T,) says, and how sure it is."""
    best_ids = logits.argmax(1)
    kept = (path != BLANK_ID) | (best_ids != BLANK_ID)
    # the exponentials of a whole vocabulary are what costs: only of steps that count
    steps = np.flatnonzero(kept) if kept.any() else np.arange(len(path))
    best = logits[steps, best_ids[steps]]
    log_sums = np.log(np.exp(logits[steps] - best[:, np.newaxis]).sum(1, dtype=np.float64))
    log_probs = np.full(len(path), -np.inf)
    log_probs[steps] = logits[steps, path[steps]].astype(np.float64) - best - log_sums
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.append(starts[1:], len(path))
    runs = [(s, e) for s, e in zip(starts, ends, strict=True) if path[s] != BLANK_ID]
    return Decoded(
        ids=tuple(int(path[s]) for s, _ in runs),
        spans=tuple((int(s), int(e)) for s, e in runs),
        char_confidences=tuple(float(np.exp(log_probs[s:e].max())) for s, e in runs),
        confidence=float(np.exp(log_probs[steps].mean())),
    )
