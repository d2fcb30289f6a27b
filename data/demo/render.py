"""Render the demo set: line pictures, three page pictures, their index files and their hash.

    python data/demo/render.py data/demo

The texts come from texts.py, the damage from wear.py. Everything is drawn with font families that
the base checkpoint never trains on: README.md says where they come from.
"""

import argparse
import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import wear
from camera import legibility, photograph
from numpy.random import Generator
from pages import PAGES
from PIL import Image
from texts import TextSource
from typeset import EM, set_line
from wear import Array

SEED = 20240315
SPLITS = {"train": 900, "val": 100, "test": 200}
MIN_TRAIN_COUNT = 8  # occurrences in train of every character that val or test uses
MIN_LEGIBILITY = 0.5  # see camera.legibility; by eye, a person reads what passes


def pad(ink: Array, rng: Generator) -> Array:
    """The crop is never exact: a margin of its own on each side."""
    low, high = (0.2, 0.2, 0.25, 0.25), (0.4, 0.4, 0.8, 0.8)
    top, bottom, left, right = (rng.uniform(low, high) * EM).astype(int)
    return np.pad(ink, ((top, bottom), (left, right)))


def add_surroundings(ink: Array, rng: Generator) -> Array:
    """What else a crop shows: the cut edge of the next line, the rules of a form's cell."""
    height, width = ink.shape
    seen = ink.copy()
    if rng.random() < 0.4:
        neighbour = np.roll(ink[ink.any(1)], int(rng.integers(width)), 1)
        rows = int(rng.uniform(0.06, 0.2) * EM)
        if rng.random() < 0.5:
            seen[:rows] = np.maximum(seen[:rows], neighbour[-rows:])
        else:
            seen[-rows:] = np.maximum(seen[-rows:], neighbour[:rows])
    if rng.random() < 0.3:
        y, x = height * rng.choice((0.06, 0.94)), rng.uniform(0, 0.25 * EM)
        x = rng.choice((x, width - x))
        for line in ([[0, y], [width, y]], [[x, 0], [x, height]]):
            seen = np.maximum(seen, 0.8 * wear.line_mask(ink.shape, np.array(line), 3))
    return seen


# materials: ink and damage level (0..1) → photo (H, W, 3) ---------------------------------------


def print_on(surface: Array, ink: Array, colour: Array, opacity: float) -> Array:
    cover = (ink * opacity)[..., None]
    return surface * (1 - cover) + colour * cover


def on_paper(ink: Array, level: float, rng: Generator) -> Array:
    printer = rng.choice(["laser", "needle", "ribbon", "screen", "wet", "double"])
    if printer == "needle":
        ink = wear.dots(ink, rng.uniform(5, 7), rng)
    elif printer == "ribbon":
        ink = wear.thin(ink, 1) * (0.5 + 0.5 * wear.clouds(ink.shape, 40, rng))
    elif printer == "screen":
        ink = wear.halftone(ink, rng.uniform(5, 8), 1 - 0.6 * level, rng)
    elif printer == "wet":
        ink = wear.bleed(ink, 1 + 3 * level)
    elif printer == "double":
        ink = wear.double(ink, tuple(rng.integers(-6, 7, 2)), 0.3 + 0.4 * level)
    ink = wear.abrade(ink, 0.35 * level, rng)
    surface = wear.paper(ink.shape, rng)
    if rng.random() < 0.3:
        surface = wear.guilloche(surface, rng)
    colours = ((25, 25, 30), (30, 35, 90), (70, 65, 70), (120, 30, 35))
    colour = np.array(colours[rng.integers(len(colours))])
    photo = print_on(surface, ink, colour, 1 - 0.5 * level)
    if rng.random() < 0.2 + 0.4 * level:
        photo = wear.stain(photo, rng)
    return wear.ring_stamp(photo, rng) if rng.random() < 0.3 else photo


def relief(surface: Array, ink: Array, depth: float, raised: bool) -> Array:
    """Engraved or embossed: the text shows by its lit and its shaded edges."""
    soft = cv2.GaussianBlur(ink, (0, 0), 1.5)
    light = np.roll(soft, (-2, -2), (0, 1)) - np.roll(soft, (2, 2), (0, 1))
    shade = (light if raised else -light) - 0.45 * soft
    return surface + depth * shade[..., None]


def on_metal(ink: Array, level: float, rng: Generator) -> Array:
    surface = wear.metal(ink.shape, rng)
    scratches = wear.scratch_mask(ink.shape, int(1 + 9 * level), rng)
    style = rng.choice(["printed", "engraved", "peened"], p=[0.5, 0.3, 0.2])
    if style == "printed":
        ink = wear.abrade(ink, 0.5 * level, rng) * (1 - 0.9 * scratches)
        photo = print_on(surface, ink, np.array([30, 30, rng.uniform(32, 70)]), 0.9 - 0.3 * level)
    else:
        ink = wear.dots(ink, rng.uniform(5, 6.5), rng) if style == "peened" else ink
        photo = relief(surface, ink, 130 - 70 * level, raised=False)
    return photo + (scratches * rng.uniform(-40, 70))[..., None]


