"""Reading alone or in company, from any form, with either engine, and refusing what is no model."""

import io
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crnnkit.errors import CheckpointError, ConfigError, ImageError
from crnnkit.model.config import METADATA_KEY, CheckpointInfo
from crnnkit.model.constraints import Constraint
from crnnkit.preprocessing.images import write_image
from crnnkit.preprocessing.lines import crop_line, find_lines
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import Vocab

TEXTS = [
    "A",
    "北京市 12",
    "2024-03-01",
    "B0B",
    "0123456789AB 0123456789AB",
    "77",
    "市北京",
    "A1 B2",
]


@pytest.fixture
def lines(make_line) -> list[np.ndarray]:
    """Lines of several heights, hence of several widths once scaled; some share a width."""
    return [make_line(text, height=24 + 7 * (i % 3)) for i, text in enumerate(TEXTS)]


class BarNetwork:
    """Reads a line whose first column holds n pixels of ink as the n-th character."""

    charset = "0123456789ABC"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        """Of the batches that came."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.shapes.append(images.shape)
        num_ink = (images[:, 0, :, 0] > 0).sum(1)
        return 50 * np.eye(14, dtype=np.float32)[num_ink + 1][:, np.newaxis, :]


def bar(num_ink: int, width: int) -> np.ndarray:
    """A white line with a black bar of some rows at its top."""
    line = np.full((32, width), 255, np.uint8)
    line[:num_ink] = 0
    return line


# ---------- one reading, whatever stands around it ----------


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_a_line_reads_the_same_alone_and_in_any_batch(recognizer, lines, batch_size):
    alone = [recognizer.read_line(line) for line in lines]
    together = recognizer.read_lines(lines * 2, batch_size=batch_size)
    assert len({reading.text for reading in alone}) >= len(lines) // 2  # not all one answer
    assert [r.text for r in together] == [r.text for r in alone] * 2
    assert [r.spans for r in together] == [r.spans for r in alone] * 2
    np.testing.assert_allclose(
        [r.confidence for r in together], [r.confidence for r in alone] * 2, atol=1e-4
    )


@given(
    inks_and_widths=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 300)), max_size=30),
    batch_size=st.integers(1, 8),
)
def test_the_order_is_kept_and_batches_hold_one_width(inks_and_widths, batch_size):
    network = BarNetwork()
    recognizer = Recognizer(network, CheckpointInfo(network.charset), "bars")
    lines = (bar(num_ink, width) for num_ink, width in inks_and_widths)
    readings = recognizer.read_lines(lines, batch_size=batch_size)
    assert [int(r.text, 16) for r in readings] == [num_ink for num_ink, _ in inks_and_widths]
    assert all(shape[0] <= batch_size for shape in network.shapes)
    widths = [-(-width // 32) * 32 for _, width in inks_and_widths]
    assert {shape[3] for shape in network.shapes} == set(widths)
    num_batches = sum(-(-widths.count(w) // batch_size) for w in set(widths))
    assert len(network.shapes) == num_batches


def test_each_character_has_a_confidence_and_a_span(recognizer, lines):
    for reading in recognizer.read_lines(lines):
        assert len(reading.char_confidences) == len(reading.spans) == len(reading.text)
        assert all(0 < c <= 1 for c in (reading.confidence, *reading.char_confidences))
        assert all(a < b for a, b in reading.spans)


def test_all_forms_of_a_picture_read_the_same(recognizer, make_line, tmp_path):
    line = make_line("北京市 12")
    path = tmp_path / "中文 name.png"
    write_image(path, line)
    picture = Image.fromarray(line)
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    forms = [path, str(path), encoded.getvalue(), line, np.dstack([line] * 3), picture]
    readings = recognizer.read_lines(forms)
    assert readings[0].text
    assert set(readings) == {readings[0]}


# ---------- what may come out ----------


class DoubtfulNetwork:
    """Reads every line as A, then 0; O is nearly as sure as 0."""

    charset = "0AO"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        logits = np.array([[0, 0, 9, 0], [9, 0, 0, 0], [0, 9, 0, 8]], np.float32)
        return np.repeat(logits[np.newaxis], len(images), axis=0)


@pytest.fixture
def doubtful() -> Recognizer:
    network = DoubtfulNetwork()
    return Recognizer(network, CheckpointInfo(network.charset), "doubtful.onnx")


def test_a_constraint_decides_what_is_read(doubtful, make_line):
    constraint = Constraint.pattern("[A-Z]+", doubtful.vocab)
    line = bar(1, 64)
    assert doubtful.read_line(line).text == "A0"
    assert doubtful.read_line(line, constraint).text == "AO"
    assert [r.text for r in doubtful.read_lines([line] * 3, 2, constraint)] == ["AO"] * 3
    page = make_line("北京市 12", height=60)
    assert {line.text for line in doubtful.read_page(page)} == {"A0"}
    assert {line.text for line in doubtful.read_page(page, constraint)} == {"AO"}


def test_a_reading_that_no_accepted_text_fits_is_empty_and_worth_nothing(doubtful):
    reading = doubtful.read_line(bar(1, 64), Constraint.pattern("A{5}", doubtful.vocab))
    assert (reading.text, reading.confidence) == ("", 0.0)


def test_a_constraint_for_another_vocabulary_is_refused(doubtful):
    constraint = Constraint.characters("A", Vocab("A0O"))  # the same characters, other ids
    with pytest.raises(ConfigError, match=r"another vocabulary than that of doubtful\.onnx"):
        doubtful.read_line(bar(1, 64), constraint)


def test_no_pictures_give_no_readings(recognizer):
    assert recognizer.read_lines([]) == []


def test_a_bad_picture_among_good_ones_is_an_error_that_names_it(recognizer, lines, tmp_path):
    bad = tmp_path / "empty.png"
    bad.touch()
    with pytest.raises(ImageError, match="empty.png"):
        recognizer.read_lines([lines[0], bad, lines[1]])


def test_threads_share_a_recognizer(recognizer, lines):
    expected = [r.text for r in recognizer.read_lines(lines)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: recognizer.read_lines(lines), range(24)))
    assert all([r.text for r in readings] == expected for readings in results)


# ---------- pages ----------


def test_a_page_is_its_lines_read_in_order(recognizer, make_line):
    page = np.full((260, 420), 255, np.uint8)
    for row, text in enumerate(["2024-03-01", "北京市 12", "A1 B2 0123"]):
        line = make_line(text, height=40)
        page[20 + 80 * row : 60 + 80 * row, 30 : 30 + line.shape[1]] = line
    quads = find_lines(page)
    found = recognizer.read_page(page)
    assert len(found) == 3
    assert [line.box[0][1] // 80 for line in found] == [0, 1, 2]
    expected = recognizer.read_lines([crop_line(page, quad) for quad in quads])
    assert [line.text for line in found] == [reading.text for reading in expected]
    assert [line.confidence for line in found] == [reading.confidence for reading in expected]


def test_an_empty_page_has_no_lines(recognizer):
    assert recognizer.read_page(np.full((400, 300), 255, np.uint8)) == []


# ---------- engines ----------


def test_onnx_and_torch_read_the_same(checkpoint_path, recognizer, lines):
    with_torch = Recognizer.load(checkpoint_path)
    assert with_torch.vocab == recognizer.vocab
    assert with_torch.line_config == recognizer.line_config
    ours, theirs = recognizer.read_lines(lines), with_torch.read_lines(lines)
    assert [r.text for r in ours] == [r.text for r in theirs]
    np.testing.assert_allclose(
        [r.confidence for r in ours], [r.confidence for r in theirs], atol=1e-4
    )


def run_python(script: str, *arguments: object) -> str:
    """Output of a fresh interpreter."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # makes every import of it fail
