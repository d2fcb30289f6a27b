from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.fonts import Face
from crnnkit.dataset.index import read_index
from crnnkit.dataset.synthesize import SynthConfig, SynthReport, synthesize
from crnnkit.errors import ConfigError, DatasetError, WriteError
from crnnkit.preprocessing.images import read_image
from crnnkit.vocab import Vocab


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("Aa\t5\n0aA\na0\nAAA\n00\naa\n", "utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_data_set_has_the_projects_format(tmp_path: Path, words: Path, tiny_font: Path) -> None:
    out = tmp_path / "deep" / "domain"
    config = SynthConfig(out, 60, words, ("A-0a",), fonts=(tiny_font,), val_fraction=0.25)
    with pytest.raises(DatasetError, match=r"no font draws 1 of the characters: '-' \(U\+002D\)"):
        synthesize(config, processes=1)
    assert not out.parent.exists()

    config = SynthConfig(out, 60, words, ("A0{a|A}",), fonts=(tiny_font,), val_fraction=0.25)
    report = synthesize(config, processes=1)
    train, val = read_index(out / "train.txt"), read_index(out / "val.txt")
    assert report == SynthReport(out, len(train), len(val), num_faces=1)
    assert len(train) + len(val) == len(list((out / "images").iterdir())) == 60
    texts = {line.text for line in train} | {line.text for line in val}
    assert texts == {"Aa", "0aA", "a0", "AAA", "00", "aa", "A0a", "A0A"}
    assert not {line.text for line in train} & {line.text for line in val}
    assert {read_image(line.image).ndim for line in train} == {3}
    assert [path.name for path in out.parent.iterdir()] == ["domain"]


def test_seed_alone_decides_whatever_the_number_of_processes(
    tmp_path: Path, words: Path, tiny_font: Path
) -> None:
    def render(name: str, seed: int, processes: int) -> dict[str, bytes]:
        config = SynthConfig(
            tmp_path / name, 60, words, fonts=(tiny_font,), val_fraction=0.3, seed=seed
        )
        synthesize(config, processes)
        return contents(tmp_path / name)

    one = render("one", 7, 1)
    assert render("two", 7, 2) == one
    assert render("other", 8, 1) != one


def test_vocabulary_brings_every_character_and_looks_can_be_chosen(
    tmp_path: Path, system_faces: list[Face]
) -> None:
    Vocab("0123456789永的").save(tmp_path / "vocab.txt")
    config = SynthConfig(
        tmp_path / "out",
        40,
        vocab=tmp_path / "vocab.txt",
        fonts=tuple(Path(face.path) for face in system_faces),
        looks=("clean",),
    )
    synthesize(config, processes=1)
    lines = read_index(tmp_path / "out/train.txt")
    assert set("".join(line.text for line in lines)) == set("0123456789永的")
    corners = [read_image(line.image)[0, 0] for line in lines]
    assert np.min(corners) >= 210  # clean means light paper without noise


def test_impossible_split_is_refused_before_anything_is_rendered(
    tmp_path: Path, tiny_font: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crnnkit.dataset.synthesize.write_image", lambda *_: pytest.fail("late"))
    config = SynthConfig(tmp_path / "out", 9, patterns=("A",), fonts=(tiny_font,))
    with pytest.raises(DatasetError, match=r"left for val\. .*, or --val-fraction 0\.$"):
        synthesize(config, processes=1)
    assert list(tmp_path.iterdir()) == []


def test_validation_part_can_be_left_out(tmp_path: Path, tiny_font: Path) -> None:
    config = SynthConfig(tmp_path / "out", 9, patterns=("A",), fonts=(tiny_font,), val_fraction=0)
    assert synthesize(config, processes=1).num_val == 0
    assert len(read_index(tmp_path / "out/train.txt")) == 9
    assert not (tmp_path / "out/val.txt").exists()


def test_existing_data_is_never_touched(tmp_path: Path, words: Path, tiny_font: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "train.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"mine: not empty\. Remove it or choose another"):
        synthesize(SynthConfig(out, 10, words, fonts=(tiny_font,)))
    assert contents(out) == {"train.txt": b"mine"}


def test_failure_leaves_nothing_behind(
    tmp_path: Path, words: Path, tiny_font: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, image: np.ndarray) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("crnnkit.dataset.synthesize.write_image", full_disk)
    config = SynthConfig(tmp_path / "out", 10, words, fonts=(tiny_font,), val_fraction=0)
    with pytest.raises(WriteError, match="out: cannot be written: no space left"):
        synthesize(config, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["words.txt"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_lines": 1}, "num_lines 1: must be 2 or more"),
        ({"lexicon": None}, "nothing to write"),
        ({"val_fraction": 1.0}, r"val_fraction 1\.0: must lie in 0 to 1"),
        ({"looks": ("clean", "shiny")}, r"unknown looks \['shiny'\]\. Known: clean"),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, object], message: str) -> None:
    settings: dict[str, object] = {"num_lines": 10, "lexicon": Path("words.txt")}
    with pytest.raises(ConfigError, match=message):
        SynthConfig(Path("out"), **(settings | fields))
