"""Every fault of a data set, found before training, with file, line, value and remedy."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm.auto import tqdm

from crnnkit.dataset.faults import (
    MAX_SHOWN,
    Fault,
    count_of,
    list_faults,
    raise_if_errors,
    shown,
)
from crnnkit.dataset.index import Line, parse_index, relative_path
from crnnkit.dataset.profile import Profile, profile_lines
from crnnkit.errors import ImageError
from crnnkit.model.config import ModelConfig, min_time_steps
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import LineConfig, line_width
from crnnkit.vocab import Vocab

SEVERITIES = ("error", "warning", "repaired")
MIN_HEIGHT_PX, MIN_WIDTH_PX = 8, 4
"""Smaller pictures hardly show a character."""
MIN_ASPECT, MIN_ASPECT_OF_ONE, MAX_ASPECT_PER_CHARACTER = 0.6, 0.12, 5.0
"""Width by height of a picture of several characters, of one, and of any per character of its text.
In four real data sets they are 0.68 and more, 0.39 and more, 2.7 and less."""


@dataclass(frozen=True)
class Diagnosis:
    """What `examine` found."""

    lines: dict[str, tuple[Line, ...]]
    """Split → lines that no error concerns."""
    faults: tuple[Fault, ...]
    """In the order of splits and line numbers."""
    profile: Profile
    """What the lines without error consist of."""

    @property
    def counts(self) -> dict[str, int]:
        """Code → number of faults, most frequent first."""
        return dict(Counter(fault.code for fault in self.faults).most_common())

    @property
    def num_errors(self) -> int:
        """Number of faults that stop training."""
        return sum(fault.severity == "error" for fault in self.faults)

    def raise_if_errors(self) -> None:
        """Stop here if a fault would harm training or its measurement.

        Raises:
            DatasetError: naming the first 20 errors and the number of all.
        """
        raise_if_errors(self.faults)

    def format(self, max_shown: int = MAX_SHOWN) -> str:
        """A table of counts per code, and the first faults.

        Errors come first, and of one severity the rarer code: a thousand of one kind hide none.
        """
        good = ", ".join(f"{split} {len(lines)}" for split, lines in self.lines.items())
        counts = self.counts
        worst_first = sorted(
            self.faults,
            key=lambda fault: (SEVERITIES.index(fault.severity), counts[fault.code], fault.code),
        )
        numbers = Counter(fault.severity for fault in self.faults)
        num_faulty = len(_faulty_lines(self.faults))
        where = f" in {count_of(num_faulty, 'line')}" if num_faulty else ""
        rows = [
            f"lines without error: {good}",
            f"{count_of(numbers['error'], 'error')}{where}, "
            f"{count_of(numbers['warning'], 'warning')}, {numbers['repaired']} repaired on reading",
        ]
        by_kind = Counter((fault.severity, fault.code) for fault in worst_first)
        for (severity, code), number in by_kind.items():
            rows.append(f"  {severity:8} {code:20} {number:7}")
        if self.faults:
            rows.append(list_faults(worst_first, max_shown))
        return "\n".join(rows)


def examine(
    index_paths: Mapping[str, Path],
    vocab: Vocab | None,
    line_config: LineConfig,
    model_config: ModelConfig | None = None,
    *,
    num_threads: int | None = None,
    progress: bool = False,
) -> Diagnosis:
    """Find all faults of a data set; every picture is decoded once.

    Args:
        index_paths: split → index file, e.g. `{"train": …, "val": …}`.
        vocab: the vocabulary to train with; None leaves characters unchecked.
        line_config: gives each line its width, and so its time steps.
        model_config: the network's shape, by default `ModelConfig()`.
        num_threads: decoding threads, by default one per core.
        progress: whether to show a progress bar over the pictures.
    """
    parsed = {split: parse_index(path) for split, path in index_paths.items()}
    lines = {split: index.lines for split, index in parsed.items()}
    images = {line.image for members in lines.values() for line in members}
    pictures = _look_at(sorted(images), num_threads or os.cpu_count() or 1, progress)
    model = model_config or ModelConfig()
    faults: list[Fault] = []
    for split, path in index_paths.items():
        faults += parsed[split].faults
        for line in lines[split]:
            at = _Place(Path(path), line)
            faults += _check_text(at, vocab)
            faults += _check_path(at)
            faults += _check_picture(at, pictures[line.image], line_config, model)
    faults += _find_repeats(index_paths, lines, pictures)
    faults += _find_untaught_characters(index_paths, lines)
    position = {Path(path): n for n, path in enumerate(index_paths.values())}
    faults.sort(key=lambda fault: (position[fault.file], fault.line_number))
    faulty = _faulty_lines(faults)
    good = {
        split: tuple(m for m in members if (Path(path), m.line_number) not in faulty)
        for (split, members), path in zip(lines.items(), index_paths.values(), strict=True)
    }
    return Diagnosis(good, tuple(faults), profile_lines(good))


def _faulty_lines(faults: Iterable[Fault]) -> set[tuple[Path, int]]:
    """Index file and line number of each line that has an error."""
    return {(fault.file, fault.line_number) for fault in faults if fault.severity == "error"}


@dataclass(frozen=True)
class _Picture:
    """What is kept of a decoded picture; `problem` says why there is none."""

    digest: bytes = b""
    size_hw: tuple[int, int] = (0, 0)
    problem: str = ""

    @property
    def size(self) -> str:
        """Width x height, for messages."""
        return f"{self.size_hw[1]}x{self.size_hw[0]} px"


@dataclass(frozen=True)
class _Place:
    """A line and the index file it stands in."""

    file: Path
    line: Line

    def __str__(self) -> str:
        return f"{self.file}:{self.line.line_number}"

    def error(self, code: str, value: str, message: str, remedy: str) -> Fault:
        number = self.line.line_number
        return Fault("error", code, self.file, number, value, message, remedy)

    def warning(self, code: str, value: str, message: str, remedy: str) -> Fault:
        number = self.line.line_number
        return Fault("warning", code, self.file, number, value, message, remedy)


def _look_at(images: Sequence[Path], num_threads: int, progress: bool) -> dict[Path, _Picture]:
    """Decode pictures in threads; OpenCV and hashing leave the interpreter's lock."""
    with ThreadPool(num_threads) as pool:
        found = pool.imap(_decode, images, chunksize=16)
        bar = tqdm(found, total=len(images), desc="doctor", unit="picture", disable=not progress)
        return dict(zip(images, bar, strict=True))


