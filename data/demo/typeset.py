"""Faces of demo-only families, and text set in them as ink."""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np
from fontTools.ttLib import TTFont
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont
from wear import Array

EM = 72  # px: lines are set at this size, then scaled down
SHARE = Path("/usr/share")


@dataclass(frozen=True)
class Face:
    """A font file that knows what it can draw."""

    path: str
    scale: float = 1.0  # of EM, so that all faces look equally large
    wrong: str = ""  # mapped to another character's shape (seen by eye)

    @cached_property
    def font(self) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(SHARE / self.path, round(EM * self.scale))

    @cached_property
    def cmap(self) -> dict[int, str]:
        return TTFont(SHARE / self.path).getBestCmap()

    @cache  # noqa: B019 (the few faces live as long as the script)
    def has(self, character: str) -> bool:
        """Mapped, and neither to an empty glyph nor to a wrong one."""
        if character in self.wrong or self.cmap.get(ord(character), ".notdef") == ".notdef":
            return False
        return character == " " or self.font.getmask(character).getbbox() is not None


FANDOL = "texlive/texmf-dist/fonts/opentype/public/fandol"
HAN_FACES = (
    Face("fonts/truetype/cns11643/TW-Kai-98_1.ttf"),
    Face(f"{FANDOL}/FandolSong-Regular.otf"),
    Face(f"{FANDOL}/FandolSong-Bold.otf"),
    Face(f"{FANDOL}/FandolHei-Regular.otf"),
    Face(f"{FANDOL}/FandolHei-Bold.otf"),
    Face(f"{FANDOL}/FandolFang-Regular.otf"),
)
LATIN_FACES = (
    Face("fonts/opentype/b612/B612-Regular.otf", 0.9),
    Face("fonts/opentype/b612/B612-Bold.otf", 0.9),
    Face("fonts/opentype/b612/B612-Italic.otf", 0.9),
    Face("fonts/opentype/b612/B612Mono-Regular.otf", 0.9),
    Face("fonts/opentype/ocr-b/OCRB.otf", 1.1),
    Face("fonts/truetype/3270/3270-Regular.ttf", 1.15),
    Face("fonts/truetype/3270/3270Condensed-Regular.ttf", 1.15),
    Face("fonts/truetype/glasstty/Glass_TTY_VT220.ttf", 1.15, wrong="×+"),
)


def set_type(
    words: list[tuple[str, Face]], latin_face: Face | None, bold: int, spacing: float
) -> Array:
    """The words as one line of ink (H, W) in 0..1, cropped to its extent.

    A character goes to the Latin face where that has it, else to its word's own face. `bold` px are
    added around each stroke, `spacing` px after each character.
    """
    length = sum(len(word) for word, _ in words)
    canvas = Image.new("L", (2 * EM * (length + 2), 2 * EM))
    draw, x = ImageDraw.Draw(canvas), float(EM)
    for word, han_face in words:
        for character in word:
            face = latin_face if latin_face and latin_face.has(character) else han_face
            draw.text((x, 1.45 * EM), character, 255, face.font, anchor="ls", stroke_width=bold)
            x += face.font.getlength(character) + spacing
    return np.asarray(canvas.crop(canvas.getbbox()), np.float32) / 255


def set_line(text: str, rng: Generator) -> Array:
    """The text in faces drawn by lot: a form is often printed in one face, filled in in another."""
    words = [
        (word, rng.choice([face for face in HAN_FACES if all(map(face.has, word))]))
        for word in re.findall("[^ ：]*[ ：]?", text)
    ]
    latin_face = rng.choice(LATIN_FACES) if rng.random() < 0.7 else None
    ink = set_type(words, latin_face, int(rng.integers(0, 2)), rng.uniform(0, 0.08) * EM)
    return cv2.resize(ink, None, fx=rng.uniform(0.72, 1.3), fy=1, interpolation=cv2.INTER_AREA)
