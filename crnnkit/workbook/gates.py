"""Conditions on what a run measured, `test_cer<=0.03`: they decide whether CI passes."""

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from crnnkit.errors import PipelineError
from crnnkit.workbook.handover import Number

SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
TRUTHS = {"true": 1.0, "false": 0.0}
GATE = re.compile(r"\s*(\w+)\s*(<=|>=|==|<|>)\s*(true|false|-?[0-9.]+(?:e-?[0-9]+)?)\s*(%?)\s*")


@dataclass(frozen=True)
class Gate:
    """One condition."""

    text: str
    """As it was written."""
    name: str
    """Of a number."""
    sign: str
    bound: float
    """`3%` is 0.03; true is 1, false is 0."""


@dataclass(frozen=True)
class GateResult:
    """A condition, held against what was measured."""

    text: str
    value: Number
    """None where it was not measured; that does not pass."""
    passed: bool

    def __str__(self) -> str:
        """`FAILED test_cer<=0.03: measured 0.079`."""
        found = "not measured" if self.value is None else f"measured {_shown(self.value)}"
        return f"{'passed' if self.passed else 'FAILED'} {self.text}: {found}"


def parse_gates(texts: Sequence[str], known: Collection[str]) -> list[Gate]:
    """Conditions from texts; nothing is evaluated but one comparison with one number.

    Args:
        known: names of the numbers that the notebooks measure.

    Raises:
        PipelineError: naming all conditions that cannot be read and all unknown names.
    """
    gates, faults = [], []
    for text in texts:
        match = GATE.fullmatch(text)
        bound = _number(match[3], match[4]) if match else None
        if match is None or bound is None:
            faults.append(f"gate {text!r}: write it as name<=number, with one of {' '.join(SIGNS)}")
        elif match[1] not in known:
            near = get_close_matches(match[1], known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            faults.append(f"gate {text!r}: no such number; {hint}known: {', '.join(sorted(known))}")
        else:
            gates.append(Gate(text.strip(), match[1], match[2], bound))
    if faults:
        raise PipelineError("; ".join(faults) + ". Correct them and run again.")
    return gates


def check_gates(gates: Sequence[Gate], numbers: Mapping[str, Number]) -> tuple[GateResult, ...]:
    """Hold each condition against the numbers; what is no number, or missing, does not pass."""
    results = []
    for gate in gates:
        value = numbers.get(gate.name)
        passed = isinstance(value, int | float) and SIGNS[gate.sign](value, gate.bound)
        results.append(GateResult(gate.text, value, passed))
    return tuple(results)


def _number(text: str, percent: str) -> float | None:
    if text in TRUTHS:
        return None if percent else TRUTHS[text]
    try:
        return float(text) / (100 if percent else 1)
    except ValueError:
        return None


def _shown(value: Number) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower()
