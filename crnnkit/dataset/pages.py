"""Labelled pages, one JSON object per line of a `.jsonl` file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from crnnkit.dataset.faults import MAX_SHOWN, count_of
from crnnkit.errors import DatasetError
from crnnkit.vocab import normalize_text

Point = tuple[FiniteFloat, FiniteFloat]
Quad = tuple[Point, Point, Point, Point]


@dataclass(frozen=True)
class Page:
    """A picture of several lines, with what is printed where."""

    image: Path
    """Absolute path of the picture."""
    texts: tuple[str, ...]
    """As `normalize_text` leaves them."""
    quads: tuple[Quad, ...]
    """Per line its corners (4, 2), x and y in px, clockwise from the text's top left."""


class _LabelledLine(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    points: Quad


class _LabelledPage(BaseModel):
    model_config = ConfigDict(extra="forbid")
    image: Annotated[str, Field(min_length=1)]
    lines: list[_LabelledLine]


def read_pages(path: str | Path) -> list[Page]:
    """Read `{"image": path, "lines": [{"text": …, "points": [[x, y] x4]}]}` per line.

    A picture's path is relative to the file.

    Raises:
        DatasetError: naming the first 20 faulty lines and the number of all.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}. Check path and encoding.") from None
    pages, faults = [], []
    # not splitlines: it would also split at U+2028, which JSON allows inside a text
    for number, row in enumerate(content.split("\n") if content else [], start=1):
        try:
            label = _LabelledPage.model_validate_json(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "JSON"
            faults.append(f"{path}:{number}: {where}: {first['msg']}")
            continue
        image = (path.parent / label.image).resolve()
        if not image.is_file():
            faults.append(f"{path}:{number}: no file {label.image!r}")
        texts = tuple(normalize_text(line.text) for line in label.lines)
        pages.append(Page(image, texts, tuple(line.points for line in label.lines)))
    if not pages and not faults:
        faults.append(f"{path}: holds no pages")
    if faults:
        shown = "\n".join(faults[:MAX_SHOWN])
        raise DatasetError(f"{count_of(len(faults), 'faulty page')}:\n{shown}\nCorrect the file.")
    return pages
