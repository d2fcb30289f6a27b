"""The frozen test sets are what they were when the base checkpoint's bars were set."""

import hashlib
from pathlib import Path

import pytest

from crnnkit.dataset.index import read_index
from crnnkit.vocab import Vocab

ROOT = Path(__file__).parent.parent
FROZEN = ROOT / "benchmarks/frozen"


def test_every_file_has_its_hash_and_none_is_missing_or_new() -> None:
    listed = dict(
        reversed(row.split("  ")) for row in (FROZEN / "SHA256SUMS").read_text().splitlines()
    )
    present = {
        path.relative_to(FROZEN).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FROZEN.rglob("*")
        if path.suffix in (".txt", ".png", ".jpg")
    }
    assert present == listed


def test_hash_list_is_the_one_written_before_training() -> None:
    digest = hashlib.sha256((FROZEN / "SHA256SUMS").read_bytes()).hexdigest()
    assert digest == "dea72c2f1d8449225e7e82fee6ed6d4225ae93558b36d7fb42532a2838dab40b"


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
    assert sum(path.stat().st_size for path in FROZEN.rglob("*") if path.is_file()) <= 6_000_000
