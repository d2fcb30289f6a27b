"""Draw any text as a picture with the font inside OpenCV, which knows Chinese, on any machine."""

import string
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

GLYPH_PX = 24
"""Size of the characters drawn, pixels: sharp where a figure shows them at 9 to 12 points."""

BASELINE_PX, HEIGHT_PX = round(1.1 * GLYPH_PX), round(1.5 * GLYPH_PX)
"""Row on which characters stand, and height of the pictures."""

UInt8Image = NDArray[np.uint8]


def draw_text(text: str) -> UInt8Image:
    """Ink of a text, 0 (none) to 255: uint8 (H, W).

    A character that the font lacks is written as its code point, e.g. U+20000.
    """
    return _draw("".join(c if can_draw(c) else f"U+{ord(c):04X}" for c in text))


@lru_cache(maxsize=10_000)
def can_draw(character: str) -> bool:
    """Whether the font has a glyph: where it has none, OpenCV draws '?' or nothing."""
    if character in string.printable:
        return True
    glyph = _draw(character)
    return bool(glyph.any()) and not np.array_equal(glyph, _draw("\U0010ffff"))


def _draw(text: str) -> UInt8Image:
    canvas = np.zeros((HEIGHT_PX, 2 * GLYPH_PX * (len(text) + 1)), np.uint8)
    (end, _), _ = cv2.putText(canvas, text, (0, BASELINE_PX), (255,), cv2.FontFace("uni"), GLYPH_PX)
    return canvas[:, : max(end, 1)]
