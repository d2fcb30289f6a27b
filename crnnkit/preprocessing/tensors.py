"""From a line picture to the network's input: the one way, for training and for serving."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crnnkit.errors import ConfigError, ImageError
from crnnkit.preprocessing.enhance import enhance, to_gray

UInt8Image = NDArray[np.uint8]
FloatLine = NDArray[np.float32]

# Grey levels; keeps the noise of an empty line from being blown up to the size of ink.
MIN_SPREAD = 4.0


@dataclass(frozen=True)
class LineConfig:
    """How a line becomes an array. It belongs to a checkpoint and travels with it.

    Raises:
        ConfigError: if a size is not positive or `max_width` is no multiple of `width_multiple`.
    """

    height: int = 32
    """Height of the network's input, pixels."""
    width_multiple: int = 32
    """Widths are padded to a multiple of this, pixels: lines of like width can share a batch."""
    max_width: int = 2048
    """Wider lines are squeezed to this, pixels."""
    enhance: tuple[str, ...] = ()
    """Steps of `preprocessing.enhance` applied to every line, in this order."""
    turn_below: float = 0.0
    """A line read with less confidence than this is read turned by 180° too, and the surer
    reading counts; 0 = lines are never upside down."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        for name in ("height", "width_multiple", "max_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"line config: {name} is {getattr(self, name)}; it must be ≥ 1")
        if self.max_width % self.width_multiple:
            raise ConfigError(
                f"line config: max_width {self.max_width} is no multiple of "
                f"width_multiple {self.width_multiple}"
            )


def content_width(size_hw: Sequence[int], config: LineConfig) -> int:
    """Width in pixels of a picture of `size_hw` once scaled to the config's height."""
    height, width = size_hw
    return min(max(1, round(width * config.height / height)), config.max_width)


def line_width(size_hw: Sequence[int], config: LineConfig) -> int:
    """Width W in pixels of the array that `line_to_array` makes of a picture of `size_hw`."""
    return -(-content_width(size_hw, config) // config.width_multiple) * config.width_multiple


def line_to_array(image: UInt8Image, config: LineConfig) -> FloatLine:
    """Turn one line picture into the network's input.

    Enhance as configured, make grey, scale to the config's height keeping the aspect, pad on
    the right with the border's own grey to the line's own multiple, and measure every pixel
    against the line's ground. What a line becomes never depends on other lines.

    Args:
        image: uint8 (H, W) grey or (H, W, 3) RGB.

    Returns:
        float32 (1, H, W), see `gray_to_array`.

    Raises:
        ImageError: if the picture is empty or of another type.
    """
    return gray_to_array(fit_line(image, config))


def fit_line(image: UInt8Image, config: LineConfig) -> UInt8Image:
    """The uint8 half of `line_to_array`: uint8 grey (H, W) of the final size.

    Training caches this form and augments it, so that both halves stay shared with serving.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise ImageError(
            f"line of shape {image.shape} and type {image.dtype}: expected a non-empty uint8 "
            "array (H, W) or (H, W, 3). Read pictures with read_image."
        )
    gray = to_gray(enhance(image, config.enhance))
    width = content_width(gray.shape, config)
    shrinks = gray.shape[0] > config.height
    # INTER_AREA averages what it drops, INTER_LINEAR would skip thin strokes
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (width, config.height)
    scaled = np.asarray(cv2.resize(gray, size, interpolation=interpolation), np.uint8)
    missing = line_width(gray.shape, config) - width
    return np.pad(scaled, ((0, 0), (0, missing)), constant_values=_border_gray(scaled))


def half_turn(image: UInt8Image) -> UInt8Image:
    """The picture turned by 180°."""
    return np.asarray(cv2.rotate(image, cv2.ROTATE_180), np.uint8)


def gray_to_array(gray: UInt8Image) -> FloatLine:
    """The float half of `line_to_array`: ground = 0, ink positive, whatever the print's colours.

    The ground is the median grey, the unit the root mean square deviation from it. Ink is the
    rarer, farther side: where the third moment is negative, ink is dark and the sign is turned.
    So faint, bold, bright-on-dark and dark-on-bright prints look alike, and the zeros with which
    convolutions pad look like ground.

    Args:
        gray: uint8 (H, W).

    Returns:
        float32 (1, H, W), limited to ±4; ink lies around 2.
    """
    deviation = gray.astype(np.float32) - np.float32(np.median(gray))
    square = deviation * deviation
    spread = max(float(np.sqrt(square.mean())), MIN_SPREAD)
    polarity = 1.0 if float((square * deviation).mean()) >= 0 else -1.0
    return (deviation * (polarity / spread)).clip(-4, 4)[np.newaxis]


def _border_gray(gray: UInt8Image) -> int:
    """The ground's grey: the median of the picture's outermost pixels."""
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    return int(np.median(border))
