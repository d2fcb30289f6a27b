"""Labels of other tools: what each format's reader takes, and what it names instead."""

import json
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset import samples
from crnnkit.dataset.exports import (
    read_easyocr,
    read_gt_folder,
    read_index_file,
    read_label_studio,
    read_ppocrlabel,
    read_rows,
)
from crnnkit.dataset.samples import LeftOut, Sample
from crnnkit.errors import DatasetError
from crnnkit.preprocessing.images import read_image, write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export with the pictures 0.png … 2.png, and one outside it."""
    for number in range(3):
        write_image(tmp_path / f"export/{number}.png", np.full((8, 16), number, np.uint8))
    write_image(tmp_path / "secret.png", np.zeros((8, 16), np.uint8))
    return tmp_path / "export"


def pairs(found) -> list[tuple[str, str]]:
    """Name and text of the samples, `-` and the reason of the others."""
    return [(s.name, s.text) if isinstance(s, Sample) else ("-", s.reason) for s in found]


def write(folder: Path, name: str, content: str | list) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_sample_keeps_the_picture_file_bit_for_bit(folder: Path) -> None:
    (sample,) = read_rows(write(folder, "rec_gt.txt", "0.png\tA1\n"))
    assert sample.image == (folder / "0.png").read_bytes()
    assert sample.source == f"{folder / 'rec_gt.txt'}:1"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.png", "leads out of"),
        ("..\\secret.png", "leads out of"),
        ("sub/../../secret.png", "leads out of"),
        ("/etc/hostname", "leads out of"),
        ("link.png", "leads out of"),  # a symbolic link to the outside
        ("a\0b.png", "leads out of"),
        ("3.png", "no such picture"),
        ("empty.png", "the file is empty"),
        (".", "is a folder"),
    ],
)
def test_only_files_inside_the_export_are_opened(folder: Path, name: str, reason: str) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "empty.png").touch()
    ((_, found),) = pairs(read_rows(write(folder, "rec_gt.txt", f"{name}\tA\n")))
    assert reason in found


def test_rows_without_a_tab_are_named(folder: Path) -> None:
    found = pairs(read_rows(write(folder, "rec_gt.txt", "0.png A\r\n\n1.png\tB\tC\r\n")))
    assert found == [("-", "no tab in '0.png A'"), ("1.png", "B\tC")]


def test_an_index_gives_its_errors_and_pictures_from_anywhere(folder: Path) -> None:
    index = write(folder, "lines.txt", "0.png\tA\n9.png\tB\n../secret.png\t C\n")
    found = pairs(read_index_file(index))
    assert found[0][1].startswith("missing_image: no file '9.png'")
    assert found[1:] == [("0.png", "A"), ("../secret.png", "C")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0.png,A1", ("0.png", "A1")),
        ("0.png,A,B", ("0.png", "A,B")),  # EasyOCR does not quote commas
        ('0.png,"A,B"', ("0.png", "A,B")),  # pandas does
        ('0.png,"say ""A"""', ("0.png", 'say "A"')),
        ('0.png,5" pipe', ("0.png", '5" pipe')),  # a mark inside is text
        ('0.png,"', ("0.png", '"')),
        ('"0.png",A', ("0.png", "A")),
        ("0.png", ("-", "no comma in '0.png'")),
    ],
)
def test_a_row_of_easyocr(folder: Path, row: str, expected: tuple[str, str]) -> None:
    path = write(folder, "labels.csv", f"\ufefffilename,words\r\n{row}\r\n")
    assert pairs(read_easyocr(path)) == [expected]


@pytest.mark.parametrize("content", ["", "0.png,A\n", "words,filename\nA,0.png\n"])
def test_a_table_without_easyocrs_header_is_refused(folder: Path, content: str) -> None:
    with pytest.raises(DatasetError, match=r"labels\.csv:1: begins with .*'filename,words'"):
        list(read_easyocr(write(folder, "labels.csv", content)))


def test_a_folder_of_pairs_names_what_has_no_partner(folder: Path) -> None:
    (folder / "day1").mkdir()
    write_image(folder / "day1/a.b.png", np.zeros((8, 16), np.uint8))
    write_image(folder / "0.tif", np.zeros((8, 16), np.uint8))  # which is meant, 0.png or 0.tif?
    write_image(folder / ".ipynb_checkpoints/2.png", np.zeros((8, 16), np.uint8))
    for name, text in {
        "0": "A",
        "1": "B\n",
        "day1/a.b": "C",
        "gone": "D",
        ".ipynb_checkpoints/2": "E",
    }.items():
        write(folder, f"{name}.gt.txt", text)
    found = {Path(s.source).relative_to(folder).as_posix(): s for s in read_gt_folder(folder)}
    assert {name: s.text for name, s in found.items() if isinstance(s, Sample)} == {
        "1.gt.txt": "B\n",
        "day1/a.b.gt.txt": "C",
    }
    assert {name: s.reason for name, s in found.items() if isinstance(s, LeftOut)} == {
        ".ipynb_checkpoints/2.gt.txt": "is hidden",
        "0.gt.txt": "has 0.png, 0.tif beside it, not one",
        "gone.gt.txt": "has no picture beside it, not one",
        "2.png": "has no .gt.txt beside it",
    }


