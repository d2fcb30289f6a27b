"""How a rendered line looks: one dataclass of measures, drawn at random for a named look."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crnnkit.dataset.fonts import MASTER_PX
from crnnkit.errors import ConfigError

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

_SCREEN_EMS = (12, 12, 12, 13, 14, 14, 16, 16, 18, 20)
"""Few sizes, because every size of every face has glyphs of its own to keep in memory."""


@dataclass(frozen=True)
class Style:
    """Measures of one line's look; the defaults are clean black print on white."""

    em_px: int = MASTER_PX
    """Size at which glyphs are rasterised."""
    height_px: int = 36
    """Height H of the finished picture."""
    raster: str = "smooth"
    """smooth: as the font is; pixels: without grey edges, as old screens draw; dots: a dot-matrix
    printer's; segments: a seven-segment display's."""
    stretch: float = 1.0
    """Horizontal scale of the whole line."""
    spacing_em: float = 0.0
    """Added after every glyph; negative is tight."""
    weight: int = 0
    """Strokes thickened (positive) or thinned (negative) by so many px of the raster."""
    jitter: float = 0.0
    """Each glyph's own shift, turn and size, as handwriting has; 1 is unruly."""
    shear: float = 0.0
    """Slant: px to the right per px up."""
    rotation_deg: float = 0.0
    max_rise_em: float = 0.35
    """Long lines turn less, so that no more than this is lost of their height."""
    perspective: float = 0.0
    """How much of the height one end may lose: the right one, or, if negative, the left one."""
    margins_em: tuple[float, float, float, float] = (0.1, 0.1, 0.15, 0.15)
    """Left free around the ink: top, bottom, left, right; negative cuts into the text."""
    full_height: bool = False
    """Crop to the font's line instead of the ink: a lone dash then stays a dash."""
    underline: bool = False
    frame: bool = False
    neighbours: bool = False
    """Whether the lines above and below reach into the crop."""
    ink: Colour = BLACK
    ground: Colour = WHITE
    texture: str = "flat"
    """One of `degrade.GROUNDS`."""
    wear: float = 0.0
    """Share of its ink that a worn spot loses."""
    light: float = 0.0
    blur_px: float = 0.0
    """Sigma at a height of 32 px."""
    shrink: float = 1.0
    noise: float = 0.0
    """Standard deviation in levels."""
    binary: bool = False
    """Reduced to two levels per colour."""
    jpeg_quality: int | None = None


def sample_style(rng: np.random.Generator, look: str | None = None) -> Style:
    """Draw a style of the named look, or of any look with its usual share.

    Raises:
        ConfigError: if there is no such look.
    """
    if look is None:
        look = _NAMES[int(np.searchsorted(_BOUNDS, rng.random() * _BOUNDS[-1], side="right"))]
    if look not in LOOKS:
        raise ConfigError(f"look {look!r}: unknown. Known: {', '.join(LOOKS)}.")
    return LOOKS[look][1](rng)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _sometimes(rng: np.random.Generator, chance: float, low: float, high: float) -> float:
    """Zero, or with `chance` a value between `low` and `high`."""
    return _between(rng, low, high) if rng.random() < chance else 0.0


def _margins(
    rng: np.random.Generator, low: float, high: float
) -> tuple[float, float, float, float]:
    top, bottom, left, right = low + (high - low) * rng.random(4)
    return (float(top), float(bottom), float(left), float(right))


