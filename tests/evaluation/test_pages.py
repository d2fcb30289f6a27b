"""The report's files: they hold the numbers, show any text as it is, and need nothing else."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from crnnkit.dataset.index import Line
from crnnkit.errors import DatasetError
from crnnkit.evaluation.pages import Piece, mark_differences, write_report
from crnnkit.evaluation.report import evaluate
from crnnkit.evaluation.suspects import Suspect
from crnnkit.evaluation.verdict import verdict
from crnnkit.finetuning.history import EpochResult
from crnnkit.preprocessing.images import write_image


class Page(HTMLParser):
    """What a browser would fetch and show."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags, self.sources, self.words, self.open = [], [], [], []
        self.feed(content)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def page_of(files):
    return Page(files.html.read_text(encoding="utf-8"))


def epochs(number):
    return [
        EpochResult(e, 2 / e, 1 / e, 2.5 / e, 0.9 / e, 1 - 0.9 / e, 1e-3, 250.0, 30.0 * e)
        for e in range(1, number + 1)
    ]


@pytest.fixture
def reports(evaluate_texts):
    """One line mended, one broken, one wrong all along, one right all along."""
    texts = ["GL-2024", "A10", "北京市", "B20"]
    before = evaluate_texts(texts, ["GL-2O24", "A10", "北市", "B20"], name="base.onnx")
    after = evaluate_texts(
        texts,
        ["GL-2024", "A1", "北 京", "B20"],
        confidences=[0.9, 0.6, 0.8, 0.9],
        name="best.onnx",
        key_fields={"number": r"[AB]\d+"},
        train_texts=["A10"],
    )
    return before, after


def test_the_json_holds_every_number_and_line(reports, tmp_path):
    before, after = reports
    files = write_report(tmp_path / "run", after, before, epochs(2))
    content = json.loads(files.json.read_text(encoding="utf-8"))
    assert content["format_version"] == 2
    assert content["verdict"]["is_ready"] is False
    assert content["after"]["cer"] == pytest.approx(3 / 16)
    assert content["after"]["num_exact"] == 2
    assert content["after"]["fields"]["number"]["accuracy"] == 0.5
    assert ["", " ", 1] in content["after"]["confusions"]
    assert content["after"]["folded"]["space"]["num_edits"] == 2
    assert content["after"]["by_text"]["num_texts"] == 4
    assert content["after"]["by_length"]["1–5"]["num_exact"] == 1
    assert sum(part["num_lines"] for part in content["after"]["by_width"].values()) == 4
    assert content["after"]["by_seen"]["unseen"]["num_exact"] == 2
    assert content["after"]["by_frequency"]["0"]["recall"] == pytest.approx(10 / 11)
    assert content["after"]["repeats"] == {"num_characters": 0, "num_right": 0, "recall": None}
    assert content["after"]["exact_interval"][0] < 0.5 < content["after"]["exact_interval"][1]
    assert content["before"]["model"] == "base.onnx"
    assert content["comparison"]["num_broken"] == 1
    assert content["comparison"]["exact_p_value"] == 1
    assert [epoch["val_cer"] for epoch in content["history"]] == [0.9, 0.45]
    line = content["after"]["lines"][1]
    assert (line["reference"], line["hypothesis"], line["confidence"]) == ("A10", "A1", 0.6)
    # relative to the report, so that both can move
    assert line["image"] == "../lines/1.png"


def test_the_json_holds_what_confidences_are_worth(evaluate_texts, tmp_path):
    texts = [f"N{i:03}" for i in range(200)]
    read, sure = [*texts[:149], *["X"] * 51], [0.9] * 150 + [0.4] * 50
    files = write_report(tmp_path, evaluate_texts(texts, read, confidences=sure))
    content = json.loads(files.json.read_text(encoding="utf-8"))["after"]["confidence"]
    assert content["calibration_error"] == pytest.approx(0.75 * (149 / 150 - 0.9) + 0.25 * 0.4)
    assert [b["num_lines"] for b in content["reliability"]] == [50, 150]
    point = content["accept_for_precision"]["0.99"]
    assert (point["threshold"], point["num_accepted"], point["num_errors"]) == (0.9, 150, 1)
    assert point["interval"][0] < point["precision"] < point["interval"][1]
    assert content["accept_for_precision"]["0.995"] is None


