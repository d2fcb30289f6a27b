"""Labels as other tools leave them: beside each picture, in a table, or on pages to cut up."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import cv2
import numpy as np
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError

from crnnkit.dataset.faults import raise_if_errors, shown
from crnnkit.dataset.index import parse_index, relative_path
from crnnkit.dataset.samples import (
    LeftOut,
    Sample,
    check_label_size,
    inside,
    load_sample,
    open_sample,
    read_label_file,
)
from crnnkit.errors import DatasetError, ImageError
from crnnkit.preprocessing.images import WRITE_FORMATS, encode_image, read_image
from crnnkit.preprocessing.lines import crop_line

Found = Iterator[Sample | LeftOut]
Corners = list[tuple[float, float]]


def read_index_file(path: Path) -> Found:
    """The project's own index file; its pictures may lie anywhere."""
    check_label_size(path)
    parsed = parse_index(path)
    raise_if_errors(fault for fault in parsed.faults if fault.line_number == 0)
    for fault in parsed.faults:
        if fault.severity == "error":
            yield LeftOut(f"{path}:{fault.line_number}", f"{fault.code}: {fault.message}")
    for line in parsed.lines:
        name = relative_path(line.image, path.parent.resolve())
        yield open_sample(f"{path}:{line.line_number}", line.image, name, line.text)


def read_rows(path: Path) -> Found:
    """PPOCRLabel's `rec_gt.txt`, `picture<TAB>text` per line, pictures in its folder."""
    for source, row in _rows(path):
        name, tab, text = row.partition("\t")
        if tab:
            yield load_sample(source, path.parent, name, text)
        else:
            yield LeftOut(source, f"no tab in {shown(row)}")


def read_easyocr(path: Path) -> Found:
    """EasyOCR's `labels.csv`: header `filename,words`; only the first comma separates.

    Words that begin and end with a quotation mark are unquoted as CSV; other marks stay.
    """
    (_, header), *rows = _rows(path) or [("", "")]
    if header.replace(" ", "") != "filename,words":
        raise DatasetError(f"{path}:1: begins with {shown(header)}. Expected 'filename,words'.")
    for source, row in rows:
        name, comma, words = row.partition(",")
        if len(words) > 1 and words[0] == words[-1] == '"':
            words = words[1:-1].replace('""', '"')
        if comma:
            yield load_sample(source, path.parent, name.strip('"'), words)
        else:
            yield LeftOut(source, f"no comma in {shown(row)}")


def _rows(path: Path) -> list[tuple[str, str]]:
    """`file:line` and content of every line that holds anything."""
    rows = enumerate(read_label_file(path).split("\n"), start=1)
    return [(f"{path}:{number}", row.removesuffix("\r")) for number, row in rows if row.strip()]


def read_gt_folder(folder: Path) -> Found:
    """Pictures with a text file of the same name ending in `.gt.txt`, in folders at any depth."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    pictures: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        if path.suffix.lower() in WRITE_FORMATS:
            pictures[path.with_suffix("")].append(path)
    for path in files:
        if not path.name.endswith(".gt.txt"):
            continue
        beside = pictures.pop(path.with_name(path.name.removesuffix(".gt.txt")), [])
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or len(beside) != 1:
            names = ", ".join(picture.name for picture in beside) or "no picture"
            yield LeftOut(str(path), "is hidden" if hidden else f"has {names} beside it, not one")
            continue
        try:
            text = read_label_file(path)
        except DatasetError as error:
            yield LeftOut(str(path), str(error))
            continue
        yield load_sample(str(path), folder, beside[0].relative_to(folder).as_posix(), text)
    for picture in (picture for beside in pictures.values() for picture in beside):
        yield LeftOut(str(picture), "has no .gt.txt beside it")


class _PaddleLine(BaseModel):
    transcription: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    difficult: bool = False


_PADDLE_LINES = TypeAdapter(list[_PaddleLine])


def read_ppocrlabel(path: Path) -> Found:
    """PPOCRLabel's `Label.txt`: per page its path and a JSON list of quadrilaterals with texts.

    A page's path begins with the name that its folder had: the folder of `Label.txt`.
    """
    for source, row in _rows(path):
        name, _, described = row.partition("\t")
        try:
            lines = _PADDLE_LINES.validate_json(described)
        except ValidationError as error:
            yield LeftOut(source, f"no list of lines after a tab: {_first_of(error)}")
            continue
        page = _Page(source, path.parent, [PurePosixPath(name.replace("\\", "/")).name])
        for count, line in enumerate(lines, start=1):
            if line.difficult or line.transcription == "###":
                yield LeftOut(f"{source}: line {count}", "is marked as not readable")
            else:
                yield page.cut(count, line.points, line.transcription)


class _Region(BaseModel):
    id: str = ""  # relations between regions have none
    value: dict[str, Any] = {}


class _Annotation(BaseModel):
    result: list[_Region]
    was_cancelled: bool = False


class _Task(BaseModel):
    id: int
    data: dict[str, Any]
    annotations: list[_Annotation]


_TASKS = TypeAdapter(list[_Task])


class _Rectangle(BaseModel):
    """In percent of the page's width and height; turned clockwise about its top left corner."""

    x: FiniteFloat
    y: FiniteFloat
    width: FiniteFloat
    height: FiniteFloat
    rotation: FiniteFloat = 0.0


