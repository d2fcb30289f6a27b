"""Font faces for rendering: found, named, and asked glyph by glyph what they can draw.

A glyph counts as drawable only if it has ink and differs from the face's "missing" box, so that
a rendered line never shows a box or a gap where its text has a character.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from crnnkit.errors import DatasetError

FONT_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")

_log = logging.getLogger(__name__)

MASTER_PX = 40
"""The em size that most styles rasterise at; also the size at which glyphs are checked."""

_UNASSIGNED = "\U0010ffff"
"""A code point that no font maps: drawing it gives the face's box for missing glyphs."""

# Families, not files: several packages ship the same outlines under other names
# (WenQuanYi Micro Hei took over Droid Sans Fallback's; AR PL UMing, SungtiL GB and BabelStone Han
# share Arphic's), so a held-out package may still have been seen in training. A face belongs to
# the first family whose prefix its name starts with, spaces ignored.
TEST_FAMILIES = ("WenQuanYiMicroHei", "DroidSansFallback", "TW-Sung", "SetoFont")
"""Only in benchmarks/frozen: never train the base checkpoint on these."""
DEMO_FAMILIES = ("TW-Kai", "Fandol", "B612", "OCRB", "3270", "IBM3270", "GlassTTYVT220")
"""Only in the demo data: neither in the base checkpoint's training nor in the frozen sets."""
HAND_FAMILIES = ("YOzSF90", "kiloji", "KouzanBrushFontGyousyo", "AoyagiKouzan", "AoyagiSoseki",
    "DkgHandwriting")  # fmt: skip
"""Pens and brushes: drawn less often than print."""
TRAINING_FAMILIES = (
    # Hei (sans), Song (serif), Kai, FangSong, round, and those of one stroke width
    "NotoSansCJKSC", "WenQuanYiZenHei", "SmileySans", "MotoyaLMaru", "cwTeX",
    "NotoSerifCJKSC", "ARPLUMingCN", "ARPLSungti", "BabelStoneHan", "HanaMinA",
    "LXGWWenKai", "ARPLUKaiCN", "ARPLKaiti", "Unifont",
    *HAND_FAMILIES,
    # Latin only
    "LiberationSans", "LiberationSerif", "LiberationMono", "DejaVuSans", "DejaVuSerif",
    "NimbusSans", "NimbusRoman", "NimbusMono", "URWGothic", "URWBookman", "C059", "P052",
    "Roboto", "OpenSans", "Carlito", "Caladea", "Hack", "Inconsolata", "AnonymousPro",
    "CourierPrime", "Play", "Tuffy", "UniversalisADF", "RoutedGothic", "osifont", "OCRA",
    "ComicNeue",
)  # fmt: skip
"""What the base checkpoint is trained on. Left out on purpose: faces whose small letters are
capitals (Bebas Neue), grass script, and 8 px bitmaps, where one drawing stands for many hanzi."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a font file; compared by identity, which keeps the glyph cache fast."""

    path: str
    index: int
    """Position inside a .ttc collection, 0 elsewhere."""
    family: str
    style: str

    def draws(self, text: str) -> bool:
        """Whether every character has a glyph with ink; a space needs none."""
        return all(_is_drawable(self, c) for c in text)


@dataclass(frozen=True, eq=False)
class Glyph:
    """One rasterised glyph; positions in px from the pen on the baseline."""

    ink: np.ndarray
    """Coverage, uint8 (h, w), 255 = full ink, without empty rows and columns around it."""
    left: int
    top: int
    advance: float


def font_folders() -> list[Path]:
    """Where this system keeps fonts."""
    home = Path.home()
    candidates = [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".local/share/fonts",
        home / ".fonts",
        Path("/System/Library/Fonts"),
        Path("/Library/Fonts"),
        home / "Library/Fonts",
        Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts",
    ]
    return [folder for folder in candidates if folder.is_dir()]


