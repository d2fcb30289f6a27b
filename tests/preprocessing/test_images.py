import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from crnnkit.errors import ImageError, WriteError
from crnnkit.preprocessing import images
from crnnkit.preprocessing.images import read_image, write_image

BROKEN = Path(__file__).parent / "broken"

pictures = arrays(
    np.uint8,
    st.one_of(
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
        st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)),
    ),
)


def encoded(picture: Image.Image, picture_format: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, picture_format, **options)
    return content.getvalue()


def gradient(height: int = 12, width: int = 20) -> np.ndarray:
    """RGB picture in which no row, column, channel or rotation equals another."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 9, x * 9, 255 - y - x], axis=-1).astype(np.uint8)


def handmade_png(
    width: int, height: int, *, bit_depth: int = 1, colour_type: int = 0, row: bytes = b""
) -> bytes:
    """A PNG file whose header need not tell the truth about its one row."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),  # as it is
        (2, np.fliplr),  # mirrored
        (3, lambda a: np.rot90(a, 2)),  # camera upside down
        (6, lambda a: np.rot90(a, -1)),  # phone upright
        (8, np.rot90),  # phone upright, the other way
    ],
)
def test_every_form_of_a_rotated_photo_gives_the_same_upright_array(tmp_path, orientation, turned):
    content = encoded(Image.fromarray(gradient()), "PNG", exif=exif(orientation))
    path = tmp_path / "照片 №1.png"
    path.write_bytes(content)
    expected = turned(gradient())
    for source in (path, str(path), content, Image.open(path), Image.open(io.BytesIO(content))):
        np.testing.assert_array_equal(read_image(source), expected)
    np.testing.assert_array_equal(read_image(expected), expected)


def test_jpeg_and_tiff_rotation_is_applied_once():
    for picture_format in ("JPEG", "TIFF", "WEBP"):
        content = encoded(Image.fromarray(gradient()), picture_format, exif=exif(6))
        assert read_image(content).shape == (20, 12, 3), picture_format


@pytest.mark.parametrize("picture_format", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_keep_every_value(picture_format):
    options = {"lossless": True} if picture_format == "WEBP" else {}
    content = encoded(Image.fromarray(gradient()), picture_format, **options)
    np.testing.assert_array_equal(read_image(content), gradient())


def test_modes_become_grey_or_rgb():
    colour = Image.fromarray(gradient())
    cases = {
        # mode: (what is stored, expected shape)
        "1": (colour.convert("1"), (12, 20)),
        "L": (colour.convert("L"), (12, 20)),
        "LA": (colour.convert("LA"), (12, 20)),
        "P": (colour.quantize(16), (12, 20, 3)),
        "RGBA": (colour.convert("RGBA"), (12, 20, 3)),
        "CMYK": (colour.convert("CMYK"), (12, 20, 3)),
        "YCbCr": (colour.convert("YCbCr"), (12, 20, 3)),
        "HSV": (colour.convert("HSV"), (12, 20, 3)),
    }
    for mode, (picture, shape) in cases.items():
        assert picture.mode == mode
        image = read_image(picture)
        assert image.shape == shape, mode
        assert image.dtype == np.uint8, mode
        assert image.flags.writeable, mode


def test_one_bit_becomes_black_and_white():
    image = read_image(Image.fromarray(np.array([[True, False]])))
    assert image.tolist() == [[255, 0]]


def test_cmyk_jpeg_keeps_its_colours():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(read_image(encoded(red, "JPEG")).astype(int) - [255, 0, 0]).max() < 10


def test_palette_transparency_shows_the_ground():
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 200, 30, 30])
    picture.putdata([0, 1])
    content = encoded(picture, "PNG", transparency=1)
    assert read_image(content).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("grey", [0x0000, 0x12FF, 0xFF00, 0xFFFF])
def test_16_bit_grey_keeps_its_high_byte(grey):
    values = np.full((3, 4), grey, np.uint16)
    for picture_format in ("PNG", "TIFF"):
        image = read_image(encoded(Image.fromarray(values), picture_format))
        assert image.tolist() == [[grey >> 8] * 4] * 3


