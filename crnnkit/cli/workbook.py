"""The command that runs the notebooks."""

from pathlib import Path
from typing import Annotated

import typer


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
