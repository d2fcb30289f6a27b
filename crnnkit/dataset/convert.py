"""Other tools' data sets into an index with pictures, into LMDB and Parquet, and back."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crnnkit.dataset.archives import read_lmdb, read_parquet, write_lmdb, write_parquet
from crnnkit.dataset.exports import (
    read_easyocr,
    read_gt_folder,
    read_index_file,
    read_label_studio,
    read_ppocrlabel,
    read_rows,
)
from crnnkit.dataset.faults import MAX_SHOWN
from crnnkit.dataset.index import Line, new_folder, read_index, write_index
from crnnkit.dataset.samples import LeftOut, Sample, checked
from crnnkit.errors import DatasetError
from crnnkit.files import file_sha256, write_text, writing
from crnnkit.preprocessing.images import suffix_of

Reader = Callable[[Path], Iterator[Sample | LeftOut]]

INDEX_NAME = "lines.txt"

_BY_NAME: dict[str, Reader] = {
    "data.mdb": lambda path: read_lmdb(path.parent),
    "labels.csv": read_easyocr,
    "Label.txt": read_ppocrlabel,
    "rec_gt.txt": read_rows,
}
_BY_SUFFIX: dict[str, Reader] = {
    ".csv": read_easyocr,
    ".json": read_label_studio,
    ".parquet": read_parquet,
    ".txt": read_index_file,
}


@dataclass(frozen=True)
class Conversion:
    """What was written, and what was not."""

    written: Path
    """Index file, LMDB folder or Parquet file."""
    num_lines: int
    """Lines that were written; of an index that was there already, those that are new to it."""
    num_known: int
    """Samples that such an index had already, picture and text."""
    left_out: tuple[LeftOut, ...]
    left_out_list: Path
    """File that names all of them, where there are any."""


def convert(source: str | Path, out: str | Path) -> Conversion:
    """Convert a labelled data set; every sample is taken over or named with a reason.

    Args:
        source: a folder with `.gt.txt` files, `labels.csv`, `Label.txt`, `rec_gt.txt` or
            `data.mdb`, or one of these files; a Label Studio `.json`; a `.parquet`; an index file.
        out: a folder to make, for pictures and an index; `….lmdb` or `….parquet`; or `….txt`, an
            index file, made or added to, with the pictures in `img` beside it.

    Raises:
        DatasetError: if the source is none of these or cannot be read, if not a single sample
            can be taken over, if `out` holds something already, or if an index to be added to
            has faults.
        ConfigError: if the library for LMDB or Parquet is not installed.
    """
    source, out = Path(source), Path(out)
    writer, beside = _writer_of(out)
    left_out: list[LeftOut] = []
    known: list[Sample] = []
    samples = _good(_reader_of(source), left_out)
    if out.suffix == ".txt":
        num_lines = _add_to_index(samples, out, known)
    elif beside and out.exists():
        raise DatasetError(f"{out}: exists. Remove it or choose another name.")
    else:
        num_lines = writer(samples, out)
    left_out_list = out.with_name(f"{out.name}.left_out.txt") if beside else out / "left_out.txt"
    if left_out:
        write_text(left_out_list, "".join(f"{item}\n" for item in left_out))
    written = out if beside else out / INDEX_NAME
    return Conversion(written, num_lines, len(known), tuple(left_out), left_out_list)


def _reader_of(source: Path) -> Iterator[Sample | LeftOut]:
    if source.is_dir():
        found = [source / name for name in _BY_NAME if (source / name).is_file()]
        has_texts = next(source.rglob("*.gt.txt"), None) is not None
        if len(found) + has_texts > 1:
            names = ", ".join([path.name for path in found] + [".gt.txt files"] * has_texts)
            raise DatasetError(f"{source}: holds {names}. Name the file to convert.")
        if has_texts:
            return read_gt_folder(source)
        if found:
            return _BY_NAME[found[0].name](found[0])
    elif source.is_file():
        read = _BY_NAME.get(source.name) or _BY_SUFFIX.get(source.suffix.lower())
        if read:
            return read(source)
    else:
        raise DatasetError(f"{source}: no such file or folder. Check the path.")
    raise DatasetError(
        f"{source}: no data set that is known. Known are folders with .gt.txt files, "
        f"{', '.join(_BY_NAME)}, and files ending in {', '.join(_BY_SUFFIX)}."
    )


def _writer_of(out: Path) -> tuple[Callable[[Iterable[Sample], Path], int], bool]:
    """The writer that the suffix asks for, and whether it leaves no folder for a list."""
    writers = {".lmdb": write_lmdb, ".parquet": write_parquet}
    return writers.get(out.suffix, _write_folder), out.suffix in (*writers, ".txt")


def _good(found: Iterable[Sample | LeftOut], left_out: list[LeftOut]) -> Iterator[Sample]:
    """The samples that can be taken over; the others go to `left_out`."""
    is_empty = True
    for item in found:
        result = checked(item) if isinstance(item, Sample) else item
        if isinstance(result, LeftOut):
            left_out.append(result)
        else:
            is_empty = False
            yield result
    if is_empty:
        reasons = "\n".join(map(str, left_out[:MAX_SHOWN]))
        raise DatasetError(f"not one of {len(left_out)} samples can be taken over:\n{reasons}")


def _write_folder(samples: Iterable[Sample], out: Path) -> int:
    """Pictures, their files bit for bit, in `img` and an index beside it; whole or not at all."""
    with new_folder(out) as partial:
        lines = _written(samples, partial)
        write_index(partial / INDEX_NAME, lines)
    return len(lines)


def _new_to(
    lines: Sequence[Line], samples: Iterable[Sample], known: list[Sample]
) -> Iterator[Sample]:
    """The samples that the lines lack; those that they have go to `known`."""
    had = {(file_sha256(line.image), line.text) for line in lines}
    for sample in samples:
        key = (hashlib.sha256(sample.image).hexdigest(), sample.text)
        if key in had:
            known.append(sample)
        else:
            had.add(key)
            yield sample


def _add_to_index(samples: Iterable[Sample], out: Path, known: list[Sample]) -> int:
    """Pictures first, then the index at once: what breaks off leaves it as it was."""
    old = read_index(out) if out.exists() else []
    new = _written(_new_to(old, samples, known), out.parent)
    if new:
        write_index(out, [*old, *new])
    return len(new)


def _written(samples: Iterable[Sample], folder: Path) -> list[Line]:
    """Write the pictures into `img` of a folder, under names that are free there."""
    lines: list[Line] = []
    taken: set[str] = set()
    for number, sample in enumerate(samples, start=1):
        name = safe_name(sample.name).removeprefix("img/")
        suffix = suffix_of(sample.image)
        while name.casefold() in taken or (folder / "img" / f"{name}{suffix}").exists():
            name = f"{name}_{number}"
        taken.add(name.casefold())
        image = folder / "img" / f"{name}{suffix}"
        with writing(image):
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(sample.image)
        lines.append(Line(image, sample.text, number))
    return lines


def safe_name(name: str) -> str:
    """A path below a folder, without suffix, that every system can hold, from any path at all.

    Folders are kept, since documents are told apart by them. One that is called like a picture
    gets a `_` behind, so that no file is in its way.
    """
    parts = re.split(r"[/\\]", re.sub(r"\.\w{1,5}$", "", name))
    *folders, stem = [_safe_part(part) for part in parts]
    folders = [re.sub(r"(\.[A-Za-z]\w*)$", r"\1_", folder) for folder in folders]
    return "/".join(part for part in (*folders, stem) if part) or "line"


def _safe_part(part: str) -> str:
    """At most 80 characters and 200 bytes: a file's name may have 255 with what is put behind."""
    part = re.sub(r'[<>:"|?*\x00-\x1f]', "_", part)[:80]
    return part.encode(errors="ignore")[:200].decode(errors="ignore").strip(" .")
