"""Import against reference networks and preprocessing written from their descriptions alone."""

import os
import pickle
import re
import zipfile
from itertools import groupby

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from crnnkit.cli import app as cli
from crnnkit.dataset.index import Line, write_index
from crnnkit.errors import CheckpointError, ConfigError, VocabError
from crnnkit.model import foreign
from crnnkit.model.checkpoint import save_checkpoint
from crnnkit.model.foreign import import_checkpoint
from crnnkit.preprocessing.images import write_image
from crnnkit.serving import export
from crnnkit.serving.recognizer import Recognizer

CHARSET = "0123456789AB 北京市"


class BiLSTM(nn.Module):
    def __init__(self, num_in, num_out):
        super().__init__()
        self.rnn = nn.LSTM(num_in, 256, bidirectional=True)
        self.embedding = nn.Linear(512, num_out)

    def forward(self, x):
        return self.embedding(self.rnn(x)[0])


def conv(num_in, num_out, kernel=3, stride=1, padding=1):
    layers = nn.Conv2d(num_in, num_out, kernel, stride, padding), nn.BatchNorm2d(num_out)
    return [*layers, nn.ReLU()]


class ModelScopeReference(nn.Module):
    """(N, 3, 32, W) RGB in [0, 1] → logits (N, T, classes)."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv0 = nn.Sequential(*conv(1, 64))
        self.conv1 = nn.Sequential(*conv(64, 128))
        self.conv2 = nn.Sequential(*conv(128, 256), *conv(256, 256))
        self.conv3 = nn.Sequential(*conv(256, 512), *conv(512, 512))
        self.conv4 = nn.Sequential(*conv(512, 512, (2, 1), (2, 1), 0))
        self.rnn = nn.Sequential(BiLSTM(512, 256), BiLSTM(256, 512))
        self.cls = nn.Linear(512, num_classes, bias=False)

    def forward(self, images):
        x = 0.2989 * images[:, :1] + 0.5870 * images[:, 1:2] + 0.1140 * images[:, 2:]
        x = nn.functional.max_pool2d(self.conv0(x), 2, 2)
        x = nn.functional.max_pool2d(self.conv1(x), 2, 2)
        x = nn.functional.max_pool2d(self.conv2(x), (2, 1), (2, 1))
        x = self.conv4(nn.functional.max_pool2d(self.conv3(x), (2, 1), (2, 1)))
        return self.cls(self.rnn(x.squeeze(2).permute(2, 0, 1))).permute(1, 0, 2)

    @staticmethod
    def prepare(image):
        rgb = image if image.ndim == 3 else np.stack([image] * 3, 2)
        height, width = rgb.shape[:2]
        padded = np.zeros((32, 640, 3))
        if width / height > 20:
            padded[:] = cv2.resize(rgb, (640, 32))
        else:
            padded[:, : int(32 * width / height)] = cv2.resize(rgb, (int(32 * width / height), 32))
        return torch.tensor(padded / 255, dtype=torch.float32).permute(2, 0, 1)


class MeijieruReference(nn.Module):
    """(N, 1, 32, W) grey in [-1, 1] → logits (N, T, classes)."""

    def __init__(self, num_classes):
        super().__init__()
        self.cnn = nn.Sequential()
        channels = [1, 64, 128, 256, 256, 512, 512, 512]
        for i in range(7):
            size = {"kernel_size": 2} if i == 6 else {"kernel_size": 3, "padding": 1}
            self.cnn.add_module(f"conv{i}", nn.Conv2d(channels[i], channels[i + 1], **size))
            if i in (2, 4, 6):
                self.cnn.add_module(f"batchnorm{i}", nn.BatchNorm2d(channels[i + 1]))
            self.cnn.add_module(f"relu{i}", nn.ReLU())
            if i in (0, 1):
                self.cnn.add_module(f"pooling{i}", nn.MaxPool2d(2, 2))
            if i in (3, 5):
                self.cnn.add_module(f"pooling{i}", nn.MaxPool2d((2, 2), (2, 1), (0, 1)))
        self.rnn = nn.Sequential(BiLSTM(512, 256), BiLSTM(256, num_classes))

    def forward(self, images):
        return self.rnn(self.cnn(images).squeeze(2).permute(2, 0, 1)).permute(1, 0, 2)

    @staticmethod
    def prepare(image, width=100):
        gray = Image.fromarray(image).convert("L").resize((width, 32), Image.BILINEAR)
        return (torch.tensor(np.array(gray))[None] / 255 - 0.5) / 0.5


def generated(network, inputs):
    """Fill a network with weights that make it say something else of every input."""
    torch.manual_seed(6)
    for name, weights in network.named_parameters():
        if weights.ndim > 1:
            nn.init.xavier_normal_(weights, gain=1 if "weight_hh" in name else 2)
        else:
            nn.init.normal_(weights, 1 if "norm" in name else 0, 0.1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(inputs)  # batch norms note what they see
    return network.eval()


@pytest.fixture(scope="module")
def modelscope():
    """Give blank, 16 characters, and one class for unknown characters."""
    return generated(ModelScopeReference(18), torch.rand(2, 3, 32, 160))


@pytest.fixture(scope="module")
def meijieru():
    return generated(MeijieruReference(17), 2 * torch.rand(2, 1, 32, 160) - 1)


@pytest.fixture
def vocab_path(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("".join(c + "\n" for c in CHARSET), encoding="utf-8")
    return path


@pytest.fixture
def images(make_line):
    colours = np.random.default_rng(0).integers(0, 256, (45, 333, 3), np.uint8)
    return [
        make_line("A1 北京市", ink=40, paper=210),  # grey
        cv2.blur(colours, (5, 5)),  # in colour, scaled down
        make_line("0123456789 AB" * 6, height=24),  # longer than 20:1
        make_line("1", height=90)[:, 20:40],  # higher than wide
    ]


def written(path, weights, rename=lambda name: name):
    torch.save({rename(name): tensor for name, tensor in weights.items()}, path)
    return path


def best_text(logits):
    return "".join(CHARSET[i - 1] for i, _ in groupby(logits.argmax(1).tolist()) if i)


def assert_reads_alike(imported, images, wanted_logits, folder):
    """Compare the logits by which the saved checkpoint reads each picture, and its texts."""
    save_checkpoint(folder / "imported.safetensors", imported.checkpoint)
    recognizer = Recognizer.load(folder / "imported.safetensors")
    network, seen = recognizer.network, []

    def watched(arrays):
        seen.append(network(arrays))
        return seen[-1]

    recognizer.network = watched
    texts = [recognizer.read_line(image).text for image in images]
    for (found,), wanted in zip(seen, wanted_logits, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert texts == [best_text(wanted) for wanted in wanted_logits]
    assert all(texts)
    assert len(set(texts)) == len(images)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,  # the official file
        lambda name: f"recognizer.{name}",  # fine-tuned with ModelScope
        lambda name: f"module.recognizer.{name}",  # by several processes
        lambda name: name.replace(".", ".module.", 1),  # one part of it parallel
    ],
)
def test_modelscopes_network_reads_as_its_description_says(
    rename, modelscope, vocab_path, images, tmp_path
):
    path = written(tmp_path / "pytorch_model.pt", modelscope.state_dict(), rename)
    images = images if rename("a") == "a" else images[1:2]  # all pictures once
    with torch.inference_mode():
        wanted = [modelscope(modelscope.prepare(image)[None])[0] for image in images]
    assert (wanted[0].argmax(1) == 17).any()  # unknown: never to be read
    imported = import_checkpoint(path, vocab_path)
    assert imported.has_unknown
    assert_reads_alike(imported, images, [logits[:, :17] for logits in wanted], tmp_path)


@pytest.mark.parametrize(
    ("width", "widths"),
    [
        (None, [100, 100, 100, 100]),  # stretched
        (280, [280, 280, 280, 280]),
        (0, [None, 236, None, 32]),  # aspect kept, but at least 32
    ],
)
def test_meijierus_network_reads_as_its_code_says(
    width, widths, meijieru, vocab_path, images, tmp_path
):
    widths = [w or int(32 * i.shape[1] / i.shape[0]) for w, i in zip(widths, images, strict=True)]
    with torch.inference_mode():
        prepared = [meijieru.prepare(i, w)[None] for i, w in zip(images, widths, strict=True)]
        wanted = [meijieru(image)[0] for image in prepared]
    path = written(tmp_path / "crnn.pth", meijieru.state_dict())
    imported = import_checkpoint(path, vocab_path, width)
    assert not imported.has_unknown
    assert_reads_alike(imported, images, wanted, tmp_path)


# ---------------------------------------------------------------- what is kept, what is refused


@pytest.fixture(scope="module")
def hollow():
    """ModelScope's weights, all zero, in a file of a few kilobytes."""
    with torch.device("meta"):
        shapes = ModelScopeReference(18).state_dict()
    return {name: torch.zeros((), dtype=t.dtype).expand(t.shape) for name, t in shapes.items()}


