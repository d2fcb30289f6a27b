"""Conversions from end to end: every sample arrives or is named, and nothing lands elsewhere."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.convert import convert, safe_name
from crnnkit.dataset.doctor import examine
from crnnkit.dataset.index import Line, read_index, write_index
from crnnkit.errors import DatasetError
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.serving.feedback import FeedbackStore

TEXTS = ("A1", "北京 2", "B")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of three lines in two documents, one picture a JPEG; `lines.txt` lists it."""
    data = tmp_path / "data"
    lines = []
    for number, (name, text) in enumerate(
        zip(("doc1/a.png", "doc1/b.jpg", "doc2/a.png"), TEXTS, strict=True), start=1
    ):
        write_image(data / name, np.full((16, 40), 20 * number, np.uint8))
        lines.append(Line(data / name, text, number))
    write_index(data / "lines.txt", lines)
    return data


def content_of(index: Path) -> list[tuple[str, bytes]]:
    return [(line.text, line.image.read_bytes()) for line in read_index(index)]


@pytest.mark.parametrize("between", ["a.lmdb", "a.parquet", "folder"])
def test_there_and_back_again_nothing_changes(folder: Path, tmp_path: Path, between: str) -> None:
    done = convert(folder / "lines.txt", tmp_path / between)
    assert (done.num_lines, done.left_out) == (3, ())
    source = done.written if "." in between else done.written.parent / "lines.txt"
    back = convert(source, tmp_path / "back")
    assert content_of(back.written) == content_of(folder / "lines.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"data", between, "back"}


def test_names_of_documents_survive_for_grouping(folder: Path, tmp_path: Path) -> None:
    convert(folder / "lines.txt", tmp_path / "a.parquet")
    done = convert(tmp_path / "a.parquet", tmp_path / "back")
    names = [line.image.relative_to(tmp_path / "back") for line in read_index(done.written)]
    assert [name.as_posix() for name in names] == [
        "img/doc1/a.png",
        "img/doc1/b.jpg",
        "img/doc2/a.png",
    ]


def as_easyocr(folder: Path) -> Path:
    rows = [f"{line.image},{line.text}" for line in read_index(folder / "lines.txt")]
    content = "\n".join(["filename,words", *rows]).replace(f"{folder}/", "")
    (folder / "labels.csv").write_text(content, encoding="utf-8")
    return folder


def as_gt_folder(folder: Path) -> Path:
    for line in read_index(folder / "lines.txt"):
        line.image.with_suffix(".gt.txt").write_text(line.text, encoding="utf-8")
    return folder


def as_rec_gt(folder: Path) -> Path:
    return shutil.copy(folder / "lines.txt", folder / "rec_gt.txt") and folder


@pytest.mark.parametrize("prepare", [as_easyocr, as_gt_folder, as_rec_gt])
def test_a_folder_is_recognised_by_what_lies_in_it(folder: Path, tmp_path: Path, prepare) -> None:
    done = convert(prepare(folder), tmp_path / "out")
    assert done.left_out == ()
    assert sorted(content_of(done.written)) == sorted(content_of(folder / "lines.txt"))
    assert examine({"train": done.written}, None, LineConfig()).faults == ()


def test_pages_become_crops(tmp_path: Path) -> None:
    page = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    write_image(tmp_path / "export/page.png", page)
    box = [[10, 20], [40, 20], [40, 30], [10, 30]]
    row = json.dumps([{"transcription": " A1", "points": box, "difficult": False}])
    (tmp_path / "export/Label.txt").write_text(f"export/page.png\t{row}\n")
    done = convert(tmp_path / "export", tmp_path / "out")
    (line,) = read_index(done.written)
    assert (line.image.name, line.text) == ("page_001.png", "A1")
    np.testing.assert_array_equal(read_image(line.image), page[20:30, 10:40])


@pytest.mark.parametrize("out", ["out", "out.lmdb", "out.parquet"])
def test_what_cannot_be_taken_over_is_counted_and_named(folder, tmp_path, out) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    more = "a.png,\nbroken.png,X\n../gone.png,X\ndoc2/a.png,\u200b\n"
    labels = as_easyocr(folder) / "labels.csv"
    labels.write_text(labels.read_text("utf-8") + f"\n{more}", encoding="utf-8")
    done = convert(folder, tmp_path / out)
    assert done.num_lines == 3
    assert [item.source.rpartition(":")[2] for item in done.left_out] == ["5", "6", "7", "8"]
    rows = done.left_out_list.read_text("utf-8").splitlines()
    reasons = ["no such picture", "not a picture", "leads out of", "has no text"]
    assert [reason in row for reason, row in zip(reasons, rows, strict=True)] == [True] * 4


def test_a_text_of_two_lines_is_no_line(folder: Path, tmp_path: Path) -> None:
    as_gt_folder(folder)
    (folder / "doc1/a.gt.txt").write_text("A\nB\n")
    (item,) = convert(folder, tmp_path / "out").left_out
    assert str(item).endswith("a.gt.txt: text 'A\\nB\\n' has 2 lines, not one")


@pytest.mark.parametrize("out", ["out", "out.lmdb", "out.parquet"])
def test_nothing_is_written_where_nothing_can_be_taken_over(folder, tmp_path, out) -> None:
    (folder / "labels.csv").write_text("filename,words\ngone.png,A\n")
    with pytest.raises(DatasetError, match=r"not one of 1 samples .*\n.*labels\.csv:2: .*no such"):
        convert(folder, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("out", ["out", "out.lmdb", "out.parquet"])
def test_nothing_is_written_over(folder, tmp_path, out) -> None:
    convert(folder / "lines.txt", tmp_path / out)
    with pytest.raises(DatasetError, match="Remove it or choose another"):
        convert(folder / "lines.txt", tmp_path / out)


def test_corrections_are_added_to_an_index_and_only_once(folder: Path, tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback")
    page = np.arange(60 * 90, dtype=np.uint8).reshape(60, 90)
    box = np.array([[10, 20], [60, 20], [60, 40], [10, 40]])
    train = folder / "lines.txt"
    before = train.read_bytes()
    store.add(page, box, "北京 12")
    first = convert(store.index, train)
    store.add(page, box + 5, "B")
    second, third = convert(store.index, train), convert(store.index, train)
    assert [(done.num_lines, done.num_known) for done in (first, second, third)] == [
        (1, 0),
        (1, 1),
        (0, 2),
    ]
    assert train.read_bytes().startswith(before)
    lines = read_index(train)
    assert [line.text for line in lines] == [*TEXTS, "北京 12", "B"]
    assert content_of(train)[3:] == content_of(store.index)
    assert {line.image.parent for line in lines[3:]} == {folder / "img"}
    assert examine({"train": train}, None, LineConfig()).num_errors == 0


def test_added_pictures_take_no_others_place(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        write_image(tmp_path / name / "img/a.png", np.full((16, 40), 100 + number, np.uint8))
        (tmp_path / name / "lines.txt").write_text(f"img/a.png\t{name}\n")
        convert(tmp_path / name / "lines.txt", tmp_path / "train.txt")
    lines = read_index(tmp_path / "train.txt")
    assert [(line.text, line.image.name) for line in lines] == [
        ("one", "a.png"),
        ("two", "a_1.png"),
    ]
    assert [read_image(line.image)[0, 0] for line in lines] == [100, 101]


def test_an_index_with_faults_is_not_added_to(folder: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.txt"
    train.write_text("gone.png\tA\n")
    with pytest.raises(DatasetError, match=r"train\.txt:1.*gone"):
        convert(folder / "lines.txt", train)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "train.txt"}
    assert train.read_text() == "gone.png\tA\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "no such file or folder"),
        ("data", "no data set that is known. Known are folders with .gt.txt"),
        ("data/doc1/a.png", "no data set that is known"),
        ("both", "holds Label.txt, rec_gt.txt. Name the file to convert"),
        ("mixed", "holds labels.csv, .gt.txt files. Name"),
    ],
)
def test_a_source_that_is_none_or_two_is_refused(folder, tmp_path, name, message) -> None:
    for path in ("both/Label.txt", "both/rec_gt.txt", "mixed/labels.csv", "mixed/a.gt.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(DatasetError, match=message):
        convert(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("doc1/a.png", "doc1/a"),
        ("a", "a"),
        ("第 1 页/行.png", "第 1 页/行"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/../x.png", "etc/x"),
        ("C:\\data\\a.png", "C_/data/a"),
        ("2024.01.05/v1.2_line3.png", "2024.01.05/v1.2_line3"),
        ("a.png/b.png", "a.png_/b"),  # no folder can be a picture's name
        ("A.JPG./b", "A.JPG_/b"),
        ("😀" * 80, "😀" * 50),  # 4 bytes each
        ("a\ud800", "a"),  # half of a surrogate pair is no name
        ("a\tb\nc?.png", "a_b_c_"),
        (".hidden/.a.png", "hidden/a"),
        ("x" * 300, "x" * 80),
        ("..", "line"),
        ("", "line"),
    ],
)
def test_a_name_becomes_a_path_below_a_folder(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_pictures_of_a_converted_folder_do_not_move_deeper(folder: Path, tmp_path: Path) -> None:
    first = convert(folder / "lines.txt", tmp_path / "first")
    second = convert(first.written, tmp_path / "second")
    assert second.written.read_bytes() == first.written.read_bytes()


def test_equal_names_do_not_meet(tmp_path: Path) -> None:
    for name in ("x/a.png", "X/A.png", "x/a.jpg"):
        write_image(tmp_path / "data" / name, np.full((16, 30), len(name) + ord(name[0]), np.uint8))
    index = tmp_path / "data/lines.txt"
    index.write_text("x/a.png\t1\nX/A.png\t2\nx/a.jpg\t3\n")
    done = convert(index, tmp_path / "out")
    assert [line.image.name for line in read_index(done.written)] == ["a.png", "A_2.png", "a_3.jpg"]
