import itertools
import math
import re
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.model import best_path as best_path_module
from crnnkit.model.automaton import trie
from crnnkit.model.best_path import best_alignment, best_path
from crnnkit.model.constraints import Constraint
from crnnkit.model.decode import (
    NOTHING_FITS,
    at_temperature,
    beam_decode,
    collapse,
    greedy_decode,
    likely_texts,
)
from crnnkit.vocab import Vocab

PATHS = [
    # path with - as blank, reading, spans
    ("a-ab", "aab", [(0, 1), (2, 3), (3, 4)]),  # a blank keeps equal neighbours apart
    ("aab", "ab", [(0, 2), (2, 3)]),  # without one they merge
    ("----", "", []),
    ("a", "a", [(0, 1)]),
    ("-aa-", "a", [(1, 3)]),
    ("abab", "abab", [(0, 1), (1, 2), (2, 3), (3, 4)]),
]


def _one_hot(path, size=30.0):
    ids = ["-ab".index(c) for c in path]
    return size * np.eye(3, dtype=np.float32)[ids]


@pytest.mark.parametrize(("path", "text", "spans"), PATHS)
def test_best_path(path, text, spans):
    decoded = greedy_decode(_one_hot(path))
    assert "".join("-ab"[i] for i in decoded.ids) == text
    assert list(decoded.spans) == spans
    assert decoded.confidence == pytest.approx(1.0)


def test_confidence_is_the_geometric_mean_over_steps_that_name_a_character():
    # steps: a with 0.8, a with 0.5, blank with 0.9, b with 0.6
    probs = np.array([[0.1, 0.8, 0.1], [0.3, 0.5, 0.2], [0.9, 0.05, 0.05], [0.1, 0.3, 0.6]])
    decoded = greedy_decode(np.log(probs))
    assert decoded.confidence == pytest.approx((0.8 * 0.5 * 0.6) ** (1 / 3))
    assert decoded.char_confidences == pytest.approx((0.8, 0.6))  # the best step of each span


def test_an_empty_reading_is_as_sure_as_its_blanks():
    decoded = greedy_decode(np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]))[:1])
    assert decoded.ids == ()
    assert decoded.confidence == pytest.approx(0.9)


def test_large_logits_do_not_overflow():
    decoded = greedy_decode(np.array([[1e4, 0.0, -1e4]], dtype=np.float32))
    assert math.isfinite(decoded.confidence)


@given(st.lists(st.integers(1, 5), max_size=12))
def test_collapse_undoes_any_blank_between_characters(ids):
    path = [step for i in ids for step in (0, i, i)]
    assert collapse(path) == ids


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_greedy_reads_a_one_hot_path_as_collapse_does(path):
    decoded = greedy_decode(9.0 * np.eye(5)[path])
    assert list(decoded.ids) == collapse(path)
    assert all(set(path[s:e]) == {i} for (s, e), i in zip(decoded.spans, decoded.ids, strict=True))


# ---------- beam and constraints, against every path there is ----------

EVERY = {"beam_size": 10**6, "max_candidates": 10**6, "min_ratio": 1e-30}
"""A beam that drops nothing."""


@st.composite
def logits_and_texts(draw):
    """Logits of up to 5 steps and 4 classes, and some texts; equal neighbours are frequent."""
    num_steps, num_classes = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    seed = draw(st.integers(0, 10**6))
    logits = np.random.default_rng(seed).normal(0, 2, (num_steps, num_classes)).astype(np.float32)
    text = st.lists(st.integers(1, num_classes - 1), max_size=4).map(tuple)
    return logits, draw(st.sets(text, min_size=1, max_size=5))


def _all_paths(logits):
    """Every path and its probability."""
    probs = np.exp(logits - logits.max(1, keepdims=True)).astype(np.float64)
    probs /= probs.sum(1, keepdims=True)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        yield path, math.prod(probs[t, i] for t, i in enumerate(path))


def text_probabilities(logits):
    totals = defaultdict(float)
    for path, probability in _all_paths(logits):
        totals[tuple(collapse(path))] += probability
    return totals


@given(logits_and_texts())
def test_a_full_beam_finds_the_most_probable_text(case):
    logits, texts = case
    totals = text_probabilities(logits)
    decoded = beam_decode(logits, **EVERY)
    assert totals[decoded.ids] == pytest.approx(max(totals.values()))
    fitting = {text: totals[text] for text in texts if text in totals}
    decoded = beam_decode(logits, trie(texts), **EVERY)
    if fitting:
        assert decoded.ids in fitting
        assert fitting[decoded.ids] == pytest.approx(max(fitting.values()))
    else:
        assert decoded == NOTHING_FITS


