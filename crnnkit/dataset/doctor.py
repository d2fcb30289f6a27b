"""Every fault of a data set, found before training, with file, line, value and remedy."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm.auto import tqdm

from crnnkit.dataset.index import Fault, Line, count_of, list_faults, parse_index, raise_if_errors
from crnnkit.errors import ImageError
from crnnkit.model.config import ModelConfig, min_time_steps
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import LineConfig, line_width
from crnnkit.vocab import Vocab


@dataclass(frozen=True)
class Diagnosis:
    """What `examine` found."""

    lines: dict[str, tuple[Line, ...]]
    """Split → lines that no error concerns."""
    faults: tuple[Fault, ...]
    """In the order of splits and line numbers."""

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

    def format(self) -> str:
        """A table of counts per code, errors first, and the first 20 faults."""
        good = ", ".join(f"{split} {len(lines)}" for split, lines in self.lines.items())
        num_warnings = len(self.faults) - self.num_errors
        rows = [
            f"lines without error: {good}",
            f"{count_of(self.num_errors, 'error')}, {count_of(num_warnings, 'warning')}",
        ]
        by_kind = Counter((fault.severity, fault.code) for fault in self.faults)
        for (severity, code), number in sorted(by_kind.items(), key=lambda item: item[0]):
            rows.append(f"  {severity:8} {code:20} {number:7}")
        if self.faults:
            rows.append(list_faults(sorted(self.faults, key=lambda fault: fault.severity)))
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
        found = list(parsed[split].faults)
        for line in lines[split]:
            at = _Place(Path(path), line)
            found += _check_text(at, vocab)
            found += _check_picture(at, pictures[line.image], line_config, model)
        faults += found
    faults += _find_repeats(index_paths, lines, pictures)
    faults += _find_shared_texts(index_paths, lines)
    position = {Path(path): n for n, path in enumerate(index_paths.values())}
    faults.sort(key=lambda fault: (position[fault.file], fault.line_number))
    faulty = {(f.file, f.line_number) for f in faults if f.severity == "error"}
    return Diagnosis(
        lines={
            split: tuple(m for m in members if (Path(path), m.line_number) not in faulty)
            for (split, members), path in zip(lines.items(), index_paths.values(), strict=True)
        },
        faults=tuple(faults),
    )


@dataclass(frozen=True)
class _Picture:
    """What is kept of a decoded picture; `problem` says why there is none."""

    digest: bytes = b""
    size_hw: tuple[int, int] = (0, 0)
    problem: str = ""


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
    missing = vocab.missing(at.line.text) if vocab else []
    if missing:
        shown = " ".join(map(repr, missing))
        yield at.error(
            "unknown_character",
            "".join(missing),
            f"text {at.line.text!r} has characters not in the vocabulary: {shown}",
            "Correct the text or rebuild the vocabulary (03_vocab).",
        )


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
        height, width = picture.size_hw
        yield at.error(
            "too_long_for_width",
            at.line.text,
            f"text {at.line.text!r} needs {needed} time steps, its picture of {width}x{height} px "
            f"gives {time_steps}",
            "Check that picture and text belong together, or crop the picture at its text.",
        )


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
    if is_leak:
        remedy = "Remove it from one of the two splits, or the measurement flatters."
        return at.error("leak", image, message, remedy)
    if at.line.text == before.line.text:
        return at.warning("repeated_picture", image, message, "Remove one unless this is meant.")
    message += f", but has text {at.line.text!r} here and {before.line.text!r} there"
    return at.warning("conflicting_text", image, message, "Correct the wrong one.")


def _find_shared_texts(
    index_paths: Mapping[str, Path], lines: Mapping[str, Sequence[Line]]
) -> Iterator[Fault]:
    """Texts that two splits share: no fault where texts do recur, but worth knowing."""
    for split, other in combinations(lines, 2):
        known = _texts(lines[split])
        num_shared = sum(line.text in known for line in lines[other])
        if num_shared:
            yield Fault(
                "warning",
                "shared_text",
                Path(index_paths[other]),
                0,
                str(num_shared),
                f"{num_shared} of {count_of(len(lines[other]), 'line')} have a text that occurs "
                f"in {split} too",
                "Report seen and unseen texts apart, or split by text (split_lines).",
            )


def _texts(lines: Iterable[Line]) -> set[str]:
    return {line.text for line in lines}
