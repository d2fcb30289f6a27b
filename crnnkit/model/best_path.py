"""Viterbi's search: the most probable path of a text, or of any text that an automaton accepts."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crnnkit.model.automaton import START, Automaton, Trellis
from crnnkit.vocab import BLANK_ID

SMALL = 500
"""Cells up to which a trellis is searched as a whole."""
MARGIN = 8.0
"""What a path may cost above the least that any text costs, nats, where it is searched first."""
ROUNDING = 1e-3
"""Share by which two sums of one path's costs may differ."""


def best_alignment(logits: NDArray[np.floating], text: Sequence[int]) -> NDArray[np.intp] | None:
    """The most probable path (T,) of those that collapse to a text; None if it does not fit.

    Args:
        logits: (T, V).
        text: its ids (L,), without blanks.
    """
    states = np.full(2 * len(text) + 1, BLANK_ID)  # a blank before, between and after
    states[1::2] = text
    skips = np.full(len(states), -np.inf)  # what may follow without the blank between
    skips[1::2] = 0
    skips[3::2][states[3::2] == states[1:-2:2]] = -np.inf
    # two columns before the states, so that each has three that it may come from
    totals = np.full((len(logits), 2 + len(states)), -np.inf)
    totals[:, 2:] = logits[:, states]
    totals[0, 4:] = -np.inf
    for before, after in pairwise(totals):
        after[2:] += np.maximum(np.maximum(before[2:], before[1:-1]), before[:-2] + skips)
    state = len(states) - 1 - int(totals[-1, -2:][::-1].argmax())
    if totals[-1, 2 + state] == -np.inf:
        return None
    path = [states[state]]
    for before in totals[-2::-1]:
        ways = before[2 + state], before[1 + state], before[state] + skips[state]
        state -= ways.index(max(ways))
        path.append(states[state])
    return np.array(path[::-1])


def best_path(logits: NDArray[np.floating], automaton: Automaton) -> NDArray[np.intp] | None:
    """The most probable path (T,) whose text the automaton accepts; None if no such text fits.

    Exact where no state reads more than `MAX_CHOICES` characters. Of a large automaton first
    only the part is searched whose texts the line makes likely; what its best path costs then
    tells which part must be searched to miss no better one.

    Args:
        logits: (T, V).
    """
    scores = logits - logits.max(1, keepdims=True)
    costs = -scores.max(0)
    trellis = automaton.trellis(costs)
    if len(trellis.ids) <= SMALL:
        return _search(scores, trellis)[1]
    ahead = trellis.costs_ahead(costs, len(logits))
    limit = ahead[START] + MARGIN
    score, path = _search(scores, trellis.within(costs, ahead, limit, len(logits)))
    if score < -limit:
        limit = -score * (1 + ROUNDING)
        _, path = _search(scores, trellis.within(costs, ahead, limit, len(logits)))
    return path


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
