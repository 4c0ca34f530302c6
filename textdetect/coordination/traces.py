"""A dump of posts → traces: which account touched which object, and when.

An object is a text that several posts share (near-identical texts are one), a reposted text, a URL,
the hashtags of a post, or the target of a reply. It does not know who coordinates with whom.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textdetect.coordination.texts import codes, near_identical
from textdetect.errors import InvalidInput
from textdetect.text import normalise

OBJECTS: Final = ("url", "hashtags", "reply_to")
"""The columns that hold objects, beside the text; any may be absent."""
DAY_S: Final = 86_400
_REPOST = re.compile(r"^\s*RT @\w+:?\s*")
_TRACKING = re.compile(r"(?<=[?&])(?:utm_\w+|fbclid|gclid|igshid)=[^&]*&?")
_OFFSET = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_LATEST_S: Final = 4_102_444_800  # the year 2100: beyond it, a number is in milliseconds


@dataclass(frozen=True, slots=True)
class Dump:
    """Posts as arrays, in an order of their own: by time, account, text and id.

    Attributes:
        accounts: sorted names, shape (n_accounts,).
        account: index into `accounts`; int32, shape (n_posts,).
        time_s: seconds since 1970 in UTC; float64, shape (n_posts,).
        row: the row of the given table; int64, shape (n_posts,).
        columns: the objects' columns, "text" and "repost" among them where present.
        n_duplicate_ids: rows left out, as an earlier post has their id.
        n_missing: rows left out, as they have no account or no time.
    """

    accounts: NDArray[np.object_]
    account: NDArray[np.int32]
    time_s: NDArray[np.float64]
    row: NDArray[np.int64]
    columns: dict[str, pa.Array]
    n_duplicate_ids: int
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
    """

    account: NDArray[np.int32]
    object: NDArray[np.int32]
    time_s: NDArray[np.float64]
    post: NDArray[np.int32]
    stratum: NDArray[np.int32]
    kinds: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.account)


def read_dump(
    posts: Any,
    *,
    account: str = "account",
    time: str = "time",
    text: str = "text",
    objects: Sequence[str] = OBJECTS,
    time_zone: str | None = None,
) -> Dump:
    """Check a dump of posts, and put it into its own order.

    Args:
        posts: a pyarrow Table, a pandas DataFrame or dicts, a row a post; an `id` column and a
            boolean `repost` column are used if present.
        account, time, text: the names of these columns; the text may be absent.
        objects: the columns that hold objects; those absent are passed over.
        time_zone: "UTC" or an offset as "+02:00", for times without one.

    Raises:
        InvalidInput: no rows of a table, no account or time column, no object column at all, a
            time that is none, or times without a zone where none is given.

    >>> dump = read_dump([{"account": "ann", "time": "2024-12-01T08:00:00Z", "text": "hello"}])
    >>> len(dump), dump.time_s.tolist()
    (1, [1733040000.0])
    """
    table = _as_table(posts)
    for name, why in ((account, "account"), (time, "time")):
        if name not in table.column_names:
            raise InvalidInput(
                f"no {why} column {name!r} among {table.column_names}; "
                f"name it with {why}= (--{why}-column), or rename it"
            )
    wanted = [name for name in dict.fromkeys((text, *objects)) if name in table.column_names]
    if not wanted:
        raise InvalidInput(
            f"no text and no object column: expected {text!r} or one of {list(objects)}, "
            f"got {table.column_names}"
        )
    names = strings(table[account])
    time_s = _seconds(table[time], time_zone)
    known = np.array([name != "" for name in names], dtype=bool) & ~np.isnan(time_s)
    keys = [names[known], time_s[known]]
    texts = strings(table[text])[known] if text in wanted else np.full(known.sum(), "", object)
    ids = strings(table["id"])[known] if "id" in table.column_names else None
    ranks = [codes(column)[1] for column in (keys[0], texts)]
    tie = np.arange(len(texts)) if ids is None else codes(ids)[1]
    order = np.lexsort((tie, ranks[1], ranks[0], keys[1]))
    n_duplicates = 0
    if ids is not None:
        first = np.zeros(len(order), dtype=bool)
        first[np.unique(codes(ids[order])[1], return_index=True)[1]] = True
        first |= ids[order] == ""
        n_duplicates = int(np.sum(~first))
        order = order[first]
    rows = np.flatnonzero(known)[order]
    accounts, account_code = codes(names[rows])
    columns = {
        "text" if name == text else name: table[name].take(pa.array(rows)) for name in wanted
    }
    if "repost" in table.column_names:
        columns["repost"] = table["repost"].take(pa.array(rows))
    return Dump(
        np.array(accounts, dtype=object),
        account_code.astype(np.int32),
        time_s[rows],
        rows,
        columns,
        n_duplicates,
        int(np.sum(~known)),
    )


