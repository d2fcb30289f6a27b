"""The two READMEs speak of what is there, and say the same."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crnnkit.cli.app import app

ROOT = Path(__file__).parents[1]
READMES = {name: (ROOT / name).read_text("utf-8") for name in ["README.md", "README.zh-CN.md"]}


def code_blocks(text: str) -> list[str]:
    """Give the fenced blocks, language named first, comments left out."""
    blocks = re.findall(r"^```(\w+\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" +# .*", "", block) for block in blocks]


def tree_paths(text: str) -> list[str]:
    """Give the paths of the annotated tree: two spaces of indent per level."""
    (tree,) = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    folders: list[str] = []
    paths = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders[depth:] = [name]
        paths.append("".join(folders))
    return paths


def test_the_tree_is_read_as_paths():
    tree = "```text\na/\n  b/  x\n    c.py  y\n  d.py\ne\n```\n"
    assert tree_paths(tree) == ["a/", "a/b/", "a/b/c.py", "a/d.py", "e"]


@pytest.mark.parametrize("name", READMES)
def test_the_tree_names_only_what_is_there(name):
    missing = [path for path in tree_paths(READMES[name]) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("name", READMES)
def test_the_tree_names_every_module(name):
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "crnnkit").rglob("*.py")}
    modules = {module for module in modules if not module.endswith("__init__.py")}
    assert modules - set(tree_paths(READMES[name])) == set()


def test_both_show_the_same_commands_and_headings():
    english, chinese = READMES.values()
    not_text = [[b for b in code_blocks(t) if b[:4] != "text"] for t in (english, chinese)]
    assert not_text[0] == not_text[1]
    assert len(not_text[0]) >= 4
    levels = [re.findall(r"^#+", text, re.MULTILINE) for text in (english, chinese)]
    assert levels[0] == levels[1]


def test_both_tables_have_the_same_rows_with_the_same_commands():
    tables = [re.findall(r"^\|.*", text, re.MULTILINE) for text in READMES.values()]
    commands = re.compile(r"`(?:crnnkit|make|\.venv|--|/)[^`]*`")
    english, chinese = ([sorted(commands.findall(row)) for row in rows] for rows in tables)
    assert english == chinese
    assert ["`crnnkit promote --model-path best.onnx --test-data frozen.txt`"] in english


def test_both_trees_are_the_same():
    english, chinese = map(tree_paths, READMES.values())
    assert english == chinese


@pytest.mark.parametrize("name", READMES)
def test_links_and_pictures_lead_somewhere(name):
    targets = re.findall(r"\]\(([^)#]+)\)", READMES[name])
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_every_command_shown_exists_with_its_options():
    shown = re.findall(r"crnnkit (\w+)((?: +-[^\n`]*)?)", READMES["README.md"])
    assert {"pipeline", "train", "evaluate", "serve"} <= {command for command, _ in shown}
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    for command, rest in shown:
        result = runner.invoke(app, [command, "--help"])
        assert result.exit_code == 0, f"crnnkit {command}"
        used = re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)
        known = re.findall(r"(?<![\w-])--?[a-z][\w-]*", result.stdout)
        assert {option.replace("_", "-") for option in used} - set(known) == set(), command
