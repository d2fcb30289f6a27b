"""Files that appear whole or not at all, and the hash that tells one content from another."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crnnkit.errors import WriteError


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Tell in one message what the disk refuses while `path` is written.

    Raises:
        WriteError: if it refuses.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written: {error}. "
            "Check the path, your rights there and the room on the disk."
        ) from None


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a place beside `path` to write to; at the end, what is written there takes its name.

    Where the writing fails it is removed, and an older file stays. Whoever reads `path` meanwhile
    sees the old content or the new, never a part. Missing folders are made.

    Raises:
        WriteError: if the disk refuses.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, content: str) -> None:
    """Write a whole text file: UTF-8, line breaks as they are on every system.

    Raises:
        WriteError: if the disk refuses.
    """
    with whole_file(path) as partial:
        partial.write_text(content, encoding="utf-8", newline="\n")


def file_sha256(path: str | Path) -> str:
    """Hash of a file's content, 64 hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
