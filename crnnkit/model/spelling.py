"""How labels write what is printed: small letters as capitals, the dot of a plate not at all.

A pretrained network reads such characters as they are printed. It need not unlearn that, and lose
general reading over it: it is trained on what is printed, and what it reads is then written as the
labels write it. No torch here.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from crnnkit.metrics import confusions
from crnnkit.vocab import BLANK_ID, Vocab

READ_SHARE = 0.1
"""Only a character read on more than this share of the lines can speak of a rule; mere misreadings
are rarer."""
CONSISTENT_SHARE = 0.6
"""So much of a character's occurrences must be written alike."""
IMPOSSIBLE = -1e4
"""As a logit: probability 0 in float32."""


class Spelling:
    """Characters of a vocabulary that are written as another one of it, or as nothing ('')."""

    def __init__(self, vocab: Vocab, written_as: Mapping[str, str]) -> None:
        self.written_as = written_as
        self._pairs = [
            (vocab.encode(written)[0] if written else BLANK_ID, vocab.encode(character)[0])
            for character, written in written_as.items()
        ]

    def merge(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Let each character count for what it is written as; in place, and returned.

        Args:
            logits: (…, V); per step the sum of exp(logits) stays.
        """
        # pair by pair: gathering the columns first, which are few, costs more
        for target, source in self._pairs:
            column = logits[..., target]
            np.logaddexp(column, logits[..., source], out=column)
            logits[..., source] = IMPOSSIBLE
        return logits

    def text(self, printed: str) -> str:
        """A printed text as it is written."""
        return "".join(self.written_as.get(c, c) for c in printed)


def learn_spelling(labels: Sequence[str], readings: Sequence[str], charset: str) -> dict[str, str]:
    """What labels write for characters that they never hold, though many lines are read so.

    Where that is another case for one letter, it is for all that the labels never hold.

    Args:
        labels, readings: the same lines as labelled and as a pretrained network reads them.
        charset: all that it can read.
    """
    written = frozenset().union(*labels)
    num_lines = Counter(c for reading in readings for c in set(reading) - written)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (label, read), count in confusions(labels, readings).items():
        if num_lines[read] > READ_SHARE * len(labels):
            counts[read][label] += count
    leaders = {c: others.most_common(1)[0] for c, others in counts.items()}
    found = {c: w for c, (w, n) in leaders.items() if n >= CONSISTENT_SHARE * counts[c].total()}
    for case in (str.upper, str.lower):
        if any(case(c) == w for c, w in found.items()):
            found |= {c: case(c) for c in charset if c not in written and case(c) in written}
    return found


def printed_text(label: str, reading: str, spelling: Spelling) -> str:
    """What is printed, as far as the reading, written as labels are, agrees with the label."""
    printed: list[str] = []  # per character of the written reading; with what is not written
    unwritten = ""
    for character in reading:
        if spelling.text(character):
            printed.append(unwritten + character)
            unwritten = ""
        else:
            unwritten += character
    if printed:
        printed[-1] += unwritten
    written = spelling.text(reading)
    return "".join(
        "".join(printed[edit.dest_start : edit.dest_end])
        if edit.tag == "equal"
        else label[edit.src_start : edit.src_end]
        for edit in Levenshtein.opcodes(label, written)
    )
