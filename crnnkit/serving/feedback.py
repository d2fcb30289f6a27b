"""Corrections that people make on the page, kept as a data set that notebook 02 reads.

`feedback.txt` is an index file as everywhere, with one row appended per correction; the crops
lie in `img/`. A picture is complete on the disk before its row is written, and a row is written
at once: a process that is killed leaves at most a picture without a row, never the reverse.
"""

import logging
import os
import re
import secrets
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from crnnkit.errors import DatasetError
from crnnkit.files import whole_file
from crnnkit.preprocessing.images import write_image
from crnnkit.preprocessing.lines import crop_line
from crnnkit.vocab import normalize_text

INDEX_NAME = "feedback.txt"
MAX_TEXT_LENGTH = 1000
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
_TIME_FORMAT = "%Y%m%dT%H%M%S"
SWEEP_SECONDS = 3600
"""Between two looks for what has grown old."""

_log = logging.getLogger(__name__)


class FeedbackStore:
    """Corrections in one folder. Threads may share one; processes may not."""

    def __init__(self, folder: str | Path, days: int = 0) -> None:
        """Make the folder, and mend a row that a crash cut off.

        Args:
            days: after which a correction is deleted, at the start, at a new one, and while
                `watch` runs; 0 = never.

        Raises:
            DatasetError: if the folder cannot be written.
        """
        self.index = Path(folder, INDEX_NAME)
        self._days = days
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        try:
            self._images.mkdir(parents=True, exist_ok=True)
            self._end_last_row()
        except OSError as error:
            raise DatasetError(
                f"{folder}: cannot keep corrections: {error.strerror}. Check path and rights."
            ) from None
        self.delete_old()

    def add(self, page: np.ndarray, box: np.ndarray, text: str) -> str:
        """Keep the line in `box` with its right text; return the correction's name.

        Args:
            page: uint8 (H, W) or (H, W, 3).
            box: (4, 2) corners in px, clockwise from the text's top left; outside parts are cut.

        Raises:
            DatasetError: if the text is empty or too long, or the box holds nothing of the page.
        """
        text = normalize_text(text)
        if not 0 < len(text) <= MAX_TEXT_LENGTH:
            raise DatasetError(
                f"correction: its text has {len(text)} characters; 1 to {MAX_TEXT_LENGTH} are kept."
            )
        height, width = page.shape[:2]
        box = np.clip(np.asarray(box, np.float32), 0, (width, height))
        if np.ptp(box, axis=0).min() < 1:
            raise DatasetError("correction: its box holds nothing of the picture.")
        self.delete_old()
        name = f"{datetime.now(UTC):{_TIME_FORMAT}}-{secrets.token_hex(4)}"
        image = self._images / f"{name}.png"
        write_image(image, crop_line(page, box))
        row = f"{image.relative_to(self.index.parent).as_posix()}\t{text}\n".encode()
        with self._lock, self.index.open("ab", buffering=0) as file:
            file.write(row)
            os.fsync(file.fileno())
        return name

    def delete(self, name: str) -> bool:
        """Delete a correction, row and picture; False if there is none of that name."""
        return bool(_ID.fullmatch(name)) and self._delete({name}) > 0

    def delete_old(self) -> int:
        """Delete what is older than the store keeps; return how many corrections that were."""
        if not self._days:
            return 0
        oldest = datetime.now(UTC) - timedelta(days=self._days)
        limit = oldest.strftime(_TIME_FORMAT)
        stems = (path.stem for path in self._images.glob("*.png"))
        names = {stem for stem in stems if _ID.fullmatch(stem) and stem[:15] < limit}
        return self._delete(names) if names else 0

    def watch(self) -> None:
        """Delete what grows old from now on, in a thread of its own, until `close`."""
        if self._days:
            threading.Thread(target=self._watch, name="feedback-watch", daemon=True).start()

    def close(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(SWEEP_SECONDS):
            try:
                self.delete_old()
            except OSError as error:  # the next time may be luckier
                _log.error("old corrections could not be deleted: %s", error)

    @property
    def _images(self) -> Path:
        return self.index.parent / "img"

    def _delete(self, names: set[str]) -> int:
        """Rows go first, so that no row ever lacks its picture."""
        with self._lock:
            rows = self.index.read_bytes().splitlines(keepends=True) if self.index.exists() else []
            kept = [row for row in rows if _name_of(row) not in names]
            with whole_file(self.index) as partial:
                partial.write_bytes(b"".join(kept))
            for name in names:
                (self._images / f"{name}.png").unlink(missing_ok=True)
        return len(rows) - len(kept)

    def _end_last_row(self) -> None:
        """A row of ours without its line end was being written when the machine went down, and its
        text may be cut; one that somebody else wrote is whole."""
        with self.index.open("ab+") as file:
            file.seek(0)
            *rows, last = file.read().split(b"\n")
            if b"\t" in last and not _ID.fullmatch(_name_of(last)):
                file.write(b"\n")
            elif last:
                file.truncate(file.tell() - len(last))
                what = "a row without line end, cut off by a crash, is removed"
                _log.warning("%s:%d: %s", self.index, len(rows) + 1, what)


def _name_of(row: bytes) -> str:
    return Path(row.split(b"\t")[0].decode(errors="replace")).stem
