"""Corners of lines and characters on a page: pure geometry.

A quad is (4, 2), x and y in px, clockwise from the top left corner of the text, whichever way the
text lies on its page.
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Quad = NDArray[np.float32]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Area that two convex quads share ÷ the area that either covers, 0 to 1."""
    shared, either = _shared_area(a, b)
    return shared / either if either > 0 else 0.0


def coverage(a: np.ndarray, b: np.ndarray) -> float:
    """Share of quad `a` that lies inside quad `b`, 0 to 1."""
    area = cv2.contourArea(np.asarray(a, np.float32))
    return _shared_area(a, b)[0] / area if area > 0 else 0.0


def _shared_area(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Area inside both and inside either."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    apart = (a.max(0) <= b.min(0)).any() or (b.max(0) <= a.min(0)).any()
    shared = 0.0 if apart else float(cv2.intersectConvexConvex(a, b)[0])
    return shared, cv2.contourArea(a) + cv2.contourArea(b) - shared


def crop_line(page: np.ndarray, quad: np.ndarray, sheet: np.ndarray | None = None) -> np.ndarray:
    """Cut a line, or a sheet, out of its page and set it upright by a perspective warp.

    Args:
        page: uint8 (H, W) or (H, W, 3) RGB.
        quad: (4, 2) corners in px, clockwise from the top left corner of the text.
        sheet: (4, 2) corners of a sheet on the page; `quad` is then in px of the picture that is
            cut out by them. The line is taken from the page itself all the same: each time that
            pixels are interpolated costs sharpness.

    Returns:
        uint8 picture, as wide and high as the longer of the quad's opposite sides.
    """
    height, width = page.shape[:2]
    whole = [[0, 0], [width, 0], [width, height], [0, height]]
    if sheet is None and np.array_equal(quad, whole):
        return page  # what the warp would give, too, for a line that was cut out by its owner
    corners, target = _crop_corners(quad)
    # Corners are pixel borders, OpenCV's coordinates pixel centres: half a pixel apart.
    warp = cv2.getPerspectiveTransform(corners - 0.5, target - 0.5)
    if sheet is not None:
        seen, flat = _crop_corners(sheet)
        warp = warp @ cv2.getPerspectiveTransform(seen - 0.5, flat - 0.5)
    size = (round(float(target[2, 0])), round(float(target[2, 1])))
    return cv2.warpPerspective(
        page, warp, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def on_page(quads: Sequence[np.ndarray], crop: np.ndarray) -> list[Quad]:
    """Where quads of a picture lie on the page that `crop_line` cut it out of by the quad `crop`.

    Args:
        quads: (4, 2) each, px of the picture.

    Returns:
        The same in px of the page.
    """
    corners, target = _crop_corners(crop)
    warp = cv2.getPerspectiveTransform(target, corners)
    points = (np.asarray(quad, np.float64)[None] for quad in quads)
    return [cv2.perspectiveTransform(each, warp)[0].astype(np.float32) for each in points]


def _crop_corners(quad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (4, 2) of a quad and of the upright picture that is cut out by it, px."""
    corners = np.asarray(quad, dtype=np.float32)
    along = corners - corners[[1, 2, 3, 0]]
    sides = np.sqrt((along * along).sum(axis=1)).tolist()
    width, height = (max(1, round(max(sides[i], sides[i + 2]))) for i in (0, 1))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    return corners, target


def char_quads(line: np.ndarray, edges: Sequence[tuple[float, float]]) -> list[Quad]:
    """Place characters on the page whose line they belong to.

    Args:
        line: the line's quad.
        edges: per character its left and right edge, 0 to 1 from the line's left to its right end.

    Returns:
        Per character the slice of the line's quad between its edges.
    """
    top_left, top_right, bottom_right, bottom_left = np.asarray(line, np.float64)

    def cut(at: float) -> tuple[np.ndarray, np.ndarray]:
        return (1 - at) * top_left + at * top_right, (1 - at) * bottom_left + at * bottom_right

    quads = []
    for left, right in edges:
        (upper_left, lower_left), (upper_right, lower_right) = cut(left), cut(right)
        quads.append(np.array([upper_left, upper_right, lower_right, lower_left], np.float32))
    return quads


def char_edges(
    spans: Sequence[tuple[int, int]], num_steps: float
) -> tuple[tuple[float, float], ...]:
    """Where the characters of a line end, from where CTC put them.

    CTC marks a character by a peak of a step or two somewhere inside it; two neighbours meet
    halfway between their peaks. The first and the last reach as far outwards as inwards.

    Args:
        spans: per character its time steps, half-open [start, end), in the order of the text.
        num_steps: time steps that the line's picture covers, without padding.

    Returns:
        Per character its left and right edge, 0 to 1 from the picture's left to its right end.
    """
    if not spans:
        return ()
    between = [(end + start) / 2 for (_, end), (start, _) in pairwise(spans)]
    first, last = sum(spans[0]), sum(spans[-1])
    outer = (first - between[0], last - between[-1]) if between else (0.0, num_steps)
    edges = [min(max(at / num_steps, 0.0), 1.0) for at in (outer[0], *between, outer[1])]
    return tuple(pairwise(edges))