def _base(rng: np.random.Generator) -> Style:
    """What all looks share: a detector's crop of print at some size, taken by some camera."""
    margins = _margins(rng, -0.06, 0.05) if rng.random() < 0.1 else _margins(rng, 0.0, 0.25)
    blur_px = _sometimes(rng, 0.4, 0.3, 1.3)
    return Style(
        height_px=int(rng.integers(24, 49)),
        stretch=_between(rng, 0.85, 1.15) if rng.random() < 0.6 else _between(rng, 0.6, 1.5),
        spacing_em=_sometimes(rng, 0.4, -0.04, 0.15) + _sometimes(rng, 0.08, 0.1, 0.7),
        shear=_sometimes(rng, 0.12, -0.15, 0.3),
        rotation_deg=_sometimes(rng, 0.4, -2.0, 2.0),
        margins_em=margins,
        full_height=rng.random() < 0.6,
        underline=rng.random() < 0.05,
        neighbours=rng.random() < 0.06,
        light=_sometimes(rng, 0.3, 0.1, 0.5),
        blur_px=blur_px,
        shrink=1.0 - _sometimes(rng, 0.25, 0.2, 0.55) / (1 + blur_px),
        noise=_sometimes(rng, 0.5, 1.0, 12.0),
        jpeg_quality=int(rng.integers(25, 95)) if rng.random() < 0.4 else None,
    )


def _grey(rng: np.random.Generator, low: int, high: int) -> Colour:
    level = int(rng.integers(low, high + 1))
    tint = rng.integers(-8, 9, size=3)
    return _colour(np.clip(level + tint, 0, 255))


def _colour(levels: np.ndarray) -> Colour:
    red, green, blue = map(int, levels)
    return (red, green, blue)


def _contrasting(rng: np.random.Generator, least: float) -> tuple[Colour, Colour]:
    """Any two colours whose brightness differs by `least` levels or more."""
    while True:
        first, second = rng.integers(0, 256, size=(2, 3))
        if abs(float((first - second) @ (0.299, 0.587, 0.114))) >= least:
            return _colour(first), _colour(second)


def _scan(rng: np.random.Generator) -> Style:
    return replace(
        _base(rng),
        ink=_grey(rng, 0, 90),
        ground=_grey(rng, 190, 255),
        texture="paper" if rng.random() < 0.6 else "flat",
        weight=int(rng.choice(3, p=(0.1, 0.75, 0.15))) - 1,
        frame=rng.random() < 0.05,
        binary=rng.random() < 0.08,
    )


def _clean(rng: np.random.Generator) -> Style:
    return Style(
        height_px=int(rng.integers(28, 49)),
        stretch=_between(rng, 0.9, 1.1),
        spacing_em=_sometimes(rng, 0.5, 0.0, 0.1),
        margins_em=_margins(rng, 0.02, 0.2),
        full_height=rng.random() < 0.6,
        ink=_grey(rng, 0, 60),
        ground=_grey(rng, 225, 255),
    )


def _screen(rng: np.random.Generator) -> Style:
    """User interfaces: rasterised for few px, any colours, often enlarged afterwards."""
    ink, ground = _contrasting(rng, 60)
    if rng.random() < 0.5:
        ink, ground = (ground, ink) if sum(ground) > sum(ink) else (ink, ground)
    em_px = _SCREEN_EMS[rng.integers(len(_SCREEN_EMS))]
    return replace(
        _base(rng),
        em_px=em_px,
        raster="pixels" if rng.random() < 0.45 else "smooth",
        height_px=int(rng.integers(24, 41)) if rng.random() < 0.5 else int(em_px * 1.25) + 1,
        stretch=1.0 if rng.random() < 0.7 else _between(rng, 0.85, 1.2),
        spacing_em=_sometimes(rng, 0.3, 0.0, 0.12),
        shear=0.0,
        rotation_deg=0.0,
        ink=ink,
        ground=ground,
        texture="photo" if rng.random() < 0.15 else "flat",
        underline=rng.random() < 0.15,
        light=0.0,
        blur_px=_sometimes(rng, 0.3, 0.3, 0.6),
        shrink=1.0,
        noise=_sometimes(rng, 0.2, 1.0, 5.0),
    )


