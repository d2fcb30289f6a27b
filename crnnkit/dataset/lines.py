"""Labelled lines as the trainer eats them: loaded, varied, in batches of equal width."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from crnnkit.dataset.augment import augment
from crnnkit.dataset.index import Line
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.tensors import LineConfig, fit_line, half_turn, pixels_to_array
from crnnkit.vocab import BLANK_ID, Vocab


@dataclass(frozen=True)
class LoadedLine:
    """A line ready for the network but for its variation."""

    line: Line
    pixels: NDArray[np.uint8]
    """uint8 (H, W) or (H, W, 3): the first half of `line_to_array`."""
    config: LineConfig
    """What made the pixels, and will make the array of them."""
    target_ids: tuple[int, ...]
    turned: bool = False
    """Whether `pixels` are the picture turned by 180°."""
    varies: bool = True
    """Whether training may vary it."""

    @property
    def width(self) -> int:
        """Of its array, pixels: padding included."""
        return self.pixels.shape[1]


@dataclass(frozen=True)
class Batch:
    """Lines of one width; no padding beyond each line's own."""

    images: Tensor
    """float32 (B, 1, H, W)."""
    target_ids: Tensor
    """long (B, L), rows padded with the blank."""
    target_lengths: Tensor
    """long (B,)."""
    lines: tuple[Line, ...]

    def take(self, rows: Sequence[int]) -> "Batch":
        """A batch of these rows, which may be none; the labels stay padded as they are."""
        chosen = torch.tensor(rows, dtype=torch.long)
        return Batch(
            images=self.images[chosen],
            target_ids=self.target_ids[chosen],
            target_lengths=self.target_lengths[chosen],
            lines=tuple(self.lines[row] for row in rows),
        )


def load_lines(
    lines: Sequence[Line], vocab: Vocab, config: LineConfig, turned: bool = False
) -> list[LoadedLine]:
    """Read and scale all pictures and encode all texts once; both stay in memory.

    A line of 32x320 takes 10 kB.

    Args:
        turned: turn every picture by 180°.

    Raises:
        ImageError: if a picture cannot be read.
        VocabError: if a text has characters that the vocabulary lacks.
    """

    def load(line: Line) -> LoadedLine:
        image = read_image(line.image)
        pixels = fit_line(half_turn(image) if turned else image, config)
        return LoadedLine(line, pixels, config, tuple(vocab.encode(line.text)), turned)

    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        return list(pool.map(load, lines))


def batches(
    loaded: Sequence[LoadedLine],
    batch_size: int,
    shuffle_seed: tuple[int, ...] | None = None,
    varied_share: float = 0.0,
) -> Iterator[Batch]:
    """All lines once, in batches of equal width, at most `batch_size` lines each.

    Args:
        shuffle_seed: e.g. (seed, epoch); equal seeds give equal batches. None: in order of width.
        varied_share: of the lines that may vary, so many are augmented, from the same seed.
    """
    rng = None if shuffle_seed is None else np.random.default_rng(shuffle_seed)
    for indices in _width_groups(loaded, batch_size, rng):
        yield _collate([loaded[i] for i in indices], rng, varied_share)


def _width_groups(
    loaded: Sequence[LoadedLine], batch_size: int, rng: np.random.Generator | None
) -> list[list[int]]:
    by_width: dict[int, list[int]] = defaultdict(list)
    order = range(len(loaded)) if rng is None else rng.permutation(len(loaded)).tolist()
    for index in order:
        by_width[loaded[index].width].append(index)
    groups = [
        indices[start : start + batch_size]
        for _, indices in sorted(by_width.items())
        for start in range(0, len(indices), batch_size)
    ]
    if rng is not None:
        groups = [groups[i] for i in rng.permutation(len(groups))]
    return groups


def _collate(
    loaded: Sequence[LoadedLine], rng: np.random.Generator | None, varied_share: float
) -> Batch:
    arrays = []
    for item in loaded:
        pixels = item.pixels
        if rng is not None and item.varies and rng.random() < varied_share:
            pixels = augment(pixels, rng)
        arrays.append(pixels_to_array(pixels, item.config))
    target_ids, target_lengths = pad_targets([item.target_ids for item in loaded])
    return Batch(
        images=torch.from_numpy(np.stack(arrays)),
        target_ids=target_ids,
        target_lengths=target_lengths,
        lines=tuple(item.line for item in loaded),
    )


def pad_targets(labels: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Labels as `ctc_loss` takes them: ids (B, L) padded with the blank, lengths (B,)."""
    rows = [torch.tensor(label, dtype=torch.long) for label in labels]
    ids = pad_sequence(rows, batch_first=True, padding_value=BLANK_ID)
    return ids, torch.tensor([len(label) for label in labels])
