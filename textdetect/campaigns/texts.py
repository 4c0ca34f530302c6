"""Texts → clusters of near-identical texts, by MinHash and locality-sensitive hashing.

Shingles are runs of three words, a Chinese, Japanese or Korean character being a word. It does not
know what a text means: a thorough paraphrase is another text.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require

MIN_WORDS: Final = 4
"""Shorter texts are no objects: "thank you so much" is nobody's campaign."""
_N_BANDS: Final = 10
_BAND: Final = 3
_MAX_WORDS: Final = 256
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|\w+")
_CHUNK: Final = 2**22  # shingles hashed at once


def near_identical(texts: Sequence[str], *, threshold: float = 0.6) -> NDArray[np.int64]:
    """Number each text's cluster of near-identical texts; −1 for one of under `MIN_WORDS` words.

    Texts of one band of hashes are compared with the first of them, and joined if their sets of
    shingles overlap by `threshold` (Jaccard) or more; a cluster is what is joined, directly or in
    steps. The chance to be compared is 1 − (1 − J³)¹⁰ at overlap J: 0.91 at 0.6, 0.998 at 0.8
    (Broder, "On the resemblance and containment of documents", 1997; Leskovec, Rajaraman and
    Ullman, "Mining of massive datasets", section 3.4).

    Args:
        texts: normalised texts; equal ones may be repeated.
        threshold: in (0, 1].

    Returns:
        Cluster numbers, shape (n,); they do not depend on the order of the texts.

    Raises:
        MissingDependency: scipy is not installed.

    >>> near_identical(["a b c d e f g h", "A b c d e f g h i", "x", "q r s t u"]).tolist()
    [0, 0, -1, 1]
    """
    unique, inverse = codes(texts)
    hashes, bounds = _shingles(unique)
    clusters = np.full(len(unique), -1, dtype=np.int64)
    long_enough = np.flatnonzero(np.diff(bounds) > 0)
    if len(long_enough):
        clusters[long_enough] = _clusters(hashes, bounds, long_enough, threshold)
    return clusters[inverse]


def codes(values: Iterable[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Give the sorted distinct values, and each value's place among them.

    As `np.unique`, whose arrays of fixed width grow with the longest text.

    >>> codes(["b", "a", "b"])
    (['a', 'b'], array([1, 0, 1]))
    """
    values = list(values)
    unique = sorted(set(values))
    place = {value: i for i, value in enumerate(unique)}
    return unique, np.fromiter((place[value] for value in values), np.int64, len(values))


def _shingles(unique: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Give the hashes of all texts' shingles in one array, and where each text's begin."""
    crc, found, sizes = zlib.crc32, [], []
    for text in unique:
        words = _WORDS.findall(text.lower()[: 16 * _MAX_WORDS])[:_MAX_WORDS]
        grams = set()
        if len(words) >= MIN_WORDS:
            grams = {
                crc(f"{x} {y} {z}".encode())
                for x, y, z in zip(words, words[1:], words[2:], strict=False)
            }
        found.extend(sorted(grams))
        sizes.append(len(grams))
    return np.array(found, dtype=np.uint64), np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def _clusters(
    hashes: NDArray[np.uint64], bounds: NDArray[np.int64], rows: NDArray[np.int64], threshold: float
) -> NDArray[np.int64]:
    csgraph = require("scipy.sparse.csgraph", extra="campaigns")
    sparse = require("scipy.sparse", extra="campaigns")
    sketch = _sketch(hashes, bounds[rows])
    ones = np.ones(len(hashes), dtype=np.int32)
    _, vocabulary = np.unique(hashes, return_inverse=True)
    shingles = sparse.csr_matrix((ones, vocabulary, bounds), shape=(len(bounds) - 1, len(ones)))
    shingles = shingles[rows]
    left, right = [], []
    for band in range(_N_BANDS):
        key = _mix(sketch[:, band * _BAND : (band + 1) * _BAND])
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.concatenate([[True], key[order][1:] != key[order][:-1]]))
        first = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
        other = first != order
        left.append(first[other])
        right.append(order[other])
    pairs = np.unique(np.stack([np.concatenate(left), np.concatenate(right)], axis=1), axis=0)
    near = _jaccard(shingles, pairs) >= threshold
    n, edges = len(rows), pairs[near]
    graph = sparse.coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), (n, n))
    labels = csgraph.connected_components(graph, directed=False)[1]
    return np.asarray(labels, dtype=np.int64)


def _jaccard(shingles: Any, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    sizes = np.diff(shingles.indptr)
    overlap = np.empty(len(pairs))
    for start in range(0, len(pairs), 200_000):
        a, b = pairs[start : start + 200_000].T
        shared = np.asarray(shingles[a].multiply(shingles[b]).sum(axis=1)).ravel()
        overlap[start : start + 200_000] = shared / (sizes[a] + sizes[b] - shared)
    return overlap


def _sketch(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Give each text the smallest of its shingles' hashes under each of 30 multipliers."""
    rng = np.random.default_rng(20_260_101)
    factor = rng.integers(1, 2**62, _N_BANDS * _BAND, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offset = rng.integers(0, 2**62, _N_BANDS * _BAND, dtype=np.uint64)
    sketch = np.empty((len(starts), len(factor)), dtype=np.uint64)
    ends = np.append(starts[1:], len(hashes))
    begin = 0
    while begin < len(starts):
        end = max(begin + 1, int(np.searchsorted(ends, starts[begin] + _CHUNK)))
        some = hashes[starts[begin] : ends[end - 1]]
        for i, (a, b) in enumerate(zip(factor, offset, strict=True)):
            mixed = some * a + b
            mixed = (mixed ^ (mixed >> np.uint64(29))) * a
            sketch[begin:end, i] = np.minimum.reduceat(mixed, starts[begin:end] - starts[begin])
        begin = end
    return sketch


def _mix(columns: NDArray[np.uint64]) -> NDArray[np.uint64]:
    key = np.zeros(len(columns), dtype=np.uint64)
    for column in columns.T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(31)
    return key
