"""The notebooks in another language: their code with the prose of `notebooks/<language>/*.md`."""

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from crnnkit.errors import PipelineError
from crnnkit.files import write_text

BREAK = re.compile(r"^<!-- cell -->\n", re.MULTILINE)
"""Stands before the prose of each cell."""
KEPT = {
    "headings": re.compile(r"^#+(?= )", re.MULTILINE),
    "links": re.compile(r"\]\([^)]+\)"),
    "code": re.compile(r"`[^`\n]+`"),
    "table rows": re.compile(r"^\|", re.MULTILINE),
}
"""What a translation has in common with the original, as patterns."""


def translate(notebook: NotebookNode, prose: str, name: str) -> NotebookNode:
    """The notebook with the cells of `prose` in place of its own, code and outputs as they are.

    Raises:
        PipelineError: naming every cell whose headings, links, code or tables are not those of
            the original: one of the two changed and the other did not.
    """
    blocks = [block.strip() for block in BREAK.split(prose)[1:]]
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    if len(blocks) != len(cells):
        raise PipelineError(f"{name}: {len(blocks)} cells of prose, the notebook has {len(cells)}.")
    faults = []
    for number, (cell, block) in enumerate(zip(cells, blocks, strict=True), start=1):
        for what, pattern in KEPT.items():
            original, found = (sorted(pattern.findall(text)) for text in (cell.source, block))
            if original != found:
                odd = sorted(set(original) ^ set(found)) or [f"{len(found)} of {len(original)}"]
                faults.append(f"{name}: cell {number}: other {what}: {' '.join(odd)}")
        cell.source = block
    if faults:
        raise PipelineError("\n".join(faults) + "\nBring the translation up to date.")
    return notebook


def write_translations(notebooks: Path, language: str) -> list[Path]:
    """Write `notebooks/<language>/*.ipynb`; where prose is not translated, it stays English.

    Raises:
        PipelineError: if there is no such language, or a translation has fallen behind.
    """
    folder = notebooks / language
    if not list(folder.glob("*.md")):
        known = ", ".join(sorted({path.parent.name for path in notebooks.glob("*/*.md")}))
        raise PipelineError(f"no prose in {folder}. Known languages: {known}.")
    written = []
    for path in sorted(notebooks.glob("*.ipynb")):
        notebook, prose = nbformat.read(path, 4), folder / f"{path.stem}.md"
        if prose.is_file():
            notebook = translate(notebook, prose.read_text(encoding="utf-8"), prose.name)
        write_text(folder / path.name, nbformat.writes(notebook) + "\n")
        written.append(folder / path.name)
    return written
