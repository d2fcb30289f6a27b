"""The model that is served: taken up when its file changes, refused when broken, brought back."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from crnnkit.errors import CheckpointError, ConfigError, CrnnKitError
from crnnkit.files import file_sha256
from crnnkit.serving import monitoring
from crnnkit.serving.batching import BatchedNetwork
from crnnkit.serving.network import file_content, onnx_network, readable
from crnnkit.serving.recognizer import Recognizer
from crnnkit.serving.tasks import PageReader, Pages, Task
from crnnkit.serving.threads import usable_cores
from crnnkit.vocab import Vocab

POLL_SECONDS = 0.25
"""Between two looks at the file. A changed file is loaded once it stayed the same for one look."""

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """A model ready to read, wherever it does so."""

    @property
    def name(self) -> str:
        """The model's name, for people."""

    @property
    def vocab(self) -> Vocab:
        """The characters it knows."""

    def read(self, task: Task) -> Pages:
        """Do a task; see `Task.done_by`."""


@dataclass(frozen=True)
class LocalReader:
    """A model that reads in this process. Threads may share one."""

    recognizer: PageReader

    @property
    def name(self) -> str:
        """The model's name, for people."""
        return self.recognizer.name

    @property
    def vocab(self) -> Vocab:
        """The characters it knows."""
        return self.recognizer.vocab

    def read(self, task: Task) -> Pages:
        """Do a task; see `Task.done_by`."""
        return task.done_by(self.recognizer)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to read, and where it came from."""

    reader: Reader
    sha256: str
    """Of the file."""
    loaded_at: str
    """UTC, ISO 8601."""


def load_reader(path: Path) -> LocalReader:
    """A reader of an .onnx file or a checkpoint, in this process.

    Raises:
        CheckpointError: if the file is missing, damaged or no model of ours.
    """
    return LocalReader(recognizer_of(model_content(path), path, monitoring.BATCH_LINES.observe)[0])


def recognizer_of(
    content: bytes, path: Path, on_batch: Callable[[int], None]
) -> tuple[Recognizer, BatchedNetwork]:
    """A recogniser whose threads share batches, and the network that they share.

    As many batches run at once as there are cores, each in one thread: that keeps cores busier
    than single lines in several threads would, and no thread waits, spinning, for work.

    Args:
        content: of an ONNX file.
        path: the model's, for messages and as its name.
        on_batch: is told the number of lines of every batch.

    Raises:
        CheckpointError: if it is damaged or no model of ours.
    """
    network, info = onnx_network(content, path, num_threads=1)
    batched = BatchedNetwork(network, usable_cores(), on_batch)
    return Recognizer(batched, info, path.name), batched


def model_content(path: Path) -> bytes:
    """Content of an .onnx file, or of the one that a checkpoint is exported to.

    Raises:
        CheckpointError: if it is missing or no such file.
    """
    if path.suffix == ".safetensors":
        path = _exported(path)
    elif path.suffix != ".onnx":
        raise CheckpointError(f"{path}: give an .onnx file or a .safetensors checkpoint to serve.")
    return file_content(path)


def _exported(checkpoint: Path) -> Path:
    """The ONNX file beside a checkpoint, written once for each content of it."""
    exported = checkpoint.with_name(f"{checkpoint.name}.{model_sha256(checkpoint)[:12]}.onnx")
    if not exported.exists():
        try:
            from crnnkit.serving.export import export_onnx
        except ModuleNotFoundError as error:
            raise CheckpointError(
                f"{checkpoint}: exporting a checkpoint needs {error.name}, which is not "
                "installed. Serve the .onnx file that crnnkit export makes of it elsewhere."
            ) from None
        export_onnx(checkpoint, exported)
        for old in checkpoint.parent.glob(f"{checkpoint.name}.*.onnx"):
            if old != exported:
                old.unlink()
    return exported


class ServedModel:
    """The model in a file, as it changes. Threads may share one.

    A request takes `current.reader` once and keeps it: a swap never mixes two models in an answer.
    """

    def __init__(self, path: str | Path, load: Callable[[Path], Reader] = load_reader) -> None:
        """Load the file.

        Raises:
            CheckpointError: if it is missing, damaged or no model of ours.
        """
        self.path = Path(path)
        self._load = load
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._seen = self._changing = _stamp(self.path)
        self.current = self._loaded()
        self.previous: LoadedModel | None = None
        self.fault: str | None = None
        """Why the file as it is now is not served."""

    def reload(self) -> None:
        """Take up the file as it is now; the old model goes on if that fails.

        Raises:
            CheckpointError: if the file is missing, damaged or no model of ours.
        """
        with self._lock:
            self._seen = _stamp(self.path)
            try:
                loaded = self._loaded()
            except CrnnKitError as error:
                self.fault = str(error)
                monitoring.HAS_FAULT.set(1)
                monitoring.SWAPS.labels("refused").inc()
                _log.warning("model refused, the old one goes on: %s", error)
                raise
            self.fault = None
            monitoring.HAS_FAULT.set(0)
            if loaded.sha256 != self.current.sha256:
                self.previous, self.current = self.current, loaded
                monitoring.SWAPS.labels("taken_up").inc()
                _log.info("model %s taken up, sha256 %s", self.path, loaded.sha256)

    def restore(self) -> None:
        """Bring the model back that was served before this one, until the file changes.

        Raises:
            ConfigError: if there was none.
        """
        with self._lock:
            if self.previous is None:
                raise ConfigError("No model was served before this one since the service began.")
            self.previous, self.current = self.current, self.previous
            monitoring.SWAPS.labels("restored").inc()
            _log.warning(
                "model with sha256 %s restored; %s still holds the other, which a restart would "
                "load: replace the file, too",
                self.current.sha256,
                self.path,
            )

    def watch(self) -> None:
        """Look at the file from now on, in a thread of its own, until `close`."""
        threading.Thread(target=self._watch, name="model-watch", daemon=True).start()

    def close(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            stamp = _stamp(self.path)
            # A copy in the making grows from look to look; half a file is not worth a try.
            if stamp != self._seen and stamp == self._changing:
                try:
                    self.reload()
                except CrnnKitError:
                    continue  # told by `fault`
            self._changing = stamp

    def _loaded(self) -> LoadedModel:
        sha256 = model_sha256(self.path)
        reader = self._load(self.path)
        return LoadedModel(reader, sha256, datetime.now(UTC).isoformat(timespec="seconds"))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written to; None while there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def model_sha256(path: Path) -> str:
    """Hash of a model file's content.

    Raises:
        CheckpointError: if it cannot be read.
    """
    with readable(path):
        return file_sha256(path)
