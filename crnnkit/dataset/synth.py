"""Rendered text lines: glyphs of one face set on a line, printed on a ground, worn by a camera.

The renderer tells where every glyph stands, so that training may use the positions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from crnnkit.dataset import degrade
from crnnkit.dataset.composition import InkLine, compose
from crnnkit.dataset.fonts import HAND_FAMILIES, MASTER_PX, Face, group_of, rasterize
from crnnkit.dataset.styles import Colour, Style, sample_style
from crnnkit.errors import DatasetError

GLYPH_PX = 32
"""Side of the pictures that `Renderer.render_glyphs` returns."""

_CJK_PROBE = "的一"
_LATIN_PROBE = "Aa0"
_LUMA = (0.299, 0.587, 0.114)
_HAND_WEIGHT = 0.3
"""How often a family of handwriting is drawn, beside 1 for a print family of one face."""


@dataclass(frozen=True, eq=False)
class RenderedLine:
    """A picture of a line, its text, and where its characters stand."""

    image: np.ndarray
    """uint8 (H, W) grey, or (H, W, 3) RGB."""
    text: str
    glyph_spans: np.ndarray
    """Left and right edge of every character's ink in px of the picture, float32 (L, 2), in the
    order of the text; of a space: the gap. Where a crop is tight, edges lie outside 0 to W."""


class Renderer:
    """Renders lines with faces drawn from several families, each family about equally often."""

    def __init__(self, faces: Sequence[Face]) -> None:
        """Sort the faces; those without hanzi are used for ASCII only, those without both never.

        Raises:
            DatasetError: if no face is left.
        """
        self._cjk = _FacePool([face for face in faces if face.draws(_CJK_PROBE)])
        others = [face for face in faces if not face.draws(_CJK_PROBE)]
        self._latin = _FacePool([face for face in others if face.draws(_LATIN_PROBE)])
        if not self._cjk and not self._latin:
            raise DatasetError(
                f"renderer: none of {len(faces)} faces draws hanzi or Latin letters. "
                "Give fonts that do."
            )

    def choose_faces(self, text: str, rng: np.random.Generator) -> list[Face]:
        """A face per character: one for all if possible, often another one for ASCII.

        Raises:
            DatasetError: naming the characters that no face can draw.
        """
        plain = text.isascii()
        pool = self._latin if self._latin and plain and rng.random() < 0.7 else self._cjk
        main = (pool or self._latin).draw(text, rng)
        latin = main
        if self._latin and not plain and rng.random() < 0.35:
            latin = self._latin.draw("".join(c for c in text if c.isascii()), rng)
        if latin is main and main.draws(text):
            return [main] * len(text)
        chosen = [latin if c.isascii() and latin.draws(c) else main for c in text]
        return [
            face if face.draws(c) else self._fallback(c)
            for face, c in zip(chosen, text, strict=True)
        ]

    @property
    def num_faces(self) -> int:
        """Number of faces that are in use."""
        return len(self._all_faces())

    def can_draw(self, character: str) -> bool:
        """Whether any face draws the character."""
        return any(face.draws(character) for face in self._all_faces())

    def _all_faces(self) -> tuple[Face, ...]:
        return self._cjk.faces + self._latin.faces

    def _fallback(self, character: str) -> Face:
        for face in self._all_faces():
            if face.draws(character):
                return face
        raise DatasetError(
            f"renderer: no face draws {character!r} (U+{ord(character):04X}). "
            "Add a font that has it, or leave the character out."
        )

    def render_line(
        self,
        text: str,
        rng: np.random.Generator,
        style: Style | None = None,
        faces: Sequence[Face] | None = None,
        in_colour: bool = False,
    ) -> RenderedLine:
        """Render a text in a style and with a face per character, each drawn at random if None."""
        style = style or sample_style(rng)
        line = compose(text, faces or self.choose_faces(text, rng), style, rng)
        matrix, size_hw = _placement(line, style, rng)
        ink = _warp(line.ink, matrix, size_hw)
        image = _finish(_print(ink, style, rng, in_colour), style, rng)
        return RenderedLine(image, text, _moved_spans(line, matrix))

    def generate(
        self, texts: Iterable[str], rng: np.random.Generator, in_colour: bool = False
    ) -> Iterator[RenderedLine]:
        """Render text after text, each in a style of its own."""
        for text in texts:
            yield self.render_line(text, rng, in_colour=in_colour)

    def render_glyphs(self, characters: Sequence[str], rng: np.random.Generator) -> np.ndarray:
        """Single glyphs, placed as in a line 32 px high, uint8 (B, 32, 32): for a classifier."""
        batch = np.empty((len(characters), GLYPH_PX, GLYPH_PX), np.float32)
        for i, character in enumerate(characters):
            batch[i] = _glyph_picture(self.choose_faces(character, rng)[0], character, rng)
        levels = rng.uniform(0, 255, (len(characters), 2)).astype(np.float32)
        close = np.abs(levels[:, 0] - levels[:, 1]) < 60
        levels[close] = (20, 235)
        ink, ground = levels[:, 0, None, None], levels[:, 1, None, None]
        batch *= (ink - ground) / 255
        batch += ground
        sigma = 14 * rng.random((len(characters), 1, 1), dtype=np.float32) ** 2
        batch += sigma * rng.standard_normal(batch.shape, dtype=np.float32)
        return degrade.to_uint8(batch)


class _FacePool:
    """Faces in groups of one design; many weights make a group at most three times as likely."""

    def __init__(self, faces: Sequence[Face]) -> None:
        groups: dict[str, list[Face]] = {}
        for face in faces:
            groups.setdefault(group_of(face), []).append(face)
        self.faces = tuple(faces)
        self._groups = list(groups.values())
        self._bounds = np.cumsum([_group_weight(name, len(g)) for name, g in groups.items()])

    def __len__(self) -> int:
        return len(self.faces)

    def draw(self, text: str, rng: np.random.Generator) -> Face:
        """A face that draws the whole text, if a few tries find one."""
        for _ in range(8):
            place = np.searchsorted(self._bounds, rng.random() * self._bounds[-1], side="right")
            group = self._groups[int(place)]
            face = group[int(rng.random() * len(group))]
            if face.draws(text):
                break
        return face


def _group_weight(name: str, num_faces: int) -> float:
    return _HAND_WEIGHT if name in HAND_FAMILIES else min(num_faces**0.5, 3.0)


def _placement(
    line: InkLine, style: Style, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int]]:
    """The 3x3 matrix from ink px to picture px, and the picture's (H, W)."""
    left, top, right, bottom = line.box
    em = line.em_px
    steepest = np.degrees(np.arctan(style.max_rise_em * em / max(right - left, em)))
    angle = np.radians(np.clip(style.rotation_deg, -steepest, steepest))
    cos, sin = np.cos(angle), np.sin(angle)
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    centred = np.array([[1, 0, -centre_x], [0, 1, -centre_y], [0, 0, 1]])
    shaped = np.array([[style.stretch, -style.shear, 0], [0, 1, 0], [0, 0, 1]])
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    matrix = turned @ shaped @ centred
    corners = _apply(matrix, np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))
    above, below, before, after = (margin * em for margin in style.margins_em)
    x0, y0 = corners.min(0) - (before, above)
    x1, y1 = corners.max(0) + (after, below)
    scale = style.height_px / max(y1 - y0, 4.0)
    height, width = style.height_px, max(4, round((x1 - x0) * scale))
    to_picture = np.array([[scale, 0, -x0 * scale], [0, scale, -y0 * scale], [0, 0, 1]])
    matrix = to_picture @ matrix
    if style.perspective:
        matrix = _perspective(style.perspective, (height, width), rng) @ matrix
    return matrix, (height, width)


