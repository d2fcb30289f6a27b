"""Six toy notebooks that do nothing but take parameters and leave their records."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from crnnkit.workbook.parameters import STEPS

WriteNotebook = Callable[..., Path]
PARAMETERS = """\
run_dir: str = "checkpoints/toy"  # where results go
epochs: int = 2  # passes over the training set
lr: float = 1e-3  # learning rate
live: bool = False  # curves while training
enhance: list[str] = ["gray"]  # steps
key_fields: dict[str, str] = {"date": "[0-9]{4}"}  # name and pattern"""
CODE = """\
from crnnkit.workbook.handover import resolve_path, write_step
report = resolve_path(run_dir) / "report.html"
report.touch()
print("epochs", epochs, "lr", lr, "of {step}")
numbers = {{"measured_on": "test", "cer_before": None, "cer": 0.021, "exact_before": 0.5}}
numbers |= {{"exact": 0.9, "verdict": "go live: yes", "ms_torch": 5.25, "ms_onnx": 3.0}}
write_step(run_dir, "{step}", {{"epochs": epochs}}, {{}}, {{"report": report}}, numbers)
"""


@pytest.fixture
def write_notebook(tmp_path: Path) -> WriteNotebook:
    """Give a function that writes a notebook; its first source is the parameters cell."""
    folder = tmp_path / "notebooks"
    folder.mkdir()

    def write(step: str, *sources: str, tag: str = "parameters") -> Path:
        first, *others = sources
        cells = [new_code_cell(first, metadata={"tags": [tag]}), *map(new_code_cell, others)]
        path = folder / f"{step}.ipynb"
        kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
        return path

    return write


@pytest.fixture
def toy_parameters() -> str:
    """Give the source of the toy notebooks' parameters cell."""
    return PARAMETERS


@pytest.fixture
def notebooks(write_notebook: WriteNotebook) -> Path:
    """Give a folder of six notebooks that take a second each."""
    paths = [write_notebook(step, PARAMETERS, CODE.format(step=step)) for step in STEPS]
    return paths[0].parent