def _decode(path: Path) -> _Picture:
    try:
        image = read_image(path)
    except ImageError as error:
        return _Picture(problem=str(error))
    # the shape belongs to the content: equal bytes can be two pictures
    digest = hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).digest()
    return _Picture(digest, (image.shape[0], image.shape[1]))


def _check_text(at: _Place, vocab: Vocab | None) -> Iterator[Fault]:
    text = at.line.text
    missing = vocab.missing(text) if vocab else []
    if missing == [" "]:
        message = f"text {shown(text)} has a space, the vocabulary has none"
        remedy = "Add a line holding one space to the vocabulary, or label without spaces."
        yield at.error("no_space_in_vocab", text, message, remedy)
    elif missing:
        message = f"text {shown(text)} has characters not in the vocabulary: "
        message += " ".join(map(repr, missing))
        remedy = "Correct the text or rebuild the vocabulary (03_vocab)."
        yield at.error("unknown_character", "".join(missing), message, remedy)
    if "  " in text:
        message = f"text {shown(text)} has several spaces in a row"
        yield at.warning("double_space", text, message, "Write one, unless the picture shows more.")


def _check_path(at: _Place) -> Iterator[Fault]:
    name = relative_path(at.line.image, at.file.parent.resolve())
    hidden = [part for part in Path(name).parts if part.startswith(".") and part != ".."]
    if hidden:
        message = f"picture {name!r} is hidden by {hidden[0]!r}"
        remedy = "Remove the line: editors and file managers keep their copies there."
        yield at.warning("hidden_path", name, message, remedy)


