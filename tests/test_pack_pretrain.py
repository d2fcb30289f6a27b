import os
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import packaging.requirements
import packaging.utils
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont

from benchmarks import pack_pretrain as packing
from crnnkit.dataset.fonts import find_faces
from crnnkit.errors import DatasetError
from crnnkit.model.checkpoint import new_checkpoint, read_info, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage
from crnnkit.vocab import Vocab

TINY = ModelConfig(
    stages=(Stage(8, (2, 2)), Stage(16, (2, 1)), Stage(24, (4, 2))), bottleneck=24, lstm_hidden=16
)
ASCII = "".join(chr(code) for code in range(32, 127))
CHARSET = ASCII + "，。：¥℃年月日的一二三四五六七八九十"


def _box(width):
    pen = TTGlyphPen(None)
    pen.moveTo((50, 0))
    for point in ((50, 700), (50 + width, 700), (50 + width, 0)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()


def make_font(path, characters, family="Tuffy", weight=400):
    """A face that draws every character as a box of a width of its own."""
    names = [".notdef", *(f"u{ord(c):04X}" for c in characters)]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):04X}" for c in characters})
    builder.setupGlyf({name: _box(100 + 3 * place) for place, name in enumerate(names)})
    builder.setupHorizontalMetrics({name: (600, 50) for name in names})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=weight)
    builder.setupPost()
    builder.save(path)
    return path


def make_collection(path, *fonts):
    collection = TTCollection()
    collection.fonts = [TTFont(font) for font in fonts]
    collection.save(path)
    return path


def test_hanzi_travel_regular_and_bold_letters_in_all_weights_other_families_never(tmp_path):
    weights = (700, 100, 900, 350, 300)
    made = {
        **{f"hanzi {w}": ("Aa0的一", "cwTeX Kai", w) for w in weights},
        **{f"letters {w}": ("Aa0", "Tuffy", w) for w in weights},
        "one weight": ("Aa0的一", "Hana Min A", 500),
        "neither letters nor hanzi": ("→", "Tuffy", 400),
        "does not fit": ("Aa0的一", "cwTeX Ming", 400),
        "of the frozen sets": ("Aa0的一", "WenQuanYi Micro Hei", 400),
    }
    files = [make_font(tmp_path / f"{name}.ttf", *how) for name, how in made.items()]
    kept = [Path(face.path).stem for face in packing.chosen(find_faces(files))]
    assert sorted(kept) == sorted(
        ["hanzi 350", "hanzi 700", "one weight", *(f"letters {w}" for w in weights)]
    )


def test_a_face_of_a_collection_becomes_a_file_with_the_vocabularys_glyphs(tmp_path):
    other = make_font(tmp_path / "other.ttf", "X")
    mine = make_font(tmp_path / "mine.ttf", "ABC一", "Play")
    face = find_faces([make_collection(tmp_path / "both.ttc", other, mine)])[1]
    reduced = packing.reduce_face(face, "A一", tmp_path / "reduced.ttf")
    assert (reduced.family, reduced.index) == ("Play", 0)
    assert [c for c in "ABC一" if reduced.draws(c)] == ["A", "一"]


@pytest.mark.parametrize(
    ("characters", "family", "message"),
    [
        ("AB", "Play", r"Tuffy Regular is named Play Regular"),
        ("A", "Tuffy", r"Tuffy Regular draws 1 characters .*: B\."),  # one is lost
        ("ABC", "Tuffy", r"Tuffy Regular draws 1 characters .*: C\."),  # one is too many
    ],
)
def test_a_face_that_changed_is_refused(tmp_path, characters, family, message):
    before = make_font(tmp_path / "before.ttf", "AB")
    after = make_font(tmp_path / "after.ttf", characters, family)
    with pytest.raises(DatasetError, match=message):
        packing.check_same(*find_faces([before]), *find_faces([after]), "ABC")


def test_an_archive_that_is_too_large_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "MAX_MB", 0)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(DatasetError, match=r"pack\.tar\.xz: 0\.0 MB, may be 0\. Leave"):
        packing.pack(folder, tmp_path / "pack.tar.xz")
    assert list(tmp_path.iterdir()) == [folder]


THERE = {"torch", "numpy", "opencv-python", "pillow", "safetensors", "tqdm", "typer"}
"""What checkpoints/README.md asks of the other machine."""


def with_what_they_need(names):
    """Distributions and all that they require, by their normal names."""
    found, waiting = set(), [packaging.utils.canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needed = map(packaging.requirements.Requirement, metadata.requires(name) or ())
            waiting += [
                packaging.utils.canonicalize_name(r.name)
                for r in needed
                if r.marker is None or r.marker.evaluate({"extra": ""})
            ]
    return found


def test_all_that_pretraining_imports_is_there_or_travels():
    code = (
        "import sys, crnnkit.cli.app, crnnkit.finetuning.pretrain, crnnkit.dataset.synth;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert imported.returncode == 0, imported.stderr
    distributions = metadata.packages_distributions()
    used = {name for module in imported.stdout.split() for name in distributions.get(module, ())}
    used = {packaging.utils.canonicalize_name(name) for name in used}
    assert "torch" in used
    assert used - with_what_they_need({*THERE, *packing.LIBRARIES}) == {"crnnkit"}


@pytest.fixture
def archive(tmp_path):
    """The real archive in miniature: two small faces, 121 characters, three words a language."""
    first = make_font(tmp_path / "first.ttf", CHARSET)
    second = make_font(tmp_path / "second.ttf", CHARSET, "Play")
    faces = find_faces([make_collection(tmp_path / "fonts.ttc", first, second)])
    Vocab(CHARSET).save(tmp_path / "vocab.txt")
    (tmp_path / "zh.txt").write_text("一月 3 n\n二月\n三月\n", encoding="utf-8")
    (tmp_path / "en.txt").write_text("total\namount\nvalve\n", encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    words = (tmp_path / "zh.txt", tmp_path / "en.txt")
    packing.fill(folder, faces, tmp_path / "vocab.txt", *words, libraries=())
    packing.pack(folder, tmp_path / "pretrain.tar.xz")
    return tmp_path / "pretrain.tar.xz"


@pytest.mark.slow
def test_what_was_packed_trains_elsewhere_without_system_fonts_and_jieba(archive, tmp_path):
    away = tmp_path / "away"
    with tarfile.open(archive) as packed:
        packed.extractall(away, filter="data")
    unpacked = away / "pretrain"
    (unpacked / "jieba.py").write_text("raise ImportError('not there')")
    (away / "crnnkit.py").write_text("raise ImportError('the working directory's')")
    with (unpacked / "crnnkit/__init__.py").open("a") as source:
        source.write("print('the packed package')\n")
    with (unpacked / "crnnkit/dataset/fonts.py").open("a") as source:
        source.write("def font_folders(): raise AssertionError('the system has no fonts')\n")
    counters = {"glyphs_seen": 600_000, "lines_seen": 200_000}
    info = CheckpointInfo(CHARSET, TINY, training=counters)
    save_checkpoint(away / "base.safetensors", new_checkpoint(info))

    script = ["sh", unpacked / "run_pretrain.sh", "base.safetensors", "better.safetensors"]
    options = "--minutes 0.1 --num-workers 2 --num-threads 1 --batch-columns 512".split()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*script, *options], cwd=away, env={"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "the packed package" in done.stdout
    assert read_info(away / "base.safetensors").training == counters
    after = read_info(away / "better.safetensors").training
    assert after["glyphs_seen"] == counters["glyphs_seen"]
    assert after["lines_seen"] > counters["lines_seen"]
