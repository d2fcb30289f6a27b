"""The index file: what is accepted, what is repaired, what is refused, how lines are split."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.dataset.index import (
    Line,
    groups_by_path,
    new_folder,
    parse_index,
    read_index,
    split_lines,
    write_index,
)
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.preprocessing.images import write_image
from crnnkit.vocab import normalize_text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set's folder with the pictures img/0.png … img/2.png, not the working directory."""
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for number in range(3):
        write_image(data / f"img/{number}.png", np.full((8, 16), number, np.uint8))
    return data


def index_of(folder: Path, content: str | bytes) -> Path:
    path = folder / "train.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("img/0.png\ta\nimg/1.png\tb\n", ["a", "b"]),  # the plain case
        ("img/0.png\ta\nimg/1.png\tb", ["a", "b"]),  # no line end at the end
        ("\ufeffimg/0.png\ta\n", ["a"]),  # byte-order mark
        ("img/0.png\ta\r\nimg/1.png\tb\r\n", ["a", "b"]),  # Windows line ends
        ("img/0.png\ta\tb\n", ["a b"]),  # only the first tab separates, the second is a space
        ("img/0.png\t a\u00a0b\u200b \n", ["a b"]),  # text comes normalised
        ("img/0.png\t北京 ￥１２\n", ["北京 ￥１２"]),  # full width stays
        ("img/0.png\ta\n\n  \nimg/1.png\tb\n", ["a", "b"]),  # blank lines hold no sample
        ("img\\0.png\ta\n", ["a"]),  # path written on Windows
        ("img/0.png\ta\u2028b\x0b\x85c\n", ["abc"]),  # only \n ends a line
    ],
)
def test_read_index_accepts(folder: Path, content: str, texts: list[str]) -> None:
    assert [line.text for line in read_index(index_of(folder, content))] == texts


def test_lines_carry_resolved_picture_and_line_number(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "img/1.png")
    path = index_of(folder, "img/../img/0.png\ta\n\nlink.png\tb\n")
    expected = [Line(folder / "img/0.png", "a", 1), Line(folder / "img/1.png", "b", 3)]
    assert read_index(path) == expected


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("IMG/0.PNG", True),
        ("img/../Img\\0.png", True),  # backslash and case at once
        ("img/0.jpg", False),
        ("img/0.PNG/x", False),  # a file is no folder
        ("run.sh/x", False),  # nor is one that may be run
        ("twin/A.png", False),  # which of a.PNG and a.Png?
    ],
)
def test_a_path_in_another_case_is_found_if_it_is_the_only_one(
    folder: Path, name: str, is_found: bool
) -> None:
    (folder / "run.sh").touch(mode=0o755)
    for twin in ("a.PNG", "a.Png"):
        (folder / "twin").mkdir(exist_ok=True)
        (folder / "twin" / twin).write_bytes(b"x")
    if len(os.listdir(folder / "twin")) == 1:
        pytest.skip("this file system takes upper and lower case for the same")
    parsed = parse_index(index_of(folder, f"{name}\ta\n"))
    assert [line.image for line in parsed.lines] == [folder / "img/0.png"] * is_found
    assert [f.code for f in parsed.faults] == ["wrong_case" if is_found else "missing_image"]


def test_the_exact_path_goes_before_one_in_another_case(folder: Path) -> None:
    write_image(folder / "img/A.png", np.zeros((8, 8), np.uint8))
    write_image(folder / "img/a.png", np.ones((8, 8), np.uint8))
    parsed = parse_index(index_of(folder, "img/a.png\tx\n"))
    assert [line.image.name for line in parsed.lines] == ["a.png"]
    assert parsed.faults == ()


def test_an_absolute_path_is_worth_telling(folder: Path) -> None:
    parsed = parse_index(index_of(folder, f"{folder / 'img/0.png'}\ta\nimg/1.png\tb\n"))
    assert [(f.severity, f.code, f.line_number) for f in parsed.faults] == [
        ("repaired", "absolute_path", 1)
    ]


