"""What the notebooks take and measure: parameters declared, read from outside and checked."""

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import nbformat
import papermill
import yaml
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from crnnkit.errors import PipelineError
from crnnkit.workbook.handover import or_demo, project_root

STEPS = {
    "01_preprocessing": "what the pictures look like, and what the network sees of them",
    "02_dataset": "every fault of the data set, and the split",
    "03_vocab": "the characters to tell apart",
    "04_finetuning": "training",
    "05_evaluation": "how right it reads, before and after",
    "06_serving": "export, speed, REST",
}
"""Notebook → what it does, in the order of running."""

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


def declared_parameters(notebooks: Path | None = None) -> dict[str, Declared]:
    """What the notebooks' `parameters` cells declare, by name.

    Args:
        notebooks: folder of the six notebooks; None = the project's own.

    Raises:
        PipelineError: if a notebook is missing or has not exactly one such cell, a parameter
            has no known type, or two notebooks declare one name with different types or defaults;
            "" may stand for what an earlier one takes.
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
            is_earlier_s = earlier and found["default"] == '""'
            default = earlier.default if earlier and is_earlier_s else found["default"]
            new = Declared(name, type_name, default, found["help"], users)
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


def declared_numbers(notebooks: Path | None = None) -> set[str]:
    """Names of the numbers that the notebooks hand over: keys in lines that begin `numbers`."""
    folder = notebooks or project_root() / "notebooks"
    cells = [c for step in STEPS for c in nbformat.read(folder / f"{step}.ipynb", 4).cells]
    lines = [line for cell in cells for line in cell.source.splitlines()]
    return {name for s in lines if s.startswith("numbers") for name in re.findall(r'"(\w+)":', s)}


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
        end = "" if faults[-1].endswith("?") else "."
        raise PipelineError("; ".join(faults) + f"{end} Correct them and run again.")
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


def step_values(
    step: str, values: Mapping[str, object], declared: Mapping[str, Declared]
) -> dict[str, object]:
    """Every parameter of one notebook: as given, else its default or what the demo set has."""
    every = {name: ast.literal_eval(p.default) for name, p in declared.items()} | dict(values)
    train_index = str(every.get("train_index", ""))
    used = [name for name, parameter in declared.items() if step in parameter.notebooks]
    return {name: or_demo(name, every[name], train_index) for name in used}


def find_step(text: str) -> str:
    """The notebook that `04`, `finetuning` or `04_finetuning` means.

    Raises:
        PipelineError: naming all six if it is none of them.
    """
    for step in STEPS:
        if text in (step, *step.split("_", 1)):
            return step
    near = get_close_matches(text, [name for s in STEPS for name in (s, *s.split("_", 1))], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise PipelineError(f"no notebook {text!r}; {hint}known: {', '.join(STEPS)}.")
