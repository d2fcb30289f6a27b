"""Which of the places that look like lines are given as lines of a page."""

import numpy as np
import pytest

from crnnkit.serving.pages import _text_lines
from crnnkit.serving.readings import LineReading


@pytest.mark.parametrize(
    ("readings", "texts"),
    [
        ([("AB", 0.9), ("CD", 0.8), ("EF", 0.9)], ["AB", "CD", "EF"]),
        ([("AB", 0.9), ("1", 0.2), ("EF", 0.9)], ["AB", "EF"]),  # the edge of the paper
        ([("AB", 0.9), ("", 0.9), ("EF", 0.9)], ["AB", "EF"]),  # a stain
        ([("AB", 0.3), ("CD", 0.2), ("EF", 0.3)], ["AB", "CD", "EF"]),  # a model unsure of all
        ([("", 0.9), ("", 0.9), ("", 0.9)], []),
        ([("", 0.1)], [""]),  # a picture of one line is that line
    ],
)
def test_what_is_much_less_sure_than_the_page_is_no_line(readings, texts):
    quad = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.float32)
    lines = _text_lines([(LineReading(*reading, (), ()), quad) for reading in readings])
    assert [line.text for line in lines] == texts
