"""From a page to its text lines: found without a model, in reading order, cut out upright.

The finder brings the page to dark text on light paper, keeps what is darker than its surroundings
(morphological black-hat), takes connected strokes for characters, and lets every character paint
a bar as high as itself and a little wider: characters whose bars touch are a line. The bars do
what closing with one fixed length does in classical page segmentation (Wong, Casey & Wahl 1982),
with a reach that follows the size of the text.

Lines may slope by up to 45 degrees or lie on their side: steep pages are searched on a turned copy.
Slopes may differ over the page, as on a photographed sheet. Chinese columns are found, too.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from crnnkit.preprocessing.columns import find_columns
from crnnkit.preprocessing.enhance import (
    estimate_skew,
    to_gray,
    turn,
)
from crnnkit.preprocessing.panels import MIN_TEXT_HEIGHT, dark_on_light
from crnnkit.preprocessing.quads import crop_line as crop_line
from crnnkit.preprocessing.reading_order import reading_order

# Chosen on eight scanned receipts, where a fifth more or less of each moves recall by 1 to 2 %.
_WORKING_PIXELS = 2_000_000
"""Larger pages are searched at this size: an A4 page has 170 dpi then."""
_MIN_CONTRAST = 20
"""Grey levels by which a stroke must be darker than the paper around it."""
_PAGE_CONTRAST = 0.25
"""A stroke has at least this share of the contrast of the page's strongest strokes, …"""
_LOCAL_CONTRAST = 0.35
"""… and this share of the strongest stroke within 12 px, so that blur joins no letters."""
_REACH = 0.65
"""How far a character's bar reaches to either side, in text heights."""
_MIN_CHARACTER = 0.15
"""Least width or height of a character or a part of one, in text heights, …"""
_MIN_MARK = 0.08
"""… and of a dot or a comma beside text."""
_MARK_REACH = 0.9
"""How far from a character a mark may stand, in heights of that character, …"""
_MARK_BELOW = 0.25
"""… and how far below its foot a comma's middle."""
_PADDING = np.array([0.12, 0.18])
"""Margin beside and above a found line, in text heights."""
_MAX_UNSPLIT_HEIGHT = 32
"""Pictures up to this height in px hold no two readable rows: they are one line."""
_MIN_ROW_SHARE = 0.4
"""Where the only row fills less of the picture's height, the picture is a page with one line."""
_MAX_SEARCHED_SLOPE = 2
"""Degrees up to which sloping lines are found as they are."""


@dataclass(frozen=True)
class _Line:
    """Characters that stand in one row."""

    corners: np.ndarray
    """(4 N, 2) corners of the characters' boxes, px."""
    centres: np.ndarray
    """(N, 2) centres of the characters that are about as high as the line."""
    height: float
    """Height of its higher characters, px."""
    is_column: bool = False
    """Whether the text runs from top to bottom."""


@dataclass(frozen=True)
class _Slopes:
    """How the lines of a page slope: a tangent that changes evenly over the page."""

    origin: np.ndarray
    """(2,) px."""
    coefficients: np.ndarray
    """(3,) at the origin, and its change per px to the right and down."""

    def at(self, points: np.ndarray) -> np.ndarray:
        """Tangents (N,) at points (N, 2); positive where lines fall to the right."""
        tangents = self.coefficients[0] + (points - self.origin) @ self.coefficients[1:]
        return np.asarray(tangents)

    def levelled(self, points: np.ndarray) -> np.ndarray:
        """Where points (N, 2) stand on a level page: lines are followed to the origin's x."""
        dx, dy = (points - self.origin).T
        tangent, along, down = self.coefficients
        rise = dx * (tangent + along * dx / 2 + down * dy)
        return points + np.stack([tangent * dy, -rise], axis=1)


