"""Real lines read the same alone and in any company, by the model that ships."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.index import read_index
from crnnkit.serving.recognizer import Recognizer
from crnnkit.workbook.handover import project_root

DATA = Path(os.environ.get("CRNNKIT_DATA", project_root().parent / "shared" / "data"))
SETS = ("plates", "wire_markers", "receipts")


def pictures(index: Path, number: int) -> list[Path]:
    return [line.image for line in read_index(index)[:number]]


def check(images: Sequence[Path], batch_sizes: Sequence[int]) -> None:
    """Read the pictures alone and in batches, forwards and shuffled."""
    recognizer = Recognizer.load(project_root() / "checkpoints" / "base.onnx", num_threads=1)
    alone = [recognizer.read_line(image) for image in images]
    assert len({reading.text for reading in alone}) > len(images) / 3  # not all one answer
    shuffled = np.random.default_rng(0).permutation(len(images))
    for batch_size in batch_sizes:
        for order in (range(len(images)), shuffled.tolist()):
            together = recognizer.read_lines([images[i] for i in order], batch_size)
            assert [r.text for r in together] == [alone[i].text for i in order]
            np.testing.assert_allclose(
                [r.confidence for r in together], [alone[i].confidence for i in order], atol=1e-4
            )


def test_demo_lines_read_the_same_alone_and_in_batches():
    check(pictures(project_root() / "data" / "demo" / "test.txt", 48), [8])


@pytest.mark.slow
def test_500_real_lines_read_the_same_alone_and_in_batches():
    if not DATA.is_dir():
        pytest.skip(f"not run: no folder {DATA}; CRNNKIT_DATA names the one that holds it")
    check([p for name in SETS for p in pictures(DATA / name / "val.txt", 200)], [2, 7, 32])
