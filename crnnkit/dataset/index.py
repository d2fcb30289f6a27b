"""The index file of a data set, `image path<TAB>text` per line: read, write, split."""

import filecmp
import operator
import os
import random
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from crnnkit.dataset.faults import MAX_SHOWN, Fault, count_of, raise_if_errors, shown
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.files import write_text, writing
from crnnkit.vocab import INVISIBLE_CATEGORIES, normalize_text


@dataclass(frozen=True)
class Line:
    """A labelled text line."""

    image: Path
    """Absolute path of the picture, symbolic links resolved."""
    text: str
    """What is printed, as `normalize_text` leaves it."""
    line_number: int
    """Line of the index file, from 1."""


@dataclass(frozen=True)
class ParsedIndex:
    """The lines of an index file that are without error, and all faults of the file."""

    lines: tuple[Line, ...]
    faults: tuple[Fault, ...]


def read_index(path: str | Path) -> list[Line]:
    """Read an index file: UTF-8, one `image path<TAB>text` per line.

    Only the first tab separates. A picture's path is relative to the index file or, where
    nothing lies there, to the working directory. A byte-order mark, CRLF, odd spaces and
    invisible characters, backslashes, wrong case in a path and repeated rows are repaired;
    `crnnkit doctor` tells where.

    Raises:
        DatasetError: naming the first 20 faulty lines and the number of all.
    """
    parsed = parse_index(path)
    raise_if_errors(parsed.faults)
    return list(parsed.lines)


def parse_index(path: str | Path) -> ParsedIndex:
    """Read an index file as `read_index` does, but return its faults instead of raising them."""
    parser = _Parser(Path(path))
    parser.parse()
    return ParsedIndex(tuple(parser.lines), tuple(parser.faults))


def _remedy(row: bytes) -> str:
    """What to do with a row that is not UTF-8."""
    try:
        text = row.decode("gb18030")
    except UnicodeDecodeError:
        return "Save the file as UTF-8."
    return f"In GBK it is {shown(text)}: save the file as UTF-8, e.g. `iconv -f GB18030 -t UTF-8`."


_REPAIRED = "Repaired on reading; `crnnkit doctor --fix` writes it so."


