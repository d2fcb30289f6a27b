"""The Chinese edition says of every cell what the English one says, over the same code."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from crnnkit.errors import PipelineError
from crnnkit.workbook.handover import project_root
from crnnkit.workbook.translation import translate, write_translations

NOTEBOOKS = project_root() / "notebooks"
PROSE = ["# 02 · Data\n\nSee [03](03_vocab.ipynb).", "Set `lr`.\n\n| a | b |\n|---|---|"]


@pytest.fixture
def notebook():
    first, second = map(new_markdown_cell, PROSE)
    return new_notebook(cells=[first, new_code_cell("lr = 1"), second])


def test_prose_is_exchanged_and_code_stays(notebook):
    prose = "".join(f"<!-- cell -->\n{text}\n" for text in PROSE).replace("Data", "数据")
    cells = translate(notebook, prose, "02.md").cells
    assert [cell.source for cell in cells] == [PROSE[0].replace("Data", "数据"), "lr = 1", PROSE[1]]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("# 02", "## 02", "cell 1: other headings: # ##"),
        ("03_vocab", "04_vocab", "cell 1: other links: ](03_vocab.ipynb) ](04_vocab.ipynb)"),
        ("`lr`", "lr", "cell 2: other code: `lr`"),
        ("`lr`", "`lr` `lr`", "cell 2: other code: 2 of 1"),
        ("|---|---|", "", "cell 2: other table rows: 1 of 2"),
        ("<!-- cell -->\nSet", "Set", "02.md: 1 cells of prose, the notebook has 2"),
    ],
)
def test_a_translation_that_fell_behind_is_named(notebook, right, wrong, message):
    prose = "".join(f"<!-- cell -->\n{text}\n" for text in PROSE)
    assert right in prose
    with pytest.raises(PipelineError, match=re.escape(message)):
        translate(notebook, prose.replace(right, wrong), "02.md")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*/*.md")), ids=lambda path: path.stem)
def test_every_translation_is_up_to_date(path: Path):
    notebook = nbformat.read(NOTEBOOKS / f"{path.stem}.ipynb", 4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    translated = translate(notebook, path.read_text(encoding="utf-8"), path.name)
    nbformat.validate(translated)
    assert [cell.source for cell in translated.cells if cell.cell_type == "code"] == code


def test_all_notebooks_are_written_and_those_without_translation_stay(notebook, tmp_path):
    nbformat.write(notebook, tmp_path / "02.ipynb")
    nbformat.write(notebook, tmp_path / "03.ipynb")
    (tmp_path / "zh").mkdir()
    prose = "".join(f"<!-- cell -->\n{text}\n" for text in PROSE).replace("Data", "数据")
    (tmp_path / "zh" / "02.md").write_text(prose, encoding="utf-8")
    assert [path.name for path in write_translations(tmp_path, "zh")] == ["02.ipynb", "03.ipynb"]
    first, second = (nbformat.read(tmp_path / "zh" / f"{n}.ipynb", 4) for n in ("02", "03"))
    assert "数据" in first.cells[0].source
    assert "Data" in second.cells[0].source


def test_an_unknown_language_names_the_known(tmp_path):
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "02.md").touch()
    with pytest.raises(PipelineError, match="no prose in .*fr. Known languages: zh"):
        write_translations(tmp_path, "fr")
