"""Which characters follow which in a domain: an opinion beside the network's, where that is unsure.

A checkpoint carries the n-grams of its training labels (`Language`); a reader makes of them what
multiplies into its beam (`CharModel`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from crnnkit.errors import ConfigError
from crnnkit.vocab import BLANK_ID, Vocab, normalize_text

BEGIN = "\n"
"""Stands before every text: no label holds it. As an id it is the blank's."""
MAX_ORDER = 8
MAX_NGRAMS = 100_000
"""That a checkpoint may carry: some 2 MB."""
MAX_CONTEXTS = 30_000
"""Whose factors are kept, some 20 MB, lest a service grow with every line that it reads."""


@dataclass(frozen=True)
class Language:
    """How often n-grams occur in the texts of a domain."""

    counts: dict[str, int]
    """N-gram, `BEGIN` included → how often."""
    order: int
    """n of the longest n-grams."""
    weight: float
    """How much its opinion counts, see `CharModel.factor`."""

    def __post_init__(self) -> None:
        """Refuse what no training wrote."""
        if not 2 <= self.order <= MAX_ORDER:
            raise ConfigError(f"language: order {self.order}, must be 2 to {MAX_ORDER}")
        if not 0 < self.weight <= 1:
            raise ConfigError(f"language: weight {self.weight}, must be above 0, at most 1")
        if len(self.counts) > MAX_NGRAMS:
            raise ConfigError(f"language: {len(self.counts)} n-grams, at most {MAX_NGRAMS} may be")
        faulty = [g for g, n in self.counts.items() if n < 1 or not 1 <= len(g) <= self.order]
        if faulty:
            raise ConfigError(f"language: faulty n-grams, such as {faulty[0][:20]!r}")


def learn_language(texts: Iterable[str], order: int = 5, weight: float = 0.3) -> Language | None:
    """Count the n-grams that occur in more than one text; None if none does.

    What only one text says is left out: names and numbers of single documents have no place in a
    file that is passed on. Of more than `MAX_NGRAMS` the most frequent are kept.

    Args:
        texts: as labels write them, and as often as they occur.
    """
    counts, num_texts = Counter[str](), Counter[str]()
    for text in texts:
        padded = BEGIN + normalize_text(text)
        ngrams = [
            padded[start:end]
            for end in range(2, len(padded) + 1)
            for start in range(max(0, end - order), end)
        ]
        counts.update(ngrams)
        num_texts.update(set(ngrams))
    common = Counter({ngram: n for ngram, n in counts.items() if num_texts[ngram] > 1})
    return Language(dict(common.most_common(MAX_NGRAMS)), order, weight) if common else None


class _Followers(NamedTuple):
    """What followed a context."""

    counts: dict[int, int]
    """Character → how often."""
    kinds: int
    """Number of different characters, …"""
    total: int
    """… and of all occurrences: summed up once, not at every question."""


_NOTHING = _Followers({}, 0, 0)


@dataclass(frozen=True, eq=False)
class CharModel:
    """How much likelier a character is after those before it than anywhere, for one vocabulary.

    The ratio, not the probability, weighs in: how frequent a character is the network has learnt
    itself, and texts are not preferred for being short.
    """

    language: Language
    vocab: Vocab
    _known: dict[tuple[int, ...], dict[int, float]] = field(default_factory=dict)
    """Factors asked for so far, by context and character."""

    def known(self, prefix: tuple[int, ...]) -> dict[int, float]:
        """The factors after the ids of `prefix` that have been asked for, by character."""
        context = self._context(prefix)
        known = self._known.get(context)
        if known is None:
            if len(self._known) >= MAX_CONTEXTS:
                self._known.clear()
            known = self._known[context] = {}
        return known

    def factor(self, prefix: tuple[int, ...], following: int) -> float:
        """What to multiply a character's probability with, after the ids of `prefix`: (its
        probability after that ÷ its probability anywhere) to the power of the weight."""
        known = self.known(prefix)
        if following not in known:
            there = self._probability(self._context(prefix), following)
            known[following] = (there / self._probability((), following)) ** self.language.weight
        return known[following]

    def _context(self, prefix: tuple[int, ...]) -> tuple[int, ...]:
        """As much of it as counts."""
        length = self.language.order - 1
        return prefix[-length:] if len(prefix) >= length else (BLANK_ID, *prefix)

    def _probability(self, context: tuple[int, ...], following: int) -> float:
        """Of a character after a context, interpolated with shorter ones: Witten and Bell 1991,
        "The zero-frequency problem", method C."""
        found = self._by_chance
        for start in range(len(context), -1, -1):
            seen, kinds, total = self._followers.get(context[start:], _NOTHING)
            if kinds:
                found = (seen.get(following, 0) + kinds * found) / (total + kinds)
        return found

    @cached_property
    def _by_chance(self) -> float:
        """Probability of a character that nothing is known of."""
        return 1 / len(self.vocab)

    @cached_property
    def _followers(self) -> dict[tuple[int, ...], _Followers]:
        """By context; without what the vocabulary lacks."""
        ids = {character: i for i, character in enumerate(self.vocab.charset, 1)}
        ids[BEGIN] = BLANK_ID
        found: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
        for ngram, count in self.language.counts.items():
            known = [ids[character] for character in ngram if character in ids]
            if len(known) == len(ngram):
                found[tuple(known[:-1])][known[-1]] = count
        return {c: _Followers(seen, len(seen), sum(seen.values())) for c, seen in found.items()}
