"""What becomes of the served model when its file changes."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.model.config import METADATA_KEY
from crnnkit.serving.models import ServedModel


class NamedReader:
    """Says the content of its file."""

    vocab = None

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.says = path.read_text()
        if "broken" in self.says:
            raise CheckpointError(f"{path}: broken")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "serving.onnx"
    path.write_text("first")
    return path


@pytest.fixture
def model(path: Path) -> Iterator[ServedModel]:
    model = ServedModel(path, load=NamedReader)
    yield model
    model.close()


def becomes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_replaced_file_is_taken_up_within_two_seconds(model, path):
    model.watch()
    path.write_text("second")
    assert becomes_true(lambda: model.current.reader.says == "second", 2)
    assert model.previous.reader.says == "first"


def test_a_broken_file_is_refused_and_told_and_the_next_good_one_taken(model, path):
    model.watch()
    path.write_text("broken")
    assert becomes_true(lambda: model.fault is not None, 2)
    assert model.fault == f"{path}: broken"
    assert model.current.reader.says == "first"
    path.write_text("third")
    assert becomes_true(lambda: model.current.reader.says == "third", 2)
    assert model.fault is None


def test_a_file_that_is_gone_is_told_and_the_old_model_goes_on(model, path):
    model.watch()
    path.unlink()
    assert becomes_true(lambda: model.fault is not None, 2)
    assert model.current.reader.says == "first"


def test_a_file_still_growing_is_left_alone(model, path):
    loads: list[str] = []
    model._load = lambda path: loads.append(path.read_text()) or NamedReader(path)
    model.watch()
    with path.open("w") as file:
        for part in "a copy that takes its time, part by part":
            file.write(part)
            file.flush()
            time.sleep(0.02)
    assert becomes_true(lambda: len(loads) > 0, 2)
    assert loads == ["a copy that takes its time, part by part"]


def test_reloading_the_same_file_keeps_the_previous_model(model, path):
    path.write_text("second")
    model.reload()
    model.reload()
    assert model.previous.reader.says == "first"


def test_the_previous_model_comes_back_and_stays_until_the_file_changes(model, path):
    path.write_text("second")
    model.reload()
    model.watch()
    model.restore()
    time.sleep(0.6)  # more than two looks at the file
    assert (model.current.reader.says, model.previous.reader.says) == ("first", "second")
    path.write_text("third")
    assert becomes_true(lambda: model.current.reader.says == "third", 2)


def test_without_a_previous_model_nothing_is_restored(model):
    with pytest.raises(ConfigError, match="No model was served before"):
        model.restore()


# ---------- with real files ----------


def without_description(source: Path, target: Path) -> None:
    network = onnx.load(source)
    del network.metadata_props[:]
    onnx.save(network, target)


def of_another_vocabulary(source: Path, target: Path) -> None:
    network = onnx.load(source)
    (entry,) = [entry for entry in network.metadata_props if entry.key == METADATA_KEY]
    entry.value = entry.value.replace("北京市", "北京市多")
    onnx.save(network, target)


BROKEN = {
    "empty": lambda source, target: target.write_bytes(b""),
    "cut": lambda source, target: target.write_bytes(source.read_bytes()[:20_000]),
    "foreign": lambda source, target: target.write_bytes(b"GIF89a" * 1000),
    "no description": without_description,
    "other vocabulary": of_another_vocabulary,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_real_files_that_do_not_fit_are_refused(onnx_path, tmp_path, fault):
    path = tmp_path / "serving.onnx"
    shutil.copy(onnx_path, path)
    model = ServedModel(path)
    before = model.current
    BROKEN[fault](onnx_path, path)
    with pytest.raises(CheckpointError, match=r"serving\.onnx"):
        model.reload()
    assert model.current is before
    assert "serving.onnx" in model.fault


@pytest.mark.parametrize("name", ["serving.pth", "serving"])
def test_files_of_another_kind_are_not_read(onnx_path, tmp_path, name):
    shutil.copy(onnx_path, tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name}: give an \.onnx file or"):
        ServedModel(tmp_path / name)


def test_a_checkpoint_is_exported_once_for_each_content(checkpoint_path, recognizer, tmp_path):
    path = tmp_path / "serving.safetensors"
    shutil.copy(checkpoint_path, path)
    (tmp_path / "serving.safetensors.0123456789ab.onnx").write_bytes(b"of an older content")
    model = ServedModel(path)
    (exported,) = tmp_path.glob("*.onnx")
    written = exported.stat().st_mtime_ns
    line = np.full((32, 90), 255, np.uint8)
    line[8:24, 10:80:7] = 0
    assert model.current.reader.name == "serving.safetensors"
    assert model.current.reader.recognizer.read_line(line).text == recognizer.read_line(line).text
    ServedModel(path)
    assert [p.stat().st_mtime_ns for p in tmp_path.glob("*.onnx")] == [written]


def test_threads_that_read_while_the_model_is_swapped_never_fail(onnx_path, tmp_path, make_line):
    path = tmp_path / "serving.onnx"
    shutil.copy(onnx_path, path)
    model = ServedModel(path)
    expected = [
        [line.text for line in model.current.reader.recognizer.read_page(make_line("北京 12"))]
    ]
    stop = threading.Event()

    def read() -> int:
        count = 0
        while not stop.is_set():
            pages = model.current.reader.recognizer.read_pages([make_line("北京 12")])
            assert [[line.text for line in page] for page in pages] == expected
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        for number in range(3):
            network = onnx.load(onnx_path)
            network.doc_string = f"copy {number}"  # another hash, the same reading
            onnx.save(network, path)
            model.reload()
        stop.set()
        assert all(reader.result(60) > 0 for reader in readers)