@pytest.mark.parametrize("margin", [None, 0.01, 2.0])
@given(case=logits_and_texts())
def test_the_best_path_is_the_most_probable_accepted_one(margin, case):
    logits, texts = case
    accepted = [(p, path) for path, p in _all_paths(logits) if tuple(collapse(path)) in texts]
    with pytest.MonkeyPatch.context() as patch:
        if margin:  # else as a whole
            patch.setattr(best_path_module, "SMALL", 0)
            patch.setattr(best_path_module, "MARGIN", margin)
        path = best_path(logits, trie(texts))
    if accepted:
        assert tuple(collapse(path)) in texts
        assert dict(_all_paths(logits))[tuple(path)] == pytest.approx(max(accepted)[0])
    else:
        assert path is None


@given(case=logits_and_texts())
def test_a_text_is_aligned_by_its_most_probable_path(case):
    logits, texts = case
    for text in texts:
        paths = [(p, path) for path, p in _all_paths(logits) if tuple(collapse(path)) == text]
        path = best_alignment(logits, text)
        if paths:
            assert tuple(collapse(path)) == text
            assert dict(_all_paths(logits))[tuple(path)] == pytest.approx(max(paths)[0])
        else:
            assert path is None


@given(
    st.integers(0, 10**6), st.sampled_from(["a*b?", "(ab|ba)+", "[ab]{2,3}", "(a|b)*bb", "a?a?b"])
)
def test_a_pattern_is_followed_exactly(seed, regex):
    logits = np.random.default_rng(seed).normal(0, 2, (4, 3)).astype(np.float32)
    totals = text_probabilities(logits)
    fitting = {
        ids: p for ids, p in totals.items() if re.fullmatch(regex, "".join("-ab"[i] for i in ids))
    }
    decoded = beam_decode(logits, Constraint.pattern(regex, Vocab("ab")).automaton, **EVERY)
    assert fitting[decoded.ids] == pytest.approx(max(fitting.values()))


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_a_narrow_beam_still_ends_in_an_accepted_text(seed, beam_size):
    logits = np.random.default_rng(seed).normal(0, 3, (12, 6)).astype(np.float32)
    automaton = Constraint.pattern(r"a[bc]{3}d\w?", Vocab("abcde")).automaton
    narrow = beam_decode(logits, automaton, beam_size, max_candidates=1)
    assert automaton.accepts(narrow.ids)
    path = best_path(logits, automaton)
    assert _log_probability(logits, narrow.ids) >= _path_log_probability(logits, path) - 1e-4


def _path_log_probability(logits, path):
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float(log_probs[np.arange(len(path)), path].sum())


def _log_probability(logits, ids):
    """Of a text: the sum over its paths, by Graves' forward variables."""
    log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float64)
    extended = [0, *(step for i in ids for step in (i, 0))]
    alpha = np.full(len(extended), -np.inf)
    alpha[0] = 0.0
    for t, row in enumerate(log_probs):
        before = alpha if t else np.where(np.arange(len(extended)) == 0, 0.0, -np.inf)
        alpha = before.copy()
        alpha[1:] = np.logaddexp(alpha[1:], before[:-1])
        for s in range(2, len(extended)):
            if extended[s] not in (0, extended[s - 2]):
                alpha[s] = np.logaddexp(alpha[s], before[s - 2])
        alpha = alpha + row[extended]
    return np.logaddexp.reduce(alpha[-2:])


def test_paths_together_may_outweigh_the_best_one():
    # two steps, each blank 0.55 and a 0.45: "" has 0.30 in one path, "a" 0.70 in three
    logits = np.log(np.array([[0.55, 0.45]] * 2))
    assert greedy_decode(logits).ids == ()
    assert beam_decode(logits).ids == (1,)


def test_a_class_that_may_not_come_out_does_not_hide_those_that_may():
    # as above, beside a third class that is a thousand times surer and not accepted
    logits = np.log(np.array([[0.00055, 0.00045, 0.999]] * 2))
    assert beam_decode(logits, trie([(), (1,)])).ids == (1,)


