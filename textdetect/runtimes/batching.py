"""Batches whose padding is a function of each text alone, so that no neighbour moves a logit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_BATCH: Final = 64


def padded_length(n_tokens: int, max_length: int) -> int:
    """Return the length that a text of `n_tokens` is padded to, whatever else is in its batch.

    Multiples of 8 up to 64, of 16 up to 128, of 32 beyond; never more than `max_length`.

    >>> [padded_length(n, 256) for n in (1, 9, 65, 130, 256)]
    [8, 16, 80, 160, 256]
    """
    step = 8 if n_tokens <= 64 else 16 if n_tokens <= 128 else 32
    return min(-(-max(n_tokens, 1) // step) * step, max_length)


def batches(
    lengths: Sequence[int],
    *,
    max_length: int,
    max_tokens: int = 1024,
    max_texts: int = MAX_BATCH,
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield (positions, padded length): texts of one padded length, so many tokens, texts a batch.

    >>> [(rows.tolist(), width) for rows, width in batches([3, 30, 5], max_length=64)]
    [([0, 2], 8), ([1], 32)]
    """
    widths = np.array([padded_length(n, max_length) for n in lengths], dtype=np.int64)
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        size = max(1, min(max_texts, max_tokens // int(width)))
        for first in range(0, len(rows), size):
            yield rows[first : first + size], int(width)


def pad(
    ids: Sequence[Sequence[int]], rows: NDArray[np.int64], width: int, *, pad_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return input ids and attention mask of a batch; both int64, shape (len(rows), width)."""
    input_ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for line, row in enumerate(rows):
        input_ids[line, : len(ids[row])] = ids[row]
        mask[line, : len(ids[row])] = 1
    return input_ids, mask
