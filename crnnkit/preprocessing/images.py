"""The only reader and writer of pictures: every form in, one kind of array out."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from crnnkit.errors import ImageError
from crnnkit.files import whole_file

ImageSource = str | Path | bytes | np.ndarray | Image.Image

MAX_BYTES = 50_000_000
"""Largest file read. An A4 page scanned at 600 dpi and kept as PNG has about 30 MB."""
MAX_PIXELS = 50_000_000
"""Largest picture decoded, in pixels: an A4 page at 600 dpi has 35 million."""

# A list of our own: among Pillow's other readers is one that starts Ghostscript.
READ_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
WRITE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}

# What Pillow's decoders raise on damaged files, found by damaging files of every format.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    struct.error,
    zlib.error,
)


def read_image(source: ImageSource) -> np.ndarray:
    """Read a picture in any form; equal pictures give equal arrays, whatever the form.

    Files and bytes may be PNG, JPEG, BMP, GIF, TIFF, WebP or PPM. EXIF rotation is applied,
    transparency is laid on white (on black where all that shows is light), 16-bit values keep
    their high byte. Of an animation the first frame is read; a TIFF of several pages is refused,
    because reading one would lose the others. A PIL image is read at its current frame.
    Arrays are RGB or RGBA, never BGR, and are not copied.

    Returns:
        uint8 (H, W) for grey pictures, (H, W, 3) RGB for all others.

    Raises:
        ImageError: if there is no such file, or it is empty, no picture, damaged,
            or larger than `MAX_BYTES` or `MAX_PIXELS`; sizes are checked before decoding.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, Image.Image):
        return _decoded(source, f"picture {getattr(source, 'filename', '') or 'given by PIL'}")
    if isinstance(source, bytes):
        return _read_bytes(source, f"picture of {len(source)} bytes")
    if isinstance(source, str | Path):
        return _read_bytes(file_bytes(Path(source)), str(source))
    raise ImageError(
        f"picture: cannot read a {type(source).__name__}. "
        "Give a path, the bytes of a file, a uint8 array or a PIL image."
    )


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 (H, W) or (H, W, 3) RGB; the suffix decides the format.

    The file appears whole or not at all. JPEG is written at quality 95.

    Raises:
        ImageError: if the suffix or the array is none we can write.
        WriteError: if the disk refuses.
    """
    path = Path(path)
    picture_format = WRITE_FORMATS.get(path.suffix.lower())
    if picture_format is None:
        known = " ".join(WRITE_FORMATS)
        raise ImageError(f"{path}: cannot write {path.suffix!r} files. Use one of {known}.")
    encoded = encode_image(image, picture_format)
    with whole_file(path) as partial:
        partial.write_bytes(encoded)


def encode_image(image: np.ndarray, picture_format: str = "PNG") -> bytes:
    """Content of a picture file of uint8 (H, W) or (H, W, 3) RGB."""
    encoded = io.BytesIO()
    Image.fromarray(_checked_array(image)).save(encoded, picture_format, quality=95)
    return encoded.getvalue()


def suffix_of(content: bytes) -> str:
    """Suffix that belongs to the content of a picture file that `read_image` reads, as `.png`."""
    picture_format = str(Image.open(io.BytesIO(content), formats=READ_FORMATS).format)
    suffixes = {name: suffix for suffix, name in reversed(WRITE_FORMATS.items())}
    return suffixes.get(picture_format, f".{picture_format.lower()}")


def file_bytes(path: Path) -> bytes:
    """Content of a picture file, not decoded.

    Raises:
        ImageError: if there is no such file, or it is empty or larger than `MAX_BYTES`.
    """
    try:
        num_bytes = path.stat().st_size
        if path.is_dir():
            raise ImageError(f"{path}: is a folder. Give the path of a picture in it.")
        _check_num_bytes(num_bytes, str(path))
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(
            f"{path}: no such picture. Relative paths start at {Path.cwd()}."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise ImageError(f"{path}: cannot be read: {error}. Check path and rights.") from None


def _check_num_bytes(num_bytes: int, where: str) -> None:
    if num_bytes == 0:
        raise ImageError(f"{where}: the file is empty (0 bytes). Copy or export it again.")
    if num_bytes > MAX_BYTES:
        raise ImageError(
            f"{where}: {num_bytes:,} bytes are more than the limit of {MAX_BYTES:,}. "
            "Save the picture smaller or as JPEG."
        )


def _check_size(width: int, height: int, where: str) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{where}: {width} x {height} pixels are more than the limit of {MAX_PIXELS:,}. "
            "Scale it down or cut it into parts."
        )


def _read_bytes(content: bytes, where: str) -> np.ndarray:
    _check_num_bytes(len(content), where)
    try:
        picture = Image.open(io.BytesIO(content), formats=READ_FORMATS)
        num_pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{where}: too large: {error} Scale it down.") from None
    except _DECODE_ERRORS:
        raise ImageError(
            f"{where}: not a picture that can be read (begins with {content[:8]!r}). "
            f"Save it as one of {', '.join(READ_FORMATS)}."
        ) from None
    if num_pages > 1:
        raise ImageError(f"{where}: holds {num_pages} pages. Save each page as its own picture.")
    return _decoded(picture, where)


def _decoded(picture: Image.Image, where: str) -> np.ndarray:
    """Decode, turn upright, and bring to grey or RGB."""
    _check_size(*picture.size, where)
    try:
        picture.load()
        is_turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
        upright = ImageOps.exif_transpose(picture) if is_turned else picture  # else: a copy
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"{where}: the picture is damaged or cut off: {error}. Copy or export it again."
        ) from None
    return _grey_or_rgb(upright, where)


def _grey_or_rgb(picture: Image.Image, where: str) -> np.ndarray:
    """Array of an upright picture in any mode, transparency laid on a background."""
    is_grey = picture.mode in ("1", "L", "LA", "La")
    if picture.mode.startswith("I"):
        values = np.array(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"{where}: values {values.min()}…{values.max()} do not fit 16 bits. "
                "Save it with 8 or 16 bits per channel."
            )
        return (values >> 8).astype(np.uint8)
    if picture.mode == "F":
        raise ImageError(f"{where}: pixels are floating-point numbers. Save it with 8 bits.")
    if picture.has_transparency_data:
        flat = _without_alpha(np.array(picture.convert("RGBA")))
        return flat[..., 0].copy() if is_grey else flat
    mode = "L" if is_grey else "RGB"
    return np.array(picture if picture.mode == mode else picture.convert(mode))


def _without_alpha(rgba: np.ndarray) -> np.ndarray:
    """Lay RGBA (H, W, 4) on white, or on black where all that shows is light.

    White text on a transparent ground would vanish on white. A light label with dark
    text on it shows dark pixels too, and keeps white around it.
    """
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    visible = colour.mean(axis=-1)[alpha[..., 0] > 127]
    all_light = visible.size > 0 and np.percentile(visible, 5) > 127
    ground = np.uint16(0 if all_light else 255)
    opacity = alpha.astype(np.uint16)
    flat = (colour * opacity + ground * (255 - opacity) + 127) // 255
    return flat.astype(np.uint8)


def _checked_array(image: np.ndarray) -> np.ndarray:
    """An array as `read_image` returns it, RGBA laid on a background."""
    channels = image.shape[2] if image.ndim == 3 else None
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (None, 3, 4):
        raise ImageError(
            f"picture array: shape {image.shape}, type {image.dtype} is no picture. "
            "Give uint8 (H, W), (H, W, 3) RGB or (H, W, 4) RGBA."
        )
    if image.size == 0:
        raise ImageError(f"picture array: shape {image.shape} holds no pixel.")
    _check_size(image.shape[1], image.shape[0], "picture array")
    return _without_alpha(image) if channels == 4 else image