def find_lines(page: np.ndarray) -> list[np.ndarray]:
    """Find the text lines of a page, dark on light or light on dark.

    A picture of a single line passes straight through: its one quad is the whole picture,
    see `is_line`. A page without text has no lines.

    Args:
        page: uint8 (H, W) or (H, W, 3) RGB.

    Returns:
        Quads in reading order: top to bottom, left to right, columns of running text one after
        the other. Each is float32 (4, 2), x and y in px, clockwise from the top left corner.
    """
    height, width = page.shape[:2]
    whole = [_quad(np.array([0, 0, width, height]), 0.0)]
    if height <= _MAX_UNSPLIT_HEIGHT:  # so a line cut out by its owner costs no search
        return whole
    gray = to_gray(page)
    lines = _search(gray)
    if _is_one_line(lines, height):
        return whole
    strokes = sum(len(line.corners) for line in lines)
    in_columns = sum(len(line.corners) for line in lines if line.is_column)
    angle = estimate_skew(gray) if in_columns <= 0.5 * strokes else 0.0
    if abs(angle) <= _MAX_SEARCHED_SLOPE:
        return _ordered_quads(lines)
    turned, points_map = turn(gray, angle)
    back = cv2.invertAffineTransform(points_map)
    quads = _ordered_quads(_search(turned))
    # Corners are pixel borders, maps are of pixel centres.
    return [(cv2.transform(quad[None] - 0.5, back)[0] + 0.5).astype(np.float32) for quad in quads]


def is_line(image: np.ndarray) -> bool:
    """Whether a picture, uint8 (H, W) or (H, W, 3), shows one text line and little else.

    True up to 32 px height, where two rows could not be read; where all text found stands in
    one row that fills at least two fifths of the height; and up to 96 px where none is found:
    a line too faint for the finder is still shown to the recogniser.
    """
    height = image.shape[0]
    return height <= _MAX_UNSPLIT_HEIGHT or _is_one_line(_search(to_gray(image)), height)


def _search(gray: np.ndarray) -> list[_Line]:
    """Lines of a grey picture in no particular order, in its own px."""
    scale = min(1.0, (_WORKING_PIXELS / gray.size) ** 0.5)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    strokes = _strokes(dark_on_light(gray))
    text_height = _text_height(_component_boxes(strokes))
    if text_height is None:
        return []
    boxes, specks = _character_boxes(_without_rules(strokes, text_height), text_height)
    columns = find_columns(boxes, text_height, gray.shape)
    rows = boxes[columns == 0]
    groups = _groups(rows, text_height, gray.shape)
    rows, groups = _with_marks(rows, groups, specks, text_height, gray.shape)
    members = [rows[groups == group] for group in np.unique(groups)]
    lines = [_line(boxes, scale) for boxes in _joined_parts(members)]
    lines = [line for line in lines if line.height * scale >= 0.5 * text_height]
    stacks = [
        _line(boxes[columns == column], scale) for column in range(1, columns.max(initial=0) + 1)
    ]
    return lines + [replace(stack, is_column=True) for stack in stacks]


def _strokes(gray: np.ndarray) -> np.ndarray:
    """Mask of what is thin and darker than its surroundings."""
    size = max(15, min(gray.shape) // 14) | 1
    contrast = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, np.ones((size, size), np.uint8))
    visible = contrast[contrast >= _MIN_CONTRAST]
    if visible.size == 0:
        return np.zeros_like(gray)
    floor = max(_MIN_CONTRAST, _PAGE_CONTRAST * float(np.percentile(visible, 95)))
    strongest_near = cv2.dilate(contrast, np.ones((25, 25), np.uint8))
    return (contrast > np.maximum(floor, _LOCAL_CONTRAST * strongest_near)).astype(np.uint8)


def _component_boxes(mask: np.ndarray) -> np.ndarray:
    """(N, 4) left, top, right, bottom of connected components, half-open."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, width, height, _ = stats[1:].T
    return np.stack([left, top, left + width, top + height], axis=1)


def _text_height(boxes: np.ndarray) -> float | None:
    """Typical height in px of what looks like characters; None if nothing does."""
    width, height = _sizes(boxes)
    likely = (height >= MIN_TEXT_HEIGHT) & (width < 4 * height) & (height < 8 * width)
    return float(np.median(height[likely])) if likely.any() else None


def _character_boxes(strokes: np.ndarray, text_height: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) boxes of strokes of the size of characters or their parts; (M, 4) of smaller ones."""
    boxes = _component_boxes(strokes)
    width, height = _sizes(boxes)
    is_frame_side = (height > 1.5 * text_height) & (width < 0.12 * height)
    size = np.maximum(width, height)
    is_character = size >= max(3, _MIN_CHARACTER * text_height)
    specks = boxes[~is_character & (size >= _MIN_MARK * text_height)]
    return boxes[is_character & (height <= 4 * text_height) & ~is_frame_side], specks


def _sizes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


