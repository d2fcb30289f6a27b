"""The commands that make checkpoints."""

import sys
from collections.abc import Iterator
from dataclasses import fields as fields_of
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from crnnkit.cli.reading import NumThreads
from crnnkit.errors import ConfigError

if TYPE_CHECKING:
    from crnnkit.dataset.index import Line
    from crnnkit.finetuning.config import TrainConfig

_TRAINING_BAR = "{l_bar}{bar}| {elapsed} < {remaining}{postfix}"


def train(
    train_data: Annotated[Path, typer.Option(help="Index file of the training lines.")],
    val_data: Annotated[Path, typer.Option(help="Index file that chooses the best epoch.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for checkpoints and history.")],
    vocab_path: Annotated[
        Path | None, typer.Option(help="Vocabulary; default: base's and data's characters.")
    ] = None,
    pretrained_ckpt: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from; default: random weights.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data, at most.")] = 100,
    epoch_lines: Annotated[
        int, typer.Option(help="A smaller training set is repeated in an epoch.", min=1)
    ] = 1300,
    minutes: Annotated[float, typer.Option(help="Wall-clock budget of the epochs.")] = 10.0,
    batch_size: Annotated[int, typer.Option(help="Lines per step.")] = 16,
    lr: Annotated[
        float | None,
        typer.Option(help="Peak learning rate; default: 2e-3, from a base 4e-4."),
    ] = None,
    patience: Annotated[int, typer.Option(help="Epochs without gain that end it; 0: never.")] = 0,
    general_data: Annotated[
        Path | None, typer.Option(help="Folder of general lines, so that nothing is forgotten.")
    ] = None,
    general_share: Annotated[float, typer.Option(help="Their share of an epoch's columns.")] = 0.25,
    max_forgetting: Annotated[
        float | None, typer.Option(help="No epoch is best whose general CER rose by more.")
    ] = None,
    distill: Annotated[
        float | None, typer.Option(help="Weight of staying near the base.", show_default="2")
    ] = None,
    blend_base: Annotated[float, typer.Option(help="Share of the base's weights kept.")] = 0.0,
    frozen_share: Annotated[float, typer.Option(help="Run's share with frozen convs.")] = 0.0,
    freeze_norm: Annotated[
        bool, typer.Option(help="Batch norm keeps the base's statistics.")
    ] = False,
    conv_lr_share: Annotated[float, typer.Option(help="Convolutions' share of lr.")] = 1.0,
    dropout: Annotated[float | None, typer.Option(help="Of head's inputs, lines' context.")] = None,
    rare_repeat: Annotated[int, typer.Option(help="Show rare lines up to so often.")] = 3,
    turn: Annotated[str, typer.Option(help="auto: find upside-down lines; never.")] = "auto",
    language: Annotated[str, typer.Option(help="auto: learn the labels'; never.")] = "auto",
    tensorboard: Annotated[
        bool, typer.Option(help="Write TensorBoard's curves to output_dir/tensorboard too.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run.")] = False,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 1,
    num_threads: NumThreads = 0,
    enhance: Annotated[
        list[str] | None, typer.Option(help="Enhancement step for every line; repeatable.")
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train from nothing or from a checkpoint; leaves best.safetensors, best.onnx, history.csv."""
    from crnnkit.finetuning.config import TrainConfig

    values = locals()
    settings = {f.name: values[f.name] for f in fields_of(TrainConfig) if f.name in values}
    _train(TrainConfig(**settings | {"enhance": tuple(enhance or ())}))


def _train(config: "TrainConfig") -> None:
    """Train with a bar and a line per epoch, export, and say what came of it."""
    from crnnkit.dataset.index import read_index
    from crnnkit.finetuning import processes
    from crnnkit.finetuning.history import EpochResult
    from crnnkit.finetuning.trainer import train as run_training
    from crnnkit.serving.export import export_onnx

    if not processes.is_first():
        run_training(config)
        return
    if config.pretrained_ckpt is None:
        print(
            "From random weights, which learn these lines alone. From the base that comes with "
            "crnnkit: --pretrained-ckpt checkpoints/base.safetensors --general-data data/general"
        )
    print(
        f"Reading the lines of {config.train_data}; training follows, for {config.minutes:g} "
        "minutes at most",
        flush=True,
    )
    with tqdm(total=1.0, unit="run", bar_format=_TRAINING_BAR, disable=None) as bar:

        def show_epoch(result: EpochResult) -> None:
            tqdm.write(result.line(config.epochs), file=sys.stdout)
            sys.stdout.flush()

        def show_progress(share: float, lines_per_second: float) -> None:
            bar.set_postfix_str(f"{lines_per_second:.0f} lines/s", refresh=False)
            bar.update(share - bar.n)

        result = run_training(config, show_epoch, show_progress)
    for line in result.remarks():
        print(line)
    images = [line.image for line in read_index(config.val_data)]
    onnx_path = config.output_dir / "best.onnx"
    report = export_onnx(result.best_path, onnx_path, images, config.num_threads or None)
    print(
        f"Best epoch {result.best.epoch}: Val CER {result.best.val_cer:.2%}, "
        f"exact match {result.best.val_exact:.1%}. Wrote {result.best_path}, {report.onnx_path}"
    )


def prune(
    model_path: Annotated[Path, typer.Option(help="Checkpoint, .safetensors.")],
    output: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    train_data: Annotated[Path, typer.Option(help="Index file: what channels are used for.")],
    test_data: Annotated[Path, typer.Option(help="Index file to read before and after.")],
    share: Annotated[float, typer.Option(help="Channels that leave each stage.")] = 0.3,
    num_threads: NumThreads = 0,
) -> None:
    """Leave the least used channels of the convolutions out, and say what it costs and gains.

    A checkpoint like any other is written; `crnnkit train --pretrained-ckpt` mends its reading.
    """
    from crnnkit.dataset.index import read_index
    from crnnkit.dataset.lines import load_lines
    from crnnkit.finetuning.prune import prune as prune_checkpoint
    from crnnkit.model.checkpoint import load_checkpoint, save_checkpoint

    if output.resolve() == model_path.resolve():
        raise ConfigError(f"{output}: the checkpoint itself; give --output another name.")
    lines = read_index(test_data)
    whole = load_checkpoint(model_path)
    used_by = load_lines(read_index(train_data), whole.info.vocab, whole.info.line)
    pruned = prune_checkpoint(whole, share, used_by)
    save_checkpoint(output, pruned)
    for path, said in _as_served([model_path, output], lines, num_threads or None):
        print(f"{path}: {said}")
    print(f"Now train it on, with --pretrained-ckpt {output}")


def _as_served(
    checkpoints: list[Path], lines: "list[Line]", num_threads: int | None
) -> Iterator[tuple[Path, str]]:
    """Size, CER and time of checkpoints, exported and read in turn."""
    from crnnkit.metrics import score
    from crnnkit.model.checkpoint import read_info
    from crnnkit.preprocessing.images import read_image
    from crnnkit.serving.compare import read_in_turn
    from crnnkit.serving.export import export_onnx
    from crnnkit.serving.recognizer import Recognizer

    with TemporaryDirectory() as folder:
        readers = []
        for number, path in enumerate(checkpoints):
            exported = export_onnx(path, Path(folder) / f"{number}.onnx", (), num_threads)
            readers.append(Recognizer.load(exported.onnx_path, num_threads))
    images, references = [read_image(line.image) for line in lines], [line.text for line in lines]
    for path, read in zip(checkpoints, read_in_turn(readers, images), strict=True):
        stages = getattr(read_info(path).model, "stages", ())
        channels = ", ".join(str(stage.channels) for stage in stages)
        cer = score(references, read.texts).cer
        size = path.stat().st_size / 1e6
        yield path, f"channels {channels}; {size:.1f} MB; CER {cer:.2%}; {read.ms:.2f} ms a line"


def pretrain(
    output: Annotated[Path, typer.Option(help="Checkpoint; continued where it exists.")],
    chinese_lexicon: Annotated[Path, typer.Option(help="Chinese words with counts.")],
    english_lexicon: Annotated[Path, typer.Option(help="English words.")],
    minutes: Annotated[float, typer.Option(help="Wall-clock length of this piece.")],
    vocab_path: Annotated[Path, typer.Option(help="Vocabulary to learn.")] = Path(
        "vocab/zh_en.txt"
    ),
    fonts: Annotated[
        list[Path] | None, typer.Option(help="Font file or folder; default: the system's.")
    ] = None,
    batch_columns: Annotated[int, typer.Option(help="Pixel columns of a batch of lines.")] = 8192,
    line_lr: Annotated[float, typer.Option(help="Peak learning rate of the lines.")] = 1e-3,
    cooldown: Annotated[float, typer.Option(help="Share of the piece with a falling rate.")] = 0.3,
    ema_decay: Annotated[float, typer.Option(help="Of the average that is written.")] = 0.999,
    num_threads: NumThreads = 0,
    num_workers: Annotated[int, typer.Option(help="Rendering processes.", min=0)] = 1,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "bfloat16",
    teacher: Annotated[
        Path | None, typer.Option(help="The larger network that --output was pruned from.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train a base checkpoint from rendered glyphs and lines, piece by piece."""
    from crnnkit.dataset.fonts import TRAINING_FAMILIES, find_faces, missing_families, of_families
    from crnnkit.dataset.synth import Renderer
    from crnnkit.finetuning.config import PretrainConfig
    from crnnkit.finetuning.pretrain import pretrain as run_piece

    values = locals()
    settings = {f.name: values[f.name] for f in fields_of(PretrainConfig) if f.name in values}
    faces = of_families(find_faces(fonts or ()), TRAINING_FAMILIES)
    if missing := missing_families(faces, TRAINING_FAMILIES):
        remedy = "Install what benchmarks/font_packages.txt lists."
        print(f"Not installed, so not learnt: {', '.join(missing)}. {remedy}", file=sys.stderr)
    renderer = Renderer(faces)
    run_piece(PretrainConfig(**settings), renderer, lambda report: print(report, flush=True))


def import_(
    weights: Annotated[Path, typer.Argument(help="File of weights saved by torch: .pt, .pth.")],
    vocab: Annotated[Path, typer.Option("--vocab", "--vocab-path", help="Its vocabulary file.")],
    output: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    width: Annotated[
        int | None,
        typer.Option(
            help="crnn.pytorch alone: lines are stretched to it; 0 = kept aspect; default 100.",
            min=0,
        ),
    ] = None,
) -> None:
    """Make a checkpoint of ModelScope's CRNN or of crnn.pytorch (meijieru)."""
    from crnnkit.model.checkpoint import save_checkpoint
    from crnnkit.model.foreign import import_checkpoint

    imported = import_checkpoint(weights, vocab, width)
    save_checkpoint(output, imported.checkpoint)
    print(imported)
    print(f"Wrote {output}")
