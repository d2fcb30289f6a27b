"""What happens to a printed line before somebody photographs it, and while they do.

Three kinds of function, all pure and driven by the `rng` they are given:
ink     (H, W) float 0..1, 1 = full ink            → the same, damaged
surface (H, W, 3) float 0..255 RGB                 → made from nothing, or the same, damaged
photo   (H, W, 3) float 0..255 RGB                 → light, optics, sensor, compression
"""

import cv2
import numpy as np
from numpy.random import Generator

Array = np.ndarray


def clouds(shape: tuple[int, int], cell: float, rng: Generator) -> Array:
    """Smooth noise (H, W) in 0..1 whose blobs are about `cell` px wide."""
    height, width = shape
    grid = rng.random((max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)))
    noise = cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise, 0, 1)


def line_mask(shape: tuple[int, int], points: Array, thickness: float) -> Array:
    """An antialiased polyline (H, W) in 0..1; `thickness` in px."""
    mask = np.zeros(shape, np.uint8)
    fixed = np.round(points * 16).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 255, max(1, round(thickness)), cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def scratch_mask(shape: tuple[int, int], count: int, rng: Generator) -> Array:
    """`count` thin, slightly bent scratches across the line."""
    height, width = shape
    mask = np.zeros(shape, np.float32)
    for _ in range(count):
        start = rng.uniform((0, 0), (width, height))
        angle, length = rng.normal(0, 0.6), rng.uniform(0.8, 4.0) * height
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        bend = (start + end) / 2 + rng.normal(0, 0.06 * height, 2)
        thickness = rng.uniform(1, 4)
        mask = np.maximum(mask, line_mask(shape, np.stack([start, bend, end]), thickness))
    return mask


# ink -------------------------------------------------------------------------------------------


def abrade(ink: Array, amount: float, rng: Generator) -> Array:
    """Rubbed off: grains of ink are missing, in patches; `amount` 0..1 is about the share lost."""
    grain = clouds(ink.shape, 3.5, rng) * 0.5 + clouds(ink.shape, 0.9 * ink.shape[0], rng) * 0.5
    level = np.quantile(grain, amount)
    return ink * np.clip((grain - level) * 12 + 0.5, 0.06, 1)


def bleed(ink: Array, radius: float) -> Array:
    """Ink that ran into the paper: strokes grow by about `radius` px and lose their edges."""
    return np.clip(cv2.GaussianBlur(ink, (0, 0), radius) * 1.7, 0, 1)


def thin(ink: Array, radius: int) -> Array:
    """A pale ribbon: strokes shrink by `radius` px and their middle stays."""
    return cv2.erode(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))


def double(ink: Array, shift: tuple[int, int], strength: float) -> Array:
    """Struck twice: a paler copy of `strength` 0..1, `shift` (down, right) px away."""
    return np.maximum(ink, strength * np.roll(ink, shift, (0, 1)))


def dots(ink: Array, pitch: float, rng: Generator) -> Array:
    """Needle printer or dot peen: the ink becomes dots `pitch` px apart."""
    height, width = ink.shape
    y, x = np.mgrid[0:height, 0:width] / pitch + rng.random((2, 1, 1))
    distance = np.hypot(x - np.round(x), y - np.round(y))
    sampled = cv2.blur(ink, (max(1, round(pitch)),) * 2)
    return np.clip((0.36 + 0.22 * sampled - distance) * pitch, 0, 1) * np.clip(2 * sampled, 0, 1)


def halftone(ink: Array, pitch: float, density: float, rng: Generator) -> Array:
    """Grey ink as a rotated screen of dots; `density` 0..1 is the share of paper covered."""
    y, x = np.mgrid[0 : ink.shape[0], 0 : ink.shape[1]] * (np.pi / pitch)
    angle = rng.uniform(0.2, 1.3)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return ink * np.clip((np.sin(along) * np.sin(across) + 2 * density - 1) * 2 + 0.5, 0, 1)


def scratch_off(ink: Array, count: int, rng: Generator) -> Array:
    return ink * (1 - 0.9 * scratch_mask(ink.shape, count, rng))


# surface ---------------------------------------------------------------------------------------


def paper(shape: tuple[int, int], rng: Generator) -> Array:
    """Off-white with fibres and folds."""
    white, yellow = rng.uniform(205, 250), np.array([0, rng.uniform(0, 8), rng.uniform(0, 32)])
    surface = (
        white - yellow + (clouds(shape, 3, rng) * 10 + clouds(shape, 60, rng) * 14 - 12)[..., None]
    )
    if rng.random() < 0.3:
        x = rng.uniform(0, shape[1])
        fold = line_mask(shape, np.array([[x, 0], [x + rng.normal(0, 20), shape[0]]]), 3)
        surface -= (cv2.GaussianBlur(fold, (0, 0), 2.5) * rng.uniform(20, 60))[..., None]
    return surface


def guilloche(surface: Array, rng: Generator) -> Array:
    """The fine wavy lines under the amounts of invoices and certificates."""
    height, width = surface.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    pattern = np.zeros((height, width))
    for _ in range(2):
        period, swing = rng.uniform(9, 16), rng.uniform(0.1, 0.3) * height
        wave = swing * np.sin(x * rng.uniform(0.01, 0.04) + rng.uniform(0, 6))
        lines = np.clip(np.cos((y + wave) * 2 * np.pi / period) * 3 - 1.6, 0, 1)
        pattern = np.maximum(pattern, lines)
    depth = rng.uniform(30, 110, 3)
    return surface - pattern[..., None] * depth


