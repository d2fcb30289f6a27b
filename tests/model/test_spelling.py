import numpy as np
import pytest

from crnnkit.model.spelling import Spelling, learn_spelling, printed_text
from crnnkit.vocab import Vocab

VOCAB = Vocab("ABab·")


def probabilities(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


def test_a_character_counts_for_what_it_is_written_as():
    logits = np.random.default_rng(1).normal(size=(2, 7, 6)).astype(np.float32)
    before = probabilities(logits)
    after = probabilities(Spelling(VOCAB, {"a": "A", "b": "B", "·": ""}).merge(logits))
    # blank and dot, A and a, B and b; nothing is left of the others
    expected = np.stack([before[..., [0, 5]], before[..., [1, 3]], before[..., [2, 4]]]).sum(-1)
    np.testing.assert_allclose(after[..., :3], np.moveaxis(expected, 0, -1), rtol=1e-5)
    assert after[..., 3:].max() == 0


def test_two_characters_may_be_written_as_one():
    logits = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)
    before = probabilities(logits)
    after = probabilities(Spelling(VOCAB, {"a": "A", "b": "A", "·": ""}).merge(logits))
    np.testing.assert_allclose(after[:, 1], before[:, [1, 3, 4]].sum(1), rtol=1e-5)
    np.testing.assert_allclose(after[:, 2], before[:, 2], rtol=1e-5)


def test_without_rules_logits_stay_as_they_are():
    logits = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)
    np.testing.assert_array_equal(Spelling(VOCAB, {}).merge(logits.copy()), logits)


@pytest.mark.parametrize(
    ("labels", "readings", "expected"),
    [
        # labels in capitals: the rule reaches letters that were rarely read (x) or never (q)
        (
            ["TOTAL", "TAX 5", "PAID", "QUX"],
            ["Total", "Tax 5", "Paid", "QUX"],
            {"o": "O", "t": "T", "a": "A", "l": "L", "x": "X", "i": "I", "d": "D", "q": "Q"},
        ),
        # a dot is printed, and never written
        (["京A12", "沪B34", "京C5"], ["京A·12", "沪B·34", "京C5"], {"·": ""}),
        # what a label holds may be right as it is read
        (["京A12", "沪B·34", "京C5"], ["京A·12", "沪B·34", "京·C5"], {}),
        # read often, but for this and that: misreadings
        (["11", "22", "33"], ["|1", "2|", "3|"], {}),
        # read alike, but on one line of eleven
        (["1A"] + ["2"] * 10, ["la"] + ["2"] * 10, {}),
        # small letters whatever is printed
        (["total", "ox"], ["TOTAL", "ox"], {"T": "t", "O": "o", "A": "a", "L": "l", "X": "x"}),
    ],
)
def test_how_labels_write_is_learnt_from_what_is_read(labels, readings, expected):
    assert learn_spelling(labels, readings, "AILOTQXDUPailotqxd·|15") == expected


@pytest.mark.parametrize(
    ("label", "reading", "printed"),
    [
        ("TOTAL", "Total", "Total"),
        ("BABA", "baBa", "baBa"),
        ("AB", "a·b", "a·b"),  # what is not written stands where it was read
        ("AB", "·ab·", "·ab·"),
        ("ABBA", "axba", "aBba"),  # a misread character is as the label says
        ("AB", "", "AB"),  # nothing was read: the label is all there is
        ("AB", "··", "AB"),
    ],
)
def test_what_is_printed_follows_from_label_and_reading(label, reading, printed):
    rules = {**{c: c.upper() for c in "abtol"}, "·": ""}
    spelling = Spelling(Vocab("ABTOLabtol·x"), rules)
    assert printed_text(label, reading, spelling) == printed
