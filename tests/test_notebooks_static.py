"""The form of the numbered notebooks, read without running them.

Each rule is a function from a notebook to a list of breaches; each is shown a bad sample first.
"""

import ast
import io
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NAMES = [
    "01_preprocessing",
    "02_dataset",
    "03_vocab",
    "04_finetuning",
    "04b_when_it_gets_worse",
    "05_evaluation",
    "06_serving",
]
MAX_CODE_LINES, MAX_CELL_LINES, MAX_DEF_LINES = 90, 12, 5
MAX_BYTES = 400_000
ALLOWED_IMPORTS = {"crnnkit", "pathlib"}
PARAMETER_TYPES = {"int", "float", "str", "bool", "list[str]", "dict[str,str]"}
SECTIONS = ["check the inputs", "hand over", "what you learned", "try it"]
NOISY_METADATA = {"papermill", "widgets", "execution"}
MACHINE_PATH = re.compile(
    r"(?<![\w.~])/(?:wo" r"rk|ro" r"ot|ho" r"me|Use" r"rs|tmp|var)/[\w.-]+|[A-Z]:\\"
)
TIMING = re.compile(r"\b\d+(\.\d+)? ?(ms|s|sec|seconds|min|minutes|it/s|lines/s)\b|\d:\d\d<")


# ---------------------------------------------------------------- what a notebook holds


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Give the cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    """Give a cell's tags."""
    return cell.metadata.get("tags", [])


def is_parameters(cell: NotebookNode) -> bool:
    """Whether a cell is the one whose values may be replaced."""
    return "parameters" in tags(cell)


def is_imports(cell: NotebookNode) -> bool:
    """Whether a cell does nothing but import."""
    statements = ast.parse(cell.source).body
    return all(isinstance(node, ast.Import | ast.ImportFrom) for node in statements)


def code_lines(source: str) -> list[str]:
    """Give the lines that are neither empty nor only a comment."""
    return [line for line in source.splitlines() if line.strip() and line.strip()[0] != "#"]


def output_texts(cell: NotebookNode) -> Iterator[str]:
    """Give everything readable in a cell's outputs, pictures inside HTML left out."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield re.sub(r"data:image/[^\"')]+", "", "".join(content))


def num_pictures(notebook: NotebookNode) -> int:
    """Count the outputs that show a picture."""
    bundles = [o.get("data", {}) for cell in code_cells(notebook) for o in cell.outputs]
    return sum(
        any(kind.startswith("image/") for kind in bundle)
        or bool(re.search(r"<img|<svg", "".join(bundle.get("text/html", ""))))
        for bundle in bundles
    )


# ---------------------------------------------------------------- rules: notebook → breaches


def parameter_breaches(notebook: NotebookNode) -> list[str]:
    """Exactly one `parameters` cell; each line is `name: type = literal  # comment`."""
    tagged = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells are tagged parameters"]
    breaches = []
    source = tagged[0].source
    for node in ast.parse(source).body:
        line = source.splitlines()[node.lineno - 1]
        if not isinstance(node, ast.AnnAssign) or node.end_lineno != node.lineno:
            breaches.append(f"not one typed line: {line}")
        elif not is_typed_literal(node):
            breaches.append(f"not a literal of its type: {line}")
        elif any("=" in text for text in strings(node.value)):
            breaches.append(f"'=' in a string, which papermill cannot read: {line}")
        elif not has_comment(line):
            breaches.append(f"no comment: {line}")
    return breaches + early_use_breaches(notebook, tagged[0])


def is_typed_literal(node: ast.AnnAssign) -> bool:
    """Whether the default is a plain literal of the annotated type."""
    kind = ast.unparse(node.annotation).replace(" ", "")
    try:
        value = ast.literal_eval(node.value) if node.value else None
    except ValueError:
        return False
    return kind in PARAMETER_TYPES and type(value).__name__ == kind.split("[")[0]


def strings(node: ast.AST) -> list[str]:
    """Give all strings within an expression."""
    return [
        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]


def has_comment(line: str) -> bool:
    """Whether a line ends with a comment of at least two words."""
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return any(t.type == tokenize.COMMENT and len(t.string.split()) >= 3 for t in tokens)


def early_use_breaches(notebook: NotebookNode, parameters: NotebookNode) -> list[str]:
    """Before the parameters there is nothing but imports."""
    breaches = []
    for cell in code_cells(notebook):
        if cell is parameters:
            break
        if not is_imports(cell):
            breaches.append(f"runs before the parameters: {cell.source.splitlines()[0]}")
    return breaches


def size_breaches(notebook: NotebookNode) -> list[str]:
    """A notebook calls the package; it does not hold code of its own."""
    breaches = []
    cells = code_cells(notebook)
    if (total := sum(len(code_lines(cell.source)) for cell in cells)) > MAX_CODE_LINES:
        breaches.append(f"{total} lines of code")
    for cell in cells:
        length = len(code_lines(cell.source))
        if length > MAX_CELL_LINES and not (is_parameters(cell) or is_imports(cell)):
            breaches.append(f"a cell of {length} lines: {cell.source.splitlines()[0]}")
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ClassDef):
                breaches.append(f"class {node.name}")
            is_def = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_def and node.end_lineno - node.lineno + 1 > MAX_DEF_LINES:
                breaches.append(f"def {node.name} is too long")
    return breaches


def import_breaches(notebook: NotebookNode) -> list[str]:
    """Only the package is imported: what it does is tested there."""
    breaches = []
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            breaches += [f"imports {n}" for n in names if n.split(".")[0] not in ALLOWED_IMPORTS]
    return breaches


def section_breaches(notebook: NotebookNode) -> list[str]:
    """A numbered title, the strip of all six, the fixed sections, an assert, two pictures."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    breaches = []
    if not prose or not re.match(r"# 0[1-6]b? · \w", prose[0]):
        breaches.append("does not begin with '# NN · Title'")
    if not prose or not re.search(r"01.*→.*06", prose[0]):
        breaches.append("no strip 01 → … → 06 in the first cell")
    headings = " ".join(re.findall(r"^#+ .*|\*\*.*\*\*", "\n".join(prose), re.MULTILINE)).lower()
    breaches += [f"no section {name!r}" for name in SECTIONS if name not in headings]
    if not any(
        line.startswith("assert ") for c in code_cells(notebook) for line in c.source.split("\n")
    ):
        breaches.append("no assert in plain sight")
    if num_pictures(notebook) < 2:
        breaches.append(f"{num_pictures(notebook)} pictures; one before and one after are due")
    return breaches


