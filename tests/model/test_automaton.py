import itertools

import numpy as np
import pytest

from crnnkit.errors import ConfigError
from crnnkit.model import automaton as module
from crnnkit.model.automaton import START, Automaton, trie
from crnnkit.model.constraints import Constraint
from crnnkit.vocab import Vocab

A, B, C = 1, 2, 3


def test_a_trie_accepts_its_texts_alone():
    texts = {(A, B), (A, B, C), (C,)}
    accepts = trie(texts).accepts
    tried = [ids for n in range(4) for ids in itertools.product((A, B, C), repeat=n)]
    assert {ids for ids in tried if accepts(ids)} == texts


def test_equal_beginnings_share_states():
    assert len(trie([(A, B), (A, C), (A,)]).reads) == 1 + 3


def test_an_automaton_that_grows_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_SIZE", 9)  # each state here reads one id and has one pair
    assert trie([(A,) * 4]).size == 8
    with pytest.raises(ConfigError, match="more than 9 characters and pairs"):
        trie([(A,) * 5])


def test_a_trellis_has_a_blank_and_the_characters_of_each_state():
    automaton = Automaton()
    state = automaton.add(frozenset({A, C}))
    automaton.connect(START, {state})
    automaton.finals.add(state)
    trellis = automaton.trellis(np.zeros(4))
    assert trellis.ids.tolist() == [0, 0, A, C]
    assert trellis.states.tolist() == [START, state, state, state]
    assert trellis.is_final.tolist() == [False, True]
    assert list(zip(trellis.first, trellis.second, strict=True)) == [(0, START), (START, state)]


def test_of_many_characters_the_cheapest_are_tried(monkeypatch):
    monkeypatch.setattr(module, "MAX_CHOICES", 2)
    automaton = Automaton()
    automaton.connect(START, {automaton.add(frozenset({A, B, C}))})
    trellis = automaton.trellis(np.array([9.0, 3.0, 1.0, 2.0]))
    assert trellis.ids.tolist() == [0, 0, B, C]


COSTS = np.array([0.0, 1.0, 2.0, 4.0])  # of a blank, a, b, c


def test_each_state_knows_what_the_cheapest_rest_costs():
    trellis = trie([(A, B, A), (A, C), (C,)]).trellis(COSTS)
    assert trellis.ids.tolist() == [0, 0, A, 0, B, 0, A, 0, C, 0, C]
    assert trellis.costs_ahead(COSTS, 9).tolist() == [4, 3, 1, 0, 0, 0]
    assert trellis.costs_ahead(COSTS, 1).tolist() == [4, 4, 1, 0, 0, 0]  # of a: c, as ba is longer
    loop = Constraint.pattern("a(bc)*b", Vocab("abc")).automaton.trellis(COSTS)
    assert loop.costs_ahead(COSTS, 9)[START] == 3


def test_what_costs_too_much_or_is_too_long_is_left_out():
    trellis = trie([(A, B, A), (A, B, C), (C,)]).trellis(COSTS)

    def kept(limit, max_length):
        ahead = trellis.costs_ahead(COSTS, max_length)
        return trellis.within(COSTS, ahead, limit, max_length).ids.tolist()

    assert kept(9, 9) == trellis.ids.tolist() == [0, 0, A, 0, B, 0, A, 0, C, 0, C]
    assert kept(6, 9) == kept(4, 9) == [0, 0, A, 0, B, 0, A, 0, C]  # abc costs 7, aba and c 4
    assert kept(3.5, 9) == [0]  # though a and b alone cost 3
    assert kept(9, 1) == [0, 0, C]