def on_plastic(ink: Array, level: float, rng: Generator) -> Array:
    surface = wear.plastic(ink.shape, rng)
    dark = surface.mean() < 130
    scratches = wear.scratch_mask(ink.shape, int(7 * level), rng)
    if rng.random() < 0.2:
        photo = relief(surface, ink, 120 - 60 * level, raised=True)
    else:
        ink = wear.abrade(ink, 0.45 * level, rng) * (1 - 0.7 * scratches)
        colour = np.array([235, 235, 225] if dark else [25, 25, 30])
        photo = print_on(surface, ink, colour, 0.95 - 0.35 * level)
    return photo + (scratches * rng.uniform(20, 60))[..., None]


def on_screen(ink: Array, level: float, rng: Generator) -> Array:
    surface = wear.screen(ink.shape, rng)
    lit, dark = ((90, 240, 120), (240, 190, 70), (225, 230, 235)), ((20, 25, 40),)
    colours = lit if surface.mean() < 130 else dark
    colour = np.array(colours[rng.integers(len(colours))])
    photo = print_on(surface, ink, colour, 0.95 - 0.3 * level)
    return wear.moire(photo, 0.08 + 0.25 * level, rng)


MATERIALS = (on_paper, on_paper, on_metal, on_metal, on_plastic, on_plastic, on_screen)


# the set --------------------------------------------------------------------------------------


def render_line(text: str, rng: Generator) -> Array:
    """One line picture, uint8 (H, W, 3) RGB; drawn again, less worn, until a person can read it."""
    material = MATERIALS[rng.integers(len(MATERIALS))]
    wear_level, camera_level = rng.beta(5, 1, 2)
    while True:
        ink = pad(set_line(text, rng), rng)
        photo = material(add_surroundings(ink, rng), wear_level, rng)
        photo, seen_ink = photograph(photo, ink, camera_level, rng)
        if legibility(photo, seen_ink) >= MIN_LEGIBILITY:
            return photo
        wear_level, camera_level = 0.95 * wear_level, 0.95 * camera_level


def choose_texts(seed: int) -> dict[str, list[str]]:
    """Different texts for each split; held-out texts leave enough of each of their characters."""
    source, texts = TextSource(seed), dict[str, None]()
    on_pages = {text for page, _ in PAGES for text in page.lines}
    while len(texts) < sum(SPLITS.values()):
        texts |= dict.fromkeys({source.draw()} - on_pages)
    left = Counter("".join(texts))
    splits: dict[str, list[str]] = {name: [] for name in SPLITS}
    for text in texts:
        need = Counter(text)
        spare = all(left[c] - n >= MIN_TRAIN_COUNT for c, n in need.items())
        open_splits = [s for s in ("test", "val") if spare and len(splits[s]) < SPLITS[s]]
        splits[open_splits[0] if open_splits else "train"].append(text)
        left -= need if open_splits else Counter()
    return splits


def write_lines(folder: Path, splits: dict[str, list[str]]) -> None:
    number = 0
    for split, texts in splits.items():
        rows = []
        for text in texts:
            name = f"images/{number:04d}.jpg"
            picture = render_line(text, np.random.default_rng([SEED, number]))
            Image.fromarray(picture).save(folder / name, quality=75)
            rows.append(f"{name}\t{text}\n")
            number += 1
        (folder / f"{split}.txt").write_text("".join(rows), encoding="utf-8", newline="\n")


def write_pages(folder: Path) -> None:
    rows = []
    for page, render in PAGES:
        photo, quads = render(np.random.default_rng(SEED))
        picture = np.clip(photo, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / "pages" / page.name, quality=82)
        lines = [
            {"text": text, "points": quad.round(1).tolist()}
            for text, quad in zip(page.lines, quads, strict=True)
        ]
        rows.append(json.dumps({"image": f"pages/{page.name}", "lines": lines}, ensure_ascii=False))
    (folder / "pages.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")


def write_hashes(folder: Path) -> None:
    """SHA256SUMS, in the form that `sha256sum --check` reads, over what a model may see."""
    kinds = ("*.txt", "*.jsonl", "images/*", "pages/*")
    rows = ""
    for path in sorted(path for kind in kinds for path in folder.glob(kind)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows += f"{digest}  {path.relative_to(folder).as_posix()}\n"
    (folder / "SHA256SUMS").write_text(rows, encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the demo set is written")
    folder: Path = parser.parse_args().folder
    for name in ("images", "pages"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_lines(folder, choose_texts(SEED))
    write_pages(folder)
    write_hashes(folder)


if __name__ == "__main__":
    main()
