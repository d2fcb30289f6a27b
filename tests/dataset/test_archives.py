"""LMDB and Parquet: what goes in comes out, and what is damaged is refused or named."""

import builtins
import resource
from collections.abc import Callable
from pathlib import Path
from random import Random

import lmdb
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from crnnkit.dataset import archives
from crnnkit.dataset.archives import read_lmdb, read_parquet, write_lmdb, write_parquet
from crnnkit.dataset.samples import LeftOut, Sample
from crnnkit.errors import ConfigError, DatasetError, WriteError
from crnnkit.preprocessing.images import encode_image

PICTURE = encode_image(np.zeros((8, 16), np.uint8))


def sample(number: int, text: str = "A1") -> Sample:
    return Sample("here", f"doc/{number}.png", PICTURE + bytes([number % 256]), text)


@pytest.mark.parametrize(
    ("write", "read", "name"),
    [(write_lmdb, read_lmdb, "a.lmdb"), (write_parquet, read_parquet, "a.parquet")],
)
def test_what_is_written_is_read(tmp_path: Path, write: Callable, read: Callable, name: str):
    samples = [sample(number, f"北京 {number}") for number in range(200)]
    assert write(iter(samples), tmp_path / name) == 200
    found = list(read(tmp_path / name))
    assert [(s.image, s.text) for s in found] == [(s.image, s.text) for s in samples]
    assert len({s.source for s in found}) == 200
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("write", "name"), [(write_lmdb, "a.lmdb"), (write_parquet, "a.parquet")])
def test_a_writer_that_fails_leaves_nothing(tmp_path: Path, write: Callable, name: str) -> None:
    def breaking():
        yield sample(1)
        raise DatasetError("no more")

    with pytest.raises(DatasetError, match="no more"):
        write(breaking(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("write", "name"), [(write_lmdb, "a.lmdb"), (write_parquet, "a.parquet")])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, write: Callable, name: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(WriteError, match=f"{name}: cannot be written"):
            write([Sample("here", "a", Random(0).randbytes(1 << 18), "A")], tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_parquet_keeps_the_names_of_the_pictures(tmp_path: Path) -> None:
    write_parquet([sample(1), sample(2)], tmp_path / "a.parquet")
    assert [s.name for s in read_parquet(tmp_path / "a.parquet")] == ["doc/1.png", "doc/2.png"]


def test_lmdb_grows_with_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_FIRST_MAP_BYTES", 1 << 16)
    big = Sample("here", "a", bytes(1 << 18), "A")
    assert write_lmdb([big] * 4, tmp_path / "a.lmdb") == 4
    assert [s.image for s in read_lmdb(tmp_path / "a.lmdb")] == [big.image] * 4


def test_lmdb_has_the_keys_that_benchmarks_use(tmp_path: Path) -> None:
    write_lmdb([sample(1, "北")], tmp_path / "a.lmdb")
    assert [path.name for path in (tmp_path / "a.lmdb").iterdir()] == ["data.mdb"]
    with lmdb.open(str(tmp_path / "a.lmdb"), readonly=True) as environment:
        with environment.begin() as transaction:
            content = dict(transaction.cursor())
    assert content == {
        b"num-samples": b"1",
        b"image-000000001": sample(1).image,
        b"label-000000001": "北".encode(),
    }


def test_lmdb_counted_from_0_is_read_from_there_and_nothing_is_lost_unnamed(tmp_path: Path) -> None:
    content = {"num-samples": b"2"}
    content |= {f"image-{n:09}": PICTURE for n in range(2)}
    content |= {f"label-{n:09}": str(n).encode() for n in range(2)}
    assert [s.text for s in read_lmdb(lmdb_of(tmp_path / "0", content))] == ["0", "1"]
    more = content | {"image-000000002": PICTURE, "label-000000002": b"2", "image-7": PICTURE}
    *found, first, last = read_lmdb(lmdb_of(tmp_path / "1", more))
    assert [s.text for s in found] == ["1", "2"]
    assert str(first).endswith("image-000000000: is none of the 2 that 'num-samples' counts")
    assert "image-7: " in str(last)


def lmdb_of(folder: Path, content: dict[str, bytes]) -> Path:
    with lmdb.open(str(folder)) as environment, environment.begin(write=True) as transaction:
        for key, value in content.items():
            transaction.put(key.encode(), value)
    return folder


def test_lmdb_samples_that_are_not_whole_are_named(tmp_path: Path) -> None:
    content = {
        "num-samples": b"3",
        "image-000000001": PICTURE,
        "label-000000002": b"A",
        "image-000000003": PICTURE,
        "label-000000003": b"\xb1\xb1",
    }
    found = list(read_lmdb(lmdb_of(tmp_path / "a", content)))
    assert [(s.source.rpartition(": ")[2], s.reason) for s in found] == [
        ("image-000000001", "has no label"),
        ("image-000000002", "has no image"),
        ("image-000000003", r"label b'\xb1\xb1' is not UTF-8"),
    ]


@pytest.mark.parametrize(
    "count",
    [
        None,
        b"",
        b"many",
        b"-1",
        b"4",  # there are 3 entries: no samples that could be named one by one
        b"9" * 5000,  # a number that Python refuses to read
    ],
)
def test_lmdb_with_a_wrong_number_of_samples_is_refused(tmp_path: Path, count: bytes | None):
    content = {"image-000000001": PICTURE, "label-000000001": b"A"}
    content |= {"other": b""} if count is None else {"num-samples": count}
    with pytest.raises(DatasetError, match="'num-samples' is b'.*with 3 entries in all"):
        list(read_lmdb(lmdb_of(tmp_path / "a", content)))


def damaged(path: Path, start: int) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)


@pytest.mark.parametrize("page", [0, 2, 3])  # a header, and pages of content
def test_a_damaged_lmdb_is_refused_before_the_engine_opens_it(tmp_path, page, monkeypatch) -> None:
    write_lmdb([sample(number) for number in range(100)], tmp_path / "a")
    pages = (tmp_path / "a/data.mdb").stat().st_size // 4096
    for number in range(page, pages, 1 if page else pages):
        damaged(tmp_path / "a/data.mdb", 4096 * number)
    monkeypatch.setattr(lmdb, "open", lambda *args, **kwargs: pytest.fail("was opened"))
    with pytest.raises(DatasetError, match=r"no sound LMDB: .*Copy or write it again"):
        list(read_lmdb(tmp_path / "a"))


@pytest.mark.parametrize("content", [b"", b"no LMDB", bytes(8192)])
def test_a_file_that_is_no_lmdb_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DatasetError, match="no sound LMDB"):
        list(read_lmdb(tmp_path))


