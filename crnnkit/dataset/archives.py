"""Data sets in one file: LMDB as recognition benchmarks use it, and Parquet; both ways."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from crnnkit.dataset.faults import shown
from crnnkit.dataset.index import new_folder
from crnnkit.dataset.samples import LeftOut, Sample, load_sample
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.files import whole_file

_ROWS_AT_ONCE = 64
_FIRST_MAP_BYTES = 1 << 24


def read_lmdb(folder: Path) -> Iterator[Sample | LeftOut]:
    """A folder with `data.mdb` and the keys `num-samples`, `image-%09d`, `label-%09d`.

    They are numbered from 1, or from 0 where that is how the last one is found. Pictures that
    `num-samples` does not count are left out by name. The file's structure is verified before the
    engine sees it: a damaged one can end the process.

    Raises:
        DatasetError: if it is damaged, or `num-samples` is no number of samples it can hold.
    """
    lmdb = _lmdb()
    try:
        problems = lmdb.verify.verify(os.fspath(folder))
    except (lmdb.verify.VerifyError, OSError) as error:
        problems = [str(error)]
    if problems:
        raise DatasetError(f"{folder}: no sound LMDB: {problems[0]}. Copy or write it again.")
    with (
        lmdb.open(os.fspath(folder), readonly=True, lock=False, readahead=False) as environment,
        environment.begin() as transaction,
    ):
        count, num_entries = transaction.get(b"num-samples", b""), environment.stat()["entries"]
        # the length first: Python refuses to read numbers of thousands of digits
        if not (count.isdigit() and len(count) < 12 and int(count) <= num_entries):
            raise DatasetError(
                f"{folder}: 'num-samples' is {count[:80]!r}, with {num_entries} entries in all. "
                "Write the LMDB again."
            )
        numbers = _numbers(transaction, int(count))
        for number in numbers:
            source = f"{folder}: image-{number:09}"
            image = transaction.get(b"image-%09d" % number)
            label = transaction.get(b"label-%09d" % number)
            yield _sample(source, f"{number:09}", image, label)
        for key in _uncounted(transaction, numbers):
            reason = f"is none of the {len(numbers)} that 'num-samples' counts"
            yield LeftOut(f"{folder}: {key.decode(errors='replace')}", reason)


def _numbers(transaction: Any, count: int) -> range:
    has_first, has_last = (transaction.get(b"image-%09d" % n) is not None for n in (0, count))
    return range(count) if has_first and not has_last else range(1, count + 1)


def _uncounted(transaction: Any, numbers: range) -> Iterator[bytes]:
    """Keys of pictures that have none of the numbers."""
    cursor = transaction.cursor()
    cursor.set_range(b"image-")
    for key in takewhile(lambda key: key.startswith(b"image-"), cursor.iternext(values=False)):
        digits = key.removeprefix(b"image-")
        if not (digits.isdigit() and int(digits) in numbers and len(digits) == 9):
            yield key


def _sample(source: str, name: str, image: bytes | None, label: bytes | None) -> Sample | LeftOut:
    if image is None or label is None:
        return LeftOut(source, f"has no {'image' if image is None else 'label'}")
    try:
        return Sample(source, name, image, label.decode("utf-8"))
    except UnicodeDecodeError:
        return LeftOut(source, f"label {label[:80]!r} is not UTF-8")


def write_lmdb(samples: Iterable[Sample], out: Path) -> int:
    """Write folder `out` with `data.mdb`; it appears whole or not at all.

    Returns:
        The number of samples.

    Raises:
        WriteError: if the disk refuses.
    """
    lmdb = _lmdb()
    with new_folder(out) as partial:
        with lmdb.open(os.fspath(partial), map_size=_FIRST_MAP_BYTES, sync=False) as environment:

            def put(pairs: dict[bytes, bytes]) -> None:
                try:
                    with environment.begin(write=True) as transaction:
                        for key, value in pairs.items():
                            transaction.put(key, value)
                except lmdb.MapFullError:
                    environment.set_mapsize(2 * environment.info()["map_size"])
                    put(pairs)
                except lmdb.Error as error:
                    raise OSError(str(error)) from None

            number = 0
            for number, sample in enumerate(samples, start=1):
                label = sample.text.encode("utf-8")
                put({b"image-%09d" % number: sample.image, b"label-%09d" % number: label})
            put({b"num-samples": b"%d" % number})
            environment.sync(True)
        (partial / "lock.mdb").unlink()
    return number


def read_parquet(path: Path) -> Iterator[Sample | LeftOut]:
    """Columns `text` and `image`, or `text` and `path`.

    `image` holds the content of the picture file, or {"bytes", "path"} as Hugging Face writes it.
    Without it, `path` is a picture in the folder of the file; beside it, the picture's name.

    Raises:
        DatasetError: if it is no Parquet, or lacks these columns.
    """
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = {"text", "image", "path"} & set(file.schema_arrow.names)
            if "text" not in columns or len(columns) < 2:
                raise DatasetError(
                    f"{path}: has columns {file.schema_arrow.names}. Needed are text and image, "
                    "or text and path."
                )
            batches = file.iter_batches(_ROWS_AT_ONCE, columns=sorted(columns))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield _sample_of_row(path, number, row)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: no readable Parquet: {error}. Write it again.") from None


def _sample_of_row(path: Path, number: int, row: dict[str, Any]) -> Sample | LeftOut:
    source = f"{path}: row {number}"
    text, name = row["text"], row.get("path")
    image: Any = row.get("image")
    if isinstance(image, dict):
        image, name = image.get("bytes"), image.get("path")
    if not isinstance(text, str):
        return LeftOut(source, f"text is {shown(str(text))}, not a string")
    if isinstance(image, bytes):
        return Sample(source, name if isinstance(name, str) else f"{number:09}", image, text)
    if isinstance(name, str):
        return load_sample(source, path.parent, name, text)
    return LeftOut(source, "has neither the content of a picture nor a path")


def write_parquet(samples: Iterable[Sample], out: Path) -> int:
    """Write columns `image` (content of the file), `path` (name), `text`; whole or not at all.

    Returns:
        The number of samples.
    """
    pyarrow = _pyarrow()
    schema = pyarrow.schema(
        {"image": pyarrow.binary(), "path": pyarrow.string(), "text": pyarrow.string()}
    )
    remaining = iter(samples)
    number = 0
    with whole_file(out) as partial, pyarrow.parquet.ParquetWriter(partial, schema) as writer:
        while group := list(islice(remaining, _ROWS_AT_ONCE)):
            rows = [{"image": s.image, "path": s.name, "text": s.text} for s in group]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            number += len(group)
    return number


def _lmdb() -> ModuleType:
    try:
        import lmdb
        import lmdb.verify
    except ImportError:
        raise _not_installed("lmdb") from None
    return lmdb


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise _not_installed("pyarrow") from None
    return pyarrow


def _not_installed(name: str) -> ConfigError:
    return ConfigError(f"{name} is not installed. Run: pip install 'crnnkit[formats]'")
