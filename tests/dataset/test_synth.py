from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crnnkit.dataset.composition import SEGMENT_CHARACTERS, compose
from crnnkit.dataset.degrade import GROUNDS
from crnnkit.dataset.fonts import Face
from crnnkit.dataset.styles import LOOKS, Style, sample_style
from crnnkit.dataset.synth import Renderer
from crnnkit.errors import ConfigError, DatasetError

PLAIN = Style(spacing_em=0.2)


@pytest.fixture(scope="module")
def renderer(system_faces: list[Face]) -> Renderer:
    return Renderer(system_faces)


def ink_columns(image: np.ndarray) -> np.ndarray:
    """Which columns of a plain rendering have ink (W,)."""
    return (image < 128).any(axis=0)


def test_equal_seeds_give_equal_pictures_and_others_do_not(renderer: Renderer) -> None:
    def render(seed: int) -> list[np.ndarray]:
        lines = renderer.generate(["永A0", "的一"], np.random.default_rng(seed), in_colour=True)
        return [line.image for line in lines]

    assert all(np.array_equal(a, b) for a, b in zip(render(1), render(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(render(1), render(2), strict=True))


@pytest.mark.parametrize(
    "style",
    [
        PLAIN,
        replace(PLAIN, stretch=0.7),
        replace(PLAIN, shear=0.2, spacing_em=0.5),
        replace(PLAIN, rotation_deg=4.0),
        replace(PLAIN, perspective=0.2),
        replace(PLAIN, perspective=-0.2),
        replace(PLAIN, em_px=16, height_px=48),
        replace(PLAIN, raster="dots", em_px=16),
    ],
    ids=["plain", "narrow", "slanted", "turned", "near", "far", "enlarged", "dots"],
)
def test_glyph_spans_hold_all_ink_and_each_has_some(renderer: Renderer, style: Style) -> None:
    text = "永的A一"
    line = renderer.render_line(text, np.random.default_rng(0), style)
    columns = ink_columns(line.image)
    assert line.glyph_spans.shape == (len(text), 2)
    covered = np.zeros_like(columns)
    for left, right in line.glyph_spans:
        # Slant and turn move a glyph's head and foot out of the span of its middle.
        slack = 6 if style.shear or style.rotation_deg else 1
        first, last = max(0, round(left) - slack), round(right) + slack + 1
        covered[first:last] = True
        assert columns[round(left) : round(right) + 1].any()
    assert not (columns & ~covered).any()
    centres = line.glyph_spans.mean(axis=1)
    assert (np.diff(centres) > 0).all()


def test_span_of_a_space_is_a_gap(renderer: Renderer) -> None:
    line = renderer.render_line("永 的", np.random.default_rng(0), Style())
    left, right = line.glyph_spans[1]
    assert right - left >= 0.2 * line.image.shape[0]
    assert not ink_columns(line.image)[round(left) + 1 : round(right) - 1].any()


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_renders_in_grey_and_colour(renderer: Renderer, look: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        style = sample_style(rng, look)
        grey = renderer.render_line("3-5", rng, style)
        colour = renderer.render_line("永 Aa，", rng, style, in_colour=True)
        assert grey.image.dtype == colour.image.dtype == np.uint8
        assert grey.image.ndim == 2
        assert colour.image.shape[2:] == (3,)
        assert grey.image.shape[0] == colour.image.shape[0] == style.height_px
        assert grey.image.std() > 1


@pytest.mark.parametrize("texture", GROUNDS)
def test_every_ground_differs_from_flat_paper(renderer: Renderer, texture: str) -> None:
    style = replace(PLAIN, ground=(180, 180, 180), texture=texture)
    image = renderer.render_line("永", np.random.default_rng(3), style).image
    bare = image[:, 0].astype(float)
    assert (bare == 180).all() == (texture == "flat")


def test_colours_are_red_green_blue(renderer: Renderer) -> None:
    style = Style(ink=(200, 0, 0), ground=(0, 0, 100))
    line = renderer.render_line("永", np.random.default_rng(0), style, in_colour=True)
    assert tuple(line.image[0, 0]) == (0, 0, 100)
    assert line.image[..., 0].max() > 150
    assert line.image[..., 1].max() == 0


def test_inverted_print_is_the_negative(renderer: Renderer) -> None:
    black = renderer.render_line("永", np.random.default_rng(0), PLAIN).image
    style = replace(PLAIN, ink=PLAIN.ground, ground=PLAIN.ink)
    white = renderer.render_line("永", np.random.default_rng(0), style).image
    assert np.abs(black.astype(int) + white - 255).max() <= 1


def test_looks_leave_their_mark(renderer: Renderer) -> None:
    def dark_share(style: Style) -> float:
        image = renderer.render_line("永的", np.random.default_rng(0), style).image
        return float((image < 128).mean())

    plain = dark_share(PLAIN)
    roomy = replace(PLAIN, margins_em=(0.4,) * 4)
    assert dark_share(replace(PLAIN, weight=2)) > 1.2 * plain
    assert dark_share(replace(PLAIN, weight=-1)) < plain
    assert dark_share(replace(roomy, frame=True)) > 1.2 * dark_share(roomy)
    assert dark_share(replace(PLAIN, underline=True)) > 1.05 * plain
    assert dark_share(replace(PLAIN, wear=1.0)) < 0.97 * plain
    assert dark_share(replace(roomy, neighbours=True)) > 1.05 * dark_share(roomy)


def test_tight_crop_cuts_ink_and_loose_crop_leaves_room(renderer: Renderer) -> None:
    tight = replace(PLAIN, margins_em=(-0.1,) * 4)
    loose = replace(PLAIN, margins_em=(0.3,) * 4)
    rng = np.random.default_rng(0)
    assert renderer.render_line("永", rng, tight).glyph_spans[0, 0] < 0
    assert renderer.render_line("永", rng, loose).glyph_spans[0, 0] > 4


def test_lone_dash_is_not_blown_up(renderer: Renderer) -> None:
    image = renderer.render_line("-", np.random.default_rng(0), Style()).image
    assert (image < 128).any(axis=1).mean() < 0.3


def test_segments_show_all_seven_bars_of_an_eight(tiny_face: Face) -> None:
    style = Style(raster="segments")
    rng = np.random.default_rng(0)
    eight = compose("8", [tiny_face], style, rng).ink
    one = compose("1", [tiny_face], style, rng).ink
    assert one.astype(bool).sum() < 0.5 * eight.astype(bool).sum()
    forms = {compose(c, [tiny_face], style, rng).ink.tobytes() for c in sorted(SEGMENT_CHARACTERS)}
    assert len(forms) == len(SEGMENT_CHARACTERS)


def test_missing_glyph_comes_from_another_face(tiny_face: Face, system_faces: list[Face]) -> None:
    renderer = Renderer([tiny_face, *system_faces])
    for seed in range(20):
        faces = renderer.choose_faces("ABC永", np.random.default_rng(seed))
        assert all(face.draws(c) for face, c in zip(faces, "ABC永", strict=True))


def test_character_that_no_face_draws_is_an_error(tiny_face: Face) -> None:
    renderer = Renderer([tiny_face])
    assert renderer.can_draw("A")
    assert not renderer.can_draw("B")
    with pytest.raises(DatasetError, match=r"no face draws 'B' \(U\+0042\)"):
        renderer.render_line("AB", np.random.default_rng(0))


def test_renderer_without_faces_is_refused() -> None:
    with pytest.raises(DatasetError, match="none of 0 faces"):
        Renderer([])


def test_unknown_look_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'shiny': unknown\. Known: clean"):
        sample_style(np.random.default_rng(0), "shiny")


def test_faces_of_one_design_do_not_crowd_out_others(
    tiny_face: Face, system_faces: list[Face]
) -> None:
    latin = system_faces[1]
    many = [replace(tiny_face) for _ in range(100)]
    renderer = Renderer([*many, latin])
    rng = np.random.default_rng(0)
    drawn = [renderer.choose_faces("A", rng)[0] for _ in range(400)]
    assert drawn.count(latin) / 400 == pytest.approx(0.25, abs=0.07)


def test_single_glyphs_are_distinct_and_seeded(renderer: Renderer) -> None:
    glyphs = renderer.render_glyphs("永的A0", np.random.default_rng(0))
    again = renderer.render_glyphs("永的A0", np.random.default_rng(0))
    assert glyphs.shape == (4, 32, 32)
    assert glyphs.dtype == np.uint8
    assert np.array_equal(glyphs, again)
    assert (glyphs.reshape(4, -1).std(axis=1) > 10).all()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), text=st.text("永的一A0- ，.", min_size=1, max_size=12))
def test_any_text_in_any_style_gives_a_picture_and_as_many_spans(
    renderer: Renderer, seed: int, text: str
) -> None:
    text = f"A{text}A"
    line = renderer.render_line(text, np.random.default_rng(seed))
    assert line.glyph_spans.shape == (len(text), 2)
    assert np.isfinite(line.glyph_spans).all()
    assert (line.glyph_spans[:, 0] <= line.glyph_spans[:, 1]).all()
    assert min(line.image.shape[:2]) >= 4
