"""The six notebooks in a row, without a browser: parameters checked, progress shown, a table."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from crnnkit.errors import PipelineError
from crnnkit.workbook.handover import (
    Number,
    StepRecord,
    display_path,
    project_root,
    read_step,
    record_path,
    resolve_path,
)

STEPS = {
    "01_preprocessing": "what the pictures look like, and what the network sees of them",
    "02_dataset": "every fault of the data set, and the split",
    "03_vocab": "the characters to tell apart",
    "04_finetuning": "training",
    "05_evaluation": "how right it reads, before and after",
    "06_serving": "export, speed, REST",
}
"""Notebook → what it does, in the order of running."""

OWN_DATA: dict[str, object] = {"val_index": "", "test_index": "", "pages": "", "key_fields": {}}
"""What the other data parameters become where `train_index` alone is given."""

TYPES: dict[str, TypeAdapter] = {
    "str": TypeAdapter(str),
    "int": TypeAdapter(int),
    "float": TypeAdapter(FiniteFloat),
    "bool": TypeAdapter(bool),
    "list[str]": TypeAdapter(list[str]),
    "dict[str,str]": TypeAdapter(dict[str, str]),
}
"""Types that a notebook may declare for a parameter."""


@dataclass(frozen=True)
class Declared:
    """A parameter as the notebooks declare it."""

    name: str
    type_name: str
    default: str
    """Python source."""
    help: str
    notebooks: tuple[str, ...]
    """Those that use it."""


@dataclass(frozen=True)
class StepRun:
    """One executed notebook."""

    notebook: Path
    """The executed copy."""
    seconds: float
    record: StepRecord


@dataclass(frozen=True)
class PipelineResult:
    """A finished run."""

    run_dir: Path
    steps: dict[str, StepRun]

    @property
    def seconds(self) -> float:
        """Of all notebooks together."""
        return sum(step.seconds for step in self.steps.values())

    @property
    def numbers(self) -> dict[str, Number]:
        """What the notebooks measured, by name; a later notebook wins over an earlier."""
        return {k: v for step in self.steps.values() for k, v in step.record.numbers.items()}


def declared_parameters(notebooks: Path | None = None) -> dict[str, Declared]:
    """What the notebooks' `parameters` cells declare, by name.

    Args:
        notebooks: folder of the six notebooks; None = the project's own.

    Raises:
        PipelineError: if a notebook is missing or has not exactly one such cell, a parameter
            has no known type, or two notebooks declare one name with different types or defaults.
    """
    folder = notebooks or project_root() / "notebooks"
    declared: dict[str, Declared] = {}
    for step in STEPS:
        path = folder / f"{step}.ipynb"
        _check_parameters_cell(path)
        for name, found in papermill.inspect_notebook(path).items():
            type_name = found["inferred_type_name"].replace(" ", "")
            earlier = declared.get(name)
            users = (*earlier.notebooks, step) if earlier else (step,)
            new = Declared(name, type_name, found["default"], found["help"], users)
            if type_name not in TYPES:
                raise PipelineError(
                    f"{path.name}: parameter {name} is declared as {type_name}; "
                    f"write `{name}: type = value` with one of {', '.join(TYPES)}."
                )
            if earlier and (earlier.type_name, earlier.default) != (type_name, new.default):
                raise PipelineError(
                    f"{path.name}: parameter {name}: {type_name} = {new.default}, but "
                    f"{earlier.notebooks[-1]} declares {earlier.type_name} = {earlier.default}. "
                    "Declare it alike."
                )
            declared[name] = new
    return declared


def _check_parameters_cell(path: Path) -> None:
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise PipelineError(
            f"{path}: no such notebook. All of {', '.join(STEPS)} must lie there."
        ) from None
    except nbformat.reader.NotJSONError:
        raise PipelineError(f"{path}: not a notebook. Restore the file.") from None
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise PipelineError(
            f"{path.name}: {len(tagged)} cells with the tag 'parameters', expected exactly 1. "
            "Without one, values from outside would be overwritten by the notebook's own."
        )


def load_parameters(
    file: str | Path | None = None,
    overrides: Sequence[str] = (),
    notebooks: Path | None = None,
) -> dict[str, object]:
    """Parameters from a YAML file and from `name=value` texts, which win.

    Raises:
        PipelineError: naming every unknown name (with the nearest known) and every wrong type.
    """
    declared = declared_parameters(notebooks)
    values = _read_yaml(Path(file)) if file else {}
    for override in overrides:
        name, sign, text = override.partition("=")
        if not sign:
            raise PipelineError(f"parameter {override!r}: write it as name=value.")
        values[name.strip()] = _parsed(text, declared.get(name.strip()))
    return check_parameters(values, declared)


def check_parameters(
    values: Mapping[str, object], declared: Mapping[str, Declared]
) -> dict[str, object]:
    """The values with their declared types.

    Raises:
        PipelineError: naming all faults at once.
    """
    faults, checked = [], {}
    for name, value in values.items():
        if name not in declared:
            near = get_close_matches(name, declared, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(declared))}"
            faults.append(f"unknown parameter {name!r}; {hint}")
            continue
        type_name = declared[name].type_name
        try:
            checked[name] = TYPES[type_name].validate_python(
                _number(value) if type_name == "float" else value, strict=True
            )
        except ValidationError:
            faults.append(
                f"parameter {name} is {value!r} ({type(value).__name__}), expected {type_name}"
            )
    if faults:
        raise PipelineError("; ".join(faults) + ". Correct them and run again.")
    return checked


def _number(value: object) -> object:
    """YAML 1.1 takes `1e-4` for a text because it has no point; people mean the number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _parsed(text: str, declared: Declared | None) -> object:
    """Text from the command line; a declared `str` stays as it is, even if it looks otherwise."""
    if declared is None or declared.type_name == "str":
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _read_yaml(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
        root, values = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: not a YAML file in UTF-8: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise PipelineError(f"{path}: expected lines of `name: value`.")
    twice = [k for k, n in Counter(key.value for key, _ in root.value).items() if n > 1]
    if twice:
        raise PipelineError(f"{path}: given twice: {', '.join(twice)}. Keep one of each.")
    return {str(name): value for name, value in values.items()}


def without_demo(parameters: Mapping[str, object]) -> dict[str, object]:
    """Parameters in which no demo file stands in for one that the user's data set lacks.

    The notebooks' defaults belong to the demo set: its lines and key fields must neither choose
    the epoch nor judge a recogniser that was trained on other data.
    """
    return (OWN_DATA if "train_index" in parameters else {}) | dict(parameters)


def run_pipeline(
    parameters: Mapping[str, object],
    run_dir: str | Path | None = None,
    notebooks: Path | None = None,
    terminal: TextIO | None = None,
) -> PipelineResult:
    """Run the six notebooks and leave their executed copies in `<run_dir>/notebooks/`.

    Args:
        parameters: by name; each notebook gets those that it declares.
        run_dir: where results go; None = the parameter of that name, or the notebooks' default.
        notebooks: folder of the six notebooks; None = the project's own.
        terminal: where progress is shown; None = standard output.

    Raises:
        PipelineError: before anything runs if a parameter is wrong; or at the first notebook
            that fails, naming it, the cell and the error.
    """
    terminal = terminal or sys.stdout
    folder = notebooks or project_root() / "notebooks"
    declared = declared_parameters(notebooks)
    given = {**parameters, "run_dir": str(run_dir)} if run_dir else dict(parameters)
    values = check_parameters(without_demo(given), declared)
    target = resolve_path(str(values.get("run_dir") or yaml.safe_load(declared["run_dir"].default)))
    values["run_dir"] = display_path(target)
    for step in STEPS:  # an old record must not pass for this run's
        record_path(target, step).unlink(missing_ok=True)
    (target / "notebooks").mkdir(parents=True, exist_ok=True)
    steps = {}
    for number, (step, purpose) in enumerate(STEPS.items(), start=1):
        print(f"[{number}/{len(STEPS)}] {step}: {purpose}", file=terminal, flush=True)
        used = {name: value for name, value in values.items() if step in declared[name].notebooks}
        steps[step] = _run_step(folder, step, used, target, terminal)
        print(f"      done in {steps[step].seconds:.1f} s", file=terminal, flush=True)
    return PipelineResult(target, steps)


def _run_step(
    folder: Path, step: str, values: dict[str, object], run_dir: Path, terminal: TextIO
) -> StepRun:
    copy = run_dir / "notebooks" / f"{step}.ipynb"
    log = _CellLog(terminal)
    began = time.perf_counter()
    try:
        papermill.execute_notebook(
            folder / f"{step}.ipynb",
            copy,
            values,
            kernel_name="python3",
            cwd=folder,  # papermill's own default is the caller's folder
            progress_bar=False,
            stdout_file=log,
            stderr_file=log,
            # else every kernel warns that it talks in the clear, though only to this machine
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except PapermillExecutionError as error:
        first_line = error.source.strip().partition("\n")[0]
        raise PipelineError(
            f"{step}: cell In [{error.exec_count}] `{first_line}` failed: "
            f"{error.ename}: {error.evalue}\nThe notebook as far as it came: {display_path(copy)}"
        ) from None
    except DeadKernelError:
        raise PipelineError(
            f"{step}: the notebook's process ended without a word; most often memory ran out. "
            f"Try a smaller batch_size. The notebook as far as it came: {display_path(copy)}"
        ) from None
    finally:
        log.end()
    return StepRun(copy, time.perf_counter() - began, read_step(run_dir, step))


class _CellLog:
    """Shows what cells print on the terminal while they run, indented, whole lines at a time."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal
        self.pending = ""

    def write(self, text: str) -> None:
        *lines, self.pending = (self.pending + text).split("\n")
        for line in lines:
            # of a line that was overwritten in place, the last state is what was meant
            print(f"      {line.rstrip(chr(13)).rpartition(chr(13))[2]}", file=self.terminal)

    def flush(self) -> None:
        self.terminal.flush()

    def end(self) -> None:
        """Show a last line without its newline."""
        if self.pending:
            self.write("\n")


def format_result(result: PipelineResult) -> str:
    """The table at the end of a run, for the terminal."""
    numbers = result.numbers
    rows = [
        ("", "before", "after"),
        (f"{numbers['measured_on']} CER", *_percents(numbers, "cer_before", "cer")),
        (f"{numbers['measured_on']} exact match", *_percents(numbers, "exact_before", "exact")),
        ("", "torch", "ONNX"),
        ("ms per line", f"{numbers['ms_torch']:.1f}", f"{numbers['ms_onnx']:.1f}"),
    ]
    rows += [("", "", "seconds")]
    rows += [(step, "", f"{run.seconds:.0f}") for step, run in result.steps.items()]
    rows += [("all notebooks", "", f"{result.seconds:.0f}")]
    table = "\n".join(f"{name:<20}{first:>12}{second:>12}".rstrip() for name, first, second in rows)
    report = result.steps["05_evaluation"].record.outputs["report"].path
    return f"{table}\n\n{numbers['verdict']}\nreport: {report}"


def _percents(numbers: Mapping[str, Number], *names: str) -> tuple[str, ...]:
    """`–` where there was nothing to measure."""
    values = [numbers[name] for name in names]
    return tuple("–" if v is None else f"{100 * float(v):.1f} %" for v in values)