def find_traces(dump: Dump, *, near_duplicate: float = 0.6) -> Traces:
    """Find the objects of all posts; each account's first touch of one in an hour is a trace.

    Every post with a text, URL, … is a trace, also where nobody else touched the object: it was an
    occasion to take part. Posts marked in `repost`, or that begin with "RT @", are a kind of their
    own: reposting the same post is common among people who read the same accounts.

    Args:
        dump: the posts.
        near_duplicate: overlap of shingles (Jaccard) from which texts are one object, in (0, 1].

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
    post, kind, value = [], [], []
    for name, column in dump.columns.items():
        if name == "repost":
            continue
        if name == "text":
            texts = strings(column)
            reposted = _reposts(dump, texts)
            clusters = near_identical(_normalised(texts), threshold=near_duplicate)
            for is_repost, label in ((False, "text"), (True, "repost")):
                rows = np.flatnonzero((clusters >= 0) & (reposted == is_repost))
                post.append(rows)
                kind.append(np.full(len(rows), label, dtype=object))
                value.append(clusters[rows])
            continue
        values = _values(name, column)
        rows = np.flatnonzero(values != "")
        post.append(rows)
        kind.append(np.full(len(rows), name, dtype=object))
        value.append(codes(values[rows])[1])
    return _in_order(dump, *(np.concatenate(parts) for parts in (post, kind, value)))


def _in_order(
    dump: Dump, post: NDArray[Any], kind: NDArray[Any], value: NDArray[np.int64]
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
    stratum = (weeks * 8 + eighths) * len(labels) + kind_code[kept]
    return Traces(
        account[kept],
        objects[kept].astype(np.int32),
        time_s[kept],
        post[kept].astype(np.int32),
        np.unique(stratum, return_inverse=True)[1].astype(np.int32),
        labels[keys // width].astype(object),
    )


def _as_table(posts: Any) -> pa.Table:
    if isinstance(posts, pa.Table):
        return posts.combine_chunks()
    if type(posts).__module__.split(".")[0] == "pandas" and hasattr(posts, "columns"):
        return pa.Table.from_pandas(posts, preserve_index=False)
    if hasattr(posts, "to_arrow"):
        return posts.to_arrow().combine_chunks()
    if isinstance(posts, Iterable) and not isinstance(posts, (str, bytes, Mapping)):
        rows = list(posts)
        for position, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InvalidInput(
                    f"row {position}: a dict expected, got {type(row).__name__}", position=position
                )
        if rows:
            names = list(dict.fromkeys(name for row in rows for name in row))
            return pa.table({name: _column(name, [r.get(name) for r in rows]) for name in names})
        raise InvalidInput("no posts: an empty list has no columns; pass an empty Table instead")
    raise InvalidInput(
        f"expected a pyarrow Table, a pandas DataFrame or a list of dicts, got "
        f"{type(posts).__name__}"
    )


def _column(name: str, values: list[Any]) -> pa.Array:
    try:
        if any(isinstance(v, datetime) for v in values):
            return pa.array([v.isoformat() if isinstance(v, datetime) else v for v in values])
        return pa.array(values, from_pandas=True)  # NaN where missing, too
    except pa.ArrowException:
        raise InvalidInput(
            f"column {name!r} mixes types; give every row the same kind of value"
        ) from None


def strings(column: Any) -> NDArray[np.object_]:
    """Give a column as str, "" where missing."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.int64(), safe=False) if _whole(column) else column
    filled = pc.fill_null(column.cast(pa.large_string()), "")
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=object)