def _thermal(rng: np.random.Generator) -> Style:
    """Receipts: worn or faint print of few dots per glyph, binarised by some scanners."""
    faint = rng.random() < 0.3
    return replace(
        _base(rng),
        em_px=(20, 26, MASTER_PX)[rng.integers(3)],
        ink=_grey(rng, 110, 180) if faint else _grey(rng, 0, 90),
        ground=_grey(rng, 200, 255),
        texture="paper" if rng.random() < 0.5 else "flat",
        wear=_sometimes(rng, 0.5, 0.3, 0.9),
        stretch=_between(rng, 0.6, 1.3),
        binary=rng.random() < 0.2,
        weight=int(rng.choice(3, p=(0.2, 0.6, 0.2))) - 1,
    )


def _marker(rng: np.random.Generator) -> Style:
    """Sleeves and nameplates: black on white or yellow plastic, or engraved metal."""
    grounds: tuple[Colour, ...] = ((235, 210, 30), (200, 170, 20), (150, 150, 155), (205, 208, 212))
    ground = grounds[rng.integers(len(grounds))] if rng.random() < 0.6 else _grey(rng, 120, 245)
    return replace(
        _base(rng),
        ink=_grey(rng, 0, 70),
        ground=ground,
        texture="plastic" if rng.random() < 0.7 else "metal",
        stretch=_between(rng, 0.55, 1.6),
        spacing_em=_sometimes(rng, 0.6, 0.0, 0.6),
        weight=int(rng.integers(0, 3)),
        shear=_sometimes(rng, 0.35, -0.2, 0.4),
        rotation_deg=_sometimes(rng, 0.5, -5.0, 5.0),
        perspective=_sometimes(rng, 0.3, -0.15, 0.15),
        blur_px=_sometimes(rng, 0.6, 0.4, 1.5),
    )


def _photo(rng: np.random.Generator) -> Style:
    """Signs, plates and packages photographed: any colours, light print on dark as often."""
    ink, ground = _contrasting(rng, 50)
    return replace(
        _base(rng),
        ink=ink,
        ground=ground,
        texture=("photo", "metal", "plastic", "flat")[rng.integers(4)],
        weight=int(rng.integers(-1, 2)),
        frame=rng.random() < 0.15,
        spacing_em=_sometimes(rng, 0.5, 0.0, 0.3),
        shear=_sometimes(rng, 0.5, -0.35, 0.4),
        rotation_deg=_sometimes(rng, 0.7, -10.0, 10.0),
        max_rise_em=0.8,
        perspective=_sometimes(rng, 0.5, -0.3, 0.3),
        light=_sometimes(rng, 0.5, 0.1, 0.6),
        blur_px=_sometimes(rng, 0.5, 0.4, 1.5),
    )


def _dots(rng: np.random.Generator) -> Style:
    return replace(_scan(rng), raster="dots", em_px=(14, 16, 18)[rng.integers(3)], weight=0)


def _segments(rng: np.random.Generator) -> Style:
    ink, ground = _contrasting(rng, 70)
    return replace(_photo(rng), raster="segments", ink=ink, ground=ground, texture="flat", weight=0)


def _hand(rng: np.random.Generator) -> Style:
    return replace(
        _scan(rng),
        jitter=_between(rng, 0.3, 1.0),
        spacing_em=_between(rng, -0.05, 0.15),
        ink=_grey(rng, 0, 120) if rng.random() < 0.7 else (30, 50, 160),
    )


LOOKS: dict[str, tuple[float, Callable[[np.random.Generator], Style]]] = {
    "clean": (0.10, _clean),
    "scan": (0.17, _scan),
    "screen": (0.28, _screen),
    "thermal": (0.15, _thermal),
    "marker": (0.1, _marker),
    "photo": (0.20, _photo),
    "dots": (0.04, _dots),
    "segments": (0.01, _segments),
    "hand": (0.03, _hand),
}
"""Share among all lines, and how a style of this look is drawn."""

_NAMES = tuple(LOOKS)
_BOUNDS = np.cumsum([share for share, _ in LOOKS.values()])
