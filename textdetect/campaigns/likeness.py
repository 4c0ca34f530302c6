"""Posts at about one time → groups that are more alike than posts of different days are.

Likeness is the cosine of tf-idf weights of runs of four characters, of two in Chinese, Japanese and
Korean (Manning, Raghavan and Schütze, "Introduction to information retrieval", chapter 6). It uses
texts and times alone, never accounts: the bar and the pairs are the same in every permuted world,
so that choosing them costs nothing there. It does not know what a text means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.campaigns.texts import codes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

QUANTILE: Final = 0.999
"""The share of pairs of posts a day or more apart that are less alike than the bar."""
LEAST: Final = 0.15
"""The bar is never lower: in a small or mixed dump one rare word would do."""
_DAY_S: Final = 86_400
_N_SAMPLED: Final = 200_000
_MAX_LAG: Final = 500  # of the posts that follow, so many are compared: the nearest in time
_AROUND: Final = 3
_FEW: Final = 64
_BUCKETS: Final = 22  # bits of a hash of characters
_CHUNK: Final = 20_000
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


def find_alike(
    texts: Sequence[str], time_s: NDArray[np.float64], same: NDArray[np.int64], *, window_s: float
) -> NDArray[np.int64]:
    """Group posts at most `window_s` apart that are more alike than 99.9% of those of other days.

    A post is compared with the 500 that follow it at the most, so time grows with the posts, and
    not with their pairs. The posts with the most others like them take these into their groups;
    then each post goes where most of those like it are: no chain makes strangers a group. What goes
    on before and after is no order but news: a post that has half as many others like it from one
    to three windows away as within one stays alone.

    Args:
        texts: normalised, shape (n,).
        time_s: ascending, shape (n,).
        same: clusters of near-identical texts, shape (n,): they are not compared here.
        window_s: seconds, ≥ 0.

    Returns:
        The number of each post's group, in [0, n), shape (n,); most posts are alone in theirs.

    Raises:
        MissingDependency: scipy is not installed.

    >>> said = ["the bridge is closed again", "again they closed the bridge", "so nice a day out"]
    >>> find_alike(said, np.array([0.0, 60.0, 9e5]), np.arange(3), window_s=600).tolist()
    [0, 0, 2]
    """
    if len(texts) < 2:
        return np.arange(len(texts))
    unique, number = codes(texts)
    weights = _weights(unique)
    bar = _bar(weights, number, time_s)
    found = [np.zeros((2, 0), dtype=np.int64)]
    for rows, columns in _blocks(time_s, _AROUND * window_s):
        product = (weights[number[rows]] @ weights[number[columns]].T).tocoo()
        near = product.data > bar
        first, second = product.row[near] + rows.start, product.col[near] + rows.start
        kept = (second > first) & (second - first <= _MAX_LAG) & (same[first] != same[second])
        kept &= time_s[second] - time_s[first] <= _AROUND * window_s
        found.append(np.stack([first[kept], second[kept]]).astype(np.int64))
    pairs = np.concatenate(found, axis=1)
    close = time_s[pairs[1]] - time_s[pairs[0]] <= window_s
    n_close, n_around = (
        np.bincount(pairs[:, which].ravel(), minlength=len(texts)) for which in (close, ~close)
    )
    brief = n_close > 2 * n_around
    return _groups(pairs[:, close & brief[pairs[0]] & brief[pairs[1]]], len(texts))


def _blocks(time_s: NDArray[np.float64], window_s: float) -> Iterator[tuple[slice, slice]]:
    """Give runs of posts, and with each the posts that may be paired with it."""
    start, n = 0, len(time_s)
    while start < n:
        end = int(np.searchsorted(time_s, time_s[start] + window_s, side="right"))
        end = min(n, max(start + _FEW, min(end, start + _MAX_LAG)))
        last = int(np.searchsorted(time_s, time_s[end - 1] + window_s, side="right"))
        yield slice(start, end), slice(start, min(last, end + _MAX_LAG))
        start = end


def _groups(pairs: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Make groups of n posts from their pairs, shape (2, n_pairs)."""
    sparse = require("scipy.sparse", extra="campaigns")
    ends, others = np.concatenate([pairs, pairs[::-1]], axis=1)
    near = sparse.csr_matrix((np.ones(len(ends), np.float32), (ends, others)), shape=(n, n))
    n_near = np.diff(near.indptr)
    group = np.arange(n)
    free = n_near > 0
    for post in np.argsort(-n_near, kind="stable")[: int(free.sum())].tolist():
        if free[post]:
            like = near.indices[near.indptr[post] : near.indptr[post + 1]]
            group[[post, *like[free[like]]]] = post
            free[post] = free[like] = False
    own = sparse.csr_matrix((np.ones(n, np.float32), (np.arange(n), group)), shape=(n, n))
    votes = ((near + sparse.identity(n, np.float32, format="csr") / 2) @ own).tocoo()
    order = np.lexsort((votes.col, -votes.data, votes.row))
    first = np.diff(votes.row[order], prepend=-1) > 0
    return np.asarray(votes.col[order][first], dtype=np.int64)


