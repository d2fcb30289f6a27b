"""Labels given line by line: unlabelled pictures first, or labels that are in doubt.

The state of it, without a browser; `widgets.LabellingAid` shows it. And labels that nobody gives:
confident readings of pictures that are not labelled.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from rapidfuzz.distance import Levenshtein

from crnnkit.dataset.faults import count_of
from crnnkit.dataset.index import Line, read_index, write_index
from crnnkit.errors import ConfigError, DatasetError, ImageError
from crnnkit.evaluation.suspects import Suspect
from crnnkit.files import file_sha256
from crnnkit.preprocessing.images import WRITE_FORMATS, ImageSource, read_image
from crnnkit.serving.readings import LineReading
from crnnkit.vocab import normalize_text


class LineReader(Protocol):
    """What suggestions need of a recogniser."""

    def read_line(self, source: ImageSource) -> LineReading:
        """What one line picture says."""


@dataclass(frozen=True)
class Task:
    """A line that waits for its label."""

    image: Path
    """Absolute path of the picture."""
    suggestion: str
    """What Enter would accept."""
    confidence: float
    """Of the model's reading, 0 to 1."""
    reading: str | None = None
    """What the model reads, where the suggestion is a present label in doubt."""


def unlabelled(
    folder: Path, index: Path, reader: LineReader | None, others: Sequence[Line] = ()
) -> list[Task]:
    """Pictures below `folder` that the index does not list yet, least sure reading first.

    A reading that the model is unsure of teaches it most. Without a model, by name. A copy of a
    listed picture, as `crnnkit convert` makes them, is listed.

    Args:
        others: lines whose pictures are no tasks either, such as those of a test.

    Raises:
        DatasetError: if the folder holds no pictures, naming all that cannot be read, or if the
            index is faulty.
    """
    pictures = sorted(p.resolve() for p in folder.rglob("*") if p.suffix.lower() in WRITE_FORMATS)
    if not pictures:
        raise DatasetError(f"{folder}: no picture in it. Give the folder of your line pictures.")
    labelled = {file_sha256(line.image) for line in (*_lines(index), *others)}
    tasks, faults = [], []
    for picture in pictures:
        try:
            if file_sha256(picture) not in labelled:
                tasks.append(_task(picture, reader))
        except ImageError as error:
            faults.append(str(error))
    if faults:
        raise DatasetError("\n".join(faults) + f"\n{count_of(len(faults), 'picture')} to remove.")
    return sorted(tasks, key=lambda task: task.confidence)


@dataclass(frozen=True)
class ConfidentReadings:
    """Which unlabelled pictures a model is sure of."""

    lines: tuple[Line, ...]
    """Readings at least as sure as asked for, the surest first, as labels nobody checked."""
    num_unsure: int
    """Pictures read less surely."""
    num_empty: int
    """Pictures in which nothing was read, however surely."""


def confident_readings(tasks: Sequence[Task], min_confidence: float) -> ConfidentReadings:
    """The suggestions of tasks that may stand as labels (Lee, "Pseudo-Label", 2013).

    Raises:
        ConfigError: if `min_confidence` is not above 0 and at most 1.
    """
    if not 0 < min_confidence <= 1:
        raise ConfigError(f"min_confidence is {min_confidence}, must be > 0, ≤ 1.")
    read = [(task, normalize_text(task.suggestion)) for task in tasks]
    sure = [(task, text) for task, text in read if text and task.confidence >= min_confidence]
    sure.sort(key=lambda pair: -pair[0].confidence)
    num_empty = sum(not text for _, text in read)
    lines = tuple(Line(task.image, text, n) for n, (task, text) in enumerate(sure, start=1))
    return ConfidentReadings(lines, len(read) - len(sure) - num_empty, num_empty)


def doubtful(suspects: Iterable[Suspect]) -> list[Task]:
    """The labels of suspects, each to be kept with Enter or corrected, in the order given."""
    return [Task(s.image, s.label, s.confidence, s.reading) for s in suspects]


@dataclass(frozen=True)
class Entry:
    """What was done with a task."""

    task: Task
    text: str | None
    """The label; None = skipped."""
    former: tuple[str | None, ...]
    """What each index said before; None = nothing."""
    keys: int
    """Keys that it took: Enter, and one per character that differs from the suggestion."""


@dataclass
class Labelling:
    """Tasks, one after the other; every label is on disk before the next task is shown."""

    tasks: Sequence[Task]
    indexes: Sequence[Path]
    """Index files to write to; a label in doubt is changed in those that list its picture."""
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def task(self) -> Task | None:
        """The one to be labelled now; None at the end."""
        position = len(self.entries)
        return self.tasks[position] if position < len(self.tasks) else None

    def accept(self, text: str) -> None:
        """Label the present line and go on; an empty text skips it.

        Raises:
            DatasetError: if an index cannot be read or written; the line stays the present one.
        """
        task, label = self.task, normalize_text(text)
        if task is None:
            return
        if not label:
            self.skip()
            return
        is_new = task.reading is None
        former = tuple(_label(index, task.image, label, is_new) for index in self.indexes)
        if not is_new and not any(former):
            names = ", ".join(map(str, self.indexes))
            raise DatasetError(f"{task.image}: not listed in {names}. Name the index that does.")
        keys = 1 + Levenshtein.distance(task.suggestion, label)
        self.entries.append(Entry(task, label, former, keys))

    def skip(self) -> None:
        """Leave the present line as it is and go on."""
        if self.task:
            self.entries.append(Entry(self.task, None, (), keys=1))

    def undo(self) -> None:
        """Go back by one line, and take its label back.

        Raises:
            DatasetError: if an index cannot be read or written; nothing is undone then.
        """
        if self.entries:
            last = self.entries[-1]
            for index, former in zip(self.indexes, last.former, strict=False):
                _label(index, last.task.image, former, is_new_allowed=True)
            self.entries.pop()

    @property
    def message(self) -> str:
        """One sentence on how far it is, and how fast."""
        done = [entry for entry in self.entries if entry.text is not None]
        left = len(self.tasks) - len(self.entries)
        if not done:
            return f"{left} to label"
        keys = sum(entry.keys for entry in self.entries) / len(done)
        hours = max(self.clock() - self.began, 1.0) / 3600
        speed = f"{keys:.1f} keys a line, {len(done) / hours:.0f} lines an hour"
        return f"{len(done)} labelled, {left} left; {speed}"


def _task(picture: Path, reader: LineReader | None) -> Task:
    image = read_image(picture)
    if reader is None:
        return Task(picture, "", 0.0)
    reading = reader.read_line(image)
    return Task(picture, reading.text, reading.confidence)


def _lines(index: Path) -> list[Line]:
    return read_index(index) if index.is_file() else []


def _label(index: Path, image: Path, text: str | None, is_new_allowed: bool) -> str | None:
    """Write a picture's label into an index, or with None take it out; gives the former one.

    The file is read afresh each time: what others added meanwhile stays.
    """
    lines = _lines(index)
    former = next((line.text for line in lines if line.image == image), None)
    if former == text or (former is None and not is_new_allowed):
        return former
    kept = [replace(s, text=text) if s.image == image and text else s for s in lines]
    if text is None:
        kept = [line for line in lines if line.image != image]
    elif former is None:
        kept.append(Line(image, text, len(lines) + 1))
    if kept:
        write_index(index, kept)
    else:
        index.unlink()  # an index without lines is a faulty one
    return former
