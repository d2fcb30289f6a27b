"""The rules of the house, read from the source: who imports what, how long things are, which words.

Each rule is a function from source text to a list of breaches; each is shown a bad sample first.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHELVES = [
    {"errors"},
    {"files"},
    {"vocab", "metrics"},
    {"preprocessing"},
    {"model"},
    {"dataset"},
    {"plots"},
    {"finetuning"},
    {"serving"},
    {"evaluation"},
    {"workbook"},
    {"cli"},
]
"""A module imports only from shelves above its own, or from its own folder."""
RANK = {name: i for i, shelf in enumerate(SHELVES) for name in shelf}

CONFINED = {
    "torch": r"model/(crnn|ctc|checkpoint|foreign)|dataset/lines|finetuning/\w+|serving/export",
    "matplotlib": r"plots/\w+",
    "ipywidgets": r"workbook/(sliders|widgets)",
    "papermill": r"workbook/(parameters|pipeline)",
}
"""The modules that may import a heavy library at their top."""
INSIDE_FUNCTIONS = {"torch": r"serving/network"}
"""The modules that may import it inside a function, so that they also load without it."""

MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
# Written in two parts, so that this file does not break its own rule.
FORBIDDEN_WORDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b")
MACHINE_PATHS = re.compile(
    r"(?<![\w.~])/(?:wo" r"rk|ro" r"ot|ho" r"me|Use" r"rs)/[\w.-]+|[A-Z]:\\Users\\"
)
HOSTS = re.compile(
    r"pypi\.o" r"rg|pythonhosted\.o" r"rg|anaconda\.o" r"rg|download\.pytorch\.o" r"rg"
)


# ---------------------------------------------------------------- what a source imports


def imported_modules(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Give every imported module's dotted name and line, functions and branches included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield node.module, node.lineno
            # `from crnnkit.model import crnn` imports crnnkit.model.crnn
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def top_imports(source: str) -> set[str]:
    """Give the top-level packages that run when the module is loaded."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return {name.split(".")[0] for name, _ in imported_modules(tree)}


def all_imports(source: str) -> set[str]:
    """Give the top-level packages that the source imports anywhere."""
    return {name.split(".")[0] for name, _ in imported_modules(ast.parse(source))}


# ---------------------------------------------------------------- rules: module, source → breaches


def layer_breaches(module: str, source: str) -> list[str]:
    """`module` is a path below crnnkit without suffix, such as "model/crnn"."""
    stage = module.split("/")[0]
    if stage == "__init__":
        return [f"line {n}: crnnkit/__init__ imports {m}" for m, n in own_imports(source)]
    breaches = []
    for name, line in own_imports(source):
        other = name.split(".")[1]
        if other in RANK and other != stage and RANK[other] >= RANK[stage]:
            breaches.append(f"line {line}: {module} stands before {other} and imports it")
    return breaches


def own_imports(source: str) -> list[tuple[str, int]]:
    """Give the imports from within crnnkit."""
    return [(m, n) for m, n in imported_modules(ast.parse(source)) if m.startswith("crnnkit.")]


def confinement_breaches(module: str, source: str) -> list[str]:
    """A heavy library stays in the rooms that need it."""
    breaches = []
    for library, rooms in CONFINED.items():
        if re.fullmatch(rooms, module) or library not in all_imports(source):
            continue
        guest_rooms = INSIDE_FUNCTIONS.get(library, "(?!)")
        if library in top_imports(source) or not re.fullmatch(guest_rooms, module):
            breaches.append(f"{module} imports {library}")
    return breaches


def length_breaches(module: str, source: str) -> list[str]:
    """Files and functions stay short enough to read at once."""
    breaches = []
    if (length := len(source.splitlines())) > MAX_FILE_LINES:
        breaches.append(f"{module} has {length} lines")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                breaches.append(f"line {node.lineno}: {node.name} has {length} lines")
    return breaches


