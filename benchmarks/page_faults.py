"""What goes wrong with pages on their way to a picture: each fault makes a good page worse.

The pictures are made anew for every measurement; `FROZEN` holds what they must be.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from crnnkit.dataset.pages import Page
from crnnkit.preprocessing.images import read_image, write_image

Faulted = tuple[np.ndarray, np.ndarray]
"""A picture, and the 3x3 matrix from the good page's px to its own."""


def turned(image: np.ndarray, degrees: float) -> Faulted:
    """Turned clockwise; the picture grows, its corners are grey."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = (round(width * cos + height * sin), round(width * sin + height * cos))
    turn[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    picture = cv2.warpAffine(image, turn, size, flags=cv2.INTER_CUBIC, borderValue=(128,) * 3)
    return picture, np.vstack([turn, [0, 0, 1]])


def darkened(image: np.ndarray) -> Faulted:
    """Light falls off to a quarter from the left to the right."""
    light = np.linspace(1, 0.25, image.shape[1], dtype=np.float32)
    lit = image * (light if image.ndim == 2 else light[:, None])
    return np.rint(lit).astype(np.uint8), np.eye(3)


def blurred(image: np.ndarray) -> Faulted:
    """Out of focus: Gaussian, sigma 1.5 px."""
    return cv2.GaussianBlur(image, (0, 0), 1.5), np.eye(3)


def photographed(image: np.ndarray) -> Faulted:
    """On a dark table, seen from below and a little from the left."""
    height, width = image.shape[:2]
    size = (round(1.2 * width), round(1.1 * height))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shares = [[0.2, 0.06], [0.83, 0.04], [0.96, 0.95], [0.05, 0.97]]
    seen = (np.array(shares) * size).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, seen)
    table = (45, 38, 34) if image.ndim == 3 else (40,)
    picture = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_CUBIC, borderValue=table)
    return picture, matrix


FAULTS: dict[str, Callable[[np.ndarray], Faulted]] = {
    "turned 3": lambda image: turned(image, 3),
    "turned 7": lambda image: turned(image, 7),
    "turned 90": lambda image: turned(image, 90),
    "darkened": darkened,
    "blurred": blurred,
    "photographed": photographed,
}

FROZEN = {
    "turned 3": "7daa2161053a",
    "turned 7": "29f00916efa7",
    "turned 90": "dc9a8513c2ec",
    "darkened": "b33a153a12f6",
    "blurred": "bd6cdccf21f6",
    "photographed": "de15d720a015",
}
"""Fault → beginning of the SHA-256 over its pictures of receipts/pages_val.jsonl (OpenCV 5.0)."""


def make(pages: Iterable[Page], fault: str, folder: Path) -> tuple[list[Page], str]:
    """Write each page's faulted picture; give the pages with it, and the pictures' SHA-256."""
    made, digest = [], hashlib.sha256()
    for page in pages:
        picture, matrix = FAULTS[fault](read_image(page.image))
        path = folder / f"{page.image.stem}_{fault.replace(' ', '_')}.png"
        write_image(path, picture)
        digest.update(picture.tobytes())
        quads = cv2.perspectiveTransform(np.array(page.quads, np.float64).reshape(-1, 1, 2), matrix)
        corners = tuple(
            tuple((float(x), float(y)) for x, y in quad) for quad in quads.reshape(-1, 4, 2)
        )
        made.append(Page(path, page.texts, corners))  # type: ignore[arg-type]
    return made, digest.hexdigest()
