"""What conversions pass on: a labelled picture, or the reason why there is none."""

from dataclasses import dataclass
from pathlib import Path

from crnnkit.dataset.faults import shown
from crnnkit.errors import DatasetError, ImageError
from crnnkit.preprocessing.images import file_bytes, read_image
from crnnkit.vocab import normalize_text

MAX_LABEL_BYTES = 100_000_000
"""Largest file of labels read: a million lines of an index, 200,000 of Label Studio's JSON."""


@dataclass(frozen=True)
class Sample:
    """A labelled picture of one line, from wherever."""

    source: str
    """Where it stands, for messages: `file:line`, a key, a task."""
    name: str
    """Path of its picture as the source has it; keeps documents apart, is no path to open."""
    image: bytes
    """Content of the picture file, not decoded."""
    text: str


@dataclass(frozen=True)
class LeftOut:
    """A sample that could not be taken over."""

    source: str
    reason: str

    def __str__(self) -> str:
        """`source: reason`."""
        return f"{self.source}: {self.reason}"


def load_sample(source: str, folder: Path, name: str, text: str) -> Sample | LeftOut:
    """A sample whose picture is a file of an export; only files inside `folder` are opened."""
    path = inside(folder, name)
    if path is None:
        return LeftOut(source, f"path {shown(name)} leads out of {folder}")
    return open_sample(source, path, name, text)


def open_sample(source: str, path: Path, name: str, text: str) -> Sample | LeftOut:
    """A sample whose picture is the file `path`, which the user vouches for."""
    try:
        return Sample(source, name, file_bytes(path), text)
    except ImageError as error:
        return LeftOut(source, str(error))


def inside(folder: Path, name: str) -> Path | None:
    """The path of `name` in `folder`, links followed; None if that is not inside."""
    if "\0" in name:
        return None
    path = (folder / name.replace("\\", "/")).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def checked(sample: Sample) -> Sample | LeftOut:
    """The sample with its text normalised, if it has one line of text and a readable picture."""
    num_lines = len(sample.text.strip().splitlines())
    text = normalize_text(sample.text)
    if num_lines > 1:
        return LeftOut(sample.source, f"text {shown(sample.text)} has {num_lines} lines, not one")
    if not text:
        return LeftOut(sample.source, "has no text")
    try:
        read_image(sample.image)
    except ImageError as error:
        return LeftOut(sample.source, f"{shown(sample.name)}: {error}")
    return Sample(sample.source, sample.name, sample.image, text)


def read_label_file(path: Path) -> str:
    """Text of a file of labels, UTF-8 with or without byte-order mark.

    Raises:
        DatasetError: if it cannot be read, is no UTF-8, or is larger than `MAX_LABEL_BYTES`.
    """
    check_label_size(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}. Check the path.") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 (byte {error.start}). Save it as UTF-8.") from None


def check_label_size(path: Path) -> None:
    """Refuse a file of labels that is larger than `MAX_LABEL_BYTES`."""
    if path.is_file() and path.stat().st_size > MAX_LABEL_BYTES:
        raise DatasetError(
            f"{path}: {path.stat().st_size:,} bytes are more than the limit of "
            f"{MAX_LABEL_BYTES:,}. Export it in parts."
        )