def _perspective(share: float, size_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The right end seen smaller than the left one; the left end if `share` is negative."""
    height, width = size_hw
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    top_loss, bottom_loss = abs(share) * height * rng.random(2)
    upper, lower = (0, 3) if share < 0 else (1, 2)
    target = source.copy()
    target[upper, 1] += top_loss
    target[lower, 1] -= bottom_loss
    return cv2.getPerspectiveTransform(source, target)


def _warp(ink: np.ndarray, matrix: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if scale < 0.7:
        ink = cv2.GaussianBlur(ink, (0, 0), 0.35 / scale)
    return cv2.warpPerspective(ink, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR)


def _print(ink: np.ndarray, style: Style, rng: np.random.Generator, in_colour: bool) -> np.ndarray:
    """Ink coverage uint8 (H, W) onto the style's ground, float32."""
    if style.wear:
        ink = degrade.erode_ink(ink, style.wear, rng)
    coverage = ink.astype(np.float32) / 255
    contrast = abs(_luma(style.ink) - _luma(style.ground))
    texture = degrade.ground_texture(style.texture, ink.shape, rng) * min(1.0, contrast / 130)
    if not in_colour:
        ground = _luma(style.ground) + texture
        return ground + coverage * (_luma(style.ink) - ground)
    ground = np.asarray(style.ground, np.float32) + texture[..., None]
    return ground + coverage[..., None] * (np.asarray(style.ink, np.float32) - ground)


def _finish(image: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """What the camera, the sensor and the file format do, in this order; uint8."""
    if style.light:
        image = degrade.uneven_light(image, style.light, rng)
    if style.blur_px:
        image = degrade.blur(image, style.blur_px * style.height_px / 32, rng)
    if style.shrink < 1:
        image = degrade.shrink(image, style.shrink, rng)
    if style.noise:
        image = degrade.add_noise(image, style.noise, rng)
    if style.binary:
        image = degrade.binarize(image)
    finished = degrade.to_uint8(image)
    if style.jpeg_quality is not None:
        finished = degrade.compress_jpeg(finished, style.jpeg_quality)
    return finished


def _moved_spans(line: InkLine, matrix: np.ndarray) -> np.ndarray:
    _, top, _, bottom = line.box
    middle = (top + bottom) / 2
    edges = np.stack([line.spans.ravel(), np.full(line.spans.size, middle)], axis=1)
    return np.sort(_apply(matrix, edges)[:, 0].reshape(-1, 2), axis=1).astype(np.float32)


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) through a 3x3 matrix."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[:, :2] / moved[:, 2:]


def _luma(colour: Colour) -> float:
    return sum(weight * level for weight, level in zip(_LUMA, colour, strict=True))


def _glyph_picture(face: Face, character: str, rng: np.random.Generator) -> np.ndarray:
    """Coverage uint8 (32, 32) of a glyph, jittered about its place in a line."""
    em_px = MASTER_PX
    glyph = rasterize(face, character, em_px)
    height, width = glyph.ink.shape
    u = rng.random(8)
    scale = (0.68 + 0.42 * u[0]) * GLYPH_PX / em_px
    stretch = scale * (0.7 + 0.5 * u[1])
    shear = 0.25 * (u[2] - 0.4) * (u[3] < 0.3)
    centre_y = GLYPH_PX / 2 + 5 * (u[4] - 0.5) + scale * (glyph.top + height / 2 + 0.36 * em_px)
    centre_x = GLYPH_PX / 2 + 8 * (u[5] - 0.5)
    matrix = np.array(
        [
            [stretch, -shear, centre_x - stretch * width / 2 + shear * height / 2],
            [0, scale, centre_y - scale * height / 2],
        ]
    )
    picture = cv2.warpAffine(glyph.ink, matrix, (GLYPH_PX, GLYPH_PX))
    if u[6] < 0.2:
        grown = cv2.dilate(picture, np.ones((2, 2), np.uint8))
        picture = cv2.addWeighted(picture, 0.5, grown, 0.5, 0)
    if u[7] < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 + 3 * u[7])
    elif u[7] < 0.6:
        small = int(12 + 40 * (u[7] - 0.35))
        reduced = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(reduced, (GLYPH_PX, GLYPH_PX), interpolation=cv2.INTER_LINEAR)
    return picture
