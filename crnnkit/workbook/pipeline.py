"""The six notebooks in a row, without a browser: steps chosen, progress shown, a table."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TextIO

import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from crnnkit.errors import PipelineError
from crnnkit.files import writing
from crnnkit.workbook.gates import check_gates, parse_gates
from crnnkit.workbook.handover import (
    Number,
    StepRecord,
    display_path,
    project_root,
    read_step,
    record_path,
    resolve_path,
)
from crnnkit.workbook.manifest import (
    MEASURED,
    PipelineResult,
    StepRun,
    fingerprint,
    is_unchanged,
    read_steps,
    write_manifest,
)
from crnnkit.workbook.parameters import (
    STEPS,
    check_parameters,
    declared_numbers,
    declared_parameters,
    find_step,
    step_values,
)


def run_pipeline(
    parameters: Mapping[str, object],
    run_dir: str | Path | None = None,
    notebooks: Path | None = None,
    terminal: TextIO | None = None,
    first: str | None = None,
    last: str | None = None,
    gates: Sequence[str] = (),
) -> PipelineResult:
    """Run the notebooks and leave their executed copies in `<run_dir>/notebooks/`.

    A notebook is skipped while it and all before it are unchanged: its code and the package's,
    its parameters, the files they name, and what it left. So the same call goes on after a
    failure where it failed. `<run_dir>/manifest.json` and `junit.xml` tell what happened.

    Args:
        parameters: by name; each notebook gets those that it declares.
        run_dir: where results go; None = the parameter of that name, or the notebooks' default.
        notebooks: folder of the six notebooks; None = the project's own.
        terminal: where progress is shown; None = standard output.
        first: run from this notebook on, changed or not; those before are left as they are.
        last: stop after this notebook.
        gates: conditions such as `test_cer<=0.03` on what was measured; see `failed_gates`.

    Raises:
        PipelineError: before anything runs if a parameter, a step or a gate is wrong; or at the
            first notebook that fails, naming it, the cell and the error.
    """
    terminal = terminal or sys.stdout
    folder = notebooks or project_root() / "notebooks"
    declared = declared_parameters(notebooks)
    given = {**parameters, "run_dir": str(run_dir)} if run_dir else dict(parameters)
    values = check_parameters(given, declared)
    conditions = parse_gates(gates, declared_numbers(notebooks) | {f"test_{n}" for n in MEASURED})
    target = resolve_path(str(values.get("run_dir") or yaml.safe_load(declared["run_dir"].default)))
    values["run_dir"] = display_path(target)
    before, chosen, after = _chosen(first, last)
    _check_kept(before, target, values)
    earlier = read_steps(target)
    result = PipelineResult(target, values, {step: _kept(step, target, earlier) for step in before})
    is_changed = first is not None
    for number, step in enumerate(chosen, start=len(before) + 1):
        print(f"[{number}/{len(STEPS)}] {step}: {STEPS[step]}", file=terminal, flush=True)
        now = fingerprint(folder / f"{step}.ipynb", step_values(step, values, declared))
        is_changed = is_changed or not is_unchanged(earlier.get(step), now, _record(step, target))
        if is_changed:
            used = {name: v for name, v in values.items() if step in declared[name].notebooks}
            _run_step(folder, step, used, now, result, terminal)
        else:
            result.steps[step] = replace(earlier[step], state="unchanged")
            print("      unchanged since its last run: skipped", file=terminal, flush=True)
    result.steps.update({s: _kept(s, target, earlier) for s in after if _record(s, target)})
    result = replace(result, gates=check_gates(conditions, result.numbers))
    write_manifest(result)
    return result


def _chosen(first: str | None, last: str | None) -> tuple[list[str], list[str], list[str]]:
    """Notebooks before those asked for, those, and those after."""
    names = list(STEPS)
    begin = names.index(find_step(first)) if first is not None else 0
    end = names.index(find_step(last)) + 1 if last is not None else len(names)
    if begin >= end:
        raise PipelineError(f"--from {first} stands behind --to {last}. Exchange them.")
    return names[:begin], names[begin:end], names[end:]


def _check_kept(steps: Sequence[str], run_dir: Path, values: Mapping[str, object]) -> None:
    """Check that notebooks which are to stay as they are ran, and with the parameters given.

    Raises:
        PipelineError: naming the notebook to run first, or every parameter that would be ignored.
    """
    faults = []
    for step in steps:
        recorded = read_step(run_dir, step).parameters
        faults += [
            f"{name} is {value!r}, but {step} ran with {recorded[name]!r}"
            for name, value in values.items()
            if name in recorded and recorded[name] != value
        ]
    if faults:
        raise PipelineError("; ".join(faults) + ". Start from that notebook, or leave --from out.")


def _record(step: str, run_dir: Path) -> StepRecord | None:
    return read_step(run_dir, step) if record_path(run_dir, step).is_file() else None


def _kept(step: str, run_dir: Path, earlier: Mapping[str, StepRun]) -> StepRun:
    record, run = _record(step, run_dir), earlier.get(step)
    if run and run.record == record:
        return replace(run, state="kept")
    return StepRun("kept", 0.0, _copy_path(step, run_dir), fingerprint="", record=record)


def _copy_path(step: str, run_dir: Path) -> str:
    return display_path(run_dir / "notebooks" / f"{step}.ipynb")


def _run_step(
    folder: Path,
    step: str,
    values: dict[str, object],
    now: str,
    result: PipelineResult,
    terminal: TextIO,
) -> None:
    """Execute a notebook and enter what became of it into `result` and the manifest."""
    names = list(STEPS)
    for later in names[names.index(step) :]:  # an old record must not pass for this run's
        record_path(result.run_dir, later).unlink(missing_ok=True)
    copy = _copy_path(step, result.run_dir)
    began = time.perf_counter()
    record, fault = None, None
    try:
        _execute(folder, step, values, copy, terminal)
        record = read_step(result.run_dir, step)
    except PipelineError as error:
        fault = error
    seconds = time.perf_counter() - began
    state: Literal["done", "failed"] = "failed" if fault else "done"
    result.steps[step] = StepRun(state, seconds, copy, now, record, str(fault or ""))
    write_manifest(result)
    if fault:
        raise fault
    print(f"      done in {seconds:.1f} s", file=terminal, flush=True)


def _execute(
    folder: Path, step: str, values: dict[str, object], copy: str, terminal: TextIO
) -> None:
    log = _CellLog(terminal)
    with writing(copy):
        resolve_path(copy).parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            folder / f"{step}.ipynb",
            resolve_path(copy),
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
            f"{error.ename}: {error.evalue}\nThe notebook as far as it came: {copy}"
        ) from None
    except DeadKernelError:
        raise PipelineError(
            f"{step}: the notebook's process ended without a word; most often memory ran out. "
            f"Try a smaller batch_size. The notebook as far as it came: {copy}"
        ) from None
    finally:
        log.end()


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
    """The table at the end of a run, for the terminal: what was measured, as far as it was."""
    numbers = result.numbers
    rows: list[tuple[str, ...]] = []
    if "cer" in numbers:
        part = numbers["measured_on"]
        rows += [("", "before", "after")]
        rows += [(f"{part} CER", *_percents(numbers, "cer_before", "cer"))]
        rows += [(f"{part} exact match", *_percents(numbers, "exact_before", "exact"))]
    if "ms_onnx" in numbers:
        times = (f"{numbers['ms_torch']:.1f}", f"{numbers['ms_onnx']:.1f}")
        rows += [("", "torch", "ONNX"), ("ms per line", *times)]
    rows += [("", "", "seconds")]
    for step, run in result.steps.items():
        rows += [(step, "", f"{run.seconds:.0f}" if run.state == "done" else run.state)]
    rows += [("all notebooks", "", f"{result.seconds:.0f}")]
    table = "\n".join(f"{name:<20}{first:>12}{second:>12}".rstrip() for name, first, second in rows)
    parts = [table]
    if "verdict" in numbers:
        parts += [f"{numbers['verdict']}\nreport: {_report_path(result)}"]
    if result.gates:
        parts += ["\n".join(map(str, result.gates))]
    return "\n\n".join(parts)


def _report_path(result: PipelineResult) -> str:
    records = [run.record for run in result.steps.values() if run.record]
    return next(r.outputs["report"].path for r in records if "report" in r.outputs)


def _percents(numbers: Mapping[str, Number], *names: str) -> tuple[str, ...]:
    """`–` where there was nothing to measure."""
    values = [numbers[name] for name in names]
    return tuple("–" if v is None else f"{100 * float(v):.1f} %" for v in values)
