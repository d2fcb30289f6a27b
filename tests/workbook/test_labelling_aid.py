"""The labelling aid: what Enter, Skip and Undo do to what is shown and written."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from crnnkit.dataset.index import read_index
from crnnkit.preprocessing.images import write_image
from crnnkit.workbook.labelling import Labelling, Task
from crnnkit.workbook.widgets import COLOURS, LabellingAid


@pytest.fixture
def aid(tmp_path):
    """Give an aid with two lines to label, suggestions "GL-1" and "<2>"."""
    tasks = []
    for name, text, confidence in (("a.png", "GL-1", 0.95), ("b.png", "<2>", 0.2)):
        write_image(tmp_path / name, np.full((16, 40), 255, np.uint8))
        tasks.append(Task(tmp_path / name, text, confidence))
    return LabellingAid(Labelling(tasks, [tmp_path / "train.txt"]))


def press_enter(aid: LabellingAid) -> None:
    """Send what the browser sends."""
    aid.text._handle_custom_msg({"event": "submit"}, [])


def test_enter_accepts_the_suggestion_typing_corrects_it(aid, tmp_path):
    assert aid.text.value == "GL-1"
    assert COLOURS["sure"] in aid.reading.value
    press_enter(aid)
    assert (aid.text.value, aid.state.task.image.name) == ("<2>", "b.png")
    assert COLOURS["unsure"] in aid.reading.value
    aid.text.value = "GL-2"
    press_enter(aid)
    assert [line.text for line in read_index(tmp_path / "train.txt")] == ["GL-1", "GL-2"]
    assert "2 labelled, 0 left" in aid.message.value
    assert aid.text.layout.display == "none"
    assert "All done" in aid.reading.value


def test_skip_and_undo_move_the_view(aid, tmp_path):
    aid.skip.click()
    assert aid.text.value == "<2>"
    aid.undo.click()
    assert aid.text.value == "GL-1"
    press_enter(aid)
    press_enter(aid)
    aid.undo.click()
    assert (aid.text.value, aid.text.layout.display) == ("<2>", None)
    assert [line.text for line in read_index(tmp_path / "train.txt")] == ["GL-1"]


def test_a_low_line_is_shown_enlarged(aid):
    assert np.array(Image.open(io.BytesIO(aid.picture.value))).shape[:2] == (64, 160)


def test_an_index_at_fault_is_told_and_the_line_stays(aid, tmp_path):
    (tmp_path / "train.txt").write_text("<no tab>\n")
    aid.text.value = "typed"
    press_enter(aid)
    assert "&lt;no tab&gt;" in aid.message.value
    assert aid.text.value == "typed"


def test_a_label_in_doubt_is_shown_with_its_reading(tmp_path, aid):
    task = replace(aid.state.task, reading="<b>")
    shown = LabellingAid(Labelling([task], [tmp_path / "train.txt"]))
    assert shown.reading.value.startswith("read as <b>&lt;b&gt;</b>, ")