def test_the_official_file_has_the_documented_size(hollow, tmp_path):
    characters = [chr(0x4E00 + i) for i in range(7642)]
    (tmp_path / "vocab.txt").write_text("\n".join(characters) + "\n", encoding="utf-8")
    weights = hollow | {"cls.weight": torch.zeros(()).expand(7644, 512)}
    imported = import_checkpoint(written(tmp_path / "a.pt", weights), tmp_path / "vocab.txt")
    num_parameters = sum(p.numel() for p in imported.checkpoint.model.parameters())
    assert len(weights) == 70
    assert num_parameters == 11_966_336 - 512  # without the unknown characters' class
    assert imported.checkpoint.info.charset == "".join(characters)
    assert imported.checkpoint.info.model.time_steps(640) == 160


def test_classes_of_repeated_and_not_normalised_lines_are_left_out(hollow, tmp_path):
    # the full-width space is never trained, of equal lines only the last one
    (tmp_path / "vocab.txt").write_text("a\nb\n\u3000\n \na\n京\n", encoding="utf-8")
    head = torch.arange(7.0)[:, np.newaxis].expand(7, 512)
    path = written(tmp_path / "a.pt", hollow | {"cls.weight": head})
    imported = import_checkpoint(path, tmp_path / "vocab.txt")
    assert imported.checkpoint.info.charset == "b a京"
    assert imported.checkpoint.model.head.weight[:, 0].tolist() == [0, 2, 4, 5, 6]
    assert (imported.left_out, imported.has_unknown) == ("a\u3000", False)
    assert "2 lines are left out (U+0061 U+3000)" in str(imported)