def except_breaches(_module: str, source: str) -> list[str]:
    """Nothing is caught that was not named."""
    breaches = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = (
                {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                if node.type
                else {""}
            )
            if caught & {"", "Exception", "BaseException"}:
                breaches.append(f"line {node.lineno}: broad except")
    return breaches


def kwargs_breaches(_module: str, source: str) -> list[str]:
    """No function takes settings whose names it does not know."""
    return [
        f"line {node.lineno}: {node.name} takes **{node.args.kwarg.arg}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwarg
    ]


def package_init_breaches(module: str, source: str) -> list[str]:
    """A folder's __init__ holds its docstring, and the package's its version and a setting.

    The setting has to be made before anything imports onnxruntime.
    """
    if not module.endswith("__init__"):
        return []
    body = ast.parse(source).body
    own = ("__version__ = ", "import os", "os.environ.setdefault('ORT_DISABLE_TELEMETRY'")
    allowed = own if module == "__init__" else ()
    extra = [n for n in body[1:] if not ast.unparse(n).startswith(allowed)]
    has_docstring = bool(body) and ast.get_docstring(ast.parse(source)) is not None
    return [f"line {n.lineno}: more than a docstring" for n in extra] + (
        [] if has_docstring else [f"{module}: no docstring"]
    )


PACKAGE_RULES = [
    layer_breaches,
    confinement_breaches,
    length_breaches,
    except_breaches,
    kwargs_breaches,
    package_init_breaches,
]

BAD_SAMPLES = [
    (layer_breaches, "vocab", "import crnnkit.dataset.index\n", "imports it"),
    (layer_breaches, "vocab", "from crnnkit import metrics\n", "imports it"),  # same shelf
    (layer_breaches, "model/crnn", "def f():\n    from crnnkit.plots.charts import x\n", "line 2"),
    (layer_breaches, "serving/server", "from crnnkit import cli\n", "imports it"),
    (layer_breaches, "__init__", "from crnnkit.vocab import Vocab\n", "imports crnnkit.vocab"),
    (confinement_breaches, "vocab", "import torch.nn as nn\n", "imports torch"),
    (confinement_breaches, "vocab", "def f():\n    import torch\n", "imports torch"),
    (confinement_breaches, "serving/network", "import torch\n", "imports torch"),
    (confinement_breaches, "evaluation/report", "import matplotlib.pyplot\n", "matplotlib"),
    (confinement_breaches, "workbook/widgets", "import papermill\n", "papermill"),
    (confinement_breaches, "cli", "from ipywidgets import Button\n", "ipywidgets"),
    (length_breaches, "vocab", "x = 1\n" * 401, "401 lines"),
    (length_breaches, "vocab", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (except_breaches, "vocab", "try:\n    f()\nexcept:\n    pass\n", "line 3"),
    (except_breaches, "vocab", "try:\n    f()\nexcept Exception:\n    pass\n", "line 3"),
    (except_breaches, "vocab", "try:\n    f()\nexcept (OSError, Exception) as e:\n    pass\n", "3"),
    (kwargs_breaches, "vocab", "def f(a, **kwargs):\n    g(**kwargs)\n", "f takes **kwargs"),
    (package_init_breaches, "model/__init__", '"""Doc."""\nfrom a import b\n', "line 2"),
    (package_init_breaches, "model/__init__", "", "no docstring"),
]

GOOD_SAMPLES = [
    (layer_breaches, "cli", "from crnnkit import __version__\nimport crnnkit.workbook.pipeline\n"),
    (layer_breaches, "dataset/doctor", "from crnnkit.dataset.index import Line\n"),
    (confinement_breaches, "serving/network", "def f():\n    import torch\n"),
    (confinement_breaches, "model/crnn", "import torch\n"),
    (length_breaches, "vocab", "def f():\n" + "    x = 1\n" * 59),
    (except_breaches, "vocab", "try:\n    f()\nexcept (OSError, ValueError):\n    pass\n"),
    (kwargs_breaches, "vocab", "def f(a, *args):\n    Config(**a)\n"),
    (package_init_breaches, "__init__", '"""Doc."""\n__version__ = "1"\n'),
]


@pytest.mark.parametrize(("rule", "module", "source", "named"), BAD_SAMPLES)
def test_a_rule_finds_its_breach(rule, module, source, named):
    assert any(named in breach for breach in rule(module, source))


@pytest.mark.parametrize(("rule", "module", "source"), GOOD_SAMPLES)
def test_a_rule_lets_good_code_pass(rule, module, source):
    assert rule(module, source) == []


def modules(folder: str) -> dict[str, str]:
    """Give the source of every module below a folder of the project."""
    base = ROOT / folder
    return {
        path.relative_to(base).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(base.rglob("*.py"))
    }


PACKAGE = modules("crnnkit")


@pytest.mark.parametrize("module", PACKAGE)
def test_the_package_keeps_the_rules(module):
    assert [b for rule in PACKAGE_RULES for b in rule(module, PACKAGE[module])] == []


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "data"])
def test_tests_and_benchmarks_stay_short_and_catch_what_they_name(folder):
    found = {
        module: length_breaches(module, source) + except_breaches(module, source)
        for module, source in modules(folder).items()
    }
    assert {module: breaches for module, breaches in found.items() if breaches} == {}