import numpy as np
from crnnkit.errors import CheckpointError
from crnnkit.serving.recognizer import Recognizer
import crnnkit.serving.server
onnx_path, line_path, checkpoint_path = sys.argv[1:]
sys.stdout.reconfigure(encoding="utf-8")
print(Recognizer.load(onnx_path).read_line(line_path).text)
try:
    Recognizer.load(checkpoint_path)
except CheckpointError as error:
    print(error)
"""


def test_onnx_models_need_no_torch(onnx_path, checkpoint_path, recognizer, make_line, tmp_path):
    line_path = tmp_path / "line.png"
    write_image(line_path, make_line("北京市 12"))
    text, refusal = run_python(WITHOUT_TORCH, onnx_path, line_path, checkpoint_path).splitlines()
    assert text == recognizer.read_line(line_path).text
    assert "needs torch, which is not installed. Install crnnkit[workbook]" in refusal


COUNT_THREADS = """
import os, sys
import crnnkit.serving.recognizer as recognizer
before = len(os.listdir("/proc/self/task"))
kept = recognizer.Recognizer.load(sys.argv[1], num_threads=int(sys.argv[2]))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="not run: no /proc")
@pytest.mark.parametrize("num_threads", [1, 3])
def test_onnxruntime_starts_the_threads_asked_for(onnx_path, num_threads):
    # The calling thread works too.
    assert int(run_python(COUNT_THREADS, onnx_path, num_threads)) == num_threads - 1


