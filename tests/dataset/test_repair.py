"""Repaired index files: what changes, what is left out, and that nothing is touched."""

from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.doctor import examine
from crnnkit.dataset.index import parse_index
from crnnkit.dataset.repair import Repair, repair
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.preprocessing.images import write_image
from crnnkit.preprocessing.tensors import LineConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures img/0.png … img/3.png of a data set."""
    for number in range(4):
        write_image(tmp_path / f"data/img/{number}.png", np.full((16, 60), number, np.uint8))
    return tmp_path / "data"


def fixed(folder: Path, **contents: str) -> Repair:
    paths = {}
    for split, content in contents.items():
        paths[split] = folder / f"{split}.txt"
        paths[split].write_bytes(content.encode())
    return repair(paths, examine(paths, None, LineConfig()), folder / "fixed")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("\ufeffimg/0.png\tA1\n", "bom"),
        ("img/0.png\tA1\r\n", "crlf"),
        ("img\\0.png\tA1\n", "backslash"),
        ("IMG/0.png\tA1\n", "wrong_case"),
        ("img/0.png\tA1\u200b\n", "invisible"),
        ("img/0.png\tA1 \n", "outer_space"),
        ("img/0.png\tA1\n\n", "blank_line"),
        ("img/0.png\tA1\nimg/0.png\tA1\n", "duplicate_row"),
    ],
)
def test_what_is_safe_is_repaired(folder: Path, content: str, code: str) -> None:
    done = fixed(folder, train=content)
    assert (folder / "fixed/train.txt").read_bytes() == b"../img/0.png\tA1\n"
    assert done.changes == {code: 1}
    assert done.num_left_out == 0
    assert f": {code}: " in (folder / "fixed/changes.txt").read_text("utf-8")
    assert (folder / "train.txt").read_bytes() == content.encode()  # as it was
    assert parse_index(folder / "fixed/train.txt").faults == ()


def test_accents_and_odd_spaces_are_repaired_and_absolute_paths_made_relative(
    folder: Path,
) -> None:
    done = fixed(folder, train=f"{folder / 'img/1.png'}\tA\u030a\u00a0B\n")
    assert (folder / "fixed/train.txt").read_text("utf-8") == "../img/1.png\tÅ B\n"
    assert done.changes == {"absolute_path": 1, "not_nfc": 1, "odd_space": 1}


def test_what_cannot_be_repaired_is_left_out_and_named(folder: Path) -> None:
    train = "img/0.png\tA1\nimg/9.png\tB\nno tab\nimg/1.png\t \n"
    done = fixed(folder, train=train, val="img/0.png\tA1\nimg/2.png\tC \n")
    assert (folder / "fixed/train.txt").read_text() == "../img/0.png\tA1\n"
    assert (folder / "fixed/val.txt").read_text() == "../img/2.png\tC\n"
    assert done.num_lines == {folder / "fixed/train.txt": 1, folder / "fixed/val.txt": 1}
    assert done.left_out == {
        "missing_image": 1,
        "missing_tab": 1,
        "empty_text": 1,
        "leak": 1,
    }
    assert done.num_left_out == 4
    rows = (folder / "fixed/left_out.txt").read_text("utf-8").splitlines()
    places = [row.removeprefix(f"{folder}/").split(": ")[0] for row in rows]
    assert places == ["train.txt:2", "train.txt:3", "train.txt:4", "val.txt:1"]
    assert done.changes == {"outer_space": 1}


def test_of_contradictory_labels_none_is_taken_for_right(folder: Path) -> None:
    rows = ["img/0.png\tA", "img/1.png\tB", "img/0.png\tC", "img/0.png\tD", "img/0.png\tA"]
    done = fixed(folder, train="\n".join(rows) + "\n")
    assert (folder / "fixed/train.txt").read_text() == "../img/1.png\tB\n"
    assert (done.left_out, done.num_left_out) == ({"duplicate_path": 3}, 3)
    listed = (folder / "fixed/left_out.txt").read_text("utf-8")
    assert "train.txt:1: duplicate_path: image 'img/0.png' is listed again on line 3" in listed
    assert "train.txt:3: duplicate_path: image 'img/0.png' is already listed on line 1" in listed


def test_a_line_with_two_faults_is_left_out_once_and_counts_as_no_change(folder: Path) -> None:
    done = fixed(folder, train="img/0.png\tA\nimg/9.png\t \nimg\\7.png\t B\n")
    assert done.left_out == {"missing_image": 2, "empty_text": 1}
    assert done.num_left_out == 2
    assert done.changes == {}


def test_what_only_a_look_can_tell_stays(folder: Path) -> None:
    write_image(folder / "img/same.png", np.full((16, 60), 0, np.uint8))
    done = fixed(folder, train="img/0.png\tA\nimg/same.png\tB  C\n")
    assert (folder / "fixed/train.txt").read_text() == "../img/0.png\tA\n../img/same.png\tB  C\n"
    assert (done.changes, done.left_out) == ({}, {})


@pytest.mark.parametrize(
    ("train", "error", "message"),
    [
        ("img/9.png\tA\n", DatasetError, "train: no line is without error"),
        ("", DatasetError, "no_lines"),
    ],
)
def test_nothing_is_written_where_nothing_is_left(folder, train, error, message) -> None:
    with pytest.raises(error, match=message):
        fixed(folder, train=train)
    assert not (folder / "fixed").exists()


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    paths = {"train": folder / "lines.txt", "val": folder / "img/lines.txt"}
    paths["train"].write_text("img/0.png\tA\n")
    paths["val"].write_text("1.png\tA\n")
    diagnosis = examine(paths, None, LineConfig())
    with pytest.raises(ConfigError, match=r"two files would be called 'lines\.txt'"):
        repair(paths, diagnosis, folder / "fixed")
    changes = {"train": folder / "lines.txt", "val": folder / "changes.txt"}
    paths["val"].rename(changes["val"])
    with pytest.raises(ConfigError, match=r"two files would be called 'changes\.txt'"):
        repair(changes, diagnosis, folder / "fixed")


def test_nothing_that_is_there_is_written_over(folder: Path) -> None:
    (folder / "train.txt").write_text("img/0.png\tA \n")
    paths = {"train": folder / "train.txt"}
    with pytest.raises(DatasetError, match="not empty"):
        repair(paths, examine(paths, None, LineConfig()), folder)
    assert (folder / "train.txt").read_text() == "img/0.png\tA \n"
