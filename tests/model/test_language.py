"""Which characters follow which: counted, weighed, carried in a checkpoint."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.model import language as language_module
from crnnkit.model.config import CheckpointInfo
from crnnkit.model.decode import beam_decode, decode_line, greedy_decode
from crnnkit.model.language import BEGIN, CharModel, Language, learn_language
from crnnkit.vocab import Vocab
from tests.model.test_decode import EVERY, text_probabilities

VOCAB = Vocab("abc")


def test_ngrams_of_several_texts_are_counted():
    learnt = learn_language(["ab", "abc", "ab"], order=3)
    assert learnt.counts == {
        "a": 3,
        "b": 3,
        BEGIN + "a": 3,
        "ab": 3,
        BEGIN + "ab": 3,
    }  # abc stands in one text


def test_what_one_text_alone_says_is_not_kept():
    learnt = learn_language(["name: Ann Ann Ann", "name: Bob", "name: Bob"])
    assert "Ann"[:2] not in learnt.counts
    assert "Bob" in learnt.counts
    assert learn_language(["ab", "cd"]) is None
    assert learn_language([]) is None


def test_the_most_frequent_ngrams_are_kept_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(language_module, "MAX_NGRAMS", 3)
    assert set(learn_language(["aab", "aab", "aa"], order=2).counts) == {"a", "aa", BEGIN + "a"}


def test_a_character_weighs_by_how_much_likelier_it_is_here():
    model = CharModel(Language({"a": 6, "b": 2, "ab": 2, "aa": 1}, 2, 1.0), VOCAB)
    # Witten and Bell: P(b) = (2 + 2 · 1/4) / (8 + 2); P(b | a) = (2 + 2 · P(b)) / (3 + 2)
    anywhere = 2.5 / 10
    assert model.factor((1,), 2) == pytest.approx((2 + 2 * anywhere) / 5 / anywhere)
    assert model.factor((2,), 2) == pytest.approx(1)  # never seen after b: no opinion
    assert model.factor((2, 1), 2) == model.factor((1,), 2)  # as far back as the n-grams reach


def test_the_weight_is_an_exponent():
    full, half = (CharModel(Language({"a": 6, "ab": 3}, 2, w), VOCAB) for w in (1.0, 0.5))
    assert half.factor((1,), 2) == pytest.approx(full.factor((1,), 2) ** 0.5)


def test_what_is_remembered_of_it_is_bounded(monkeypatch):
    model = CharModel(Language({"a": 6, "ab": 3}, 2, 1.0), VOCAB)
    first = {i: model.factor((1,), i) for i in (1, 2, 3)}
    assert model.known((1,)) == model.known((2, 1)) == first
    monkeypatch.setattr(language_module, "MAX_CONTEXTS", 2)
    for context in (2, 3):
        assert {i: model.factor((context,), i) for i in (1, 2, 3)} == dict.fromkeys((1, 2, 3), 1.0)
    assert len(model._known) <= 2
    assert {i: model.factor((1,), i) for i in (1, 2, 3)} == first


@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=2, max_size=8))
def test_what_may_follow_adds_up_to_one(texts):
    learnt = learn_language([*texts, *texts], order=4)
    model = CharModel(learnt, VOCAB)
    for context in [(), (1,), (1, 2), (3, 3, 1)]:
        total = sum(model._probability(context, i) for i in range(1, 4))
        # the blank's share of what has not been seen is nobody's
        assert 0.5 < total <= 1 + 1e-9


@given(st.integers(0, 10**6))
def test_a_full_beam_weighs_every_text_by_its_characters(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (4, 4)).astype(np.float32)
    texts = ["".join(rng.choice(list("abc"), 3)) for _ in range(6)]
    model = CharModel(learn_language(texts * 2, order=3), VOCAB)
    totals = defaultdict(float)
    for ids, probability in text_probabilities(logits).items():
        factors = [model.factor(ids[:n], i) for n, i in enumerate(ids)]
        totals[ids] = probability * math.prod(factors)
    decoded = beam_decode(logits, language=model, **EVERY)
    assert totals[decoded.ids] == pytest.approx(max(totals.values()), rel=1e-4)


def test_only_unsure_lines_ask_the_language():
    model = CharModel(Language({"a": 2, "b": 2, "ab": 2}, 2, 1.0), VOCAB)
    unsure = np.log([[0.01, 0.97, 0.01, 0.01], [0.02, 0.02, 0.46, 0.5]])
    sure = np.log([[0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.01, 0.97]])
    assert greedy_decode(unsure).ids == (1, 3)
    assert decode_line(unsure, model).ids == (1, 2)
    assert decode_line(sure, model) == greedy_decode(sure)
    assert decode_line(unsure) == greedy_decode(unsure)


@pytest.mark.parametrize(
    ("counts", "order", "weight"),
    [
        ({"ab": 1}, 1, 0.3),
        ({"ab": 1}, 99, 0.3),
        ({"ab": 1}, 2, 0.0),
        ({"ab": 1}, 2, 1.5),
        ({"abc": 1}, 2, 0.3),
        ({"": 1}, 2, 0.3),
        ({"ab": 0}, 2, 0.3),
    ],
)
def test_what_no_training_wrote_is_refused(counts, order, weight):
    with pytest.raises(ConfigError, match="language"):
        Language(counts, order, weight)


def test_too_many_ngrams_are_refused(monkeypatch):
    monkeypatch.setattr(language_module, "MAX_NGRAMS", 1)
    with pytest.raises(ConfigError, match="2 n-grams"):
        Language({"a": 1, "b": 1}, 2, 0.3)


def test_a_checkpoint_carries_its_language():
    info = CheckpointInfo("abc", language=Language({"ab": 2}, 2, 0.3))
    assert CheckpointInfo.from_json(info.to_json(), "x") == info
    with pytest.raises(CheckpointError, match="order 9"):
        CheckpointInfo.from_json(info.to_json().replace('"order":2', '"order":9'), "x")


def test_ngrams_of_other_vocabularies_are_passed_over():
    model = CharModel(Language({"a": 2, "b": 2, "z": 5, "ab": 2, "az": 5}, 2, 1.0), VOCAB)
    without = CharModel(Language({"a": 2, "b": 2, "ab": 2}, 2, 1.0), VOCAB)
    assert model.factor((1,), 2) == without.factor((1,), 2)
