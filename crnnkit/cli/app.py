"""The command line: every stage as a command; names may be written with '-' or '_'.

The modules beside this one hold the commands. Each imports its stage when it runs: the server
must start where torch is not installed, and `crnnkit --help` should not wait for it.
"""

import re
import sys
from importlib.metadata import requires
from io import TextIOWrapper
from typing import Annotated

import typer

from crnnkit import __version__
from crnnkit.cli import data, reading, serving, training, workbook
from crnnkit.errors import CrnnKitError

app = typer.Typer(
    help="Adapt a CRNN text recogniser to your own domain.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
)
app.command("import")(training.import_)
for command in (
    training.train,
    reading.evaluate,
    reading.export,
    reading.recognize,
    serving.serve,
    serving.promote,
    workbook.pipeline,
    workbook.notebooks,
    workbook.label,
    data.doctor,
    data.split,
    data.convert,
    data.vocab,
    data.synth,
    training.prune,
    training.pretrain,
):
    app.command()(command)


def main() -> None:
    """Run a command; errors that the user can mend are one message and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # Windows writes files in its own code page
            stream.reconfigure(encoding="utf-8", errors=stream.errors)
    try:
        app()
    except CrnnKitError as error:
        sys.exit(f"crnnkit: {error}")
    except ModuleNotFoundError as error:
        if (extra := _extra_with(error.name or "")) is None:
            raise
        sys.exit(
            f"crnnkit: {error.name} is not installed, which this needs. "
            f"Run: pip install 'crnnkit[{extra}]'"
        )


def _extra_with(module: str) -> str | None:
    """The extra of this package that brings a module; packages are called as their modules are."""
    name = re.escape(module.partition(".")[0])
    of_extra = re.compile(rf"{name}[<>=!~; ].*extra == ['\"](\w+)", re.IGNORECASE)
    found = map(of_extra.match, requires("crnnkit") or ())
    return next((match[1] for match in found if match), None)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Adapt a CRNN text recogniser to your own domain."""
    if show:
        print(__version__)
        raise typer.Exit


if __name__ == "__main__":  # as torchrun starts it
    main()