def _check_picture(
    at: _Place, picture: _Picture, line_config: LineConfig, model: ModelConfig
) -> Iterator[Fault]:
    if picture.problem:
        yield at.error(
            "unreadable_image",
            str(at.line.image),
            picture.problem.removesuffix("."),
            "Replace the picture or remove the line.",
        )
        return
    needed = min_time_steps([ord(character) for character in at.line.text])
    time_steps = model.time_steps(line_width(picture.size_hw, line_config))
    if needed > time_steps:
        yield at.error(
            "too_long_for_width",
            at.line.text,
            f"text {shown(at.line.text)} needs {needed} time steps, its picture of {picture.size} "
            f"gives {time_steps}",
            "Check that picture and text belong together, or crop the picture at its text.",
        )
    else:
        yield from _check_size(at, picture, line_config)


def _check_size(at: _Place, picture: _Picture, line_config: LineConfig) -> Iterator[Fault]:
    height, width = picture.size_hw
    low = MIN_ASPECT_OF_ONE if len(at.line.text) == 1 else MIN_ASPECT
    if height < MIN_HEIGHT_PX or width < MIN_WIDTH_PX:
        message = f"picture of {picture.size} hardly shows a character"
        yield at.warning("tiny_picture", picture.size, message, "Look at it; crop it anew.")
    elif not low <= width / height <= MAX_ASPECT_PER_CHARACTER * len(at.line.text):
        message = f"picture of {picture.size} is odd for text {shown(at.line.text)}"
        remedy = "Look at it: it may be turned, cropped too wide, or labelled as another."
        yield at.warning("extreme_aspect", picture.size, message, remedy)
    if width * line_config.height > line_config.max_width * height:
        message = f"picture of {picture.size} is squeezed to {line_config.max_width} px"
        remedy = "Cut it into two lines."
        yield at.warning("squeezed", picture.size, message, remedy)


def _find_repeats(
    index_paths: Mapping[str, Path],
    lines: Mapping[str, Sequence[Line]],
    pictures: Mapping[Path, _Picture],
) -> Iterator[Fault]:
    """Pictures of equal content: in two splits a leak, in one split worth knowing."""
    first: dict[bytes, tuple[str, _Place]] = {}
    for split, members in lines.items():
        for line in members:
            picture = pictures[line.image]
            if picture.problem:
                continue
            at = _Place(Path(index_paths[split]), line)
            first_split, before = first.setdefault(picture.digest, (split, at))
            if before is not at:
                yield _repeat(at, before, is_leak=split != first_split)


def _repeat(at: _Place, before: _Place, is_leak: bool) -> Fault:
    place = f"line {before.line.line_number}" if at.file == before.file else str(before)
    image = str(at.line.image)
    message = f"picture {at.line.image.name} equals {before.line.image.name} of {place}"
    if at.line.text != before.line.text:
        message += f", but has text {shown(at.line.text)} here and {shown(before.line.text)} there"
    if is_leak:
        remedy = "Remove it from one of the two splits, or the measurement flatters."
        return at.error("leak", image, message, remedy)
    if at.line.text == before.line.text:
        return at.warning("repeated_picture", image, message, "Remove one unless this is meant.")
    return at.warning("conflicting_text", image, message, "Correct the wrong one.")


def _find_untaught_characters(
    index_paths: Mapping[str, Path], lines: Mapping[str, Sequence[Line]]
) -> Iterator[Fault]:
    """Characters of later splits that the first one, the training set, never shows."""
    (first, taught_lines), *others = lines.items()
    taught = {character for line in taught_lines for character in line.text}
    for split, members in others:
        for line in members:
            untaught = "".join(c for c in dict.fromkeys(line.text) if c not in taught)
            if untaught:
                yield _Place(Path(index_paths[split]), line).warning(
                    "untaught_character",
                    untaught,
                    f"text {shown(line.text)} has characters that no line of {first} shows: "
                    + " ".join(map(repr, untaught)),
                    "Move lines with them to the training set, or render some (crnnkit synth).",
                )
