"""Corners of lines and characters on a page: pure geometry.

A quad is (4, 2), x and y in px, clockwise from the top left corner of the text, whichever way the
text lies on its page.
"""

from collections.abc import Sequence

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
