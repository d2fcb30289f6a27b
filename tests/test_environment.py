"""The ways to an environment agree: pyproject.toml, constraints.txt and environment.yml.

No conda channel is needed here: the file's form and its agreement are checked, not its solution.
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA_LINE = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)( (?P<range>[<>=!~0-9][^ ]*))?")


def required(extra: str | None) -> dict[str, Requirement]:
    """Give the requirements of the package, or of one of its extras, by name."""
    lines = PROJECT["dependencies"] if extra is None else EXTRAS[extra]
    return {r.name: r for r in map(Requirement, lines)}


def constraint() -> Requirement:
    """Give the one line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line and not line.startswith("#")]
    return Requirement(line)


def environment_faults(text: str) -> list[str]:
    """Give everything in an environment.yml that conda or pip would stumble over."""
    content = yaml.safe_load(text)
    faults = []
    if set(content) != {"name", "channels", "dependencies"}:
        faults.append(f"keys are {sorted(content)}")
    conda = [line for line in content["dependencies"] if isinstance(line, str)]
    rest = [line for line in content["dependencies"] if not isinstance(line, str)]
    faults += [f"not a conda line: {line!r}" for line in conda if not CONDA_LINE.fullmatch(line)]
    if [list(section) for section in rest] != [["pip"]]:
        return [*faults, "not exactly one pip section"]
    if "pip" not in conda:
        faults.append("pip is used and not installed")
    plain = [line for line in rest[0]["pip"] if not line.startswith("-")]
    faults += [f"not a pip line: {line!r}" for line in plain if "==" not in str(Requirement(line))]
    return faults


BAD_ENVIRONMENTS = [
    ("name: a\ndependencies: [pip, {pip: [torch==2.13.0]}]", "keys are"),
    (
        "name: a\nchannels: []\ndependencies: [python>=3, pip, {pip: [torch==1]}]",
        "not a conda line",
    ),
    ("name: a\nchannels: []\ndependencies: [pip]", "pip section"),
    ("name: a\nchannels: []\ndependencies: [python, {pip: [torch==1]}]", "not installed"),
    ("name: a\nchannels: []\ndependencies: [pip, {pip: [torch>=1]}]", "not a pip line"),
]


@pytest.mark.parametrize(("text", "named"), BAD_ENVIRONMENTS)
def test_a_faulty_environment_is_found(text, named):
    assert any(named in fault for fault in environment_faults(text))


def test_environment_yml_agrees_with_pyproject():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert environment_faults(text) == []
    *conda_lines, pip_section = yaml.safe_load(text)["dependencies"]
    conda = {m["name"]: m["range"] for m in map(CONDA_LINE.fullmatch, conda_lines)}
    assert set(conda) == {"python", "jupyterlab", "pip"}
    assert SpecifierSet(conda["python"]) == SpecifierSet(PROJECT["requires-python"])
    assert SpecifierSet(conda["jupyterlab"]) == required("workbook")["jupyterlab"].specifier
    assert pip_section["pip"] == [str(constraint()), "-e .[dev]"]


def test_the_constraint_is_one_version_of_torch_within_the_range():
    pinned = constraint()
    assert pinned.name == "torch"
    (pin,) = pinned.specifier
    assert pin.operator == "=="
    assert pin.version in required("workbook")["torch"].specifier


@pytest.mark.parametrize("extra", [None, "workbook", "synth", "formats", "tensorboard", "dev"])
def test_the_installed_versions_are_within_the_ranges(extra):
    wrong = {
        name: version(name)
        for name, requirement in required(extra).items()
        if not requirement.specifier.contains(version(name), prereleases=True)
    }
    assert wrong == {}


@pytest.mark.parametrize("target", ["env", "run", "test", "lint", "lab", "serve", "clean"])
def test_every_make_target_is_explained_in_both_readmes(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.*## \w", makefile, re.MULTILINE)
    for readme in ["README.md", "README.zh-CN.md"]:
        assert f"`make {target}`" in (ROOT / readme).read_text(encoding="utf-8")


def test_the_command_is_installed():
    command = Path(sys.executable).with_name("crnnkit")
    done = subprocess.run([command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pipeline" in done.stdout