def test_a_file_older_than_the_counters_of_batch_norm_is_taken(hollow, vocab_path, tmp_path):
    weights = {name: t for name, t in hollow.items() if "num_batches" not in name}
    imported = import_checkpoint(written(tmp_path / "a.pt", weights), vocab_path)
    assert imported.checkpoint.model.convs[0].norm.num_batches_tracked == 0


def _without(weights, *names):
    return {name: tensor for name, tensor in weights.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        # several at once, each by its own name in the file
        (
            lambda w: _without(w, "conv3.3.bias", "rnn.0.rnn.bias_hh_l0_reverse", "cls.weight"),
            ["3 weights", "conv3.3.bias is", "rnn.0.rnn.bias_hh_l0_reverse is", "cls.weight is"],
        ),
        (lambda w: _without(w, "conv2.4.num_batches_tracked"), ["num_batches_tracked is missing"]),
        (lambda w: w | {"cls.bias": torch.zeros(18)}, ["1 weights", "cls.bias is not known"]),
        (
            lambda w: w | {"conv0.0.weight": torch.zeros(64, 3, 3, 3)},
            [r"conv0.0.weight has shape \(64, 3, 3, 3\), expected \(64, 1, 3, 3\)"],
        ),
        (lambda w: w | {"cls.weight": torch.zeros(())}, [r"cls.weight has shape \(\), expected"]),
        (lambda w: {"state_dict": w, "epoch": 3}, ["no plain tensors: state_dict, epoch"]),
        (lambda w: w | {"conv0.0.bias": [0.0] * 64}, ["no plain tensors: conv0.0.bias"]),
        (lambda w: w | {"module.conv0.0.bias": w["conv0.0.bias"]}, ["without.*: conv0.0.bias"]),
        (
            lambda w: w | {"conv4.1.bias": torch.full((512,), torch.nan)},
            ["conv4.1.bias holds .* not finite"],
        ),
        (lambda w: {"cnn_model.norm.weight": w["conv0.0.bias"]}, ["neither.*cnn_model.norm.we"]),
        (lambda w: {}, ["neither .* nor crnn.pytorch.*nothing"]),
        (lambda w: list(w.values()), ["holds a list"]),
    ],
)
def test_weights_that_do_not_fit_are_named(change, messages, hollow, vocab_path, tmp_path):
    torch.save(change(dict(hollow)), tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as error:
        import_checkpoint(tmp_path / "a.pt", vocab_path)
    for message in ["a.pt: ", *messages]:
        assert re.search(message, str(error.value))


@pytest.mark.parametrize("num_classes", [16, 19])
def test_a_vocabulary_of_another_network_is_refused(num_classes, hollow, vocab_path, tmp_path):
    weights = hollow | {"cls.weight": torch.zeros(()).expand(num_classes, 512)}
    path = written(tmp_path / "a.pt", weights)
    with pytest.raises(VocabError, match=rf"vocab.txt: 16 characters, .*has {num_classes} classes"):
        import_checkpoint(path, vocab_path)
    vocab_path.write_text("ab\nc\n", encoding="utf-8")
    with pytest.raises(VocabError, match="line 1: 'ab'"):
        import_checkpoint(path, vocab_path)


def test_a_width_is_for_the_network_that_has_none(hollow, vocab_path, tmp_path):
    path = written(tmp_path / "a.pt", hollow)
    with pytest.raises(ConfigError, match="ModelScope CRNN takes lines of 640 px"):
        import_checkpoint(path, vocab_path, width=320)


def deflated(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", content)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path, _: torch.save({"a": Bomb(path.with_name("ran"))}, path), "GLOBAL .*system"),
        (
            lambda path, _: path.write_bytes(pickle.dumps(Bomb(path.with_name("ran")), 2)),
            "GLOBAL .*system",
        ),
        (lambda path, whole: path.write_bytes(whole[: len(whole) // 2]), "no readable"),
        (lambda path, _: path.write_text("weights"), "no readable"),
        (lambda path, _: path.write_bytes(b""), "no readable"),
        (lambda path, _: path.mkdir(), "no such file"),
        (lambda path, _: path.write_bytes(b"0" * (1 << 20)), "1048576 bytes; at most 1000000"),
        (lambda path, _: deflated(path, b"0" * (1 << 20)), "1048576 bytes; at most 1000000"),
    ],
)
def test_files_of_another_kind_are_refused_and_never_run(
    make, message, hollow, vocab_path, tmp_path, monkeypatch
):
    monkeypatch.setattr(foreign, "MAX_FILE_BYTES", 1_000_000)
    whole = written(tmp_path / "whole.pt", hollow).read_bytes()
    make(tmp_path / "a.pt", whole)
    with pytest.raises(CheckpointError, match=f"a.pt: .*{message}") as refused:
        import_checkpoint(tmp_path / "a.pt", vocab_path)
    assert "weights_only" not in str(refused.value), "torch's advice would run what is in it"
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------- an ordinary checkpoint


def run(*arguments):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["modelscope", "meijieru"])
def test_an_imported_network_is_tuned_exported_and_served_like_any_other(
    name, request, vocab_path, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(export, "PARITY_BATCHES", (2,))
    monkeypatch.setattr(export, "PARITY_WIDTHS", (64, 100))
    weights = written(tmp_path / "a.pt", request.getfixturevalue(name).state_dict())
    base, out = tmp_path / "base.safetensors", tmp_path / "run"
    printed = run("import", weights, "--vocab", vocab_path, "--output", base)
    assert "vocabulary: 16 characters kept" in printed
    lines = []
    for number, (image, text) in enumerate(zip(images[:2], ["A1 北", "12沪"], strict=True), 1):
        write_image(tmp_path / f"{number}.png", image)
        lines.append(Line(tmp_path / f"{number}.png", text, number))
    data = tmp_path / "lines.txt"
    write_index(data, lines)
    settings = ("--epochs", 2, "--epoch-lines", 4, "--batch_size", 2)
    # a network of random weights finds lines upside down by chance
    settings += ("--precision", "float32", "--num-threads", 1, "--turn", "never")
    files = ("--train_data", data, "--val_data", data, "--output_dir", out)
    printed = run("train", *files, "--pretrained_ckpt", base, *settings)
    assert "16 kept, 1 new (沪), 0 dropped" in printed
    printed = run("evaluate", "--model_path", out / "best.onnx", "--test_data", data)
    assert "Average CER" in printed
    tuned, served = Recognizer.load(out / "best.safetensors"), Recognizer.load(out / "best.onnx")
    assert served.line_config == tuned.line_config == Recognizer.load(base).line_config
    texts = [reading.text for reading in served.read_lines(images)]
    assert texts == [reading.text for reading in tuned.read_lines(images)]
