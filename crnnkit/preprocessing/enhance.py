"""Steps that make text easier to read: pure functions from uint8 picture to uint8 picture.

Every step takes grey (H, W) or RGB (H, W, 3), returns the same kind (`to_gray` alone returns
(H, W)), keeps the size (`deskew` and `flatten_sheet` alone change it), and leaves a clean picture
nearly as it is. `auto` decides from the picture which of them it needs.
"""

import difflib
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from crnnkit.errors import ConfigError
from crnnkit.preprocessing.quads import crop_line
from crnnkit.preprocessing.sheet import find_sheet

_MIN_SPAN = 16
"""Grey levels: a picture with less between dark and light is blank, and stretching shows noise."""
_MIN_NOISE = 2.0
"""Standard deviation in grey levels below which a picture counts as clean."""
_MAX_SKEW = 45
"""Largest slope in degrees to either side; beyond, text lies sideways."""
_STEP = np.array([1, 0, 0, -1])
"""Profiles rise and fall over three rows: from one to the next, chance and warped paper decide."""
_MAX_APART = 5
"""Angles up to so many degrees apart, or square to each other, see the same rows; …"""
_MIN_LEAD = 4.0
"""… all others are less steep by so much over the root of the number of strokes, …"""
_MIN_GAIN = 1.6
"""… and it is so many times as steep as no turn: less slope is not worth one."""
_MIN_SKEW = 0.3
"""Slope in degrees that is left alone: turning costs more sharpness than it gains."""
_MIN_SIDEWAYS = 0.7
"""Share of the characters whose nearest neighbour stands below where text lies on its side."""
_MAX_BLUR = 1.2
# What seems softer is no text but stripes or dots a pixel wide, whose slopes Sobel does not see.
_MOST_BLUR = 5.0
_STEEPNESS = (2 * np.pi) ** 0.5
"""Sigma in px that `estimate_blur` finds in sharp pictures at most: scans have 0.8 to 1.06."""
_DEBLUR_ROUNDS = 6
_BAND_ROWS = 192
"""Rows that are worked on at once: as floats, a whole page would fill the memory, …"""
_DEBLUR_MARGIN = 64
"""… and how many more on either side sharpened rows depend on."""
_SEEN_PIXELS = 500_000
"""From twice as many on, blur is estimated on evenly spaced bands of `_SEEN_ROWS` rows."""
_SEEN_ROWS = 64
_MIN_LIGHT = 0.7
"""Share of the light that the darkest paper of an evenly lit page gets at least."""
_MAX_LIGHT_STEP = 0.06
"""Share of the light by which a shadow changes within a thirtieth of the picture at most."""


def to_gray(image: np.ndarray) -> np.ndarray:
    """Luma of an RGB picture (ITU-R BT.601, as OpenCV computes it); grey pictures stay."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def is_light_on_dark(image: np.ndarray) -> bool:
    """Whether text is lighter than its ground, however the light falls.

    Text is what differs most from the mean of its surroundings: the third moment of the
    differences has its sign.
    """
    gray = to_gray(image)
    size = min(31, *gray.shape) | 1
    around = cv2.blur(gray, (size, size), borderType=cv2.BORDER_REPLICATE)
    difference = cv2.subtract(gray[::2, ::2], around[::2, ::2], dtype=cv2.CV_32F)
    return bool(np.vdot(difference * difference, difference) > 0)


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

    The ground is a morphological closing, which wipes out the text (shading correction,
    Gonzalez & Woods, Digital Image Processing). Light text on dark is treated as its negative.
    """
    if is_light_on_dark(to_gray(image)):
        return 255 - _flatten_dark_on_light(255 - image)
    return _flatten_dark_on_light(image)


