"""What moves in a notebook: the recognition demo, labelling, and training watched live."""

import html
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import ipywidgets
import numpy as np
from IPython.display import HTML, DisplayHandle
from numpy.typing import NDArray

from crnnkit.dataset.faults import count_of
from crnnkit.dataset.index import Line
from crnnkit.errors import ConfigError, DatasetError, ImageError, VocabError
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.history import EpochResult
from crnnkit.model.constraints import Constraint
from crnnkit.plots.canvas import GREEN, ORANGE, RED, Plot
from crnnkit.plots.charts import plot_history
from crnnkit.plots.pictures import plot_readings_over_epochs
from crnnkit.preprocessing.images import ImageSource, encode_image, read_image
from crnnkit.serving.readings import PageLine
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import Vocab
from crnnkit.workbook.handover import is_demo, resolve_path
from crnnkit.workbook.labelling import Labelling, Task, unlabelled

UInt8Image = NDArray[np.uint8]

SURE, UNSURE = 0.9, 0.5
"""Confidences from which a line is shown green, or orange; below, red."""
COLOURS = {"sure": GREEN, "doubtful": ORANGE, "unsure": RED}
MAX_SHOWN_PX = 1200
"""Longer side of the picture sent to the browser, pixels."""
LABELLED_PX = 64
"""Least height of a line that is to be labelled, pixels."""
SECONDS_BETWEEN_CURVES = 10.0
"""Drawing takes time that training could use."""


class PageReader(Protocol):
    """What the demo needs of a recogniser."""

    vocab: Vocab

    def read_page(
        self, source: ImageSource, constraint: Constraint | None = None
    ) -> list[PageLine]:
        """The lines of one picture in reading order."""


@dataclass(frozen=True)
class DemoState:
    """What the demo shows: a picture and its lines, or why there is none."""

    name: str = ""
    """Of the uploaded file."""
    picture: UInt8Image | None = None
    lines: tuple[PageLine, ...] = ()
    error: str = ""
    before: tuple[str, ...] | None = None
    """What another recogniser reads on the same lines; None = there is none."""

    @property
    def message(self) -> str:
        """One sentence above the picture."""
        if self.error:
            return self.error
        if self.picture is None:
            return "Upload a picture: a page, a photograph or a single line."
        if not self.lines:
            return f"{self.name}: no text line found."
        return f"{self.name}: {count_of(len(self.lines), 'line')}"


def read_picture(
    reader: PageReader,
    content: bytes,
    name: str,
    before: PageReader | None = None,
    pattern: str = "",
) -> DemoState:
    """Read an uploaded picture; one that cannot be read becomes a state that says so.

    Args:
        before: another recogniser to compare with; it reads without the pattern.
        pattern: regular expression for every line; "" = whatever comes.
    """
    try:
        picture = read_image(content)
        constraint = Constraint.pattern(pattern, reader.vocab) if pattern else None
    except (ImageError, ConfigError, VocabError) as error:
        return DemoState(name, error=f"{name}: {error}")
    lines = tuple(reader.read_page(picture, constraint))
    earlier = tuple(line.text for line in before.read_page(picture)) if before else None
    return DemoState(name, picture, lines, before=earlier)


def draw_boxes(picture: UInt8Image, lines: Sequence[PageLine]) -> UInt8Image:
    """The picture (h, w, 3), at most `MAX_SHOWN_PX` long, with a numbered box around each line.

    Thin lines within it part its characters, each in the colour of its own confidence.
    """
    colour_picture = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    scale = min(1.0, MAX_SHOWN_PX / max(picture.shape[:2]))
    shown = cv2.resize(colour_picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    drawn: UInt8Image = np.ascontiguousarray(shown, np.uint8)
    for number, line in enumerate(lines, start=1):
        chars = zip(line.char_boxes, line.char_confidences, strict=True)
        for box, confidence in sorted(chars, key=lambda char: -char[1]):  # doubt lies on top
            _draw_box(drawn, box * scale, confidence, 1)
        corners = _draw_box(drawn, line.box * scale, line.confidence, 2)
        red, green, blue = _rgb(line.confidence)
        x, y = corners[0].tolist()
        place = (max(0, x), max(12, y - 3))
        ground = (place[0] + 11 * len(str(number)), place[1] - 13)
        cv2.rectangle(drawn, place, ground, (255, 255, 255), cv2.FILLED)
        cv2.putText(drawn, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (red, green, blue))
    return drawn


def _draw_box(
    drawn: UInt8Image, box: NDArray[np.float32], confidence: float, width: int
) -> NDArray[np.int32]:
    """Outline a box (4, 2) in the colour of a confidence; returns its corners as drawn."""
    corners = np.round(box).astype(np.int32)
    cv2.polylines(drawn, [corners], True, _rgb(confidence), width, cv2.LINE_AA)
    return corners


def _rgb(confidence: float) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour_of(confidence)[1:])
    return red, green, blue


def colour_of(confidence: float) -> str:
    """Green, orange or red."""
    kind = "sure" if confidence >= SURE else "doubtful" if confidence >= UNSURE else "unsure"
    return COLOURS[kind]


