"""A light sheet of paper on a darker table, photographed at an angle."""

import cv2
import numpy as np

_WORKING_PIXELS = 1_000_000
"""Larger pictures are searched at this size."""
_MIN_SHEET_PX = 200
"""Each side of a sheet is at least so long; light patches with smaller ones are panels, letters and
triangles with a blunt tip."""
_EDGE = 4
"""Width in px of a sheet's soft edge in a picture."""
_MIN_STEP = 50
"""Grey levels by which a sheet is lighter than the table beside it."""
_MIN_SHARE = 0.3
"""Share of its picture that a sheet fills at least."""
_MIN_FILLED = 0.9
"""Share of the quad around it that a sheet fills: a corner may be torn off, discs fill 0.79."""
_MIN_TILT = 2.0
"""Degrees by which a corner is off the right angle; panels of a screen have right angles, and what
stands around them is to be read, too."""


def find_sheet(gray: np.ndarray) -> np.ndarray | None:
    """Find a light sheet on a darker table that is not seen from straight above.

    Args:
        gray: uint8 (H, W).

    Returns:
        Corners (4, 2), px, clockwise from the one nearest to the top left; where a corner is torn
        off, the place where it would be. None if there is no such sheet.
    """
    if min(gray.shape) < _MIN_SHEET_PX:  # so lines cut out by their owner cost no search
        return None
    scale = min(1.0, (_WORKING_PIXELS / gray.size) ** 0.5)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    gray = cv2.GaussianBlur(gray, (0, 0), 2)
    _, light = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    light = cv2.morphologyEx(light, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    outlines, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return None
    hull = cv2.convexHull(max(outlines, key=cv2.contourArea))
    corners = _quad_around(cv2.approxPolyDP(hull, _EDGE / 2, closed=True)[:, 0])
    if corners is None or not _is_sheet(corners, hull, gray.shape):
        return None
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    if sides.min() < _MIN_SHEET_PX * scale or _step_at(corners, gray) < _MIN_STEP:
        return None
    return np.roll(corners, -int(corners.sum(1).argmin()), axis=0) / np.float32(scale)


def _quad_around(outline: np.ndarray) -> np.ndarray | None:
    """(4, 2) corners of a quad around a convex outline (N, 2), None if that is a triangle.

    Side by side is left out, the one whose neighbours meet behind it with the least area added.
    Neighbours that meet on the other side enclose the whole outline: never the least.
    """
    points = outline.astype(np.float32)
    while len(points) > 4:
        meetings = [_meeting(*np.roll(points, 1 - i, axis=0)[:4]) for i in range(len(points))]
        ends = np.roll(points, -1, axis=0)
        added = [
            np.inf if at is None else cv2.contourArea(np.array([start, at, end]))
            for start, at, end in zip(points, meetings, ends, strict=True)
        ]
        best = int(np.argmin(added))
        points[best] = meetings[best]
        points = np.delete(points, (best + 1) % len(points), axis=0)
    return points if len(points) == 4 else None


def _meeting(
    before: np.ndarray, start: np.ndarray, end: np.ndarray, after: np.ndarray
) -> np.ndarray | None:
    """Where the side to `start` and the side from `end`, made longer, meet; None if parallel."""
    directions = np.stack([start - before, end - after], axis=1).astype(float)
    determinant = float(np.linalg.det(directions))
    if abs(determinant) < 1e-6:
        return None
    along, _ = np.linalg.solve(directions, end - start)
    return start + np.float32(along) * (start - before)


def _is_sheet(corners: np.ndarray, hull: np.ndarray, size_hw: tuple[int, ...]) -> bool:
    """Whether a quad is filled, of the right size and in the picture, and seen at an angle."""
    area = cv2.contourArea(corners)
    share = area / (size_hw[0] * size_hw[1])
    if share < _MIN_SHARE or cv2.contourArea(hull) < _MIN_FILLED * area:
        return False
    is_inside = ((corners > _EDGE) & (corners < np.array(size_hw[::-1]) - _EDGE)).all(axis=1)
    sides = np.roll(corners, -1, axis=0) - corners
    angles = np.degrees(np.arctan2(sides[:, 1], sides[:, 0]))
    off = np.abs((angles - np.roll(angles, 1)) % 180 - 90)
    return bool(is_inside.sum() >= 3 and off.max() >= _MIN_TILT)


def _step_at(outline: np.ndarray, gray: np.ndarray) -> float:
    """How much lighter it is just inside an outline than just outside, grey levels."""
    filled = cv2.fillConvexPoly(np.zeros_like(gray), np.rint(outline).astype(np.int32), 1)
    near = np.ones((4 * _EDGE + 1,) * 2, np.uint8)
    edge = np.ones((2 * _EDGE + 1,) * 2, np.uint8)
    inside = cv2.erode(filled, edge) > cv2.erode(filled, near)
    outside = cv2.dilate(filled, near) > cv2.dilate(filled, edge)
    return float(np.median(gray[inside]) - np.median(gray[outside]))