def _bar(weights: csr_matrix, number: NDArray[np.int64], time_s: NDArray[np.float64]) -> float:
    """Give the likeness that 99.9% of sampled pairs of posts a day or more apart do not exceed.

    In a dump of under three days a third of it stands for the day.
    """
    rng = np.random.default_rng(20_260_201)
    one, other = rng.integers(0, len(number), (2, 4 * _N_SAMPLED))
    apart_s = min(float(_DAY_S), float(time_s[-1] - time_s[0]) / 3)
    far = np.flatnonzero(np.abs(time_s[one] - time_s[other]) >= apart_s)[:_N_SAMPLED]
    one, other = number[one[far]], number[other[far]]
    likeness = [np.zeros(1)]
    for start in range(0, len(one), _CHUNK):
        some = slice(start, start + _CHUNK)
        product = weights[one[some]].multiply(weights[other[some]])
        likeness.append(np.asarray(product.sum(axis=1)).ravel())
    return max(LEAST, float(np.quantile(np.concatenate(likeness), QUANTILE)))


def _weights(texts: Sequence[str]) -> csr_matrix:
    """Give each text's tf-idf weights, of length 1, as a sparse matrix of float32."""
    sparse = require("scipy.sparse", extra="campaigns")
    parts = [_counts(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
    counts = sparse.vstack(parts, format="csr")
    n_texts = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log((1 + len(texts)) / (1 + n_texts)).astype(np.float32)
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    squares = np.asarray(counts.multiply(counts).sum(axis=1)).ravel()
    length = np.sqrt(np.maximum(squares, 1e-12)).astype(np.float32)
    counts.data /= np.repeat(length, np.diff(counts.indptr))
    counts.data[n_texts[counts.indices] < 2] = 0  # what one text has makes none alike
    counts.eliminate_zeros()
    return counts


def _counts(texts: Sequence[str]) -> csr_matrix:
    """Count each text's runs of characters, hashed, in a sparse matrix of float32."""
    sparse = require("scipy.sparse", extra="campaigns")
    joined = "\n".join(text.lower().replace("\n", " ") for text in texts) + "\n"
    codes_ = np.frombuffer(joined.encode("utf-32-le", "replace"), dtype=np.uint32)
    row = np.concatenate([[0], np.cumsum(codes_ == 10)[:-1]])
    dense = ((codes_ >= 0x3040) & (codes_ <= 0x9FFF)) | ((codes_ >= 0xAC00) & (codes_ <= 0xD7A3))
    end = codes_ == 10
    runs = []
    for length, barred in ((2, ~dense), (4, dense | end)):
        if len(codes_) < length:
            continue
        n = len(codes_) - length + 1
        fits, key = np.ones(n, dtype=bool), np.full(n, length, dtype=np.uint64)
        for place in range(length):
            fits &= ~barred[place : place + n]
            key = (key ^ codes_[place : place + n]) * _FACTOR
            key ^= key >> np.uint64(29)
        runs.append((row[:n][fits], key[fits]))
    rows, keys = (np.concatenate(part) for part in zip(*runs, strict=True))
    columns = (keys * _FACTOR >> np.uint64(64 - _BUCKETS)).astype(np.int64)
    ones = np.ones(len(rows), dtype=np.float32)
    counts = sparse.coo_matrix((ones, (rows, columns)), (len(texts), 2**_BUCKETS)).tocsr()
    counts.sum_duplicates()
    return counts
