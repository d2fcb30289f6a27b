"""A recogniser that reads what a table says, and lines on disk for it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from crnnkit.dataset.index import Line
from crnnkit.evaluation.report import evaluate
from crnnkit.model.constraints import Constraint
from crnnkit.preprocessing.images import write_image
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.serving.readings import LineReading
from crnnkit.vocab import Vocab

MakeLines = Callable[[Sequence[str]], list[Line]]


class TableRecognizer:
    """Reads a picture by its file name; stands in for `serving.recognizer.Recognizer`."""

    def __init__(
        self,
        texts: Mapping[str, str],
        confidences: Mapping[str, float] | None = None,
        vocab: str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ -.:北京市",
        name: str = "table.onnx",
    ) -> None:
        self.texts = texts
        self.confidences = confidences or {}
        self.vocab = Vocab(vocab)
        self.line_config = LineConfig()
        self.name = name
        self.calls: list[list[str]] = []
        self.constraints: list[Constraint | None] = []
        """Of each call."""

    def read_lines(
        self,
        sources: Sequence[Path],
        batch_size: int = 32,
        constraint: Constraint | None = None,
    ) -> list[LineReading]:
        self.calls.append([path.stem for path in sources])
        self.constraints.append(constraint)
        return [
            LineReading(self.texts[path.stem], self.confidences.get(path.stem, 0.9), (), ())
            for path in sources
        ]

    def read_line(self, source: Path, constraint: Constraint | None = None) -> LineReading:
        return self.read_lines([source], constraint=constraint)[0]


@pytest.fixture
def make_lines(tmp_path, make_line) -> MakeLines:
    """Give the test a function that draws texts to 0.png, 1.png, … and returns their lines."""

    def draw(texts: Sequence[str], folder: str = "lines") -> list[Line]:
        lines = []
        for i, text in enumerate(texts):
            path = tmp_path / folder / f"{i}.png"
            write_image(path, make_line(text))
            lines.append(Line(path, text, i + 1))
        return lines

    return draw


@pytest.fixture
def evaluate_texts(make_lines):
    """Give the test a function from references and readings to a report."""

    def run(references, hypotheses, *, confidences=None, name="table.onnx", **settings):
        readings = {str(i): text for i, text in enumerate(hypotheses)}
        sure = {str(i): c for i, c in enumerate(confidences or [])}
        recognizer = TableRecognizer(readings, sure, name=name)
        return evaluate(recognizer, make_lines(references), **settings)

    return run


@pytest.fixture
def table_recognizer() -> type[TableRecognizer]:
    """Give the test the class."""
    return TableRecognizer
