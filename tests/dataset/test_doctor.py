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
VOCABS = {"no_space_in_vocab": Vocab("0123456789ABÅ北京市")}
"""Vocabulary that brings a fault out, where it is not VOCAB."""


def diagnose(**names: str) -> Diagnosis:
    paths = {split: BROKEN / f"{name}.txt" for split, name in names.items()}
    return examine(paths, VOCABS.get(names["train"], VOCAB), LineConfig())


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
        ("no_space_in_vocab", "error", 2, "'B 北京' has a space, the vocabulary has none"),
        # 10 characters in 5 equal pairs: 15 steps; 8 px padded to 32: 8 steps
        ("too_long_for_width", "error", 2, "needs 15 time steps, its picture of 8x32 px gives 8"),
        ("not_utf8", "error", 2, "is not UTF-8"),
        ("no_lines", "error", 0, "holds no lines"),
        ("bom", "repaired", 0, "byte-order mark"),
        ("crlf", "repaired", 0, "2 lines with Windows line ends"),
        ("odd_space", "repaired", 2, "U+00A0 U+3000"),
        ("invisible", "repaired", 2, "U+200B U+FEFF"),
        ("not_nfc", "repaired", 1, "apart from their accents"),
        ("outer_space", "repaired", 1, "begins or ends with space"),
        ("blank_line", "repaired", 2, "skipped"),
        ("backslash", "repaired", 1, "Windows separators"),
        ("wrong_case", "repaired", 2, "'IMG/B.png' is 'img/b.png' on disk"),
        ("duplicate_row", "repaired", 3, "repeats line 1"),
        ("double_space", "warning", 2, "'B  北京' has several spaces in a row"),
        ("hidden_path", "warning", 2, "'img/.thumbs/a.png' is hidden by '.thumbs'"),
        ("tiny_picture", "warning", 2, "picture of 20x7 px"),
        ("extreme_aspect", "warning", 2, "is odd for text 'A12'"),  # turned by 90 degrees
        # 600x8 px would be 2400 px wide at height 32
        ("squeezed", "warning", 2, "600x8 px is squeezed to 2048 px"),
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


def test_both_of_two_contradictory_rows_are_errors() -> None:
    diagnosis = diagnose(train="duplicate_path")
    assert found(diagnosis) == [("error", "duplicate_path", 1), ("error", "duplicate_path", 3)]
    assert "listed again on line 3 as 'A1'" in diagnosis.faults[0].message
    assert "already listed on line 1 as 'A12'" in diagnosis.faults[1].message


ONE_FAULT_EACH = sorted({path.stem for path in BROKEN.glob("*.txt")} - {"good", "leak"})


@pytest.mark.parametrize("code", ONE_FAULT_EACH)
def test_committed_fault_is_alone(code: str) -> None:
    # a file without lines is one of blank lines
    beside = {"blank_line"} if code == "no_lines" else set()
    assert set(diagnose(train=code).counts) == {code} | beside


def test_picture_of_train_in_val_is_a_leak() -> None:
    diagnosis = diagnose(train="good", val="leak")
    assert found(diagnosis) == [
        ("error", "leak", 1),  # the very file
        ("error", "leak", 2),  # another file, other text, same pixels
    ]
    assert all(fault.file.name == "leak.txt" for fault in diagnosis.faults)
    message = diagnosis.faults[1].message
    assert f"same_as_a.png equals a.png of {BROKEN / 'good.txt'}:1" in message
    assert message.endswith("but has text 'A1' here and 'A12' there")
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


@pytest.mark.parametrize(
    ("size_hw", "text", "code"),
    [
        ((8, 8), "A", None),  # the smallest that passes
        ((7, 8), "A", "tiny_picture"),
        ((8, 3), "1", "tiny_picture"),
        ((32, 160), "A", None),  # 5 times as wide as high for one character
        ((32, 161), "A", "extreme_aspect"),
        ((25, 3), "1", "tiny_picture"),
        ((25, 4), "1", None),  # a narrow 1: 0.16
        ((100, 8), "1", "extreme_aspect"),  # a pole: 0.08
        ((20, 12), "AB", None),
        ((20, 11), "AB", "extreme_aspect"),  # two characters, one above the other
    ],
)
def test_sizes_that_are_suspect(
    tmp_path: Path, size_hw: tuple[int, int], text: str, code: str | None
) -> None:
    write_image(tmp_path / "a.png", np.full(size_hw, 255, np.uint8))
    (tmp_path / "train.txt").write_text(f"a.png\t{text}\n")
    diagnosis = examine({"train": tmp_path / "train.txt"}, VOCAB, LineConfig())
    assert list(diagnosis.counts) == ([code] if code else [])


def test_characters_that_training_never_shows_are_named(tmp_path: Path) -> None:
    for number, (split, text) in enumerate({"train": "A 1", "val": "A2B2", "test": "11"}.items()):
        write_image(tmp_path / f"{split}.png", np.full((16, 30), number, np.uint8))
        (tmp_path / f"{split}.txt").write_text(f"{split}.png\t{text}\n")
    paths = {split: tmp_path / f"{split}.txt" for split in ("train", "val", "test")}
    (fault,) = examine(paths, VOCAB, LineConfig()).faults
    assert (fault.severity, fault.code, fault.line_number) == ("warning", "untaught_character", 1)
    assert (fault.file, fault.value) == (paths["val"], "2B")
    assert "that no line of train shows: '2' 'B'" in fault.message


def test_profile_counts_the_lines_without_error() -> None:
    splits = diagnose(train="good", val="unreadable_image").profile.splits
    # line 1 of val shows a picture of train, line 2 cannot be read
    assert [(s.num_lines, s.num_texts) for s in splits.values()] == [(3, 3), (0, 0)]


def test_a_folder_beside_that_of_the_index_is_not_hidden(tmp_path: Path) -> None:
    write_image(tmp_path / "img/a.png", np.full((16, 30), 255, np.uint8))
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets/train.txt").write_text("../img/a.png\tA\n")
    assert examine({"train": tmp_path / "sets/train.txt"}, VOCAB, LineConfig()).faults == ()


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
    # what just fits is suspect all the same: many characters in a picture higher than wide
    assert diagnosis.counts == {"extreme_aspect" if fits else "too_long_for_width": 1}


def test_time_steps_follow_the_given_model_and_line_config() -> None:
    paths = {"train": BROKEN / "too_long_for_width.txt"}
    fine = ModelConfig(height=32, stages=(Stage(8, (16, 1)),))  # one step per pixel
    assert examine(paths, VOCAB, LineConfig(), fine).num_errors == 0
    assert examine(paths, VOCAB, LineConfig(width_multiple=64)).num_errors == 0


def test_format_counts_and_lists_errors_first() -> None:
    table = diagnose(train="odd_space", val="leak").format()
    rows = table.splitlines()
    assert rows[0] == "lines without error: train 2, val 0"
    assert rows[1] == "2 errors in 2 lines, 0 warnings, 1 repaired on reading"
    assert rows[2].split() == ["error", "leak", "2"]
    assert rows[3].split() == ["repaired", "odd_space", "1"]
    assert "leak.txt:1: leak: picture b.png equals" in rows[4]
    assert "odd_space.txt:2: odd_space:" in rows[6]


def test_the_rarer_kind_of_fault_is_shown_first(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("gone.png\tA\n" * 50 + "no tab\n")
    rows = examine({"train": path}, None, LineConfig()).format().splitlines()
    assert [row.split()[1] for row in rows[2:4]] == ["missing_tab", "missing_image"]
    assert "train.txt:51: missing_tab" in rows[4]


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
