"""The texts that may come out of a line, as states that read characters and follow each other.

An automaton in Glushkov's form ("The abstract theory of automata", 1961): a state is one place of
a pattern and reads one character out of a set; nothing else reads. There are as many states as
places written out, so their number cannot explode, as it may where an automaton is made
deterministic; the search for the best path (`best_path`) needs no more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crnnkit.errors import ConfigError
from crnnkit.vocab import BLANK_ID

MAX_SIZE = 100_000
"""Characters that states read + pairs of states that follow each other, in one automaton."""
MAX_CHOICES = 256
"""Characters of one state tried on a line; of more, those that come closest to the best class."""
START = 0


@dataclass(frozen=True, eq=False)
class Trellis:
    """Where a path may be after a time step: in a state, with one of its characters or a blank.

    P states, N cells, E pairs of states that follow each other.
    """

    ids: NDArray[np.int32]
    """(N,) of each cell, state by state; a state's blank comes first."""
    states: NDArray[np.int32]
    """(N,)"""
    first: NDArray[np.int32]
    """(E,) state from which another one is reached, ordered by the other one."""
    second: NDArray[np.int32]
    """(E,)"""
    is_final: NDArray[np.bool_]
    """(P,)"""

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """First cell of each state (P,)."""
        return np.searchsorted(self.states, np.arange(len(self.is_final)))

    @cached_property
    def pair_starts(self) -> NDArray[np.intp]:
        """First pair that leads to each state (P,)."""
        return np.searchsorted(self.second, np.arange(len(self.is_final)))

    def costs_ahead(self, costs: NDArray[np.floating], max_length: int) -> NDArray[np.floating]:
        """What the cheapest rest of a text, of up to `max_length` characters, costs after each
        state (P,); see `within`."""
        own = self._cheapest(costs)
        ahead = np.where(self.is_final, 0.0, np.inf)
        for _ in range(max_length):
            before = ahead.copy()
            np.minimum.at(ahead, self.first, (own + before)[self.second])
            if np.array_equal(ahead, before):
                break
        return ahead

    def within(
        self,
        costs: NDArray[np.floating],
        ahead: NDArray[np.floating],
        limit: float,
        max_length: int,
    ) -> "Trellis":
        """The part that texts use at a cost of up to `limit`.

        Args:
            costs: of reading a character (V,), not negative; whatever else a path costs may be
                more, so no path that costs less is lost.
            ahead: what `costs_ahead` says.
            max_length: characters from which on a text may be left out.
        """
        own = self._cheapest(costs)
        reached = np.where(np.arange(len(own)) == START, 0.0, np.inf)
        for _ in range(max_length):
            before = reached
            reached = own + np.minimum.reduceat(before[self.first], self.pair_starts)
            reached[reached + ahead > limit] = np.inf
            reached[START] = 0.0
            if np.array_equal(reached, before):
                break
        is_near = reached < np.inf
        cells = is_near[self.states]
        pairs = is_near[self.first] & is_near[self.second]
        number = np.cumsum(is_near, dtype=np.int32) - 1
        return Trellis(
            self.ids[cells],
            number[self.states[cells]],
            number[self.first[pairs]],
            number[self.second[pairs]],
            self.is_final[is_near],
        )

    def _cheapest(self, costs: NDArray[np.floating]) -> NDArray[np.floating]:
        """The cost of each state's cheapest character (P,)."""
        own = np.where(self.ids == BLANK_ID, np.inf, costs[self.ids])
        return np.minimum.reduceat(own, self.starts)


@dataclass(eq=False)
class Automaton:
    """States, what they read and which may follow which; state 0 is the start and reads nothing."""

    reads: list[frozenset[int]] = field(default_factory=lambda: [frozenset()])
    """Per state the ids of which it reads one."""
    followers: list[set[int]] = field(default_factory=lambda: [set()])
    finals: set[int] = field(default_factory=set)
    """States in which a text may end."""
    size: int = 0
    """Counted as for `MAX_SIZE`."""

    def add(self, ids: frozenset[int]) -> int:
        """A new state that reads one of `ids`.

        Raises:
            ConfigError: if the automaton becomes too large.
        """
        self._grow(min(len(ids), MAX_CHOICES))
        self.reads.append(ids)
        self.followers.append(set())
        return len(self.reads) - 1

    def connect(self, state: int, followers: set[int]) -> None:
        """Let any of `followers` come after `state`.

        Raises:
            ConfigError: if the automaton becomes too large.
        """
        before = len(self.followers[state])
        self.followers[state] |= followers
        self._grow(len(self.followers[state]) - before)

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > MAX_SIZE:
            raise ConfigError(
                f"it holds more than {MAX_SIZE:,} characters and pairs of neighbours. "
                "Use shorter repeats, narrower classes or fewer texts."
            )

    def accepts(self, ids: Sequence[int]) -> bool:
        """Whether a text, given by its ids, may come out."""
        states = frozenset({START})
        for i in ids:
            states = self.step(states, i)
        return not self.finals.isdisjoint(states)

    def step(self, states: frozenset[int], i: int) -> frozenset[int]:
        """The states that may have read id `i` after one of `states`."""
        reached = set().union(*(self.followers[state] for state in states))
        return frozenset(state for state in reached if i in self.reads[state])

    @cached_property
    def alphabet(self) -> NDArray[np.int32]:
        """Ids that any state reads, in order."""
        return np.array(sorted(frozenset().union(*self.reads)), np.int32)

    @cached_property
    def _classes(self) -> tuple[list[NDArray[np.int32]], list[int]]:
        """The different sets that states read, ids in order; the set of each state."""
        numbers = {ids: number for number, ids in enumerate(dict.fromkeys(self.reads))}
        return [np.array(sorted(ids), np.int32) for ids in numbers], [
            numbers[ids] for ids in self.reads
        ]

    @cached_property
    def _full_trellis(self) -> Trellis:
        return self._trellis_of(self._classes[0])

    def trellis(self, costs: NDArray[np.floating]) -> Trellis:
        """All states, and of each the characters, at most the `MAX_CHOICES` of least cost (V,)."""
        classes, _ = self._classes
        if all(len(ids) <= MAX_CHOICES for ids in classes):
            return self._full_trellis
        return self._trellis_of([ids[np.argsort(costs[ids])[:MAX_CHOICES]] for ids in classes])

    def _trellis_of(self, classes: Sequence[NDArray[np.int32]]) -> Trellis:
        """The trellis in which each state reads its class of `classes`."""
        blank = np.array([BLANK_ID], np.int32)
        choices = [np.concatenate([blank, classes[number]]) for number in self._classes[1]]
        states = np.arange(len(choices), dtype=np.int32)
        # nothing leads to the start, but every state needs a pair
        pairs = [(START, START)]
        pairs += [(b, a) for a, followers in enumerate(self.followers) for b in followers]
        second, first = np.array(sorted(pairs), np.int32).T
        return Trellis(
            np.concatenate(choices),
            np.repeat(states, [len(ids) for ids in choices]),
            first,
            second,
            np.isin(states, list(self.finals)),
        )


def trie(texts: Iterable[Sequence[int]]) -> Automaton:
    """The automaton of some texts, given by their ids; equal beginnings share states."""
    automaton = Automaton()
    states: dict[tuple[int, int], int] = {}
    for ids in texts:
        state = START
        for i in ids:
            if (state, i) not in states:
                states[state, i] = automaton.add(frozenset([i]))
                automaton.connect(state, {states[state, i]})
            state = states[state, i]
        automaton.finals.add(state)
    return automaton
