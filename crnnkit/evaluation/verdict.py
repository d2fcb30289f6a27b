"""Whether a recogniser may go live, and why."""

from dataclasses import dataclass

from crnnkit.evaluation.confidence import acceptance_sentence
from crnnkit.evaluation.report import EvaluationReport

MAX_CER = 0.05
MIN_FIELD_ACCURACY = 0.95
"""The bars where none are given."""


@dataclass(frozen=True)
class Verdict:
    """Whether a recogniser may go live, and why."""

    is_ready: bool
    reasons: tuple[str, ...]
    """What it fails, or, where it is ready, what it passes."""
    acceptance: str
    """From which confidence on lines may pass unread; it does not decide."""

    def __str__(self) -> str:
        """E.g. `not ready: CER 7.20% ≥ 5%; 99% precision: accept confidence ≥ 0.931246, …`."""
        return "; ".join([f"{self.answer}: {self.reasons[0]}", *self.reasons[1:], self.acceptance])

    @property
    def answer(self) -> str:
        """`ready` or `not ready`."""
        return "ready" if self.is_ready else "not ready"


def verdict(
    report: EvaluationReport,
    max_cer: float = MAX_CER,
    min_field_accuracy: float = MIN_FIELD_ACCURACY,
) -> Verdict:
    """Judge whether a recogniser may go live: CER below `max_cer` and every key field right.

    A key field that no line holds cannot be judged, so it does not pass.
    """
    cer = report.score.cer
    passed = [f"CER {cer:.2%} < {100 * max_cer:g}%"] if cer < max_cer else []
    failed = [f"CER {cer:.2%} ≥ {100 * max_cer:g}%"] if not passed else []
    bar = f"{100 * min_field_accuracy:g}%"
    for name, field in report.fields.items():
        accuracy = field.accuracy
        if accuracy is None:
            failed.append(f"key field {name}: no line holds one, so it cannot be judged")
        elif accuracy < min_field_accuracy:
            failed.append(f"key field {name} {accuracy:.1%} < {bar}")
        else:
            passed.append(f"key field {name} {accuracy:.1%} ≥ {bar}")
    if not report.fields:
        passed.append("no key fields were named")
    return Verdict(not failed, tuple(failed or passed), acceptance_sentence(report.lines))