@dataclass
class _Parser:
    """State of parsing one file: where it lies, what was found so far."""

    file: Path
    lines: list[Line] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: dict[Path, Line] = field(default_factory=dict)
    """Picture → the first line that lists it."""
    listings: dict[Path, dict[str, list[str]]] = field(default_factory=dict)
    """Folder → its names by their caseless form, as far as they were asked for."""

    def __post_init__(self) -> None:
        self.folder = self.file.parent.resolve()
        self.working_folder = Path.cwd().resolve()

    def parse(self) -> None:
        try:
            content = self.file.read_bytes()
        except OSError as error:
            remedy = "Check the path; notebook 02_dataset writes index files."
            self.error("unreadable_index", 0, "", f"cannot be read: {error.strerror}", remedy)
            return
        if content.startswith(b"\xef\xbb\xbf"):
            content = content[3:]
            self.repaired("bom", 0, "U+FEFF", "starts with a byte-order mark")
        rows = content.removesuffix(b"\n").split(b"\n") if content else []
        num_crlf = sum(row.endswith(b"\r") for row in rows)
        if num_crlf:
            message = f"{count_of(num_crlf, 'line')} with Windows line ends"
            self.repaired("crlf", 0, "\\r\\n", message)
        for number, row in enumerate(rows, start=1):
            self.parse_row(number, row.removesuffix(b"\r"))
        if not self.lines and all(fault.severity == "repaired" for fault in self.faults):
            remedy = "Write one `image path<TAB>text` per line."
            self.error("no_lines", 0, "", "holds no lines", remedy)

    def parse_row(self, number: int, row: bytes) -> None:
        try:
            decoded = row.decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"byte {row[error.start]:#04x} at column {error.start + 1} is not UTF-8"
            self.error("not_utf8", number, repr(row[:80]), message, _remedy(row))
            return
        if not decoded.strip(" "):
            self.repaired("blank_line", number, decoded, "the line is blank and skipped")
            return
        name, tab, raw_text = decoded.partition("\t")
        if not tab:
            remedy = "Write `image path<TAB>text`, with a real tab."
            self.error("missing_tab", number, decoded, f"no tab in {shown(decoded)}", remedy)
            return
        image = self.find_image(number, name)
        text = self.check_text(number, raw_text)
        if image is None or not text:
            return
        line = Line(image, text, number)
        first = self.seen.setdefault(image, line)
        if first is line:
            self.lines.append(line)
        elif first.text == text:
            message = f"repeats line {first.line_number} and is skipped"
            self.repaired("duplicate_row", number, decoded, message)
        else:
            self.contradict(name, line, f"already listed on line {first.line_number}", first.text)
            if first in self.lines:  # nobody knows which of the two is right
                self.lines.remove(first)
                self.contradict(name, first, f"listed again on line {number}", text)

    def contradict(self, name: str, line: Line, where: str, text: str) -> None:
        message = f"image {name!r} is {where} as {shown(text)}"
        remedy = "Keep the line that is right."
        self.error("duplicate_path", line.line_number, name, message, remedy)

    def find_image(self, number: int, name: str) -> Path | None:
        found = self.candidates(name) or self.respelled(number, name)
        if not found:
            places = " or ".join(dict.fromkeys(map(str, (self.folder, self.working_folder))))
            message = f"no file {shown(name)} under {places}"
            remedy = "Correct the path (relative to the index file) or add the picture."
            self.error("missing_image", number, name, message, remedy)
            return None
        if os.path.isabs(name):
            message = f"path {shown(name)} is absolute and holds on this computer alone"
            remedy = "`crnnkit doctor --fix` writes it relative."
            self.repaired("absolute_path", number, name, message, remedy)
        if len(found) == 2 and not filecmp.cmp(found[0], found[1], shallow=False):
            message = f"image {name!r} is two different files, {found[0]} and {found[1]}"
            remedy = "Remove or rename one, or write the absolute path."
            self.error("ambiguous_path", number, name, message, remedy)
            return None
        return found[0]

    def candidates(self, name: str) -> list[Path]:
        """Files that `name` may mean: beside the index, then in the working directory."""
        folders = dict.fromkeys((self.folder, self.working_folder))
        # os.path.isfile answers False where Path.is_file raises: names too long, NUL bytes
        paths = [path for f in folders if os.path.isfile(path := os.path.join(f, name))]
        return list(dict.fromkeys(Path(os.path.realpath(path)) for path in paths))

    def respelled(self, number: int, name: str) -> list[Path]:
        """Files that `name` means on Windows: backslashes, upper and lower case alike."""
        slashed = name.replace("\\", "/")
        if found := self.candidates(slashed):
            message = f"path {name!r} has Windows separators"
            self.repaired("backslash", number, name, message)
            return found
        folders = dict.fromkeys((self.folder, self.working_folder))
        caseless = [path for f in folders if (path := self.find_caseless(f, slashed))]
        found = [Path(os.path.realpath(path)) for path in caseless[:1]]
        if found:
            message = f"path {name!r} is {relative_path(found[0], self.folder)!r} on disk"
            self.repaired("wrong_case", number, name, message)
        return found

    def find_caseless(self, folder: Path, name: str) -> Path | None:
        """The one file below `folder` whose path differs from `name` in case alone, if any."""
        path = folder
        for part in Path(name).parts:
            if not os.path.lexists(step := path / part):
                alike = self.names_in(path).get(part.casefold(), [])
                if len(alike) != 1:
                    return None
                step = path / alike[0]
            path = step
        return path if path.is_file() else None

    def names_in(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self.listings:
            names = self.listings[folder] = {}
            can_list = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
            for name in os.listdir(folder) if can_list else []:
                names.setdefault(name.casefold(), []).append(name)
        return self.listings[folder]

    def check_text(self, number: int, raw_text: str) -> str:
        text = normalize_text(raw_text)
        if not text:
            remedy = "Label the line or remove it."
            self.error("empty_text", number, raw_text, "no text after the tab", remedy)
        elif text != raw_text:
            for code, what in _repairs(raw_text).items():
                self.repaired(code, number, raw_text, f"text {shown(raw_text)} {what}")
        return text

    def error(self, code: str, number: int, value: str, message: str, remedy: str) -> None:
        self.faults.append(Fault("error", code, self.file, number, value, message, remedy))

    def repaired(
        self, code: str, number: int, value: str, message: str, remedy: str = _REPAIRED
    ) -> None:
        self.faults.append(Fault("repaired", code, self.file, number, value, message, remedy))


def _repairs(raw_text: str) -> dict[str, str]:
    """What `normalize_text` mends in a text: code → description."""
    odd = {c for c in raw_text if c != " " and (c == "\t" or unicodedata.category(c) == "Zs")}
    invisible = {
        c for c in raw_text if c != "\t" and unicodedata.category(c) in INVISIBLE_CATEGORIES
    }
    repairs = {}
    if odd:
        repairs["odd_space"] = f"has spaces other than U+0020: {_code_points(odd)}"
    if invisible:
        repairs["invisible"] = f"has characters that no picture shows: {_code_points(invisible)}"
    if not unicodedata.is_normalized("NFC", raw_text):
        repairs["not_nfc"] = "has letters written apart from their accents (not NFC)"
    if raw_text != raw_text.strip():
        repairs["outer_space"] = "begins or ends with space"
    return repairs


def _code_points(characters: Iterable[str]) -> str:
    return " ".join(f"U+{ord(c):04X}" for c in sorted(characters))


def write_index(path: str | Path, lines: Sequence[Line]) -> None:
    """Write an index file, pictures relative to it; it appears whole or not at all.

    Raises:
        DatasetError: naming the lines that would not come back as they are: texts empty or
            not normalised, paths with a tab or a line break.
    """
    path = Path(path)
    folder = path.parent.resolve()
    rows = [(relative_path(line.image, folder), line.text) for line in lines]
    faults = [
        f"{path}:{number}: {name!r}, {text!r}"
        for number, (name, text) in enumerate(rows, start=1)
        if not text or normalize_text(text) != text or set(name) & set("\t\r\n")
    ]
    if faults:
        raise DatasetError(
            "\n".join(faults[:MAX_SHOWN]) + f"\n{count_of(len(faults), 'line')} cannot be written. "
            "Normalise the texts (normalize_text); rename pictures with tabs or line breaks."
        )
    write_text(path, "".join(f"{name}\t{text}\n" for name, text in rows))


def relative_path(image: Path, folder: Path) -> str:
    """Path from `folder` with forward slashes; absolute where none leads there."""
    try:
        return Path(os.path.relpath(image.resolve(), folder)).as_posix()
    except ValueError:  # another drive of Windows
        return image.resolve().as_posix()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill beside `path`; it takes that name once it is whole, or disappears.

    Raises:
        DatasetError: if `path` is a file or holds something already.
        WriteError: if the disk refuses.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetError(f"{path}: not empty. Remove it or choose another folder.")
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with writing(path):
        partial.mkdir(parents=True)
        try:
            yield partial
            if path.exists():  # Windows replaces no folder, not even an empty one
                path.rmdir()
            os.replace(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def groups_by_path(lines: Sequence[Line], pattern: str, folder: Path) -> Callable[[Line], str]:
    """What `pattern` finds in each picture's path: a document, a device, a day; for `split_lines`.

    Args:
        pattern: regular expression, searched in the path relative to `folder` with forward
            slashes. Its groups, or without any the whole match, name the line's group.

    Raises:
        ConfigError: if it is no regular expression.
        DatasetError: naming the first 20 lines where it finds nothing.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"group pattern {pattern!r}: {error}. Correct it.") from None
    groups: dict[Line, str] = {}
    unmatched = []
    for line in lines:
        name = relative_path(line.image, folder)
        match = compiled.search(name)
        if match is None:
            unmatched.append(f"line {line.line_number}: {name}")
        else:
            groups[line] = "/".join(part or "" for part in match.groups()) or match[0]
    if unmatched:
        raise DatasetError(
            f"group pattern {pattern!r} finds nothing in {count_of(len(unmatched), 'path')}:\n"
            + "\n".join(unmatched[:MAX_SHOWN])
        )
    return groups.__getitem__


def split_lines(
    lines: Sequence[Line],
    fractions: Mapping[str, float],
    seed: int,
    group_of: Callable[[Line], str] = operator.attrgetter("text"),
    remedy: str = "Give lines of more groups (equal texts are one, unless you group otherwise).",
) -> dict[str, list[Line]]:
    """Deal lines out to splits; lines of one group stay together.

    Groups come in an order drawn from `seed`, each goes where most lines are still due. A split
    misses its fraction by at most about the largest group. The order of `lines` is kept.

    Args:
        fractions: split → share of the lines; the shares sum to 1.
        group_of: what must not lie in two splits: by default equal texts; or a document, a day.
        remedy: what to do if a split stays empty, the end of the message.

    Raises:
        ConfigError: if the fractions are not positive or do not sum to 1.
        DatasetError: if a split would stay empty.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(f"split fractions {dict(fractions)}: must be positive and sum to 1.")
    sizes: dict[str, int] = {}
    for line in lines:
        sizes[group_of(line)] = sizes.get(group_of(line), 0) + 1
    groups = sorted(sizes)
    random.Random(seed).shuffle(groups)
    due = {name: fraction * len(lines) for name, fraction in fractions.items()}
    split_of: dict[str, str] = {}
    for group in groups:
        split_of[group] = max(due, key=due.__getitem__)
        due[split_of[group]] -= sizes[group]
    splits: dict[str, list[Line]] = {name: [] for name in fractions}
    for line in lines:
        splits[split_of[group_of(line)]].append(line)
    empty = [name for name, members in splits.items() if not members]
    if empty:
        raise DatasetError(
            f"split of {count_of(len(lines), 'line')} in {count_of(len(groups), 'group')}: "
            f"nothing left for {', '.join(empty)}. {remedy}"
        )
    return splits
