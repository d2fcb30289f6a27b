"""Steps that make text easier to read: pure functions from uint8 picture to uint8 picture.

Every step takes grey (H, W) or RGB (H, W, 3), returns the same kind (`to_gray` alone returns
(H, W)), keeps the size (`deskew` alone enlarges it), and leaves a clean picture nearly as it is.
"""

import difflib
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from crnnkit.errors import ConfigError

_MIN_SPAN = 16
"""Grey levels: a picture with less between dark and light is blank, and stretching shows noise."""
_MIN_NOISE = 2.0
"""Standard deviation in grey levels below which a picture counts as clean."""
_MAX_SKEW = 15.0
"""Largest slope that `deskew` looks for, in degrees to either side."""
_MIN_GAIN = 1.5
"""How much steeper the turned profile must be; short words reach 1.4 by their letters' shapes."""
_MIN_SKEW = 0.3
"""Slope in degrees that is left alone: turning costs more sharpness than it gains."""


def to_gray(image: np.ndarray) -> np.ndarray:
    """Luma of an RGB picture (ITU-R BT.601, as OpenCV computes it); grey pictures stay."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def is_light_on_dark(image: np.ndarray) -> bool:
    """Whether text is lighter than its ground.

    The ground is the most common value, the median; text is what lies farthest from it.
    """
    low, middle, high = np.percentile(image, (1, 50, 99))
    return bool(high - middle > middle - low)


def stretch_contrast(image: np.ndarray) -> np.ndarray:
    """Spread the grey values over 0…255; the outermost 0.5 % at either end are cut off.

    Colours keep their ratios: all channels are stretched alike. Blank pictures stay.
    """
    low, high = np.percentile(to_gray(image), (0.5, 99.5))
    if high - low < _MIN_SPAN:
        return image.copy()
    levels = (np.arange(256) - low) * (255 / (high - low))
    return cv2.LUT(image, np.rint(levels.clip(0, 255)).astype(np.uint8))


def flatten_light(image: np.ndarray) -> np.ndarray:
    """Even out shadows and uneven lighting by dividing by the ground's brightness.

    The ground is a morphological closing, which wipes out the text, then a blur (shading
    correction, Gonzalez & Woods, Digital Image Processing). Light text on dark is treated as
    its negative.
    """
    if is_light_on_dark(to_gray(image)):
        return 255 - _flatten_dark_on_light(255 - image)
    return _flatten_dark_on_light(image)


def _flatten_dark_on_light(image: np.ndarray) -> np.ndarray:
    gray = to_gray(image)
    height, width = gray.shape
    # At 120 px a 15 px closing spans an eighth of the shorter side: more than strokes, and
    # less than shadows.
    scale = min(1.0, 120 / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    ground = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    ground = cv2.GaussianBlur(ground, (0, 0), 5)
    ground = cv2.resize(ground, (width, height), interpolation=cv2.INTER_LINEAR)
    paper = float(np.percentile(ground, 95))
    # A black margin is no shadow: more than fourfold light would only show its noise.
    gain = (paper / np.maximum(ground, 1).astype(np.float32)).clip(1, 4)
    lit = image * (gain if image.ndim == 2 else gain[..., None])
    return np.rint(lit.clip(0, 255)).astype(np.uint8)


def denoise(image: np.ndarray) -> np.ndarray:
    """Remove noise by non-local means (Buades, Coll & Morel 2005), as strongly as it is.

    Pictures whose noise is under 2 grey levels are returned unchanged.
    """
    noise = estimate_noise(image)
    if noise < _MIN_NOISE:
        return image.copy()
    if image.ndim == 2:
        return cv2.fastNlMeansDenoising(image, None, noise, 5, 11)
    return cv2.fastNlMeansDenoisingColored(image, None, noise, noise, 5, 11)


def estimate_noise(image: np.ndarray) -> float:
    """Standard deviation of Gaussian noise, in grey levels.

    The filter of Immerkær 1996, which sees neither flat ground nor slopes; the median in place
    of his mean keeps sharp text from counting as noise.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = cv2.filter2D(to_gray(image), cv2.CV_32F, mask)
    # The mask's coefficients have norm 6; the median of |N(0, 1)| is 0.6745.
    return float(np.median(np.abs(response))) / (6 * 0.6745)


