"""The demo set that is shipped: frozen, learnable, and without repeats between its parts."""

import hashlib
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from crnnkit.dataset.doctor import examine
from crnnkit.dataset.index import Line, read_index
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import Vocab

DEMO = Path(__file__).parents[2] / "data" / "demo"
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Line]]:
    return {name: read_index(DEMO / f"{name}.txt") for name in SPLITS}


def test_every_file_is_as_it_was_frozen():
    frozen = dict(row.split("  ")[::-1] for row in (DEMO / "SHA256SUMS").read_text().splitlines())
    files = [p for kind in ("*.txt", "*.jsonl", "images/*", "pages/*") for p in DEMO.glob(kind)]
    digests = {
        path.relative_to(DEMO).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    assert digests == frozen


def test_the_list_of_hashes_is_the_one_that_was_frozen():
    digest = hashlib.sha256((DEMO / "SHA256SUMS").read_bytes()).hexdigest()
    assert digest == "018c7d96a2795e5610ae8f121b913796e9f55d37699907f9302d5f14fb35d86d"


def test_it_has_the_promised_size(splits):
    assert {name: len(lines) for name, lines in splits.items()} == {
        "train": 900, "val": 100, "test": 200,
    }  # fmt: skip
    assert len({line.image for lines in splits.values() for line in lines}) == 1200
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) <= 8_000_000


def test_no_text_stands_in_two_parts(splits):
    texts = {name: {line.text for line in lines} for name, lines in splits.items()}
    texts["pages"] = {line["text"] for page in read_pages() for line in page["lines"]}
    for one, other in combinations(texts, 2):
        assert texts[one] & texts[other] == set(), f"{one} and {other}"


def test_training_from_nothing_meets_every_held_out_character(splits):
    counts = Counter("".join(line.text for line in splits["train"]))
    held_out = set("".join(line.text for name in ("val", "test") for line in splits[name]))
    assert len(counts) <= 400
    assert {c: counts[c] for c in held_out if counts[c] < 8} == {}
    on_pages = {c for page in read_pages() for line in page["lines"] for c in line["text"]}
    assert on_pages <= set(counts)


def test_the_doctor_finds_nothing(splits):
    vocab = Vocab.from_texts(line.text for line in splits["train"])
    diagnosis = examine({name: DEMO / f"{name}.txt" for name in SPLITS}, vocab, LineConfig())
    assert diagnosis.faults == ()


def read_pages() -> list[dict]:
    return [json.loads(row) for row in (DEMO / "pages.jsonl").read_text("utf-8").splitlines()]


def test_there_are_three_pages_of_6_to_15_lines():
    assert [6 <= len(page["lines"]) <= 15 for page in read_pages()] == [True] * 3


@pytest.mark.parametrize("page", read_pages(), ids=lambda page: page["image"])
def test_page_lines_lie_on_ink_in_reading_order_and_apart(page):
    image = read_image(DEMO / page["image"])
    height, width = image.shape[:2]
    grey = image.mean(axis=2)
    bottom = -1.0
    for line in page["lines"]:
        top_left, top_right, bottom_right, bottom_left = np.array(line["points"])
        assert top_left[0] < top_right[0]
        assert bottom_left[0] < bottom_right[0]
        assert top_left[1] < bottom_left[1]
        assert top_right[1] < bottom_right[1]
        low, high = np.array(line["points"]).min(0), np.array(line["points"]).max(0)
        assert (low >= 0).all()
        assert (high <= (width, height)).all()
        assert low[1] > bottom, "lines stand one below the other"
        x0, y0, x1, y1 = (*low.astype(int), *high.astype(int))
        assert np.ptp(grey[y0:y1, x0:x1]) > 80, f"no ink under {line['text']!r}"
        bottom = high[1]
