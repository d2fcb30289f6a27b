"""Corrections: what is kept, what is refused, what a crash leaves, what is deleted."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.index import read_index
from crnnkit.errors import DatasetError
from crnnkit.preprocessing.images import read_image
from crnnkit.serving import feedback
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.feedback import FeedbackStore
from crnnkit.serving.server import start

BOX = np.array([[10, 20], [60, 20], [60, 40], [10, 40]])


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(tmp_path / "feedback")


@pytest.fixture
def page() -> np.ndarray:
    page = np.full((60, 90), 255, np.uint8)
    page[20:40, 10:60] = np.arange(50, dtype=np.uint8)
    return page


def test_corrections_are_a_data_set_that_is_read_as_any_other(store, page):
    names = [store.add(page, BOX, "北京 12"), store.add(page, BOX + 5, "B")]
    lines = read_index(store.index)
    assert [line.text for line in lines] == ["北京 12", "B"]
    assert [line.image.stem for line in lines] == names
    assert np.array_equal(read_image(lines[0].image), page[20:40, 10:60])


def test_a_row_is_on_the_disk_before_it_is_told(store, page, monkeypatch):
    on_disk: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: on_disk.append(store.index.read_text("utf-8")))
    name = store.add(page, BOX, "A")
    assert on_disk == [f"img/{name}.png\tA\n"]


def test_no_row_is_added_while_the_index_is_written_anew(store, page):
    with ThreadPoolExecutor(1) as pool:
        with store._lock:  # let go of before the pool waits, whatever happens
            added = pool.submit(store.add, page, BOX, "A")
            time.sleep(0.2)
            row_meanwhile = store.index.read_text("utf-8")
        added.result(20)
    assert row_meanwhile == ""
    assert len(read_index(store.index)) == 1


def test_texts_are_normalised(store, page):
    store.add(page, BOX, " A\u00a0B\r\n")
    assert store.index.read_text("utf-8").endswith("\tA B\n")


@pytest.mark.parametrize(
    ("box", "text", "reason"),
    [
        (BOX, "", "0 characters"),
        (BOX, " \u200b", "0 characters"),
        (BOX, "A" * 1001, "1001 characters"),
        (BOX + 500, "A", "holds nothing"),  # beside the picture
        (BOX * 0, "A", "holds nothing"),
    ],
)
def test_what_teaches_nothing_is_refused_and_leaves_no_trace(store, page, box, text, reason):
    with pytest.raises(DatasetError, match=reason):
        store.add(page, box, text)
    assert [path.name for path in store.index.parent.rglob("*.*")] == ["feedback.txt"]
    assert store.index.read_bytes() == b""


def test_a_box_is_cut_at_the_picture(store, page):
    store.add(page, np.array([[-1e9, 20], [1e9, 20], [1e9, 40], [-1e9, 40]]), "A")
    assert read_image(read_index(store.index)[0].image).shape == (20, 90)


def test_a_deleted_correction_is_gone_with_its_picture(store, page):
    first, second = (store.add(page, BOX, text) for text in "AB")
    assert store.delete(first)
    assert [line.text for line in read_index(store.index)] == ["B"]
    assert [path.stem for path in store.index.parent.glob("img/*")] == [second]
    assert not store.delete(first)


@pytest.mark.parametrize("name", ["../precious", "..", "", "20260101T000000-0123456\n", "*"])
def test_names_are_never_paths(store, page, name):
    precious = store.index.parent / "precious.png"
    precious.write_bytes(b"not the store's")
    store.add(page, BOX, "A")
    assert not store.delete(name)
    assert precious.exists()
    assert len(read_index(store.index)) == 1


def test_old_corrections_are_deleted_at_the_start_and_at_each_new_one(store, page):
    store.add(page, BOX, "new")
    old = datetime.now(UTC) - timedelta(days=31)

    def age() -> None:
        name = f"{old:%Y%m%dT%H%M%S}-00000000"
        (store.index.parent / f"img/{name}.png").write_bytes(b"old")
        with store.index.open("a") as file:
            file.write(f"img/{name}.png\told\n")

    age()
    assert FeedbackStore(store.index.parent, days=32).delete_old() == 0
    keeping = FeedbackStore(store.index.parent, days=30)
    assert [line.text for line in read_index(store.index)] == ["new"]
    age()
    keeping.add(page, BOX, "newer")
    assert [line.text for line in read_index(store.index)] == ["new", "newer"]
    assert len(list(store.index.parent.glob("img/*"))) == 2


def test_pictures_of_others_are_never_deleted(store, page):
    others = [store.index.parent / f"img/{name}.png" for name in ("000000001", "20200101T000000-x")]
    for path in others:
        path.write_bytes(b"not the store's")
    assert FeedbackStore(store.index.parent, days=1).delete_old() == 0
    assert all(path.exists() for path in others)


def test_old_corrections_are_deleted_though_no_new_one_comes(
    onnx_path, tmp_path, monkeypatch, wait_until
):
    monkeypatch.setattr(feedback, "SWEEP_SECONDS", 0.01)
    service = start(onnx_path, ServerConfig(feedback_dir=tmp_path, feedback_days=1))
    try:
        old = tmp_path / "img" / "20200101T000000-00000000.png"
        old.write_bytes(b"old")
        wait_until(lambda: not old.exists())
    finally:
        service.stop()
    wait_until(lambda: "feedback-watch" not in {thread.name for thread in threading.enumerate()})


def test_a_disk_that_refuses_once_does_not_end_the_deleting(store, monkeypatch, wait_until):
    told = [PermissionError(13, "refused"), PermissionError(13, "refused")]
    monkeypatch.setattr(feedback, "SWEEP_SECONDS", 0.01)
    keeping = FeedbackStore(store.index.parent, days=1)
    calls = []

    def delete_old() -> None:
        calls.append(1)
        if told:
            raise told.pop()

    monkeypatch.setattr(keeping, "delete_old", delete_old)
    keeping.watch()
    try:
        wait_until(lambda: len(calls) > 2)
    finally:
        keeping.close()


@pytest.mark.parametrize("row", ["img/20260101T0000", "img/20260101T000000-00000000.png\t北"])
def test_a_row_cut_off_by_a_crash_is_taken_away_and_told(store, page, row, caplog):
    store.add(page, BOX, "A")
    with store.index.open("a") as file:
        file.write(row)
    FeedbackStore(store.index.parent).add(page, BOX, "B")
    assert [line.text for line in read_index(store.index)] == ["A", "B"]
    assert "feedback.txt:2: a row without line end" in caplog.text


def test_a_last_row_of_an_editor_is_kept(store, page):
    (store.index.parent / "img" / "plate.png").write_bytes(b"")
    store.index.write_text("img/plate.png\tB")
    FeedbackStore(store.index.parent).add(page, BOX, "C")
    assert [line.text for line in read_index(store.index)] == ["B", "C"]


KEEP_ADDING = """
import sys, numpy as np
from crnnkit.serving.feedback import FeedbackStore
store = FeedbackStore(sys.argv[1])
page = np.full((60, 90), 255, np.uint8)
while True:
    store.add(page, np.array([[10, 20], [60, 20], [60, 40], [10, 40]]), "北京 12")
    print("kept", flush=True)
"""


def test_a_killed_process_leaves_a_whole_data_set(tmp_path):
    command = [sys.executable, "-c", KEEP_ADDING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = [process.stdout.readline() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
    assert told == ["kept\n"] * 20
    lines = read_index(tmp_path / "feedback.txt")
    assert len(lines) >= 20
    for line in lines:
        assert read_image(line.image).shape == (20, 50)


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="cannot keep corrections"):
        FeedbackStore(tmp_path / "file")
