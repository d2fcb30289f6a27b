"""From a line picture to the network's input: the one way, for training and for serving."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crnnkit.errors import ConfigError, ImageError
from crnnkit.preprocessing.enhance import enhance, to_gray

UInt8Image = NDArray[np.uint8]
FloatLine = NDArray[np.float32]

Convention = Literal["crnnkit", "modelscope", "meijieru"]

# Grey levels; keeps the noise of an empty line from being blown up to the size of ink.
MIN_SPREAD = 4.0
GREYS = np.arange(256.0)
# Of red, green and blue in ModelScope's grey; their sum is 0.9999.
MODELSCOPE_GREY = np.array([0.2989, 0.5870, 0.1140])


@dataclass(frozen=True)
class LineConfig:
    """How a line becomes an array. It belongs to a checkpoint and travels with it.

    Raises:
        ConfigError: if the convention is not known, a size is not positive, `max_width` is no
            multiple of `width_multiple`, or `min_width` is greater than `max_width`.
    """

    convention: Convention = "crnnkit"
    """Whose scaling and values.

    crnnkit: made grey, scaled without losing thin strokes, padded with the ground's grey, then
    every pixel measured against the ground.
    modelscope: scaled in colour (cv2, bilinear), padded with black, then made grey, in [0, 1].
    meijieru: made grey, scaled (PIL, bilinear), padded with black, in [-1, 1].
    """
    height: int = 32
    """Height of the network's input, pixels."""
    width_multiple: int = 32
    """Widths are padded to a multiple of this, pixels: lines of like width can share a batch."""
    min_width: int = 1
    """Narrower lines are stretched to this, pixels."""
    max_width: int = 2048
    """Wider lines are squeezed to this, pixels."""
    enhance: tuple[str, ...] = ()
    """Steps of `preprocessing.enhance` applied to every line, in this order."""
    turn_below: float = 0.0
    """A line read with less confidence than this, or sparsely, is read turned by 180° too, and the
    reading of which more characters are sure counts; 0 = lines are never upside down."""

    def __post_init__(self) -> None:
        """Refuse an unknown convention and sizes that cannot be."""
        if self.convention not in get_args(Convention):
            raise ConfigError(
                f"line config: convention is {self.convention!r}; it must be one of "
                f"{', '.join(get_args(Convention))}"
            )
        for name in ("height", "width_multiple", "min_width", "max_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"line config: {name} is {getattr(self, name)}; it must be ≥ 1")
        if self.max_width % self.width_multiple:
            raise ConfigError(
                f"line config: max_width {self.max_width} is no multiple of "
                f"width_multiple {self.width_multiple}"
            )
        if self.min_width > self.max_width:
            raise ConfigError(
                f"line config: min_width {self.min_width} is greater than "
                f"max_width {self.max_width}"
            )


def content_width(size_hw: Sequence[int], config: LineConfig) -> int:
    """Width in pixels of a picture of `size_hw` once scaled to the config's height."""
    height, width = size_hw
    exact = width * config.height / height
    scaled = round(exact) if config.convention == "crnnkit" else int(exact)
    return min(max(config.min_width, scaled), config.max_width)


def line_width(size_hw: Sequence[int], config: LineConfig) -> int:
    """Width W in pixels of the array that `line_to_array` makes of a picture of `size_hw`."""
    return -(-content_width(size_hw, config) // config.width_multiple) * config.width_multiple


def line_to_array(image: UInt8Image, config: LineConfig) -> FloatLine:
    """Turn one line picture into the network's input.

    Enhance as configured, scale to the config's height keeping the aspect, pad on the right to
    the line's own multiple, and turn grey values into the numbers that the network was trained
    on. What a line becomes never depends on other lines.

    Args:
        image: uint8 (H, W) grey or (H, W, 3) RGB.

    Returns:
        float32 (1, H, W), see `pixels_to_array`.

    Raises:
        ImageError: if the picture is empty or of another type.
    """
    return pixels_to_array(fit_line(image, config), config)


def fit_line(image: UInt8Image, config: LineConfig) -> UInt8Image:
    """The uint8 half of `line_to_array`: a picture of the final size.

    Training caches this form and augments it, so that both halves stay shared with serving.

    Returns:
        uint8 (H, W); (H, W, 3) where the config scales in colour.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise ImageError(
            f"line of shape {image.shape} and type {image.dtype}: expected a non-empty uint8 "
            "array (H, W) or (H, W, 3). Read pictures with read_image."
        )
    image = enhance(image, config.enhance)
    width = content_width(image.shape[:2], config)
    scaled = _scale(image, (width, config.height), config.convention)
    missing = line_width(image.shape[:2], config) - width
    padding = _border_gray(scaled) if config.convention == "crnnkit" else 0
    padded = cv2.copyMakeBorder(scaled, 0, 0, 0, missing, cv2.BORDER_CONSTANT, value=(padding,) * 3)
    return np.asarray(padded, np.uint8)


def _scale(image: UInt8Image, size: tuple[int, int], convention: Convention) -> UInt8Image:
    """Scale to `size` (W, H), in colour or grey."""
    if convention == "modelscope":
        rgb = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if convention == "meijieru":
        picture = Image.fromarray(image).convert("L")
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    gray = to_gray(image)
    # INTER_AREA averages what it drops, INTER_LINEAR would skip thin strokes
    interpolation = cv2.INTER_AREA if gray.shape[0] > size[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, size, interpolation=interpolation), np.uint8)


def half_turn(image: UInt8Image) -> UInt8Image:
    """The picture turned by 180°."""
    return np.asarray(cv2.rotate(image, cv2.ROTATE_180), np.uint8)


def pixels_to_array(pixels: UInt8Image, config: LineConfig) -> FloatLine:
    """The float half of `line_to_array`.

    Args:
        pixels: as `fit_line` makes them, perhaps augmented.

    Returns:
        float32 (1, H, W). By the config's convention: see `measure_ink`; [0, 1]; [-1, 1].
    """
    if config.convention == "modelscope":
        values = (pixels / 255) @ MODELSCOPE_GREY
    elif config.convention == "meijieru":
        values = (pixels / 255 - 0.5) / 0.5
    else:
        values = measure_ink(pixels)
    return values.astype(np.float32)[np.newaxis]


def measure_ink(gray: UInt8Image) -> FloatLine:
    """Ground = 0, ink positive, whatever the print's colours.

    The ground is the median grey, the unit the root mean square deviation from it. Ink is the
    rarer, farther side: where the third moment is negative, ink is dark and the sign is turned.
    So faint, bold, bright-on-dark and dark-on-bright prints look alike, and the zeros with which
    convolutions pad look like ground.

    Args:
        gray: uint8 (H, W).

    Returns:
        float32 (H, W), limited to ±4; ink lies around 2.
    """
    counts = _histogram(gray)
    deviation = GREYS - _median(counts)
    square = deviation * deviation
    spread = max(math.sqrt(counts @ square / gray.size), MIN_SPREAD)
    polarity = 1.0 if counts @ (square * deviation) >= 0 else -1.0
    values = (deviation * (polarity / spread)).clip(-4, 4).astype(np.float32)
    return np.asarray(cv2.LUT(gray, values), np.float32)


def median_gray(gray: UInt8Image) -> float:
    """What `np.median` gives, of few pixels in less time; of many, counting them is faster."""
    values = np.sort(gray, axis=None)
    low, high = values[[(values.size - 1) // 2, values.size // 2]].tolist()
    return float(low + high) / 2


def _histogram(gray: UInt8Image) -> NDArray[np.float64]:
    """How many pixels have each of the 256 greys."""
    counts = cv2.calcHist([gray], [0], None, [256], [0, 256])
    return counts.ravel().astype(np.float64)


def _median(counts: NDArray[np.float64]) -> float:
    """The median grey of a histogram."""
    up_to = counts.cumsum()
    middle = (up_to[-1] - 1) // 2, up_to[-1] // 2
    low, high = up_to.searchsorted(middle, side="right").tolist()
    return float(low + high) / 2


def _border_gray(gray: UInt8Image) -> int:
    """The ground's grey: the median of the picture's outermost pixels."""
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    return int(median_gray(border))