def test_a_beam_reads_a_sharp_line_as_the_best_path_does():
    logits = _one_hot("-aab-bb-", size=12.0)
    assert beam_decode(logits) == greedy_decode(logits)


def test_an_accepted_text_too_improbable_for_a_number_is_still_read():
    logits = np.full((2, 3), -300, np.float32)
    logits[[0, 1], [1, 2]] = 300  # a, then b, which only abb could go on with
    assert beam_decode(logits, trie([(1,), (1, 2, 2)])).ids == (1,)


def test_what_no_text_fits_into_reads_as_nothing_with_confidence_zero():
    assert beam_decode(_one_hot("ab"), trie([(1, 1)])) == NOTHING_FITS  # needs a blank between
    assert beam_decode(_one_hot("a-a"), trie([(1, 1)])).ids == (1, 1)


def test_confidence_counts_what_a_constraint_adds_and_leaves_out():
    probs = np.array([[0.1, 0.8, 0.1], [0.9, 0.06, 0.04], [0.2, 0.1, 0.7]])
    dropped = beam_decode(np.log(probs), trie([(1,)]))  # the b of step 2 becomes a blank
    assert dropped.spans == ((0, 1),)
    assert dropped.confidence == pytest.approx((0.8 * 0.2) ** (1 / 2))
    added = beam_decode(np.log(probs), trie([(1, 2, 1)]))  # b in step 1, a in step 2
    assert added.spans == ((0, 1), (1, 2), (2, 3))
    assert added.confidence == pytest.approx((0.8 * 0.04 * 0.1) ** (1 / 3))
    assert added.char_confidences == pytest.approx((0.8, 0.04, 0.1))


def test_a_large_vocabulary_and_a_wide_class_are_read():
    vocab = Vocab("".join(map(chr, range(0x4E00, 0x4E00 + 6900))) + "0123456789")
    text = "一丁丂7"
    logits = np.random.default_rng(0).normal(0, 1, (40, len(vocab))).astype(np.float32)
    logits[:, 0] += 12
    for t, i in zip((5, 14, 23, 32), vocab.encode(text), strict=True):
        logits[t, i] += 20
    logits[32, vocab.encode("丗")] += 25  # surer than the 7, but not what the pattern allows
    automaton = Constraint.pattern(r"[一-龥]{2,30}\d", vocab).automaton
    assert vocab.decode(greedy_decode(logits).ids) == "一丁丂丗"
    assert vocab.decode(beam_decode(logits, automaton).ids) == text


def test_a_temperature_changes_how_sure_a_reading_is_and_not_what_it_says():
    logits = np.random.default_rng(0).normal(size=(12, 5), scale=3).astype(np.float32)
    plain = greedy_decode(logits)
    assert at_temperature(plain, logits, 1.0) == plain
    assert at_temperature(plain, logits, 2.0) == greedy_decode(logits / 2)
    assert at_temperature(plain, logits, 0.5).confidence > plain.confidence


def test_a_reading_off_the_best_path_keeps_its_text_at_any_temperature():
    # the constraint takes B where A is likelier
    logits = np.log(np.array([[0.1, 0.6, 0.3], [0.8, 0.1, 0.1]], np.float32))
    decoded = beam_decode(logits, trie([[2]]))
    assert decoded.confidence == pytest.approx(0.3)
    warm = at_temperature(decoded, logits, 2.0)
    assert (warm.ids, warm.spans) == (decoded.ids, decoded.spans)
    roots = np.sqrt([0.1, 0.6, 0.3])
    assert warm.confidence == pytest.approx(roots[2] / roots.sum(), rel=1e-5)


def test_no_temperature_makes_nothing_out_of_what_does_not_fit():
    assert at_temperature(NOTHING_FITS, np.zeros((3, 4), np.float32), 2.0) == NOTHING_FITS


def test_no_text_comes_out_where_a_blank_is_impossible():
    logits = np.array([[0.0, -1e6, -1e6], [-1e3, -1e6, 0.0]], np.float32)  # nothing, then b
    assert list(likely_texts(logits, trie([(1,)]))) == []


def test_a_reading_names_the_steps_that_it_was_measured_on():
    assert greedy_decode(_one_hot("a--b")).steps == (0, 3)
    assert greedy_decode(_one_hot("---")).steps == (0, 1, 2)
    # b was likelier in step 2 than the blank that is read
    assert beam_decode(_one_hot("a-b"), trie([(1,)])).steps == (0, 2)