def suspect_of(report, loss):
    return Suspect(report.lines[1].image, "A10", "A1 ", 0.9, loss, 0.1)


def test_labels_to_check_are_in_every_file_with_their_picture(reports, tmp_path):
    files = write_report(tmp_path, reports[1], suspects=[suspect_of(reports[1], float("inf"))])
    assert files.suspects.read_text(encoding="utf-8").splitlines() == [
        *["picture\tlabel\tread\tdoubt\tloss", "lines/1.png\tA10\tA1 \t0.905\tinf"]
    ]
    assert "## Labels to check" in files.markdown.read_text(encoding="utf-8")
    page = page_of(files)
    shown = page.text.split("Labels to check")[1]
    assert "labelA10 readA1␣ 1.png · doubt 0.90 · loss inf" in shown
    assert sum(a.get("alt") == "A10" for tag, a in page.tags if tag == "img") == 4  # 3 without


def test_the_page_shows_the_first_labels_to_check_and_the_file_holds_all(reports, tmp_path):
    suspects = [replace(suspect_of(reports[1], 1.0), label=f"L{i}") for i in range(30)]
    files = write_report(tmp_path, reports[1], suspects=suspects)
    assert len(files.suspects.read_text(encoding="utf-8").splitlines()) == 31
    for path in (files.html, files.markdown):
        assert "L23" in path.read_text(encoding="utf-8")
        assert "L24" not in path.read_text(encoding="utf-8")


def test_without_suspects_there_is_no_such_section(reports, tmp_path):
    files = write_report(tmp_path, reports[1])
    assert files.suspects is None
    assert "Labels to check" not in files.html.read_text(encoding="utf-8")
    assert "Labels to check" not in files.markdown.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["html", "markdown"])
@pytest.mark.parametrize(
    "shown",
    [
        "Folded",
        "space+case+width",
        "Texts of training",
        "seen in training",
        "By length",
        "By line width",
        "By character frequency",
        "Accept without a look",
        "Doubled characters right",
        "Expected calibration error",
        "Key field: number",
        "each of 4 texts once",
        "right among accepted",
        "99% precision is not reachable on these lines",
        "exact match +0.0 points",
    ],
)
def test_every_number_has_its_place_in_page_and_markdown(evaluate_texts, tmp_path, form, shown):
    texts = ["GL-2024", "A100", "北京市", "B20", "B20"]
    settings = {"key_fields": {"number": r"[AB]\d+"}, "train_texts": ["A100"]}
    reports = [evaluate_texts(texts, [*texts[:4], read], **settings) for read in ("B2", "20")]
    files = write_report(tmp_path, reports[0], reports[1])
    text = getattr(files, form).read_text(encoding="utf-8").replace("\\", "")
    assert shown in text


def test_confusions_stand_beside_pictures_of_theirs(evaluate_texts, tmp_path):
    read = ["A1O", "O2", "B3", "O4", "O5"]
    page = page_of(write_report(tmp_path, evaluate_texts(["A10", "02", "B3", "04", "05"], read)))
    examples = [a for tag, a in page.tags if tag == "img" and "read as" in a.get("title", "")]
    # three at most, of the lines in which 0 was read as O
    assert [a["title"] for a in examples] == [
        *["A10 read as A1O", "02 read as O2", "04 read as O4"]
    ]
    assert all(a["src"].startswith("data:image/jpeg") for a in examples)


