"""The command that runs the notebooks."""

from pathlib import Path
from typing import Annotated

import typer

from crnnkit.errors import PipelineError


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
