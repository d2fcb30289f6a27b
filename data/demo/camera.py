"""From a large rendering to a small photo of it, and whether one can still read that."""

import cv2
import numpy as np
import wear
from numpy.random import Generator
from wear import Array

WEAK_CONTRAST = 9
"""Grey levels, standard deviation over a window: below it text looks faint."""


def warp(photo: Array, rng: Generator) -> Array:
    """Held at an angle: tilted, slanted, one end nearer; and wrapped round a pipe or a bottle."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    tilt, bend, near = rng.normal(0, (0.1, 0.08, 0.12))
    shift = height * (tilt * (x / width - 0.5) + bend * (4 * (x / width - 0.5) ** 2 - 0.5))
    map_y = height / 2 + (y - height / 2) * (1 + near * (x / width - 0.5)) + shift
    map_x = x + rng.normal(0, 0.12) * (y - height / 2)
    maps = map_x.astype(np.float32), map_y.astype(np.float32)
    return cv2.remap(photo, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def photograph(photo: Array, ink: Array, level: float, rng: Generator) -> tuple[Array, Array]:
    """From large and perfect to a photo's size, light, sharpness and noise; `ink` goes with it."""
    both = warp(np.dstack([photo, ink]), rng)
    height = int(rng.integers(36, 54))
    size = (round(both.shape[1] * height / both.shape[0]), height)
    both = cv2.resize(both, size, interpolation=cv2.INTER_AREA)
    photo, ink = both[..., :3], both[..., 3]
    if rng.random() < 0.25 + 0.3 * level:
        photo = wear.glare(photo, 0.25 + 0.6 * level, rng)
    if rng.random() < 0.35:
        photo = wear.shadow(photo, 0.2 + 0.5 * level, rng)
    blur = (0.3 + 1.1 * level) * height / 42
    if rng.random() < 0.35:
        photo = wear.motion_blur(photo, 1 + 4.5 * blur, rng.uniform(0, np.pi))
    else:
        photo = cv2.GaussianBlur(photo, (0, 0), blur)
    photo = wear.jpeg(wear.noise(photo, 2 + 9 * level, rng), int(85 - 50 * level))
    return np.clip(photo, 0, 255).astype(np.uint8), ink


def legibility(photo: Array, ink: Array) -> float:
    """How well the faintest character still shows: 0 = gone, 1 = as printed.

    Over windows about one digit wide, the lowest correlation of grey with the ink or with its
    lit edges (engraved text shows by these alone), times the contrast where that is weak.
    """
    if ink[[0, -1]].max() > 0.3:  # cut off at the top or the bottom
        return 0.0
    height, width = ink.shape
    grey = strokes(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), height)
    edges = np.roll(ink, -1, (0, 1)) - np.roll(ink, 1, (0, 1))
    forms = [strokes(ink, height), strokes(edges, height)]
    lowest = 1.0
    reach = round(0.4 * height)
    for x in range(0, max(1, width - reach + 1), max(1, height // 8)):
        window = np.s_[:, x : x + reach]
        if ink[window].mean() > 0.06:
            flat = [plane[window].ravel() for plane in (grey, *forms)]
            seen = np.abs(np.corrcoef(flat)[0, 1:]).max()
            lowest = min(lowest, seen * min(1.0, grey[window].std() / WEAK_CONTRAST))
    return lowest


def strokes(plane: Array, height: int) -> Array:
    """Keep what is about a stroke wide: no light from lamps and shadows, no grain."""
    plane = plane.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(plane, (0, 0), share * height) for share in (0.02, 0.1))
    return fine - coarse
