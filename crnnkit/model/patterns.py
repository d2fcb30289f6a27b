"""Regular expressions: compiled to automata over a vocabulary, and learnt from texts."""

import re
import string
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from operator import itemgetter
from re import _parser as regex_parser  # type: ignore[attr-defined]
from typing import Any

from crnnkit.errors import ConfigError, VocabError
from crnnkit.model.automaton import START, Automaton
from crnnkit.vocab import Vocab

MAX_SHOWN = 20
"""Faults that a message spells out; the others are counted."""

_REFUSED = {
    "ASSERT": "look-ahead and look-behind are",
    "ASSERT_NOT": "negative look-ahead and look-behind are",
    "AT": r"an anchor (\b, or ^ and $ inside) is",
    "ATOMIC_GROUP": "an atomic group is",
    "GROUPREF": "a backreference is",
    "GROUPREF_EXISTS": "a condition on a group is",
    "POSSESSIVE_REPEAT": "a possessive repeat is",
}
# In the meaning that Python's re gives them for Unicode texts.
_CATEGORIES = {
    "DIGIT": str.isdecimal,
    "SPACE": str.isspace,
    "WORD": lambda character: character.isalnum() or character == "_",
}

_LATIN = {"0-9": string.digits, "A-Z": string.ascii_uppercase, "a-z": string.ascii_lowercase}

Item = tuple[Any, Any]
"""A node of the tree that Python's parser makes: an operation, and what it is about."""


def compile_pattern(regex: str, vocab: Vocab) -> Automaton:
    """The texts of a vocabulary that match a regular expression, see `Constraint.pattern`.

    Raises:
        ConfigError: if it is none, holds what is not supported, or is too large.
        VocabError: if the vocabulary lacks characters that it names, or all of a class.
    """
    where = f"pattern {shortened(regex)}"
    try:
        return _Compiler(vocab).compile(regex)
    except (re.error, OverflowError) as error:
        raise ConfigError(
            f"{where}: no regular expression: {error}. "
            r"Correct it; \ before a character lets it stand for itself."
        ) from None
    except RecursionError:
        raise ConfigError(f"{where}: groups nested too deeply. Use fewer.") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except VocabError as error:
        raise VocabError(f"{where}: {error}") from None


@dataclass
class _Part:
    """A piece of a pattern, by the states that its texts begin and end with."""

    first: set[int] = field(default_factory=set)
    last: set[int] = field(default_factory=set)
    may_be_empty: bool = True


class _Compiler:
    """Makes an automaton of the tree that Python's own parser makes of a regular expression.

    Glushkov's construction, as in Berry and Sethi 1986, "From regular expressions to
    deterministic automata", section 4.
    """

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.automaton = Automaton()
        self.known_ids: dict[str, frozenset[int]] = {}
        """Ids of the classes met so far."""
        self.missing: set[str] = set()
        """Characters that are named but not in the vocabulary."""

    def compile(self, regex: str) -> Automaton:
        tree = regex_parser.parse(regex)
        if tree.state.flags != re.UNICODE:
            raise ConfigError("flags such as (?i) are not supported. Name both cases: [Aa].")
        whole = self.sequence(_without_outer_anchors(list(tree)))
        if self.missing:
            raise VocabError(
                f"the vocabulary lacks {listed(sorted(self.missing))}. "
                "Take them out of the pattern or rebuild the vocabulary (03_vocab)."
            )
        self.automaton.connect(START, whole.first)
        self.automaton.finals |= whole.last | ({START} if whole.may_be_empty else set())
        return self.automaton

    def sequence(self, items: Sequence[Item]) -> _Part:
        whole = _Part()
        for op, value in reversed(items):
            whole = self.join(self.part(str(op), value), whole)
        return whole

    def part(self, op: str, value: Any) -> _Part:
        match op:
            case "LITERAL" | "NOT_LITERAL" | "ANY":
                return self.one_of([(op, value)])
            case "IN":
                return self.one_of([(str(kind), member) for kind, member in value])
            case "SUBPATTERN":
                _, added_flags, removed_flags, items = value
                if not added_flags and not removed_flags:
                    return self.sequence(items)
                raise ConfigError("flags such as (?i:…) are not supported. Name both cases: [Aa].")
            case "BRANCH":
                return self.either([self.sequence(items) for items in value[1]])
            case "MAX_REPEAT" | "MIN_REPEAT":  # greedy or not: the same texts match
                return self.repeat(*value)
        raise ConfigError(f"{_REFUSED.get(op, f'{op} is')} not supported. Write it without.")

    def join(self, left: _Part, right: _Part) -> _Part:
        for state in left.last:
            self.automaton.connect(state, right.first)
        # in place: copying would make long repeats quadratic
        if left.may_be_empty:
            left.first |= right.first
        if right.may_be_empty:
            right.last |= left.last
        return _Part(left.first, right.last, left.may_be_empty and right.may_be_empty)

    def either(self, parts: Sequence[_Part]) -> _Part:
        return _Part(
            set().union(*(part.first for part in parts)),
            set().union(*(part.last for part in parts)),
            any(part.may_be_empty for part in parts),
        )

    def repeat(self, least: int, most: int, items: Sequence[Item]) -> _Part:
        """`least` copies, then optional ones, each within the one before: xx(x(x)?)?."""
        is_endless = most == regex_parser.MAXREPEAT
        num_copies = max(least, 1) if is_endless else most
        whole = _Part()
        for number in reversed(range(num_copies)):
            copy = self.sequence(items)
            if not copy.first:  # it reads nothing, however often
                return whole
            if is_endless and number == num_copies - 1:
                for state in copy.last:
                    self.automaton.connect(state, copy.first)
            whole = self.join(copy, whole)
            whole.may_be_empty |= number >= least
        return whole

    def one_of(self, members: Sequence[Item]) -> _Part:
        key = str(members)
        if key not in self.known_ids:
            self.known_ids[key] = self.class_ids(members)
        state = self.automaton.add(self.known_ids[key])
        return _Part({state}, {state}, may_be_empty=False)

    def class_ids(self, members: Sequence[Item]) -> frozenset[int]:
        """Ids of the characters of a class; what it names must be in the vocabulary."""
        ids: set[int] = set()
        is_negated = False
        for kind, value in members:
            ids |= self.member_ids(kind, value)
            is_negated ^= kind in ("NEGATE", "ANY", "NOT_LITERAL")
        if is_negated:
            ids = set(range(1, len(self.vocab))) - ids
        else:
            named = "".join(chr(value) for kind, value in members if kind == "LITERAL")
            self.missing |= set(self.vocab.missing(named))
        if not ids and not self.missing:
            shown = " ".join(_shown_member(kind, value) for kind, value in members)
            raise VocabError(
                f"no character of the vocabulary is in the class of {shown}. "
                "Take it out of the pattern or rebuild the vocabulary (03_vocab)."
            )
        return frozenset(ids)

    def member_ids(self, kind: str, value: Any) -> set[int]:
        charset = self.vocab.charset
        match kind:
            case "LITERAL" | "NOT_LITERAL":
                return {i for i, c in enumerate(charset, 1) if ord(c) == value}
            case "RANGE":
                return {i for i, c in enumerate(charset, 1) if value[0] <= ord(c) <= value[1]}
            case "CATEGORY":
                name = str(value).removeprefix("CATEGORY_")
                test = _CATEGORIES[name.removeprefix("NOT_")]
                is_wanted = not name.startswith("NOT_")
                return {i for i, c in enumerate(charset, 1) if test(c) == is_wanted}
        return set()  # NEGATE and ANY add nothing themselves


