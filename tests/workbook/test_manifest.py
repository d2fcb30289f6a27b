"""The manifest: what makes a notebook run again, and what CI reads of a run."""

import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from crnnkit.dataset.index import Line, write_index
from crnnkit.workbook import manifest
from crnnkit.workbook.gates import GateResult
from crnnkit.workbook.handover import StepRecord
from crnnkit.workbook.manifest import (
    PipelineResult,
    StepRun,
    fingerprint,
    junit,
    read_steps,
    write_manifest,
)

RECORD = StepRecord("05_evaluation", "0", {}, {}, {}, {"measured_on": "test", "cer": 0.02})
RUN = StepRun("done", 2.0, "05.ipynb", "f00", RECORD)


@pytest.fixture
def data(tmp_path: Path) -> dict[str, object]:
    """Give parameters that name a list of pictures, a folder and a file."""
    for name in ("a.png", "general/b.png", "base.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_index(tmp_path / "train.txt", [Line(tmp_path / "a.png", "A", 1)])
    return {
        "train_index": str(tmp_path / "train.txt"),
        "general_data": str(tmp_path / "general"),
        "pretrained_ckpt": str(tmp_path / "base.safetensors"),
        "device": "cpu",
        "epochs": 2,
        "run_dir": str(tmp_path / "run"),
    }


@pytest.mark.parametrize(
    "name", ["train.txt", "a.png", "general/b.png", "general/new.png", "base.safetensors"]
)
def test_a_file_that_changes_changes_the_fingerprint(notebooks, data, tmp_path, name):
    notebook = notebooks / "02_dataset.ipynb"
    before = fingerprint(notebook, data)
    assert fingerprint(notebook, data) == before
    (tmp_path / name).write_text("a.png\tB\n")
    assert fingerprint(notebook, data) != before


def test_what_a_run_writes_does_not_change_its_fingerprint(notebooks, data, tmp_path):
    before = fingerprint(notebooks / "02_dataset.ipynb", data)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.onnx").write_text("new")
    assert fingerprint(notebooks / "02_dataset.ipynb", data) == before


def test_a_value_changes_the_fingerprint_and_prose_does_not(
    notebooks, data, write_notebook, toy_parameters
):
    notebook = write_notebook("02_dataset", toy_parameters, "1")
    before = fingerprint(notebook, data)
    assert fingerprint(notebook, data | {"epochs": 3}) != before
    text = notebook.read_text()
    notebook.write_text(text.replace('"cells": [', '"cells": [{"cell_type": "markdown", "id": "p", '
                                     '"metadata": {}, "source": "prose"},'))  # fmt: skip
    assert fingerprint(notebook, data) == before
    write_notebook("02_dataset", toy_parameters, "2")
    assert fingerprint(notebook, data) != before


def test_the_package_and_the_libraries_change_the_fingerprint(
    notebooks, data, tmp_path, monkeypatch
):
    notebook = notebooks / "02_dataset.ipynb"
    before = fingerprint(notebook, data)
    monkeypatch.setattr(manifest, "versions", lambda: {"torch": "0"})
    assert fingerprint(notebook, data) != before
    monkeypatch.undo()
    copy = tmp_path / "site" / "crnnkit"
    shutil.copytree(Path(manifest.crnnkit.__file__).parent, copy)
    (copy / "vocab.py").write_text("")
    monkeypatch.setattr(manifest.crnnkit, "__file__", str(copy / "__init__.py"))
    manifest._package_hash.cache_clear()
    monkeypatch.setattr(manifest, "resolve_path", Path)
    assert fingerprint(notebook, data) != before
    manifest._package_hash.cache_clear()


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    result = PipelineResult(tmp_path, {"epochs": 2}, {"05_evaluation": RUN})
    write_manifest(result)
    assert read_steps(tmp_path) == result.steps


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"steps": {"a": {"state": "odd"}}}'])
def test_a_damaged_manifest_skips_nothing(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    assert read_steps(tmp_path) == {}


def test_junit_counts_errors_failures_and_skipped(tmp_path):
    failed = replace(RUN, state="failed", record=None, error="06: broke\n<at> line 3")
    steps = {
        "04_finetuning": replace(RUN, state="unchanged"),
        "05_evaluation": RUN,
        "06_serving": failed,
    }
    gates = (GateResult("cer<=0.03", 0.02, True), GateResult("cer<0.01", 0.02, False))
    (suite,) = ET.fromstring(junit(PipelineResult(tmp_path, {}, steps, gates)))
    totals = {name: suite.get(name) for name in ("tests", "errors", "failures", "skipped", "time")}
    assert totals == {"tests": "5", "errors": "1", "failures": "1", "skipped": "1", "time": "2.0"}
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        "04_finetuning": ["skipped"], "05_evaluation": [], "06_serving": ["error"],
        "cer<=0.03": [], "cer<0.01": ["failure"],
    }  # fmt: skip
    assert suite.find("testcase/error").text == failed.error
    assert suite.find("testcase/failure").get("message") == "FAILED cer<0.01: measured 0.02"
