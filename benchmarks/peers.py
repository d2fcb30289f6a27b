"""What other engines read: `python -m benchmarks.peers INDEX [INDEX ...] [--fold]`.

Tesseract (Debian's tesseract-ocr with chi_sim) and RapidOCR (`pip install rapidocr`), recognition
of given lines only. `--fold` also prints CER with capitals, without spaces, O as 0 and I as 1.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from crnnkit.dataset.index import read_index
from crnnkit.metrics import fold, score
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.vocab import normalize_text

Reader = Callable[[Sequence[np.ndarray]], list[str]]

FOLD = "space+case+O=0,I=1"
"""What `--fold` does not tell apart (`metrics.fold`)."""

MARGIN_PX = 10
"""White border round every line for Tesseract, which reads lines without one much worse."""


def read_with_tesseract(images: Sequence[np.ndarray], language: str = "chi_sim") -> list[str]:
    """Each picture as one text line (page segmentation mode 7), all in one process."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i:05}.png" for i in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            if np.median(grey) < 128:
                grey = 255 - grey
            border = (MARGIN_PX,) * 4
            write_image(path, cv2.copyMakeBorder(grey, *border, cv2.BORDER_CONSTANT, value=255))
        return run_tesseract(paths, "-l", language, "--psm", "7")


def run_tesseract(paths: Sequence[Path], *options: str) -> list[str]:
    """The text of each picture as it is, all in one process."""
    batch = "".join(f"{path}\n" for path in paths)
    command = ["tesseract", "stdin", "-", *options]
    result = subprocess.run(command, input=batch, capture_output=True, text=True, check=True)
    pages = result.stdout.split("\f")
    return [normalize_text(" ".join(page.split("\n"))) for page in pages[: len(paths)]]


def rapidocr_engine() -> Callable:
    """RapidOCR with its default models, in one thread."""
    from rapidocr import RapidOCR

    one = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
    return RapidOCR(params={"Global.log_level": "error"} | one)


def read_with_rapidocr(images: Sequence[np.ndarray]) -> list[str]:
    """Recognition of each picture alone; detection and the direction classifier are off."""
    engine = rapidocr_engine()
    texts = []
    for image in images:
        rgb = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        result = engine(rgb[..., ::-1], use_det=False, use_cls=False, use_rec=True)
        texts.append(normalize_text(result.txts[0] if result.txts else ""))
    return texts


def compare(index: str, readers: dict[str, Reader], folded: bool) -> None:
    """Print one table row per engine: exact match and CER in percent, ms a line."""
    lines = read_index(index)
    images = [read_image(line.image) for line in lines]
    references = [line.text for line in lines]
    for name, reader in readers.items():
        started = time.perf_counter()
        hypotheses = reader(images)
        milliseconds = 1000 * (time.perf_counter() - started) / len(lines)
        plain = score(references, hypotheses)
        row = f"| {index} | {name} | {100 * plain.exact_match:.1f} | {100 * plain.cer:.2f} |"
        if folded:
            alike = score(*[[fold(t, FOLD) for t in texts] for texts in (references, hypotheses)])
            row += f" {100 * alike.exact_match:.1f} | {100 * alike.cer:.2f} |"
        print(f"{row} {milliseconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", nargs="+", help="index files: image path<TAB>text")
    parser.add_argument("--fold", action="store_true", help=f"also folded by {FOLD}")
    arguments = parser.parse_args()
    if shutil.which("tesseract") is None:
        raise SystemExit("tesseract not found: apt-get install tesseract-ocr tesseract-ocr-chi-sim")
    extra = " folded exact % | folded CER % |" if arguments.fold else ""
    print(f"| set | engine | exact % | CER % |{extra} ms a line |")
    print("|---|---|---|---|" + "---|---|" * arguments.fold + "---|")
    for index in arguments.index:
        readers: dict[str, Reader] = {
            "Tesseract chi_sim": read_with_tesseract,
            "RapidOCR": read_with_rapidocr,
        }
        compare(index, readers, arguments.fold)


if __name__ == "__main__":
    main()
