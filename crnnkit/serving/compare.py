"""Several readers on the same pictures, in turn."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from crnnkit.serving.recognizer import Recognizer


@dataclass(frozen=True)
class TimedTexts:
    """What one reader read, line by line."""

    texts: tuple[str, ...]
    ms: float
    """Median milliseconds of one line alone, once its picture is in memory; NaN without lines.

    CPU time of the calling thread: waiting for other programs is not counted.
    """


def read_in_turn(
    recognizers: Sequence[Recognizer], images: Sequence[NDArray[np.uint8]]
) -> list[TimedTexts]:
    """Let every reader read every picture before the next one comes.

    So whatever slows the computer slows all of them alike. The first picture is read twice and
    counted once.
    """
    texts: list[list[str]] = [[] for _ in recognizers]
    milliseconds: list[list[float]] = [[] for _ in recognizers]
    for image in images[:1] and [images[0], *images]:
        for recognizer, said, took in zip(recognizers, texts, milliseconds, strict=True):
            began = time.thread_time()
            said.append(recognizer.read_line(image).text)
            took.append(1e3 * (time.thread_time() - began))
    return [
        TimedTexts(tuple(said[1:]), median(took[1:]) if images else math.nan)
        for said, took in zip(texts, milliseconds, strict=True)
    ]
