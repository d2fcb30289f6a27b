import importlib
import json
import re
import sys
from collections import Counter
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from crnnkit.cli import app as cli
from crnnkit.cli import reading
from crnnkit.dataset.index import Line, write_index
from crnnkit.finetuning import start
from crnnkit.model.checkpoint import new_checkpoint, read_info, save_checkpoint
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage
from crnnkit.model.language import Language
from crnnkit.preprocessing.images import write_image
from crnnkit.vocab import Vocab

TINY = ModelConfig(stages=(Stage(8, (4, 2)), Stage(12, (4, 2))), bottleneck=8, lstm_hidden=6)


@pytest.fixture
def data(tmp_path, make_line, monkeypatch):
    """Write an index of four lines, and let training build a tiny network."""
    monkeypatch.setattr(start, "FROM_NOTHING", replace(TINY, dropout=start.FROM_NOTHING.dropout))
    lines = []
    for number, text in enumerate(("01", "AB 12", "北京", "2"), 1):
        image = tmp_path / f"{number}.png"
        write_image(image, make_line(text))
        lines.append(Line(image, text, number))
    write_index(tmp_path / "lines.txt", lines)
    return tmp_path / "lines.txt"


def run(*arguments):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_tutorials_training_and_evaluation_run_as_written(data, tmp_path):
    Vocab.from_texts(["01 AB 12 北京"]).save(tmp_path / "vocab.txt")
    out = tmp_path / "checkpoints"
    code, printed = run(
        *("train", "--train_data", data, "--val_data", data, "--output_dir", out),
        *("--vocab_path", tmp_path / "vocab.txt", "--epochs", 2, "--batch_size", 2),
        *("--lr", 1e-4, "--device", "cpu"),
    )
    assert code == 0
    assert f"Reading the lines of {data}; training follows, for 10 minutes at most" in printed
    number = r"\d+\.\d{3}"
    epoch = (
        rf"Epoch 2/2 \| Loss: {number} \| CER: {number} \| Val Loss: {number} \| Val CER: {number}"
    )
    assert re.search(epoch, printed)
    assert {"best.safetensors", "best.onnx", "history.csv"} <= {p.name for p in out.iterdir()}

    for model in ("best.safetensors", "best.onnx"):
        code, printed = run(
            *("evaluate", "--model_path", out / model, "--test-data", data),
            *("--vocab_path", tmp_path / "vocab.txt"),
        )
        assert code == 0
        assert re.search(r"Accuracy \(exact match\): \d+\.\d%", printed)
        assert re.search(r"Average CER: \d+\.\d%", printed)
        assert re.search(r"Inference Time: \d+\.\d ms per image", printed)
        assert "not ready" in printed.lower()


def test_recognize_and_evaluate_take_a_constraint(data, tmp_path):
    out = tmp_path / "run"
    run(*("train", "--train-data", data, "--val-data", data, "--output-dir", out), "--epochs", 1)
    model = ("--model-path", out / "best.onnx")
    (tmp_path / "words.txt").write_text("AB 12\n", encoding="utf-8")
    for option in (("--pattern", "AB 1[2]"), ("--lexicon", tmp_path / "words.txt")):
        code, printed = run("recognize", tmp_path / "2.png", *model, *option)
        assert code == 0
        assert printed.endswith("\tAB 12\n")
        code, printed = run("evaluate", *model, "--test-data", data, *option)
        assert code == 0
        assert "(exact match): 25.0%" in printed  # one of the four lines says AB 12
    code, printed = run("recognize", tmp_path / "2.png", *model, "--chars", "B")
    assert set(printed.removesuffix("\n").split("\t")[2]) <= {"B"}
    code, printed = run("recognize", tmp_path / "2.png", *model, "--check", "date")
    assert (code, printed.removesuffix("\n").split("\t")[3]) == (0, "broken")


def test_pruning_says_what_it_costs_and_gains(data, tmp_path):
    out = tmp_path / "run"
    run(*("train", "--train-data", data, "--val-data", data, "--output-dir", out), "--epochs", 1)
    whole, pruned = out / "best.safetensors", tmp_path / "pruned.safetensors"
    code, printed = run(
        *("prune", "--model-path", whole, "--output", pruned, "--share", 0.3),
        *("--train-data", data, "--test-data", data),
    )
    assert code == 0
    for path, channels in ((whole, "8, 12"), (pruned, "8, 8")):
        figures = rf"channels {channels}; 0\.\d MB; CER \d+\.\d\d%; \d+\.\d\d ms a line"
        assert re.search(f"^{re.escape(str(path))}: {figures}$", printed, re.MULTILINE)
    assert f"--pretrained-ckpt {pruned}" in printed
    assert [stage.channels for stage in read_info(pruned).model.stages] == [8, 8]


