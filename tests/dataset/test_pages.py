"""Page labels: read in one form, refused with every fault and its line number."""

import json
from pathlib import Path

import pytest

from crnnkit.dataset.pages import Page, read_pages
from crnnkit.errors import DatasetError

POINTS = [[0, 0], [9.5, 0], [9.5, 4], [0, 4]]


@pytest.fixture
def labels(tmp_path):
    """A function that writes a page file beside one picture, 页.png."""
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "页.png").write_bytes(b"")

    def write(*rows: object) -> Path:
        path = tmp_path / "pages.jsonl"
        content = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(line + "\n" for line in content), encoding="utf-8")
        return path

    return write


def page(**changes) -> dict:
    return {"image": "img/页.png", "lines": [{"text": "A", "points": POINTS}]} | changes


def test_a_page_has_its_picture_texts_and_quads(labels, tmp_path):
    lines = [{"text": "北京\u3000市 ", "points": POINTS}, {"text": "B", "points": POINTS}]
    quad = ((0.0, 0.0), (9.5, 0.0), (9.5, 4.0), (0.0, 4.0))
    expected = Page(tmp_path / "img" / "页.png", ("北京 市", "B"), (quad, quad))
    assert read_pages(labels(page(lines=lines), page(lines=[]))) == [
        expected,
        Page(expected.image, (), ()),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "pages.jsonl:2: JSON: Invalid JSON"),
        (page(image="img/gone.png"), "pages.jsonl:2: no file 'img/gone.png'"),
        (page(image=""), "pages.jsonl:2: image: String should have at least 1"),
        (page(extra=1), "pages.jsonl:2: extra: Extra inputs are not permitted"),
        ({"image": "img/页.png"}, "pages.jsonl:2: lines: Field required"),
        # three corners
        (page(lines=[{"text": "A", "points": POINTS[:3]}]), "pages.jsonl:2: lines.0.points.3: "),
        (page(lines=[{"text": 3, "points": POINTS}]), "pages.jsonl:2: lines.0.text: "),
    ],
)
def test_a_faulty_page_is_named_with_its_line(labels, row, message):
    with pytest.raises(DatasetError, match=message):
        read_pages(labels(page(), row))


def test_a_line_separator_within_a_text_is_no_end_of_line(labels):
    row = json.dumps(page(lines=[{"text": "A\u2028B", "points": POINTS}]), ensure_ascii=False)
    assert read_pages(labels(row))[0].texts == ("AB",)


def test_all_faults_are_counted_and_the_first_shown(labels):
    with pytest.raises(DatasetError, match=r"^30 faulty pages:\n(.*\n){20}Correct the file.$"):
        read_pages(labels(*["{"] * 30))


def test_a_file_without_pages_is_refused(labels):
    with pytest.raises(DatasetError, match="holds no pages"):
        read_pages(labels())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match="gone.jsonl: cannot be read"):
        read_pages(tmp_path / "gone.jsonl")
