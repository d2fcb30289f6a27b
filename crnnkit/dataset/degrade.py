"""What happens to print on its way to a picture: grounds, light, blur, low resolution, noise, JPEG.

Every function takes a float32 picture in levels 0 to 255, (H, W) or (H, W, 3), and a seeded
generator, and returns a new one; values may leave 0 to 255 until the end.
"""

from functools import lru_cache

import cv2
import numpy as np

GROUNDS = ("flat", "paper", "plastic", "metal", "photo")


def ground_texture(kind: str, size_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Deviation of an empty ground from its colour, float32 (H, W) levels.

    paper: fibre and blotches; plastic: a highlight along a round sleeve; metal: brushed streaks;
    photo: strong blotches and edges, as of anything behind lettering.
    """
    height, width = size_hw
    if kind == "flat":
        return np.zeros(size_hw, np.float32)
    if kind == "paper":
        return _blotches(size_hw, rng, 2 + 8 * rng.random()) + _noise(size_hw, rng, 3.0)
    if kind == "plastic":
        y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
        centre, width_of_band = rng.random() * 1.6 - 0.8, 0.15 + 0.4 * rng.random()
        band = np.exp(-(((y - centre) / width_of_band) ** 2)) * (60 * rng.random())
        shade = -(40 * rng.random()) * y**2
        return np.repeat((band + shade).astype(np.float32), width, axis=1)
    if kind == "metal":
        rows = _noise((height, 1), rng, 4 + 10 * rng.random())
        return rows + cv2.blur(_noise(size_hw, rng, 12.0), (15, 1))
    texture = _blotches(size_hw, rng, 10 + 30 * rng.random())
    for _ in range(rng.integers(4)):
        start = (int(rng.integers(width)), int(rng.integers(height)))
        end = (int(rng.integers(width)), int(rng.integers(height)))
        level = float(60 * rng.random() - 30)
        cv2.line(texture, start, end, level, int(rng.integers(1, 5)), cv2.LINE_AA)
    return texture


def uneven_light(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Multiply by a slope of light across the line; `strength` 0.5 dims one end to half."""
    height, width = image.shape[:2]
    left, right = 1.0 - strength * rng.random(2)
    tilt = strength * (rng.random() - 0.5)
    x = np.linspace(left, right, width, dtype=np.float32)[None, :]
    y = np.linspace(-tilt, tilt, height, dtype=np.float32)[:, None]
    factor = np.maximum(x + y, 0.15)
    return image * (factor if image.ndim == 2 else factor[..., None])


def shrink(image: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Lose resolution: scale down by `factor` (0 to 1), then up again as viewers do."""
    height, width = image.shape[:2]
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    down = cv2.INTER_AREA if rng.random() < 0.7 else cv2.INTER_LINEAR
    up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[rng.choice(3, p=(0.5, 0.4, 0.1))]
    reduced = cv2.resize(image, small, interpolation=down)
    return cv2.resize(reduced, (width, height), interpolation=up)


def blur(image: np.ndarray, sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    """Out of focus (Gaussian), or, one time in five, moved along the line."""
    if rng.random() < 0.2:
        length = max(2, round(2.5 * sigma_px))
        return cv2.blur(image, (length, 1))
    return cv2.GaussianBlur(image, (0, 0), sigma_px)


def add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Grain of `sigma` levels, equal in all colours."""
    grain = _noise(image.shape[:2], rng, sigma)
    return image + (grain if image.ndim == 2 else grain[..., None])


def binarize(image: np.ndarray) -> np.ndarray:
    """Two levels only, as fax and some scanners give them, jagged edges and specks included."""
    low, high = np.percentile(image, (2, 98))
    return np.where(image > (low + high) / 2, high, low).astype(np.float32)


def compress_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back; uint8 in and out. Colours are RGB in memory."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", image if image.ndim == 2 else image[..., ::-1], flags)
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR)
    assert decoded is not None, "OpenCV reads what it has just written"
    return decoded if image.ndim == 2 else decoded[..., ::-1]


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Round and clip to 0 to 255."""
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def erode_ink(ink: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Ribbon and thermal print: ink uint8 (h, w) fades in patches and loses specks."""
    kept = 1.0 - strength * (_blotches(ink.shape, rng, 0.6) + _noise(ink.shape, rng, 0.5) > 0.55)
    return (ink * kept).astype(np.uint8)


@lru_cache(maxsize=1)
def _noise_pool() -> np.ndarray:
    """Normal deviates to cut pieces from: drawing fresh ones would cost half of the rendering."""
    return np.random.default_rng(20240229).standard_normal(1 << 20, dtype=np.float32)


def _noise(size_hw: tuple[int, ...], rng: np.random.Generator, sigma: float) -> np.ndarray:
    pool = _noise_pool()
    count = size_hw[0] * size_hw[1]
    if count > pool.size:
        return rng.standard_normal(size_hw, dtype=np.float32) * np.float32(sigma)
    start = rng.integers(pool.size - count + 1)
    return pool[start : start + count].reshape(size_hw) * np.float32(sigma)


def _blotches(size_hw: tuple[int, ...], rng: np.random.Generator, sigma: float) -> np.ndarray:
    height, width = size_hw
    coarse = _noise((max(2, height // 12), max(2, width // 12)), rng, sigma)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