def metal(shape: tuple[int, int], rng: Generator) -> Array:
    """Brushed sheet: streaks along the line over a slow gradient."""
    height, width = shape
    streaks = cv2.blur(rng.normal(0, 1, shape).astype(np.float32), (2 * (width // 8) + 1, 1))
    streaks *= rng.uniform(6, 16) / max(float(streaks.std()), 1e-6)
    tint = np.array([1.0, 1.0, rng.uniform(0.88, 1.04)])
    level = rng.uniform(120, 215) + (clouds(shape, 150, rng) - 0.5) * 70 + streaks
    return level[..., None] * tint


def plastic(shape: tuple[int, int], rng: Generator) -> Array:
    """A flat coloured label with fine texture and dust."""
    palette = ((236, 236, 232), (240, 205, 60), (40, 75, 140), (150, 35, 35), (45, 48, 50),
               (40, 110, 80), (190, 205, 215))  # fmt: skip
    colour = np.array(palette[rng.integers(len(palette))]) + rng.normal(0, 8, 3)
    dust = (rng.random(shape) < 0.002).astype(np.float32)
    dust = cv2.GaussianBlur(dust, (0, 0), 1.2) * 260
    return colour + ((clouds(shape, 2, rng) - 0.5) * 12 + dust)[..., None]


def screen(shape: tuple[int, int], rng: Generator) -> Array:
    """A display: dark or light, even."""
    base = rng.uniform(14, 45) if rng.random() < 0.6 else rng.uniform(205, 245)
    return np.full((*shape, 3), base) + rng.normal(0, 5, 3)


def stain(surface: Array, rng: Generator) -> Array:
    """A dried drop: a tinted blob with a darker rim."""
    height, width = surface.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    centre, radii = rng.uniform((0, 0), (width, height)), rng.uniform(0.4, 1.3, 2) * height
    wobble = (clouds((height, width), 0.5 * height, rng) - 0.5) * 0.5
    radius = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1]) + wobble
    cover = np.clip((1 - radius) * 6, 0, 1) * 0.5 + np.exp(-(((radius - 1) / 0.06) ** 2)) * 0.5
    tint = np.array([rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.65), rng.uniform(0.25, 0.5)])
    return surface * (1 - cover[..., None] * (1 - tint))


def ring_stamp(surface: Array, rng: Generator) -> Array:
    """Part of a round red stamp with its double rim, translucent."""
    height, width = surface.shape[:2]
    angle = np.linspace(0, 2 * np.pi, 90)
    centre = rng.uniform((0, -0.4 * height), (width, 1.4 * height))
    rim = rng.uniform(0.7, 1.3) * height * np.stack([np.cos(angle), np.sin(angle)], 1)
    outer = line_mask((height, width), centre + rim, 0.09 * height)
    inner = line_mask((height, width), centre + 0.85 * rim, 0.03 * height)
    cover = np.maximum(outer, inner)
    cover *= 0.3 + 0.7 * clouds((height, width), 6, rng)
    return surface * (1 - cover[..., None] * np.array([0.1, 0.75, 0.7]))


# photo -----------------------------------------------------------------------------------------


def glare(photo: Array, strength: float, rng: Generator) -> Array:
    """A bright oblique band where the lamp mirrors; `strength` 0..1 of full white at its middle."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    slope, sigma = rng.normal(0, 0.8), rng.uniform(0.3, 1.5) * height
    offset = (x - rng.uniform(0, width) + slope * (y - height / 2)) / sigma
    return photo + (255 - photo) * (strength * np.exp(-(offset**2) / 2))[..., None]


def shadow(photo: Array, depth: float, rng: Generator) -> Array:
    """A shadow edge; the dark side keeps 1 - `depth` of its light."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    edge = x - rng.uniform(0.1, 0.9) * width + rng.normal(0, 0.8) * y
    edge = edge / rng.uniform(2, 0.4 * height)
    dark = 1 / (1 + np.exp(np.clip(edge * rng.choice((-1, 1)), -30, 30)))
    return photo * (1 - depth * dark[..., None])


def moire(photo: Array, strength: float, rng: Generator) -> Array:
    """Beats between a display's grid and the sensor's: coloured slow waves and fine rows."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    bands = []
    for _ in range(3):
        angle, period = rng.uniform(0, np.pi), rng.uniform(8, 30)
        curve = 0.002 * (x - width / 2) ** 2 / height
        bands.append(np.sin((x * np.cos(angle) + y * np.sin(angle) + curve) * 2 * np.pi / period))
    return photo * (1 + strength * np.stack(bands, -1)) * (1 - strength * (y % 3 < 1))[..., None]


def motion_blur(photo: Array, length: float, angle: float) -> Array:
    """The camera moved `length` px along `angle` (radians) while the shutter was open."""
    size = 2 * int(np.ceil(length / 2)) + 1
    middle = np.array([size // 2] * 2)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    kernel = line_mask((size, size), np.stack([middle - step, middle + step]), 1)
    return cv2.filter2D(photo, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def noise(photo: Array, sigma: float, rng: Generator) -> Array:
    """Sensor noise, stronger in the light (shot noise), partly coloured."""
    shape = photo.shape[:2]
    grey, colour = rng.normal(0, sigma, (*shape, 1)), rng.normal(0, 0.4 * sigma, (*shape, 3))
    return photo + (grey + colour) * np.sqrt(np.clip(photo, 20, 255) / 128)


def jpeg(photo: Array, quality: int) -> Array:
    """One JPEG compression; together with the saved file it makes two."""
    bgr = np.clip(photo, 0, 255).astype(np.uint8)[..., ::-1]
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float64)
