"""Pictures that tests of several steps of preprocessing share."""

import numpy as np
import pytest


@pytest.fixture
def page(make_line) -> np.ndarray:
    """A clean page of six lines."""
    canvas = np.full((321, 561), 255, np.uint8)
    for i in range(6):
        drawn = make_line(f"北京市朝阳区 {i} 建国路北京市朝阳", height=32)
        canvas[40 + 42 * i : 72 + 42 * i, 40 : 40 + drawn.shape[1]] = drawn
    return canvas