def sharpen(image: np.ndarray) -> np.ndarray:
    """Steepen edges by an unsharp mask: the picture plus its difference to a 1 px blur."""
    blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
    return cv2.addWeighted(image, 2.0, blurred, -1.0, 0)


def deskew(image: np.ndarray) -> np.ndarray:
    """Turn text level that slopes by up to 15 degrees.

    The picture grows so that no corner is lost; its border fills the new corners.
    """
    angle = estimate_skew(image)
    if abs(angle) < _MIN_SKEW:
        return image.copy()
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    new_width = round(width * cos + height * sin)
    new_height = round(width * sin + height * cos)
    turn[:, 2] += ((new_width - width) / 2, (new_height - height) / 2)
    size = (new_width, new_height)
    flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    return cv2.warpAffine(image, turn, size, flags=flags, borderMode=border)


def estimate_skew(image: np.ndarray) -> float:
    """Slope of the text in degrees, positive where lines fall to the right; 0 if unclear.

    The angle whose projection profile has the steepest steps between rows (Postl 1986),
    searched in steps of 1, then 0.1 degrees among at most 20,000 pixels of ink.
    """
    gray = to_gray(image)
    gray = 255 - gray if is_light_on_dark(gray) else gray
    # Strokes only: the edge of a sheet on a dark table has a slope of its own.
    size = min(max(15, min(gray.shape) // 8), 51)
    contrast = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, np.ones((size, size), np.uint8))
    _, ink = cv2.threshold(contrast, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    y, x = np.nonzero(ink)
    every = len(x) // 20_000 + 1
    x, y = x[::every] - image.shape[1] // 2, y[::every] - image.shape[0] // 2
    coarse = np.arange(-_MAX_SKEW, _MAX_SKEW + 1)
    best = max(coarse, key=lambda angle: _profile_steepness(x, y, angle))
    best = max(best + np.arange(-9, 10) / 10, key=lambda angle: _profile_steepness(x, y, angle))
    gains = _profile_steepness(x, y, best) > _MIN_GAIN * _profile_steepness(x, y, 0.0)
    return float(best) if gains else 0.0


def _profile_steepness(x: np.ndarray, y: np.ndarray, angle: float) -> float:
    """Sum of squared steps of the ink count from row to row, rows sloping by `angle` degrees."""
    rows = np.rint(y * np.cos(np.radians(angle)) - x * np.sin(np.radians(angle))).astype(int)
    profile = np.bincount(rows - rows.min()) if len(rows) else np.zeros(1)
    return float(np.square(np.diff(profile, prepend=0, append=0)).sum())


STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "to_gray": to_gray,
    "stretch_contrast": stretch_contrast,
    "flatten_light": flatten_light,
    "denoise": denoise,
    "sharpen": sharpen,
    "deskew": deskew,
}
"""Every step by its name in configurations."""


def enhance(image: np.ndarray, steps: Sequence[str]) -> np.ndarray:
    """Apply steps in the order given.

    Args:
        image: uint8 (H, W) or (H, W, 3) RGB.
        steps: names out of `STEPS`.

    Raises:
        ConfigError: naming every unknown step and the known one nearest to it.
    """
    unknown = [name for name in steps if name not in STEPS]
    if unknown:
        raise ConfigError(
            f"enhance: no such step: {', '.join(map(_with_nearest, unknown))}. "
            f"Known steps: {', '.join(STEPS)}."
        )
    for name in steps:
        image = STEPS[name](image)
    return image


def _with_nearest(name: str) -> str:
    nearest = difflib.get_close_matches(name, STEPS, n=1, cutoff=0.5)
    return f"{name!r} (did you mean {nearest[0]!r}?)" if nearest else repr(name)
