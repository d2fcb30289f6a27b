"""Styles estimated from a user's own crops, so that rendered lines look like them."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from crnnkit.dataset.styles import Colour, Style
from crnnkit.errors import ImageError

MAX_CROPS = 50
"""More crops add time and hardly any new look."""

_LEAST_CONTRAST = 25
_SQUARE_RATIO = 0.82
"""Width ÷ height above which glyphs count as hanzi."""
_USUAL_RATIO = {"hanzi": 0.97, "latin": 0.66}
"""Width ÷ height of glyphs that are not stretched."""
_USUAL_GAP_EM = 0.08
_INK_HEIGHT_EM = {"hanzi": 0.9, "latin": 0.72}
_SHARP_EDGE_PX = 0.62
"""Sigma that `_blur_px` measures on a sharp edge, from rasterising and its own smoothing."""


def styles_like(images: Sequence[np.ndarray]) -> list[Style]:
    """A style for each crop (uint8 (H, W) or (H, W, 3)) in which ink and ground can be told apart.

    Estimated: height, colours, margins, width and spacing of glyphs, blur and noise. At most 50
    crops, spread evenly over `images`, are looked at.

    Raises:
        ImageError: if no crop is usable.
    """
    step = max(1, len(images) // MAX_CROPS)
    styles = [style for image in images[::step][:MAX_CROPS] if (style := _style_of(image))]
    if not styles:
        raise ImageError(
            f"like: none of {len(images)} crops shows print with {_LEAST_CONTRAST} levels of "
            "contrast or more. Give crops of single text lines."
        )
    return styles


def sample_like(styles: Sequence[Style], rng: np.random.Generator) -> Style:
    """One of the styles, varied by what two crops of one look differ in."""
    style = styles[int(rng.integers(len(styles)))]
    top, bottom, left, right = (m + 0.1 * (rng.random() - 0.5) for m in style.margins_em)
    return replace(
        style,
        stretch=style.stretch * (0.85 + 0.3 * rng.random()),
        margins_em=(top, bottom, left, right),
        blur_px=style.blur_px * (0.6 + 0.8 * rng.random()),
        noise=style.noise * (0.6 + 0.8 * rng.random()),
        rotation_deg=2 * (rng.random() - 0.5),
        weight=int(rng.random() < 0.3),
        light=0.3 * rng.random() if rng.random() < 0.3 else 0.0,
        jpeg_quality=int(rng.integers(50, 95)) if rng.random() < 0.4 else None,
    )


def _style_of(image: np.ndarray) -> Style | None:
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    ink = _ink_mask(grey)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if rows.size < 4 or columns.size < 2:
        return None
    ground = ~_grown(ink)
    if not ground.any():
        return None
    ground_level = float(np.median(grey[ground]))
    distance = np.abs(grey.astype(np.float32) - ground_level) * ink
    # Most px of thin strokes are half ground: only the purest tell the ink's colour.
    core = distance >= np.percentile(distance[ink > 0], 90)
    contrast = float(np.median(distance[core]))
    if contrast < _LEAST_CONTRAST:
        return None
    height, width = grey.shape
    ink_height = int(rows[-1] - rows[0] + 1)
    ratio, gap = _proportions(ink, ink_height)
    script = "hanzi" if ratio > _SQUARE_RATIO else "latin"
    em = ink_height / _INK_HEIGHT_EM[script]
    free = (rows[0], height - 1 - rows[-1], columns[0], width - 1 - columns[-1])
    top, bottom, left, right = (float(min(px / em, 0.5)) for px in free)
    stretch = float(np.clip(ratio / _USUAL_RATIO[script], 0.5, 1.8))
    return Style(
        height_px=int(np.clip(height, 16, 64)),
        stretch=stretch,
        spacing_em=float(np.clip(gap / (em * stretch) - _USUAL_GAP_EM, 0.0, 1.0)),
        margins_em=(top, bottom, left, right),
        ink=_median_colour(image, core),
        ground=_median_colour(image, ground),
        blur_px=_blur_px(grey, contrast) * 32 / height,
        noise=_noise_levels(grey, ground),
    )


def _ink_mask(grey: np.ndarray) -> np.ndarray:
    """Otsu's darker or lighter part, whichever touches the border less; uint8 0 or 1."""
    _, light = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    return 1 - light if border.mean() > 0.5 else light


def _grown(ink: np.ndarray) -> np.ndarray:
    return cv2.dilate(ink, np.ones((5, 5), np.uint8)).astype(bool)


def _proportions(ink: np.ndarray, ink_height: int) -> tuple[float, float]:
    """Median width ÷ height of the glyphs, and median gap between them in px.

    Glyphs are the pieces about as tall as the line; parts of a hanzi stand apart, so pieces less
    than a tenth of the height apart are joined.
    """
    gap = max(1, ink_height // 10)
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((ink_height, gap), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    boxes = [(s[0], s[0] + s[2], s[2] / s[3]) for s in stats[1:] if s[3] > 0.6 * ink_height]
    singles = sorted(box for box in boxes if box[2] < 1.6)
    if not singles:
        return _USUAL_RATIO["latin"], 0.0
    gaps = [b[0] - a[1] for a, b in zip(singles, singles[1:], strict=False)]
    return float(np.median([box[2] for box in singles])), float(np.median(gaps or [0]))


def _blur_px(grey: np.ndarray, contrast: float) -> float:
    """Sigma of the blur: a step blurred by sigma rises by contrast ÷ (sigma sqrt(2 pi)) a px."""
    across = np.abs(np.diff(cv2.GaussianBlur(grey, (0, 0), 0.5).astype(np.float32), axis=1))
    steepest = float(np.percentile(across.max(axis=1), 75))
    sigma = contrast / (max(steepest, 1.0) * np.sqrt(2 * np.pi))
    return float(np.sqrt(max(0.0, sigma**2 - _SHARP_EDGE_PX**2)))


def _noise_levels(grey: np.ndarray, ground: np.ndarray) -> float:
    """Standard deviation on the ground after Immerkær, "Fast noise variance estimation" (1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey.astype(np.float32), -1, kernel))
    return float(np.sqrt(np.pi / 2) / 6 * response[ground].mean())


def _median_colour(image: np.ndarray, mask: np.ndarray) -> Colour:
    levels = np.median(image[mask], axis=0)
    red, green, blue = (int(level) for level in np.broadcast_to(levels, 3))
    return (red, green, blue)
