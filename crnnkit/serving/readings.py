"""What a recogniser says of a line and of a page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crnnkit.preprocessing.quads import char_quads


@dataclass(frozen=True)
class LineReading:
    """What a line picture says; confidences are defined in `model.decode`."""

    text: str
    confidence: float
    char_confidences: tuple[float, ...]
    """One per character of `text`."""
    spans: tuple[tuple[int, int], ...]
    """Time steps of each character, half-open [start, end)."""
    edges: tuple[tuple[float, float], ...] = ()
    """Left and right edge of each character, 0 to 1 from the picture's left to its right end."""
    turned: bool = False
    """Whether the picture was read upside down; spans and edges then belong to it turned by
    180°."""
    passes_check: bool | None = None
    """Whether `text` obeys the check that was asked for; None if none was."""

    @property
    def certainty(self) -> float:
        """How many characters were read, each counted as much as it is sure."""
        return self.confidence * len(self.text)


@dataclass(frozen=True)
class PageLine:
    """One line of a page and its place."""

    text: str
    confidence: float
    box: NDArray[np.float32]
    """(4, 2) corners x, y in pixels of the upright page, clockwise from the text's top left."""
    char_confidences: tuple[float, ...] = ()
    """One per character of `text`."""
    edges: tuple[tuple[float, float], ...] = ()
    """Left and right edge of each character of `text`, 0 to 1 along the box."""
    passes_check: bool | None = None
    """As in `LineReading`."""

    @property
    def char_boxes(self) -> list[NDArray[np.float32]]:
        """Per character of `text` its corners (4, 2), as `box`."""
        return char_quads(self.box, self.edges)
