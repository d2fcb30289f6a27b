"""Render the frozen test sets: `python -m benchmarks.make_frozen OUT`. Run once; see frozen/README.

Faces and texts that the base checkpoint's training never sees: families TEST_FAMILIES, classical
verse (Debian's fortunes-zh), a handbook (debian-handbook, zh-CN), and even draws from GB2312.
"""

import hashlib
import html
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from crnnkit.dataset import fonts
from crnnkit.dataset.index import Line, write_index
from crnnkit.dataset.styles import Style, sample_style
from crnnkit.dataset.synth import Renderer
from crnnkit.preprocessing.images import write_image
from crnnkit.vocab import Vocab, normalize_text

VERSE = Path("/usr/share/games/fortunes")
HANDBOOK = Path("/usr/share/doc/debian-handbook/html/zh-CN")
SEED = 20261122
REAL_LOOKS = ("scan", "scan", "thermal", "screen", "marker", "photo")


def verse_lines() -> list[str]:
    """Couplets of Tang and Song poems, without titles and poets."""
    lines: list[str] = []
    for name in ("tang300.u8", "song100.u8"):
        plain = re.sub(r"\x1b\[\d*m", "", (VERSE / name).read_text(encoding="utf-8"))
        lines += [normalize_text(line) for line in plain.splitlines()]
    return [line for line in lines if 4 <= len(line) <= 20 and line[0] not in "《作%"]


def handbook_lines(rng: np.random.Generator) -> list[str]:
    """Pieces of 4 to 20 characters of its Chinese paragraphs, Latin words and digits included."""
    pieces: list[str] = []
    for page in sorted(HANDBOOK.glob("*.html")):
        for body in re.findall(r'<div class="para">(.*?)</div>', page.read_text("utf-8"), re.S):
            text = normalize_text(re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", "", body))))
            start = int(rng.integers(10))
            piece = text[start : start + int(rng.integers(4, 21))].strip()
            if len(piece) >= 4 and sum("\u4e00" <= c <= "\u9fff" for c in piece) >= 0.4 * len(
                piece
            ):
                pieces.append(piece)
    return pieces


def rare_lines(charset: str, rng: np.random.Generator) -> Iterator[str]:
    """Hanzi drawn without putting back, so that all of GB2312 has the same chance."""
    hanzi = rng.permutation([c for c in charset if "\u4e00" <= c <= "\u9fff"])
    place = 0
    while place + 12 < len(hanzi):
        count = int(rng.integers(4, 13))
        yield "".join(hanzi[place : place + count])
        place += count


def draw_texts(count: int, drawable: str, rng: np.random.Generator) -> list[str]:
    """40 % verse, 35 % handbook, 25 % even draws; no text twice."""
    allowed = frozenset(drawable)
    verse, prose = verse_lines(), handbook_lines(rng)
    rare = rare_lines(drawable, rng)
    shares = ((verse, round(0.4 * count)), (prose, round(0.35 * count)))
    texts: list[str] = []
    for pool, share in shares:
        usable = sorted({text for text in pool if allowed.issuperset(text)})
        texts += [str(text) for text in rng.choice(usable, share, replace=False)]
    return texts + [next(rare) for _ in range(count - len(texts))]


def render_set(
    out: Path, name: str, families: tuple[str, ...], count: int, vocab: Vocab, seed: int
) -> None:
    """Write `name`.txt and its pictures."""
    rng = np.random.default_rng(seed)
    renderer = Renderer(fonts.of_families(fonts.find_faces(), families))
    drawable = "".join(c for c in vocab.charset if renderer.can_draw(c))
    lines = []
    (out / name).mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(draw_texts(count, drawable, rng), start=1):
        style = draw_style(name, rng)
        picture = renderer.render_line(text, rng, style, in_colour=name != "clean").image
        path = write_small(out / name / f"{number:03}", picture, style)
        lines.append(Line(path.resolve(), text, number))
    write_index(out / f"{name}.txt", lines)


def write_small(stem: Path, picture: np.ndarray, style: Style) -> Path:
    """As PNG where that is small, else as JPEG: noise would make the set three times as large."""
    if style.noise == 0 and style.texture == "flat":
        path = stem.with_suffix(".png")
        write_image(path, picture)
    else:
        path = stem.with_suffix(".jpg")
        Image.fromarray(picture).save(path, quality=85)
    return path


def draw_style(name: str, rng: np.random.Generator) -> Style:
    if name == "clean":
        return sample_style(rng, "clean")
    if name == "handwriting":
        style = sample_style(rng, "hand")
        return replace(style, jitter=0.6 * style.jitter, blur_px=0.5 * style.blur_px)
    return sample_style(rng, REAL_LOOKS[int(rng.integers(len(REAL_LOOKS)))])


def write_hashes(out: Path) -> None:
    """SHA256SUMS in sha256sum's format: `sha256sum -c SHA256SUMS` checks it."""
    files = sorted(p for p in out.rglob("*") if p.suffix in (".txt", ".jsonl", ".png", ".jpg"))
    rows = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(out)}\n" for p in files]
    (out / "SHA256SUMS").write_text("".join(rows), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    zh_en = Vocab.load("vocab/zh_en.txt")
    # Droid Sans Fallback is held out too, but has Micro Hei's outlines and no Latin.
    print_families = ("WenQuanYiMicroHei", "TW-Sung")
    render_set(folder, "clean", print_families, 320, zh_en, SEED)
    render_set(folder, "degraded", print_families, 320, zh_en, SEED + 1)
    render_set(folder, "handwriting", ("SetoFont",), 160, zh_en, SEED + 2)
    write_hashes(folder)
