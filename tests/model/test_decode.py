import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.model.decode import collapse, greedy_decode

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
