"""What a data set consists of: counts of texts, lengths and characters; none of them a fault."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crnnkit.dataset.faults import count_of
from crnnkit.dataset.index import Line
from crnnkit.vocab import WIDTH_TWINS

RARE_BELOW = 5
"""Characters in fewer lines than this are called rare: too few to learn them from nothing."""

_BAR_WIDTH = 40
_LENGTH_BINS = ((1, 1), (2, 3), (4, 7), (8, 11), (12, 15), (16, 23), (24, 31), (32, 63), (64, None))
_FREQUENCY_BINS = ((1, 1), (2, 4), (5, 19), (20, 99), (100, 499), (500, None))
_MAX_CHARACTERS = 40
"""Characters that a row spells out."""


@dataclass(frozen=True)
class SplitProfile:
    """Counts of one split; every count is a number of lines."""

    num_lines: int
    num_texts: int
    num_seen: int
    """Lines whose text the first split has too; 0 for the first split itself."""
    lengths: dict[int, int]
    """Length of a text in characters → lines, in order of length."""
    characters: dict[str, int]
    """Character → lines that hold it, most frequent first."""
    doubled: dict[str, int]
    """Character → lines that hold it twice in a row, most frequent first."""
    num_doubled: int
    """Lines with any character twice in a row, for which CTC needs a blank between the two."""

    def rare(self, below: int = RARE_BELOW) -> dict[str, int]:
        """Characters that fewer than `below` lines hold, rarest first."""
        return {c: n for c, n in reversed(self.characters.items()) if n < below}


@dataclass(frozen=True)
class WidthTwins:
    """A character that a data set writes in both widths, such as ':' and '：'."""

    often: str
    num_often: int
    """Lines that hold it."""
    seldom: str
    num_seldom: int
    first_seldom: str
    """`split:line number` of the first of them."""


@dataclass(frozen=True)
class Profile:
    """What a data set consists of, per split, the training set first."""

    splits: dict[str, SplitProfile]
    width_twins: tuple[WidthTwins, ...]
    """The most frequent first."""

    def format(self, rare_below: int = RARE_BELOW) -> str:
        """Counts and histograms for a terminal."""
        rows: list[str] = []
        for split, counts in self.splits.items():
            rows += _format_split(split, counts, rare_below, next(iter(self.splits)))
        for twins in self.width_twins:
            rows.append(
                f"both widths: {twins.often!r} in {count_of(twins.num_often, 'line')}, "
                f"{twins.seldom!r} in {twins.num_seldom}, first {twins.first_seldom}. "
                "Write one of them unless the pictures show both."
            )
        return "\n".join(rows)


def profile_lines(lines: Mapping[str, Sequence[Line]]) -> Profile:
    """Count a data set's lines, texts, lengths and characters.

    Args:
        lines: split → its lines, the training set first.
    """
    first = {line.text for members in list(lines.values())[:1] for line in members}
    splits = {
        split: _profile_split([line.text for line in members], first if number else set())
        for number, (split, members) in enumerate(lines.items())
    }
    return Profile(splits, _find_width_twins(lines))


def _profile_split(texts: Sequence[str], seen: set[str]) -> SplitProfile:
    doubled = [{a for a, b in zip(text, text[1:], strict=False) if a == b} for text in texts]
    return SplitProfile(
        num_lines=len(texts),
        num_texts=len(set(texts)),
        num_seen=sum(text in seen for text in texts),
        lengths=dict(sorted(Counter(map(len, texts)).items())),
        characters=_by_frequency(map(set, texts)),
        doubled=_by_frequency(doubled),
        num_doubled=sum(map(bool, doubled)),
    )


def _by_frequency(sets: Iterable[set[str]]) -> dict[str, int]:
    counts = Counter(character for characters in sets for character in characters)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _find_width_twins(lines: Mapping[str, Sequence[Line]]) -> tuple[WidthTwins, ...]:
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for split, members in lines.items():
        for line in members:
            for character in set(line.text) & WIDTH_TWINS.keys():
                counts[character] += 1
                first.setdefault(character, f"{split}:{line.line_number}")
    pairs = {tuple(sorted((c, WIDTH_TWINS[c]))) for c in counts if WIDTH_TWINS[c] in counts}
    found = []
    for pair in pairs:
        often, seldom = sorted(pair, key=lambda character: (-counts[character], character))
        found.append(WidthTwins(often, counts[often], seldom, counts[seldom], first[seldom]))
    return tuple(sorted(found, key=lambda twins: (-twins.num_often, twins.often)))


def _format_split(split: str, counts: SplitProfile, rare_below: int, first: str) -> list[str]:
    rows = [f"{split}: {count_of(counts.num_lines, 'line')}, {count_of(counts.num_texts, 'text')}"]
    if split != first:
        unseen = counts.num_lines - counts.num_seen
        rows.append(f"  {counts.num_seen} lines have a text of {first}, {unseen} have another")
    rows.append("  length of a text in characters: lines")
    rows += _histogram(counts.lengths, _LENGTH_BINS)
    spread = Counter(counts.characters.values())
    rows.append(f"  lines that hold a character: characters, {len(counts.characters)} in all")
    rows += _histogram(spread, _FREQUENCY_BINS)
    if split == first and (rare := counts.rare(rare_below)):
        rows.append(f"  in fewer than {count_of(rare_below, 'line')}: {_listed(rare)}")
    if counts.num_doubled:
        share = counts.num_doubled / counts.num_lines
        rows.append(
            f"  twice in a row in {count_of(counts.num_doubled, 'line')} ({share:.1%}): "
            f"{_listed(counts.doubled)}"
        )
    return rows


def _histogram(counts: Mapping[int, int], bins: Sequence[tuple[int, int | None]]) -> list[str]:
    """One bar per bin that holds anything; bins are closed, None = no upper end."""
    rows = []
    sums = [sum(n for v, n in counts.items() if v >= a and (b is None or v <= b)) for a, b in bins]
    for (low, high), total in zip(bins, sums, strict=True):
        if total:
            label = str(low) if low == high else f"{low}–{high or ''}"
            bar = "█" * max(1, round(_BAR_WIDTH * total / max(sums)))
            rows.append(f"    {label:>8} {bar} {total}")
    return rows


def _listed(counts: Mapping[str, int]) -> str:
    """`'a'×3 'b'×1`, at most `_MAX_CHARACTERS` of them."""
    listed = " ".join(f"{c!r}×{n}" for c, n in list(counts.items())[:_MAX_CHARACTERS])
    more = len(counts) - _MAX_CHARACTERS
    return f"{listed} and {more} more" if more > 0 else listed
