import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crnnkit.preprocessing import lines
from crnnkit.preprocessing.enhance import turn
from crnnkit.preprocessing.lines import crop_line, find_lines, is_line

TEXTS = ["设备维护记录 2024", "GL-2024-03-001-A", "北京市朝阳区建国路88号", "9g×6袋", "Total 42.00"]
INK, PAPER = 20, 240


class Page:
    """A page that remembers where its lines were drawn."""

    def __init__(self, make_line, size_hw: tuple[int, int] = (480, 640)) -> None:
        self.make_line = make_line
        self.image = np.full(size_hw, PAPER, np.uint8)
        self.boxes: list[tuple[float, ...]] = []

    def add(self, text: str, x: int, y: int, height: int = 32, *, light: bool = False) -> None:
        ink, paper = (PAPER, INK) if light else (INK, PAPER)
        line = self.make_line(text, height=height, ink=ink, paper=paper)
        self.image[y : y + height, x : x + line.shape[1]] = line
        rows, columns = np.nonzero(np.abs(line.astype(int) - paper) > 40)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        self.boxes.append(tuple(np.array(box) + (x, y, x, y)))

    @property
    def quads(self) -> list[np.ndarray]:
        return [np.float32([[x, y], [u, y], [u, v], [x, v]]) for x, y, u, v in self.boxes]


