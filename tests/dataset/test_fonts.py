import itertools
import logging
from pathlib import Path

import pytest

from crnnkit.dataset import fonts
from crnnkit.dataset.fonts import (
    Face,
    find_faces,
    group_of,
    missing_families,
    of_families,
    rasterize,
)
from crnnkit.errors import DatasetError


@pytest.mark.parametrize(
    ("text", "drawable"),
    [
        ("A", True),
        ("Aa0", True),
        ("A a", True),  # a space needs no glyph
        ("B", False),  # mapped, but without ink
        ("C", False),  # not mapped: would be the box for missing glyphs
        ("AC", False),  # one missing character spoils the text
        ("永", False),
    ],
)
def test_only_glyphs_with_ink_count_as_drawable(tiny_face: Face, text: str, drawable: bool) -> None:
    assert tiny_face.draws(text) is drawable


def test_glyph_stands_where_its_outline_says(tiny_face: Face) -> None:
    glyph = rasterize(tiny_face, "A", 100)
    assert (glyph.left, glyph.top, glyph.advance) == (10, -70, 60)
    assert glyph.ink.shape == (70, 40)
    assert (glyph.ink[1:-1, 1:-1] == 255).all()


def test_collection_gives_one_face_per_index(system_faces: list[Face]) -> None:
    collections = [face for face in find_faces() if face.path.endswith(".ttc")]
    if not collections:
        pytest.skip("this machine has no font collection (.ttc)")
    of_first = [face for face in collections if face.path == collections[0].path]
    assert [face.index for face in of_first] == list(range(len(of_first)))


def test_missing_font_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no such file or folder: .*nowhere"):
        find_faces([tmp_path / "nowhere"])


def test_folder_without_fonts_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no \.ttf.* in .*apt-get install"):
        find_faces([tmp_path])


def test_damaged_font_is_left_out_with_a_warning(
    tmp_path: Path, tiny_font: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "good.ttf").write_bytes(tiny_font.read_bytes())
    (tmp_path / "damaged.ttf").write_bytes(b"not a font")
    with caplog.at_level(logging.WARNING):
        faces = find_faces([tmp_path])
    assert [face.family for face in faces] == ["Tiny"]
    assert "damaged.ttf: left out" in caplog.text


def test_font_installed_under_two_names_counts_once(tmp_path: Path, tiny_font: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(tiny_font.read_bytes())
    try:
        (tmp_path / "b.ttf").symlink_to(tmp_path / "a.ttf")
    except OSError:
        pytest.skip("this system refuses symbolic links")
    assert len(find_faces([tmp_path])) == 1


def test_no_family_is_trained_on_and_held_out() -> None:
    parts = (fonts.TRAINING_FAMILIES, fonts.TEST_FAMILIES, fonts.DEMO_FAMILIES)
    for first, second in itertools.permutations(parts, 2):
        overlaps = [(a, b) for a in first for b in second if a.startswith(b)]
        assert overlaps == []


def test_families_are_found_whatever_their_spaces() -> None:
    faces = [Face("a", 0, "Liberation Sans Narrow", ""), Face("b", 0, "Droid Sans Fallback", "")]
    assert of_families(faces, fonts.TRAINING_FAMILIES) == faces[:1]
    assert of_families(faces, fonts.TEST_FAMILIES) == faces[1:]


def test_weights_and_widths_of_a_design_share_a_group() -> None:
    assert group_of(Face("a", 0, "Liberation Sans Narrow", "Bold")) == "LiberationSans"
    assert group_of(Face("a", 0, "Some Font", "Bold")) == "SomeFont"


def test_families_that_are_not_installed_are_named():
    faces = [Face("a.ttf", 0, "Noto Sans CJK SC", "Bold"), Face("b.ttf", 0, "cwTeXKai", "Regular")]
    wanted = ("cwTeX", "NotoSansCJKSC", "Unifont", "Tuffy")
    assert missing_families(faces, wanted) == ["Unifont", "Tuffy"]
    assert missing_families([], ("Hack",)) == ["Hack"]
