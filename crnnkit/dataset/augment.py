"""Seeded variations of a line for training: what cameras, scanners and croppers do to it."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(H, W) grey or (H, W, 3) RGB."""


def augment(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Vary one line's geometry, tone and sharpness, see `VARIATIONS`; its text stays readable.

    Args:
        pixels: as `fit_line` makes them.
        rng: source of all randomness; equal generators give equal pictures.

    Returns:
        A new array of the same shape.
    """
    for share, vary in VARIATIONS.values():
        if share == 1 or rng.random() < share:
            pixels = vary(pixels, rng)
    return pixels


def _warp(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Stretch, shift, slant and tilt, in one interpolation."""
    height, width = pixels.shape[:2]
    stretch = rng.uniform(0.82, 1.1)
    zoom = rng.uniform(0.8, 1.2)
    slant = rng.normal(0, 0.14)
    # a tilt moves the ends of a long line out of the picture, so it is bounded at the ends
    tilt = rng.normal(0, 0.08) * min(1.0, 3 * height / width)
    matrix = np.array([[stretch, slant, 0], [tilt, zoom, 0]], dtype=np.float64)
    center = np.array([_content_width(pixels) / 2, height / 2])
    shift = rng.uniform(-1, 1, 2) * (min(0.1 * height, 0.02 * width + 1), 0.1 * height)
    matrix[:, 2] = center + shift - matrix[:, :2] @ center
    return cv2.warpAffine(
        pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)


def _content_width(pixels: Pixels) -> int:
    """Columns before the padding, which equals the last column."""
    height, width = pixels.shape[:2]
    differs = (pixels != pixels[:, -1:]).reshape(height, width, -1).any((0, 2))
    return width - int(differs[::-1].argmax())


def _change_tone(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness, contrast and gamma by table; now and then light from one side, or a negative."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.25))
    levels = 0.5 + (levels - 0.5) * rng.uniform(0.6, 1.2) + rng.uniform(-0.15, 0.15)
    if rng.random() < 0.05:
        levels = 1 - levels
    toned = cv2.LUT(pixels, (255 * levels.clip(0, 1)).astype(np.uint8))
    if rng.random() < 0.2:
        ramp = np.linspace(1, rng.uniform(0.6, 1), pixels.shape[1], dtype=np.float32)
        ramp = ramp if rng.random() < 0.5 else ramp[::-1]
        toned = (toned.T * ramp[:, np.newaxis]).T  # (W, H) or (3, W, H)
    return np.asarray(toned).astype(np.uint8)


def _lose_sharpness(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Defocus, motion, or a camera too far away."""
    kind = rng.integers(3)
    if kind == 0:
        return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.1)).astype(np.uint8, copy=False)
    if kind == 1:
        return cv2.blur(pixels, (int(rng.integers(2, 5)), 1)).astype(np.uint8, copy=False)
    height, width = pixels.shape[:2]
    factor = rng.uniform(0.45, 0.9)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height)).astype(np.uint8, copy=False)


def _add_noise(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(2, 14)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def _hide_a_patch(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A stain or a worn spot, narrower than a character: neighbours must help to read it."""
    height, width = pixels.shape[:2]
    patch_h, patch_w = (max(1, int(height * share)) for share in rng.uniform(0.15, 0.45, 2))
    top, left = rng.integers(0, height - patch_h + 1), rng.integers(0, max(1, width - patch_w))
    hidden = pixels.copy()
    stain = rng.choice([pixels.min(), np.median(pixels)])
    hidden[top : top + patch_h, left : left + patch_w] = stain
    return hidden


VARIATIONS: dict[str, tuple[float, Callable[[Pixels, np.random.Generator], Pixels]]] = {
    "shape": (1, _warp),
    "tone": (1, _change_tone),
    "sharpness": (0.5, _lose_sharpness),
    "noise": (0.35, _add_noise),
    "stain": (0.25, _hide_a_patch),
}
"""Name → share of the pictures that it is done to, and how; in this order."""


def each_alone(pixels: Pixels, seed: int) -> dict[str, Pixels]:
    """What each of the variations makes of one line, by name."""
    return {
        name: vary(pixels, np.random.default_rng(seed)) for name, (_, vary) in VARIATIONS.items()
    }
