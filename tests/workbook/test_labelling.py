"""Labelling: which line comes first, what is on disk after each key, and how far back undo goes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.index import Line, read_index, write_index
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.evaluation.suspects import Suspect
from crnnkit.preprocessing.images import write_image
from crnnkit.serving.readings import LineReading
from crnnkit.workbook.labelling import Labelling, Task, confident_readings, doubtful, unlabelled

READINGS = {10: ("GL-1", 0.9), 20: ("6L-2", 0.3), 30: ("GL-3", 0.6)}
"""Width of a picture → what is read on it."""


class FakeReader:
    def read_line(self, source):
        return LineReading(*READINGS[source.shape[1]], (), ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for width in READINGS:
        write_image(tmp_path / "图" / "deep" / f"{width}.png", np.full((8, width), 255, np.uint8))
    (tmp_path / "图" / "notes.md").write_text("no picture")
    return tmp_path / "图"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "train.txt"


@pytest.fixture
def labelling(folder, index) -> Labelling:
    return Labelling(unlabelled(folder, index, FakeReader()), [index])


def rows(index: Path) -> list[tuple[str, str]]:
    return [(line.image.name, line.text) for line in read_index(index)]


# ---------------------------------------------------------------- which lines


def test_the_line_that_is_read_least_surely_comes_first(folder, index):
    tasks = unlabelled(folder, index, FakeReader())
    assert [(t.image.name, t.suggestion, t.confidence) for t in tasks] == [
        ("20.png", "6L-2", 0.3), ("30.png", "GL-3", 0.6), ("10.png", "GL-1", 0.9),
    ]  # fmt: skip


def test_pictures_of_other_indexes_are_no_tasks(folder, index, tmp_path):
    write_index(tmp_path / "test.txt", [Line((folder / "deep" / "20.png").resolve(), "x", 1)])
    tasks = unlabelled(folder, index, FakeReader(), read_index(tmp_path / "test.txt"))
    assert [t.image.name for t in tasks] == ["30.png", "10.png"]


def test_copies_of_labelled_pictures_are_no_tasks(folder, index, tmp_path):
    for name in ("10", "20"):  # as `crnnkit convert` names them anew
        shutil.copy(folder / "deep" / f"{name}.png", tmp_path / f"copy_{name}.png")
    write_index(index, [Line(tmp_path / "copy_10.png", "x", 1)])
    tasks = unlabelled(folder, index, FakeReader(), [Line(tmp_path / "copy_20.png", "x", 1)])
    assert [t.image.name for t in tasks] == ["30.png"]


def test_only_sure_readings_of_something_become_labels(tmp_path):
    readings = [("A", 0.94), ("B\u00a0", 0.95), ("", 0.99), ("C", 1.0), (" ", 0.1)]
    tasks = [Task(tmp_path / f"{n}.png", text, sure) for n, (text, sure) in enumerate(readings)]
    found = confident_readings(tasks, 0.95)
    assert [(line.image.name, line.text) for line in found.lines] == [
        ("3.png", "C"),
        ("1.png", "B"),
    ]
    assert (found.num_unsure, found.num_empty) == (1, 2)
    assert confident_readings([], 1.0).lines == ()
    with pytest.raises(ConfigError, match="min_confidence is 95, must be > 0, ≤ 1"):
        confident_readings(tasks, 95)


def test_without_a_model_lines_come_by_name_and_without_suggestion(folder, index):
    tasks = unlabelled(folder, index, None)
    assert [(t.image.name, t.suggestion) for t in tasks] == [
        ("10.png", ""), ("20.png", ""), ("30.png", ""),
    ]  # fmt: skip


def test_what_is_labelled_already_does_not_come_again(folder, index):
    write_index(index, [Line((folder / "deep" / "20.png").resolve(), "GL-2", 1)])
    assert [t.image.name for t in unlabelled(folder, index, FakeReader())] == ["30.png", "10.png"]


def test_a_folder_without_pictures_and_pictures_that_cannot_be_read_are_named(folder, index):
    with pytest.raises(DatasetError, match="empty: no picture in it"):
        unlabelled(folder.parent / "empty", index, None)
    for name in ("a.png", "b.jpg"):
        (folder / name).write_text("no picture")
    with pytest.raises(DatasetError, match=r"(?s)a\.png.*b\.jpg.*2 pictures to remove"):
        unlabelled(folder, index, None)


# ---------------------------------------------------------------- what is written


def test_each_label_is_on_disk_before_the_next_line_is_shown(labelling, index):
    labelling.accept("GL-2")
    assert rows(index) == [("20.png", "GL-2")]
    assert labelling.task.image.name == "30.png"
    labelling.accept(" GL\u00a03 ")  # normalised as every text
    assert rows(index)[1] == ("30.png", "GL 3")


@pytest.mark.parametrize("leave_out", [Labelling.skip, lambda state: state.accept("  ")])
def test_a_skipped_line_is_not_written_and_comes_again_next_time(
    labelling, folder, index, leave_out
):
    leave_out(labelling)
    labelling.accept("GL-3")
    assert rows(index) == [("30.png", "GL-3")]
    assert [t.image.name for t in unlabelled(folder, index, FakeReader())] == ["20.png", "10.png"]


def test_undo_goes_back_to_the_beginning_and_no_further(labelling, index):
    labelling.accept("GL-2")
    labelling.skip()
    labelling.accept("GL-1")
    assert labelling.task is None
    labelling.undo()
    assert (labelling.task.image.name, rows(index)) == ("10.png", [("20.png", "GL-2")])
    labelling.undo()
    labelling.undo()
    assert labelling.task.image.name == "20.png"
    assert not index.exists(), "an index without lines would be faulty"
    labelling.undo()
    assert labelling.task.image.name == "20.png"


def test_an_index_that_cannot_be_read_lets_nothing_be_undone(labelling, index):
    labelling.accept("GL-2")
    index.write_text("no tab here\n")
    with pytest.raises(DatasetError, match="missing_tab"):
        labelling.undo()
    assert labelling.task.image.name == "30.png"


def test_what_another_program_added_meanwhile_stays(labelling, index, folder):
    labelling.accept("GL-2")
    other = folder.parent / "other.png"
    write_image(other, np.full((8, 9), 255, np.uint8))
    with index.open("a", encoding="utf-8") as file:
        file.write("other.png\tX\n")
    labelling.accept("GL-3")
    assert rows(index) == [("20.png", "GL-2"), ("other.png", "X"), ("30.png", "GL-3")]


def test_an_index_that_cannot_be_read_keeps_the_line_where_it_is(labelling, index):
    index.write_text("no tab here\n")
    with pytest.raises(DatasetError, match="missing_tab"):
        labelling.accept("GL-2")
    assert labelling.task.image.name == "20.png"
    assert index.read_text() == "no tab here\n"


def test_behind_the_last_line_nothing_happens(labelling, index):
    for text in ("GL-2", "GL-3", "GL-1"):
        labelling.accept(text)
    labelling.accept("more")
    labelling.skip()
    assert len(rows(index)) == len(labelling.entries) == 3


# ---------------------------------------------------------------- keys and speed


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("6L-2", 1),  # Enter
        ("GL-2", 2),  # one character exchanged
        ("GL-2A", 3),
        ("", 1),  # skipped
    ],
)
def test_keys_are_counted(labelling, text, keys):
    labelling.accept(text)
    assert labelling.entries[0].keys == keys


def test_the_message_tells_how_far_and_how_fast(labelling):
    assert labelling.message == "3 to label"
    labelling.clock = lambda: labelling.began + 24
    labelling.accept("GL-2")  # two keys
    labelling.skip()  # one
    assert labelling.message == "1 labelled, 1 left; 3.0 keys a line, 150 lines an hour"


# ---------------------------------------------------------------- labels in doubt


@pytest.fixture
def doubts(folder, index) -> Labelling:
    images = [(folder / "deep" / f"{width}.png").resolve() for width in READINGS]
    lines = [Line(image, f"OLD-{i}", i) for i, image in enumerate(images, start=1)]
    write_index(index, lines)
    write_index(index.with_name("copy.txt"), lines[:1])
    suspects = [Suspect(s.image, s.text, f"NEW-{s.line_number}", 0.99, 2.0, 0.1) for s in lines]
    return Labelling(doubtful([suspects[0], suspects[2]]), [index, index.with_name("copy.txt")])


def test_a_label_in_doubt_suggests_itself_and_shows_the_reading(doubts):
    assert [(t.suggestion, t.reading, t.confidence) for t in doubts.tasks] == [
        ("OLD-1", "NEW-1", 0.99), ("OLD-3", "NEW-3", 0.99),
    ]  # fmt: skip


def test_a_corrected_label_is_changed_in_its_place_in_every_index_that_has_it(doubts, index):
    copy = index.with_name("copy.txt")
    doubts.accept("NEW-1")
    assert rows(index) == [("10.png", "NEW-1"), ("20.png", "OLD-2"), ("30.png", "OLD-3")]
    assert rows(copy) == [("10.png", "NEW-1")]
    doubts.accept("NEW-3")
    assert rows(copy) == [("10.png", "NEW-1")], "a line it never had is not added"
    doubts.undo()
    doubts.undo()
    assert [text for _, text in rows(index)] == ["OLD-1", "OLD-2", "OLD-3"]
    assert rows(copy) == [("10.png", "OLD-1")]


def test_a_label_that_no_index_has_is_an_error(doubts, index):
    doubts.tasks = [Task(index.with_name("gone.png"), "A", 0.5, "B")]
    with pytest.raises(DatasetError, match=r"gone.png: not listed in .*train.txt, .*copy.txt"):
        doubts.accept("B")
