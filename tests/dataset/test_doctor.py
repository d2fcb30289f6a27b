"""The doctor: each committed faulty index is found out by its name, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.doctor import Diagnosis, examine
from crnnkit.dataset.index import read_index
from crnnkit.errors import DatasetError
from crnnkit.model.config import ModelConfig, Stage
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import Vocab

BROKEN = Path(__file__).parent / "broken"
VOCAB = Vocab("0123456789AB Å北京市")


def diagnose(**names: str) -> Diagnosis:
    paths = {split: BROKEN / f"{name}.txt" for split, name in names.items()}
    return examine(paths, VOCAB, LineConfig())


def found(diagnosis: Diagnosis) -> list[tuple[str, str, int]]:
    return [(fault.severity, fault.code, fault.line_number) for fault in diagnosis.faults]


@pytest.mark.parametrize(
    ("code", "severity", "line_number", "in_message"),
    [
        ("missing_tab", "error", 2, "no tab in 'img/b.png B 北京'"),
        ("missing_image", "error", 2, "no file 'img/no_such_picture.png'"),
        ("unreadable_image", "error", 2, "cut_off.png: the picture is damaged"),
        ("empty_text", "error", 2, "no text after the tab"),
        ("unknown_character", "error", 2, "not in the vocabulary: '$' '€'"),
        # 10 characters in 5 equal pairs: 15 steps; 8 px padded to 32: 8 steps
        ("too_long_for_width", "error", 2, "needs 15 time steps, its picture of 8x32 px gives 8"),
        ("duplicate_path", "error", 3, "already listed on line 1"),
        ("not_utf8", "error", 2, "is not UTF-8"),
        ("no_lines", "error", 0, "holds no lines"),
        ("bom", "warning", 0, "byte-order mark"),
        ("crlf", "warning", 0, "2 lines with Windows line ends"),
        ("odd_space", "warning", 2, "U+00A0 U+3000"),
        ("invisible", "warning", 2, "U+200B U+FEFF"),
        ("not_nfc", "warning", 1, "apart from their accents"),
        ("outer_space", "warning", 1, "begins or ends with space"),
        ("blank_line", "warning", 2, "skipped"),
        ("backslash", "warning", 1, "Windows separators"),
        # one picture compressed twice: the bytes differ, the pixels do not
        ("repeated_picture", "warning", 2, "same_as_a.png equals a.png of line 1"),
        ("conflicting_text", "warning", 2, "has text 'A1 2' here and 'A12' there"),
    ],
)
def test_committed_fault_is_found(
    code: str, severity: str, line_number: int, in_message: str
) -> None:
    diagnosis = diagnose(train=code)
    faults = [fault for fault in diagnosis.faults if fault.code == code]
    assert [(f.severity, f.line_number) for f in faults] == [(severity, line_number)]
    assert in_message in faults[0].message
    assert faults[0].file == BROKEN / f"{code}.txt"
    assert faults[0].remedy.endswith(".")


ONE_FAULT_EACH = sorted({path.stem for path in BROKEN.glob("*.txt")} - {"good", "leak"})


@pytest.mark.parametrize("code", ONE_FAULT_EACH)
def test_committed_fault_is_alone(code: str) -> None:
    # a file without lines is one of blank lines
    beside = {"blank_line"} if code == "no_lines" else set()
    assert set(diagnose(train=code).counts) == {code} | beside


def test_picture_of_train_in_val_is_a_leak() -> None:
    diagnosis = diagnose(train="good", val="leak")
    assert found(diagnosis) == [
        ("warning", "shared_text", 0),
        ("error", "leak", 1),  # the very file
        ("error", "leak", 2),  # another file, other text, same pixels
    ]
    assert all(fault.file.name == "leak.txt" for fault in diagnosis.faults)
    assert f"same_as_a.png equals a.png of {BROKEN / 'good.txt'}:1" in diagnosis.faults[2].message
    assert diagnosis.faults[0].message.startswith("1 of 2 lines have a text that occurs in train")
    assert [len(lines) for lines in diagnosis.lines.values()] == [3, 0]


def test_pictures_of_other_shape_or_without_content_are_no_repeats(tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", np.full((8, 16), 255, np.uint8))
    write_image(tmp_path / "high.png", np.full((16, 8), 255, np.uint8))  # the same bytes
    (tmp_path / "empty.png").touch()
    (tmp_path / "no_picture.png").write_text("text")
    names = ("wide", "high", "empty", "no_picture")
    (tmp_path / "train.txt").write_text("".join(f"{name}.png\tA\n" for name in names))
    diagnosis = examine({"train": tmp_path / "train.txt"}, VOCAB, LineConfig())
    assert diagnosis.counts == {"unreadable_image": 2}


def test_good_data_has_no_fault() -> None:
    diagnosis = diagnose(train="good")
    diagnosis.raise_if_errors()
    assert diagnosis.faults == ()
    assert list(diagnosis.lines["train"]) == read_index(BROKEN / "good.txt")


def test_warnings_alone_do_not_stop() -> None:
    diagnosis = diagnose(train="invisible")
    diagnosis.raise_if_errors()
    assert diagnosis.num_errors == 0
    assert [line.text for line in diagnosis.lines["train"]] == ["A12", "B 北京"]


def test_all_faults_of_all_files_come_at_once() -> None:
    diagnosis = diagnose(train="missing_tab", val="unreadable_image", test="unknown_character")
    by_file = {(f.file.stem, f.code) for f in diagnosis.faults if f.severity == "error"}
    assert by_file >= {(c, c) for c in ("missing_tab", "unreadable_image", "unknown_character")}
    with pytest.raises(DatasetError) as raised:
        diagnosis.raise_if_errors()
    assert {row.split(": ")[1] for row in str(raised.value).splitlines()[1:]} == {
        "missing_tab",
        "unreadable_image",
        "unknown_character",
        "leak",
    }
    assert [len(lines) for lines in diagnosis.lines.values()] == [1, 0, 0]


def test_missing_index_is_a_fault_beside_the_others() -> None:
    diagnosis = diagnose(train="missing_tab", val="no_such_index")
    assert found(diagnosis) == [("error", "missing_tab", 2), ("error", "unreadable_index", 0)]


def test_without_vocabulary_characters_go_unchecked() -> None:
    paths = {"train": BROKEN / "unknown_character.txt"}
    assert examine(paths, None, LineConfig()).faults == ()


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("01234567", True),  # 8 characters in 8 steps
        ("012345678", False),  # 9 in 8
        ("0012345", True),  # 7 and a blank between the equal ones
        ("00123456", False),  # 8 and a blank: not 2L + 1, but one too many
    ],
)
def test_too_long_follows_the_ctc_bound(tmp_path: Path, text: str, fits: bool) -> None:
    image = read_image(BROKEN / "img/narrow.png")
    write_image(tmp_path / "a.png", image)
    (tmp_path / "train.txt").write_text(f"a.png\t{text}\n")
    diagnosis = examine({"train": tmp_path / "train.txt"}, VOCAB, LineConfig())
    assert diagnosis.counts == ({} if fits else {"too_long_for_width": 1})


def test_time_steps_follow_the_given_model_and_line_config() -> None:
    paths = {"train": BROKEN / "too_long_for_width.txt"}
    fine = ModelConfig(height=32, stages=(Stage(8, (16, 1)),))  # one step per pixel
    assert examine(paths, VOCAB, LineConfig(), fine).counts == {}
    assert examine(paths, VOCAB, LineConfig(width_multiple=64)).counts == {}


def test_format_counts_and_lists_errors_first() -> None:
    table = diagnose(train="good", val="leak").format()
    rows = table.splitlines()
    assert rows[0] == "lines without error: train 3, val 0"
    assert rows[1] == "2 errors, 1 warning"
    assert rows[2].split() == ["error", "leak", "2"]
    assert rows[3].split() == ["warning", "shared_text", "1"]
    assert "leak.txt:1: leak: picture b.png equals" in rows[4]
    assert "leak.txt: shared_text:" in rows[6]


def test_format_shows_20_faults_and_counts_the_others(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("no tab\n" * 50)
    rows = examine({"train": path}, None, LineConfig()).format().splitlines()
    assert sum("missing_tab: no tab in" in row for row in rows) == 20
    assert rows[-1] == "… and 30 more"


def test_many_threads_see_what_one_sees(tmp_path: Path) -> None:
    lines = read_index(BROKEN / "good.txt")
    for copy in range(40):
        for line in lines:
            write_image(tmp_path / f"{copy}_{line.image.name}", read_image(line.image))
    content = "".join(f"{p.name}\tA12\n" for p in sorted(tmp_path.glob("*.png")))
    (tmp_path / "train.txt").write_text(content)
    paths = {"train": tmp_path / "train.txt"}
    one = examine(paths, VOCAB, LineConfig(), num_threads=1)
    assert one.counts == {"repeated_picture": 117}
    assert one == examine(paths, VOCAB, LineConfig(), num_threads=8)


def test_progress_bar_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    paths = {"train": BROKEN / "good.txt"}
    examine(paths, VOCAB, LineConfig())
    assert capsys.readouterr().err == ""
    examine(paths, VOCAB, LineConfig(), progress=True)
    assert "3/3" in capsys.readouterr().err
