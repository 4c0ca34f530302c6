"""Texts → tokens → batches → logits, by whatever engine runs a batch.

A text's padding is a function of the text alone, so that no neighbour moves its logit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect.posts.scored import Scores

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


def run_in_batches(
    ids: Sequence[Sequence[int]],
    infer: Callable[[NDArray[np.int64], NDArray[np.int64]], Any],
    *,
    max_length: int,
    pad_id: int,
    **most: int,
) -> Iterator[tuple[NDArray[np.int64], Any]]:
    """Run texts' tokens batch by batch: yield (positions, what `infer` gives for these).

    Args:
        infer: input ids and attention mask of a batch → what the engine gives.
        most: see `batches`.
    """
    for rows, width in batches([len(row) for row in ids], max_length=max_length, **most):
        yield rows, infer(*pad(ids, rows, width, pad_id=pad_id))


class BatchRuntime:
    """Texts → tokens → batches → logits, by an engine that a subclass brings.

    Attributes:
        tokenizer: one of the library `tokenizers`, that truncates and does not pad.
        max_length: tokens that the model reads, special tokens included.
        pad_id: token that fills a batch up.
        batch_sizes: see `batches`.
    """

    tokenizer: Any
    max_length: int
    pad_id: int
    batch_sizes: Mapping[str, int] = MappingProxyType({})

    def run(self, texts: Sequence[str]) -> Scores:
        """Score texts; see `Runtime`."""
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        ids = [encoding.ids for encoding in encodings]
        special = self.tokenizer.num_special_tokens_to_add(False)
        sizes = {"max_length": self.max_length, "pad_id": self.pad_id, **self.batch_sizes}
        under_way = list(run_in_batches(ids, self._infer, **sizes))
        logits = np.empty(len(ids), dtype=np.float64)
        for rows, out in under_way:
            logits[rows] = self._logits(out)
        return Scores(
            logits=logits,
            n_tokens=np.array([len(row) - special for row in ids], dtype=np.int64),
            truncated=np.array([bool(encoding.overflowing) for encoding in encodings], np.bool_),
        )

    def _infer(self, input_ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        """Run one batch; arrays of shape (texts, width)."""
        raise NotImplementedError

    def _logits(self, out: Any) -> NDArray[Any]:
        """Give a batch's logits, one a text; asked when all are under way, which a GPU needs.

        Of what a graph gives: two classes' logits, shape (n, 2).
        """
        return np.asarray(out[:, 1].astype(np.float64) - out[:, 0])
