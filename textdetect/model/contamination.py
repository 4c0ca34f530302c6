"""Which test posts a training has seen, told from fingerprints that hold no text.

A checkpoint carries a `SeenFilter` of its training posts, so that an evaluation can set apart the
posts among its own that are no test. Case, blanks, punctuation, links and @names count for nothing.
What counts as seen depends on a post's length in words, as `text.n_words` counts them:

- any length: the same letters and digits in the same order are "exact";
- 5 to 9 words: one word replaced is "near". From Chinese or Japanese characters it takes 10;
- 10 words and more: word pairs that overlap by about a half (Jaccard) are "near": copies with a
  tenth of their words replaced overlap by more, other people's posts on a subject by less.

Only the first 256 words are compared. A part of a post, a translation and a paraphrase are not
found. No text can be read from the fingerprints, but whoever holds or guesses one can ask whether
it was trained on: that is what they are for, and a reason not to publish those of confidential
posts. It knows nothing of labels, parts or models.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from textdetect.errors import CheckpointError, ChecksumMismatch, InvalidInput, NormalisationMismatch
from textdetect.posts.text import NORMALISATION_VERSION, ONE_WORD, coerce, normalise, without

FORMAT_VERSION: Final = 2
MAX_BYTES: Final = 10_000_000

_U64 = NDArray[np.uint64]
_U8 = NDArray[np.uint8]

_ALNUM: Final = rf"[^\W_{ONE_WORD}]+"
_WORD: Final = re.compile(rf"[{ONE_WORD}]|{_ALNUM}(?:['\-]{_ALNUM})*")
_HAS_CJK: Final = re.compile(f"[{ONE_WORD}]")
_CHUNK: Final = 1_024
_MAX_PAIRS: Final = 1 << 17
"""Comparisons held at once, so that memory stays flat where all training posts are alike."""

_MIN_WORDS: Final = 5
_SKETCHED: Final = 10
_MAX_WORDS: Final = 256
_N_KEYS: Final = 10
"""Bytes of a sketch that choose which training posts are compared: two must be the same."""
_BITS: Final = (256, 320)
"""Fewest and most bits of a sketch that are compared; fewer where there are many posts."""
_MIN_AGREEMENT: Final = 0.765
"""Share of equal bits from which two posts are near: (1 + J) / 2 at a Jaccard index J of 0.53."""
_HASH_BITS: Final = 40

_AGAIN: Final = "take the file from the checkpoint again"
_NEWER: Final = "install the textdetect that made the checkpoint"
_MAGIC: Final = b"tdseen\r\n"
_steps: Final = partial(np.diff, prepend=np.uint64(0))
_HEADER: Final = struct.Struct("<8sHHHHIIII")
"""Magic, versions of format and normalisation, bits, bytes of a step, posts, the three counts."""


@dataclass(frozen=True, eq=False)
class SeenFilter:
    """Fingerprints of training posts, and the question whether a post is one of them.

    Attributes:
        n_posts: training posts that were read, doubles and empty ones included.
        exact: sorted 40-bit hashes of the posts' letters and digits, shape (n,).
        gaps: such hashes of the short posts with one word left open, shape (n_gaps,).
        sketches: MinHash sketches of the longer posts' word pairs (Broder, "On the resemblance and
            containment of documents", 1997): 10 bytes that choose whom to compare, then one bit of
            each further minimum (Li & König, "b-Bit minwise hashing", 2010), uint8, shape
            (n_sketches, 10 + n_bits / 8).
        normalisation: version of the text normalisation whose words these are. Of an older one, a
            post of which a part is cut now may go unrecognised; no fresh one is accused for it.

    >>> seen = SeenFilter.build(["The bus was late again, so we walked home in the rain today."])
    >>> seen.look_up(["the bus was late again so we walked home in the snow today", "No bus."])
    array(['near', ''], dtype=object)
    """

    n_posts: int
    exact: _U64
    gaps: _U64
    sketches: _U8
    normalisation: int = NORMALISATION_VERSION

    @classmethod
    def build(cls, texts: Iterable[str | None], *, max_bytes: int = MAX_BYTES) -> Self:
        """Take the fingerprints of raw or normalised posts; the same on every machine.

        A post takes 4 bytes, and 50 more where it has 10 words or more (4 for each word where it
        has 5 to 9). Up to 192,000 posts fit into 10 MB; with more, the sketches get fewer bits
        (`n_bits`), down to 256, where 230,000 fit; fewer would accuse too many fresh posts.

        Raises:
            InvalidInput: a text that is not a str, or more posts than fit into `max_bytes`.
        """
        empty, n_posts = np.empty(0, dtype=np.uint64), 0
        exact, gaps, sketches = [empty], [empty], [_sketch([])]
        for posts in _chunks(texts):
            n_posts += len(posts)
            exact.append(np.array([_key(words) for words in posts if words], dtype=np.uint64))
            gaps.append(_gap_hashes([words for words in posts if _has_gaps(words)])[0])
            sketches.append(_sketch([words for words in posts if len(words) >= _SKETCHED]))
        known, short = (np.unique(np.concatenate(tables)) for tables in (exact, gaps))
        rows = np.concatenate(sketches)
        rows = np.unique(rows, axis=0) if len(rows) else rows
        room = max_bytes - _HEADER.size - 32 - (len(known) + len(short)) * _step_bytes(known, short)
        n_bits = min(_BITS[1], 8 * (room // max(1, len(rows)) - _N_KEYS))
        if room < 0 or (n_bits < _BITS[0] and len(rows)):
            raise InvalidInput(
                f"the fingerprints of {n_posts:,} posts do not fit into {max_bytes:,} bytes; give "
                "fewer posts, or raise max_bytes"
            )
        width = _N_KEYS + max(n_bits, _BITS[0]) // 8
        return cls(n_posts, known, short, np.ascontiguousarray(rows[:, :width]))

    @property
    def n_bits(self) -> int:
        """Bits of each sketch that are compared, 256 to 320; more tell near from similar better."""
        return 8 * (int(self.sketches.shape[1]) - _N_KEYS)

    def look_up(self, texts: Iterable[str | None]) -> NDArray[np.object_]:
        """Say of each post whether it was seen in training: "exact", "near" or "".

        Posts are raw or normalised; a missing one was not seen. Object array, shape (n,).
        """
        return np.concatenate([np.empty(0, dtype=object), *map(self._look_up, _chunks(texts))])

    def _look_up(self, posts: list[list[str]]) -> NDArray[np.object_]:
        found = np.full(len(posts), "", dtype=object)
        short = np.array([i for i, words in enumerate(posts) if _has_gaps(words)], dtype=np.int64)
        hashes, owner = _gap_hashes([posts[i] for i in short])
        found[short[owner[_among(hashes, self.gaps)]]] = "near"
        long = np.array([i for i, words in enumerate(posts) if len(words) >= _SKETCHED], np.int64)
        if len(long) and len(self.sketches):
            found[long[self._resembling(_sketch([posts[i] for i in long]))]] = "near"
        keys = np.array([_key(words) for words in posts], dtype=np.uint64)
        spoken = np.array([bool(words) for words in posts], dtype=np.bool_)
        found[_among(keys, self.exact) & spoken] = "exact"
        return found

    def _resembling(self, asked: _U8) -> NDArray[np.bool_]:
        """Tell which of the asked sketches are near one of the training's."""
        near = np.zeros(len(asked), dtype=np.bool_)
        asked = asked[:, : self.sketches.shape[1]]
        for pair, order, starts in self._buckets:
            rows = np.flatnonzero(~near)
            bucket = _bucket(asked[rows], pair)
            n_candidates = starts[bucket + 1] - starts[bucket]
            ends = np.cumsum(n_candidates)
            total = int(ends[-1]) if len(ends) else 0
            for begin in range(0, total, _MAX_PAIRS):
                place = np.arange(begin, min(total, begin + _MAX_PAIRS))
                who = np.searchsorted(ends, place, side="right")
                other = order[starts[bucket[who]] + place - (ends - n_candidates)[who]]
                near[rows[who[self._agree(asked[rows[who]], self.sketches[other])]]] = True
        return near

    def _agree(self, some: _U8, others: _U8) -> NDArray[np.bool_]:
        differing = _N_SET[some[:, _N_KEYS:] ^ others[:, _N_KEYS:]].sum(axis=1, dtype=np.int64)
        return np.asarray(self.n_bits - differing >= _MIN_AGREEMENT * self.n_bits)

    @cached_property
    def _buckets(self) -> list[tuple[tuple[int, int], NDArray[np.int32], NDArray[np.int64]]]:
        """For each pair of key bytes: the sketches in order of it, and where each value begins."""
        buckets = []
        for pair in itertools.combinations(range(_N_KEYS), 2):
            bucket = _bucket(self.sketches, pair)
            order = np.argsort(bucket, kind="stable").astype(np.int32)
            starts = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=1 << 16))])
            buckets.append((pair, order, starts))
        return buckets

    def to_bytes(self) -> bytes:
        """Write the filter as bytes: a header with versions and counts, the tables, a SHA-256."""
        # Of sorted hashes, the steps from each to the next: those of a large table are small.
        step_bytes = _step_bytes(self.exact, self.gaps)
        counts = (self.n_posts, len(self.exact), len(self.gaps), len(self.sketches))
        versions = (FORMAT_VERSION, self.normalisation)
        header = _HEADER.pack(_MAGIC, *versions, self.n_bits, step_bytes, *counts)
        steps = [
            _steps(table).astype("<u8").view(np.uint8).reshape(-1, 8)[:, :step_bytes].tobytes()
            for table in (self.exact, self.gaps)
        ]
        content = b"".join((header, *steps, self.sketches.tobytes()))
        return content + hashlib.sha256(content).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            CheckpointError, ChecksumMismatch, NormalisationMismatch: not a filter, or of another
                format; damaged; made with a later version of the text normalisation.
        """
        what = "the fingerprints of training posts"
        if len(data) < _HEADER.size + 32 or not data.startswith(_MAGIC):
            raise CheckpointError(f"expected {what}, got {len(data):,} other bytes; {_AGAIN}")
        _, version, normalisation, n_bits, step_bytes, n_posts, *counts = _HEADER.unpack_from(data)
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{what} are in format {version}, this textdetect reads {FORMAT_VERSION}; {_NEWER}"
            )
        if hashlib.sha256(data[:-32]).digest() != data[-32:]:
            raise ChecksumMismatch(f"{what} are damaged or cut off; {_AGAIN}")
        if normalisation > NORMALISATION_VERSION:
            raise NormalisationMismatch(
                f"{what} were made for text normalisation {normalisation}, this textdetect has "
                f"{NORMALISATION_VERSION}; {_NEWER}"
            )
        n_exact, n_gaps, n_sketches = counts
        shapes = ((n_exact, step_bytes), (n_gaps, step_bytes), (n_sketches, _N_KEYS + n_bits // 8))
        ends = _HEADER.size + np.cumsum([0, *(n * width for n, width in shapes)])
        possible = _BITS[0] <= n_bits <= _BITS[1] and n_bits % 8 == 0 and step_bytes <= 8
        if ends[-1] != len(data) - 32 or not possible:
            raise CheckpointError(f"{what} have counts that cannot be")
        tables = zip(ends, ends[1:], shapes, strict=False)
        exact, gaps, sketches = (
            np.frombuffer(data[a:b], dtype=np.uint8).reshape(shape) for a, b, shape in tables
        )
        return cls(n_posts, _summed(exact), _summed(gaps), sketches, normalisation)


def _chunks(texts: Iterable[Any]) -> Iterator[list[list[str]]]:
    """Yield the words of some posts at a time."""
    posts = map(_words, coerce(texts))
    while chunk := list(itertools.islice(posts, _CHUNK)):
        yield chunk


def _words(text: str | None) -> list[str]:
    """Split a post into its words, casefolded, without links and @names."""
    # Folded first, as entities and placeholders are known by their case; and once more, as the
    # normal form of some signs is in capitals.
    return _WORD.findall(without(normalise((text or "").casefold()).casefold()))


def _key(words: Sequence[str]) -> int:
    """Hash the letters and digits alone, so that no blank or hyphen makes a difference."""
    letters = "".join(words).replace("'", "").replace("-", "").encode()
    return int.from_bytes(hashlib.blake2b(letters, digest_size=_HASH_BITS // 8).digest(), "little")


def _has_gaps(words: Sequence[str]) -> bool:
    """Tell whether a post is short, but long enough for one word less to be telling."""
    return _MIN_WORDS <= len(words) < _SKETCHED and not any(map(_HAS_CJK.match, words))


def _hash_words(posts: Sequence[Sequence[str]]) -> tuple[_U64, NDArray[np.int64]]:
    """Hash every word, all posts in a row; and count the words of each post."""
    hashes = [zlib.crc32(word.encode()) for words in posts for word in words[:_MAX_WORDS]]
    lengths = [min(len(words), _MAX_WORDS) for words in posts]
    return np.array(hashes, dtype=np.uint64), np.array(lengths, dtype=np.int64)


def _gap_hashes(posts: Sequence[Sequence[str]]) -> tuple[_U64, NDArray[np.int64]]:
    """Hash each post with each of its words left open; and say whose hash each is."""
    hashes, lengths = _hash_words(posts)
    owner = np.repeat(np.arange(len(posts)), lengths)
    if not posts:
        return hashes, owner
    starts = np.cumsum(lengths) - lengths
    place = (np.arange(len(hashes)) - starts[owner]).astype(np.uint64)
    placed = _mix((hashes << np.uint64(16)) + place)
    whole = np.add.reduceat(placed, starts)[owner]
    shape = (lengths[owner].astype(np.uint64) << np.uint64(8)) + place
    return _mix(whole - placed + _mix(shape)) >> np.uint64(64 - _HASH_BITS), owner


def _sketch(posts: Sequence[Sequence[str]]) -> _U8:
    """Sketch the pairs of neighbouring words of posts of at least two words."""
    n_minima = _N_KEYS + _BITS[1]
    if not posts:
        return np.empty((0, _N_KEYS + _BITS[1] // 8), dtype=np.uint8)
    hashes, lengths = _hash_words(posts)
    pairs = _mix(_mix(hashes[:-1]) + hashes[1:])
    within = np.ones(len(pairs), dtype=np.bool_)
    within[np.cumsum(lengths)[:-1] - 1] = False
    pairs = pairs[within]
    starts = np.cumsum(lengths - 1) - (lengths - 1)
    minima = np.empty((len(posts), n_minima), dtype=np.uint64)
    for column, factor in enumerate(_mix(np.arange(1, n_minima + 1, dtype=np.uint64))):
        minima[:, column] = np.minimum.reduceat(pairs * (factor | np.uint64(1)), starts)
    top = (_mix(minima) >> np.uint64(56)).astype(np.uint8)
    return np.hstack([top[:, :_N_KEYS], np.packbits(top[:, _N_KEYS:] >> 7, axis=1)])


def _mix(values: _U64) -> _U64:
    """Scatter 64-bit numbers (the finaliser of SplitMix64; Steele, Lea & Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _bucket(sketches: _U8, pair: tuple[int, int]) -> NDArray[np.int64]:
    return sketches[:, pair[0]].astype(np.int64) << 8 | sketches[:, pair[1]]


def _among(values: _U64, table: _U64) -> NDArray[np.bool_]:
    """Tell which values are in a sorted table."""
    if not len(table):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return np.asarray(table[place] == values)


def _step_bytes(*tables: _U64) -> int:
    """Count the bytes that hold the largest step of sorted tables."""
    largest = max((int(_steps(table).max()) for table in tables if len(table)), default=0)
    return (largest.bit_length() + 7) // 8


def _summed(steps: _U8) -> _U64:
    wide = np.zeros((len(steps), 8), dtype=np.uint8)
    wide[:, : steps.shape[1]] = steps
    return np.cumsum(wide.view("<u8").reshape(-1), dtype=np.uint64)


_N_SET: Final = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)
