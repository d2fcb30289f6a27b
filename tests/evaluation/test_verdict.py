"""The bars of going live, on both sides of each."""

import pytest

from crnnkit.errors import ConfigError
from crnnkit.evaluation.verdict import verdict

NAN = float("nan")
DATE = r"\d{4}-\d\d-\d\d"


def texts_of(number):
    return [f"{i:0100}" for i in range(number)]


@pytest.mark.parametrize(
    ("num_wrong", "is_ready", "reason"),
    [
        (3, True, "CER 3.00%, 95% interval up to 3.67%, < 5%"),
        (4.5, False, "CER 4.50% < 5%, but its 95% interval reaches 5.30%"),
        (5, False, "CER 5.00% ≥ 5%"),  # the bar itself is not below the bar
        (7, False, "CER 7.00% ≥ 5%"),
    ],
)
def test_the_verdict_wants_the_cers_interval_below_five_percent(
    evaluate_texts, num_wrong, is_ready, reason
):
    # 100 characters a line, of which num_wrong are read wrong on the average
    texts = texts_of(30)
    cut = [int(num_wrong * (i + 1)) - int(num_wrong * i) for i in range(30)]
    result = evaluate_texts(texts, [text[n:] for text, n in zip(texts, cut, strict=True)])
    decision = verdict(result)
    assert decision.is_ready is is_ready
    assert decision.reasons[0] == reason
    assert str(decision).startswith("ready: " if is_ready else "not ready: ")


@pytest.mark.parametrize(("number", "is_ready"), [(29, False), (30, True)])
def test_few_texts_make_nothing_ready(evaluate_texts, number, is_ready):
    texts = [*texts_of(number), texts_of(1)[0]]  # lines of one text count once
    decision = verdict(evaluate_texts(texts, texts))
    assert decision.is_ready is is_ready
    assert is_ready or decision.reasons == ("29 different texts, of 30 that are needed to tell",)


@pytest.mark.parametrize(("number", "is_ready"), [(19, False), (20, True)])
def test_few_key_fields_make_nothing_ready(evaluate_texts, number, is_ready):
    texts = texts_of(30)
    texts[:number] = [f"2024-01-{i + 1:02} {'A' * 90}" for i in range(number)]
    decision = verdict(evaluate_texts(texts, texts, key_fields={"date": DATE}))
    assert decision.is_ready is is_ready
    assert is_ready or decision.reasons == ("key field date: 19, of 20 needed to tell",)


@pytest.mark.parametrize("bars", [{"max_cer": 5}, {"min_field_accuracy": -0.1}, {"max_cer": NAN}])
def test_a_bar_that_is_no_share_is_refused(evaluate_texts, bars):
    with pytest.raises(ConfigError, match=f"{next(iter(bars))} is .* a share from 0 to 1"):
        verdict(evaluate_texts(["AB"], ["AB"]), **bars)


def dated(evaluate_texts, num_wrong):
    """Score 40 dates in long lines, of which some have one digit wrong."""
    printed = [f"20240301X{'A' * 90}{i:02}" for i in range(40)]
    read = [text.replace("0301", "0307") for text in printed[:num_wrong]] + printed[num_wrong:]
    return evaluate_texts(printed, read, key_fields={"date": r"^\d{8}"})


def test_the_verdict_wants_key_fields_right_however_low_the_cer(evaluate_texts):
    assert verdict(dated(evaluate_texts, 2)).is_ready
    decision = verdict(dated(evaluate_texts, 4))
    assert not decision.is_ready
    assert decision.reasons == ("key field date 90.0% < 95%",)


def test_a_key_field_that_never_occurs_is_not_passed(evaluate_texts):
    decision = verdict(evaluate_texts(texts_of(30), texts_of(30), key_fields={"date": DATE}))
    assert not decision.is_ready
    assert decision.reasons == ("key field date: no line holds one, so it cannot be judged",)


def test_bars_of_ones_own_are_taken(evaluate_texts):
    result = dated(evaluate_texts, 4)
    assert verdict(result, min_field_accuracy=0.9).is_ready
    assert not verdict(result, max_cer=0.0001, min_field_accuracy=0.9).is_ready


def test_a_verdict_without_key_fields_says_so(evaluate_texts):
    decision = verdict(evaluate_texts(texts_of(30), texts_of(30)))
    assert str(decision) == (
        "ready: CER 0.00%, 95% interval up to 0.13%, < 5%; no key fields were named; "
        "99% precision is not reachable on these lines: 100 are needed to tell, 30 are there"
    )


def test_the_verdict_names_the_confidence_from_which_lines_may_pass(evaluate_texts):
    # 120 sure lines of which one is wrong, 80 unsure ones that are all wrong
    texts = [f"N{i:03}" for i in range(200)]
    read = [*texts[:119], *["X"] * 81]
    confidences = [0.9] * 120 + [0.4] * 80
    decision = verdict(evaluate_texts(texts, read, confidences=confidences))
    assert decision.acceptance in str(decision)
    assert decision.acceptance.startswith(
        "99% precision: accept confidence ≥ 0.900000, 120 of 200 lines, 1 error among them"
    )
    assert not decision.is_ready