def read_label_studio(path: Path) -> Found:
    """Label Studio's export "JSON": rectangles with a transcription on pages.

    Pages are looked for by the end of their address in the folder of the file and in its
    `images`, with or without the eight characters that Label Studio puts before an upload.
    """
    try:
        tasks = _TASKS.validate_json(read_label_file(path))
    except ValidationError as error:
        raise DatasetError(
            f"{path}: not Label Studio's export 'JSON' ({_first_of(error)}). "
            "Choose JSON, not JSON-MIN, when exporting."
        ) from None
    for task in tasks:
        source = f"{path}: task {task.id}"
        page = _Page(source, path.parent, _places(task.data))
        done = [annotation for annotation in task.annotations if not annotation.was_cancelled]
        if not done:
            yield LeftOut(source, "has no annotation")
        for other in done[1:]:
            yield LeftOut(source, f"has another annotation of {len(other.result)} results")
        regions: dict[str, dict[str, Any]] = defaultdict(dict)
        for region in done[0].result if done else []:
            regions[region.id] |= region.value
        # what has neither place nor text, such as a choice for the page, is no line
        lines = [value for value in regions.values() if value.keys() & {"x", "points", "text"}]
        for count, value in enumerate(lines, start=1):
            yield _cut_region(page, count, value)


def _cut_region(page: "_Page", count: int, value: dict[str, Any]) -> Sample | LeftOut:
    texts = value.get("text", [])
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or len(texts) != 1 or not isinstance(texts[0], str):
        return LeftOut(f"{page.source}: line {count}", f"has transcription {texts!r}, not one")
    try:
        box = _Rectangle.model_validate(value)
    except ValidationError:
        return LeftOut(f"{page.source}: line {count}", "is no rectangle")
    image = page.image
    if isinstance(image, LeftOut):
        return LeftOut(f"{page.source}: line {count}", image.reason)
    scale = np.array([image.shape[1], image.shape[0]]) / 100
    sides = np.array([[0, 0], [box.width, 0], [box.width, box.height], [0, box.height]]) * scale
    cos, sin = np.cos(np.radians(box.rotation)), np.sin(np.radians(box.rotation))
    corners = np.array([box.x, box.y]) * scale + sides @ np.array([[cos, sin], [-sin, cos]])
    return page.cut(count, corners.tolist(), texts[0])


def _places(data: dict[str, Any]) -> list[str]:
    """Relative paths at which a task's page may lie, the longest first."""
    for address in data.values():
        if not isinstance(address, str):
            continue
        parts = urlsplit(address)
        path = PurePosixPath(parse_qs(parts.query).get("d", [unquote(parts.path)])[0])
        if path.suffix.lower() in WRITE_FORMATS:
            names = [part for part in path.parts if part != "/"]
            ends = ["/".join(names[start:]) for start in range(len(names))]
            bare = re.sub(r"^[0-9a-f]{8}-", "", path.name)
            return [*ends, f"images/{path.name}", bare, f"images/{bare}"]
    return []


class _Page:
    """A page of an export, read when the first line is cut out of it."""

    def __init__(self, source: str, folder: Path, places: list[str]) -> None:
        self.source = source
        self._folder, self._places = folder, places
        self._image: np.ndarray | LeftOut | None = None
        self._name = ""

    @property
    def image(self) -> np.ndarray | LeftOut:
        """Its picture, uint8 (H, W) or (H, W, 3), or why there is none."""
        if self._image is None:
            self._image = self._read()
        return self._image

    def cut(self, count: int, corners: Corners, text: str) -> Sample | LeftOut:
        """Line `count`, from 1; corners in px, clockwise from the text's top left."""
        source, image = f"{self.source}: line {count}", self.image
        if isinstance(image, LeftOut):
            return LeftOut(source, image.reason)
        if len(corners) != 4:
            return LeftOut(source, f"has {len(corners)} corners, not 4")
        # clipped: no export can ask for a crop larger than its page
        quad = np.clip(corners, 0, (image.shape[1], image.shape[0])).astype(np.float32)
        if cv2.contourArea(quad) < 1 or not cv2.isContourConvex(quad):
            return LeftOut(source, f"has corners {corners} that enclose no convex area of the page")
        crop = encode_image(crop_line(image, quad))
        return Sample(source, f"{self._name}_{count:03}", crop, text)

    def _read(self) -> np.ndarray | LeftOut:
        paths = [path for place in self._places if (path := inside(self._folder, place))]
        found = [path for path in paths if path.is_file()]
        if not found:
            looked_for = ", ".join(map(shown, self._places[:3])) or "nothing: no path is given"
            return LeftOut(self.source, f"no page in {self._folder}; looked for {looked_for}")
        self._name = found[0].stem
        try:
            return read_image(found[0])
        except ImageError as error:
            return LeftOut(self.source, str(error))


def _first_of(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