def test_confidences_are_shown_as_a_figure(reports, tmp_path):
    page = page_of(write_report(tmp_path, reports[1]))
    (figure,) = (a for tag, a in page.tags if a.get("alt", "").startswith("Confidence against"))
    assert base64.b64decode(figure["src"].split(",")[1]).lstrip().startswith(b"<?xml")


def test_the_page_is_readable_in_the_dark(reports, tmp_path):
    style = write_report(tmp_path, reports[1]).html.read_text(encoding="utf-8")
    dark = style[style.index("prefers-color-scheme: dark") :].split("</style>")[0]
    light = style.split("prefers-color-scheme: dark")[0]
    # every colour is a name that both palettes define, but the light ground of figures
    names = set(re.findall(r"(--\w+):", light))
    assert names == set(re.findall(r"(--\w+):", dark))
    rules = dark.split("}", 2)[2]
    assert re.findall(r"#[0-9a-f]{3,6}\b", rules) == ["#fff"]


def test_the_page_needs_nothing_but_itself(reports, tmp_path):
    before, after = reports
    page = page_of(write_report(tmp_path / "run", after, before, epochs(3)))
    assert page.open == []
    assert len(page.sources) >= 5
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]
    style = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_shows_the_pictures_of_wrong_lines(reports, tmp_path):
    page = page_of(write_report(tmp_path / "run", reports[1]))
    crops = [a for tag, a in page.tags if tag == "img"]
    # two wrong lines of one and two errors, each also among the worst and the sure
    texts = sorted(crop["alt"] for crop in crops if crop["class"] == "crop")
    assert texts == ["A10"] * 3 + ["北京市"] * 4
    shown = Image.open(io.BytesIO(base64.b64decode(crops[-1]["src"].split(",")[1])))
    assert shown.size == Image.open(reports[1].lines[1].image).size


def test_wrong_characters_are_marked_on_both_sides(reports, tmp_path):
    content = write_report(tmp_path, reports[1]).html.read_text(encoding="utf-8")
    # A10 read as A1 and 北京市 read as 北 京, each shown twice: a space must be seen too
    assert sorted(re.findall("<mark>(.*?)</mark>", content)) == sorted(["0", "市", "␣"] * 2)
    assert content.count('<mark class="gap"') == 6


def test_large_pictures_are_scaled_down(tmp_path, make_line, table_recognizer):
    path = tmp_path / "0.png"
    write_image(path, make_line("A" * 20, height=300))
    report = evaluate(table_recognizer({"0": "B"}), [Line(path, "A" * 20, 1)])
    page = page_of(write_report(tmp_path, report))
    crop = next(a["src"] for tag, a in page.tags if a.get("class") == "crop")
    width, height = Image.open(io.BytesIO(base64.b64decode(crop.split(",")[1]))).size
    assert width <= 900
    assert height <= 64


def test_the_page_says_the_verdict_in_words(reports, evaluate_texts, tmp_path):
    page = page_of(write_report(tmp_path / "bad", reports[1]))
    assert "Not ready to go live CER 18.75% ≥ 5%" in page.text
    assert "key field number 50.0% < 95%" in page.text
    texts = [f"N{i:03}" for i in range(30)]
    page = page_of(write_report(tmp_path / "good", evaluate_texts(texts, texts)))
    assert "Ready to go live CER 0.00%, 95% interval up to 3.10%, < 5%" in page.text
    assert "Every line is read right." in page.text


def test_a_verdict_of_ones_own_is_shown(reports, tmp_path):
    decision = verdict(reports[1], max_cer=0.1, min_field_accuracy=0.5)
    page = page_of(write_report(tmp_path, reports[1], decision=decision))
    assert "Not ready to go live CER 18.75% ≥ 10%" in page.text


def test_the_page_says_when_fine_tuning_made_it_worse(reports, tmp_path):
    before, after = reports
    page = page_of(write_report(tmp_path, after, before))
    assert "WORSE after than before" in page.text
    assert ("li", {"class": "worse"}) in page.tags
    assert "Broken by fine-tuning 1 line right before and wrong now" in page.text
    assert "Mended by fine-tuning 1 line wrong before and right now" in page.text


