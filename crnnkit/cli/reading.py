"""The commands that read with a model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from tqdm import tqdm

from crnnkit.errors import ConfigError, VocabError

if TYPE_CHECKING:
    from crnnkit.dataset.index import Line
    from crnnkit.evaluation.report import EvaluationReport
    from crnnkit.evaluation.suspects import Suspect
    from crnnkit.model.constraints import Constraint
    from crnnkit.serving.recognizer import Recognizer
    from crnnkit.vocab import Vocab

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
NoLanguage = Annotated[bool, typer.Option("--no-language", help="The network alone reads.")]
CheckName = Annotated[
    str | None,
    typer.Option(
        "--check",
        help="Prefer texts that obey it: date, sum, or a format of python-stdnum: luhn, ean, "
        "cn.ric, cn.uscc, iban …",
    ),
]
Only = tuple[str | None, Path | None, str | None, str | None]
"""Pattern, lexicon, characters, check."""
PagesFile = Annotated[
    Path | None, typer.Option(help="Labelled pages, .jsonl, to read in place of lines.")
]
CheckedVocab = Annotated[
    Path | None, typer.Option(help="Checked against the model's own, if given.")
]
OtherModel = Annotated[
    Path | None, typer.Option(help="Model to compare with, e.g. the base checkpoint.")
]
KeyFields = Annotated[
    list[str] | None, typer.Option(help="name=pattern of what must be right; repeatable.")
]
TrainData = Annotated[
    Path | None, typer.Option(help="Training index: report seen and unseen texts apart.")
]
Folds = Annotated[
    list[str] | None,
    typer.Option(help="Differences not to count, besides: O=0,I=1 or space+case; repeatable."),
]


def evaluate(
    model_path: ModelPath,
    test_data: Annotated[Path | None, typer.Option(help="Index file of the test lines.")] = None,
    pages: PagesFile = None,
    vocab_path: CheckedVocab = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Folder for report.json, .md and .html.")
    ] = None,
    before: OtherModel = None,
    key_field: KeyFields = None,
    max_cer: Annotated[float, typer.Option(help="Go-live bar: 0.05 is a CER of 5 %.")] = 0.05,
    pattern: OnlyPattern = None,
    lexicon: OnlyLexicon = None,
    chars: OnlyChars = None,
    check: CheckName = None,
    train_data: TrainData = None,
    fold: Folds = None,
    no_language: NoLanguage = False,
    suspects: Annotated[
        bool, typer.Option(help="List labels to check, of --train-data, too: suspects.tsv.")
    ] = False,
    num_threads: NumThreads = 0,
) -> None:
    """Read labelled lines; print accuracy, CER, time and the go-live verdict."""
    from crnnkit.dataset.index import read_index
    from crnnkit.evaluation.pages import write_report
    from crnnkit.evaluation.verdict import check_bar, verdict

    if (test_data is None) == (pages is None):
        raise ConfigError("evaluate: give either --test-data or --pages.")
    if suspects and output_dir is None:
        raise ConfigError("evaluate: --suspects are written to --output-dir: give that, too.")
    check_bar("max_cer", max_cer)
    load = partial(_load, num_threads=num_threads, alone=no_language)
    recognizer = load(model_path)
    if vocab_path is not None:
        _check_vocab(model_path, recognizer.vocab.charset, vocab_path)
    if pages is not None:
        only = _constraint(recognizer.vocab, pattern, lexicon, chars, check)
        _evaluate_pages(recognizer, pages, only)
        return
    assert test_data is not None, "one of the two was given"
    lines = read_index(test_data)
    train_lines = read_index(train_data) if train_data else []
    measure = partial(
        _measure,
        lines=lines,
        key_fields=_key_fields(key_field or []),
        folds=fold or [],
        train_texts=[line.text for line in train_lines],
        only=(pattern, lexicon, chars, check),
    )
    earlier = measure(load(before)) if before else None
    report = measure(recognizer)
    decision = verdict(report, max_cer)
    _print(report, earlier, fold or [])
    print(decision)
    if output_dir is not None:
        doubted = _ranked(recognizer, train_lines + lines) if suspects else []
        print(f"Report: {write_report(output_dir, report, earlier, (), decision, doubted).html}")


def _measure(
    recognizer: "Recognizer",
    lines: list["Line"],
    key_fields: dict[str, str],
    folds: list[str],
    train_texts: list[str],
    only: Only,
) -> "EvaluationReport":
    from crnnkit.evaluation.report import evaluate as read_and_compare

    with tqdm(total=len(lines), unit="line", disable=None) as bar:
        return read_and_compare(
            recognizer,
            lines,
            key_fields=key_fields,
            folds=folds,
            train_texts=train_texts,
            constraint=_constraint(recognizer.vocab, *only),
            progress=_shown_on(bar),
        )


def _shown_on(bar: "tqdm[NoReturn]") -> Callable[[int, int], None]:
    def show(done: int, _total: int) -> None:
        bar.update(done - bar.n)

    return show


def _ranked(recognizer: "Recognizer", lines: list["Line"]) -> list["Suspect"]:
    from crnnkit.evaluation.suspects import rank_suspects

    print(f"Reading {len(lines)} labels once more, to find those in doubt", flush=True)
    with tqdm(total=len(lines), unit="label", disable=None) as bar:
        doubted = rank_suspects(recognizer, lines, _shown_on(bar))
    print(f"Labels doubted: {len(doubted)} of {len(lines)}")
    return doubted


def _print(
    report: "EvaluationReport", earlier: "EvaluationReport | None", folds: list[str]
) -> None:
    from crnnkit.evaluation.comparison import compare

    print(f"Accuracy (exact match): {report.score.exact_match:.1%}")
    print(f"Average CER: {report.score.cer:.1%}")
    print(f"Inference Time: {report.timing.ms_per_line:.1f} ms per image")
    parts = {f"Folded by {how}": report.folded[how] for how in folds}
    for name, part in (parts | report.score_by_seen).items():
        print(f"{name[0].upper()}{name[1:]}: {part.exact_match:.1%} exact, CER {part.cer:.1%}")
    if earlier is not None:
        print(f"Against {earlier.model_name}: {compare(earlier, report)}")


def _evaluate_pages(recognizer: "Recognizer", path: Path, constraint: "Constraint | None") -> None:
    from crnnkit.dataset.pages import read_pages
    from crnnkit.evaluation.whole_pages import evaluate_pages

    pages = read_pages(path)
    score = evaluate_pages(lambda image: recognizer.read_page(image, constraint), tqdm(pages))
    print(f"Word F1 (bag of words, upper-cased): {score.word_f1:.1%}")
    print(f"Line recall (IoU of 0.5 or more): {score.line_recall:.1%}")
    print(f"CER of the pages read in order: {score.cer:.1%}")
    print(f"Pages whose lines were read in order: {score.num_ordered} of {len(pages)}")
    print(f"Time: {score.seconds:.2f} s a page")


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


def export(
    model_path: Annotated[Path, typer.Option(help="Checkpoint, .safetensors.")],
    output: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    parity_data: Annotated[
        Path | None, typer.Option(help="Index file whose lines both must read alike.")
    ] = None,
    charset: Annotated[
        Path | None, typer.Option(help="Vocabulary file: the only characters it is to know.")
    ] = None,
    int8_data: Annotated[
        Path | None,
        typer.Option(help="Index file to calibrate int8 convolutions on; needs --parity-data."),
    ] = None,
    num_threads: NumThreads = 0,
) -> None:
    """Export a checkpoint to ONNX; nothing is written unless both read the same.

    With --int8-data the convolutions are computed in 8 bits, unless the lines of --parity-data
    are then read worse, or not faster: in that case the file stays as it is, and the reason is
    printed.
    """
    from crnnkit.dataset.index import read_index
    from crnnkit.serving.export import export_onnx
    from crnnkit.vocab import Vocab

    if int8_data and not parity_data:
        raise ConfigError("--int8-data: give --parity-data too, the lines that decide about it.")
    lines = read_index(parity_data) if parity_data else []
    calibration = [line.image for line in read_index(int8_data)] if int8_data else []
    characters = Vocab.load(charset).charset if charset else None
    images = [line.image for line in lines]
    report = export_onnx(model_path, output, images, num_threads or None, characters)
    for remark in report.remarks():
        print(remark)
    if int8_data:
        from crnnkit.serving.quantize import quantize_onnx

        print(quantize_onnx(output, calibration, lines, num_threads or None))


def recognize(
    images: Annotated[list[Path], typer.Argument(help="Pictures of pages or of single lines.")],
    model_path: ModelPath = DEFAULT_MODEL,
    pattern: OnlyPattern = None,
    lexicon: OnlyLexicon = None,
    chars: OnlyChars = None,
    check: CheckName = None,
    num_threads: NumThreads = 0,
) -> None:
    """Read pictures; print file, confidence and text of every line, separated by tabs; after a
    --check, too, whether the text obeys it: ok or broken."""
    recognizer = _load(model_path, num_threads)
    constraint = _constraint(recognizer.vocab, pattern, lexicon, chars, check)
    obeys = {None: "", True: "\tok", False: "\tbroken"}
    for image in images:
        for line in recognizer.read_page(image, constraint):
            print(f"{image}\t{line.confidence:.3f}\t{line.text}{obeys[line.passes_check]}")


def _load(model_path: Path, num_threads: int, alone: bool = False) -> "Recognizer":
    """`alone`: the network reads without the language of its labels."""
    from crnnkit.serving.recognizer import Recognizer

    recognizer = Recognizer.load(model_path, num_threads or None)
    if alone:
        recognizer.language = None
    return recognizer


def _constraint(
    vocab: "Vocab", pattern: str | None, lexicon: Path | None, chars: str | None, check: str | None
) -> "Constraint | None":
    from crnnkit.model.constraints import constraint_of, read_lexicon

    texts = None if lexicon is None else read_lexicon(lexicon)
    return constraint_of(vocab, pattern, texts, chars, check)
