"""Text that runs from top to bottom, as on signboards and scrolls: found, and set in a row.

A column is a stack of characters about as wide as they are high. Its quad begins where its text
does, at the top right corner, so that cut out it shows a line of characters that lie on their left
side; `as_row` sets them upright.
"""

from collections.abc import Callable
from statistics import median

import cv2
import numpy as np

_GAP = 0.3
"""How far a character reaches up and down, or to the sides, in text heights, to meet the next."""
_MIN_CHARACTERS = 3.5
"""A column is at least so many times as high as it is wide."""
_MIN_RUN = 0.85
"""Runs of ink in a column are at least so long on average, in its widths, gaps included."""
_MIN_WIDTH = 0.85
"""A column is at least so wide, in text heights: single digits are narrower than they are high."""
_PITCH = (0.7, 1.4)
"""Distance of characters in a column, in its widths; digits below each other stand wider apart."""


def find_columns(boxes: np.ndarray, text_height: float, size_hw: tuple[int, ...]) -> np.ndarray:
    """Tell which column characters belong to.

    Args:
        boxes: (N, 4) left, top, right, bottom of strokes that have the size of characters, px.
        text_height: their typical height, px.
        size_hw: of the page.

    Returns:
        (N,) number of the column from 1, in no particular order; 0 for all others.
    """
    reach = max(1, round(_GAP * text_height))
    stacks = _touching(boxes, (0, reach), size_hw)
    bounds = _bounds_of_groups(boxes, stacks)
    columns = np.zeros(len(boxes), int)
    tall = [
        stack
        for stack, (left, top, right, bottom) in bounds.items()
        if right - left >= _MIN_WIDTH * text_height
        and bottom - top >= _MIN_CHARACTERS * (right - left)
    ]
    if not tall:
        return columns
    rows = _touching(boxes, (reach, 0), size_hw)
    row_widths = {row: box[2] - box[0] for row, box in _bounds_of_groups(boxes, rows).items()}

    def is_narrow(stack: int) -> bool:
        left, _, right, _ = bounds[stack]
        width = median(row_widths[row] for row in rows[stacks == stack].tolist())
        return bool(width <= 1.6 * max(text_height, right - left))

    for stack in tall:
        members = stacks == stack
        is_new = not columns[members].any() and is_narrow(stack)
        if is_new and _is_column(boxes[members], bounds[stack][2] - bounds[stack][0]):
            members = np.isin(stacks, _extended(bounds[stack], is_narrow, bounds))
            columns[members] = columns.max() + 1
    return columns


def _bounds_of_groups(boxes: np.ndarray, groups: np.ndarray) -> dict[int, np.ndarray]:
    """Left, top, right, bottom of each group's boxes together."""
    ids, index = np.unique(groups, return_inverse=True)
    starts = np.full((len(ids), 2), np.iinfo(int).max)
    ends = np.zeros_like(starts)
    np.minimum.at(starts, index, boxes[:, :2])
    np.maximum.at(ends, index, boxes[:, 2:])
    return dict(zip(ids.tolist(), np.hstack([starts, ends]), strict=True))


def _extended(
    column: np.ndarray, is_narrow: Callable[[int], bool], bounds: dict[int, np.ndarray]
) -> list[int]:
    """The stacks above and below a column that go on with it, across a gap of one character."""
    width = column[2] - column[0]
    members: list[int] = []
    while True:
        more = [
            stack
            for stack, (left, top, right, bottom) in bounds.items()
            if stack not in members
            and left >= column[0] - 0.2 * width
            and right <= column[2] + 0.2 * width
            and max(top - column[3], column[1] - bottom) <= width
            and is_narrow(stack)
        ]
        if not more:
            return members
        members += more
        around = np.array([column, *(bounds[stack] for stack in more)])
        column = np.concatenate([around[:, :2].min(0), around[:, 2:].max(0)])


def as_row(column: np.ndarray) -> np.ndarray | None:
    """Set the characters of a column side by side.

    Args:
        column: uint8 (H, W) or (H, W, 3), cut out by its quad: its top is at the left.

    Returns:
        A line picture; None where the picture cannot be cut into about square characters.
    """
    upright = cv2.rotate(column, cv2.ROTATE_90_CLOCKWISE)
    gray = upright if upright.ndim == 2 else cv2.cvtColor(upright, cv2.COLOR_RGB2GRAY)
    ground = np.median(gray)
    contrast = np.abs(gray - ground).max(axis=1)
    width = gray.shape[1]
    cells = _cells(contrast > 0.3 * contrast.max(), width)
    if not cells or not _PITCH[0] <= gray.shape[0] / len(cells) / width <= _PITCH[1]:
        return None
    height = max(bottom - top for top, bottom in cells)
    row = [_centred(upright[top:bottom], height, int(ground)) for top, bottom in cells]
    return np.concatenate(row, axis=1)


def _touching(boxes: np.ndarray, reach_xy: tuple[int, int], size_hw: tuple[int, ...]) -> np.ndarray:
    """(N,) group of every box: those that touch once they reach so far to either side."""
    painted = np.zeros(size_hw[:2], np.uint8)
    reach = np.array([*reach_xy, *reach_xy])
    for left, top, right, bottom in np.maximum(boxes + reach * (-1, -1, 1, 1), 0).tolist():
        painted[top:bottom, left:right] = 1
    _, groups = cv2.connectedComponents(painted, connectivity=4)
    centres = (boxes[:, :2] + boxes[:, 2:]) // 2
    return groups[centres[:, 1], centres[:, 0]]


def _is_column(boxes: np.ndarray, width: float) -> bool:
    top, bottom = int(boxes[:, 1].min()), int(boxes[:, 3].max())
    inked = np.zeros(bottom - top, bool)
    for box in boxes:
        inked[box[1] - top : box[3] - top] = True
    num_runs = np.count_nonzero(np.diff(inked.astype(np.int8), prepend=0) == 1)
    squares = (bottom - top) / width
    # Letters that lie on their side are much closer; parts of hanzi seldom come apart.
    return bool(squares >= _MIN_RUN * num_runs and squares <= _PITCH[1] * len(_cells(inked, width)))


def _cells(inked: np.ndarray, width: float) -> list[tuple[int, int]]:
    """Top and bottom of the characters of a column, given which of its rows hold ink.

    Parts are joined while they fit into a square, runs much higher are several characters.
    """
    edges = np.flatnonzero(np.diff(inked.astype(np.int8), prepend=0, append=0))
    cells: list[tuple[int, int]] = []
    for top, bottom in edges.reshape(-1, 2).tolist():
        if cells and bottom - cells[-1][0] <= 1.05 * width:
            cells[-1] = (cells[-1][0], bottom)
        else:
            count = max(1, round((bottom - top) / (1.2 * width)))
            cuts = np.linspace(top, bottom, count + 1).round().astype(int).tolist()
            cells += zip(cuts[:-1], cuts[1:], strict=True)
    return cells


def _centred(character: np.ndarray, height: int, ground: int) -> np.ndarray:
    """The character on a ground of this height."""
    above = (height - len(character)) // 2
    below = height - len(character) - above
    border = cv2.BORDER_CONSTANT
    return cv2.copyMakeBorder(character, above, below, 0, 0, border, value=(ground,) * 3)