def find_faces(sources: Iterable[str | Path] = ()) -> list[Face]:
    """Every face in the given font files and folders, or in the system's folders if none is given.

    Raises:
        DatasetError: if a source does not exist or no face is found. A font inside a folder that
            cannot be opened or scaled is logged as a warning and left out.
    """
    roots = [Path(source) for source in sources] or font_folders()
    absent = [str(root) for root in roots if not root.exists()]
    if absent:
        raise DatasetError(f"fonts: no such file or folder: {', '.join(absent)}")
    faces = [face for file in sorted(_font_files(roots)) for face in _faces_of_file(file)]
    if not faces:
        shown = ", ".join(map(str, roots)) or "this system's font folders"
        raise DatasetError(
            f"fonts: no {'/'.join(FONT_SUFFIXES)} in {shown}. Give a folder with fonts, "
            "or install some (Debian: apt-get install fonts-noto-cjk)."
        )
    return faces


def of_families(faces: Iterable[Face], families: Sequence[str]) -> list[Face]:
    """The faces whose family name starts with one of `families`, spaces ignored."""
    prefixes = tuple(families)
    return [face for face in faces if face.family.replace(" ", "").startswith(prefixes)]


def missing_families(faces: Iterable[Face], families: Sequence[str]) -> list[str]:
    """Those of `families` that no face belongs to, in their order."""
    names = [face.family.replace(" ", "") for face in faces]
    return [f for f in families if not any(name.startswith(f) for name in names)]


def group_of(face: Face) -> str:
    """Faces of one design share a group: the family prefix listed above, else the family name."""
    name = face.family.replace(" ", "")
    listed = TRAINING_FAMILIES + TEST_FAMILIES + DEMO_FAMILIES
    return next((prefix for prefix in listed if name.startswith(prefix)), name)


@lru_cache(maxsize=1_000_000)
def rasterize(face: Face, character: str, size_px: int, smooth: bool = True) -> Glyph:
    """The glyph at an em size of `size_px`, without any check that it exists.

    Args:
        smooth: with grey edges; else every px is ink or ground, as on screens without smoothing.
    """
    font = _font(face, size_px)
    mask, (left, top) = font.getmask2(character, mode="L" if smooth else "1", anchor="ls")
    padded = np.asarray(Image.Image()._new(mask).convert("L"))
    rows, columns = np.flatnonzero(padded.any(axis=1)), np.flatnonzero(padded.any(axis=0))
    if rows.size == 0:
        return Glyph(np.zeros((1, 1), np.uint8), 0, 0, font.getlength(character))
    ink = padded[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    advance = font.getlength(character)
    return Glyph(ink, int(left + columns[0]), int(top + rows[0]), advance)


@lru_cache(maxsize=4_000_000)
def _is_drawable(face: Face, character: str) -> bool:
    if character == " ":
        return True
    glyph = rasterize(face, character, MASTER_PX)
    missing = _missing_box(face)
    return bool(glyph.ink.any()) and not (
        glyph.advance == missing.advance and np.array_equal(glyph.ink, missing.ink)
    )


@cache
def _missing_box(face: Face) -> Glyph:
    return rasterize(face, _UNASSIGNED, MASTER_PX)


@lru_cache(maxsize=2048)
def _font(face: Face, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        face.path, size_px, index=face.index, layout_engine=ImageFont.Layout.BASIC
    )


def _font_files(roots: Iterable[Path]) -> set[Path]:
    """Links resolved, so that a font installed under two names counts once."""
    return {
        file.resolve()
        for root in roots
        for file in (root.rglob("*") if root.is_dir() else [root])
        if file.suffix.lower() in FONT_SUFFIXES
    }


def _faces_of_file(file: Path) -> list[Face]:
    """A collection says nowhere in PIL how many faces it has: ask until the index is refused."""
    faces: list[Face] = []
    while True:
        try:
            # Not ImageFont.truetype: refused, it would search every font folder for the name.
            font = ImageFont.FreeTypeFont(str(file), MASTER_PX, index=len(faces))
        except OSError as error:
            if not faces:
                _log.warning("%s: left out, not a scalable font (%s)", file, error)
            return faces
        family, style = font.getname()
        faces.append(Face(str(file), len(faces), family or file.stem, style or ""))
