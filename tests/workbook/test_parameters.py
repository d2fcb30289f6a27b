"""Parameters of the notebooks: what is declared, and what is refused from outside."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from crnnkit.errors import PipelineError
from crnnkit.workbook.parameters import (
    STEPS,
    check_parameters,
    declared_numbers,
    declared_parameters,
    find_step,
    load_parameters,
    step_values,
)

# ---------------------------------------------------------------- what the notebooks declare


def test_declared_parameters_have_type_default_help_and_users(
    notebooks, write_notebook, toy_parameters
):
    source = toy_parameters + "\nbatch_size: int = 32  # lines at a time"
    write_notebook("04_finetuning", source)
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
        (["epochs: int = 2"], "none", "0 cells with the tag 'parameters', expected exactly 1"),
        (["epochs = 2"], "parameters", "parameter epochs is declared as None; write `epochs: type"),
        (["epochs: Path = 2"], "parameters", "epochs is declared as Path"),
        # the same name must mean the same in every notebook
        (["epochs: float = 2"], "parameters", "epochs: float = 2, but 02_dataset declares int = 2"),
        (["epochs: int = 3"], "parameters", "epochs: int = 3, but 02_dataset declares int = 2"),
    ],
)
def test_a_notebook_with_a_faulty_parameters_cell_is_refused(
    notebooks, write_notebook, sources, tag, message
):
    write_notebook("03_vocab", *sources, tag=tag)
    with pytest.raises(PipelineError, match="03_vocab.ipynb.*" + message.replace("[", r"\[")):
        declared_parameters(notebooks)


def test_an_empty_text_stands_for_what_an_earlier_notebook_takes(notebooks, write_notebook):
    write_notebook("03_vocab", 'run_dir: str = ""  # empty: that of 02')
    declared = declared_parameters(notebooks)["run_dir"]
    assert (declared.default, declared.notebooks) == ('"checkpoints/toy"', tuple(STEPS))


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
        ("epohcs=3", "unknown parameter 'epohcs'; did you mean 'epochs'\\? Correct"),
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


def test_the_demo_s_files_never_join_the_user_s_own():
    declared = declared_parameters()
    names = ("train_index", "val_index", "test_index")
    demo, own = (step_values("02_dataset", v, declared) for v in ({}, {"train_index": "mine.txt"}))
    assert [demo[n] for n in names] == [f"data/demo/{n}.txt" for n in ("train", "val", "test")]
    assert [own[n] for n in names] == ["mine.txt", "", ""]
    assert step_values("05_evaluation", {}, declared)["key_fields"].keys() > {"date"}
    assert step_values("05_evaluation", {"train_index": "mine.txt"}, declared)["key_fields"] == {}


# ---------------------------------------------------------------- steps and numbers


@pytest.mark.parametrize("text", ["04", "finetuning", "04_finetuning"])
def test_a_notebook_goes_by_its_number_or_its_name(text):
    assert find_step(text) == "04_finetuning"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finetunning", "no notebook 'finetunning'; did you mean 'finetuning'?"),
        ("4", "no notebook '4'; did you mean '04'?"),
        ("", "no notebook ''; known: 01_preprocessing, 02_dataset"),
        ("04b", "no notebook '04b'; did you mean '04'?"),  # no part of the row
    ],
)
def test_an_unknown_notebook_is_refused(text, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        find_step(text)


def test_a_notebook_s_values_are_those_given_and_its_defaults(notebooks):
    values = step_values("02_dataset", {"lr": 0.1}, declared_parameters(notebooks))
    assert values == {
        "run_dir": "checkpoints/toy", "epochs": 2, "lr": 0.1, "live": False,
        "enhance": ["gray"], "key_fields": {"date": "[0-9]{4}"},
    }  # fmt: skip


def test_the_numbers_that_notebooks_hand_over_are_known_before_they_run(notebooks):
    assert {"cer", "exact", "ms_onnx", "verdict"} <= declared_numbers(notebooks)
    assert "epochs" not in declared_numbers(notebooks)  # a parameter
