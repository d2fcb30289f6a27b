"""Gates: which texts are conditions, and when one passes."""

import re

import pytest

from crnnkit.errors import PipelineError
from crnnkit.workbook.gates import check_gates, parse_gates

NUMBERS = {"cer": 0.03, "exact": 1, "go_live": True, "cer_before": None, "verdict": "go live: yes"}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("cer<=0.03", True),  # equal is enough
        ("cer<0.03", False),
        ("cer <= 3%", True),  # spaces and percent
        ("cer<=2.9%", False),
        ("cer>=3e-2", True),
        ("cer>.03", False),
        ("exact==1", True),
        ("go_live==true", True),
        ("go_live==false", False),
        ("cer_before<=1", False),  # not measured
        ("verdict==1", False),  # no number
    ],
)
def test_a_gate_passes_or_not(text, passes):
    (result,) = check_gates(parse_gates([text], NUMBERS), NUMBERS)
    assert (result.text, result.passed) == (text, passes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cer", "gate 'cer': write it as name<=number, with one of <= >= < > =="),
        ("cer=0.03", "write it as"),
        ("cer<=", "write it as"),
        ("cer<=low", "write it as"),
        ("cer<=1.2.3", "write it as"),
        ("go_live==true%", "write it as"),
        ("cer<=0.03 or 1", "write it as"),
        ("__import__('os')<=1", "write it as"),  # nothing is evaluated
        ("cerr<=1", "gate 'cerr<=1': no such number; did you mean 'cer'? known: cer, cer_before"),
        ("speed<=1", "no such number; known: cer, cer_before, exact, go_live, verdict"),
    ],
)
def test_a_text_that_is_no_gate_is_refused(text, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        parse_gates([text], NUMBERS)


def test_all_faults_are_named_at_once():
    with pytest.raises(PipelineError, match="gate 'a'.*gate 'b<1'"):
        parse_gates(["a", "cer<1", "b<1"], NUMBERS)


def test_a_result_says_what_was_measured():
    gates = parse_gates(["cer<=0.02", "cer_before<1", "go_live==true"], NUMBERS)
    assert [str(result) for result in check_gates(gates, NUMBERS)] == [
        "FAILED cer<=0.02: measured 0.03",
        "FAILED cer_before<1: not measured",
        "passed go_live==true: measured true",
    ]