def test_a_text_that_is_not_utf8_is_named(folder: Path) -> None:
    (folder / "1.gt.txt").write_bytes(b"\xb1\xb1")
    assert "1.gt.txt: not UTF-8 (byte 0)" in pairs(read_gt_folder(folder))[0][1]


# ---------------------------------------------------------------- pages


@pytest.fixture
def page(folder: Path) -> np.ndarray:
    """A page of noise, 60x100 px, as page.png: every crop of it is unlike any other."""
    image = np.random.default_rng(0).integers(0, 256, (60, 100), np.uint8)
    write_image(folder / "page.png", image)
    return image


def paddle(points: list, text: str = "A", **more: object) -> list:
    return [{"transcription": text, "points": points, **more}]


BOX = [[10, 20], [40, 20], [40, 30], [10, 30]]


@pytest.mark.parametrize("name", ["export/page.png", "renamed/page.png", "export\\page.png"])
def test_ppocrlabel_lines_are_cut_out_of_their_page(folder, page, name) -> None:
    label = write(folder, "Label.txt", f"{name}\t{json.dumps(paddle(BOX, 'A1'))}\n")
    (sample,) = read_ppocrlabel(label)
    assert (sample.name, sample.text) == ("page_001", "A1")
    np.testing.assert_array_equal(read_image(sample.image), page[20:30, 10:40])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (paddle(BOX, "###"), "is marked as not readable"),
        (paddle(BOX, difficult=True), "is marked as not readable"),
        (paddle([*BOX, [5, 25]]), "has 5 corners, not 4"),
        (paddle([[10, 20]] * 4), "enclose no convex area"),
        (
            paddle([[200, 0], [300, 0], [300, 9], [200, 9]]),
            "enclose no convex area",
        ),  # beside the page
        (paddle([BOX[0], BOX[2], BOX[1], BOX[3]]), "enclose no convex area"),  # crossed
        (paddle([*BOX[:3], [30, 24]]), "enclose no convex area"),  # dented
        ([{"points": BOX}], "no list of lines after a tab: 0.transcription"),
        (paddle([[1e999, 0], *BOX[1:]]), "no list of lines"),  # JSON with Infinity
    ],
)
def test_ppocrlabel_lines_that_cannot_be_cut_are_named(folder, page, line, reason) -> None:
    label = write(folder, "Label.txt", f"export/page.png\t{json.dumps(line)}\n")
    ((_, found),) = pairs(read_ppocrlabel(label))
    assert reason in found


def test_a_crop_is_never_larger_than_its_page(folder, page) -> None:
    huge = [[-1e8, -1e8], [1e8, -1e8], [1e8, 1e8], [-1e8, 1e8]]
    label = write(folder, "Label.txt", f"export/page.png\t{json.dumps(paddle(huge))}\n")
    (sample,) = read_ppocrlabel(label)
    np.testing.assert_array_equal(read_image(sample.image), page)


def test_each_line_of_a_missing_page_is_named(folder: Path) -> None:
    rows = f"export/gone.png\t{json.dumps(paddle(BOX) * 2)}\n../../secret.png\t[]\n"
    found = list(read_ppocrlabel(write(folder, "Label.txt", rows)))
    assert [s.source.rpartition("/")[2] for s in found] == [
        "Label.txt:1: line 1",
        "Label.txt:1: line 2",
    ]
    assert all("looked for 'gone.png'" in s.reason for s in found)


def task(results: list, address: str = "/data/upload/3/0a1b2c3d-page.png", number: int = 7) -> dict:
    return {"id": number, "data": {"ocr": address}, "annotations": [{"result": results}]}


