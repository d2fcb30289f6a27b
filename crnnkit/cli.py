"""The command line: every stage as a command; names may be written with '-' or '_'."""

import sys
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from crnnkit import __version__
from crnnkit.cli_data import convert, doctor, split, vocab
from crnnkit.errors import ConfigError, CrnnKitError, VocabError

if TYPE_CHECKING:
    from crnnkit.finetuning.config import TrainConfig
    from crnnkit.model.constraints import Constraint
    from crnnkit.serving.recognizer import Recognizer
    from crnnkit.vocab import Vocab

# Commands import their stage when they run: the server must start where torch is not installed,
# and `crnnkit --help` should not wait for it.

app = typer.Typer(
    help="Adapt a CRNN text recogniser to your own domain.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
)

DEFAULT_MODEL = Path("checkpoints/serving.onnx")

ModelPath = Annotated[Path, typer.Option(help="Model file: .onnx or .safetensors.")]
NumThreads = Annotated[int, typer.Option(help="Threads; 0 = every core.", min=0)]
OnlyPattern = Annotated[
    str | None, typer.Option("--pattern", help="Regular expression that every line matches.")
]
OnlyLexicon = Annotated[
    Path | None, typer.Option("--lexicon", help="File of the texts that may occur, one a line.")
]
OnlyChars = Annotated[str | None, typer.Option("--chars", help="The characters that may occur.")]