def output_breaches(notebook: NotebookNode) -> list[str]:
    """What is committed was run without error and says nothing about one machine or one day."""
    breaches = []
    for cell in code_cells(notebook):
        first = (cell.source.splitlines() or [""])[0]
        if cell.execution_count is None:
            breaches.append(f"not run: {first}")
        if cell.outputs and "keep_output" not in tags(cell):
            breaches.append(f"output without the tag keep_output: {first}")
        if "nbval-check-output" in tags(cell) and not cell.outputs:
            breaches.append(f"golden output is missing: {first}")
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                breaches.append(f"error or stderr: {first}")
        for text in output_texts(cell):
            breaches += [f"machine path {m[0]}: {first}" for m in MACHINE_PATH.finditer(text)]
            breaches += [f"timing {m[0]}: {first}" for m in TIMING.finditer(text)]
    if not any("nbval-check-output" in tags(cell) for cell in code_cells(notebook)):
        breaches.append("no golden output (tag nbval-check-output)")
    return breaches


def metadata_breaches(notebook: NotebookNode) -> list[str]:
    """The kernel is named as everywhere, and no tool has left its notes."""
    breaches = []
    if (kernel := notebook.metadata.get("kernelspec", {}).get("name")) != "python3":
        breaches.append(f"kernel {kernel}")
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        breaches += [f"metadata {key}" for key in sorted(NOISY_METADATA & set(metadata))]
    return breaches


RULES = [
    parameter_breaches,
    size_breaches,
    import_breaches,
    section_breaches,
    output_breaches,
    metadata_breaches,
]


# ---------------------------------------------------------------- each rule finds its breach

PROSE = "# 04 · Fine-tuning\n01 → 02 → 03 → **04** → 05 → 06\n" + "\n".join(
    f"## {name}" for name in SECTIONS
)


def notebook_with(*sources: str, cell_tags: tuple[str, ...] = ("keep_output",)) -> NotebookNode:
    """Make a faultless notebook with the given code cells behind its own."""
    cells = [nbformat.v4.new_markdown_cell(PROSE)]
    picture = nbformat.v4.new_output("display_data", data={"image/png": "aWNvbg=="})
    text = nbformat.v4.new_output("stream", text="12 lines read\n")
    for source, outputs, labels in [
        ("import crnnkit", [], []),
        ("epochs: int = 2  # passes over the training set", [], ["parameters"]),
        ("assert epochs", [picture, picture, text], ["keep_output", "nbval-check-output"]),
        *((source, [], list(cell_tags)) for source in sources),
    ]:
        cell = nbformat.v4.new_code_cell(source, outputs=outputs, execution_count=1)
        cell.metadata["tags"] = labels
        cells.append(cell)
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def with_parameters(source: str) -> NotebookNode:
    """Make a faultless notebook but for its parameters."""
    notebook = notebook_with()
    notebook.cells[2].source = source
    return notebook


def with_output(output_type: str, **content: object) -> NotebookNode:
    """Make a faultless notebook but for one output."""
    notebook = notebook_with("show()")
    notebook.cells[-1].outputs = [nbformat.v4.new_output(output_type, **content)]
    return notebook


def changed(cell: int | None, **changes: object) -> NotebookNode:
    """Make a faultless notebook but for some fields of one cell, or of the whole."""
    notebook = notebook_with()
    (notebook if cell is None else notebook.cells[cell]).update(changes)
    return notebook