def test_a_vocabulary_other_than_the_models_is_refused(data, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    run(*("train", "--train-data", data, "--val-data", data, "--output-dir", out), "--epochs", 1)
    Vocab("012 AB京北").save(tmp_path / "other.txt")
    arguments = ["evaluate", "--model-path", str(out / "best.onnx"), "--test-data", str(data)]
    monkeypatch.setattr(
        sys, "argv", ["crnnkit", *arguments, "--vocab-path", str(tmp_path / "other.txt")]
    )
    with pytest.raises(SystemExit, match=r"crnnkit: .*other.txt: not the vocabulary of"):
        cli.main()


def test_evaluation_reports_folds_seen_texts_and_labels_to_check(data, tmp_path):
    out = tmp_path / "run"
    run(*("train", "--train-data", data, "--val-data", data, "--output-dir", out), "--epochs", 1)
    code, printed = run(
        *("evaluate", "--model-path", out / "best.onnx", "--test-data", data),
        *("--train-data", data, "--fold", "O=0,I=1", "--fold", "space+case"),
        *("--before", out / "last.safetensors", "--suspects", "--output-dir", out / "report"),
    )
    assert code == 0
    for name in ("Folded by O=0,I=1", "Folded by space[+]case", "Seen in training"):
        assert re.search(rf"^{name}: \d+\.\d% exact, CER \d+\.\d%$", printed, re.MULTILINE), name
    assert "Against last.safetensors: CER the same after as before" in printed
    content = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    assert {"O=0,I=1", "space+case", "width"} <= set(content["after"]["folded"])
    assert content["before"]["model"] == "last.safetensors"
    # the index is given twice, so each doubted label stands there twice
    (num_doubted,) = re.findall(r"^Labels doubted: (\d+) of 8$", printed, re.MULTILINE)
    path = out / "report" / "suspects.tsv"
    rows = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
    images = [row.split("\t")[0] for row in rows]
    assert len(images) == int(num_doubted)
    assert set(Counter(images).values()) <= {2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--model-path", "gone.onnx", "--test-data", "x.txt"], "gone.onnx"),
        (["recognize", "x.png", "--model-path", "model.pth"], "unpickled"),
        (["evaluate", "--model-path", "m", "--test-data", "x", "--suspects"], "--output-dir"),
        ("evaluate --model-path m --test-data x --max-cer 5".split(), "a share from 0 to 1"),
        ("prune --model-path m --output m --train-data x --test-data x".split(), "another name"),
        (["pipeline", "-p", "epoch=1"], "did you mean 'epochs'"),
    ],
)
def test_mistakes_end_in_one_message_and_a_code(arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["crnnkit", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert message in str(stop.value.code)
    assert "\n  File" not in str(stop.value.code)
    assert list(tmp_path.iterdir()) == []


def test_synth_renders_a_set_that_the_doctor_passes(tmp_path):
    out = tmp_path / "mine"
    code, printed = run("synth", "--out", out, "-n", 12, "--pattern", "GL-{n:03}-{A|B}")
    assert code == 0
    assert "11 lines in train.txt, 1 in val.txt" in printed
    assert run("doctor", out / "train.txt", out / "val.txt")[0] == 0


def test_export_cuts_the_head_and_says_what_became_of_int8(data, tmp_path):
    out = tmp_path / "run"
    run(*("train", "--train-data", data, "--val-data", data, "--output-dir", out), "--epochs", 1)
    Vocab("012 AB").save(tmp_path / "chars.txt")
    code, printed = run(
        *("export", "--model-path", out / "best.safetensors", "--output", tmp_path / "small.onnx"),
        *("--parity-data", data, "--charset", tmp_path / "chars.txt", "--int8-data", data),
    )
    assert code == 0
    assert "4 lines read alike" in printed
    assert "2 characters left out: " in printed
    assert re.search(r"small\.onnx (now has int8|stays in float32, because .*) .*MB\)", printed)


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch", "workbook"), ("matplotlib.pyplot", "workbook"), ("fontTools.ttLib", "synth")],
)
def test_a_command_whose_extra_is_not_installed_names_it(module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # also where it has been imported
    monkeypatch.setattr(cli, "app", lambda: importlib.import_module(module))
    with pytest.raises(SystemExit, match=rf"{module.partition('.')[0]}.*crnnkit\[{extra}\]"):
        cli.main()


def test_a_missing_module_of_our_own_stays_a_fault_of_ours(monkeypatch):
    monkeypatch.setattr(cli, "app", lambda: importlib.import_module("crnnkit.nowhere"))
    with pytest.raises(ModuleNotFoundError):
        cli.main()


def test_int8_without_lines_to_judge_it_by_is_refused(data, tmp_path, monkeypatch):
    arguments = ["export", "--model-path", "x.safetensors", "--output", "x.onnx"]
    monkeypatch.setattr(sys, "argv", ["crnnkit", *arguments, "--int8-data", str(data)])
    with pytest.raises(SystemExit, match=r"--int8-data: give --parity-data too"):
        cli.main()


def test_without_language_both_models_read_alone(data, tmp_path, monkeypatch):
    info = CheckpointInfo("AB 12京北", TINY, language=Language({"AB": 2}, 2, 0.3))
    for name in ("after", "before"):
        save_checkpoint(tmp_path / f"{name}.safetensors", new_checkpoint(info))
    asked = []
    monkeypatch.setattr(reading, "_measure", lambda recognizer, **_: asked.append(recognizer))
    monkeypatch.setattr(reading, "_print", lambda *_: None)
    monkeypatch.setattr("crnnkit.evaluation.verdict.verdict", lambda *_: "verdict")
    models = ("--model-path", tmp_path / "after.safetensors")
    models += ("--before", tmp_path / "before.safetensors")
    for options in ((), ("--no-language",)):
        run("evaluate", *models, "--test-data", data, *options)
    assert [recognizer.language is None for recognizer in asked] == [False, False, True, True]