def _whole(column: Any) -> bool:
    """Tell whether all numbers are whole: ids that a table with gaps turned into floats."""
    return bool(pc.all(pc.equal(pc.floor(column), column)).as_py())


def _seconds(column: Any, time_zone: str | None) -> NDArray[np.float64]:
    """Give times as seconds since 1970 in UTC, NaN where missing."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        zone_s = 0.0 if kind.tz is not None else _zone_s(time_zone)
        micros = pc.cast(column.cast(pa.timestamp("us", kind.tz), safe=False), pa.int64())
        values = pc.cast(micros, pa.float64()).to_numpy(zero_copy_only=False)
        return np.asarray(values, dtype=np.float64) / 1e6 - zone_s
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        seconds = np.asarray(
            column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64
        )
        if np.any(np.isinf(seconds)) or np.nanmax(np.abs(seconds), initial=0.0) > _LATEST_S:
            raise InvalidInput(
                "times as numbers are seconds since 1970; these lie beyond the year 2100 "
                "(milliseconds? divide by 1000)"
            )
        return seconds
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InvalidInput(f"times as timestamps, ISO 8601 or seconds expected, got {kind}")
    texts = strings(column)
    zoned = [bool(_OFFSET.search(text.strip())) for text in texts if text]
    if any(zoned) and not all(zoned) and time_zone is None:
        raise InvalidInput(
            f"{sum(zoned)} times have a time zone and {len(zoned) - sum(zoned)} have none; "
            "say where these belong with time_zone= (--time-zone)"
        )
    zone_s = 0.0 if all(zoned) else _zone_s(time_zone)
    return np.array([_parse(t, row, zone_s) for row, t in enumerate(texts)], dtype=np.float64)


def _parse(text: str, row: int, zone_s: float) -> float:
    if not text.strip():
        return float("nan")
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(
            f"row {row}: no time in ISO 8601, as 2024-12-01T08:00:00+00:00", position=row
        ) from None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC).timestamp() - zone_s
    return moment.timestamp()


def _zone_s(time_zone: str | None) -> float:
    if time_zone is None:
        raise InvalidInput(
            "times without a time zone: say which one with time_zone= (--time-zone), "
            'as "UTC" or "+08:00"'
        )
    if time_zone.upper() in ("UTC", "Z"):
        return 0.0
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", time_zone)
    if not match:
        raise InvalidInput(f'time_zone "UTC" or an offset as "+08:00" expected, got {time_zone!r}')
    offset = timedelta(hours=int(match[2]), minutes=int(match[3])).total_seconds()
    return offset if match[1] == "+" else -offset


def _reposts(dump: Dump, texts: NDArray[np.object_]) -> NDArray[np.bool_]:
    begins = np.array([text.startswith("RT @") for text in texts], dtype=bool)
    if "repost" not in dump.columns:
        return begins
    try:
        marked = pc.fill_null(dump.columns["repost"].cast(pa.bool_()), False)
    except pa.ArrowException:
        raise InvalidInput("the column 'repost' must hold true and false") from None
    return np.asarray(begins | marked.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _normalised(texts: NDArray[np.object_]) -> list[str]:
    seen: dict[str, str] = {}
    for text in texts:
        if text not in seen:
            seen[text] = normalise(_REPOST.sub("", text))
    return [seen[text] for text in texts]


def _values(name: str, column: Any) -> NDArray[np.object_]:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.binary_join(column.cast(pa.list_(pa.string())), " ")
    values = strings(column)
    unique, inverse = codes(values)
    clean = [_clean(name, value) for value in unique]
    return np.array(clean, dtype=object)[inverse]


def _clean(name: str, value: str) -> str:
    value = value.strip()
    if name == "url" and "://" in value:
        scheme, _, rest = value.partition("://")
        host, slash, path = rest.partition("/")
        path = _TRACKING.sub("", path.partition("#")[0]).rstrip("/?&")
        return f"{scheme.lower()}://{host.lower().removeprefix('www.')}{slash and '/'}{path}"
    if name.startswith("hashtag"):
        return " ".join(re.split(r"[\s,;#]+", value.lower())).strip()
    return value
