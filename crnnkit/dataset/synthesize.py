"""A rendered data set in the project's format, from a word list, number schemes and fonts."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from crnnkit.dataset.fonts import find_faces
from crnnkit.dataset.index import Line, new_folder, split_lines, write_index
from crnnkit.dataset.likeness import MAX_CROPS, sample_like, styles_like
from crnnkit.dataset.styles import LOOKS, Style, sample_style
from crnnkit.dataset.synth import Renderer
from crnnkit.dataset.texts import Lexicon, Pattern, TextSource, mixture, random_string
from crnnkit.errors import ConfigError, DatasetError
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.vocab import Vocab

_LINES_PER_TASK = 50
_SPLIT_REMEDY = "Equal texts stand in one of them: give more texts, or --val-fraction 0."
_LIKE_SHARE = 0.8
_CROP_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class SynthConfig:
    """What to render; at least one of lexicon, patterns and vocab is needed."""

    out: Path
    """A folder that does not exist yet, or is empty."""
    num_lines: int
    lexicon: Path | None = None
    """Words, one per line, each with a count if they are not equally frequent."""
    patterns: tuple[str, ...] = ()
    """Number schemes, see `texts.Pattern`."""
    vocab: Path | None = None
    """A vocabulary file: adds random strings of its characters, so that rare ones occur too."""
    fonts: tuple[Path, ...] = ()
    """Font files and folders; empty: the fonts of this system."""
    looks: tuple[str, ...] = ()
    """Names from `styles.LOOKS`; empty: all of them, each with its usual share."""
    like: Path | None = None
    """A folder with some of your own crops: most lines get their colours, proportions, blur and
    noise; the others keep the looks above, because no 50 crops show all that will come."""
    val_fraction: float = 0.1
    """Share of the lines in val.txt, 0 for none; equal texts never stand in both files."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered.

        Raises:
            ConfigError: naming the field.
        """
        if self.num_lines < 2:
            raise ConfigError(f"synth: num_lines {self.num_lines}: must be 2 or more.")
        if self.lexicon is None and not self.patterns and self.vocab is None:
            raise ConfigError("synth: nothing to write. Give a lexicon, patterns or a vocabulary.")
        if not 0 <= self.val_fraction < 1:
            raise ConfigError(f"synth: val_fraction {self.val_fraction}: must lie in 0 to 1.")
        unknown = [look for look in self.looks if look not in LOOKS]
        if unknown:
            raise ConfigError(f"synth: unknown looks {unknown}. Known: {', '.join(LOOKS)}.")


@dataclass(frozen=True)
class SynthReport:
    """What was written."""

    out: Path
    num_train: int
    num_val: int
    num_faces: int


def synthesize(config: SynthConfig, processes: int | None = None) -> SynthReport:
    """Render a data set: `train.txt`, `val.txt` and a folder of pictures.

    Line n depends on the seed and n alone, so the number of processes changes nothing.
    The folder appears whole or not at all.

    Raises:
        DatasetError: if `out` holds something already, or no font draws a character that is
            needed; all such characters are named.
    """
    painter = _Painter(config)
    painter.check_characters()
    with new_folder(config.out) as partial:
        (partial / "images").mkdir()
        planned = [painter.plan_line(n, partial) for n in range(1, config.num_lines + 1)]
        splits = _split(planned, config)
        _render(painter, partial, processes or os.cpu_count() or 1)
        for name, part in splits.items():
            write_index(partial / f"{name}.txt", part)
    num_train, num_val = len(splits["train"]), len(splits.get("val", []))
    return SynthReport(config.out, num_train, num_val, painter.renderer.num_faces)


def _split(lines: list[Line], config: SynthConfig) -> dict[str, list[Line]]:
    fractions = {"train": 1 - config.val_fraction}
    if config.val_fraction:
        fractions["val"] = config.val_fraction
    return split_lines(lines, fractions, config.seed, remedy=_SPLIT_REMEDY)


class _Painter:
    """Everything a process needs to render line n."""

    def __init__(self, config: SynthConfig) -> None:
        self.config = config
        self.renderer = Renderer(find_faces(config.fonts))
        lexicon = Lexicon.load(config.lexicon) if config.lexicon else None
        patterns = [Pattern(template, lexicon) for template in config.patterns]
        sources: list[tuple[float, TextSource]] = [(1.0 / len(patterns), p) for p in patterns]
        self.alphabet = set("".join(pattern.alphabet for pattern in patterns))
        if lexicon:
            sources.append((1.0, lexicon))
            self.alphabet |= set("".join(lexicon.words))
        if config.vocab:
            charset = Vocab.load(config.vocab).charset.replace(" ", "")
            sources.append((0.5, random_string(charset, (1, 10))))
            self.alphabet |= set(charset)
        self.text_source = mixture(sources)
        self.like = styles_like(_crops(config.like)) if config.like else []

    def check_characters(self) -> None:
        """Before anything is rendered: a line with a hole would teach a wrong reading."""
        missing = sorted(c for c in self.alphabet if not self.renderer.can_draw(c))
        if missing:
            shown = " ".join(f"{c!r} (U+{ord(c):04X})" for c in missing[:20])
            raise DatasetError(
                f"synth: no font draws {len(missing)} of the characters: {shown}. "
                "Add fonts that have them, or take them out of lexicon, patterns and vocabulary."
            )

    def plan_line(self, number: int, folder: Path) -> Line:
        """What line `number` (from 1) will say and where it will lie."""
        path = folder.resolve() / "images" / f"{number:06}.png"
        return Line(path, self.text_source(self._rng(number)), number)

    def write_line(self, number: int, folder: Path) -> None:
        """Render line `number` into `folder`/images."""
        rng = self._rng(number)
        text, style = self.text_source(rng), self._style(rng)
        rendered = self.renderer.render_line(text, rng, style, in_colour=True)
        write_image(self.plan_line(number, folder).image, rendered.image)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng((self.config.seed, number))

    def _style(self, rng: np.random.Generator) -> Style:
        if self.like and rng.random() < _LIKE_SHARE:
            return sample_like(self.like, rng)
        looks = self.config.looks
        return sample_style(rng, looks[int(rng.integers(len(looks)))] if looks else None)


def _crops(folder: Path) -> list[np.ndarray]:
    """Evenly chosen pictures of a folder and its subfolders, at most as many as are looked at."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _CROP_SUFFIXES)
    if not paths:
        raise DatasetError(f"{folder}: no pictures there. Give a folder with crops of lines.")
    return [read_image(path) for path in paths[:: max(1, len(paths) // MAX_CROPS)][:MAX_CROPS]]


def _render(painter: _Painter, folder: Path, processes: int) -> None:
    """All lines, with a progress bar, here or in several processes."""
    numbers = range(1, painter.config.num_lines + 1)
    with tqdm(total=len(numbers), unit="line", desc="render") as progress:
        if processes == 1:
            for number in numbers:
                painter.write_line(number, folder)
                progress.update()
            return
        tasks = [numbers[i : i + _LINES_PER_TASK] for i in range(0, len(numbers), _LINES_PER_TASK)]
        # Not fork: threads of the parent (torch, OpenCV) would leave their locks behind.
        context = multiprocessing.get_context("spawn")
        setup = (painter.config, folder)
        with ProcessPoolExecutor(processes, context, _start_process, setup) as pool:
            for num_written in pool.map(_write_task, tasks):
                progress.update(num_written)


_process_painter: _Painter
_process_folder: Path


def _start_process(config: SynthConfig, folder: Path) -> None:
    global _process_painter, _process_folder
    cv2.setNumThreads(1)
    _process_painter, _process_folder = _Painter(config), folder


def _write_task(numbers: Sequence[int]) -> int:
    for number in numbers:
        _process_painter.write_line(number, _process_folder)
    return len(numbers)