def test_every_module_has_its_shelf():
    assert {module.split("/")[0] for module in PACKAGE} - {"__init__"} <= set(RANK)


# ---------------------------------------------------------------- the package as a whole


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Give for each module the modules of the package that it imports."""
    graph = {}
    for module, source in sources.items():
        names = {name.removeprefix("crnnkit.").replace(".", "/") for name, _ in own_imports(source)}
        graph[module] = names & set(sources)
    return graph


def test_a_circle_of_imports_is_found():
    sources = {
        "model/crnn": "from crnnkit.model.ctc import loss",
        "model/ctc": "from crnnkit.model import crnn",
    }
    with pytest.raises(CycleError, match="crnn"):
        list(TopologicalSorter(import_graph(sources)).static_order())


def test_no_circle_of_imports():
    order = list(TopologicalSorter(import_graph(PACKAGE)).static_order())
    assert len(order) == len(PACKAGE)


def test_the_serving_side_and_the_command_load_without_torch():
    code = (
        "import sys, crnnkit.cli.app, crnnkit.serving.server; print({'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "set()"


def test_every_imported_library_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + extras["workbook"] + extras["synth"]
    lines += extras["formats"]
    declared = {re.match(r"[\w-]+", line)[0].lower().replace("-", "_") for line in lines}
    import_names = {
        "ipython": "IPython",
        "opencv_python": "cv2",
        "pillow": "PIL",
        "python_stdnum": "stdnum",
        "pyyaml": "yaml",
        "fonttools": "fontTools",
    }
    known = {import_names.get(name, name) for name in declared} | sys.stdlib_module_names
    imported = set().union(*(all_imports(source) for source in PACKAGE.values()))
    assert imported - known - {"crnnkit"} == set()


# ---------------------------------------------------------------- every file of the project


def word_breaches(text: str) -> list[str]:
    """Words and addresses that do not belong into the project."""
    return [
        f"line {number}: {match[0]}"
        for pattern in (FORBIDDEN_WORDS, MACHINE_PATHS, HOSTS)
        for number, line in enumerate(text.splitlines(), start=1)
        for match in pattern.finditer(line)
    ]


@pytest.mark.parametrize(
    "bad",
    [
        "x = 1  # TO" + "DO later",
        "raise NotImplemented" + "Error",
        "open('/wo" + "rk/main/data/train.txt')",
        '"/ho' + 'me/somebody/lines"',
        "C:\\Users" + "\\me",
        "pip install -i https://pypi.o" + "rg/simple torch",
    ],
)
def test_a_forbidden_word_is_found(bad):
    assert len(word_breaches(f"first line\n{bad}\n")) == 1


def test_harmless_words_pass():
    assert word_breaches("a/work/b, ../shared, ~/home/x, workbook/, rooted, METODOS") == []


def tracked_files() -> list[Path]:
    """Give the files that git keeps; outside a checkout, those of the known folders."""
    if not (ROOT / ".git").exists():
        folders = ["crnnkit", "tests", "benchmarks", "notebooks", ".ci"]
        return [p for f in folders for p in (ROOT / f).rglob("*") if p.is_file()]
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_holds_a_forbidden_word():
    found = {}
    for path in tracked_files():
        raw = path.read_bytes()
        if b"\0" not in raw and (breaches := word_breaches(raw.decode("utf-8", errors="replace"))):
            found[path.relative_to(ROOT).as_posix()] = breaches
    assert found == {}
