from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.fonts import Face
from crnnkit.dataset.index import read_index
from crnnkit.dataset.likeness import MAX_CROPS, sample_like, styles_like
from crnnkit.dataset.styles import Style
from crnnkit.dataset.synth import Renderer
from crnnkit.dataset.synthesize import SynthConfig, synthesize
from crnnkit.errors import DatasetError, ImageError
from crnnkit.preprocessing.images import read_image, write_image

PLATE = Style(ink=(230, 230, 240), ground=(20, 40, 150), margins_em=(0.2,) * 4, height_px=40)


@pytest.fixture(scope="module")
def renderer(system_faces: list[Face]) -> Renderer:
    return Renderer(system_faces)


def crops(renderer: Renderer, style: Style, text: str = "KA-2041") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [renderer.render_line(text, rng, style, in_colour=True).image for _ in range(9)]


def middle(styles: list[Style], field: str) -> float:
    return float(np.median([np.mean(getattr(style, field)) for style in styles]))


def test_colours_and_height_are_those_of_the_crops(renderer: Renderer) -> None:
    for style in styles_like(crops(renderer, PLATE)):
        assert np.allclose(style.ground, PLATE.ground, atol=6)
        assert np.allclose(style.ink, PLATE.ink, atol=25)
        assert style.height_px == 40


@pytest.mark.parametrize("noise", [0.0, 4.0, 12.0])
def test_noise_is_measured(renderer: Renderer, noise: float) -> None:
    styles = styles_like(crops(renderer, replace(PLATE, noise=noise)))
    assert middle(styles, "noise") == pytest.approx(noise, rel=0.2, abs=0.5)


def test_blur_is_measured(renderer: Renderer) -> None:
    measured = [
        middle(styles_like(crops(renderer, replace(PLATE, blur_px=sigma))), "blur_px")
        for sigma in (0.0, 0.7, 1.4)
    ]
    assert measured == pytest.approx([0.0, 0.7, 1.4], abs=0.4)


@pytest.mark.parametrize(
    ("field", "low", "high"), [("stretch", 0.7, 1.4), ("spacing_em", 0.1, 0.6)]
)
def test_proportions_are_measured(renderer: Renderer, field: str, low: float, high: float) -> None:
    few, many = (
        middle(styles_like(crops(renderer, replace(PLATE, **{field: value}))), field)
        for value in (low, high)
    )
    assert many - few == pytest.approx(high - low, rel=0.5)


def test_varied_styles_stay_close_to_the_crops(renderer: Renderer) -> None:
    styles = styles_like(crops(renderer, PLATE))
    rng = np.random.default_rng(0)
    drawn = [sample_like(styles, rng) for _ in range(50)]
    assert len({style.stretch for style in drawn}) == 50
    assert middle(drawn, "stretch") == pytest.approx(middle(styles, "stretch"), rel=0.1)
    assert {style.height_px for style in drawn} == {40}


def test_empty_crops_are_left_out_and_refused_if_there_is_nothing_else(renderer: Renderer) -> None:
    empty = np.full((32, 100), 200, np.uint8)
    assert len(styles_like([empty, *crops(renderer, PLATE)[:2]])) == 2
    with pytest.raises(ImageError, match="none of 3 crops shows print"):
        styles_like([empty] * 3)


def test_no_more_crops_are_looked_at_than_needed(renderer: Renderer) -> None:
    crop = crops(renderer, PLATE)[0]
    assert len(styles_like([crop] * 130)) == MAX_CROPS


def test_data_set_rendered_like_a_folder_has_its_colours(
    renderer: Renderer, tmp_path: Path, system_faces: list[Face]
) -> None:
    for number, crop in enumerate(crops(renderer, PLATE)):
        write_image(tmp_path / f"crops/{number}.png", crop)
    fonts = tuple(Path(face.path) for face in system_faces)
    config = SynthConfig(
        tmp_path / "out", 30, patterns=("KA-{n:04}",), fonts=fonts, like=tmp_path / "crops"
    )
    synthesize(config, processes=1)
    lines = read_index(tmp_path / "out/train.txt")
    grounds = [np.median(read_image(line.image), axis=(0, 1)) for line in lines]
    alike = [np.allclose(ground, PLATE.ground, atol=40) for ground in grounds]
    assert 0.5 < np.mean(alike) < 1


def test_folder_without_pictures_is_named(tmp_path: Path, system_faces: list[Face]) -> None:
    (tmp_path / "crops").mkdir()
    config = SynthConfig(
        tmp_path / "out",
        10,
        patterns=("0",),
        fonts=(Path(system_faces[1].path),),
        like=tmp_path / "crops",
    )
    with pytest.raises(DatasetError, match="crops: no pictures there"):
        synthesize(config, processes=1)
