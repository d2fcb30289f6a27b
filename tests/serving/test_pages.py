"""Where the lines of a page are, and which places that look like lines are none."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.quads import coverage, crop_line, iou
from crnnkit.preprocessing.tensors import half_turn
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
        ([("AB", 0.99), ("CD", 0.4), ("EF", 0.4)], ["AB", "CD", "EF"]),  # or of most
        ([("AB", 0.4), ("CD", 0.4), ("", 1), ("", 1), ("", 1)], ["AB", "CD"]),  # many stains
        ([("", 0.9), ("", 0.9), ("", 0.9)], []),
        ([("", 0.1)], [""]),  # a picture of one line is that line
    ],
)
def test_what_is_much_less_sure_than_the_page_is_no_line(readings, texts):
    quad = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.float32)
    lines = _text_lines([(LineReading(*reading, (), ()), quad) for reading in readings])
    assert [line.text for line in lines] == texts


def test_all_that_was_read_of_a_line_is_told_of_its_place():
    quad = np.array([[0, 0], [9, 0], [9, 5], [0, 5]], np.float32)
    reading = LineReading("A", 0.9, (0.8,), ((0, 1),), ((0.2, 0.6),), passes_check=True)
    (line,) = _text_lines([(reading, quad)])
    assert (line.char_confidences, line.edges, line.passes_check) == ((0.8,), ((0.2, 0.6),), True)
    np.testing.assert_array_equal(line.box, quad)
    (turned,) = _text_lines([(replace(reading, turned=True), quad)])
    np.testing.assert_array_equal(turned.box, quad[[2, 3, 0, 1]])


# ---------------------------------------------------------------- which way up, and what is read


class Feet:
    """Reads how many boots stand in a line, and notes what it was shown.

    `sureness` is that of lines whose boots stand on their soles, and of those that do not.
    """

    def __init__(self, *sureness: float) -> None:
        self.sureness = sureness
        self.shown: list[np.ndarray] = []

    def __call__(self, crops) -> list[LineReading]:
        return [self.read(crop) for crop in crops]

    def read(self, crop: np.ndarray) -> LineReading:
        self.shown.append(crop)
        ink = crop < 128
        half = len(ink) // 2
        stands = ink[half:].sum() > 1.2 * ink[:half].sum()
        number = np.count_nonzero(np.diff(ink.any(axis=0).astype(int)) == 1)
        return LineReading("i" * number, self.sureness[0 if stands else 1], (), ())


BOOT = np.full((24, 20), 240, np.uint8)
BOOT[2:22, 3:7] = BOOT[15:22, 3:17] = 20
NUMBERS = [12, 4, 9, 5, 11, 6, 10, 7, 8]
"""Boots in each line of the page."""


@pytest.fixture
def boots(monkeypatch) -> np.ndarray:
    """A page of lines that a perfect finder finds; on its head it is one, too."""
    page = np.full((40 * len(NUMBERS) + 20, 300), 240, np.uint8)
    quads = []
    for row, number in enumerate(NUMBERS):
        page[20 + 40 * row :, 20:][:24, : 20 * number] = np.tile(BOOT, number)
        left, top, right, bottom = 18, 18 + 40 * row, 22 + 20 * number, 46 + 40 * row
        quads.append([[left, top], [right, top], [right, bottom], [left, bottom]])
    upright = np.array(quads, np.float32)
    on_its_head = np.array(page.shape[::-1], np.float32) - upright[::-1, [2, 3, 0, 1]]

    def find(gray: np.ndarray) -> list[np.ndarray]:
        return list(on_its_head if np.array_equal(gray, half_turn(page)) else upright)

    monkeypatch.setattr(pages, "find_lines", find)
    return page


def numbers_read(lines) -> list[int]:
    return [len(line.text) for line in lines]


def test_a_page_on_its_head_is_read_from_its_own_top(boots):
    (lines,) = read_pages([half_turn(boots)], Feet(0.9, 0.5))
    assert numbers_read(lines) == NUMBERS
    assert {line.confidence for line in lines} == {0.9}
    for line in lines:
        assert line.box[0, 0] > line.box[1, 0], "text begins at the right"
        assert line.box[0, 1] > line.box[3, 1]


def test_a_line_that_is_sure_by_chance_does_not_decide_which_way_up_a_page_is(boots):
    class Palindrome(Feet):
        """The longest line reads the same either way."""

        def read(self, crop: np.ndarray) -> LineReading:
            reading = super().read(crop)
            return replace(reading, confidence=0.99) if len(reading.text) == 12 else reading

    (lines,) = read_pages([half_turn(boots)], Palindrome(0.9, 0.5))
    assert numbers_read(lines) == NUMBERS


def test_a_page_of_two_lines_may_stand_on_its_head_and_in_a_shadow_as_well(boots, monkeypatch):
    two = pages.find_lines(half_turn(boots))[:2]
    monkeypatch.setattr(pages, "find_lines", lambda gray: list(two))
    light = np.linspace(1, 0.25, boots.shape[1])
    reader = Feet(0.9, 0.5)
    (lines,) = read_pages([(half_turn(boots) * light).astype(np.uint8)], reader)
    assert numbers_read(lines) == NUMBERS[-2:]
    assert min(crop[:, -10:].max() for crop in reader.shown) > 200, "no dark end is left"


def test_little_that_is_sure_does_not_turn_a_page(boots):
    class Short(Feet):
        """Sees one letter in lines on their head, and nothing else, but that surely."""

        def read(self, crop: np.ndarray) -> LineReading:
            reading = super().read(crop)
            return replace(reading, text="i") if reading.confidence == 0.95 else reading

    (lines,) = read_pages([boots], Short(0.7, 0.95))
    assert numbers_read(lines) == NUMBERS


@pytest.mark.parametrize(
    ("on_its_head", "is_turned"), [(0.3, False), (0.55, False), (0.65, True), (0.9, True)]
)
def test_a_page_is_turned_for_a_clear_gain_alone(on_its_head, is_turned, boots):
    (lines,) = read_pages([boots], Feet(0.5, on_its_head))
    assert numbers_read(lines) == (NUMBERS[::-1] if is_turned else NUMBERS)


def test_every_line_is_read_once_and_the_longest_of_a_doubtful_page_both_ways_up(boots):
    sure, doubtful = Feet(0.85, 0.1), Feet(0.75, 0.1)
    read_pages([boots], sure)
    assert len(sure.shown) == len(NUMBERS)
    read_pages([boots], doubtful)
    assert len(doubtful.shown) == len(NUMBERS) + 7
    widths = sorted(crop.shape[1] for crop in doubtful.shown[:7])
    assert widths == sorted(4 + 20 * number for number in NUMBERS)[-7:]
    for crop, turned in zip(doubtful.shown[:7], doubtful.shown[7:14], strict=True):
        np.testing.assert_array_equal(half_turn(crop), turned)


def test_a_picture_of_one_line_is_read_once_as_it_is(monkeypatch):
    line = cv2.GaussianBlur(np.tile(BOOT, 9), (0, 0), 2.5)
    whole = np.array([[0, 0], [180, 0], [180, 24], [0, 24]], np.float32)
    monkeypatch.setattr(pages, "find_lines", lambda gray: [whole])
    reader = Feet(0.5, 0.9)
    read_pages([line], reader)
    (shown,) = reader.shown
    np.testing.assert_array_equal(shown, line)


def test_lines_of_a_good_page_are_cut_out_as_they_are(boots):
    reader = Feet(0.9, 0.1)
    even = (boots * np.linspace(1, 0.85, boots.shape[1])).astype(np.uint8)  # evenly enough
    (lines,) = read_pages([even], reader)
    for line in lines:
        crop = crop_line(even, line.box)
        assert any(np.array_equal(crop, shown) for shown in reader.shown)


def test_lines_in_a_shadow_are_evened_and_soft_ones_sharpened(boots):
    quad = pages.find_lines(boots)[0]
    good = crop_line(boots, quad).astype(int)
    for fault in (
        (boots * np.linspace(1, 0.25, boots.shape[1])).astype(np.uint8),
        cv2.GaussianBlur(boots, (0, 0), 1.5),
    ):
        reader = Feet(0.9, 0.1)
        read_pages([fault], reader)
        (shown,) = (crop for crop in reader.shown if crop.shape == good.shape)
        assert np.abs(shown - good).mean() < 0.7 * np.abs(crop_line(fault, quad) - good).mean()


COLUMN = np.full((200, 60), 240, np.uint8)
for _boot in range(8):
    COLUMN[4 + 24 * _boot :, 20:][:24, :20] = BOOT


@pytest.mark.parametrize(
    ("sureness", "text"),
    [
        ((0.9, 0.3), "iiiiiiii"),  # set in a row, the characters stand upright
        ((0.1, 0.9), "i"),  # or the column was a line that lies on its side
        ((0.7, 0.9), "iiiiiiii"),  # what says more counts for more
    ],
)
def test_a_column_is_read_as_it_lies_and_as_a_row(sureness, text, monkeypatch):
    column = np.array([[42, 2], [42, 198], [18, 198], [18, 2]], np.float32)
    monkeypatch.setattr(pages, "find_lines", lambda gray: [column])

    class FirstAsItLies(Feet):
        """Takes a column that lies on its side for one letter."""

        def read(self, crop: np.ndarray) -> LineReading:
            row = super().read(crop)
            lies = len(self.shown) == 1
            return replace(row, text="i" if lies else row.text, confidence=self.sureness[lies])

    reader = FirstAsItLies(*sureness)
    (lines,) = read_pages([COLUMN], reader)
    assert [line.text for line in lines] == [text]
    assert len(reader.shown) == 2


def test_columns_of_a_page_are_read_once_as_they_lie_and_once_as_rows(monkeypatch):
    page = np.hstack([COLUMN] * 3)
    column = np.array([[42, 2], [42, 198], [18, 198], [18, 2]], np.float32)
    columns = [column + [60 * i, 0] for i in range(3)]
    monkeypatch.setattr(pages, "find_lines", lambda gray: columns)
    reader = Feet(0.9, 0.9)
    read_pages([page], reader)
    assert len(reader.shown) == 6


@pytest.mark.parametrize("rise", [-4, 4])
@pytest.mark.parametrize("corner", [0, 2], ids=["upright", "on their head"])
def test_single_letters_that_slope_are_no_columns(rise, corner, monkeypatch):
    page = np.full((200, 200), 240, np.uint8)
    quads = []
    for x, y in ((40, 40), (120, 40), (40, 120)):
        page[y : y + 24, x : x + 20] = BOOT
        quad = np.float32([[x, y], [x + 22, y + rise], [x + 22, y + rise + 26], [x, y + 26]])
        quads.append(np.roll(quad, corner, axis=0))
    monkeypatch.setattr(pages, "find_lines", lambda gray: quads)
    reader = Feet(0.9, 0.9)
    read_pages([page], reader)
    assert len(reader.shown) == 3


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


def test_what_stands_close_to_a_sheet_is_read(print_on_sheet):
    photo, _ = print_on_sheet
    cv2.putText(photo, "EXIT 12", (330, 80), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 250, 2)
    (lines,) = read_pages([photo], sure)
    assert len(lines) == 7
    assert coverage(lines[0].box, SHEET) < 0.3


def test_a_light_patch_without_text_is_no_sheet(print_on_sheet):
    photo = np.full((640, 960), 50, np.uint8)
    cv2.fillConvexPoly(photo, SHEET.astype(int), 235)
    for row in range(2):
        place = (10, 45 + 560 * row)
        cv2.putText(photo, "EXIT", place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, 250, 3)
    (lines,) = read_pages([photo], sure)
    assert [line.box[0, 1] > 300 for line in lines] == [False, True]
