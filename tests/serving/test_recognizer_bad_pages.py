"""Pictures that nobody should send: a clear answer each time."""

import io

import numpy as np
import pytest
from PIL import Image

from crnnkit.errors import ImageError


def content(picture: Image.Image, picture_format: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, picture_format, **options)
    return stream.getvalue()


@pytest.fixture
def page(make_line) -> np.ndarray:
    """Two lines, dark on white."""
    canvas = np.full((200, 420), 255, np.uint8)
    for row, text in enumerate(["2024-03-01", "A1 B2 0123"]):
        line = make_line(text, height=40)
        canvas[20 + 80 * row : 60 + 80 * row, 30 : 30 + line.shape[1]] = line
    return canvas


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_page_has_no_lines(recognizer, value):
    assert recognizer.read_page(np.full((400, 300), value, np.uint8)) == []


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 400), (400, 1), (32, 20_000)])
def test_odd_sizes_are_read_as_what_they_are(recognizer, size_hw):
    lines = recognizer.read_page(np.full(size_hw, 255, np.uint8))
    assert len(lines) <= 1
    assert all(np.isfinite(line.box).all() for line in lines)


@pytest.mark.parametrize(
    ("mode", "picture_format", "options"),
    [
        ("CMYK", "JPEG", {"quality": 95}),
        ("I;16", "PNG", {}),
        ("P", "GIF", {"save_all": True, "append_images": [Image.new("P", (420, 200))]}),
        ("RGB", "WEBP", {"save_all": True, "append_images": [Image.new("RGB", (420, 200))],
            "lossless": True}),
    ],
)  # fmt: skip
def test_odd_formats_give_the_lines_of_the_first_picture(
    recognizer, page, mode, picture_format, options
):
    picture = Image.fromarray(page)
    if mode == "I;16":
        picture = Image.fromarray(page.astype(np.uint16) << 8)
    elif mode != "L":
        picture = picture.convert(mode)
    assert len(recognizer.read_page(content(picture, picture_format, **options))) == 2


def test_a_file_cut_off_a_document_and_a_picture_too_large_are_refused(recognizer, page):
    whole = content(Image.fromarray(page), "PNG")
    with pytest.raises(ImageError, match="damaged or cut off"):
        recognizer.read_page(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="not a picture that can be read"):
        recognizer.read_page(b"%PDF-1.7\n" + bytes(100))
    with pytest.raises(
        ImageError, match="8000 x 8000 pixels are more than the limit of 50,000,000"
    ):
        recognizer.read_page(content(Image.new("L", (8000, 8000), 255), "PNG"))


def test_characters_of_a_page_stand_in_their_lines(recognizer, page):
    for line in recognizer.read_page(page):
        assert len(line.char_boxes) == len(line.text)
        low, high = line.box.min(0) - 1e-3, line.box.max(0) + 1e-3
        for box in line.char_boxes:
            assert (box >= low).all()
            assert (box <= high).all()