@pytest.fixture
def page(make_line) -> Page:
    """Five lines of different heights."""
    page = Page(make_line)
    for i, text in enumerate(TEXTS):
        page.add(text, x=40 + 15 * i, y=30 + 70 * i, height=48 - 6 * i)
    return page


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Shared area of two quads ÷ the area that either covers."""
    a, b = np.float32(a), np.float32(b)
    shared, _ = cv2.intersectConvexConvex(a, b)
    return shared / (cv2.contourArea(a) + cv2.contourArea(b) - shared)


def assert_found(found: list[np.ndarray], expected: list[np.ndarray], least: float = 0.6) -> None:
    """Same lines in the same order, each covering what it should."""
    assert len(found) == len(expected)
    for i, (quad, true_quad) in enumerate(zip(found, expected, strict=True)):
        assert iou(quad, true_quad) > least, f"line {i}"


def test_lines_are_found_in_reading_order(page):
    found = find_lines(page.image)
    assert_found(found, page.quads)
    assert {(quad.shape, quad.dtype.name) for quad in found} == {((4, 2), "float32")}


def test_found_lines_hold_all_the_ink_of_their_text(page):
    for quad, (left, top, right, bottom) in zip(find_lines(page.image), page.boxes, strict=True):
        assert quad[0] == pytest.approx(quad.min(axis=0))
        assert (quad[0] <= (left, top)).all()
        assert (quad[2] >= (right, bottom)).all()


def test_light_text_on_dark_is_found_like_dark_on_light(page):
    assert_found(find_lines(255 - page.image), page.quads)


def test_colour_pages_are_read_too(page):
    tinted = np.dstack([page.image, page.image, np.full_like(page.image, 200)])
    assert_found(find_lines(tinted), page.quads)


@pytest.mark.parametrize("slope", [0, 5])
def test_light_text_on_a_dark_bar_is_found_without_the_bar(make_line, slope):
    page = Page(make_line)
    page.add("设备维护记录 GL-2024", 40, 30)
    page.image[120:190, 60:560] = INK
    page.add("SIMPLIFIED 白字 INVOICE", 90, 140, light=True)
    page.add("北京市朝阳区建国路88号", 40, 260)
    image, turn = sloping(page.image, slope)
    assert_found(find_lines(image), [cv2.transform(quad[None], turn)[0] for quad in page.quads])


def test_text_on_a_button_is_found_without_its_round_ends(make_line):
    page = Page(make_line)
    page.add("设备维护记录 GL-2024", 40, 30)
    button = page.image[120:170, 60:560]
    grey = 110
    cv2.rectangle(button, (25, 0), (475, 49), grey, -1)
    cv2.circle(button, (25, 25), 24, grey, -1)
    cv2.circle(button, (475, 25), 24, grey, -1)
    label = make_line("确定 OK", height=36, ink=PAPER, paper=grey)
    button[6:42, 60 : 60 + label.shape[1]] = label
    page.add("北京市朝阳区建国路88号", 40, 260)
    found = find_lines(page.image)
    assert len(found) == 3
    left, _, width, height = cv2.boundingRect(found[1])
    assert 110 < left < 130
    assert width < label.shape[1] + 10
    assert height < 40


@pytest.mark.parametrize("text", ["A3", "88", "B0D"])
def test_bold_letters_that_touch_are_no_panel(make_line, text):
    page = Page(make_line)
    page.add("设备维护记录 GL-2024", 40, 30)
    bold = cv2.erode(make_line(text, height=60), np.ones((7, 7), np.uint8))
    page.image[110:170, 60 : 60 + bold.shape[1]] = bold
    page.add("北京市朝阳区建国路88号", 40, 260)
    found = find_lines(page.image)
    assert len(found) == 3
    assert cv2.boundingRect(found[1])[2] > 60


MARKS = {
    "full stop": ([(6, 21, 4, 4)], 10),  # left, top, width and height from the text's end and top
    "comma": ([(6, 21, 3, 6)], 9),
    "colon": ([(10, 6, 4, 4), (10, 21, 4, 4)], 14),
    "dash": ([(12, 12, 10, 3)], 22),
    "dot of small print": ([(5, 23, 2, 2)], 7),
    "comma below the foot": ([(6, 24, 3, 7)], 9),
    "grain of dust": ([(8, 12, 1, 1)], 0),
    "speck far away": ([(40, 12, 4, 4)], 0),
    "speck far below": ([(6, 38, 4, 4)], 0),
    "speck above": ([(6, -14, 4, 4)], 0),
}


@pytest.mark.parametrize(("marks", "reach"), MARKS.values(), ids=MARKS)
def test_a_line_ends_behind_its_marks(make_line, marks, reach):
    page = Page(make_line)
    page.add("RETURNABLE", 40, 30, height=30)
    page.add("THANK YOU", 40, 100, height=30)
    right, bottom = page.boxes[0][2:]
    for left, top, width, height in marks:
        page.image[bottom - 25 + top :, right + left :][:height, :width] = INK
    (first, second) = find_lines(page.image)
    assert first[:, 0].max() == pytest.approx(right + reach + 2, abs=3)
    assert second[:, 0].max() == pytest.approx(page.boxes[1][2] + 2, abs=3)


@pytest.mark.parametrize("text", ["二", ":", "i"])
def test_a_character_of_low_strokes_is_a_line_as_high_as_it(make_line, text):
    page = Page(make_line)
    page.add("设备维护记录", 40, 30)
    page.add(text, 300, 30)
    page.add("北京市朝阳区", 40, 130)
    page.add("建国路88号", 40, 230)
    assert len(find_lines(page.image)) == 4


def test_rules_frames_and_specks_are_no_lines(page):
    cv2.line(page.image, (20, 90), (620, 92), INK, 2)
    cv2.rectangle(page.image, (10, 5), (630, 410), INK, 2)
    for x in range(200, 600, 60):
        page.image[385:387, x : x + 2] = INK
    assert_found(find_lines(page.image), page.quads)


def test_a_line_is_found_inside_its_frame(page):
    left, top, right, bottom = (int(x) for x in page.boxes[2])
    cv2.rectangle(page.image, (left - 30, top - 15), (right + 30, bottom + 15), INK, 2)
    assert_found(find_lines(page.image), page.quads)


def test_an_underlined_line_is_found_without_its_rule(page):
    left, _, right, bottom = (int(x) for x in page.boxes[1])
    cv2.line(page.image, (left - 120, bottom), (right + 120, bottom + 1), INK, 2)
    assert_found(find_lines(page.image), page.quads)


def test_a_pen_ring_around_a_line_becomes_part_of_it(page):
    left, top, right, bottom = (int(x) for x in page.boxes[3])
    centre = ((left + right) // 2, (top + bottom) // 2)
    cv2.ellipse(page.image, centre, (right - left, bottom - top), 0, 0, 360, INK, 2)
    found = find_lines(page.image)
    assert len(found) == len(TEXTS)
    assert cv2.boundingRect(found[3])[2] > 1.5 * (right - left)


def test_print_shining_through_the_paper_is_not_read(page):
    behind = np.full_like(page.image, PAPER)
    shine = page.image[:, ::-1] < 128
    behind[np.roll(shine, 35, axis=0)] = PAPER - 28
    image = np.minimum(page.image, behind)
    assert_found(find_lines(image), page.quads)


def test_lines_whose_letters_all_but_touch_stay_apart(make_line):
    page = Page(make_line)
    page.add("gypqj gypqj gypqj", 40, 100, height=48)
    descent = page.boxes[0][3]
    page.add("dbfhk dbfhk dbfhk", 40, 160, height=48)
    up = int(page.boxes[1][1] - descent) - 1
    below = page.image[150:220].copy()
    page.image[150:220] = PAPER
    page.image[150 - up : 220 - up] = np.minimum(page.image[150 - up : 220 - up], below)
    page.boxes[1] = tuple(np.array(page.boxes[1]) - (0, up, 0, up))
    assert_found(find_lines(page.image), page.quads)


def test_the_halves_of_a_row_stay_apart_and_words_together(make_line):
    page = Page(make_line)
    for y, (left, right) in enumerate((("Total sales", "42.00"), ("Cash paid", "50.00"))):
        page.add(left, 30, 60 + 60 * y)
        page.add(right, int(page.boxes[-1][2]) + 50, 57 + 60 * y)  # a little higher
    assert_found(find_lines(page.image), page.quads)


def sloping(image: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The page falling to the right by `angle` degrees, and the (2, 3) map of its points."""
    height, width = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 0.85)
    return cv2.warpAffine(image, turn, (width, height), borderValue=PAPER), turn