def test_16_bit_colour_keeps_its_high_byte():
    pixel = struct.pack(">HHH", 0x12FF, 0x3400, 0xFFFF)
    content = handmade_png(1, 1, bit_depth=16, colour_type=2, row=pixel)
    assert read_image(content).tolist() == [[[0x12, 0x34, 0xFF]]]


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ((0, 0, 0), 255),  # black text on nothing: a white ground
        ((255, 255, 255), 0),  # white text would vanish on white
        ((255, 230, 90), 0),  # so would light yellow
        ((200, 30, 30), 255),  # dark red shows on white
    ],
)
def test_transparency_gets_a_ground_on_which_text_shows(text, ground):
    rgba = np.zeros((8, 10, 4), np.uint8)
    rgba[2:6, 2:8] = (*text, 255)
    expected = np.full((8, 10, 3), ground, np.uint8)
    expected[2:6, 2:8] = text
    for source in (rgba, Image.fromarray(rgba), encoded(Image.fromarray(rgba))):
        np.testing.assert_array_equal(read_image(source), expected)


def test_a_light_label_with_dark_text_keeps_white_around_it():
    rgba = np.zeros((20, 30, 4), np.uint8)
    rgba[4:16, 4:26] = 255
    rgba[8:12, 8:20] = (0, 0, 0, 255)
    assert read_image(rgba)[0, 0].tolist() == [255, 255, 255]


def test_half_transparent_pixels_are_mixed_and_opaque_ones_kept():
    rgba = np.array([[[0, 0, 0, 255], [0, 0, 0, 128], [15, 15, 15, 10], [0, 0, 0, 0]]], np.uint8)
    # 255 * 127/255 = 127; 15 * 10/255 + 255 * 245/255 = 245.6
    assert read_image(rgba)[0, :, 0].tolist() == [0, 127, 246, 255]
    opaque_white = np.full((2, 2, 4), 255, np.uint8)
    assert (read_image(opaque_white) == 255).all()


def test_first_frame_of_an_animation_is_read():
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (read_image(content) == 10).all()


def test_tiff_of_several_pages_is_refused():
    pages = [Image.new("L", (4, 4), value) for value in (10, 200, 30)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match=r"holds 3 pages\. Save each page"):
        read_image(content)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.png", "empty.png: the file is empty"),
        ("text_named.png", r"text_named\.png: not a picture .*b'not a pi'.*PNG"),
        ("cut_off.jpg", r"cut_off\.jpg: the picture is damaged or cut off"),
        ("cut_off.png", r"cut_off\.png: the picture is damaged or cut off"),
        ("bomb.png", r"bomb\.png: 12000 x 12000 pixels .* limit of 50,000,000"),
        ("float.tif", r"float\.tif: pixels are floating-point"),
        ("missing.png", r"missing\.png: no such picture.*Relative paths start at"),
        ("", "broken: is a folder"),
    ],
)
def test_broken_files_are_refused_by_name(name, message):
    with pytest.raises(ImageError, match=message):
        read_image(BROKEN / name)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [30_000, 10_000, 7_100])
def test_large_pictures_are_refused_before_they_are_decoded(monkeypatch, size):
    """Pillow itself refuses 30,000 px a side and warns of 10,000; 7,100 is past our limit only."""
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="too large|limit of 50,000,000"):
        read_image(handmade_png(size, size))


@pytest.mark.filterwarnings("error")
def test_a_warning_turned_error_is_still_an_image_error():
    with pytest.raises(ImageError, match="too large"):
        read_image(handmade_png(10_000, 10_000))


def test_large_files_are_refused_before_they_are_read(monkeypatch, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(encoded(Image.fromarray(gradient())))
    monkeypatch.setattr(images, "MAX_BYTES", 50)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read"))
    with pytest.raises(ImageError, match=r"large\.png: \d+ bytes are more than the limit of 50"):
        read_image(path)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("picture_format", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_no_picture_cut_off_in_its_pixels_is_read(picture_format):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), picture_format)
    for share in (0.02, 0.1, 0.3, 0.5, 0.9):
        with pytest.raises(ImageError):
            read_image(content[: int(len(content) * share)])


