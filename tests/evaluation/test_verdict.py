"""The bars of going live, on both sides of each."""

import pytest

from crnnkit.evaluation.verdict import verdict

DATE = r"\d{4}-\d\d-\d\d"


@pytest.mark.parametrize(
    ("num_wrong", "is_ready", "reason"),
    [
        (4, True, "CER 4.00% < 5%"),
        (5, False, "CER 5.00% ≥ 5%"),  # the bar itself is not below the bar
        (7, False, "CER 7.00% ≥ 5%"),
    ],
)
def test_the_verdict_wants_cer_below_five_percent(evaluate_texts, num_wrong, is_ready, reason):
    # 100 characters, of which num_wrong are read wrong
    result = evaluate_texts(["0" * 100], ["1" * num_wrong + "0" * (100 - num_wrong)])
    decision = verdict(result)
    assert decision.is_ready is is_ready
    assert decision.reasons[0] == reason
    assert str(decision).startswith("ready: " if is_ready else "not ready: ")


def dated(evaluate_texts, num_wrong):
    """Score 20 dates in long lines, of which some have one digit wrong."""
    printed = [f"20240301X{'A' * 90}"] * 20
    read = [f"20240307X{'A' * 90}"] * num_wrong + printed[num_wrong:]
    return evaluate_texts(printed, read, key_fields={"date": r"\d{8}"})


def test_the_verdict_wants_key_fields_right_however_low_the_cer(evaluate_texts):
    assert verdict(dated(evaluate_texts, 1)).is_ready
    decision = verdict(dated(evaluate_texts, 2))
    assert not decision.is_ready
    assert decision.reasons == ("key field date 90.0% < 95%",)


def test_a_key_field_that_never_occurs_is_not_passed(evaluate_texts):
    decision = verdict(evaluate_texts(["AB"], ["AB"], key_fields={"date": DATE}))
    assert not decision.is_ready
    assert decision.reasons == ("key field date: no line holds one, so it cannot be judged",)


def test_bars_of_ones_own_are_taken(evaluate_texts):
    result = dated(evaluate_texts, 2)
    assert verdict(result, min_field_accuracy=0.9).is_ready
    assert not verdict(result, max_cer=0.0001, min_field_accuracy=0.9).is_ready


def test_a_verdict_without_key_fields_says_so(evaluate_texts):
    decision = verdict(evaluate_texts(["AB"], ["AB"]))
    assert str(decision) == (
        "ready: CER 0.00% < 5%; no key fields were named; "
        "99% precision is not reachable on these lines: 100 are needed to tell, 1 are there"
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