def parquet_of(folder: Path, rows: list[dict]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "a.parquet")
    return folder / "a.parquet"


def test_parquet_as_hugging_face_writes_it(tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": PICTURE, "path": "doc/1.png"}, "text": "A", "other": 7},
        {"image": {"bytes": PICTURE, "path": None}, "text": "B", "other": 7},
        {"image": {"bytes": None, "path": "doc/3.png"}, "text": "C", "other": 7},  # not there
    ]
    first, second, third = read_parquet(parquet_of(tmp_path, rows))
    assert (first.name, first.image, first.text) == ("doc/1.png", PICTURE, "A")
    assert (second.name, second.text) == ("000000002", "B")
    assert "no such picture" in third.reason


def test_parquet_with_paths_opens_pictures_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for path in ("data/in.png", "out.png"):
        (tmp_path / path).write_bytes(PICTURE)
    rows = [{"path": "in.png", "text": "A"}, {"path": "../out.png", "text": "B"}]
    inner, outer = read_parquet(parquet_of(tmp_path / "data", rows))
    assert (inner.name, inner.image) == ("in.png", PICTURE)
    assert "leads out of" in outer.reason


def test_parquet_rows_without_text_or_picture_are_named(tmp_path: Path) -> None:
    rows = [{"image": PICTURE, "text": None}, {"image": None, "text": "A"}]
    found = [s for s in read_parquet(parquet_of(tmp_path, rows)) if isinstance(s, LeftOut)]
    assert [s.source.rpartition(": ")[2] for s in found] == ["row 1", "row 2"]
    assert [s.reason for s in found] == [
        "text is 'None', not a string",
        "has neither the content of a picture nor a path",
    ]


@pytest.mark.parametrize("columns", [["text"], ["image"], ["image", "path"], ["label", "image"]])
def test_parquet_without_the_columns_is_refused(tmp_path: Path, columns: list[str]) -> None:
    path = parquet_of(tmp_path, [dict.fromkeys(columns, "x")])
    with pytest.raises(DatasetError, match=r"a\.parquet: has columns .* Needed are text and image"):
        list(read_parquet(path))


@pytest.mark.parametrize("content", [b"", b"no Parquet", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.parquet: no readable Parquet: "):
        list(read_parquet(tmp_path / "a.parquet"))


@pytest.mark.parametrize(("library", "read"), [("lmdb", read_lmdb), ("pyarrow", read_parquet)])
def test_a_library_that_is_missing_is_named(tmp_path, library, read, monkeypatch) -> None:
    real_import = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == library:
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=rf"{library} is not installed\. Run: pip .*\[formats\]"):
        list(read(tmp_path))
