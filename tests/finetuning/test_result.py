from pathlib import Path

import pytest

from crnnkit.finetuning.calibrate import Calibration
from crnnkit.finetuning.history import EpochResult
from crnnkit.finetuning.result import TrainResult
from crnnkit.model.language import Language

PATHS = (Path("best.safetensors"), Path("last.safetensors"))


ALONE = Calibration(1.0, None, 0.1, 0.1)


def result(general_cer, max_forgetting=None, num_turned=0, written_as=None, calibration=ALONE):
    best = EpochResult(1, 1.5, 0.5, 1.0, 0.1, 0.1, 1e-3, 250.0, 12.5, general_cer)
    return TrainResult(
        *(*PATHS, best, (best,), None, 0.05, num_turned),
        *(written_as or {}, calibration, max_forgetting),
    )


@pytest.mark.parametrize(
    ("general_cer", "max_forgetting", "advice"),
    [
        (0.08, None, "general reading: CER 5.00% before, 8.00% after"),
        # nothing was asked for, but much was lost
        (0.09, None, "9.00% after. Where that matters, lower lr, or let max_forgetting choose"),
        # what was asked for was kept
        (0.09, 0.05, "general reading: CER 5.00% before, 9.00% after"),
        (0.09, 0.01, "9.00% after. No epoch kept it within max_forgetting"),
    ],
)
def test_a_run_says_what_was_forgotten(general_cer, max_forgetting, advice):
    (remark,) = result(general_cer, max_forgetting).remarks()
    assert advice in remark
    assert remark.endswith("after") == advice.endswith("after")


def test_a_run_says_what_the_language_of_the_labels_brings():
    language = Language({"ab": 2, "bc": 3}, 2, 0.3)
    remark = result(0.05, calibration=Calibration(1.0, language, 0.0197, 0.009)).remarks()[0]
    assert "CER 1.97% without that, 0.90% with it" in remark
    assert "2 n-grams" in remark
    assert "language" not in "".join(result(0.05).remarks())


def test_a_run_says_how_many_lines_it_turned():
    assert "7 training lines are upside down" in result(0.05, num_turned=7).remarks()[0]


def test_a_run_says_how_the_labels_write_what_is_printed():
    remark = result(0.05, written_as={"a": "A", "·": ""}).remarks()[0]
    assert "the labels write A for a, nothing for ·: so will the model" in remark