# ---------- what is no model of ours ----------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.onnx: no such model\. Export one"):
        Recognizer.load(tmp_path / "gone.onnx")
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such checkpoint"):
        Recognizer.load(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("old.pth", "old.pth.*unpickled"),  # pickles of other projects
        ("old.pt", "unpickled"),
        ("model.bin", "unpickled"),
        ("model.txt", "Give an .onnx file or a .safetensors checkpoint"),
        ("model", "Give an .onnx file or a .safetensors checkpoint"),  # no suffix at all
    ],
)
def test_other_formats_are_refused_with_a_remedy(tmp_path, name, remedy):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with pytest.raises(CheckpointError, match=remedy):
        Recognizer.load(path)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_off_onnx_file_is_refused(onnx_path, tmp_path, kept):
    content = onnx_path.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CheckpointError, match=r"cut\.onnx: .*xport"):
        Recognizer.load(path)


@pytest.mark.parametrize(
    "content", [b"not a model", b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff" * 64]
)
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.onnx: no readable ONNX file"):
        Recognizer.load(path)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(CheckpointError, match=r"folder\.onnx: cannot be read"):
        Recognizer.load(tmp_path / "folder.onnx")


def with_description(onnx_path: Path, path: Path, description: str | None) -> Path:
    """A copy of the model with another description, or none."""
    model = onnx.load(onnx_path)
    del model.metadata_props[:]
    if description is not None:
        onnx.helper.set_model_props(model, {METADATA_KEY: description})
    onnx.save(model, path)
    return path


def description_of(onnx_path: Path) -> CheckpointInfo:
    """What the model file says of itself."""
    props = {prop.key: prop.value for prop in onnx.load(onnx_path).metadata_props}
    return CheckpointInfo.from_json(props[METADATA_KEY], str(onnx_path))


def test_an_onnx_file_without_our_description_is_refused(onnx_path, tmp_path):
    path = with_description(onnx_path, tmp_path / "foreign.onnx", None)
    with pytest.raises(CheckpointError, match=r"foreign\.onnx: .*metadata lacks 'crnnkit'.*export"):
        Recognizer.load(path)


def test_a_damaged_description_is_refused(onnx_path, tmp_path):
    path = with_description(onnx_path, tmp_path / "odd.onnx", '{"charset": 3}')
    with pytest.raises(CheckpointError, match=r"odd\.onnx: .*charset"):
        Recognizer.load(path)


def test_a_vocabulary_of_another_size_is_refused(onnx_path, tmp_path):
    longer = replace(description_of(onnx_path), charset="0123456789AB 北京市路")
    path = with_description(onnx_path, tmp_path / "longer.onnx", longer.to_json())
    with pytest.raises(
        CheckpointError, match=r"longer\.onnx: .*, 17\), its description tells \(.*, 18\)"
    ):
        Recognizer.load(path)


def test_a_vocabulary_with_a_doubled_character_is_refused(onnx_path, tmp_path):
    doubled = replace(description_of(onnx_path), charset="00123456789AB 北京")
    path = with_description(onnx_path, tmp_path / "doubled.onnx", doubled.to_json())
    with pytest.raises(CheckpointError, match=r"doubled\.onnx: .*listed twice: '0'"):
        Recognizer.load(path)


def test_a_height_that_the_network_does_not_take_is_refused(onnx_path, tmp_path):
    info = description_of(onnx_path)
    taller = replace(info, line=replace(info.line, height=48))
    path = with_description(onnx_path, tmp_path / "taller.onnx", taller.to_json())
    with pytest.raises(CheckpointError, match=r"taller\.onnx: fails on a line of 48 x 32 pixels"):
        Recognizer.load(path)


def test_a_network_with_other_inputs_is_refused(onnx_path, tmp_path):
    model = onnx.load(onnx_path)
    old = model.graph.input[0].name
    model.graph.input[0].name = "x"
    for node in model.graph.node:
        node.input[:] = ["x" if name == old else name for name in node.input]
    onnx.save(model, tmp_path / "renamed.onnx")
    with pytest.raises(CheckpointError, match=r"renamed\.onnx: fails on a line .*'x'.* missing"):
        Recognizer.load(tmp_path / "renamed.onnx")


def test_a_checkpoint_renamed_to_onnx_is_refused(checkpoint_path, tmp_path):
    shutil.copy(checkpoint_path, tmp_path / "renamed.onnx")
    with pytest.raises(CheckpointError, match="no readable ONNX file"):
        Recognizer.load(tmp_path / "renamed.onnx")


@pytest.mark.parametrize("num_threads", [0, -2])
def test_a_number_of_threads_below_one_is_refused(onnx_path, num_threads):
    with pytest.raises(ConfigError, match=f"num_threads is {num_threads}"):
        Recognizer.load(onnx_path, num_threads=num_threads)


def test_a_batch_size_below_one_is_refused(recognizer):
    with pytest.raises(ConfigError, match="batch_size is 0"):
        recognizer.read_lines([], batch_size=0)
