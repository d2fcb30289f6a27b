"""The pipeline: what it refuses before it starts, what it shows, where it stops."""

import io
import json

import nbformat
import pytest

from crnnkit.errors import PipelineError
from crnnkit.workbook import pipeline
from crnnkit.workbook.parameters import STEPS
from crnnkit.workbook.pipeline import format_result, run_pipeline

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
    assert sorted(p.stem for p in run_dir.glob("0*.json")) == list(STEPS)
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
def test_the_first_failure_stops_the_run_and_is_named(
    notebooks, tmp_path, write_notebook, toy_parameters
):
    run_dir, terminal = tmp_path / "run", io.StringIO()
    run_dir.mkdir()
    old = run_dir / "06_serving.json"
    old.write_text("left by an earlier run")
    write_notebook("02_dataset", toy_parameters, "print('begun', end='')\nlr / 0", "1")
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
def test_a_notebook_that_leaves_no_record_is_a_failure(
    notebooks, tmp_path, write_notebook, toy_parameters
):
    write_notebook("01_preprocessing", toy_parameters, "print('done nothing')")
    with pytest.raises(PipelineError, match=r"01_preprocessing.json: missing"):
        run_pipeline({}, tmp_path / "run", notebooks, io.StringIO())


@pytest.mark.notebooks
def test_a_killed_kernel_is_told_plainly(notebooks, tmp_path, write_notebook, toy_parameters):
    write_notebook("01_preprocessing", toy_parameters, "import os; os._exit(9)")
    with pytest.raises(PipelineError, match=r"01_preprocessing: the notebook's process ended"):
        run_pipeline({}, tmp_path / "run", notebooks, io.StringIO())


# ---------------------------------------------------------------- which notebooks run


@pytest.fixture
def executed(monkeypatch):
    """Run notebooks within this process, which takes no time; gives the names of those that ran."""
    names = []

    def execute(path, copy, values, **_settings):
        first, *others = nbformat.read(path, 4).cells
        names.append(path.stem)
        scope = {}
        exec(first.source, scope)
        scope |= values
        for cell in others:
            exec(cell.source, scope)

    monkeypatch.setattr(pipeline.papermill, "execute_notebook", execute)
    return names


@pytest.fixture
def run(notebooks, tmp_path, executed):
    """Give a function that runs the toy notebooks and names those that were executed."""

    def run(parameters=None, first=None, last=None, gates=()):
        executed.clear()
        arguments = (parameters or {}, tmp_path / "run", notebooks, io.StringIO())
        result = run_pipeline(*arguments, first=first, last=last, gates=gates)
        return result, [name[:2] for name in executed]

    return run


ALL = ["01", "02", "03", "04", "05", "06"]


def test_a_second_run_skips_what_is_unchanged_and_says_so(run):
    assert run()[1] == ALL
    result, names = run()
    assert names == []
    assert [step.state for step in result.steps.values()] == ["unchanged"] * 6
    assert result.numbers["test_cer"] == 0.021, "its numbers are those of the run before"
    assert format_result(result).count("unchanged") == 6


def test_a_notebook_that_changed_runs_again_and_all_behind_it(run, write_notebook, toy_parameters):
    run()
    path = write_notebook("03_vocab", "pass")
    source = nbformat.read(path.with_name("04_finetuning.ipynb"), 4).cells[1].source
    write_notebook("03_vocab", toy_parameters, source.replace("04_finetuning", "03_vocab"), "1")
    assert run()[1] == ALL[2:]
    assert run()[1] == []


def test_another_value_runs_the_notebooks_that_know_it(
    run, write_notebook, toy_parameters, notebooks
):
    code = nbformat.read(notebooks / "05_evaluation.ipynb", 4).cells[1].source
    write_notebook("05_evaluation", toy_parameters + "\nmax_cer: float = 0.05  # the bar", code)
    run()
    assert run({"max_cer": 0.01})[1] == ["05", "06"]
    assert run({"max_cer": 0.01})[1] == []
    assert run({"epochs": 9, "max_cer": 0.01})[1] == ALL


def test_what_a_notebook_left_must_still_be_there_as_it_was(run, tmp_path):
    run()
    (tmp_path / "run" / "report.html").write_text("changed by hand")
    assert run()[1] == ALL  # every toy notebook leaves it
    record = tmp_path / "run" / "04_finetuning.json"
    record.write_text(record.read_text().replace('"epochs": 2', '"epochs": 3'))
    assert run()[1] == ALL[3:], "a run by hand is not the pipeline's"


def test_a_failed_run_goes_on_where_it_failed(run, write_notebook, toy_parameters, notebooks):
    good = nbformat.read(notebooks / "04_finetuning.ipynb", 4).cells[1].source
    write_notebook("04_finetuning", toy_parameters, "pass")  # leaves no record
    with pytest.raises(PipelineError, match=r"04_finetuning.json: missing"):
        run()
    with pytest.raises(PipelineError, match=r"04_finetuning.json: missing"):
        run()
    write_notebook("04_finetuning", toy_parameters, good)
    assert run()[1] == ALL[3:]


def test_a_failure_stands_in_the_manifest_and_in_the_junit_file(run, write_notebook, tmp_path):
    write_notebook("02_dataset", 'run_dir: str = "checkpoints/toy"  # where results go', "pass")
    with pytest.raises(PipelineError):
        run()
    steps = json.loads((tmp_path / "run" / "manifest.json").read_text())["steps"]
    assert {name: step["state"] for name, step in steps.items()} == {
        "01_preprocessing": "done",
        "02_dataset": "failed",
    }
    assert 'errors="1"' in (tmp_path / "run" / "junit.xml").read_text()


def test_steps_can_be_chosen(run):
    run()
    result, names = run(first="04", last="05")
    assert names == ["04", "05"], "asked for, so changed or not"
    states = [step.state for step in result.steps.values()]
    assert states == ["kept", "kept", "kept", "done", "done"], "06 read what is no more"
    assert run()[1] == ["06"]
    assert run(last="02")[1] == []
    assert run()[1] == [], "--to forgets nothing"


def test_a_choice_needs_what_it_builds_on(run):
    with pytest.raises(PipelineError, match="01_preprocessing.json: missing. Run notebooks/01_pre"):
        run(first="04")
    with pytest.raises(PipelineError, match="--from 05 stands behind --to finetuning"):
        run(first="05", last="finetuning")


def test_a_parameter_that_a_choice_would_ignore_is_refused(run):
    run({"epochs": 3})
    assert run({"epochs": 3}, first="06")[1] == ["06"]
    with pytest.raises(PipelineError, match="epochs is 4, but 01_preprocessing ran with 3"):
        run({"epochs": 4}, first="06")


# ---------------------------------------------------------------- gates


def test_gates_are_held_against_what_was_measured(run):
    result, _ = run(gates=["test_cer<=3%", "exact>0.95", "ms_onnx < 4"])
    assert [gate.passed for gate in result.gates] == [True, False, True]
    assert "FAILED exact>0.95: measured 0.9" in format_result(result)


def test_an_unknown_number_is_refused_before_anything_runs(run, executed):
    with pytest.raises(PipelineError, match="did you mean 'test_cer'"):
        run(gates=["test_cerr<=0.03"])
    assert executed == []


def test_the_first_notebooks_alone_end_in_a_table_too(run):
    result, names = run(last="01")
    assert names == ["01"]
    assert "01_preprocessing" in format_result(result)