def test_a_row_twice_is_read_once_and_told(folder: Path) -> None:
    parsed = parse_index(index_of(folder, "img/0.png\ta\nimg/./0.png\t a\n"))
    assert [line.line_number for line in parsed.lines] == [1]
    assert [(f.code, f.line_number) for f in parsed.faults] == [
        ("outer_space", 2),
        ("duplicate_row", 2),
    ]


def test_picture_beside_the_index_goes_first_then_working_directory(folder: Path) -> None:
    write_image("only_here.png", np.zeros((8, 8), np.uint8))
    write_image("img/0.png", np.full((8, 16), 0, np.uint8))  # a copy of the data set's own
    path = index_of(folder, "img/0.png\ta\nonly_here.png\tb\n")
    images = [line.image for line in read_index(path)]
    assert images == [folder / "img/0.png", Path("only_here.png").resolve()]


def test_path_that_means_two_different_files_is_refused(folder: Path) -> None:
    Path("img").mkdir()
    Path("img/a.png").write_bytes(b"here")
    (folder / "img/a.png").write_bytes(b"data")
    for path in (Path("img/a.png"), folder / "img/a.png"):
        os.utime(path, (0, 0))  # size and time are equal, content is not
    path = index_of(folder, "img/a.png\ta\n")
    with pytest.raises(DatasetError, match=r"train\.txt:1: ambiguous_path: .* two different files"):
        read_index(path)


def test_absolute_and_non_ascii_paths_are_found(folder: Path) -> None:
    write_image(folder / "图片/第 1 行.png", np.zeros((8, 8), np.uint8))
    path = index_of(folder, f"图片/第 1 行.png\ta\n{folder / 'img/0.png'}\tb\n")
    assert [line.image.name for line in read_index(path)] == ["第 1 行.png", "0.png"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("img/0.png a\n", r"train\.txt:1: missing_tab: no tab in 'img/0\.png a'\. Write"),
        ("img/9.png\ta\n", r"train\.txt:1: missing_image: no file 'img/9\.png' under .*Correct"),
        ("\ta\n", r"train\.txt:1: missing_image: no file ''"),  # the folder is no picture
        ("img\ta\n", r"train\.txt:1: missing_image: no file 'img'"),  # nor is this
        ("x" * 5000 + "\ta\n", r"missing_image: no file 'x{79}…' under"),  # longer than a name is
        ("a\0b.png\ta\n", r"missing_image: no file 'a\\x00b\.png'"),  # no name at all
        ("img/0.png\t\u3000\n", r"train\.txt:1: empty_text: no text after the tab"),
        ("img/0.png\n", r"train\.txt:1: missing_tab"),  # no column of text
        ("\t\n", r"2 errors in the data:\n.*missing_image.*\n.*empty_text"),
        (
            "img/0.png\ta\nimg/./0.png\tb\n",
            r"train\.txt:2: duplicate_path: .* line 1 as 'a'\. Keep",
        ),
        (b"img/0.png\t\xb1\xb1\n", r"train\.txt:1: not_utf8: byte 0xb1 at column 11 .*as UTF-8"),
        ("img/0.png\t合格\n".encode("gbk"), r"In GBK it is 'img/0\.png\\t合格': save the file"),
        ("", r"train\.txt: no_lines: holds no lines"),
        ("\n\n", r"train\.txt: no_lines"),
    ],
)
def test_read_index_refuses(folder: Path, content: str | bytes, expected: str) -> None:
    path = index_of(folder, content)
    with pytest.raises(DatasetError, match=expected):
        read_index(path)


@pytest.mark.parametrize("name", ["no_such.txt", "img"])  # nothing there; a folder
def test_index_that_cannot_be_read_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=rf"{name}: unreadable_index: cannot be read: .*02_data"):
        read_index(folder / name)