def learn_pattern(texts: Sequence[str], max_unseen: float = 0.02) -> str:
    """A regular expression for the shapes that texts have, to be used with `Constraint.pattern`.

    A shape says of each place what kind of character stands there: a digit, a capital, a small
    letter, another letter (of any script), or which other sign. Within a shape, digits and Latin
    letters stand for all of their kind, other characters for themselves. Four kinds of shape are
    tried, and the first one is taken that leaves few texts out: as described; runs of any length;
    digits and Latin letters not told apart; both.

    Args:
        texts: normalised, as they occur: frequent ones often.
        max_unseen: greatest share of future texts whose shape has not been seen; estimated as the
            share of texts whose shape occurs once (Good 1953, "The population frequencies of
            species and the estimation of population parameters").
    """
    if not texts:
        raise ConfigError("learn_pattern: no texts. Give those of the training lines.")
    for is_coarse, has_runs in product((False, True), repeat=2):
        shapes: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
        for text in texts:
            places = _places(text, is_coarse, has_runs)
            shapes[tuple(kind for kind, _ in places)].append([seen for _, seen in places])
        if sum(len(members) == 1 for members in shapes.values()) <= max_unseen * len(texts):
            break
    return "|".join(
        "".join(_place_regex("".join(seen), has_runs) for seen in zip(*members, strict=True))
        for members in shapes.values()
    )


def _places(text: str, is_coarse: bool, has_runs: bool) -> list[tuple[str, str]]:
    """The kinds of character in a text and what stands there: a character, or a run of a kind."""
    kinds = [(_kind(character, is_coarse), character) for character in text]
    if not has_runs:
        return kinds
    runs = groupby(kinds, key=itemgetter(0))
    return [(kind, "".join(character for _, character in run)) for kind, run in runs]


def _kind(character: str, is_coarse: bool) -> str:
    for kind, members in _LATIN.items():
        if character in members:
            return "Latin" if is_coarse else kind
    return "letter" if character.isalpha() else character


def _place_regex(seen: str, is_run: bool) -> str:
    """A regular expression for all that was seen at one place."""
    ranges = [kind for kind, members in _LATIN.items() if set(seen) & set(members)]
    others = [re.escape(c) for c in sorted(set(seen) - set("".join(_LATIN.values())))]
    is_one = not ranges and len(others) == 1
    return (others[0] if is_one else f"[{''.join(ranges + others)}]") + "+" * is_run


def _without_outer_anchors(items: list[Item]) -> list[Item]:
    """Whole texts are matched, so ^ at the start and $ at the end say nothing new."""
    names = [(str(op), str(value)) for op, value in items]
    starts = names[:1] == [("AT", "AT_BEGINNING")]
    ends = names[-1:] == [("AT", "AT_END")]
    return items[starts : len(items) - ends]


def _shown_member(kind: str, value: Any) -> str:
    """Part of a class, for people: `a-z`, `CATEGORY_SPACE`, `NEGATE`."""
    if kind == "RANGE":
        return f"{chr(value[0])}-{chr(value[1])}"
    return kind if value is None else str(value)


def shortened(text: str) -> str:
    """A text quoted, cut to a length that a message bears."""
    return repr(text if len(text) <= 60 else text[:59] + "…")


def listed(characters: Sequence[str]) -> str:
    """Characters quoted, at most `MAX_SHOWN`."""
    more = f" and {len(characters) - MAX_SHOWN} more" if len(characters) > MAX_SHOWN else ""
    return " ".join(map(repr, characters[:MAX_SHOWN])) + more