def test_the_learning_curve_is_a_picture_only_where_there_was_training(reports, tmp_path):
    def curves(history):
        page = page_of(write_report(tmp_path, reports[1], history=history))
        return [a["src"] for tag, a in page.tags if a.get("alt", "").startswith("Loss and")]

    assert curves([]) == []
    (curve,) = curves(epochs(3))
    assert base64.b64decode(curve.split(",")[1]).lstrip().startswith(b"<?xml")


def test_the_page_marks_the_epoch_that_was_kept_not_the_lowest_one(reports, tmp_path):
    page = page_of(write_report(tmp_path, reports[1], history=epochs(3), kept_epoch=2))
    curve = next(a["src"] for _, a in page.tags if a.get("alt", "").startswith("Loss and"))
    assert b"<!-- kept: epoch 2, CER 45.00% -->" in base64.b64decode(curve.split(",")[1])
    assert "chose the epoch that was kept: 2." in page.text
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert content["kept_epoch"] == 2


HOSTILE = ['<script>alert("A")</script>', "a|b", "`x` _y_ *z*", "& &amp;", "$1 $2", "[A](B)"]


def test_texts_are_shown_as_they_are_never_as_markup(evaluate_texts, tmp_path):
    files = write_report(tmp_path, evaluate_texts(HOSTILE, ["?"] * len(HOSTILE)))
    page = page_of(files)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    for text in HOSTILE:
        assert text in [a.get("alt") for tag, a in page.tags if tag == "img"]
    rows = files.markdown.read_text(encoding="utf-8").splitlines()
    worst = [row for row in rows if ".png" in row]
    assert len(worst) == len(HOSTILE)
    for row in worst:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5  # four cells
        assert not re.findall(r"(?<!\\)[`*_<\[$]", row)


def test_the_markdown_says_the_verdict_and_the_numbers(reports, tmp_path):
    before, after = reports
    text = write_report(tmp_path, after, before).markdown.read_text(encoding="utf-8")
    assert text.startswith("# best.onnx: not ready: CER 18.75% ≥ 5%")
    assert (
        "| Lines exactly right | 50.0%, 2 of 4 (0.0% – 100.0%) | 50.0%, 2 of 4 (0.0% – 100.0%) |"
        in text
    )
    assert "| Key field: number | – | 50.0% |" in text
    assert "| ∅ | ␣ | 1 |" in text


def test_a_report_of_a_failure_leaves_nothing_half_written(reports, evaluate_texts, tmp_path):
    other = evaluate_texts(["Z"], ["Z"])
    with pytest.raises(DatasetError, match="different lines"):
        write_report(tmp_path / "run", reports[1], other)
    assert not (tmp_path / "run").exists()
    write_report(tmp_path / "run", reports[1])
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["report.html", "report.json", "report.md"]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "printed", "read"),
    [
        ("AB", "AB", [("AB", False)], [("AB", False)]),
        # a substitution between two right stretches
        (
            "G0L",
            "GOL",
            [("G", False), ("0", True), ("L", False)],
            [("G", False), ("O", True), ("L", False)],
        ),
        # a character left out, and one too many: the other side has an empty wrong piece
        ("AB", "A", [("A", False), ("B", True)], [("A", False), ("", True)]),
        ("A", "AB", [("A", False), ("", True)], [("A", False), ("B", True)]),
        ("AB", "", [("AB", True)], [("", True)]),
    ],
)
def test_differences_are_marked_in_step(reference, hypothesis, printed, read):
    expected = ([Piece(*p) for p in printed], [Piece(*p) for p in read])
    assert mark_differences(reference, hypothesis) == expected


def test_a_page_is_the_same_for_the_same_numbers(reports, tmp_path):
    first = write_report(tmp_path / "a", reports[1]).html.read_bytes()
    assert write_report(tmp_path / "b", reports[1]).html.read_bytes() == first
