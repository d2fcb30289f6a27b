"""What a run of the pipeline was: versions, hashes, numbers; for people, CI and a restart."""

import hashlib
import json
import os
import platform
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import nbformat
from pydantic import TypeAdapter, ValidationError

import crnnkit
from crnnkit.dataset.index import parse_index
from crnnkit.dataset.pages import read_pages
from crnnkit.errors import DatasetError
from crnnkit.files import file_sha256, write_text
from crnnkit.workbook.gates import GateResult
from crnnkit.workbook.handover import Number, StepRecord, resolve_path

LIBRARIES = ("numpy", "onnx", "onnxruntime", "opencv-python", "torch")
"""Those whose version may change a number."""
MEASURED = ("cer", "exact", "cer_before", "exact_before")
"""Numbers of notebook 05, which go by the name of the part they were measured on, too."""
SKIPPED = {"unchanged": "nothing it depends on has changed", "kept": "left as it was (--from)"}


@dataclass(frozen=True)
class StepRun:
    """What became of one notebook."""

    state: Literal["done", "unchanged", "kept", "failed"]
    """unchanged: skipped, as a run would repeat the last one. kept: before the first one asked
    for."""
    seconds: float
    """Of its last execution."""
    notebook: str
    """The executed copy, as `display_path` shows it."""
    fingerprint: str
    """Of all it depends on, as `fingerprint` gives it; "" where it was run by hand."""
    record: StepRecord | None
    """What it left; None where it failed."""
    error: str = ""


@dataclass(frozen=True)
class PipelineResult:
    """A run, finished or as far as it came."""

    run_dir: Path
    parameters: dict[str, object]
    steps: dict[str, StepRun]
    gates: tuple[GateResult, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all notebooks that ran this time."""
        return sum(step.seconds for step in self.steps.values() if step.state == "done")

    @property
    def numbers(self) -> dict[str, Number]:
        """What the notebooks measured, by name; a later notebook wins over an earlier.

        What was measured on the test part is called `test_cer` as well as `cer`.
        """
        records = [step.record for step in self.steps.values() if step.record]
        numbers = {name: number for record in records for name, number in record.numbers.items()}
        if numbers.get("measured_on") == "test":
            numbers |= {f"test_{name}": numbers[name] for name in MEASURED if name in numbers}
        return numbers

    @property
    def failed_gates(self) -> list[GateResult]:
        """Conditions that do not hold."""
        return [gate for gate in self.gates if not gate.passed]


def fingerprint(notebook: Path, values: Mapping[str, object]) -> str:
    """SHA-256 over all that a notebook's outcome depends on, what earlier ones left excepted.

    That is its code, the package's, the versions of Python and libraries, the parameters, and the
    content of the files, folders and listed pictures that they name.

    Args:
        values: every parameter that the notebook declares.
    """
    cells = nbformat.read(notebook, as_version=4).cells
    files = [path for name in sorted(values) for path in _files(name, values[name])]
    content = {
        "code": [cell.source for cell in cells if cell.cell_type == "code"],
        "package": _package_hash(),
        "versions": versions(),
        "parameters": dict(values),
        "files": [file_sha256(path) for path in files],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of crnnkit, Python and the libraries that may change a number."""
    own = {"crnnkit": crnnkit.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in LIBRARIES}


def is_unchanged(run: StepRun | None, now: str, record: StepRecord | None) -> bool:
    """Whether running a notebook again would repeat what `run` did.

    Args:
        now: the fingerprint as it is now.
        record: what its `<step>.json` says now; another one comes from a run by hand.
    """
    if run is None or run.record is None or (run.fingerprint, run.record) != (now, record):
        return False
    files = [(resolve_path(file.path), file.sha256) for file in run.record.outputs.values()]
    return all(path.is_file() and file_sha256(path) == sha256 for path, sha256 in files)


def write_manifest(result: PipelineResult) -> None:
    """Write `manifest.json` and `junit.xml` into the run's folder; each appears whole."""
    content = {
        "versions": versions(),
        "parameters": result.parameters,
        "numbers": result.numbers,
        "gates": [asdict(gate) for gate in result.gates],
        "steps": {step: asdict(run) for step, run in result.steps.items()},
    }
    text = json.dumps(content, ensure_ascii=False, indent=2)
    write_text(result.run_dir / "manifest.json", text + "\n")
    write_text(result.run_dir / "junit.xml", junit(result) + "\n")


def read_steps(run_dir: Path) -> dict[str, StepRun]:
    """What the last run left; nothing where there was none, or one of another crnnkit."""
    try:
        content = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, StepRun]).validate_python(content["steps"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return {}


def junit(result: PipelineResult) -> str:
    """The run as JUnit XML: a test case per notebook and per gate."""
    suite = ET.Element("testsuite", name="crnnkit pipeline", time=f"{result.seconds:.1f}")
    for step, run in result.steps.items():
        seconds = run.seconds if run.state in ("done", "failed") else 0
        case = ET.SubElement(
            suite, "testcase", classname="notebooks", name=step, time=f"{seconds:.1f}"
        )
        if run.state == "failed":
            ET.SubElement(case, "error", message=run.error.partition("\n")[0]).text = run.error
        elif run.state in SKIPPED:
            ET.SubElement(case, "skipped", message=SKIPPED[run.state])
    for gate in result.gates:
        case = ET.SubElement(suite, "testcase", classname="gates", name=gate.text, time="0")
        if not gate.passed:
            ET.SubElement(case, "failure", message=str(gate))
    for total, kind in (("errors", "error"), ("failures", "failure"), ("skipped", "skipped")):
        suite.set(total, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite)))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True)


def _files(name: str, value: object) -> Iterator[Path]:
    """The files that a parameter names: itself, those in it, the pictures it lists."""
    path = resolve_path(value) if isinstance(value, str) and value and name != "run_dir" else None
    if path is None or not os.path.exists(path):  # Path.exists raises where a text is no path
        return
    yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    pictures: list[Path] = []
    if name.endswith("_index"):
        pictures = [line.image for line in parse_index(path).lines]
    elif name == "pages":
        try:
            pictures = [page.image for page in read_pages(path)]
        except DatasetError:  # the notebook will say so
            pass
    yield from (picture for picture in pictures if picture.is_file())


@cache
def _package_hash() -> str:
    folder = Path(crnnkit.__file__).parent
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")
    return hashlib.sha256("".join(map(file_sha256, files)).encode()).hexdigest()