def test_all_faults_come_at_once_and_20_are_shown(folder: Path) -> None:
    good, bad = "img/0.png\ta\n", "img/9.png\t\n"  # two faults per bad line
    with pytest.raises(DatasetError, match=r"^30 errors in the data") as raised:
        read_index(index_of(folder, good + bad * 15))
    rows = str(raised.value).splitlines()
    assert len(rows) == 1 + 20 + 1
    assert rows[-1] == "… and 10 more"
    assert "train.txt:11:" in rows[-2]


def test_parser_gives_good_lines_beside_faults(folder: Path) -> None:
    content = "img/0.png\ta\nimg/9.png\tb\nimg/2.png\t \nimg/1.png\tc\n"
    parsed = parse_index(index_of(folder, content))
    assert [(line.line_number, line.text) for line in parsed.lines] == [(1, "a"), (4, "c")]
    assert [(fault.line_number, fault.value) for fault in parsed.faults] == [
        (2, "img/9.png"),
        (3, " "),
    ]


TEXTS = st.text(max_size=12).map(normalize_text).filter(bool)


@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_written_index_reads_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]):
    data = tmp_path_factory.mktemp("written")
    lines = []
    for number, text in enumerate(texts, start=1):
        image = data / f"图/{number}.png"
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(b"x")
        lines.append(Line(image.resolve(), text, number))
    write_index(data / "set/train.txt", lines)
    assert read_index(data / "set/train.txt") == lines


def test_written_index_is_relative_with_forward_slashes(folder: Path) -> None:
    lines = [Line(folder / "img/0.png", "北京", 7)]
    write_index(folder / "sets/a/train.txt", lines)
    content = (folder / "sets/a/train.txt").read_bytes()
    assert content == "../../img/0.png\t北京\n".encode()
    assert [p.name for p in (folder / "sets/a").iterdir()] == ["train.txt"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("0.png", ""),  # would be refused on reading
        ("0.png", " a"),  # would come back as 'a'
        ("0.png", "a\nb"),  # would become two lines
        ("a\tb.png", "a"),  # the tab would separate
    ],
)
def test_write_index_refuses_what_would_not_come_back(folder: Path, name: str, text: str) -> None:
    path = folder / "out.txt"
    path.write_text("before")
    with pytest.raises(DatasetError, match=r"out\.txt:1: .*\n1 line cannot be written\. Normalise"):
        write_index(path, [Line(folder / name, text, 1)])
    assert path.read_text() == "before"


def lines_of(texts: list[str]) -> list[Line]:
    return [Line(Path(f"/{n}.png"), text, n) for n, text in enumerate(texts, start=1)]


HALVES = {"train": 0.5, "val": 0.5}


@given(
    texts=st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=60).filter(
        lambda texts: len(set(texts)) > 1
    ),
    seed=st.integers(0, 1000),
)
def test_split_loses_nothing_and_parts_no_group(texts: list[str], seed: int) -> None:
    lines = lines_of(texts)
    splits = split_lines(lines, HALVES, seed)
    assert sorted(splits["train"] + splits["val"], key=lambda line: line.line_number) == lines
    assert not {m.text for m in splits["train"]} & {m.text for m in splits["val"]}
    largest = max(Counter(texts).values())
    assert abs(len(splits["train"]) - len(lines) / 2) <= largest


def test_split_meets_its_fractions() -> None:
    fractions = {"train": 0.8, "val": 0.15, "test": 0.05}
    splits = split_lines(lines_of([f"text {n}" for n in range(1000)]), fractions, seed=0)
    assert {name: len(members) for name, members in splits.items()} == {
        "train": 800,
        "val": 150,
        "test": 50,
    }


def test_split_counts_lines_not_groups() -> None:
    lines = lines_of([f"often {n % 4}" for n in range(40)] + [f"once {n}" for n in range(60)])
    sizes = [len(split_lines(lines, HALVES, seed)["train"]) for seed in range(10)]
    assert max(abs(size - 50) for size in sizes) <= 5  # groups of 10: the once make up for them


