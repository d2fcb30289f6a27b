"""The pipeline: what it refuses before it starts, what it shows, where it stops."""

import io
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from crnnkit.errors import PipelineError
from crnnkit.workbook.pipeline import (
    STEPS,
    check_parameters,
    declared_parameters,
    format_result,
    load_parameters,
    run_pipeline,
    without_demo,
)

PARAMETERS = """\
run_dir: str = "checkpoints/toy"  # where results go
epochs: int = 2  # passes over the training set
lr: float = 1e-3  # learning rate
live: bool = False  # curves while training
enhance: list[str] = ["gray"]  # steps
key_fields: dict[str, str] = {"date": "[0-9]{4}"}  # name and pattern"""
NUMBERS = {
    "measured_on": "test", "cer_before": None, "cer": 0.021, "exact_before": 0.5, "exact": 0.9,
    "verdict": "go live: yes", "ms_torch": 5.25, "ms_onnx": 3.0,
}  # fmt: skip


def toy_code(step: str) -> str:
    """Code of a notebook that does nothing but leave its record."""
    return f"""\
from crnnkit.workbook.handover import resolve_path, write_step
report = resolve_path(run_dir) / "report.html"
report.touch()
print("epochs", epochs, "lr", lr, "of {step}")
write_step(run_dir, {step!r}, {{}}, {{}}, {{"report": report}}, {NUMBERS!r})
"""