def marked(text: str, colour: str) -> str:
    """HTML with a bar of a colour before it; the text keeps the notebook's, light or dark."""
    return f'<span style="border-left:0.4em solid {colour};padding-left:0.4em">{text}</span>'


def lines_table(lines: Sequence[PageLine], before: Sequence[str] | None = None) -> str:
    """Number, text and confidence of each line as an HTML table; '' for no lines.

    Args:
        before: what another recogniser read on each; shown where given.
    """
    rows = ""
    for number, line in enumerate(lines, start=1):
        earlier = f"<td>{html.escape(before[number - 1]) or '∅'}</td>" if before else ""
        rows += f"<tr><td>{number}</td>{earlier}<td><b>{html.escape(line.text) or '∅'}</b></td>"
        rows += f"<td>{marked(f'{line.confidence:.1%}', colour_of(line.confidence))}</td></tr>"
    titles = ("#", "before", "after", "confidence") if before else ("#", "text", "confidence")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f"<table><tr>{head}</tr>{rows}</table>" if rows else ""


class RecognitionDemo:
    """Upload a picture, see its lines: boxes, texts, confidences.

    `state` is what is shown, `view` the widget; `read` changes both and needs no browser.

    Args:
        reader: reads the lines.
        before: another recogniser, whose readings are shown beside.
    """

    def __init__(self, reader: PageReader, before: PageReader | None = None) -> None:
        self.reader = reader
        self.before = before
        self.state = DemoState()
        self.content = b""
        self.upload = ipywidgets.FileUpload(
            accept="image/*",
            multiple=False,
            description="Upload a picture",
            layout={"width": "auto", "align_self": "flex-start"},
        )
        self.pattern = ipywidgets.Text(
            description="Pattern",
            placeholder=r"every line fits it, such as GL-\d{4}; empty: any text",
            continuous_update=False,
            layout={"width": "60%"},
        )
        self.message = ipywidgets.HTML()
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "60%"})
        self.table = ipywidgets.HTML()
        both = ipywidgets.HBox([self.picture, self.table], layout={"align_items": "flex-start"})
        self.view = ipywidgets.VBox([self.upload, self.pattern, self.message, both])
        self.upload.observe(self._on_upload, names="value")
        self.pattern.observe(self._on_pattern, names="value")
        self.show(self.state)

    def read(self, content: bytes, name: str) -> None:
        """Read a picture file's content and show it."""
        self.content = content
        self.message.value = f"Reading {html.escape(name)} …"
        self.show(read_picture(self.reader, content, name, self.before, self.pattern.value))

    def show(self, state: DemoState) -> None:
        """Bring the view in line with a state."""
        self.state = state
        message = html.escape(state.message)
        self.message.value = (
            f"<p>{marked(message, COLOURS['unsure']) if state.error else message}</p>"
        )
        self.table.value = lines_table(state.lines, state.before)
        has_picture = state.picture is not None
        self.picture.layout.display = None if has_picture else "none"
        if state.picture is not None:
            self.picture.value = encode_image(draw_boxes(state.picture, state.lines))

    def _on_upload(self, change: dict) -> None:
        if change["new"]:
            file = change["new"][0]
            self.read(bytes(file["content"]), file["name"])
            self.upload.value = ()  # else the same file could not be chosen again

    def _on_pattern(self, _change: dict) -> None:
        if self.content:
            self.read(self.content, self.state.name)


class LabellingAid:
    """A line, the text that Enter accepts, skip and undo; see `labelling.Labelling`.

    `state` holds the labels, `view` is the widget; `submit` is what Enter does.
    """

    def __init__(self, state: Labelling) -> None:
        self.state = state
        layout = {"max_width": "100%", "align_self": "flex-start"}  # else it fills the whole width
        self.picture = ipywidgets.Image(format="png", layout=layout)
        self.reading = ipywidgets.HTML()
        self.text = ipywidgets.Text(
            placeholder="what is printed; Enter writes it down", layout={"width": "60%"}
        )
        self.message = ipywidgets.HTML()
        self.skip = ipywidgets.Button(description="Skip")
        self.undo = ipywidgets.Button(description="Undo")
        keys = ipywidgets.HBox([self.text, self.skip, self.undo])
        self.view = ipywidgets.VBox([self.picture, self.reading, keys, self.message])
        self.text.on_msg(self._on_message)
        self.skip.on_click(lambda _: self._do(self.state.skip))
        self.undo.on_click(lambda _: self._do(self.state.undo))
        self._show()

    def submit(self) -> None:
        """Write the present text down and show the next line; an empty one skips."""
        self._do(lambda: self.state.accept(self.text.value))

    def _on_message(self, _widget: ipywidgets.Text, content: dict, _buffers: list) -> None:
        if content.get("event") == "submit":  # Enter, even where the text stayed as it was
            self.submit()

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except DatasetError as error:
            self.message.value = f"<p>{marked(html.escape(str(error)), COLOURS['unsure'])}</p>"
            return
        self._show()

    def _show(self) -> None:
        task = self.state.task
        self.message.value = f"<p>{self.state.message}</p>"
        for part in (self.picture, self.text, self.skip):
            part.layout.display = "none" if task is None else None
        self.reading.value = "" if task else "<p>All done.</p>"
        if task:
            self.picture.value = encode_image(_enlarged(read_image(task.image)))
            self.text.value = task.suggestion
            self.reading.value = _reading_note(task)
            self.text.focus()


