"""Where the lines of a page are, and which places that look like lines are none."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.quads import coverage, crop_line, iou
from crnnkit.serving import pages
from crnnkit.serving.pages import _text_lines, read_pages
from crnnkit.serving.readings import LineReading


@pytest.mark.parametrize(
    ("readings", "texts"),
    [
        ([("AB", 0.9), ("CD", 0.8), ("EF", 0.9)], ["AB", "CD", "EF"]),
        ([("AB", 0.9), ("1", 0.2), ("EF", 0.9)], ["AB", "EF"]),  # the edge of the paper
        ([("AB", 0.9), ("", 0.9), ("EF", 0.9)], ["AB", "EF"]),  # a stain
        ([("AB", 0.3), ("CD", 0.2), ("EF", 0.3)], ["AB", "CD", "EF"]),  # a model unsure of all
        ([("", 0.9), ("", 0.9), ("", 0.9)], []),
        ([("", 0.1)], [""]),  # a picture of one line is that line
    ],
)
def test_what_is_much_less_sure_than_the_page_is_no_line(readings, texts):
    quad = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.float32)
    lines = _text_lines([(LineReading(*reading, (), ()), quad) for reading in readings])
    assert [line.text for line in lines] == texts


# ---------------------------------------------------------------- a sheet at an angle


def sure(crops):
    """Reads the number of dark pixels of each line, without doubt."""
    return [LineReading(str(np.count_nonzero(crop < 128)), 0.99, (), ()) for crop in crops]


SHEET = np.array([[300, 120], [760, 90], [860, 560], [200, 590]], np.float32)


@pytest.fixture
def print_on_sheet() -> tuple[np.ndarray, np.ndarray]:
    """A page of six lines on a table, and the quads (6, 4, 2) of the lines."""
    page = np.full((420, 600), 235, np.uint8)
    lines = []
    for row in range(6):
        size = cv2.getTextSize("GL-2024-03-001", cv2.FONT_HERSHEY_SIMPLEX, 1.2, 3)[0]
        foot = 70 + 60 * row
        cv2.putText(page, "GL-2024-03-001", (50, foot), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 20, 3)
        left, top, right, bottom = 46, foot - size[1] - 4, 54 + size[0], foot + 4
        lines.append([[left, top], [right, top], [right, bottom], [left, bottom]])
    edges = np.array([[0, 0], [600, 0], [600, 420], [0, 420]], np.float32)
    view = cv2.getPerspectiveTransform(edges, SHEET)
    photo = cv2.warpPerspective(page, view, (960, 640), borderValue=50)
    quads = cv2.perspectiveTransform(np.array(lines, np.float64).reshape(1, -1, 2), view)
    return photo, quads.reshape(-1, 4, 2).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_lines_of_a_photographed_sheet_lie_where_they_are_on_the_photograph(
    channels, print_on_sheet
):
    photo, expected = print_on_sheet
    photo = photo if channels == 1 else np.dstack([photo] * 3)
    (lines,) = read_pages([photo], sure)
    assert len(lines) == 6
    assert all(iou(line.box, quad) > 0.7 for line, quad in zip(lines, expected, strict=True))


def test_a_photographed_sheet_is_read_from_straight_above(print_on_sheet):
    shapes = []

    def look(crops):
        crops = list(crops)
        shapes.extend(crop.shape for crop in crops)
        return sure(crops)

    read_pages([print_on_sheet[0]], look)
    widths = [width for _, width in shapes]
    assert max(widths) - min(widths) < 0.03 * max(widths), "on the photograph 30 % apart"


@pytest.mark.parametrize("sigma", [0.5, 2.5])
def test_lines_of_a_sheet_come_from_the_photograph_unless_it_is_out_of_focus(
    sigma, print_on_sheet, monkeypatch
):
    photo = cv2.GaussianBlur(print_on_sheet[0], (0, 0), sigma)
    sources = []

    def cut(page, quad, sheet=None):
        sources.append("photograph" if sheet is not None and page is photo else "flat")
        return crop_line(page, quad, sheet)

    monkeypatch.setattr(pages, "crop_line", cut)
    read_pages([photo], sure)
    first, *lines = sources
    assert first == "flat"  # the sheet itself
    assert set(lines) == {"photograph" if sigma < 1 else "flat"}


@pytest.mark.parametrize(("top", "place"), [(0, 0), (575, 6)])
def test_what_stands_around_a_sheet_is_read_before_or_after_it(top, place, print_on_sheet):
    photo, _ = print_on_sheet
    cv2.putText(photo, "EXIT 12 A", (10, top + 50), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 250, 3)
    (lines,) = read_pages([photo, np.full((300, 400), 255, np.uint8)], sure)[:1]
    assert len(lines) == 7
    assert [coverage(line.box, SHEET) > 0.5 for line in lines].index(False) == place


def test_a_light_patch_without_text_is_no_sheet(print_on_sheet):
    photo = np.full((640, 960), 50, np.uint8)
    cv2.fillConvexPoly(photo, SHEET.astype(int), 235)
    for row in range(2):
        place = (10, 45 + 560 * row)
        cv2.putText(photo, "EXIT", place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, 250, 3)
    (lines,) = read_pages([photo], sure)
    assert [line.box[0, 1] > 300 for line in lines] == [False, True]
