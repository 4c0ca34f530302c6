"""A dump of posts → traces: which account touched which object, and when.

An object is a text that several posts share (near-identical texts are one), what posts of about one
time have in common that are worded alike, a reposted text, the target of a reply, or what `objects`
finds beside the words: two accounts that post one link touch one object. It does not know who
coordinates with whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textdetect.campaigns.likeness import find_alike
from textdetect.campaigns.objects import (
    KINDS,
    flat,
    joined,
    objects_in,
    objects_of_cell,
    without_objects,
)
from textdetect.campaigns.texts import MIN_WORDS, codes, near_identical
from textdetect.errors import InvalidInput
from textdetect.posts.tables import read_posts
from textdetect.posts.text import has_words, normalise, others_words
from textdetect.posts.values import offset_s, strings

OBJECTS: Final = ("url", "hashtags", "reply_to")
"""The columns that hold objects, beside the text; any may be absent."""
DAY_S: Final = 86_400
_THEME: Final = 3
"""A tag or name in more than one in so many posts is what the dump was collected by: no object."""
_MANY: Final = 300
BESIDE: Final = ("url", "short_url", "hashtags", "mention", "contact")
"""Kinds of what stands beside the words."""


@dataclass(frozen=True, slots=True)
class Dump:
    """Posts as arrays, in an order of their own: by time, account, text and id.

    Attributes:
        accounts: sorted names, shape (n_accounts,).
        account: index into `accounts`; int32, shape (n_posts,).
        time_s: seconds since 1970 in UTC; float64, shape (n_posts,).
        row: the row of the given table; int64, shape (n_posts,).
        columns: the objects' columns, "text" among them if present, "" where missing.
        marked: whether a column says that the post is a repost; bool, shape (n_posts,).
        n_repeats: rows left out, as another has their id, account, time and text.
        n_shared_ids: rows kept whose id another post has, too.
        n_missing: rows left out, as they have no account or no time.
    """

    accounts: NDArray[np.object_]
    account: NDArray[np.int32]
    time_s: NDArray[np.float64]
    row: NDArray[np.int64]
    columns: dict[str, NDArray[np.object_]]
    marked: NDArray[np.bool_]
    n_repeats: int
    n_shared_ids: int
    n_missing: int

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Traces:
    """Which account touched which object, and when; sorted by object and time.

    Attributes:
        account: int32, shape (n,).
        object: int32, shape (n,), ascending.
        time_s: float64, shape (n,), ascending within an object.
        post: index of the post in the dump; int32, shape (n,).
        stratum: traces of one kind, hour of the day and week; int32, shape (n,).
        kinds: the kind of each object, shape (n_objects,).
        bare: whether it is of a text, and the post has no link; bool, shape (n,).
    """

    account: NDArray[np.int32]
    object: NDArray[np.int32]
    time_s: NDArray[np.float64]
    post: NDArray[np.int32]
    stratum: NDArray[np.int32]
    kinds: NDArray[np.object_]
    bare: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.account)


def read_dump(
    posts: Any,
    *,
    account: str | None = None,
    time: str | None = None,
    text: str | None = None,
    objects: Sequence[str] = OBJECTS,
    time_zone: str | None = None,
) -> Dump:
    """Check a dump of posts, and put it into its own order.

    Args:
        posts: a table, a mapping of columns or dicts, a row a post. An `id` column is used if
            present: a row repeats another if id, account, time and text are the same, as the ids
            of a chat, a server or a spreadsheet are not unique. So are marks of reposts.
        account, time, text: the names of these columns; None: the usual ones. The text may be
            absent.
        objects: the columns that hold objects; those absent are passed over.
        time_zone: "UTC" or an offset as "+02:00", for times without one.

    Raises:
        InvalidInput: no rows of a table, no account or time column, no object column at all, a
            time that is none, times without a zone where none is given, account ids that lost
            digits, or more repetitions than posts.

    >>> dump = read_dump([{"account": "ann", "time": "2024-12-01T08:00:00Z", "text": "hello"}])
    >>> len(dump), dump.time_s.tolist()
    (1, [1733040000.0])
    """
    if isinstance(posts, list) and not posts:
        raise InvalidInput("no posts: an empty list has no columns; pass an empty Table instead")
    table, _ = read_posts(
        posts,
        objects=objects,
        time_zone=time_zone,
        need=("account", "time"),
        account=account,
        time=time,
        text=None if text == "text" else text,
    )
    names = table.column_names
    held_names = [name for name in ("text", *objects) if name in names]
    if not held_names:
        raise InvalidInput(
            f"no text and no object column: expected {text or 'text'!r} or one of {list(objects)}, "
            f"got {names}"
        )
    known = np.flatnonzero(pc.and_(table["account"].is_valid(), table["time"].is_valid()))
    kept = table.take(known)
    n_local = 0 if kept["time"].type.tz else len(kept)
    offset = offset_s(n_local, len(kept), time_zone)
    time_s = kept["time"].cast(pa.int64()).to_numpy() / 1e6 - offset
    held = {name: strings(kept[name].to_pylist()) for name in held_names}
    accounts, account_code = codes(kept["account"].to_pylist())
    shown = [name for name in held if name == "text" or "text" not in held]
    said = [codes(_values(name, held[name]))[1] for name in shown]
    keys = [*reversed(said), account_code, time_s]
    order, n_repeats, n_shared = np.lexsort((np.arange(len(known)), *keys)), 0, 0
    if "id" in names:
        order, n_repeats, n_shared = _without_repeats(strings(kept["id"].to_pylist()), keys)
    marked = kept["repost"].to_numpy() if "repost" in names else np.zeros(len(kept), dtype=bool)
    return Dump(
        np.array(accounts, dtype=object),
        account_code[order].astype(np.int32),
        time_s[order],
        known[order],
        {name: values[order] for name, values in held.items()},
        marked[order],
        n_repeats,
        n_shared,
        len(table) - len(kept),
    )


def _without_repeats(
    ids: NDArray[np.object_], keys: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.int64], int, int]:
    """Order posts by keys, the last one first, and by id, each repetition of all of them once.

    Returns:
        The order; how many are left out; and how many of the others share an id ("" is none).
    """
    id_code = codes(ids)[1]
    order = np.lexsort((id_code, *keys))
    columns = np.stack([id_code, *keys])[:, order]
    first = np.any(np.diff(columns, axis=1, prepend=np.nan) != 0, axis=0) | (ids[order] == "")
    n_repeats = int(np.sum(~first))
    if n_repeats > len(order) / 2:
        raise InvalidInput(
            f"{n_repeats} of {len(order)} posts have the id, account, time and text of "
            "another: leave out the repetitions, or rename the column 'id'"
        )
    order = order[first]
    _, place, n_same = np.unique(id_code[order], return_inverse=True, return_counts=True)
    return order, n_repeats, int(np.sum((n_same[place] > 1) & (ids[order] != "")))


def find_traces(
    dump: Dump, *, near_duplicate: float = 0.6, from_text: bool = True, alike_s: float = 0.0
) -> Traces:
    """Find the objects of all posts; each account's first touch of one in an hour is a trace.

    Every post with a text, URL, … is a trace, also where nobody else touched the object: it was an
    occasion to take part. A text is what the account wrote itself; reposts (`objects_of`) are a
    kind of their own: reposting the same post is common among people who read the same accounts.

    Args:
        dump: the posts.
        near_duplicate: overlap of shingles (Jaccard) from which texts are one object, in (0, 1].
        from_text: links, tags, names and contacts without a column are taken from the text, and
            each of several in a cell is an object; False: as in bundles of format 3.
        alike_s: posts so close whose own words are alike share an object; 0: none do. Posts with a
            link are left to it: the same news is retold in the same words.

    Raises:
        InvalidInput: `near_duplicate` out of range.
        MissingDependency: scipy is not installed.

    >>> posts = [{"account": a, "time": 60.0 * i, "url": "https://x.org/?utm_source=b"}
    ...          for i, a in enumerate("abc")]
    >>> find_traces(read_dump(posts)).object.tolist()
    [0, 0, 0]
    """
    if not 0 < near_duplicate <= 1:
        raise InvalidInput(f"near_duplicate in (0, 1] expected, got {near_duplicate}")
    parts = []
    linked = dump.columns.get("url", np.full(len(dump), "", dtype=object)) != ""
    for name, column in dump.columns.items():
        if name == "text":
            said, reposted = objects_of(column, dump.marked)
            clusters = near_identical(said, threshold=near_duplicate)
            for is_repost, label in ((False, "text"), (True, "repost")):
                rows = np.flatnonzero((clusters >= 0) & (reposted == is_repost))
                parts.append((rows, np.full(len(rows), label, dtype=object), clusters[rows]))
            linked |= np.array(["http" in one for one in said], dtype=bool)
            if alike_s > 0:
                rows = np.flatnonzero((clusters >= 0) & ~reposted & ~linked)
                bare = _without_objects(column[rows], [said[i] for i in rows])
                group = find_alike(bare, dump.time_s[rows], clusters[rows], window_s=alike_s)
                parts.append((rows, np.full(len(rows), "alike", dtype=object), group))
            continue
        if from_text:
            parts += _touched(
                [list(objects_of_cell(name, value)) for value in column], themes=False
            )
        else:
            listed = ([(name, one) for one in joined(name, cell.split("\n"))] for cell in column)
            parts += _touched(list(listed))
    if from_text and "text" in dump.columns:
        looked_for = set(KINDS) - set(dump.columns)
        parts += _touched(_in_texts(dump, looked_for), themes=False)
    return _in_order(dump, linked, from_text, *map(np.concatenate, zip(*parts, strict=True)))


def _without_objects(texts: NDArray[np.object_], said: list[str]) -> list[str]:
    """Leave links, tags and names out of normalised texts: they are objects of their own."""
    return [
        (normalise(without_objects(text)) if "#" in text or "＃" in text else own)
        .replace("@user", " ")
        .replace("http", " ")
        for text, own in zip(texts, said, strict=True)
    ]


def _in_texts(dump: Dump, kinds: set[str]) -> list[list[tuple[str, str]]]:
    """Give the objects in each post's own words; none in what is marked as a repost."""
    found: dict[str, list[tuple[str, str]]] = {}
    lists: list[list[tuple[str, str]]] = []
    for text, mark in zip(dump.columns["text"], dump.marked.tolist(), strict=True):
        if text not in found:
            every = objects_in(text)
            found[text] = [one for one in every if one[0].removeprefix("short_") in kinds]
        lists.append([] if mark else found[text])
    return lists