def test_split_depends_on_the_seed_alone() -> None:
    lines = lines_of([f"text {n % 50}" for n in range(200)])
    splits = split_lines(lines, HALVES, seed=1)
    reversed_splits = split_lines(lines[::-1], HALVES, seed=1)
    assert {m.text for m in splits["val"]} == {m.text for m in reversed_splits["val"]}
    assert splits != split_lines(lines, HALVES, seed=2)
    numbers = [line.line_number for line in splits["train"]]
    assert numbers == sorted(numbers)


def test_split_by_document_keeps_documents_whole() -> None:
    lines = lines_of([f"{n}" for n in range(100)])
    splits = split_lines(lines, HALVES, seed=0, group_of=lambda line: str(line.line_number % 7))
    documents = [{m.line_number % 7 for m in members} for members in splits.values()]
    assert not documents[0] & documents[1]


def test_split_by_a_pattern_keeps_what_it_names_together(tmp_path: Path) -> None:
    names = [f"cam{n % 2}/2024-01-{n % 9 + 1:02}_{n}.png" for n in range(90)]
    lines = [Line(tmp_path / name, str(n), n + 1) for n, name in enumerate(names)]
    group_of = groups_by_path(lines, r"(cam\d).*-(\d\d)_", tmp_path)
    assert group_of(lines[10]) == "cam0/02"
    splits = split_lines(lines, HALVES, seed=0, group_of=group_of)
    groups = [{group_of(line) for line in members} for members in splits.values()]
    assert sum(map(len, groups)) == len(groups[0] | groups[1]) == 18


@pytest.mark.parametrize(
    ("pattern", "group"),
    [
        (r"doc\d+", "doc12"),  # no group: the whole match
        (r"doc(\d+)", "12"),
        (r"^(\w+)/", "a"),  # searched in the path from the index file's folder
        (r"(b)?doc(1)", "/1"),  # a group that takes no part is empty
    ],
)
def test_group_of_a_path(tmp_path: Path, pattern: str, group: str) -> None:
    line = Line(tmp_path / "a/doc12_3.png", "x", 1)
    assert groups_by_path([line], pattern, tmp_path)(line) == group


def test_paths_without_a_group_are_named(tmp_path: Path) -> None:
    lines = [Line(tmp_path / name, "x", n) for n, name in enumerate(("doc1.png", "b.png"), 1)]
    with pytest.raises(DatasetError, match=r"'doc.' finds nothing in 1 path:\nline 2: b\.png"):
        groups_by_path(lines, "doc.", tmp_path)
    with pytest.raises(ConfigError, match=r"group pattern '\(': missing \)"):
        groups_by_path(lines, "(", tmp_path)


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "new"
    with pytest.raises(ZeroDivisionError), new_folder(out) as partial:  # noqa: PT012
        (partial / "a.txt").write_text("a")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    out.mkdir()  # empty: free to take
    with new_folder(out) as partial:
        (partial / "a.txt").write_text("a")
        assert list(out.iterdir()) == []
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["new", "new/a.txt"]
    with pytest.raises(DatasetError, match=r"new: not empty\. Remove"), new_folder(out):
        pass


@pytest.mark.parametrize(
    "fractions",
    [{}, {"train": 0.8, "val": 0.1}, {"train": 1.5, "val": -0.5}, {"train": 1.0, "val": 0.0}],
)
def test_split_refuses_fractions_that_are_none(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be positive and sum to 1"):
        split_lines(lines_of(["a", "b"]), fractions, seed=0)


def test_split_refuses_to_leave_a_split_empty() -> None:
    with pytest.raises(DatasetError, match="3 lines in 1 group: nothing left for val. Give lines"):
        split_lines(lines_of(["a", "a", "a"]), HALVES, seed=0)
