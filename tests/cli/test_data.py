"""The commands for data sets, as people type them."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from crnnkit.cli import app as cli
from crnnkit.dataset.index import Line, read_index, write_index
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.preprocessing.images import write_image
from crnnkit.serving.readings import LineReading
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import Vocab


@pytest.fixture
def data(tmp_path, make_line, monkeypatch):
    """Write an index of four lines, of two days."""
    monkeypatch.chdir(tmp_path)
    lines = []
    for number, text in enumerate(("01", "AB 12", "北京", "2"), 1):
        image = tmp_path / f"day{number % 2}/{number}.png"
        write_image(image, make_line(text))
        lines.append(Line(image, text, number))
    write_index(tmp_path / "lines.txt", lines)
    return tmp_path / "lines.txt"


def run(*arguments):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vocab", "nowhere.txt", "--output", "v.txt"], "nowhere.txt"),
        (["vocab", "lines.txt"], "give --output to build"),
        (["vocab", "--output", "v.txt"], "nothing to count. Give index files"),
        (["vocab", "--vocab-path", "v.txt"], "nothing to count. Give index files"),
        (["vocab", "lines.txt", "--output", "v.txt", "--diff", "w.txt"], "give that, too"),
        (["split", "lines.txt", "--output-dir", "s", "--val-fraction", "1"], "must be positive"),
        (["split", "lines.txt", "--output-dir", "s", "--group-by", "week"], "finds nothing in 4"),
        (["split", "lines.txt", "--output-dir", "s", "--group-by", "("], "group pattern '('"),
        (
            ["split", "lines.txt", "--output-dir", "s", "--group-by", "(lines|png)"],
            "nothing left for val, test. Give lines of more groups, or leave parts out: "
            "--val-fraction 0, --test-fraction 0.",
        ),
        (["convert", "gone", "out"], "gone: no such file or folder"),
        (["doctor", "gone.txt", "--fix", "out"], "gone.txt: unreadable_index"),
        (["synth", "--out", "s", "-n", "2", "--lexicon", "day0"], "day0: no lexicon"),
        # a file where a folder should be
        (["vocab", "lines.txt", "--output", "lines.txt/v.txt"], "v.txt: cannot be written"),
        (
            [
                *("split", "lines.txt", "--output-dir", "lines.txt/s"),
                *("--val-fraction", "0.5", "--test-fraction", "0"),
            ],
            "s: cannot be written",
        ),
        (["doctor", "lines.txt", "--fix", "lines.txt/out"], "out: cannot be written"),
        *(
            (["convert", "lines.txt", f"lines.txt/{name}"], "cannot be written")
            for name in ("out", "a.lmdb", "a.parquet", "a.txt")
        ),
    ],
)
def test_mistakes_end_in_one_message_and_a_code(data, arguments, message, monkeypatch):
    before = sorted(data.parent.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["crnnkit", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert message in str(stop.value.code)
    assert "\n  File" not in str(stop.value.code)
    assert sorted(data.parent.rglob("*")) == before


def test_output_is_utf_8_where_the_system_writes_files_otherwise(data, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    monkeypatch.setattr(sys, "argv", ["crnnkit", "doctor", "lines.txt"])
    with pytest.raises(SystemExit):
        cli.main()
    sys.stdout.flush()
    assert "█" in written.getvalue().decode("utf-8")


def test_doctor_ends_with_an_error_code_where_there_are_errors(data):
    code, printed = run("doctor", data)
    assert code == 0
    assert "0 errors, 0 warnings, 0 repaired on reading" in printed
    data.write_text(data.read_text(encoding="utf-8") + "gone.png\tx\n", encoding="utf-8")
    code, printed = run("doctor", data)
    assert code == 1
    assert "lines.txt:5" in printed


def test_doctor_prints_20_faults_or_all(data):
    data.write_text("no tab\n" * 30, encoding="utf-8")
    assert run("doctor", data)[1].count("missing_tab: ") == 20
    assert run("doctor", data, "--all")[1].count("missing_tab: ") == 30


def test_doctor_tells_nothing_of_a_set_without_lines_but_why(tmp_path):
    code, printed = run("doctor", tmp_path / "trian.txt")
    assert code == 1
    assert printed.startswith("lines without error:")
    assert "trian.txt" in printed


def test_doctor_shows_what_the_set_consists_of(data):
    _, printed = run("doctor", data, "--rare_below", 2)
    assert "4 lines, 4 texts" in printed
    assert re.search(r"\n +2–3 █+ 2\n", printed)
    assert "in fewer than 2 lines: '北'×1 '京'×1 'B'×1 'A'×1 '0'×1 ' '×1" in printed


def test_doctor_fix_writes_a_new_index_and_tells_what_it_left_out(data):
    content = data.read_text(encoding="utf-8").replace("\t01\n", "\t01 \r\n")
    data.write_bytes(b"\xef\xbb\xbf" + content.encode())
    code, printed = run("doctor", data, "--fix", "fixed")
    assert code == 0
    assert "Wrote fixed/lines.txt: 4 lines\n" in printed
    assert "Repaired: 1 bom, 1 crlf, 1 outer_space (fixed/changes.txt)" in printed
    assert "Left out: 0 lines, nothing (fixed/left_out.txt)" in printed
    assert [line.text for line in read_index("fixed/lines.txt")] == ["01", "AB 12", "北京", "2"]

    data.write_text(content + "gone.png\tx\n", encoding="utf-8")
    code, printed = run("doctor", data, "--fix", "again")
    assert code == 1
    assert "Left out: 1 line, 1 missing_image (again/left_out.txt)" in printed
    assert run("doctor", "again/lines.txt")[0] == 0


def test_split_deals_out_by_text_or_by_a_group_of_the_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = []
    for number in range(60):
        image = tmp_path / f"img/doc{number % 10}_{number}.png"
        write_image(image, np.full((16, 30), number, np.uint8))
        lines.append(Line(image, f"text {number % 20}", number + 1))
    write_index(Path("all.txt"), lines)
    code, printed = run("split", "all.txt", "--output-dir", "a", "--group-by", r"(doc\d)_")
    assert code == 0
    assert "Wrote a/train.txt: 48 lines, 8 groups, 16 texts; 0 lines with a text that" in printed
    parts = {name: read_index(f"a/{name}.txt") for name in ("train", "val", "test")}
    documents = [{line.image.name[:4] for line in part} for part in parts.values()]
    assert [len(names) for names in documents] == [8, 1, 1]
    assert len(set.union(*documents)) == 10

    code, printed = run("split", "all.txt", "--output_dir", "b", "--test_fraction", 0)
    assert "Wrote b/train.txt: 54 lines, 18 groups, 18 texts" in printed
    assert (
        "Wrote b/val.txt: 6 lines, 2 groups, 2 texts; 0 lines with a text that train has" in printed
    )
    assert sorted(path.name for path in Path("b").iterdir()) == ["train.txt", "val.txt"]
    run("split", "all.txt", "--output-dir", "c", "--test-fraction", 0, "--seed", 2)
    assert Path("c/val.txt").read_text() != Path("b/val.txt").read_text()


def test_split_tells_how_many_texts_are_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = []
    for number in range(4):
        image = tmp_path / f"day{number}.png"
        write_image(image, np.full((16, 30), number, np.uint8))
        lines.append(Line(image, "equal", number + 1))
    write_index(Path("all.txt"), lines)
    fractions = ("--val-fraction", 0.5, "--test-fraction", 0)
    _, printed = run("split", "all.txt", "--output-dir", "s", "--group-by", r"day\d", *fractions)
    assert "s/val.txt: 2 lines, 2 groups, 1 text; 2 lines with a text that train has" in printed


def test_convert_ends_with_an_error_code_where_samples_were_left_out(data):
    code, printed = run("convert", data, "lines.parquet")
    assert code == 0
    assert printed == "Wrote lines.parquet: 4 lines\n"
    data.write_text(data.read_text(encoding="utf-8") + "gone.png\tx\n", encoding="utf-8")
    code, printed = run("convert", data, "lines.lmdb")
    assert code == 1
    assert "Wrote lines.lmdb: 4 lines\n" in printed
    assert "Left out: 1 sample, named in lines.lmdb.left_out.txt\n" in printed
    assert "lines.txt:5: missing_image: no file 'gone.png'" in printed


def test_convert_adds_to_an_index_what_it_lacks(data):
    assert run("convert", data, "train.txt") == (0, "Wrote train.txt: 4 lines\n")
    told = "Wrote train.txt: 0 lines, 4 more were there already\n"
    assert run("convert", data, "train.txt") == (0, told)


def test_vocab_builds_and_shows_what_is_missing(data, tmp_path):
    code, printed = run("vocab", data, "--output", tmp_path / "v.txt")
    assert code == 0
    assert "8 characters from 4 lines" in printed
    Vocab("012AB ").save(tmp_path / "small.txt")
    _, printed = run("vocab", data, "--vocab_path", tmp_path / "small.txt")
    assert "'北'×1" in printed
    assert "80.00%" in printed
    assert "1 of 4 lines cannot be written" in printed


def test_vocab_merges_and_compares(data):
    Vocab("BA京").save("base.txt")
    Vocab("xB").save("other.txt")
    merge = ("--merge", "base.txt", "--merge", "other.txt")
    assert run("vocab", *merge, "--output", "both.txt")[1].startswith("Wrote both.txt: 4 char")
    assert Vocab.load("both.txt").charset == "BA京x"
    run("vocab", data, "--merge", "base.txt", "--output", "more.txt")
    assert Vocab.load("more.txt").charset == "BA京 012北"
    _, printed = run("vocab", "--vocab-path", "more.txt", "--diff", "other.txt")
    assert "more.txt: 8 characters, 7 of them alone: A京 012北" in printed
    assert "other.txt: 2 characters, 1 of them alone: x" in printed
    assert "Shared: 1, in the same order" in printed
    Vocab("京B").save("turned.txt")
    _, printed = run("vocab", "--vocab-path", "base.txt", "--diff", "turned.txt")
    assert "Shared: 2, in another order" in printed


def test_confident_readings_join_the_labels_but_not_those_of_test_lines(data, monkeypatch):
    def read_line(source):
        return LineReading("01" if source.shape[1] % 2 else "北京", 0.9, (), ())

    reader = SimpleNamespace(read_line=read_line)
    monkeypatch.setattr(Recognizer, "load", lambda path, num_threads=None: reader)
    lines = read_index(data)
    write_index("train.txt", lines[:1])
    write_index("test.txt", lines[1:2])
    command = ("label", ".", "--train_data", "train.txt", "--model_path", "best.onnx")
    command += ("--without", "test.txt", "--output", "more.txt")
    code, printed = run(*command, "--min-confidence", 0.9)
    assert code == 0
    assert "2 pictures read with confidence ≥ 0.9, 0 less surely, 0 as nothing" in printed
    assert "Wrote more.txt: 1 label and 2 readings that nobody checked" in printed
    written = read_index("more.txt")
    assert {line.image for line in written} == {lines[n].image for n in (0, 2, 3)}
    assert written[0].text == lines[0].text
    with pytest.raises(ConfigError, match="more.txt: exists already"):
        run(*command)
    with pytest.raises(DatasetError, match="tset.txt"):
        run(*command[:-1], "new.txt", "--without", "tset.txt")
    assert not Path("new.txt").exists()
