"""Whether a recogniser may go live, and why."""

from dataclasses import dataclass

from crnnkit.dataset.faults import count_of
from crnnkit.errors import ConfigError
from crnnkit.evaluation.confidence import acceptance_sentence
from crnnkit.evaluation.report import EvaluationReport
from crnnkit.evaluation.resampling import MIN_TEXTS
from crnnkit.metrics import FieldScore

MAX_CER = 0.05
MIN_FIELD_ACCURACY = 0.95
"""The bars where none are given."""
MIN_FIELDS = 20
"""Fewer examples of a key field cannot judge it: one error would decide on 95 %."""


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
    """Judge whether a recogniser may go live.

    The upper end of the CER's interval must lie below `max_cer`, on at least `MIN_TEXTS` different
    texts, and every key field must be right. One of which the lines hold fewer than `MIN_FIELDS`
    cannot be judged, so it does not pass.

    Raises:
        ConfigError: if a bar is no share from 0 to 1.
    """
    check_bar("max_cer", max_cer)
    check_bar("min_field_accuracy", min_field_accuracy)
    judged = [_judged_cer(report, max_cer)]
    if report.by_text.num_texts < MIN_TEXTS:
        few = count_of(report.by_text.num_texts, "different text")
        judged.append((False, f"{few}, of {MIN_TEXTS} that are needed to tell"))
    judged += [_judged_field(*named, min_field_accuracy) for named in report.fields.items()]
    if not report.fields:
        judged.append((True, "no key fields were named"))
    is_ready = all(passes for passes, _ in judged)
    reasons = tuple(reason for passes, reason in judged if passes is is_ready)
    return Verdict(is_ready, reasons, acceptance_sentence(report.lines))


def check_bar(name: str, bar: float) -> None:
    """Refuse a bar that is no share; NaN, too."""
    if not 0 <= bar <= 1:
        raise ConfigError(f"{name} is {bar:g}; it is a share from 0 to 1: 0.05 means 5 %.")


def _judged_cer(report: EvaluationReport, max_cer: float) -> tuple[bool, str]:
    cer, high = report.score.cer, report.cer_interval[1]
    bar = f"{100 * max_cer:g}%"
    if cer >= max_cer:
        return False, f"CER {cer:.2%} ≥ {bar}"
    if high >= max_cer:
        return False, f"CER {cer:.2%} < {bar}, but its 95% interval reaches {high:.2%}"
    return True, f"CER {cer:.2%}, 95% interval up to {high:.2%}, < {bar}"


def _judged_field(name: str, field: FieldScore, min_accuracy: float) -> tuple[bool, str]:
    accuracy = field.accuracy
    bar = f"{100 * min_accuracy:g}%"
    if accuracy is None:
        return False, f"key field {name}: no line holds one, so it cannot be judged"
    if accuracy < min_accuracy:
        return False, f"key field {name} {accuracy:.1%} < {bar}"
    if field.num_fields < MIN_FIELDS:
        return False, f"key field {name}: {field.num_fields}, of {MIN_FIELDS} needed to tell"
    return True, f"key field {name} {accuracy:.1%} ≥ {bar}"