def label_pictures(folder: str, index: str, model: str) -> LabellingAid:
    """An aid that labels the pictures of a folder; see `labelling.unlabelled`.

    Args:
        folder: where the pictures lie.
        index: index file to write; what it holds already is done.
        model: checkpoint or .onnx file whose readings are suggested; "" = none.

    Raises:
        DatasetError: if the folder has no pictures, or the index is faulty or the demo set's.
        CheckpointError: if the model cannot be used.
    """
    if is_demo(index):
        raise DatasetError(
            f"{index}: the demo set's own labels. Set train_index to an index file for yours, "
            "such as mine.txt; it is made where there is none."
        )
    reader = Recognizer.load(resolve_path(model)) if model else None
    target = resolve_path(index)
    return LabellingAid(Labelling(unlabelled(resolve_path(folder), target, reader), [target]))


class TrainingMonitor:
    """Watches `train`: a line per epoch, and where a browser looks on, a bar and live curves.

    Before the first epoch and after epochs 1, 2, 4, 8, … it reads a few lines with the network as
    it is then; at the end with the checkpoint that is kept, language and temperature included.
    """

    def __init__(self, config: TrainConfig, samples: Sequence[Line]) -> None:
        self.config = config
        self.samples = samples
        self.last_path = config.output_dir / "last.safetensors"
        self.history: list[EpochResult] = []
        self.readings: dict[int, list[str]] = {}
        """Epoch → reading of each sample; 0: by the checkpoint that the run starts from."""
        self.kept: list[str] | None = None
        """Reading of each sample by the checkpoint that is kept; None until the end."""
        self.bar = DisplayHandle()
        self.curves = DisplayHandle()
        self.shown_share = -1.0
        self.drawn_at = 0.0
        if config.pretrained_ckpt:
            self.readings[0] = self._read_samples(config.pretrained_ckpt)

    def on_batch(self, share: float, lines_per_second: float) -> None:
        """Move the bar; `share` of the run is done, 0 to 1."""
        if self.shown_share < 0:
            self.bar.display(_progress_bar(share, lines_per_second))
            self.shown_share = share
        if share - self.shown_share >= 0.01 or share >= 1:
            self.bar.update(_progress_bar(share, lines_per_second))
            self.shown_share = share

    def on_epoch(self, result: EpochResult) -> None:
        """Print the epoch below the curves; now and then redraw them and read the samples."""
        self.history.append(result)
        if len(self.history) == 1:
            self.curves.display(plot_history(self.history))
            self.drawn_at = time.monotonic()
        elif time.monotonic() - self.drawn_at > SECONDS_BETWEEN_CURVES:
            self.curves.update(plot_history(self.history))
            self.drawn_at = time.monotonic()
        print(result.line(self.config.epochs), flush=True)
        if result.epoch & (result.epoch - 1) == 0:
            self.readings[result.epoch] = self._read_samples(self.last_path)

    def finish(self, kept: int, best_path: Path) -> None:
        """Draw the whole history, mark the epoch kept, and read the samples as it is at the end.

        Args:
            kept: epoch of the weights that are kept.
            best_path: the checkpoint that holds them, and what was added to them.
        """
        self.curves.update(plot_history(self.history, kept))
        self.readings[self.history[-1].epoch] = self._read_samples(self.last_path)
        self.kept = self._read_samples(best_path)

    def plot_readings(self) -> Plot:
        """The samples with what was read on them, epoch by epoch."""
        images = [read_image(line.image) for line in self.samples]
        texts = [line.text for line in self.samples]
        return plot_readings_over_epochs(images, texts, self.readings, self.kept)

    def _read_samples(self, checkpoint: Path) -> list[str]:
        readings = Recognizer.load(checkpoint).read_lines([line.image for line in self.samples])
        return [reading.text for reading in readings]


def _progress_bar(share: float, lines_per_second: float) -> HTML:
    bar = f'<progress value="{share:.2f}" max="1"></progress>'
    speed = f", {lines_per_second:.0f} lines/s" if share < 1 else ""  # what is kept has no timing
    return HTML(f"{bar} {100 * share:.0f} %{speed}")


def _reading_note(task: Task) -> str:
    """How sure the model is, and what it reads where that is not the suggestion."""
    sure = marked(f"{task.confidence:.1%} sure", colour_of(task.confidence))
    return sure if task.reading is None else f"read as <b>{html.escape(task.reading)}</b>, {sure}"


def _enlarged(line: UInt8Image) -> UInt8Image:
    """A low line at a height that eyes read easily, `LABELLED_PX`."""
    scale = min(max(1.0, LABELLED_PX / line.shape[0]), MAX_SHOWN_PX / line.shape[1])
    return cv2.resize(line, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC).astype(
        np.uint8
    )
