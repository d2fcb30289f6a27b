"""The example workflow: its form, and whether the commands in it would be accepted."""

import shlex
from pathlib import Path

import pytest
import yaml

from crnnkit.errors import PipelineError
from crnnkit.workbook.gates import parse_gates
from crnnkit.workbook.manifest import MEASURED
from crnnkit.workbook.parameters import declared_numbers, load_parameters

ROOT = Path(__file__).parents[1]
WORKFLOW = (ROOT / "docs" / "github_workflow.yml").read_text(encoding="utf-8")
JOB_KEYS = {"if", "runs-on", "timeout-minutes", "steps"}
STEP_KEYS = {"name", "uses", "with", "run", "if"}


def workflow_faults(text: str) -> list[str]:
    """Give what GitHub, make or crnnkit would refuse in a workflow."""
    content = yaml.safe_load(text)
    events = content.get(True, {})  # YAML 1.1 takes the key `on` for a truth
    faults = [f"no event {name}" for name in ("push", "schedule") if name not in events]
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name, job in content["jobs"].items():
        faults += [f"{name}: key {key}" for key in sorted(set(job) - JOB_KEYS)]
        for step in job["steps"]:
            faults += [f"{name}: step key {key}" for key in sorted(set(step) - STEP_KEYS)]
            if ("run" in step) == ("uses" in step):
                faults.append(f"{name}: a step has either run or uses: {step}")
            if "uses" in step and "@" not in step["uses"]:
                faults.append(f"{name}: {step['uses']} names no version")
            words = shlex.split(step.get("run", ""))
            if words[:1] == ["make"] and f"\n{words[1]}:" not in targets:
                faults.append(f"{name}: no target {words[1]}")
            if words[:1] == [".venv/bin/crnnkit"]:
                faults += [f"{name}: {fault}" for fault in command_faults(words[1:])]
    return faults


def command_faults(words: list[str]) -> list[str]:
    """Give what `crnnkit pipeline` would refuse before it starts."""
    command, *options = words
    given = list(zip(options[::2], options[1::2], strict=True))
    odd = [name for name, _ in given if name not in ("--parameters", "-p", "--require")]
    if command != "pipeline" or odd:
        return [f"not understood: {command} {odd}"]
    file = next(ROOT / value for name, value in given if name == "--parameters")
    try:
        load_parameters(file, [value for name, value in given if name == "-p"])
        known = declared_numbers() | {f"test_{name}" for name in MEASURED}
        parse_gates([value for name, value in given if name == "--require"], known)
    except PipelineError as error:
        return [str(error)]
    return []


def test_the_example_workflow_would_run():
    assert workflow_faults(WORKFLOW) == []
    jobs = yaml.safe_load(WORKFLOW)["jobs"]
    assert list(jobs) == ["demo", "nightly"]
    assert all("--require" in str(job["steps"]) for job in jobs.values())


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("  push:\n", "", "no event push"),
        ("    timeout-minutes: 30", "    timeout: 30", "key timeout"),
        ("actions/checkout@v4", "actions/checkout", "names no version"),
        ("run: make env", "run: make environment", "no target environment"),
        ("pipeline --parameters", "pipline --parameters", "not understood: pipline"),
        ("-p minutes=1 ", "-p minuts=1 ", "did you mean 'minutes'"),
        ("test_cer<=0.03", "test_cerr<=0.03", "did you mean 'test_cer'"),
        ("parameters/equipment.yaml -p", "parameters/gone.yaml -p", "gone.yaml: cannot be read"),
    ],
)
def test_a_fault_in_a_workflow_is_found(right, wrong, named):
    assert right in WORKFLOW
    assert any(named in fault for fault in workflow_faults(WORKFLOW.replace(right, wrong)))