def region(text: object = ("A",), rotation: float = 0, key: str = "r1", **value: float) -> list:
    """A rectangle's results: one with its shape, one with its text besides."""
    box = {"x": 10, "y": 50, "width": 30, "height": 20, "rotation": rotation} | value
    return [
        {"id": key, "type": "rectangle", "value": box},
        {"id": key, "type": "labels", "value": box | {"labels": ["Text"]}},
        {"id": key, "type": "textarea", "value": box | {"text": text}},
    ]


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/0a1b2c3d-page.png",  # an upload, without the characters put before it
        "/data/local-files/?d=scans%2Fpage.png",
        "s3://bucket/deep/page.png",
        "page.png",
    ],
)
def test_label_studio_rectangles_are_cut_out_of_their_page(folder, page, address) -> None:
    export = write(folder, "export.json", [task(region(), address)])
    (sample,) = read_label_studio(export)
    assert (sample.name, sample.text) == ("page_001", "A")
    assert sample.source == f"{export}: task 7: line 1"
    # percent of 100x60 px
    np.testing.assert_array_equal(read_image(sample.image), page[30:42, 10:40])


def test_a_rectangle_turned_by_90_degrees_is_set_upright(folder, page) -> None:
    # 30 px wide and 12 high, turned clockwise about (40, 12): it covers x 28…40, y 12…42
    turned = region(x=40, y=20, rotation=90)
    (sample,) = read_label_studio(write(folder, "e.json", [task(turned)]))
    np.testing.assert_array_equal(read_image(sample.image), np.rot90(page[12:42, 28:40]))


def test_label_studio_looks_into_the_folder_images(folder, page) -> None:
    (folder / "images").mkdir()
    (folder / "page.png").rename(folder / "images/0a1b2c3d-page.png")
    (sample,) = read_label_studio(write(folder, "e.json", [task(region())]))
    assert sample.name == "0a1b2c3d-page_001"


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        (region(text=[]), "has transcription [], not one"),
        (region(text=["A", "B"]), "has transcription ['A', 'B'], not one"),
        (region(text=7), "has transcription 7, not one"),
        ([{"id": "p", "value": {"points": [[1, 2]], "text": ["A"]}}], "is no rectangle"),
        (region(width=0), "enclose no convex area"),
    ],
)
def test_label_studio_regions_that_cannot_be_cut_are_named(folder, page, results, reason) -> None:
    ((_, found),) = pairs(read_label_studio(write(folder, "e.json", [task(results)])))
    assert reason in found


def test_what_label_studio_says_of_the_page_is_no_line(folder, page) -> None:
    more = [
        {"id": "c", "type": "choices", "value": {"choices": ["clean"]}},
        {"from_id": "r1", "to_id": "r2", "type": "relation"},
    ]
    found = read_label_studio(write(folder, "e.json", [task([*more, *region()])]))
    assert pairs(found) == [("page_001", "A")]


def test_label_studio_tasks_without_or_with_several_annotations_are_named(folder, page) -> None:
    done = {"result": region()}
    cancelled = done | {"was_cancelled": True}
    tasks = [
        task([]) | {"annotations": [cancelled]},
        task([]) | {"annotations": [cancelled, done, done], "id": 8},
        task(region(), "https://host/gone.png?x=1", 9),
        task(region(), "no picture", 10),
        task(region(), "../secret.png", 11),
    ]
    found = list(read_label_studio(write(folder, "e.json", tasks)))
    assert [s.source.rpartition("json: ")[2] for s in found] == [
        "task 7",
        "task 8",
        "task 8: line 1",
        "task 9: line 1",
        "task 10: line 1",
        "task 11: line 1",
    ]
    reasons = [s.reason if isinstance(s, LeftOut) else s.text for s in found]
    assert reasons[:3] == ["has no annotation", "has another annotation of 3 results", "A"]
    assert reasons[3].endswith("looked for 'gone.png', 'images/gone.png', 'gone.png'")
    assert reasons[4].endswith("looked for nothing: no path is given")
    assert "no page in" in reasons[5]


@pytest.mark.parametrize("content", ["", "{}", '[{"ocr": "a.png", "bbox": []}]', "[" * 10_000])
def test_json_of_another_form_is_refused(folder: Path, content: str) -> None:
    with pytest.raises(DatasetError, match=r"e\.json: not Label Studio's export 'JSON'.*JSON-MIN"):
        list(read_label_studio(write(folder, "e.json", content)))


@pytest.mark.parametrize("read", [read_rows, read_index_file, read_easyocr, read_label_studio])
def test_a_file_of_labels_that_is_too_large_is_not_read(folder, read, monkeypatch) -> None:
    monkeypatch.setattr(samples, "MAX_LABEL_BYTES", 10)
    path = write(folder, "labels.txt", "0.png\tA\n0.png\tA\n")
    with pytest.raises(DatasetError, match="16 bytes are more than the limit of 10"):
        list(read(path))
