"""Faces to render with: a tiny font made here, and what the system has."""

from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from crnnkit.dataset import fonts
from crnnkit.dataset.fonts import Face
from crnnkit.errors import DatasetError


def _box(left: int, bottom: int, right: int, top: int) -> object:
    pen = TTGlyphPen(None)
    pen.moveTo((left, bottom))
    for point in ((left, top), (right, top), (right, bottom)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()


@pytest.fixture(scope="session")
def tiny_font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draws A, a and 0 as boxes, has B without ink, and lacks everything else."""
    outlines = {
        ".notdef": _box(50, 0, 550, 700),
        "A": _box(100, 0, 500, 700),
        "a": _box(100, 0, 500, 450),
        "zero": _box(200, 0, 400, 700),
        "B": TTGlyphPen(None).glyph(),
    }
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(outlines))
    builder.setupCharacterMap({0x41: "A", 0x61: "a", 0x30: "zero", 0x42: "B"})
    builder.setupGlyf(outlines)
    bearings = {".notdef": 50, "A": 100, "a": 100, "zero": 200, "B": 0}
    builder.setupHorizontalMetrics({name: (600, left) for name, left in bearings.items()})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Tiny", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path_factory.mktemp("fonts") / "tiny.ttf"
    builder.save(path)
    return path


@pytest.fixture(scope="session")
def tiny_face(tiny_font: Path) -> Face:
    return fonts.find_faces([tiny_font])[0]


@pytest.fixture(scope="session")
def system_faces() -> list[Face]:
    """A hanzi face and a Latin one; which ones depends on the machine."""
    try:
        faces = fonts.find_faces()
    except DatasetError as error:
        pytest.skip(f"this machine has no fonts: {error}")
    cjk = [face for face in faces if face.draws("永的一鑫，")]
    latin = [face for face in faces if face.draws("Aa0") and not face.draws("永")]
    if not cjk or not latin:
        pytest.skip("this machine lacks a hanzi font or a Latin one (apt-get: fonts-noto-cjk)")
    return [_plainest(cjk), _plainest(latin)]


def _plainest(faces: list[Face]) -> Face:
    return next((face for face in faces if face.style in ("Regular", "Book")), faces[0])
