"""What a training run leaves behind, and what its user should know of it."""

from dataclasses import dataclass
from pathlib import Path

from crnnkit.finetuning.calibrate import Calibration
from crnnkit.finetuning.history import EpochResult
from crnnkit.model.checkpoint import VocabChange

WORTH_A_WORD = 0.035
"""Rise of the general CER; on the hard lines of data/general so much is about one point of clean
print (benchmarks/LOG.md)."""


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves behind."""

    best_path: Path
    last_path: Path
    best: EpochResult
    history: tuple[EpochResult, ...]
    vocab_change: VocabChange | None
    """None when training began from random weights."""
    general_cer_before: float | None
    """General CER of the network that training began from; None without general lines."""
    num_turned: int
    """Training lines that were found upside down."""
    written_as: dict[str, str]
    """Characters that the labels write otherwise than the start reads them: `model.spelling`."""
    calibration: Calibration
    """What the best checkpoint was given at the end."""
    max_forgetting: float | None
    """What was asked for."""

    def remarks(self) -> list[str]:
        """What a user should know of the run, a sentence each."""
        lines = [str(self.vocab_change)] if self.vocab_change else []
        if self.num_turned:
            lines.append(f"{self.num_turned} training lines are upside down and were turned")
        if self.written_as:
            pairs = ", ".join(f"{w or 'nothing'} for {c}" for c, w in self.written_as.items())
            lines.append(f"the labels write {pairs}: so will the model, whatever is printed")
        if self.calibration.language is not None:
            lines.append(
                "where the network is unsure, which characters follow which in the labels decides: "
                f"validation CER {self.calibration.cer_alone:.2%} without that, "
                f"{self.calibration.cer:.2%} with it. The checkpoint holds "
                f"{len(self.calibration.language.counts):,} n-grams of several labels each; "
                "language = never leaves them out"
            )
        if self.general_cer_before is not None and self.best.general_cer is not None:
            lines.append(
                f"general reading: CER {self.general_cer_before:.2%} before, "
                f"{self.best.general_cer:.2%} after"
                + self._advice(self.best.general_cer - self.general_cer_before)
            )
        elif self.vocab_change:
            lines.append("general reading was not protected: give a folder of general lines")
        return lines

    def _advice(self, rise: float) -> str:
        if self.max_forgetting is None and rise > WORTH_A_WORD:
            return ". Where that matters, lower lr, or let max_forgetting choose the epoch"
        if self.max_forgetting is not None and rise > self.max_forgetting:
            return ". No epoch kept it within max_forgetting: lower lr, or raise general_share"
        return ""
