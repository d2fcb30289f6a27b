"""Pages of light text, and panels of it on other pages, brought to dark text on light paper."""

import cv2
import numpy as np

from crnnkit.preprocessing.enhance import flatten_light, is_light_on_dark, is_unevenly_lit

MIN_TEXT_HEIGHT = 6
"""Smallest text found, in working pixels; readable text is higher."""
_GRAINY = 0.1
"""Share of the pixels that differ from their neighbour, from which on they are cleaned first."""
_MAX_CONVEX = 0.9
"""Light text in a dark panel fills less than this share of its letters' convex hulls."""


def dark_on_light(gray: np.ndarray) -> np.ndarray:
    """Invert the page if it is dark, and panels (bars, buttons) whose text is light."""
    gray = 255 - gray if is_light_on_dark(gray) else gray.copy()
    gray = flatten_light(gray) if is_unevenly_lit(gray) else gray
    _, dark = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    # RETR_LIST: what lies in what is not asked for, and takes seconds where there are many holes.
    contours, _ = cv2.findContours(_without_specks(dark), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        left, top, width, height = cv2.boundingRect(contour)
        too_small = height < 2 * MIN_TEXT_HEIGHT or width < 1.5 * height
        if too_small or cv2.contourArea(contour) < 0.3 * width * height:
            continue
        # Four pixels more on every side hold the blurred edge of the patch.
        left, top = max(0, left - 4), max(0, top - 4)
        window = np.s_[top : top + height + 8, left : left + width + 8]
        filled = np.zeros_like(dark[window])
        cv2.drawContours(filled, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
        _invert_panel(gray[window], dark[window], filled)
    return gray


def _without_specks(dark: np.ndarray) -> np.ndarray:
    """The mask, if it is grainy without the specks that are lower than any panel, dark and light
    ones: a dithered page has a million."""
    if np.count_nonzero(dark[:, 1:] != dark[:, :-1]) < _GRAINY * dark.size:
        return dark
    clean = dark.copy()
    for value, connectivity in ((1, 8), (0, 4)):
        areas = (clean == value).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(areas, connectivity=connectivity)
        # a hole's contour lies on the dark pixels around it
        is_speck = stats[:, cv2.CC_STAT_HEIGHT] < 2 * MIN_TEXT_HEIGHT - 2 * (1 - value)
        clean[is_speck[labels]] = 1 - value
    return clean


def _invert_panel(gray: np.ndarray, dark: np.ndarray, filled: np.ndarray) -> None:
    """Make `gray` dark text on white, in place, where `filled` is a dark panel with light text."""
    # Rules and strokes that touch the panel are thinner than it.
    solid = cv2.morphologyEx(filled, cv2.MORPH_OPEN, np.ones((2 * MIN_TEXT_HEIGHT,) * 2, np.uint8))
    inside = solid > 0
    if not inside.any() or dark[inside].mean() < 0.5 or not _has_light_tail(gray[inside]):
        return
    if not _has_strokes(solid & ~dark & 1):
        return
    _, size, _ = cv2.minAreaRect(cv2.findNonZero(solid))
    if np.count_nonzero(solid) < 0.85 * size[0] * size[1]:
        return
    ground = np.uint8(np.median(gray[inside]))
    gray[inside] = 255 - (np.maximum(gray[inside], ground) - ground)
    # What else belonged to the dark patch would frame the text: its blurred edge, round corners.
    margin = np.ones((5, 5), np.uint8)
    gray[cv2.dilate(filled, margin) > cv2.erode(solid, margin)] = 255


def _has_light_tail(values: np.ndarray) -> bool:
    """Whether what lies farthest from the most common value is lighter."""
    low, middle, high = np.percentile(values, (1, 50, 99))
    return bool(high - middle > middle - low)


def _has_strokes(light: np.ndarray) -> bool:
    """Whether what is light in a dark patch is text: the holes of letters that touch are convex."""
    contours, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hulls = sum(cv2.contourArea(cv2.convexHull(contour)) for contour in contours)
    return bool(np.count_nonzero(light) < _MAX_CONVEX * hulls)
