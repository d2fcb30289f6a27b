"""Render data/general: `python -m benchmarks.make_general OUT`. Run once; see data/general/README.

General lines that are trained along while a domain is learnt, so that the base checkpoint's
reading is kept by users who have neither fonts nor word lists. Faces and text sources are those
of the base's own training; the frozen test sets stay apart.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import jieba
import numpy as np
from PIL import Image

from crnnkit.dataset import fonts
from crnnkit.dataset.general_texts import general_texts, within
from crnnkit.dataset.index import Line, write_index
from crnnkit.dataset.synth import Renderer
from crnnkit.dataset.texts import Lexicon, TextSource
from crnnkit.vocab import Vocab

CHINESE = Path(jieba.__file__).with_name("dict.txt")
ENGLISH = Path("/usr/share/dict/words")
SEED = 20261124
NUM_TRAIN, NUM_VAL = 1500, 200
MAX_HEIGHT = 32
JPEG_QUALITY = 80
MAX_CHARACTERS = 16


def every_character(charset: str, rng: np.random.Generator) -> Iterator[str]:
    """All characters in random order, in pieces of a line."""
    shuffled = rng.permutation([c for c in charset if c != " "])
    for start in range(0, len(shuffled), MAX_CHARACTERS):
        yield "".join(shuffled[start : start + MAX_CHARACTERS])


def general_source(charset: str) -> TextSource:
    """The base's own mixture of texts."""
    chinese = Lexicon.load(CHINESE, charset)
    english = Lexicon.load(ENGLISH, charset.replace("'", ""))
    return within(general_texts(charset, chinese, english), charset, MAX_CHARACTERS)


def render(out: Path, split: str, texts: list[str], renderer: Renderer, seed: int) -> None:
    """Write one split: pictures of the texts as JPEG, at most 32 px high, and the index."""
    lines = []
    for number, rendered in enumerate(renderer.generate(texts, np.random.default_rng(seed)), 1):
        picture = out / "images" / f"{split}_{number:04}.jpg"
        small = Image.fromarray(_at_most(rendered.image, MAX_HEIGHT))
        small.save(picture, quality=JPEG_QUALITY)
        lines.append(Line(picture, rendered.text, number))
    write_index(out / f"{split}.txt", lines)


def _at_most(image: np.ndarray, height: int) -> np.ndarray:
    if image.shape[0] <= height:
        return image
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def main(out: Path) -> None:
    """Render both splits."""
    vocab = Vocab.load("vocab/zh_en.txt")
    renderer = Renderer(fonts.of_families(fonts.find_faces(), fonts.TRAINING_FAMILIES))
    charset = "".join(c for c in vocab.charset if c == " " or renderer.can_draw(c))
    rng = np.random.default_rng(SEED)
    source = general_source(charset)
    rare = list(every_character(charset, rng))
    (out / "images").mkdir(parents=True)
    train = rare + [source(rng) for _ in range(NUM_TRAIN - len(rare))]
    render(out, "train", train, renderer, SEED + 1)
    render(out, "val", [source(rng) for _ in range(NUM_VAL)], renderer, SEED + 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