BAD_SAMPLES = [
    (parameter_breaches, changed(2, metadata={"tags": []}), "0 cells are tagged"),
    (parameter_breaches, notebook_with("x: int = 1  # a b", cell_tags=("parameters",)), "2 cells"),
    (parameter_breaches, with_parameters("epochs = 2  # passes over it"), "not one typed line"),
    (parameter_breaches, with_parameters("epochs: int = 2.5  # passes over it"), "not a literal"),
    (parameter_breaches, with_parameters("path: str = str(1)  # where it lies"), "not a literal"),
    (parameter_breaches, with_parameters("sep: str = 'a=b'  # between two columns"), "'='"),
    (parameter_breaches, with_parameters("n: dict[str, str] = {'a': 'b=c'}  # a field"), "'='"),
    (parameter_breaches, with_parameters("n: set[str] = {'a'}  # the names"), "not a literal"),
    (parameter_breaches, with_parameters("epochs: int = 2"), "no comment"),
    (parameter_breaches, changed(1, source="print(1)"), "before the parameters"),
    (size_breaches, notebook_with(*["x = 1\n" * 10] * 9), "93 lines"),
    (size_breaches, notebook_with("x = 1\n" * 13), "a cell of 13 lines"),
    (size_breaches, notebook_with("import crnnkit\n" * 12 + "x = 1"), "a cell of 13 lines"),
    (size_breaches, notebook_with("class A:\n    pass"), "class A"),
    (size_breaches, notebook_with("def f():\n" + "    x = 1\n" * 5), "def f is too long"),
    (import_breaches, notebook_with("import torch.nn"), "imports torch.nn"),
    (import_breaches, notebook_with("from os import path"), "imports os"),
    (section_breaches, changed(0, source="# Fine-tuning"), "does not begin with"),
    (section_breaches, changed(0, source="# 04 · Fine-tuning"), "no strip"),
    (section_breaches, changed(0, source=PROSE.replace("## try it", "try it")), "'try it'"),
    (section_breaches, changed(3, source="print(epochs)"), "no assert"),
    (section_breaches, changed(3, outputs=[]), "0 pictures"),
    (output_breaches, changed(3, execution_count=None), "not run"),
    (output_breaches, changed(3, metadata={"tags": []}), "without the tag"),
    (output_breaches, changed(3, outputs=[]), "golden output is missing"),
    (output_breaches, changed(3, metadata={"tags": ["keep_output"]}), "no golden output"),
    (output_breaches, with_output("stream", name="stderr", text="warning"), "stderr"),
    (output_breaches, with_output("error", ename="E", evalue="", traceback=[]), "error"),
    (output_breaches, with_output("stream", text="wrote /ho" "me/a/b.txt"), "machine path"),
    (output_breaches, with_output("stream", text="took 12.3 s"), "timing 12.3 s"),
    (output_breaches, with_output("display_data", data={"text/html": "<b>3 ms</b>"}), "timing"),
    (metadata_breaches, changed(None, metadata={"kernelspec": {"name": "venv"}}), "kernel venv"),
    (metadata_breaches, changed(2, metadata={"papermill": {}}), "metadata papermill"),
    (metadata_breaches, changed(None, metadata={"widgets": {}}), "metadata widgets"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "notebook", "named"), BAD_SAMPLES)
def test_a_rule_finds_its_breach(rule, notebook, named):
    assert any(named in breach for breach in rule(notebook))


def test_a_cell_of_imports_may_be_long():
    assert size_breaches(notebook_with("import crnnkit\n" * 13)) == []


def test_a_faultless_notebook_passes():
    assert [breach for rule in RULES for breach in rule(notebook_with())] == []


# ---------------------------------------------------------------- the notebooks themselves


def test_the_six_notebooks_and_the_extra_one_are_there():
    assert [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_notebooks_keep_the_rules(name):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    assert [breach for rule in RULES for breach in rule(notebook)] == []


def test_the_serving_notebook_shows_its_page_and_an_answer_in_json():
    notebook = nbformat.read(ROOT / "notebooks" / "06_serving.ipynb", as_version=4)
    (cell,) = [c for c in code_cells(notebook) if "docs/web_page.jpg" in c.source]
    assert re.match(r"{'text': '.+', 'confidence': .+, 'box': .+, 'chars': ", cell.outputs[0].text)
    assert "image/jpeg" in cell.outputs[1].data


@pytest.mark.parametrize("name", NAMES)
def test_the_notebooks_are_valid_and_small(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size <= MAX_BYTES
    nbformat.validate(nbformat.read(path, as_version=4))


def test_the_notebook_cleaner_finds_nothing_to_clean():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (entry,) = [hook["entry"] for hook in hooks if hook["id"] == "nbstripout"]
    command = [sys.executable, "-m", *shlex.split(entry), "--verify"]
    notebooks = [str(ROOT / "notebooks" / f"{name}.ipynb") for name in NAMES]
    done = subprocess.run([*command, *notebooks], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
