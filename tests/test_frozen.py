"""The frozen test sets are what they were when the base checkpoint's bars were set."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from crnnkit.dataset.index import read_index
from crnnkit.dataset.pages import read_pages
from crnnkit.vocab import Vocab

ROOT = Path(__file__).parent.parent
FROZEN = ROOT / "benchmarks/frozen"
PAGES = ROOT / "benchmarks/pages_zh"


HASHES = {
    FROZEN: "dea72c2f1d8449225e7e82fee6ed6d4225ae93558b36d7fb42532a2838dab40b",
    PAGES: "71bba1d75613ad08ad9eb161acfed24a996a49a184c99f8f60fcafc26b78fd88",
}
"""Of the hash lists, as they were written before training and tuning."""


@pytest.mark.parametrize("folder", HASHES, ids=lambda folder: folder.name)
def test_every_file_has_its_hash_and_none_is_missing_or_new(folder: Path) -> None:
    listed = dict(
        reversed(row.split("  ")) for row in (folder / "SHA256SUMS").read_text().splitlines()
    )
    present = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.suffix in (".txt", ".jsonl", ".png", ".jpg")
    }
    assert present == listed


@pytest.mark.parametrize("folder", HASHES, ids=lambda folder: folder.name)
def test_hash_list_is_the_one_written_first(folder: Path) -> None:
    digest = hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()
    assert digest == HASHES[folder]


def test_the_pages_are_forty_of_six_kinds_within_the_vocabulary() -> None:
    pages = read_pages(PAGES / "pages.jsonl")
    vocab = Vocab.load(ROOT / "vocab/zh_en.txt")
    kinds = Counter(page.image.stem.split("_")[0] for page in pages)
    assert kinds == {
        "invoice": 8,
        "screenshot": 8,
        "sign": 6,
        "label": 6,
        "columns": 6,
        "vertical": 6,
    }
    assert vocab.coverage(text for page in pages for text in page.texts).missing == {}


@pytest.mark.parametrize(
    ("name", "least_lines"), [("clean", 300), ("degraded", 300), ("handwriting", 150)]
)
def test_sets_are_large_enough_and_within_the_vocabulary(name: str, least_lines: int) -> None:
    lines = read_index(FROZEN / f"{name}.txt")
    vocab = Vocab.load(ROOT / "vocab/zh_en.txt")
    assert len(lines) >= least_lines
    assert vocab.coverage(line.text for line in lines).missing == {}
    assert all(4 <= len(line.text) <= 20 for line in lines)


def test_all_sets_together_stay_small() -> None:
    for folder, limit in ((FROZEN, 6_000_000), (PAGES, 3_000_000)):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= limit
