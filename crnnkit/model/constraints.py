"""What may come out of a line: texts of a pattern, of a list, or of some characters alone.

All three become one `Automaton` over the ids of a vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crnnkit.errors import ConfigError, VocabError
from crnnkit.model.automaton import START, Automaton, trie
from crnnkit.model.checks import Check, check_named
from crnnkit.model.decode import (
    Decoded,
    aligned,
    beam_decode,
    decode_line,
    greedy_decode,
    is_sure,
    likely_texts,
)
from crnnkit.model.language import CharModel
from crnnkit.model.patterns import MAX_SHOWN, compile_pattern, listed, shortened
from crnnkit.vocab import Vocab, normalize_text


@dataclass(frozen=True, eq=False)
class Constraint:
    """The texts that may come out, for readers of one vocabulary."""

    automaton: Automaton | None
    """None: all texts."""
    vocab: Vocab
    check: Check | None = None
    """Of the likely texts, the first that obeys it is read; the likeliest where none does."""

    @classmethod
    def pattern(cls, regex: str, vocab: Vocab) -> "Constraint":
        r"""Texts that match a regular expression from end to end.

        It may hold characters, `.`, classes such as `[A-Z\d]` and `[^0-9]`, `\d \w \s` and their
        opposites, groups, `|`, `? * +` and `{m,n}`, with the meaning of Python's `re`. Ranges,
        opposites and `.` reach as far as the vocabulary; a character that is named must be in it.

        Raises:
            ConfigError: if it is no regular expression, holds anything else, or is too large.
            VocabError: if the vocabulary lacks characters that it names, or all of a class.
        """
        return cls(compile_pattern(regex, vocab), vocab)

    @classmethod
    def lexicon(cls, texts: Iterable[str], vocab: Vocab) -> "Constraint":
        """The given texts, once normalised.

        Raises:
            ConfigError: if there are none, one is empty, or they are too many.
            VocabError: naming each text that has characters which the vocabulary lacks.
        """
        entries = [normalize_text(text) for text in texts]
        if not entries or not all(entries):
            raise ConfigError("lexicon: no texts, or an empty one. Give one text or more.")
        faults = [f"{shortened(e)}: {listed(m)}" for e in entries if (m := vocab.missing(e))]
        if faults:
            more = f"; and {len(faults) - MAX_SHOWN} more" if len(faults) > MAX_SHOWN else ""
            raise VocabError(
                f"lexicon: {len(faults)} of {len(entries)} texts have characters that the "
                f"vocabulary lacks: {'; '.join(faults[:MAX_SHOWN])}{more}. "
                "Take the texts out or rebuild the vocabulary (03_vocab)."
            )
        try:
            return cls(trie(map(vocab.encode, entries)), vocab)
        except ConfigError as error:
            raise ConfigError(f"lexicon of {len(entries)} texts: {error}") from None

    @classmethod
    def characters(cls, charset: str, vocab: Vocab) -> "Constraint":
        """Any text, the empty one included, of the given characters.

        Raises:
            ConfigError: if there are none.
            VocabError: naming the characters that the vocabulary lacks.
        """
        if not charset:
            raise ConfigError("characters: none given. Name those that may come out.")
        if missing := vocab.missing(charset):
            raise VocabError(
                f"characters: the vocabulary lacks {listed(missing)}. "
                "Take them out or rebuild the vocabulary (03_vocab)."
            )
        automaton = Automaton()
        state = automaton.add(frozenset(vocab.encode(charset)))
        for earlier in (START, state):
            automaton.connect(earlier, {state})
        automaton.finals |= {START, state}
        return cls(automaton, vocab)

    def accepts(self, text: str) -> bool:
        """Whether a text may come out."""
        if self.vocab.missing(text):
            return False
        return self.automaton is None or self.automaton.accepts(self.vocab.encode(text))

    def decode(self, logits: NDArray[np.floating], language: CharModel | None = None) -> Decoded:
        """The most probable text, (T, V) → what may come out and, if some likely text does, obeys.

        Where the most probable text breaks the check, a wider beam is asked for others.
        """
        if self.automaton is None:
            found = decode_line(logits, language)
        else:
            is_asked = language is not None and not is_sure(greedy_decode(logits))
            opinion = language if is_asked else None
            found = beam_decode(logits, self.automaton, language=opinion)
        if self.check is None or self.check(self.vocab.decode(found.ids)):
            return found
        for ids in likely_texts(logits, self.automaton, language=language):
            if self.check(self.vocab.decode(ids)):
                return aligned(logits, ids)
        return found


def constraint_of(
    vocab: Vocab,
    pattern: str | None = None,
    lexicon: Sequence[str] | None = None,
    chars: str | None = None,
    check: str | None = None,
) -> Constraint | None:
    """The constraint asked for by one of three settings, or None if by none; and by a check.

    Args:
        lexicon: texts; blank ones are left out.
        check: name, see `checks.check_named`.

    Raises:
        ConfigError: if several of the first three are given, or one setting is faulty.
        VocabError: if it needs characters that the vocabulary lacks.
    """
    if check is not None:
        allowed = constraint_of(vocab, pattern, lexicon, chars) or Constraint(None, vocab)
        return replace(allowed, check=check_named(check))
    settings = {"pattern": pattern, "lexicon": lexicon, "chars": chars}
    given = [name for name, value in settings.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are given. Give one; a pattern can say it all.")
    if pattern is not None:
        return Constraint.pattern(pattern, vocab)
    if lexicon is not None:
        return Constraint.lexicon([text for text in lexicon if text.strip()], vocab)
    return None if chars is None else Constraint.characters(chars, vocab)


def read_lexicon(path: str | Path) -> list[str]:
    """The lines of a file, one text each.

    Raises:
        ConfigError: if the file cannot be read as UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: no lexicon: {error}. Give a UTF-8 file with one text a line."
        ) from None