def is_unevenly_lit(image: np.ndarray) -> bool:
    """Whether some of the paper is much darker than the rest, without an edge between them.

    Of light on dark, its negative. Panels, and a table round a sheet, have edges.
    """
    gray = to_gray(image)
    ground = _ground(255 - gray if is_light_on_dark(gray) else gray)
    dark, light = np.percentile(ground, (10, 95))
    if dark >= _MIN_LIGHT * light:
        return False
    is_dark = (ground < _MIN_LIGHT * light).astype(np.uint8)
    border = cv2.morphologyEx(is_dark, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    near = cv2.getStructuringElement(cv2.MORPH_CROSS, (5, 5))
    steps = cv2.morphologyEx(ground, cv2.MORPH_GRADIENT, near)[border]
    # A quarter of them: a page in a shadow may have panels as well.
    return bool(np.percentile(steps, 25) <= _MAX_LIGHT_STEP * light)


def _flatten_dark_on_light(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    ground = cv2.resize(_ground(to_gray(image)), (width, height), interpolation=cv2.INTER_LINEAR)
    paper = float(np.percentile(ground, 95))
    flat = np.empty_like(image)
    for top in range(0, height, _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        # A black margin is no shadow: more than fourfold light would only show its noise.
        gain = (paper / np.maximum(ground[rows], 1).astype(np.float32)).clip(1, 4)
        lit = image[rows] * (gain if image.ndim == 2 else gain[..., None])
        flat[rows] = np.rint(lit.clip(0, 255))
    return flat


def _ground(gray: np.ndarray) -> np.ndarray:
    """Brightness of the paper under dark text, at 120 px or less for the shorter side."""
    height, width = gray.shape
    # At 120 px a 15 px closing spans an eighth of the shorter side: more than strokes, and
    # less than shadows.
    scale = min(1.0, 120 / min(height, width))
    size = (round(width * scale), round(height * scale))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))


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


def estimate_blur(image: np.ndarray) -> float:
    """Sigma, px, of the Gaussian that would make sharp edges as soft as those of the text.

    A step of contrast c blurred by sigma is c / (sigma sqrt(2 pi)) steep at its middle. Patterns
    of single pixels count as sharp.
    """
    gray = to_gray(image)
    every = gray.size // _SEEN_PIXELS
    tops = range(0, len(gray), every * _SEEN_ROWS) if every > 1 else [0]
    rows = _SEEN_ROWS if every > 1 else len(gray)
    contrast, steepest = np.hstack([_edges(gray[top : top + rows]) for top in tops])
    clear = contrast >= max(_MIN_SPAN, 0.5 * float(np.percentile(contrast, 99)))
    clear &= contrast <= _MOST_BLUR * _STEEPNESS * steepest
    if not clear.any():
        return 0.0
    return float(np.median(contrast[clear] / steepest[clear])) / _STEEPNESS


def _edges(gray: np.ndarray) -> np.ndarray:
    """(2, H W) contrast around each pixel, and the steepest slope there, grey levels per px."""
    near = np.ones((9, 9), np.uint8)
    contrast = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, near)
    across, down = (cv2.Sobel(gray, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    steepest = cv2.dilate(np.maximum(np.abs(across), np.abs(down)), near)
    return np.stack([contrast.ravel(), steepest.ravel()])


def deblur(image: np.ndarray) -> np.ndarray:
    """Sharpen a picture that is out of focus, as strongly as it is; sharp ones stay.

    Van Cittert's iteration (1931): what the blurred guess lacks of the picture is added to it.
    """
    sigma = estimate_blur(image)
    if sigma <= _MAX_BLUR:
        return image.copy()
    sharp = np.empty_like(image)
    for top in range(0, len(image), _BAND_ROWS):
        first = max(0, top - _DEBLUR_MARGIN)
        band = _deblurred(image[first : top + _BAND_ROWS + _DEBLUR_MARGIN], sigma)
        sharp[top : top + _BAND_ROWS] = band[top - first :][:_BAND_ROWS]
    return sharp


def _deblurred(image: np.ndarray, sigma: float) -> np.ndarray:
    guess = seen = image.astype(np.float32)
    for _ in range(_DEBLUR_ROUNDS):
        guess = (guess + seen - cv2.GaussianBlur(guess, (0, 0), sigma)).clip(0, 255)
    return np.rint(guess).astype(np.uint8)


def flatten_sheet(image: np.ndarray) -> np.ndarray:
    """Cut out a sheet that lies on a table, and look at it from straight above."""
    corners = find_sheet(to_gray(image))
    return image.copy() if corners is None else crop_line(image, corners)


def turn(
    image: np.ndarray, degrees: float, interpolation: int = cv2.INTER_CUBIC
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a picture anticlockwise; it grows so that no corner is lost, its border fills them.

    Returns:
        the picture, and the (2, 3) map of points from the given picture to it.
    """
    height, width = image.shape[:2]
    if degrees % 90 == 0:
        quarters = round(degrees / 90) % 4
        maps = {
            0: [[1, 0, 0], [0, 1, 0]],
            1: [[0, 1, 0], [-1, 0, width - 1]],
            2: [[-1, 0, width - 1], [0, -1, height - 1]],
            3: [[0, -1, height - 1], [1, 0, 0]],
        }
        return np.ascontiguousarray(np.rot90(image, quarters)), np.array(maps[quarters], float)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (round(width * cos + height * sin), round(width * sin + height * cos))
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(image, matrix, size, flags=interpolation, borderMode=border), matrix


def deskew(image: np.ndarray) -> np.ndarray:
    """Turn text level that slopes by up to 45 degrees, or lies on its side.

    Which of both sides, and whether text stands on its head, no profile tells: sideways text is
    turned anticlockwise, and whoever reads it tries it upside down as well.
    """
    angle = estimate_skew(image)
    return image.copy() if abs(angle) < _MIN_SKEW else turn(image, angle)[0]


def estimate_skew(image: np.ndarray) -> float:
    """Slope of the text in degrees, positive where lines fall to the right; 0 if unclear.

    The angle whose projection profile has the steepest steps between rows (Postl 1986),
    searched in steps of 1, then 0.1 degrees among at most 10,000 pixels of ink. From -45 to 45
    degrees, or so far around 90 where the text, once level, lies sideways.
    """
    gray = to_gray(image)
    # at 1000 px, a banner twenty times as wide as high would show no strokes
    scale = min(1.0, max(1000 / max(gray.shape), 200 / min(gray.shape)))
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    gray = 255 - gray if is_light_on_dark(gray) else gray
    # Strokes only: the edge of a sheet on a dark table has a slope of its own.
    size = min(max(15, min(gray.shape) // 8), 51)
    # Beyond the border, too: the dark corners that turning leaves there are no strokes.
    wide = cv2.copyMakeBorder(gray, size, size, size, size, cv2.BORDER_REPLICATE)
    contrast = cv2.morphologyEx(wide, cv2.MORPH_BLACKHAT, np.ones((size, size), np.uint8))
    contrast = contrast[size:-size, size:-size]
    _, ink = cv2.threshold(contrast, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    angle, lead = _slope(ink)
    boxes = _stroke_boxes(turn(ink, angle, cv2.INTER_NEAREST)[0])
    # The fewer strokes, the steeper chance angles are.
    if angle and lead <= 1 + _MIN_LEAD / max(1, len(boxes)) ** 0.5:
        angle, boxes = 0.0, _stroke_boxes(ink)
    return angle + 90.0 if _lie_sideways(boxes) else angle


def _slope(ink: np.ndarray) -> tuple[float, float]:
    """Degrees by which rows of ink slope, or columns where these are steeper; and their lead."""
    # By chance: every so-many-th pixel of strokes is a lattice, which has slopes of its own.
    random = np.random.default_rng(0)
    pixels = random.permutation(np.flatnonzero(ink > 0))[:10_000]
    # A point anywhere in its pixel: on the lattice, slopes such as 45 degrees look like rows.
    y, x = np.divmod(pixels, ink.shape[1]) + random.random((2, len(pixels)))

    def steepness(angle: float) -> float:
        return _profile_steepness(x, y, angle)

    angles = np.arange(-90.0, 90.0)
    found = np.array([steepness(angle) for angle in angles])
    best = float(angles[found.argmax()])
    apart = np.abs(angles - best) % 90  # columns stand square to rows
    others = found[np.minimum(apart, 90 - apart) > _MAX_APART]
    lead = found.max() / max(1.0, others.max())
    best = max((best + np.arange(-9, 10) / 10).tolist(), key=steepness)
    slope = best if abs(best) <= _MAX_SKEW else best - float(np.copysign(90, best))
    gain = steepness(best) / max(1.0, steepness(best - slope))
    return (slope if gain > _MIN_GAIN else 0.0), lead


def _profile_steepness(x: np.ndarray, y: np.ndarray, angle: float) -> float:
    """Sum of squared steps of the ink count from row to row, rows sloping by `angle` degrees."""
    rows = y * np.cos(np.radians(angle)) - x * np.sin(np.radians(angle))
    profile = np.bincount((rows - rows.min(initial=0)).astype(int), minlength=1)
    return float(np.square(np.convolve(profile, _STEP)).sum())


def _stroke_boxes(ink: np.ndarray) -> np.ndarray:
    """(N, 4) left, top, right, bottom of strokes that are more than dots, half-open."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    boxes = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= 4, :4]
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def _lie_sideways(boxes: np.ndarray) -> bool:
    """Whether characters stand closer to those below them than to those beside them."""
    if len(boxes) < 20:
        return False
    starts, ends = boxes[:, :2], boxes[:, 2:]
    some = slice(None, None, len(boxes) // 500 + 1)
    gaps = []
    for along, across in ((0, 1), (1, 0)):
        centres = ((starts + ends) / 2)[some, across, None]
        beside = (starts[:, across] <= centres) & (centres < ends[:, across])
        gap = starts[:, along] - ends[some, along, None]
        gaps.append(np.where(beside & (gap >= 0), gap, np.inf).min(axis=1))
    return bool(np.mean(gaps[1] < gaps[0]) > _MIN_SIDEWAYS)


STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "to_gray": to_gray,
    "stretch_contrast": stretch_contrast,
    "flatten_light": flatten_light,
    "denoise": denoise,
    "sharpen": sharpen,
    "deblur": deblur,
    "deskew": deskew,
    "flatten_sheet": flatten_sheet,
}
"""Every step by its name in configurations."""


def choose_steps(image: np.ndarray) -> tuple[str, ...]:
    """The steps that a picture needs, from what it shows; none for a clean one."""
    steps = []
    if find_sheet(to_gray(image)) is not None:
        steps.append("flatten_sheet")
        image = flatten_sheet(image)
    if abs(estimate_skew(image)) >= _MIN_SKEW:
        steps.append("deskew")
    if is_unevenly_lit(image):
        steps.append("flatten_light")
    if estimate_blur(image) > _MAX_BLUR:
        steps.append("deblur")
    return tuple(steps)


def auto(image: np.ndarray) -> np.ndarray:
    """Apply the steps that `choose_steps` finds necessary; a clean picture stays as it is."""
    return enhance(image, choose_steps(image))


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
