"""The recognition demo and the training monitor: state and view."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crnnkit.dataset.index import Line
from crnnkit.errors import DatasetError, ImageError
from crnnkit.finetuning.config import TrainConfig
from crnnkit.finetuning.history import EpochResult
from crnnkit.plots.canvas import Plot
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.serving.readings import LineReading, PageLine
from crnnkit.vocab import Vocab
from crnnkit.workbook import widgets
from crnnkit.workbook.widgets import (
    COLOURS,
    MAX_SHOWN_PX,
    DemoState,
    RecognitionDemo,
    TrainingMonitor,
    colour_of,
    draw_boxes,
    lines_table,
    marked,
    read_picture,
)


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


LINES = [
    PageLine("GL-2024-03-001-A", 0.987, box(10, 10, 110, 30)),
    PageLine("<b>&", 0.6, box(10, 40, 110, 60)),
    PageLine("", 0.3, box(10, 70, 110, 90)),
]


class FakeReader:
    """Reads `lines` on every picture."""

    vocab = Vocab("GL-0123456789A<b>&")

    def __init__(self, lines=LINES):
        self.lines = lines
        self.constraints = []

    def read_page(self, source, constraint=None):
        read_image(source)
        self.constraints.append(constraint)
        return self.lines


def png(width: int = 120, height: int = 100) -> bytes:
    content = io.BytesIO()
    Image.new("L", (width, height), 255).save(content, "PNG")
    return content.getvalue()


def decoded(demo: RecognitionDemo) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(demo.picture.value)))


def chosen(*files: tuple[str, bytes]) -> tuple[dict, ...]:
    """Files as ipywidgets hands them over after the file dialog."""
    now = datetime.now(UTC)
    return tuple(
        {
            "name": name,
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": now,
        }
        for name, content in files
    )


# ---------------------------------------------------------------- state


def test_a_picture_becomes_a_state_with_its_lines():
    state = read_picture(FakeReader(), png(), "页.png")
    assert state.picture.shape == (100, 120)
    assert state.lines == tuple(LINES)
    assert state.message == "页.png: 3 lines"


def test_an_unreadable_file_becomes_a_state_that_says_why():
    state = read_picture(FakeReader(), b"no picture", "notes.txt")
    assert state.message.startswith(
        "notes.txt: picture of 10 bytes: not a picture that can be read"
    )
    assert (state.picture, state.lines) == (None, ())


def test_a_failure_of_the_recogniser_itself_is_no_unreadable_file():
    class Broken:
        def read_page(self, source, constraint=None):
            raise ImageError("a fault of ours")

    with pytest.raises(ImageError, match="a fault of ours"):
        read_picture(Broken(), png(), "a.png")


def test_a_page_without_text_says_so():
    assert read_picture(FakeReader([]), png(), "a.png").message == "a.png: no text line found."


@pytest.mark.parametrize(
    ("confidence", "kind"),
    [(1.0, "sure"), (0.9, "sure"), (0.899, "doubtful"), (0.5, "doubtful"), (0.499, "unsure")],
)
def test_the_colour_tells_the_confidence(confidence, kind):
    assert colour_of(confidence) == COLOURS[kind]


def test_the_table_shows_texts_as_they_are_and_confidences():
    table = lines_table(LINES)
    assert table.count("<tr>") == 4
    assert "GL-2024-03-001-A" in table
    assert "&lt;b&gt;&amp;" in table
    assert "<b>&" not in table.replace("<b>&lt;", "")
    assert f"<td>{marked('98.7%', COLOURS['sure'])}</td>" in table
    assert "<b>∅</b>" in table


def test_no_lines_make_no_table():
    assert lines_table([]) == ""


# ---------------------------------------------------------------- boxes


def colours_at(drawn: np.ndarray, x: int, y: int) -> str:
    return "#" + bytes(drawn[y, x].tolist()).hex()


@pytest.mark.parametrize("shape", [(100, 120), (100, 120, 3)])
def test_each_line_gets_a_box_in_the_colour_of_its_confidence(shape):
    picture = np.full(shape, 255, np.uint8)
    drawn = draw_boxes(picture, LINES)
    assert drawn.shape == (100, 120, 3)
    for line, kind in zip(LINES, ("sure", "doubtful", "unsure"), strict=True):
        assert colours_at(drawn, 60, int(line.box[0][1])) == COLOURS[kind]
    assert colours_at(drawn, 60, 20) == "#ffffff"
    assert picture.min() == 255, "the picture itself must stay as it is"


def test_characters_are_parted_thinly_in_the_colours_of_their_own_confidences():
    line = PageLine("AB", 0.95, box(10, 10, 110, 40), (0.95, 0.3), ((0.0, 0.4), (0.6, 1.0)))
    drawn = draw_boxes(np.full((60, 120), 255, np.uint8), [line])
    for x, kind in ((50, "sure"), (70, "unsure")):
        colour = np.array(list(bytes.fromhex(COLOURS[kind][1:])))
        assert np.abs(drawn[25, x] - colour).max() < 25, "as drawn smoothly"
    assert [colours_at(drawn, x, 25) for x in (47, 53, 60)] == ["#ffffff"] * 3
    assert colours_at(drawn, 90, 10) == COLOURS["sure"], "the line's box lies over them"


def test_a_large_page_is_shown_smaller_and_its_boxes_with_it():
    page = np.full((2 * MAX_SHOWN_PX, 400), 255, np.uint8)
    drawn = draw_boxes(page, [PageLine("A", 0.2, box(100, 1000, 300, 1200))])
    assert drawn.shape == (MAX_SHOWN_PX, 200, 3)
    assert colours_at(drawn, 100, 500) == COLOURS["unsure"]


# ---------------------------------------------------------------- view


def test_an_upload_is_read_and_shown():
    demo = RecognitionDemo(FakeReader())
    assert demo.picture.layout.display == "none"
    assert "Upload a picture" in demo.message.value
    demo.upload.value = chosen(("页.png", png()))
    assert demo.state.lines == tuple(LINES)
    assert "页.png: 3 lines" in demo.message.value
    assert demo.table.value == lines_table(LINES)
    assert demo.picture.layout.display is None
    assert decoded(demo).shape == (100, 120, 3)


def test_the_same_file_can_be_uploaded_again():
    demo = RecognitionDemo(FakeReader())
    demo.upload.value = chosen(("a.png", png()))
    assert demo.upload.value == ()
    assert demo.state.name == "a.png"


def test_an_error_replaces_the_former_result():
    demo = RecognitionDemo(FakeReader())
    demo.read(png(), "a.png")
    demo.read(b"<script>", "<b>.png")
    assert COLOURS["unsure"] in demo.message.value
    assert "&lt;b&gt;.png: picture of 8 bytes" in demo.message.value
    assert demo.table.value == ""
    assert demo.picture.layout.display == "none"
    demo.read(png(), "a.png")
    assert demo.picture.layout.display is None
    assert COLOURS["unsure"] not in demo.message.value


def test_a_state_can_be_shown_without_reading():
    demo = RecognitionDemo(FakeReader())
    demo.show(DemoState("b.png", np.zeros((5, 9), np.uint8), (LINES[0],)))
    assert "b.png: 1 line" in demo.message.value


# ---------------------------------------------------------------- pattern, before and after


def test_a_pattern_is_followed_and_reads_the_picture_again():
    reader = FakeReader()
    demo = RecognitionDemo(reader)
    demo.pattern.value = "GL-[0-9]"  # nothing to read yet
    demo.read(png(), "a.png")
    demo.pattern.value = "A+"
    demo.pattern.value = ""
    kinds = [constraint and constraint.automaton for constraint in reader.constraints]
    assert [kind is None for kind in kinds] == [False, False, True]
    assert demo.state.name == "a.png"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("GL-[", "no regular expression"), ("京+", "pattern &#x27;京+&#x27;"), ("(?=A)", "pattern")],
)
def test_a_pattern_that_cannot_be_followed_says_so_in_place_of_a_reading(pattern, message):
    demo = RecognitionDemo(FakeReader())
    demo.read(png(), "a.png")
    demo.pattern.value = pattern
    assert message in demo.message.value
    assert demo.table.value == ""
    demo.pattern.value = ""
    assert "a.png: 3 lines" in demo.message.value


def test_before_and_after_stand_side_by_side():
    base = FakeReader([replace(line, text=f"old {i}") for i, line in enumerate(LINES)])
    demo = RecognitionDemo(FakeReader(), base)
    demo.pattern.value = "A"
    demo.read(png(), "a.png")
    assert base.constraints == [None], "what it reads by itself"
    assert "<tr><td>1</td><td>old 0</td><td><b>GL-2024-03-001-A</b></td>" in demo.table.value
    assert "<th>before</th><th>after</th>" in demo.table.value


# ---------------------------------------------------------------- training watched

EPOCH = EpochResult(1, 2.0, 0.9, 1.9, 0.8, 0.1, 1e-3, 100.0, 3.0)


class FakeRecognizer:
    """Each loading reads one character more."""

    def __init__(self):
        self.num_loaded = 0

    def load(self, path):
        self.path = path
        self.num_loaded += 1
        return self

    def read_lines(self, sources):
        assert all(Path(source).is_file() for source in sources)
        return [LineReading("GL-2024"[: self.num_loaded], 0.9, (), ()) for _ in sources]


@pytest.fixture
def monitor(tmp_path, monkeypatch):
    monkeypatch.setattr(widgets, "Recognizer", FakeRecognizer())
    write_image(tmp_path / "a.png", np.full((32, 90), 255, np.uint8))
    config = TrainConfig(
        Path("train.txt"), Path("val.txt"), tmp_path, pretrained_ckpt=Path("base"), epochs=9
    )
    return TrainingMonitor(config, [Line(tmp_path / "a.png", "GL-2024", 1)])


def test_each_epoch_prints_one_plain_line(monitor, capsys):
    for epoch in (1, 2, 3):
        monitor.on_epoch(replace(EPOCH, epoch=epoch))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch")]
    assert lines == [replace(EPOCH, epoch=epoch).line(9) for epoch in (1, 2, 3)]


def test_the_samples_are_read_before_after_epochs_1_2_4_the_last_and_as_kept(monitor, tmp_path):
    assert widgets.Recognizer.path == Path("base")
    for epoch in range(1, 7):
        monitor.on_epoch(replace(EPOCH, epoch=epoch))
    assert widgets.Recognizer.path == tmp_path / "last.safetensors"
    monitor.finish(5, tmp_path / "best.safetensors")
    assert monitor.readings == {0: ["G"], 1: ["GL"], 2: ["GL-"], 4: ["GL-2"], 6: ["GL-20"]}
    assert widgets.Recognizer.path == tmp_path / "best.safetensors"
    figure = monitor.plot_readings()
    assert isinstance(figure, Plot)
    assert [text.get_text() for text in figure.axes[1].texts][-3:] == ["kept", "✗", "GL-202"]


def test_the_bar_moves_by_hundredths_and_arrives(monitor, monkeypatch):
    shown = []
    monkeypatch.setattr(monitor.bar, "display", lambda bar: shown.append(bar.data))
    monkeypatch.setattr(monitor.bar, "update", lambda bar: shown.append(bar.data))
    for step in range(1001):
        monitor.on_batch(step / 1000, 41.6)
    assert 95 <= len(shown) <= 101
    assert shown[0].endswith("</progress> 0 %, 42 lines/s")
    assert shown[-1].endswith("</progress> 100 %")


def test_curves_are_drawn_at_intervals_and_at_the_end(monitor, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        widgets, "plot_history", lambda history, *kept: drawn.append((len(history), *kept))
    )
    clock = iter([0.0, 5.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(widgets.time, "monotonic", lambda: next(clock))
    for epoch in (1, 2, 3, 4):
        monitor.on_epoch(replace(EPOCH, epoch=epoch))
    monitor.finish(2, monitor.last_path)
    assert drawn == [(1,), (3,), (4, 2)]


def test_the_demo_sets_own_labels_are_not_written_into():
    with pytest.raises(DatasetError, match=r"data/demo/train.txt: the demo set's own labels"):
        widgets.label_pictures("data/demo/images", "data/demo/train.txt", "")
