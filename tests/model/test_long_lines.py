"""Lines read in chunks say what they say in one piece, wherever the seams fall."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnnkit.model.decode import greedy_decode
from crnnkit.model.long_lines import chunk_starts, merged, segments

CHUNK, OVERLAP = 24, 12
"""Time steps."""


def logits_of(ids: list[int]) -> np.ndarray:
    """Steps (T, 12) that surely say these ids."""
    return 20 * np.eye(12, dtype=np.float32)[ids]


def seen_in_parts(line: list[int]) -> tuple[list[np.ndarray], list[int]]:
    """What a network makes of each chunk: at its ends it sees half a character as another one."""
    starts = chunk_starts(len(line), CHUNK, OVERLAP)
    chunks = []
    for start in starts:
        seen = list(line[start : start + CHUNK])
        if start > 0:
            seen[0] = 11
        if start + CHUNK < len(line):
            seen[-1] = 11
        chunks.append(logits_of(seen))
    return chunks, starts


def read_in_parts(line: list[int]) -> tuple[int, ...]:
    parts = segments(*seen_in_parts(line))
    return merged((greedy_decode(part), len(part)) for part in parts).ids


@pytest.mark.parametrize("shift", range(CHUNK))
@pytest.mark.parametrize("pitch", [3, 4, 5])
def test_no_character_is_lost_or_doubled_wherever_the_seams_fall(shift, pitch):
    ids = [1 + i % 10 for i in range(30)]
    line = [0] * shift + [step for i in ids for step in (i, *[0] * (pitch - 1))] + [0] * 9
    assert read_in_parts(line) == tuple(ids)


def test_the_steps_of_a_line_go_on_where_a_segment_ends():
    parts = [greedy_decode(logits_of(part)) for part in ([0, 1, 0], [2, 2], [0, 0])]
    line = merged(zip(parts, (3, 2, 2), strict=True))
    assert line.spans == ((1, 2), (3, 5))
    assert line.steps == (1, 3, 4, 5, 6)


@pytest.mark.parametrize("shift", range(CHUNK))
def test_equal_neighbours_stay_two(shift):
    line = [0] * shift + [5, 0, 0] * 20 + [0] * 9
    assert read_in_parts(line) == (5,) * 20


@pytest.mark.parametrize("shift", range(CHUNK))
def test_a_peak_that_the_next_chunk_sees_a_step_later_is_read_once(shift):
    line = [0] * shift + [step for i in range(20) for step in (1 + i % 10, 0, 0, 0)] + [0] * 9
    chunks, starts = seen_in_parts(line)
    late = [chunk if i % 2 == 0 else np.roll(chunk, 1, axis=0) for i, chunk in enumerate(chunks)]
    parts = segments(late, starts)
    ids = merged((greedy_decode(part), len(part)) for part in parts).ids
    assert [i for i in ids if i != 11] == [1 + i % 10 for i in range(20)]


def test_spans_and_confidence_are_those_of_the_whole_line():
    rng = np.random.default_rng(0)
    line = np.repeat([0, 3, 0, 4, 0, 0, 5, 0, 0, 0] * 5, 2)
    logits = logits_of(line.tolist()) / 4 + rng.normal(0, 0.1, (100, 12)).astype(np.float32)
    starts = chunk_starts(100, CHUNK, OVERLAP)
    chunks = [logits[start : start + CHUNK] for start in starts]
    whole = greedy_decode(logits)
    parts = merged((greedy_decode(part), len(part)) for part in segments(chunks, starts))
    assert parts.ids == whole.ids == (3, 4, 5) * 5
    assert parts.spans == whole.spans
    assert parts.char_confidences == pytest.approx(whole.char_confidences)
    assert parts.confidence == pytest.approx(whole.confidence)


def test_a_line_without_text_is_as_sure_as_its_blanks():
    logits = logits_of([0] * 80) / 6
    starts = chunk_starts(80, CHUNK, OVERLAP)
    parts = segments([logits[start : start + CHUNK] for start in starts], starts)
    reading = merged((greedy_decode(part), len(part)) for part in parts)
    assert reading.ids == ()
    assert reading.confidence == pytest.approx(greedy_decode(logits).confidence)


@given(st.integers(CHUNK + 1, 500))
def test_chunks_cover_the_line_and_overlap_enough(width):
    starts = chunk_starts(width, CHUNK, OVERLAP)
    assert starts[0] == 0
    assert starts[-1] == width - CHUNK
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= CHUNK - OVERLAP).all()
