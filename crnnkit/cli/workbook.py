"""The commands that run the notebooks, and do what they do without a browser."""

from pathlib import Path
from typing import Annotated

import typer

from crnnkit.errors import ConfigError, PipelineError


def pipeline(
    parameters: Annotated[
        Path | None, typer.Option(help="YAML file of notebook parameters; default: the demo set.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", help="name=value; wins; repeatable.")
    ] = None,
    output_dir: Annotated[Path | None, typer.Option(help="Run folder; wins over run_dir.")] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", help="Run from this notebook on, such as 04."),
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Stop after this notebook.")] = None,
    gates: Annotated[
        list[str] | None,
        typer.Option("--require", help="Fail unless it holds, e.g. 'test_cer<=0.03'; repeatable."),
    ] = None,
) -> None:
    """Run the six notebooks; unchanged ones are skipped, unknown or mistyped parameters refused."""
    from crnnkit.workbook.parameters import load_parameters
    from crnnkit.workbook.pipeline import format_result, run_pipeline

    values = load_parameters(parameters, parameter or [])
    result = run_pipeline(values, output_dir, first=first, last=last, gates=gates or [])
    print(format_result(result))
    if result.failed_gates:
        raise PipelineError("; ".join(map(str, result.failed_gates)))


def notebooks(
    language: Annotated[str, typer.Option(help="Folder below notebooks/.")] = "zh",
) -> None:
    """Write the notebooks with their prose in another language, code and outputs as they are."""
    from crnnkit.workbook.handover import display_path, project_root
    from crnnkit.workbook.translation import write_translations

    for path in write_translations(project_root() / "notebooks", language):
        print(display_path(path))


def label(
    folder: Annotated[Path, typer.Argument(help="Pictures of single lines, labelled or not.")],
    train_data: Annotated[Path, typer.Option(help="Index of those that people labelled.")],
    model_path: Annotated[Path, typer.Option(help="A model trained on these labels.")],
    output: Annotated[Path, typer.Option(help="Index to write: labels, then readings.")],
    without: Annotated[
        list[Path] | None,
        typer.Option(help="Index whose pictures stay out, such as test.txt; repeatable."),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(help="Surer readings become labels; 0 to 1.")
    ] = 0.95,
    num_threads: Annotated[int, typer.Option(help="Threads; 0 = every core.", min=0)] = 0,
) -> None:
    """Add a model's confident readings of unlabelled pictures to an index, to train on again.

    Nobody checks these labels: compare both models on test lines.
    """
    from crnnkit.dataset.faults import count_of
    from crnnkit.dataset.index import read_index, write_index
    from crnnkit.serving.recognizer import Recognizer
    from crnnkit.workbook.labelling import confident_readings, unlabelled

    if output.exists():
        raise ConfigError(f"{output}: exists already. Name a new file, or remove it first.")
    labelled = read_index(train_data)
    # read here: a wrong name must not let test lines into training
    held_out = [line for index in without or [] for line in read_index(index)]
    recognizer = Recognizer.load(model_path, num_threads or None)
    tasks = unlabelled(folder, train_data, recognizer, held_out)
    found = confident_readings(tasks, min_confidence)
    write_index(output, [*labelled, *found.lines])
    print(
        f"{count_of(len(found.lines), 'picture')} read with confidence ≥ {min_confidence:g}, "
        f"{found.num_unsure} less surely, {found.num_empty} as nothing\n"
        f"Wrote {output}: {count_of(len(labelled), 'label')} and "
        f"{count_of(len(found.lines), 'reading')} that nobody checked"
    )