def _without_rules(strokes: np.ndarray, text_height: float) -> np.ndarray:
    """Remove thin straight strokes, horizontal or vertical, much longer than text is high."""
    length, thick = round(5 * text_height), max(5, round(0.4 * text_height))
    mask = strokes.copy()
    for along, across in (((1, length), (thick, 1)), ((length, 1), (1, thick))):
        # Scanned rules are rough and slope a little: widened, they still hold a straight run.
        wide = cv2.dilate(strokes, np.ones((3, 3), np.uint8))
        straight = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones(along, np.uint8))
        blocks = cv2.morphologyEx(straight, cv2.MORPH_OPEN, np.ones(across, np.uint8))
        mask[straight > blocks] = 0
    return mask


def _groups(boxes: np.ndarray, text_height: float, size_hw: tuple[int, ...]) -> np.ndarray:
    """(N,) group of every character: those whose painted bars touch share one."""
    _, height = _sizes(boxes)
    reach = _REACH * np.maximum(height, text_height)
    # The upper and lower fifth stay free, lest a descender joins two lines.
    bars = np.stack([-reach, 0.2 * height, reach, -0.2 * height], axis=1) + boxes
    painted = np.zeros(size_hw, np.uint8)
    for left, top, right, bottom in np.maximum(bars.round().astype(int), 0).tolist():
        painted[top : max(bottom, top + 1), left:right] = 1
    _, groups = cv2.connectedComponents(painted, connectivity=4)
    x, y = (boxes[:, :2] + boxes[:, 2:]).T // 2
    return groups[y, x]