@pytest.mark.parametrize("angle", [-8, -3, 2, 6])
def test_sloping_lines_get_sloping_quads(angle, page):
    image, turn = sloping(page.image, angle)
    expected = [cv2.transform(quad[None], turn)[0] for quad in page.quads]
    found = find_lines(image)
    assert_found(found, expected)
    for quad in found:
        across, down = quad[1] - quad[0]
        assert np.degrees(np.arctan2(down, across)) == pytest.approx(angle, abs=1)


@pytest.mark.parametrize(("angle", "is_turned"), [(0.0, False), (1.5, False), (3.0, True)])
def test_pages_that_slope_are_turned_for_the_search(angle, is_turned, page, monkeypatch):
    angles = []
    monkeypatch.setattr(lines, "turn", lambda gray, by: angles.append(by) or turn(gray, by))
    found = find_lines(sloping(page.image, angle)[0])
    assert len(found) == len(page.boxes)
    assert angles == pytest.approx([angle] * is_turned, abs=1)


def test_a_large_page_is_measured_in_its_own_pixels(page):
    large = cv2.resize(page.image, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    assert large.size > 5_000_000
    assert_found(find_lines(large), [quad * 5 for quad in page.quads])


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_page_has_no_lines(value):
    assert find_lines(np.full((400, 300), value, np.uint8)) == []


@pytest.mark.parametrize(
    ("height", "ink", "paper"),
    [
        (15, 0, 255),  # a small screenshot
        (32, 255, 0),
        (64, 100, 160),  # faded
        (200, 0, 255),  # a large photo of one line
    ],
)
def test_a_picture_of_one_line_passes_straight_through(make_line, height, ink, paper):
    line = make_line("GL-2024-03-001-A 北京市", height=height, ink=ink, paper=paper)
    assert is_line(line)
    (quad,) = find_lines(line)
    width = line.shape[1]
    assert quad.tolist() == [[0, 0], [width, 0], [width, height], [0, height]]
    np.testing.assert_array_equal(crop_line(line, quad), line)


@pytest.mark.parametrize(("height", "expected"), [(32, True), (96, True), (97, False)])
def test_a_low_picture_in_which_nothing_is_found_is_a_line(height, expected):
    assert is_line(np.full((height, 200), PAPER, np.uint8)) is expected


@pytest.mark.parametrize(("height", "is_searched"), [(32, False), (33, True)])
def test_what_is_too_low_for_two_rows_is_not_searched(make_line, monkeypatch, height, is_searched):
    searched: list[np.ndarray] = []
    monkeypatch.setattr(lines, "_search", lambda gray: searched.append(gray) or [])
    line = make_line("GL-2024-03-001-A", height=height)
    (quad,) = find_lines(line)
    assert quad.tolist() == [[0, 0], [line.shape[1], 0], [line.shape[1], height], [0, height]]
    assert is_line(line)
    assert len(searched) == 2 * is_searched


def test_pages_are_no_lines(page, make_line):
    assert not is_line(page.image)
    assert not is_line(np.full((400, 300), 255, np.uint8))
    line = make_line("GL-2024-03", height=60)
    tight = line[np.flatnonzero(line.min(axis=1) < 128)]
    assert not is_line(np.vstack([tight, np.full_like(tight[:8], 255), tight]))
    one_on_a_page = Page(make_line)
    one_on_a_page.add("北京市朝阳区", 100, 100)
    assert not is_line(one_on_a_page.image)
    assert_found(find_lines(one_on_a_page.image), one_on_a_page.quads)


@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(1, 120))
@settings(max_examples=40)
def test_any_picture_gives_finite_quads_of_some_area(seed, height, width):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    for quad in find_lines(noise):
        assert np.isfinite(quad).all()
        assert cv2.contourArea(quad) > 0
        assert crop_line(noise, quad).size > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_crop_line_of_a_level_quad_is_a_slice(channels):
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    image = image if channels == 3 else image[..., 0].copy()
    quad = np.array([[10, 20], [70, 20], [70, 45], [10, 45]])
    np.testing.assert_array_equal(crop_line(image, quad), image[20:45, 10:70])


