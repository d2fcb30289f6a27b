"""How well whole pages are read: `python -m benchmarks.pages --model BEST.onnx PAGES.jsonl [...]`.

One thread. `--faults` measures the same pages turned, darkened, blurred and photographed, too;
`--peers` Tesseract (`--lang`) and RapidOCR beside ours; `--show` every page of its own.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.page_faults import FAULTS, FROZEN, make
from crnnkit.dataset.pages import Page, read_pages
from crnnkit.evaluation.whole_pages import PageReader, PageResult, evaluate_pages
from crnnkit.preprocessing.images import read_image
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import normalize_text


@dataclass(frozen=True)
class PeerLine:
    """A line that another engine read."""

    text: str
    box: np.ndarray


def tesseract(lang: str) -> PageReader:
    """Debian's Tesseract, a process per page, its lines as its own layout analysis has them."""

    def read(image: Path) -> list[PeerLine]:
        command = ["tesseract", str(image), "-", "-l", lang, "--psm", "3", "tsv"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        words = defaultdict(list)
        for row in csv.DictReader(
            result.stdout.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE
        ):
            if row["level"] == "5" and row["text"].strip():
                words[row["block_num"], row["par_num"], row["line_num"]].append(row)
        return [_joined(line) for line in words.values()]

    return read


def _joined(words: Sequence[dict[str, str]]) -> PeerLine:
    boxes = np.array([[int(w[k]) for k in ("left", "top", "width", "height")] for w in words])
    left, top = boxes[:, :2].min(0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(0)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return PeerLine(normalize_text(" ".join(word["text"] for word in words)), corners)


def rapidocr() -> PageReader:
    """PP-OCR with its own detector and direction classifier."""
    from rapidocr import RapidOCR

    one_thread = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    engine = RapidOCR(params={"Global.log_level": "error"} | one_thread)

    def read(image: Path) -> list[PeerLine]:
        page = read_image(image)
        rgb = page if page.ndim == 3 else cv2.cvtColor(page, cv2.COLOR_GRAY2RGB)
        result = engine(rgb[..., ::-1])
        if result.txts is None:
            return []
        return [
            PeerLine(normalize_text(text), np.asarray(box, np.float32))
            for text, box in zip(result.txts, result.boxes, strict=True)
        ]

    return read


def show(result: PageResult) -> None:
    print(
        f"  {result.image.name}: {result.num_found} of {result.num_lines} lines, "
        f"{result.num_edits} edits in {result.num_characters} characters, "
        f"words {result.num_shared_words} of {result.num_words}, {result.num_read_words} read"
        + ("" if result.is_ordered else ", order wrong"),
        file=sys.stderr,
    )


def measure(name: str, engine: str, read_page: PageReader, pages: list[Page], all_: bool) -> None:
    """Print one row of the table."""
    score = evaluate_pages(read_page, pages, show if all_ else lambda _: None)
    print(
        f"| {name} | {engine} | {100 * score.word_f1:.1f} | {100 * score.line_recall:.1f} "
        f"| {100 * score.cer:.1f} | {score.num_ordered} of {len(pages)} | {score.seconds:.2f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", help="labelled pages, .jsonl")
    parser.add_argument("--model", default="checkpoints/base.onnx", help="default: %(default)s")
    parser.add_argument("--faults", action="store_true", help="also the faulted pages")
    parser.add_argument("--peers", action="store_true", help="also Tesseract and RapidOCR")
    parser.add_argument("--lang", default="chi_sim", help="Tesseract's language(s)")
    parser.add_argument("--show", action="store_true", help="every page, on standard error")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    own = Recognizer.load(arguments.model, 1).read_page
    readers: dict[str, PageReader] = {Path(arguments.model).name: own}
    if arguments.peers:
        readers |= {f"Tesseract {arguments.lang}": tesseract(arguments.lang)}
        readers |= {"RapidOCR": rapidocr()}
    print("| pages | engine | word F1 % | line recall % | CER % | order right | s a page |")
    print("|---|---|---|---|---|---|---|")
    for file in arguments.pages:
        pages = read_pages(file)
        for engine, reader in readers.items():
            measure(file, engine, reader, pages, arguments.show)
        for fault in FAULTS if arguments.faults else ():
            with tempfile.TemporaryDirectory() as folder:
                made, digest = make(pages, fault, Path(folder))
                if not digest.startswith(FROZEN[fault]):
                    print(f"{fault}: pictures {digest[:12]}, not the frozen ones", file=sys.stderr)
                for engine, reader in readers.items():
                    measure(fault, engine, reader, made, arguments.show)


if __name__ == "__main__":
    main()