def write_notebook(folder: Path, step: str, *sources: str, tag: str = "parameters") -> Path:
    first, *others = sources
    cells = [new_code_cell(first, metadata={"tags": [tag]}), *map(new_code_cell, others)]
    path = folder / f"{step}.ipynb"
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def notebooks(tmp_path):
    """Six notebooks that take a second each."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for step in STEPS:
        write_notebook(folder, step, PARAMETERS, toy_code(step))
    return folder


# ---------------------------------------------------------------- what the notebooks declare


def test_declared_parameters_have_type_default_help_and_users(notebooks):
    source = PARAMETERS + "\nbatch_size: int = 32  # lines at a time"
    write_notebook(notebooks, "04_finetuning", source)
    declared = declared_parameters(notebooks)
    assert declared["epochs"].notebooks == tuple(STEPS)
    assert declared["batch_size"].notebooks == ("04_finetuning",)
    assert declared["lr"].type_name == "float"
    assert declared["lr"].default == "1e-3"
    assert declared["lr"].help == "learning rate"
    assert declared["key_fields"].type_name == "dict[str,str]"


@pytest.mark.parametrize(
    ("sources", "tag", "message"),
    [
        # papermill would put the values on top, and the notebook would overwrite them
        ([PARAMETERS], "none", "0 cells with the tag 'parameters', expected exactly 1"),
        (["epochs = 2"], "parameters", "parameter epochs is declared as None; write `epochs: type"),
        (["epochs: Path = 2"], "parameters", "epochs is declared as Path"),
        # the same name must mean the same in every notebook
        (["epochs: float = 2"], "parameters", "epochs: float = 2, but 02_dataset declares int = 2"),
        (["epochs: int = 3"], "parameters", "epochs: int = 3, but 02_dataset declares int = 2"),
    ],
)
def test_a_notebook_with_a_faulty_parameters_cell_is_refused(notebooks, sources, tag, message):
    write_notebook(notebooks, "03_vocab", *sources, tag=tag)
    with pytest.raises(PipelineError, match="03_vocab.ipynb.*" + message.replace("[", r"\[")):
        declared_parameters(notebooks)


def test_two_parameters_cells_are_refused(notebooks):
    path = notebooks / "03_vocab.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells.append(new_code_cell("epochs: int = 3", metadata={"tags": ["parameters"]}))
    nbformat.write(notebook, path)
    with pytest.raises(PipelineError, match="03_vocab.ipynb: 2 cells with the tag"):
        declared_parameters(notebooks)


def test_a_missing_notebook_is_named(notebooks):
    (notebooks / "05_evaluation.ipynb").unlink()
    with pytest.raises(PipelineError, match="05_evaluation.ipynb: no such notebook"):
        declared_parameters(notebooks)


def test_a_damaged_notebook_is_named(notebooks):
    (notebooks / "05_evaluation.ipynb").write_text("{")
    with pytest.raises(PipelineError, match="05_evaluation.ipynb: not a notebook"):
        declared_parameters(notebooks)


# ---------------------------------------------------------------- values from outside


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("epochs=10", "epochs", 10),
        ("lr=1e-4", "lr", 1e-4),  # YAML 1.1 would call this a text
        ("lr=1", "lr", 1.0),
        ("live=true", "live", True),
        ("run_dir=2024", "run_dir", "2024"),  # a text stays one
        ("run_dir=a=b", "run_dir", "a=b"),  # only the first sign separates
        ("run_dir=", "run_dir", ""),
        ("enhance=[gray, denoise]", "enhance", ["gray", "denoise"]),
        ("enhance=[]", "enhance", []),
        ('key_fields={"d": "[0-9]+"}', "key_fields", {"d": "[0-9]+"}),
    ],
)
def test_a_value_from_the_command_line_gets_its_declared_type(notebooks, override, name, value):
    loaded = load_parameters(None, [override], notebooks)
    assert loaded == {name: value}
    assert type(loaded[name]) is type(value)


def test_the_command_line_wins_over_the_file(notebooks, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("epochs: 3\nlr: 1e-4\nrun_dir: checkpoints/京\n", encoding="utf-8")
    loaded = load_parameters(file, ["epochs=7"], notebooks)
    assert loaded == {"epochs": 7, "lr": 1e-4, "run_dir": "checkpoints/京"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epohcs=3", "unknown parameter 'epohcs'; did you mean 'epochs'?"),
        ("zzzzzz=3", "unknown parameter 'zzzzzz'; known: enhance, epochs, key_fields"),
        ("epochs=many", r"parameter epochs is 'many' \(str\), expected int"),
        ("epochs=2.5", r"parameter epochs is 2.5 \(float\), expected int"),
        ("epochs=true", r"parameter epochs is True \(bool\), expected int"),
        ("live=1", r"parameter live is 1 \(int\), expected bool"),
        ("lr=fast", r"parameter lr is 'fast' \(str\), expected float"),
        ("lr=nan", r"parameter lr is 'nan' \(str\), expected float"),
        ("enhance=gray", r"parameter enhance is 'gray' \(str\), expected list\[str\]"),
        ("enhance=[", r"parameter enhance is '\[' \(str\), expected list\[str\]"),
        ("epochs", "parameter 'epochs': write it as name=value"),
    ],
)
def test_a_wrong_value_is_refused_with_name_value_and_type(notebooks, override, message):
    with pytest.raises(PipelineError, match=message):
        load_parameters(None, [override], notebooks)


def test_all_faults_are_named_at_once(notebooks):
    with pytest.raises(PipelineError, match=r"unknown parameter 'lrr'.*epochs is 'x'"):
        load_parameters(None, ["lrr=1", "epochs=x"], notebooks)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs: 3\nepochs: 30\n", "given twice: epochs"),  # YAML itself would take the last
        ("- epochs\n", "expected lines of `name: value`"),
        ("", "expected lines of `name: value`"),
        ("epochs: [\n", "not a YAML file"),
        ("epochs:\n", r"parameter epochs is None \(NoneType\), expected int"),
        ("run_dir: 2024\n", r"parameter run_dir is 2024 \(int\), expected str"),
    ],
)
def test_a_faulty_parameters_file_is_refused(notebooks, tmp_path, content, message):
    file = tmp_path / "p.yaml"
    file.write_text(content)
    with pytest.raises(PipelineError, match=message):
        load_parameters(file, [], notebooks)


def test_a_missing_parameters_file_is_named(notebooks, tmp_path):
    with pytest.raises(PipelineError, match="gone.yaml: cannot be read: No such file"):
        load_parameters(tmp_path / "gone.yaml", [], notebooks)


def test_checked_values_pass_a_second_check_unchanged(notebooks):
    declared = declared_parameters(notebooks)
    checked = check_parameters({"lr": "1e-4", "epochs": 2}, declared)
    assert check_parameters(checked, declared) == checked == {"lr": 1e-4, "epochs": 2}


# ---------------------------------------------------------------- running


def test_a_wrong_parameter_stops_before_anything_is_touched(notebooks, tmp_path):
    with pytest.raises(PipelineError, match="did you mean 'epochs'"):
        run_pipeline({"epoch": 3}, tmp_path / "run", notebooks)
    assert not (tmp_path / "run").exists()


@pytest.mark.notebooks
def test_six_notebooks_run_with_their_parameters_and_end_in_a_table(notebooks, tmp_path):
    run_dir, terminal = tmp_path / "run", io.StringIO()
    result = run_pipeline({"epochs": 5, "lr": 1e-5}, run_dir, notebooks, terminal)
    assert sorted(p.stem for p in (run_dir / "notebooks").iterdir()) == list(STEPS)
    assert sorted(p.stem for p in run_dir.glob("*.json")) == list(STEPS)
    shown = terminal.getvalue()
    for number, step in enumerate(STEPS, start=1):
        assert f"[{number}/6] {step}: " in shown
        # what a cell printed, with the values from outside
        assert f"\n      epochs 5 lr 1e-05 of {step}\n      done in " in shown
    table = format_result(result).splitlines()
    assert table[1].split() == ["test", "CER", "–", "2.1", "%"]
    assert table[2].split() == ["test", "exact", "match", "50.0", "%", "90.0", "%"]
    assert table[4].split() == ["ms", "per", "line", "5.2", "3.0"]
    assert [row.split()[0] for row in table[6:12]] == list(STEPS)
    assert table[-2] == "go live: yes"
    assert table[-1].startswith("report: ")
    assert table[-1].endswith("/run/report.html")


@pytest.mark.notebooks
def test_the_first_failure_stops_the_run_and_is_named(notebooks, tmp_path):
    run_dir, terminal = tmp_path / "run", io.StringIO()
    run_dir.mkdir()
    old = run_dir / "06_serving.json"
    old.write_text("left by an earlier run")
    write_notebook(notebooks, "02_dataset", PARAMETERS, "print('begun', end='')\nlr / 0", "1")
    with pytest.raises(PipelineError) as caught:
        run_pipeline({}, run_dir, notebooks, terminal)
    message = str(caught.value)
    assert message.startswith("02_dataset: cell In [3] `print('begun', end='')` failed: ")
    assert "ZeroDivisionError: float division by zero" in message
    assert message.endswith("/run/notebooks/02_dataset.ipynb")
    assert "begun" in terminal.getvalue()
    assert "[3/6]" not in terminal.getvalue()
    assert not old.exists(), "an old record would pass for this run's"
    assert (run_dir / "01_preprocessing.json").exists()


@pytest.mark.notebooks
def test_a_notebook_that_leaves_no_record_is_a_failure(notebooks, tmp_path):
    write_notebook(notebooks, "01_preprocessing", PARAMETERS, "print('done nothing')")
    with pytest.raises(PipelineError, match=r"01_preprocessing.json: missing"):
        run_pipeline({}, tmp_path / "run", notebooks, io.StringIO())


@pytest.mark.notebooks
def test_a_killed_kernel_is_told_plainly(notebooks, tmp_path):
    write_notebook(notebooks, "01_preprocessing", PARAMETERS, "import os; os._exit(9)")
    with pytest.raises(PipelineError, match=r"01_preprocessing: the notebook's process ended"):
        run_pipeline({}, tmp_path / "run", notebooks, io.StringIO())


def test_the_demos_files_never_join_the_users_own():
    assert without_demo({"epochs": 3}) == {"epochs": 3}  # the demo run keeps the demo's files
    own = without_demo({"train_index": "mine.txt", "test_index": "mine_too.txt"})
    assert own == {
        "train_index": "mine.txt",
        "test_index": "mine_too.txt",
        "val_index": "",
        "pages": "",
        "key_fields": {},
    }
    assert set(own) <= set(declared_parameters())  # the real notebooks know all of them