def test_a_tiff_whose_second_page_is_damaged_is_an_image_error():
    page = Image.fromarray(gradient())
    content = bytearray(encoded(page, "TIFF", save_all=True, append_images=[page]))
    entry = content.rindex(struct.pack("<HH", 256, 4))  # tag ImageWidth, type long
    content[entry : entry + 2] = struct.pack("<H", 255)
    with pytest.raises(ImageError, match="not a picture that can be read"):
        read_image(bytes(content))


@pytest.mark.parametrize("picture_format", ["EPS", "PCX", "ICO"])
def test_formats_outside_the_list_are_refused(picture_format):
    """Pillow can read them, EPS by starting another program."""
    content = encoded(Image.fromarray(gradient()), picture_format)
    with pytest.raises(ImageError, match="Save it as one of PNG, JPEG"):
        read_image(content)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that it then reads or refuses
@given(st.data())
def test_damaged_files_give_an_image_or_an_image_error(data):
    picture_format = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"]))
    content = bytearray(encoded(Image.fromarray(gradient()), picture_format))
    position = st.integers(0, min(len(content), 200) - 1)
    for at, value in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), max_size=8)):
        content[at] = value
    try:
        image = read_image(bytes(content))
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.shape[2:] in ((), (3,))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),  # 0…1 or 0…255? nobody knows
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 3, 4, 4), np.uint8),  # a batch
        np.zeros(5, np.uint8),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError, match=r"shape .* is no picture\. Give uint8 \(H, W\)"):
        read_image(array)


def test_other_bad_sources_are_refused(monkeypatch):
    with pytest.raises(ImageError, match="holds no pixel"):
        read_image(np.zeros((0, 4), np.uint8))
    with pytest.raises(ImageError, match="cannot read a NoneType. Give a path"):
        read_image(None)
    with pytest.raises(ImageError, match="0 bytes"):
        read_image(b"")
    with pytest.raises(ImageError, match=r"values -1…70000 do not fit 16 bits"):
        read_image(Image.fromarray(np.array([[-1, 70000]], np.int32)))
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("nul\0.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 10)
    with pytest.raises(ImageError, match="4 x 3 pixels are more than the limit of 10"):
        read_image(np.zeros((3, 4), np.uint8))


@given(pictures)
@settings(max_examples=50)
def test_written_pictures_read_back_equal(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("images") / "新建" / "图.PNG"
    write_image(path, image)
    np.testing.assert_array_equal(read_image(path), image)
    assert [file.name for file in path.parent.iterdir()] == ["图.PNG"]


@pytest.mark.parametrize("suffix", sorted(images.WRITE_FORMATS))
def test_every_suffix_writes_its_format(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    write_image(path, np.full((16, 16, 3), (200, 100, 50), np.uint8))
    assert Image.open(path).format == images.WRITE_FORMATS[suffix]
    assert np.abs(read_image(path).astype(int) - [200, 100, 50]).max() < 8


@pytest.mark.parametrize("picture_format", sorted(images.READ_FORMATS))
def test_the_suffix_is_that_of_the_content(tmp_path, picture_format):
    content = images.encode_image(np.full((16, 16, 3), 200, np.uint8), picture_format)
    suffix = images.suffix_of(content)
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert Image.open(tmp_path / f"a{suffix}").format == picture_format
    assert suffix in (*images.WRITE_FORMATS, ".gif", ".ppm")


def test_pictures_that_cannot_be_written_leave_nothing_behind(tmp_path, monkeypatch):
    image = np.zeros((4, 4), np.uint8)
    with pytest.raises(ImageError, match=r"cannot write '\.heic' files\. Use one of \.png"):
        write_image(tmp_path / "picture.heic", image)
    old = tmp_path / "old.png"
    write_image(old, image)

    def full_disk(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crnnkit.files.os.replace", full_disk)
    with pytest.raises(WriteError, match=r"old\.png: cannot be written: .*No space left"):
        write_image(old, image + 9)
    assert [file.name for file in tmp_path.iterdir()] == ["old.png"]
    assert (read_image(old) == 0).all()
