"""The order in which the lines of a page are read."""

import numpy as np


def reading_order(boxes: np.ndarray, is_column: np.ndarray | None = None) -> list[int]:
    """Sort boxes down the page, and down each column where the page has columns.

    Horizontal bands that share a gutter belong together (a recursive X-Y cut, Nagy & Seth 1984).
    Side by side they are read as columns only if both sides are running text: the two halves
    of a table or a receipt ("Total … 4.90") are read row by row.

    Args:
        boxes: (N, 4) left, top, right, bottom in px of lines on a level page.
        is_column: (N,) which of them run from top to bottom. Together they are read as one
            block, from the right to the left.

    Returns:
        The N indices of the boxes in the order in which they are read.
    """
    if is_column is None or not is_column.any():
        return _ordered(boxes, list(range(len(boxes))))
    rows, columns = np.flatnonzero(~is_column), np.flatnonzero(is_column)
    block = np.concatenate([boxes[columns, :2].min(0), boxes[columns, 2:].max(0)])
    columns = columns[np.argsort(-boxes[columns, 2])]
    order: list[int] = []
    for i in reading_order(np.concatenate([boxes[rows], block[None]])):
        order += [int(rows[i])] if i < len(rows) else columns.tolist()
    return order


def _ordered(boxes: np.ndarray, members: list[int]) -> list[int]:
    order: list[int] = []
    block: list[int] = []
    for band in _split_at_gaps(boxes, members, axis=1):
        if block and len(_split_at_gaps(boxes, block + band, axis=0)) == 1:
            order += _ordered_block(boxes, block)
            block = []
        block += band
    return order + _ordered_block(boxes, block)


def _ordered_block(boxes: np.ndarray, block: list[int]) -> list[int]:
    columns = _split_at_gaps(boxes, block, axis=0)
    if len(columns) > 1 and all(_is_running_text(boxes[column]) for column in columns):
        return [i for column in columns for i in _ordered(boxes, column)]
    return _row_by_row(boxes, block)


def _is_running_text(boxes: np.ndarray) -> bool:
    """Whether lines are as many and as long as those of a paragraph."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    return len(boxes) >= 3 and float(np.median(width / height)) >= 8


def _split_at_gaps(boxes: np.ndarray, members: list[int], axis: int) -> list[list[int]]:
    """Split boxes where no box lies: into columns along axis 0, into bands along axis 1."""
    parts: list[list[int]] = []
    reached = -np.inf
    for i in sorted(members, key=lambda i: boxes[i, axis]):
        if boxes[i, axis] >= reached:
            parts.append([])
        parts[-1].append(i)
        reached = max(reached, boxes[i, axis + 2])
    return parts


def _row_by_row(boxes: np.ndarray, members: list[int]) -> list[int]:
    middle = (boxes[:, 1] + boxes[:, 3]) / 2
    rows: list[list[int]] = []
    for i in sorted(members, key=lambda i: middle[i]):
        # A line belongs to a row while its middle lies within the row's first line.
        if rows and middle[i] < boxes[rows[-1][0], 3] - 0.2 * np.ptp(boxes[rows[-1][0], [1, 3]]):
            rows[-1].append(i)
        else:
            rows.append([i])
    return [i for row in rows for i in sorted(row, key=lambda i: boxes[i, 0])]
