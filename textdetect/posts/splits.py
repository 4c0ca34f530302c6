"""Leakage-safe parts: near-duplicates to one, then whole accounts and groups to one part.

Every draw is a hash of the seed and of what is drawn, so that a post's part depends neither on the
order of the rows nor, but for which of two near-duplicates stays, on which other sources are there.
It knows nothing of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textdetect._ground.config import DataConfig
from textdetect._ground.optional import require
from textdetect._ground.progress import tracked
from textdetect.posts.corpus import Posts
from textdetect.posts.text import compared_words, normalise, shingles

PARTS: Final = ("train", "calibration", "select", "report")
DROPPED: Final = "duplicate"
_N_PERM: Final = 64
_MAX_WORDS: Final = 258
COARSE_GROUP: Final = 200


@dataclass(frozen=True, slots=True)
class Split:
    """Which part each post is in.

    Attributes:
        part: object array, shape (n,): one of `PARTS`, or "duplicate".
        normalised: the normalised texts, in the order of the posts.
    """

    part: NDArray[np.object_]
    normalised: list[str]


def draw(seed: int, *what: str) -> float:
    """Draw a number in [0, 1) that depends on the seed and on `what` alone.

    >>> draw(0, "a") == draw(0, "a"), draw(0, "a") == draw(1, "a")
    (True, False)
    """
    digest = blake2b("\x1f".join((str(seed), *what)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def at_most(
    most: ArrayLike,
    posts: Posts,
    usable: NDArray[np.bool_],
    by: Sequence[NDArray[Any]],
    *,
    seed: int,
    what: str,
) -> NDArray[np.int64]:
    """Choose at most so many of the usable posts of each cell; which, a hash of the text decides.

    Args:
        most: for all cells, or for each post that of its cell, shape (n,).
        by: columns of shape (n,); posts with the same values are of one cell.
        what: names the draw: another name draws others.

    Returns:
        Positions in `posts`, ascending.
    """
    cells = list(zip(*(column.tolist() for column in by), strict=True))
    limits, texts = np.broadcast_to(most, len(posts)), posts.column("text").tolist()
    taken, kept = Counter[Any](), []
    for row in sorted(np.flatnonzero(usable), key=lambda row: draw(seed, what, texts[row])):
        taken[cells[row]] += 1
        if taken[cells[row]] <= limits[row]:
            kept.append(row)
    return np.sort(np.array(kept, dtype=np.int64))


def split(posts: Posts, config: DataConfig, *, seed: int, progress: bool = False) -> Split:
    """Assign every post to train, calibration, select, report or "duplicate".

    Of posts whose word 3-grams overlap by `near_duplicate` or more, one stays: the one of a source
    whose own split stands and that is not for training, else a human one, else the first by hash.
    What stays is split by account where there is one, else by group (groups of more than 200
    posts are scenarios, not ties, and are ignored). Half of the human accounts with at least three
    posts go to calibration whole. Evaluation-only sources go to select and report only. A source in
    `split_by` is split by that column's values or by time instead.
    """
    texts = tracked(posts.texts, progress, what="normalise")
    normalised = [normalise(text or "") for text in texts]
    source, own = posts.column("source"), posts.column("split")
    stands = np.isin(source, list(config.own_split)) & (own != "")
    heldout = stands & (own != "train")
    rank = np.array([draw(seed, "keep", text) for text in normalised])
    rank += np.where(heldout, 0.0, np.where(posts.labels == 0, 1.0, 2.0))
    ties = list(zip(rank, source, posts.column("account"), posts.column("group"), strict=True))
    order = sorted(range(len(posts)), key=ties.__getitem__)
    keep = _keep(normalised, order, config.near_duplicate, progress=progress)
    units = _units(posts, normalised, stands)
    part = np.empty(len(posts), dtype=object)
    chosen = np.isin(source, list(config.split_by))
    reserved = _reserved_accounts(posts, keep & ~stands & ~chosen, seed)
    places: dict[int, float] = {}
    for name, by in config.split_by.items():
        places |= _places(posts, np.flatnonzero((source == name) & ~stands), by, seed)
    bounds = np.cumsum(config.parts)
    for row, unit in enumerate(units):
        if not keep[row]:
            part[row] = DROPPED
        elif stands[row]:
            part[row] = "train" if own[row] == "train" else "report"
        elif unit in reserved and row not in places:
            part[row] = reserved[unit]
        else:
            place = places.get(row, draw(seed, "part", unit)) * bounds[-1]
            part[row] = PARTS[min(int(np.searchsorted(bounds, place, side="right")), 3)]
    only = np.isin(source, list(config.evaluation_only)) & keep
    part[only] = [
        "select" if draw(seed, "only", units[i]) < 0.3 else "report" for i in np.flatnonzero(only)
    ]
    return Split(part, normalised)


def ties(posts: Posts) -> NDArray[np.object_]:
    """Give each post's group, shape (n,), "" where it has none.

    A post without a group is of the one that is named by its text, if any is: the first 12 hex
    digits of its SHA-256, as where machine twins were written beside posts of other sources.
    """
    group, texts = posts.column("group").copy(), posts.column("text")
    known = set(group)
    for row in np.flatnonzero(group == ""):
        name = sha256(texts[row].encode("utf-8", "replace")).hexdigest()[:12]
        if name in known:
            group[row] = name
    return group


def _places(posts: Posts, rows: NDArray[np.int64], by: str, seed: int) -> dict[int, float]:
    """Give each row a place in [0, 1) on the way from train to report: by a column, or by time.

    A post without a value, or without a time, has a place by its text.
    """
    values, texts = posts.column(by), posts.column("text")
    if by == "timestamp":
        known = sorted((values[row], texts[row], int(row)) for row in rows if values[row])
        places = {row: place / len(known) for place, (_, _, row) in enumerate(known)}
    else:
        name = posts.column("source")
        places = {
            int(row): draw(seed, "by", by, name[row], values[row]) for row in rows if values[row]
        }
    return {int(row): draw(seed, "by", texts[row]) for row in rows} | places


def _units(posts: Posts, normalised: list[str], stands: NDArray[np.bool_]) -> list[str]:
    """Name, for each post, the unit that must not be torn: its account, group or text."""
    source, account, group = posts.column("source"), posts.column("account"), ties(posts)
    sizes = Counter(zip(source, group, strict=True))
    paired: dict[str, str] = {}
    for s, a, g in zip(source, account, group, strict=True):
        if g and a and sizes[s, g] <= COARSE_GROUP:
            paired.setdefault(g, f"account:{s}:{a}")
    units = []
    for row, (s, a, g) in enumerate(zip(source, account, group, strict=True)):
        if a and not stands[row]:
            units.append(f"account:{s}:{a}")
        elif g and sizes[s, g] <= COARSE_GROUP:
            units.append(paired.get(g, f"group:{g}"))
        else:
            units.append(f"text:{normalised[row]}")
    return units


def _reserved_accounts(posts: Posts, usable: NDArray[np.bool_], seed: int) -> dict[str, str]:
    """Put half of the human accounts with ≥ 3 posts into calibration, the others elsewhere."""
    source, account = posts.column("source"), posts.column("account")
    rows = np.flatnonzero(usable & (account != "") & (posts.labels == 0))
    counts = Counter(f"account:{source[row]}:{account[row]}" for row in rows)
    rest = ("train", "train", "select", "report")
    return {
        unit: "calibration"
        if draw(seed, "reserve", unit) < 0.5
        else rest[int(4 * draw(seed, "rest", unit))]
        for unit, n in counts.items()
        if n >= 3
    }


def hashes(normalised: str) -> NDArray[np.uint64]:
    """Give the sorted hashes of a text's word 3-grams, by which near-duplicates are told."""
    return np.array(sorted(shingles(compared_words(normalised, _MAX_WORDS))), dtype=np.uint64)


def _keep(
    texts: list[str], order: list[int], threshold: float, *, progress: bool
) -> NDArray[np.bool_]:
    """Keep one of each set of near-duplicates: the first in `order` that resembles no kept one."""
    datasketch = require("datasketch", extra="train")
    lsh = datasketch.MinHashLSH(threshold=threshold, num_perm=_N_PERM)
    blank = datasketch.MinHash(num_perm=_N_PERM, seed=1, hashfunc=int)
    kept: dict[int, NDArray[np.uint64]] = {}
    exact: set[str] = set()
    keep = np.zeros(len(texts), dtype=np.bool_)
    for row in tracked(order, progress, what="near-duplicates"):
        text = texts[row]
        if not text or text in exact:
            continue
        exact.add(text)
        grams = hashes(text)
        sketch = blank.copy()
        sketch.update_batch(grams.tolist())
        if any(_jaccard(grams, kept[other]) >= threshold for other in lsh.query(sketch)):
            continue
        lsh.insert(row, sketch, check_duplication=False)
        kept[row] = grams
        keep[row] = True
    return keep


def _jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / max(1, len(a) + len(b) - shared)