def main() -> None:
    """Run a command; errors that the user can mend are one message and exit code 1."""
    try:
        app()
    except CrnnKitError as error:
        sys.exit(f"crnnkit: {error}")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Adapt a CRNN text recogniser to your own domain."""
    if show:
        print(__version__)
        raise typer.Exit


@app.command()
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
    epochs: Annotated[int, typer.Option(help="Passes over the data, at most.")] = 60,
    minutes: Annotated[float, typer.Option(help="Wall-clock budget of training.")] = 10.0,
    batch_size: Annotated[int, typer.Option(help="Lines per step.")] = 16,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    patience: Annotated[int, typer.Option(help="Epochs without gain that end it; 0: never.")] = 0,
    general_data: Annotated[
        Path | None, typer.Option(help="Folder of general lines, so that nothing is forgotten.")
    ] = None,
    general_share: Annotated[float, typer.Option(help="Their share of an epoch.")] = 0.25,
    max_forgetting: Annotated[float, typer.Option(help="General CER may rise by so much.")] = 0.01,
    distill: Annotated[float, typer.Option(help="Weight of staying near the base.")] = 0.0,
    blend_base: Annotated[float, typer.Option(help="Share of the base's weights kept.")] = 0.0,
    frozen_share: Annotated[float, typer.Option(help="Run's share with frozen convs.")] = 0.0,
    conv_lr_share: Annotated[float, typer.Option(help="Convolutions' share of lr.")] = 1.0,
    rare_repeat: Annotated[int, typer.Option(help="Show rare lines up to so often.")] = 1,
    turn: Annotated[str, typer.Option(help="auto: find upside-down lines; never.")] = "auto",
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
    from crnnkit.finetuning.history import EpochResult
    from crnnkit.finetuning.trainer import train as run_training
    from crnnkit.serving.export import export_onnx

    with tqdm(total=1.0, unit="run", bar_format=_TRAINING_BAR, disable=None) as bar:

        def show_epoch(result: EpochResult) -> None:
            tqdm.write(result.line(config.epochs), file=sys.stdout)
            sys.stdout.flush()

        def show_progress(share: float) -> None:
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


_TRAINING_BAR = "{l_bar}{bar}| {elapsed} < {remaining}"


@app.command()
def evaluate(
    model_path: ModelPath,
    test_data: Annotated[Path, typer.Option(help="Index file of the test lines.")],
    vocab_path: Annotated[
        Path | None, typer.Option(help="Checked against the model's own, if given.")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Folder for report.json, .md and .html.")
    ] = None,
    key_field: Annotated[
        list[str] | None, typer.Option(help="name=pattern of what must be right; repeatable.")
    ] = None,
    max_cer: Annotated[float, typer.Option(help="Go-live bar of the CER.")] = 0.05,
    pattern: OnlyPattern = None,
    lexicon: OnlyLexicon = None,
    chars: OnlyChars = None,
    num_threads: NumThreads = 0,
) -> None:
    """Read labelled lines; print accuracy, CER, time and the go-live verdict."""
    from crnnkit.dataset.index import read_index
    from crnnkit.evaluation.pages import write_report
    from crnnkit.evaluation.report import evaluate as read_and_compare
    from crnnkit.evaluation.report import verdict

    recognizer = _load(model_path, num_threads)
    if vocab_path is not None:
        _check_vocab(model_path, recognizer.vocab.charset, vocab_path)
    constraint = _constraint(recognizer.vocab, pattern, lexicon, chars)
    lines = read_index(test_data)
    with tqdm(total=len(lines), unit="line", disable=None) as bar:

        def show_progress(done: int, _total: int) -> None:
            bar.update(done - bar.n)

        fields = _key_fields(key_field or [])
        report = read_and_compare(
            recognizer, lines, key_fields=fields, constraint=constraint, progress=show_progress
        )
    decision = verdict(report, max_cer)
    print(f"Accuracy (exact match): {report.score.exact_match:.1%}")
    print(f"Average CER: {report.score.cer:.1%}")
    print(f"Inference Time: {report.timing.ms_per_line:.1f} ms per image")
    print(decision)
    if output_dir is not None:
        print(f"Report: {write_report(output_dir, report, decision=decision).html}")


def _check_vocab(model_path: Path, charset: str, vocab_path: Path) -> None:
    from crnnkit.vocab import Vocab

    if Vocab.load(vocab_path).charset != charset:
        raise VocabError(
            f"{vocab_path}: not the vocabulary of {model_path}, which carries its own. "
            "Leave --vocab-path out, or give the file the model was trained with."
        )


def _key_fields(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, pair in zip(texts, pairs, strict=True) if not all(pair)]
    if wrong:
        raise ConfigError(f"key field {wrong[0]!r}: write it as name=pattern.")
    return {name: pattern for name, _, pattern in pairs}


@app.command("import")
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


@app.command()
def export(
    model_path: Annotated[Path, typer.Option(help="Checkpoint, .safetensors.")],
    output: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    parity_data: Annotated[
        Path | None, typer.Option(help="Index file whose lines both must read alike.")
    ] = None,
    num_threads: NumThreads = 0,
) -> None:
    """Export a checkpoint to ONNX; nothing is written unless both read the same."""
    from crnnkit.dataset.index import read_index
    from crnnkit.serving.export import export_onnx

    images = [line.image for line in read_index(parity_data)] if parity_data else []
    report = export_onnx(model_path, output, images, num_threads or None)
    print(
        f"Wrote {report.onnx_path}: logits differ by at most {report.max_logit_difference:.1g}, "
        f"{report.num_lines} lines read alike"
    )
    if report.num_lines:
        print(f"One line takes {report.torch_ms:.1f} ms in torch, {report.onnx_ms:.1f} ms in ONNX")


@app.command()
def recognize(
    images: Annotated[list[Path], typer.Argument(help="Pictures of pages or of single lines.")],
    model_path: ModelPath = DEFAULT_MODEL,
    pattern: OnlyPattern = None,
    lexicon: OnlyLexicon = None,
    chars: OnlyChars = None,
    num_threads: NumThreads = 0,
) -> None:
    """Read pictures; print file, confidence and text of every line, separated by tabs."""
    recognizer = _load(model_path, num_threads)
    constraint = _constraint(recognizer.vocab, pattern, lexicon, chars)
    for image in images:
        for line in recognizer.read_page(image, constraint):
            print(f"{image}\t{line.confidence:.3f}\t{line.text}")


@app.command()
def serve(
    model_path: Annotated[
        Path, typer.Option("--model", "--model-path", help="Model file to serve.")
    ] = DEFAULT_MODEL,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 5000,
    threads: Annotated[int, typer.Option(help="Requests answered at once.", min=1)] = 4,
) -> None:
    """Serve the web page and POST /api/ocr."""
    from crnnkit.serving.server import serve as run_server

    run_server(model_path, host, port, threads)


@app.command()
def pipeline(
    parameters: Annotated[
        Path | None, typer.Option(help="YAML file of notebook parameters; default: the demo set.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", help="name=value; wins; repeatable.")
    ] = None,
    output_dir: Annotated[Path | None, typer.Option(help="Run folder; wins over run_dir.")] = None,
) -> None:
    """Run the six notebooks; unknown or mistyped parameters are refused."""
    from crnnkit.workbook.pipeline import format_result, load_parameters, run_pipeline

    result = run_pipeline(load_parameters(parameters, parameter or []), output_dir)
    print(format_result(result))


for command in (doctor, split, convert, vocab):
    app.command()(command)


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="Folder to make; it must not hold anything yet.")],
    num_lines: Annotated[int, typer.Option("-n", "--n", "--num-lines", help="Lines to render.")],
    lexicon: Annotated[
        Path | None, typer.Option(help="Words, one per line, each with a count if you like.")
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option(help="e.g. 'GL-{year}-{n:03}-{A|B|C}'; repeatable.")
    ] = None,
    vocab_path: Annotated[
        Path | None, typer.Option(help="Vocabulary whose characters occur at random, too.")
    ] = None,
    fonts: Annotated[
        list[Path] | None, typer.Option(help="Font file or folder; default: the system's.")
    ] = None,
    look: Annotated[
        list[str] | None, typer.Option(help="Only these looks; repeatable; default: all.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Folder with some of your own crops to resemble.")
    ] = None,
    val_fraction: Annotated[float, typer.Option(help="Share of val.txt.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal data sets.")] = 0,
) -> None:
    """Render a labelled data set from a word list, number schemes and fonts."""
    from crnnkit.dataset.synthesize import SynthConfig, synthesize

    report = synthesize(
        SynthConfig(
            out=out,
            num_lines=num_lines,
            lexicon=lexicon,
            patterns=tuple(pattern or ()),
            vocab=vocab_path,
            fonts=tuple(fonts or ()),
            looks=tuple(look or ()),
            like=like,
            val_fraction=val_fraction,
            seed=seed,
        )
    )
    print(
        f"Wrote {report.out}: {report.num_train} lines in train.txt, {report.num_val} in val.txt, "
        f"drawn with {report.num_faces} faces"
    )


@app.command()
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


def _load(model_path: Path, num_threads: int) -> "Recognizer":
    from crnnkit.serving.recognizer import Recognizer

    return Recognizer.load(model_path, num_threads or None)


def _constraint(
    vocab: "Vocab", pattern: str | None, lexicon: Path | None, chars: str | None
) -> "Constraint | None":
    from crnnkit.model.constraints import constraint_of, read_lexicon

    return constraint_of(vocab, pattern, None if lexicon is None else read_lexicon(lexicon), chars)
