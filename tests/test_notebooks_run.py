"""The six notebooks, run: through the pipeline on a part of the demo set, and by hand."""

import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from crnnkit.dataset.index import read_index, write_index
from crnnkit.serving.recognizer import Recognizer
from crnnkit.workbook.handover import StepRecord, read_step, resolve_path
from crnnkit.workbook.manifest import PipelineResult
from crnnkit.workbook.parameters import (
    STEPS,
    declared_numbers,
    declared_parameters,
    load_parameters,
    step_values,
)
from crnnkit.workbook.pipeline import format_result, run_pipeline

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "demo"
EXAMPLES = sorted((ROOT / "notebooks" / "parameters").glob("*.yaml"))


# ---------------------------------------------------------------- parameters, without running


def test_the_notebooks_agree_on_their_parameters():
    declared = declared_parameters()
    assert declared["run_dir"].notebooks == tuple(STEPS)
    assert all(len(parameter.help.split()) >= 2 for parameter in declared.values())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_of_parameters_is_valid(path):
    parameters = load_parameters(path)
    assert parameters["run_dir"] == f"checkpoints/{path.stem}"
    assert f"notebooks/parameters/{path.name}" in path.read_text(encoding="utf-8")


def test_the_demo_s_parameters_are_the_notebooks_own():
    declared = declared_parameters()
    own = {k: v for step in STEPS for k, v in step_values(step, {}, declared).items()}
    assert load_parameters(ROOT / "notebooks" / "parameters" / "demo.yaml").items() <= own.items()


# ---------------------------------------------------------------- a short run


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> PipelineResult:
    """One run on 60 training lines for a few seconds: everything happens, nothing is learned."""
    folder = tmp_path_factory.mktemp("短 run")
    for name, number in (("train", 60), ("val", 20), ("test", 10)):
        write_index(folder / f"{name}.txt", read_index(DEMO / f"{name}.txt")[:number])
    parameters = {
        "train_index": str(folder / "train.txt"),
        "val_index": str(folder / "val.txt"),
        "test_index": "",
        "epochs": 1,
        "minutes": 5.0,  # the epoch ends before
        "key_fields": {"digit": "[0-9]"},
        "num_threads": 1,
    }
    return run_pipeline(parameters, folder / "run")


@pytest.mark.notebooks
def test_each_step_read_what_an_earlier_one_wrote(result):
    written: dict[str, str] = {}
    for step in STEPS:
        record: StepRecord = read_step(result.run_dir, step)
        assert record == result.steps[step].record
        for name, file in record.inputs.items():
            if resolve_path(file.path).is_relative_to(result.run_dir):
                assert written[file.path] == file.sha256, f"{step} read another {name}"
        written |= {file.path: file.sha256 for file in record.outputs.values()}
    assert {Path(path).name for path in written} >= {
        "train.txt", "vocab.txt", "best.safetensors", "report.html", "best.onnx"
    }  # fmt: skip


@pytest.mark.notebooks
def test_parameters_from_outside_arrived_in_their_notebooks(result):
    assert result.steps["04_finetuning"].record.parameters["epochs"] == 1
    assert result.steps["05_evaluation"].record.parameters["key_fields"] == {"digit": "[0-9]"}
    assert result.numbers["train_lines"] == 60
    assert result.numbers["epochs"] == 1
    assert result.numbers["measured_on"] == "val"
    assert set(result.numbers) <= declared_numbers(), "a gate on it would be refused"


@pytest.mark.notebooks
def test_the_executed_copies_show_pictures_and_no_error(result):
    for step in STEPS:
        notebook = nbformat.read(result.run_dir / "notebooks" / f"{step}.ipynb", 4)
        outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
        assert all(output.output_type != "error" for output in outputs)
        kinds = [kind for output in outputs for kind in output.get("data", {})]
        assert sum(kind.startswith("image/") for kind in kinds) >= 2, step


@pytest.mark.notebooks
def test_the_run_ends_with_a_model_that_reads_and_a_table(result):
    recognizer = Recognizer.load(result.run_dir / "best.onnx")
    assert recognizer.read_line(DEMO / read_index(DEMO / "test.txt")[0].image).confidence > 0
    table = format_result(result)
    assert "val CER" in table
    assert "go live: not ready" in table
    assert Path(table.rpartition("report: ")[2]).read_text(encoding="utf-8").count("<img") > 5


@pytest.mark.notebooks
def test_papermill_by_hand_works_from_any_folder(result, tmp_path):
    notebook = ROOT / "notebooks" / "03_vocab.ipynb"
    command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", "-k", "python3"]
    command += ["-p", "run_dir", result.run_dir, "-p", "extra_characters", "§"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "§" in (result.run_dir / "vocab.txt").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]


@pytest.mark.notebooks
def test_own_lines_named_in_01_alone_are_what_02_deals_out(tmp_path):
    write_index(tmp_path / "mine.txt", read_index(DEMO / "test.txt")[:40])
    given = {"run_dir": str(tmp_path / "run"), "train_index": str(tmp_path / "mine.txt")}
    for step in list(STEPS)[:2]:
        notebook = ROOT / "notebooks" / f"{step}.ipynb"
        papermill.execute_notebook(notebook, None, given, kernel_name="python3", cwd=tmp_path)
        given.pop("train_index", None)
    lines = {name: read_index(tmp_path / "run" / f"{name}.txt") for name in ("train", "val")}
    assert {name: len(part) for name, part in lines.items()} == {"train": 36, "val": 4}
    assert read_step(tmp_path / "run", "01_preprocessing").parameters["pages"] == ""
    assert read_step(tmp_path / "run", "02_dataset").numbers["measured_on"] == "val"


@pytest.mark.notebooks
def test_a_notebook_run_too_early_names_the_one_to_run_first(tmp_path):
    notebook = ROOT / "notebooks" / "03_vocab.ipynb"
    command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", "-k", "python3"]
    command += ["-p", "run_dir", tmp_path / "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "02_dataset.json: missing. Run notebooks/02_dataset.ipynb first" in done.stderr
