"""Two recognisers on the same lines: what changed, and whether it may be chance."""

from dataclasses import dataclass

from crnnkit.dataset.faults import count_of
from crnnkit.errors import DatasetError
from crnnkit.evaluation.report import EvaluationReport
from crnnkit.evaluation.resampling import change_p_value, rate_interval


@dataclass(frozen=True)
class Comparison:
    """Two recognisers on the same lines; changes are after - before."""

    cer_change: float
    """Below 0 is better."""
    cer_change_interval: tuple[float, float]
    """95 % paired bootstrap interval, over distinct texts."""
    p_value: float
    """Chance of a CER change at least as large if before and after were interchangeable."""
    exact_change: float
    """Of the share of lines without error; above 0 is better."""
    exact_p_value: float
    """As `p_value`, for the exact matches."""
    num_better: int
    """Lines with fewer edits than before."""
    num_worse: int
    num_mended: int
    """Lines wrong before and right after."""
    num_broken: int
    """Lines right before and wrong after."""

    def __str__(self) -> str:
        """The result in a sentence."""
        if self.cer_change == 0:
            change = "CER the same after as before"
        else:
            way = "better" if self.cer_change < 0 else "WORSE"
            low, high = self.cer_change_interval
            change = (
                f"{way} after than before: CER {100 * self.cer_change:+.2f} points "
                f"(95% interval {100 * low:+.2f} to {100 * high:+.2f}, {_chance(self.p_value)})"
            )
        exact = f"exact match {100 * self.exact_change:+.1f} points ({_chance(self.exact_p_value)})"
        mended = f"{count_of(self.num_mended, 'line')} mended, {self.num_broken} broken"
        return f"{change}; {exact}; {mended}"


def _chance(p_value: float) -> str:
    return f"p = {p_value:.4f}{'' if p_value < 0.05 else ', which may be chance'}"


def compare(before: EvaluationReport, after: EvaluationReport) -> Comparison:
    """Compare two recognisers on the same lines, and tell a change from chance.

    Raises:
        DatasetError: if the reports are about different lines.
    """
    if before.data_sha256 != after.data_sha256:
        raise DatasetError(
            f"compare: {before.model_name} and {after.model_name} were measured on different "
            f"lines (data {before.data_sha256[:8]} and {after.data_sha256[:8]}). "
            "Evaluate both on the same index file."
        )
    texts = [line.reference for line in after.lines]
    pairs = list(zip(before.lines, after.lines, strict=True))
    edits = [now.num_edits - then.num_edits for then, now in pairs]
    exact = [now.is_exact - then.is_exact for then, now in pairs]
    return Comparison(
        cer_change=after.score.cer - before.score.cer,
        cer_change_interval=rate_interval(texts, edits, [len(text) for text in texts]),
        p_value=change_p_value(texts, edits),
        exact_change=after.score.exact_match - before.score.exact_match,
        exact_p_value=change_p_value(texts, exact),
        num_better=sum(change < 0 for change in edits),
        num_worse=sum(change > 0 for change in edits),
        num_mended=exact.count(1),
        num_broken=exact.count(-1),
    )
