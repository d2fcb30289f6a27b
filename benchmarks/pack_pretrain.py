"""Pack what `crnnkit pretrain` needs where there are neither fonts nor a network.

`python -m benchmarks.pack_pretrain OUT.tar.xz`. In the archive: the package, the training fonts
reduced to the vocabulary, words, the libraries that such a machine may lack, and the script that
runs it all: see checkpoints/README.md. The fonts keep their licences; the archive is not shipped.
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from tqdm import tqdm

from benchmarks.make_general import CHINESE, ENGLISH
from crnnkit.dataset.fonts import TRAINING_FAMILIES, Face, find_faces, of_families, rasterize
from crnnkit.errors import DatasetError
from crnnkit.files import whole_file
from crnnkit.vocab import Vocab

ROOT = Path(__file__).parents[1]
TARGET_PYTHON = "3.12"
TARGET_PLATFORMS = (
    *("manylinux2014_x86_64", "manylinux_2_17_x86_64"),
    *("manylinux_2_27_x86_64", "manylinux_2_28_x86_64"),
)
LIBRARIES = ("pydantic", "rapidfuzz")
"""What `crnnkit pretrain` imports and a machine with torch, OpenCV, safetensors, tqdm and typer
may lack."""
WEIGHTS = (400, 700)
"""Of a family with hanzi travel the faces nearest to these: regular and bold."""
LEFT_OUT = (
    *("ARPLSungti", "BabelStoneHan", "cwTeXMing", "YOzSF90b", "kiloji-"),
    *("AoyagiSoseki", "KouzanBrush"),
)
"""What does not fit beside the rest: Song and pen faces whose like is there, and two brushes."""
MAX_MB = 36

_UNUSED_TABLES = "GSUB GPOS GDEF BASE kern vhea vmtx VORG morx FFTM gasp".split()
"""Glyphs are set one by one and from left to right."""
_BITMAP_TABLES = ("EBDT", "EBLC", "EBSC")
"""Some faces hold drawings for small sizes, which screens show."""


def chosen(faces: Sequence[Face]) -> list[Face]:
    """What travels: the training families' faces with letters, and regular and bold hanzi."""
    left_out = {*of_families(faces, LEFT_OUT)}
    training = [face for face in of_families(faces, TRAINING_FAMILIES) if face not in left_out]
    families = defaultdict(list)
    for face in training:
        if face.draws("的一"):
            families[face.family].append(face)
    with_hanzi = [face for members in families.values() for face in _regular_and_bold(members)]
    return with_hanzi + [f for f in training if not f.draws("的一") and f.draws("Aa0")]


def _regular_and_bold(faces: Sequence[Face]) -> list[Face]:
    weights = {face: _open(face)["OS/2"].usWeightClass for face in faces}
    nearest = [
        min((abs(weights[face] - w), n, face) for n, face in enumerate(faces)) for w in WEIGHTS
    ]
    return list(dict.fromkeys(face for _, _, face in nearest))


def _open(face: Face) -> TTFont:
    is_collection = face.path.lower().endswith(("ttc", "otc"))
    return TTFont(face.path, fontNumber=face.index if is_collection else -1, lazy=True)


def reduce_face(face: Face, charset: str, path: Path) -> Face:
    """Write a face with the glyphs of `charset` alone: same names, outlines, hints and bitmaps.

    Raises:
        DatasetError: if what was written draws other characters of `charset`.
    """
    options = subset.Options(
        layout_features=[], name_IDs=["*"], name_languages=["*"], name_legacy=True,
        notdef_outline=True, ignore_missing_unicodes=True,
    )  # fmt: skip
    options.drop_tables = [t for t in options.drop_tables if t not in _BITMAP_TABLES]
    options.drop_tables += _UNUSED_TABLES
    font = _open(face)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=charset)
    subsetter.subset(font)
    font.save(path)
    (reduced,) = find_faces([path])
    check_same(face, reduced, charset)
    return reduced


def check_same(face: Face, reduced: Face, charset: str) -> None:
    """Compare two faces: their names, and which characters of `charset` they draw.

    Raises:
        DatasetError: naming what differs.
    """
    names = [f"{f.family} {f.style}" for f in (face, reduced)]
    if names[0] != names[1]:
        raise DatasetError(
            f"{face.path}: {names[0]} is named {names[1]} after reduction. Leave the font out."
        )
    changed = [c for c in charset if face.draws(c) != reduced.draws(c)]
    rasterize.cache_clear()  # a face's glyphs are many, and are not asked for again
    if changed:
        raise DatasetError(
            f"{face.path}: {names[0]} draws {len(changed)} characters only before or only after "
            f"reduction: {''.join(changed[:20])}. Leave the font out."
        )


def install_libraries(names: Sequence[str], folder: Path) -> None:
    """Libraries in the versions used here, and what they need, for the other machine's Python."""
    platforms = [f"--platform={platform}" for platform in TARGET_PLATFORMS]
    pinned = [f"{name}=={version(name)}" for name in names]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    where = ["--target", str(folder), "--python-version", TARGET_PYTHON, "--only-binary=:all:"]
    subprocess.run([*command, *where, *platforms, *pinned], check=True)


def fill(
    folder: Path,
    faces: Sequence[Face],
    vocab: Path,
    chinese: Path,
    english: Path,
    libraries: Sequence[str],
) -> None:
    """Put all that the archive holds into `folder`."""
    charset = Vocab.load(vocab).charset
    (folder / "fonts").mkdir()
    for number, face in enumerate(tqdm(faces, unit="face", disable=None)):
        reduce_face(face, charset, folder / "fonts" / f"{number:03}{_suffix(face)}")
    shutil.copy(vocab, folder / "vocab.txt")
    shutil.copy(chinese, folder / "chinese.txt")
    shutil.copy(english, folder / "english.txt")
    shutil.copy(ROOT / "benchmarks/run_pretrain.sh", folder)
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "crnnkit", folder / "crnnkit", ignore=no_caches)
    if libraries:
        install_libraries(libraries, folder / "libraries")


def _suffix(face: Face) -> str:
    return ".otf" if "CFF " in _open(face) else ".ttf"


def pack(folder: Path, out: Path) -> None:
    """Write a folder as .tar.xz, whole or not at all.

    Raises:
        DatasetError: if it takes more than MAX_MB.
    """
    with whole_file(out) as partial:
        with tarfile.open(partial, "w:xz", preset=9) as archive:
            archive.add(folder, arcname="pretrain")
        packed_mb = partial.stat().st_size / 2**20
        if packed_mb > MAX_MB:
            raise DatasetError(f"{out}: {packed_mb:.1f} MB, may be {MAX_MB}. Leave more out.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="archive to write, .tar.xz")
    parser.add_argument(
        "--fonts", type=Path, nargs="*", default=[], help="files, folders; default: the system's"
    )
    arguments = parser.parse_args()
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    faces = chosen(find_faces(arguments.fonts))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, faces, ROOT / "vocab/zh_en.txt", CHINESE, ENGLISH, LIBRARIES)
        pack(folder, arguments.out)
    print(f"{arguments.out}: {len(faces)} faces, {arguments.out.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