def _with_marks(
    boxes: np.ndarray,
    groups: np.ndarray,
    specks: np.ndarray,
    text_height: float,
    size_hw: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """The characters and their groups, with the stops, commas and dashes of the text beside them.

    Bars of marks are too low to touch those of their neighbours. Specks that stand alone are left
    out.
    """
    left, top, right, bottom = boxes.T
    height = bottom - top
    is_high = height >= 0.5 * text_height
    reach = _MARK_REACH * height
    places = np.stack([left - reach, top, right + reach, bottom + _MARK_BELOW * height], axis=1)
    places = np.maximum(places.round().astype(int), 0)
    beside = np.zeros(size_hw, np.int32)
    for (x, y, end_x, end_y), group in zip(
        places[is_high].tolist(), groups[is_high].tolist(), strict=True
    ):
        beside[y:end_y, x:end_x] = group
    is_mark = ~np.isin(groups, groups[is_high])
    marks = np.concatenate([boxes[is_mark], specks])
    x, y = (marks[:, :2] + marks[:, 2:]).T // 2
    owners = beside[y, x]
    alone = np.concatenate([groups[is_mark], np.zeros(len(specks), groups.dtype)])
    owners = np.where(owners > 0, owners, alone)
    boxes = np.concatenate([boxes[~is_mark], marks[owners > 0]])
    return boxes, np.concatenate([groups[~is_mark], owners[owners > 0]])


def _joined_parts(groups: list[np.ndarray]) -> list[np.ndarray]:
    """Join groups that stand above each other as parts of one character, such as 个, do."""
    bounds = np.array([[*boxes[:, :2].min(0), *boxes[:, 2:].max(0)] for boxes in groups])
    if len(bounds) == 0:
        return []
    largest = 1.3 * np.median(bounds[:, 3] - bounds[:, 1])
    owner = np.arange(len(groups))
    # what is as long as a line is no part of a character
    small = np.flatnonzero((bounds[:, 2:] - bounds[:, :2] <= largest).all(1))
    places = bounds[small]
    for i in small[np.argsort(places[:, 1])]:
        least, most = np.minimum(places, bounds[i]), np.maximum(places, bounds[i])
        narrower = np.minimum(places[:, 2] - places[:, 0], bounds[i, 2] - bounds[i, 0])
        is_part = (most[:, 2:] - least[:, :2] <= largest).all(1)
        is_part &= least[:, 2] - most[:, 0] >= 0.8 * narrower
        owner[np.isin(owner, owner[small[is_part]])] = owner[i]
    return [
        np.concatenate([groups[i] for i in np.flatnonzero(owner == o)]) for o in np.unique(owner)
    ]


def _line(boxes: np.ndarray, scale: float) -> _Line:
    """Make a line of one group's characters, working px to picture px."""
    _, height = _sizes(boxes)
    whole = boxes[:, 2:].max(0) - boxes[:, :2].min(0)
    # one character may have only low strokes, as : and 二
    is_one = 0.1 * whole[1] <= whole[0] <= 1.6 * whole[1]
    line_height = float(whole[1] if is_one else _upper_quartile(height))
    is_tall = height >= 0.5 * line_height
    corners = np.concatenate([boxes[:, corner] for corner in ([0, 1], [2, 1], [2, 3], [0, 3])])
    centres = (boxes[is_tall, :2] + boxes[is_tall, 2:]) / 2
    return _Line(corners / scale, centres / scale, line_height / scale)


def _upper_quartile(values: np.ndarray) -> float:
    """What `np.percentile` gives at 75, at a tenth of its cost for the few values of a line."""
    return float(np.interp(0.75 * (len(values) - 1), np.arange(len(values)), np.sort(values)))


def _ordered_quads(lines: list[_Line]) -> list[np.ndarray]:
    """Quads of the lines in the order in which they are read."""
    if not lines:
        return []
    slopes = _slopes(lines)
    centres = np.array([(line.corners.max(0) + line.corners.min(0)) / 2 for line in lines])
    angles = np.degrees(np.arctan(slopes.at(centres)))
    angles[np.abs(angles) < 0.4] = 0.0
    boxes = [_level_box(line, angle) for line, angle in zip(lines, angles, strict=True)]
    halves = np.array([(box[2:] - box[:2]) / 2 for box in boxes])
    levelled = slopes.levelled(centres)
    order = reading_order(
        np.concatenate([levelled - halves, levelled + halves], axis=1),
        np.array([line.is_column for line in lines]),
    )
    quads = [_quad(box, angle) for box, angle in zip(boxes, angles, strict=True)]
    return [np.roll(quads[i], -1, axis=0) if lines[i].is_column else quads[i] for i in order]


def _slopes(lines: list[_Line]) -> _Slopes:
    """The slope of the long lines: one for all, or, of many lines, one that changes evenly."""
    tangents, places = [], []
    for line in lines:
        x, y = line.centres.T
        if len(x) >= 6 and np.ptp(x) > 6 * line.height:
            tangents.append(np.polyfit(x, y, 1)[0])
            places.append((x.mean(), y.mean()))
    if not tangents:
        return _Slopes(np.zeros(2), np.zeros(3))
    origin, tangent = np.mean(places, axis=0), float(np.median(tangents))
    usual = np.abs(np.array(tangents) - tangent) < 0.06
    if usual.sum() < 8:
        return _Slopes(origin, np.array([tangent, 0, 0]))
    around = np.array(places)[usual] - origin
    design = np.column_stack([np.ones(len(around)), around])
    seen = np.array(tangents)[usual]
    fitted = np.linalg.lstsq(design, seen, rcond=None)[0]
    # Level lines differ by chance; a change that does not explain most of it is none.
    if np.var(seen - design @ fitted) > 0.3 * np.var(seen):
        return _Slopes(origin, np.array([tangent, 0, 0]))
    return _Slopes(origin, fitted)


def _rotation(angle: float) -> np.ndarray:
    """(2, 2) matrix that turns level row vectors (x, y) to a slope of `angle` degrees."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cos, sin], [-sin, cos]])


def _level_box(line: _Line, angle: float) -> np.ndarray:
    """(4,) left, top, right, bottom of a line on the page turned level, with padding."""
    corners = line.corners @ _rotation(-angle)
    padding = _PADDING * line.height
    return np.concatenate([corners.min(axis=0) - padding, corners.max(axis=0) + padding])


def _quad(box: np.ndarray, angle: float) -> np.ndarray:
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return (corners @ _rotation(angle)).astype(np.float32)


def _is_one_line(lines: list[_Line], picture_height: int) -> bool:
    """Whether what was found in a picture of more than `_MAX_UNSPLIT_HEIGHT` px is one line."""
    if not lines:
        return picture_height <= 3 * _MAX_UNSPLIT_HEIGHT
    if any(line.is_column for line in lines):
        return False
    top, bottom = np.array([np.sort(line.corners[:, 1])[[0, -1]] for line in lines]).T
    height = bottom - top
    is_text = height >= 0.5 * height.max()
    shared = bottom[is_text].min() - top[is_text].max()
    return bool(shared > 0 and height.max() >= _MIN_ROW_SHARE * picture_height)