def test_crop_line_turns_an_upside_down_quad():
    image = np.random.default_rng(0).integers(0, 256, (50, 80), dtype=np.uint8)
    quad = np.array([[70, 45], [10, 45], [10, 20], [70, 20]])
    np.testing.assert_array_equal(crop_line(image, quad), np.rot90(image[20:45, 10:70], 2))


def test_crop_line_sets_a_sloping_line_upright(page):
    image, turn = sloping(page.image, 7)
    for quad, (left, top, right, bottom) in zip(page.quads, page.boxes, strict=True):
        straight = page.image[int(top) : int(bottom), int(left) : int(right)]
        crop = crop_line(image, cv2.transform(quad[None], turn)[0])
        crop = cv2.resize(crop, straight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        assert np.corrcoef(crop.ravel(), straight.ravel())[0, 1] > 0.85


def test_text_at_both_ends_of_a_very_wide_page_is_found(make_line):
    page = Page(make_line, (400, 20_000))
    for x, y in ((60, 40), (9_800, 180), (19_300, 320)):
        page.add("GL-2024-03-001", x, y, height=48)
    found = find_lines(page.image)
    assert len(found) == 3
    for quad, expected in zip(found, page.quads, strict=True):
        assert np.abs(quad - expected).max() < 24


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9))
def test_the_height_of_a_line_is_the_upper_quartile_of_its_characters(heights):
    assert lines._upper_quartile(np.array(heights)) == pytest.approx(np.percentile(heights, 75))


def test_crop_line_keeps_what_hangs_over_the_border():
    image = np.full((20, 30), 77, np.uint8)
    crop = crop_line(image, np.array([[-5, -5], [40, -5], [40, 30], [-5, 30]]))
    assert crop.shape == (35, 45)
    assert (crop == 77).all()
