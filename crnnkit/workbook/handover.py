"""What one notebook leaves for the next: files, and one `<step>.json` that names them."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import yaml

import crnnkit
from crnnkit.errors import PipelineError
from crnnkit.files import file_sha256, write_text

Number = int | float | str | bool | None
Value = TypeVar("Value")

_DEMO = "notebooks/parameters/demo.yaml"


@dataclass(frozen=True)
class File:
    """A file that a step read or wrote."""

    path: str
    """Relative to the project root where it lies inside, else absolute; forward slashes."""
    sha256: str


@dataclass(frozen=True)
class StepRecord:
    """What a notebook did, as its `<step>.json` tells it."""

    step: str
    version: str
    """Of crnnkit."""
    parameters: dict[str, object]
    inputs: dict[str, File]
    outputs: dict[str, File]
    numbers: dict[str, Number]

    def output(self, name: str) -> Path:
        """Absolute path of an output by its name."""
        return resolve_path(self.outputs[name].path)


def project_root() -> Path:
    """The folder that holds `notebooks/`: every relative path in a parameter starts there.

    It is found beside the package, or above the working directory where the package was
    installed without the notebooks.

    Raises:
        PipelineError: if neither place has one.
    """
    for start in (Path(crnnkit.__file__).parent, Path.cwd()):
        for folder in (start, *start.parents):
            if (folder / "notebooks" / "01_preprocessing.ipynb").is_file():
                return folder
    raise PipelineError(
        f"{Path.cwd()}: no project with notebooks/01_preprocessing.ipynb here or above. "
        "Change into the project's folder."
    )


def enter_project() -> Path:
    """Make the project root the working directory, so that plain paths mean the same everywhere.

    A notebook begins with this: JupyterLab starts it in notebooks/, papermill in the folder that
    one happens to stand in.
    """
    root = project_root()
    os.chdir(root)
    return root


def resolve_path(path: str | Path) -> Path:
    """Absolute path; a relative one starts at the project root, wherever the process runs."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else (project_root() / expanded).resolve()


def display_path(path: str | Path) -> str:
    """How a path is shown and recorded: relative to the project root where it lies inside."""
    resolved = resolve_path(path)
    root = project_root()
    return (resolved.relative_to(root) if resolved.is_relative_to(root) else resolved).as_posix()


def or_demo(name: str, value: Value, train_index: str) -> Value:
    """A parameter as given; where it is empty and the demo set is trained on, the demo set's.

    The demo's lines and key fields must neither choose the epoch nor judge a recogniser that was
    trained on other data.

    Args:
        train_index: the index file of the training lines.
    """
    return value or (_demo_parameters().get(name, value) if is_demo(train_index) else value)


def is_demo(train_index: str) -> bool:
    """Whether an index file is that of the demo set's training lines."""
    return resolve_path(train_index) == resolve_path(_demo_parameters()["train_index"])


def _demo_parameters() -> dict[str, Any]:
    parameters: dict[str, Any] = yaml.safe_load(resolve_path(_DEMO).read_text(encoding="utf-8"))
    return parameters


def require_files(files: Mapping[str, str | Path], remedy: str) -> dict[str, Path]:
    """Check that a notebook's input files are there, and print their sizes and hashes.

    Args:
        files: name → path; an empty path means "none" and is left out.
        remedy: what to do where one is missing.

    Raises:
        PipelineError: naming every missing file.
    """
    found = {name: resolve_path(path) for name, path in files.items() if str(path)}
    missing = [f"{name}: {display_path(p)}" for name, p in found.items() if not p.is_file()]
    if missing:
        raise PipelineError(f"no such file: {'; '.join(missing)}. {remedy}")
    for name, path in found.items():
        size, digest = path.stat().st_size, file_sha256(path)[:8]
        print(f"{name:<10} {display_path(path)}  {size:,} bytes  sha256 {digest}")
    return found


def require(run_dir: str | Path, step: str) -> StepRecord:
    """Check that an earlier notebook has run and that its files are there, and print them.

    Raises:
        PipelineError: naming the notebook to run first.
    """
    record = read_step(run_dir, step)
    outputs = {name: file.path for name, file in record.outputs.items()}
    require_files(outputs, f"Run notebooks/{step}.ipynb again.")
    return record


def write_step(
    run_dir: str | Path,
    step: str,
    parameters: Mapping[str, object],
    inputs: Mapping[str, str | Path],
    outputs: Mapping[str, str | Path],
    numbers: Mapping[str, Number],
) -> StepRecord:
    """Write `<run_dir>/<step>.json`: parameters, hashes, paths, numbers, package version.

    Args:
        inputs: name → file that the step read; an empty path means "none" and is left out.
        outputs: name → file that the step wrote.

    Raises:
        PipelineError: if an input or output is missing, or a number is not finite; the record
            does not appear then.
    """
    odd = {name: n for name, n in numbers.items() if isinstance(n, float) and not isfinite(n)}
    if odd:
        raise PipelineError(f"{step}: numbers that are not finite: {odd}. Nothing was recorded.")
    record = StepRecord(
        step=step,
        version=crnnkit.__version__,
        parameters=dict(parameters),
        inputs=_hashed(step, "input", inputs),
        outputs=_hashed(step, "output", outputs),
        numbers=dict(numbers),
    )
    content = json.dumps(asdict(record), ensure_ascii=False, indent=2)
    write_text(record_path(run_dir, step), content + "\n")
    return record


def read_step(run_dir: str | Path, step: str) -> StepRecord:
    """Read what an earlier notebook left.

    Raises:
        PipelineError: naming the notebook to run first, or again if its record is damaged.
    """
    path = record_path(run_dir, step)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        for name in ("inputs", "outputs"):
            fields[name] = {key: File(**file) for key, file in fields[name].items()}
        return StepRecord(**fields)
    except FileNotFoundError:
        raise PipelineError(
            f"{display_path(path)}: missing. Run notebooks/{step}.ipynb first, with the same "
            f"run_dir."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PipelineError(
            f"{display_path(path)}: not a record of this crnnkit ({error}). "
            f"Run notebooks/{step}.ipynb again."
        ) from None


def record_path(run_dir: str | Path, step: str) -> Path:
    """Where a step's record lies."""
    return resolve_path(run_dir) / f"{step}.json"


def _hashed(step: str, role: str, files: Mapping[str, str | Path]) -> dict[str, File]:
    paths = {name: resolve_path(path) for name, path in files.items() if str(path)}
    missing = [f"{name}: {display_path(p)}" for name, p in paths.items() if not p.is_file()]
    if missing:
        raise PipelineError(
            f"{step}: {role} is no file: {'; '.join(missing)}. Run the notebook from its top."
        )
    return {name: File(display_path(path), file_sha256(path)) for name, path in paths.items()}