def _touched(
    lists: Sequence[Sequence[tuple[str, str]]], *, themes: bool = True
) -> list[tuple[NDArray[np.int64], NDArray[np.object_], NDArray[np.int64]]]:
    """Give posts, kinds and numbers of the objects that each post touches, with or without themes.

    A theme is what the dump was collected by.
    """
    posts, kinds, values = (np.array(part, dtype=object) for part in flat(lists))
    number = codes(f"{kind} {value}" for kind, value in zip(kinds, values, strict=True))[1]
    n_posts = np.bincount(number)
    theme = (n_posts * _THEME > len(lists)) & (n_posts > _MANY)
    kept = np.array([kind in ("url", "short_url", "reply_to") for kind in kinds], dtype=bool)
    kept |= themes | ~theme[number]
    return [(posts[kept].astype(np.int64), kinds[kept], number[kept])]


def _in_order(
    dump: Dump,
    linked: NDArray[np.bool_],
    pooled: bool,
    post: NDArray[np.int64],
    kind: NDArray[np.object_],
    value: NDArray[np.int64],
) -> Traces:
    """Number the objects, sort, and keep each account's first touch of an object in an hour."""
    labels, kind_code = np.unique(kind.astype(str), return_inverse=True)
    width = int(value.max(initial=0)) + 1
    keys, objects = np.unique(kind_code.astype(np.int64) * width + value, return_inverse=True)
    account, time_s = dump.account[post], dump.time_s[post]
    start = float(np.floor(dump.time_s.min(initial=np.inf) / DAY_S) * DAY_S) if len(dump) else 0.0
    hour = ((time_s - start) // 3600).astype(np.int64)
    order = np.lexsort((post, account, hour, objects))
    same = np.ones(len(order), dtype=bool)
    for column in (objects, hour, account):
        same[1:] &= column[order][1:] == column[order][:-1]
    same[:1] = False
    kept = order[~same]
    kept = kept[np.lexsort((post[kept], account[kept], time_s[kept], objects[kept]))]
    weeks, eighths = hour[kept] // (24 * 7), hour[kept] % 24 // 3
    # What stands beside the words is one kind in the null: of each alone there is often too little.
    pools = ["beside" if pooled and label in BESIDE else label for label in labels.tolist()]
    stratum = (weeks * 8 + eighths) * len(labels) + codes(pools)[1][kind_code[kept]]
    return Traces(
        account[kept],
        objects[kept].astype(np.int32),
        time_s[kept],
        post[kept].astype(np.int32),
        np.unique(stratum, return_inverse=True)[1].astype(np.int32),
        labels[keys // width].astype(object),
        (labels[kind_code[kept]] == "text") & ~linked[post[kept]],
    )


def objects_of(
    texts: Iterable[str], marked: NDArray[np.bool_]
) -> tuple[list[str], NDArray[np.bool_]]:
    """Give each post's text as an object, normalised, and tell which are a repost's.

    An object are the account's own words; of a post that is marked as a repost, or that has hardly
    a word of its own, the words that it reposts or quotes.
    """
    known: dict[tuple[str, bool], tuple[str, bool]] = {}
    for text, mark in (keys := list(zip(texts, marked.tolist(), strict=True))):
        if (text, mark) not in known:
            own = normalise(text)
            wordy = not mark and has_words(own, MIN_WORDS)
            others = "" if wordy else normalise(others_words(text))
            known[text, mark] = others or own, mark or bool(others)
    found = [known[key] for key in keys]
    return [said for said, _ in found], np.array([repost for _, repost in found], dtype=bool)


def _values(name: str, column: Any) -> NDArray[np.object_]:
    unique, inverse = codes(column)
    return np.array(joined(name, unique), dtype=object)[inverse]
