"""Files appear whole or not at all."""

import hashlib
import os

import pytest

from crnnkit.errors import WriteError
from crnnkit.files import file_sha256, whole_file, write_text


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "model.onnx"

    with whole_file(path) as partial:
        assert partial.suffix == ".onnx"
        partial.write_bytes(b"whole")
        assert not path.exists()

    assert path.read_bytes() == b"whole"
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]


def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"older")

    def write_half() -> None:
        with whole_file(path) as partial:
            partial.write_bytes(b"ha")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_half()

    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_what_the_disk_refuses_is_told_with_path_reason_and_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file.a\.txt: cannot be written: .*file.*Check the path"):
        write_text(tmp_path / "file" / "a.txt", "A")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match=r"a\.txt: cannot be written: .*No space left on device"):
        write_text(tmp_path / "a.txt", "A")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_texts_keep_their_line_breaks_and_characters(tmp_path):
    write_text(tmp_path / "a.txt", "京A\r\n℃\n")

    assert (tmp_path / "a.txt").read_bytes() == "京A\r\n℃\n".encode()


def test_the_hash_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")

    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
