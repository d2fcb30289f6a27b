"""Hand-over between notebooks: files, hashes, and errors that name the notebook to run."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from crnnkit import __version__
from crnnkit.errors import PipelineError
from crnnkit.workbook import handover


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own, found from the working directory because the package has none."""
    root = tmp_path / "project"
    (root / "notebooks" / "deep").mkdir(parents=True)
    (root / "notebooks" / "parameters").mkdir()
    demo = "train_index: data/demo/train.txt\nval_index: data/demo/val.txt\n"
    (root / "notebooks" / "parameters" / "demo.yaml").write_text(demo, encoding="utf-8")
    (root / "notebooks" / "01_preprocessing.ipynb").touch()
    monkeypatch.setattr(handover.crnnkit, "__file__", str(tmp_path / "site" / "crnnkit" / "x.py"))
    monkeypatch.chdir(root / "notebooks" / "deep")
    return root


@pytest.fixture
def files(project):
    (project / "data").mkdir()
    index, vocab = project / "data" / "train.txt", project / "data" / "字.txt"
    index.write_bytes(b"a.png\tA\n")
    vocab.write_bytes(b"A\n")
    return {"index": index, "vocab": vocab}


def write(project, files, **changes):
    arguments = {
        "parameters": {"seed": 1, "key_fields": {"date": r"\d+"}},
        "inputs": {"index": "data/train.txt"},
        "outputs": {"vocab": files["vocab"]},
        "numbers": {"lines": 1, "cer": 0.25, "go_live": True, "note": "京", "none": None},
    }
    return handover.write_step("checkpoints/run", "03_vocab", **(arguments | changes))


def test_relative_paths_start_at_the_project_root_from_any_working_directory(project, monkeypatch):
    assert handover.project_root() == project
    assert handover.resolve_path("data/x.txt") == project / "data" / "x.txt"
    assert handover.resolve_path("../x.txt") == project.parent / "x.txt"
    monkeypatch.chdir(project)
    assert handover.resolve_path("data/x.txt") == project / "data" / "x.txt"


def test_a_notebook_can_make_the_root_its_working_directory(project):
    assert handover.enter_project() == project
    assert Path.cwd() == project


def test_what_is_empty_is_the_demo_s_where_its_lines_are_trained_on(project):
    demo = project / "data" / "demo" / "train.txt"
    for lines in ("data/demo/train.txt", str(demo)):
        assert handover.or_demo("val_index", "", lines) == "data/demo/val.txt"
        assert handover.or_demo("val_index", "mine.txt", lines) == "mine.txt"
    assert handover.or_demo("val_index", "", "mine.txt") == ""
    assert handover.or_demo("key_fields", {}, "mine.txt") == {}
    assert handover.or_demo("pictures", "", "data/demo/train.txt") == ""  # it has none


def test_absolute_and_home_paths_stay(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project.parent))
    monkeypatch.setenv("USERPROFILE", str(project.parent))
    assert handover.resolve_path(project / "x") == project / "x"
    assert handover.resolve_path("~/x") == project.parent / "x"


def test_no_project_around_is_an_error_with_the_place(project, monkeypatch):
    monkeypatch.chdir(project.parent)
    with pytest.raises(PipelineError, match=f"{project.parent.name}.*no project with notebooks/"):
        handover.project_root()


def test_paths_are_shown_without_the_machine_s_part(project):
    assert handover.display_path(project / "data" / "x.txt") == "data/x.txt"
    assert handover.display_path("data/x.txt") == "data/x.txt"
    assert handover.display_path(project.parent / "x.txt") == (project.parent / "x.txt").as_posix()


def test_what_is_written_is_what_is_read(project, files):
    written = write(project, files)
    assert handover.read_step("checkpoints/run", "03_vocab") == written
    assert handover.read_step(project / "checkpoints" / "run", "03_vocab") == written
    assert written.version == __version__
    assert written.output("vocab") == files["vocab"]


def test_the_record_holds_hashes_and_paths_without_the_machine_s_part(project, files):
    write(project, files)
    text = (project / "checkpoints" / "run" / "03_vocab.json").read_text(encoding="utf-8")
    fields = json.loads(text)
    assert fields["inputs"] == {
        "index": {
            "path": "data/train.txt",
            "sha256": hashlib.sha256(b"a.png\tA\n").hexdigest(),
        }
    }
    assert fields["outputs"]["vocab"]["path"] == "data/字.txt"
    assert fields["numbers"] == {
        "lines": 1,
        "cer": 0.25,
        "go_live": True,
        "note": "京",
        "none": None,
    }
    assert str(project) not in text


def test_an_empty_path_means_none(project, files):
    record = write(project, files, inputs={"index": "data/train.txt", "pages": ""})
    assert list(record.inputs) == ["index"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # a misspelt or unwritten output must not be recorded as made
        (
            {"outputs": {"vocab": "data/voc.txt"}},
            "03_vocab: output is no file: vocab: data/voc.txt",
        ),
        ({"inputs": {"index": "data"}}, "03_vocab: input is no file: index: data"),
        ({"numbers": {"cer": float("nan")}}, "numbers that are not finite: {'cer': nan}"),
    ],
)
def test_a_faulty_record_does_not_appear_and_the_old_one_stays(project, files, changes, message):
    before = write(project, files)
    with pytest.raises(PipelineError, match=message):
        write(project, files, **changes)
    assert handover.read_step("checkpoints/run", "03_vocab") == before
    assert os.listdir(project / "checkpoints" / "run") == ["03_vocab.json"]


def test_a_missing_record_names_the_notebook_to_run_first(project):
    message = "checkpoints/run/03_vocab.json: missing. Run notebooks/03_vocab.ipynb first"
    with pytest.raises(PipelineError, match=message):
        handover.read_step("checkpoints/run", "03_vocab")


@pytest.mark.parametrize(
    "content",
    [
        "{",  # cut off
        "[]",  # JSON, but no record
        '{"step": "03_vocab"}',  # fields missing
        '{"inputs": {"a": 1}, "outputs": {}}',  # a file that is none
    ],
)
def test_a_damaged_record_names_the_notebook_to_run_again(project, content):
    (project / "run").mkdir()
    (project / "run" / "03_vocab.json").write_text(content)
    with pytest.raises(PipelineError, match=r"not a record .* Run notebooks/03_vocab.ipynb again"):
        handover.read_step("run", "03_vocab")


def test_required_files_are_shown_with_size_and_hash(project, files, capsys):
    found = handover.require_files({"train": "data/train.txt", "pages": ""}, "Do something.")
    assert found == {"train": files["index"]}
    digest = hashlib.sha256(b"a.png\tA\n").hexdigest()[:8]
    assert capsys.readouterr().out == (f"train      data/train.txt  8 bytes  sha256 {digest}\n")


def test_every_missing_file_is_named_with_the_remedy(project, files):
    missing = {"train": "data/train.txt", "val": "data/v.txt", "test": "t.txt"}
    with pytest.raises(PipelineError, match=r"val: data/v.txt; test: t.txt. Correct val_index"):
        handover.require_files(missing, "Correct val_index.")


def test_a_step_whose_files_are_gone_must_run_again(project, files, capsys):
    write(project, files)
    assert handover.require("checkpoints/run", "03_vocab").output("vocab") == files["vocab"]
    assert "data/字.txt" in capsys.readouterr().out
    files["vocab"].unlink()
    with pytest.raises(PipelineError, match=r"data/字.txt. Run notebooks/03_vocab.ipynb again"):
        handover.require("checkpoints/run", "03_vocab")
