"""Files of posts → the common form, with what was left out and how it was read.

It does not know what is asked of the posts.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textdetect._ground.progress import bar
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.fields import FIELDS
from textdetect.posts.files import find_inputs, open_posts
from textdetect.posts.language import identify
from textdetect.posts.rows import IN_MEMORY, Chunk, Reader
from textdetect.posts.text import has_words, normalise
from textdetect.posts.values import account_names, moments, offset_s, strings
from textdetect.posts.writers import writable

READINGS: Final = b"textdetect_readings"
"""Key of a table's metadata: how each file was read, as JSON."""
_ROWS: Final = 8_192
_NO_TIME: Final = "no time in ISO 8601, as 2024-12-01T08:00:00+00:00"


def sources_of(posts: Any) -> list[Any]:
    """Return the files that paths name, or the posts in memory as the only one."""
    one = posts[0] if isinstance(posts, (list, tuple)) and posts else posts
    return list(find_inputs(posts)) if isinstance(one, (str, os.PathLike)) else [posts]


def blocks(
    reader: Reader,
    progress: bool | None = None,
    *,
    time_zone: str | None = None,
    only: Collection[str] = (),
) -> Iterator[pa.Table]:
    """Read an open file's posts, some at once, into the columns of `read_posts`, or `only` some.

    Times are in UTC where their zone is known. What can't be read is listed by the reader.
    """
    paths, zone, counts = reader.fields.paths, time_zone or reader.fields.zone, reader.counts
    gets = {name: reader.get(name) for name in paths if not only or name in only}
    with bar(reader.total, progress, unit=reader.unit) as shown:
        for chunk in chain(reader.chunks(_ROWS), [Chunk([])]):
            rows = [row for row in chunk.rows if row.problem is None]
            columns: dict[str, Any] = {"row": pa.array([row.number for row in rows], pa.int64())}
            for name, get in gets.items():
                values = [row.text if name == "text" else get(row.values) for row in rows]
                if name == "repost":
                    columns[name] = pa.array(values, pa.bool_())
                elif name == "time":
                    times_s, local, no_time = moments(values)
                    counts.update(local=int(local.sum()), known=int((~np.isnan(times_s)).sum()))
                    for at in np.flatnonzero(no_time):
                        reader.lose(rows[at].number, rows[at].line, _NO_TIME, what="no time")
                    if zone or 0 < counts["local"] < counts["known"]:
                        times_s -= offset_s(counts["local"], counts["known"], zone) * local
                    micros = np.round(np.nan_to_num(times_s) * 1e6).astype(np.int64)
                    exact = pa.array(micros, mask=np.isnan(times_s))
                    columns[name] = exact.cast(pa.timestamp("us"))
                else:
                    said: Any = account_names(values) if name == "account" else values
                    said = said if name in ("account", "text") else strings(values)
                    said = [writable(value or "") or None for value in said]
                    columns[name] = pa.array(said, pa.large_string())
            yield pa.table(columns)
            shown.update(reader.position() - shown.n)


def read_posts(
    source: Any,
    *,
    objects: Sequence[str] = (),
    time_zone: str | None = None,
    progress: bool | None = False,
    need: Sequence[str] = (),
    readings: Sequence[dict[str, Any]] = (),
    **reading: Any,
) -> tuple[pa.Table, int]:
    r"""Read posts, whole, into the common form: a row a post, the same from every format.

    Its columns, those that there are: id, account, text, language, url, hashtags, reply_to
    (strings, null where missing; lists with "\n" between), time (in UTC, or without a zone where
    none is known), repost (bool), and the `objects` by their names; source and row: the file's
    name, and the post's row in it, 1-based. Its metadata has how each file was read.

    Args:
        source: a path, "-" for stdin; or several, globs and folders; or posts in memory, as
            `rows.in_memory` takes them: there a row that can't be read is an error.
        objects: names of more columns, which are kept.
        time_zone: "UTC" or an offset as "+02:00", for times without one.
        progress: show a bar; None: if stderr is a terminal.
        need: fields that must be there.
        readings: how each of the files is read, as `readings_of` a table tells.
        reading: how all of them are, as `open_posts` takes it.

    Returns:
        The table, and how many rows could not be read, which are left out.

    Raises:
        InvalidInput: a column that is not there, times with and without a zone, ids that lost
            their digits.
        DataError: plain text, a damaged file, or none of its rows can be read.
        OSError: a file that can't be read.

    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "posts.jsonl")
    >>> _ = file.write_text('{"user": {"acct": "ann"}, "created": 1709540107, "text": "hi"}')
    >>> read_posts(file)[0].select(["account", "text"]).to_pylist()
    [{'account': 'ann', 'text': 'hi'}]
    """
    if isinstance(source, pa.Table) and READINGS in (source.schema.metadata or {}):
        return source, 0
    asked: dict[str, Any] = {name: name for name in objects if name not in FIELDS} | reading
    parts: list[pa.Table] = []
    told: list[dict[str, Any]] = []
    for place, path in enumerate(sources_of(source)):
        with open_posts(path, need=need, **(readings[place] if readings else asked)) as file:
            name = Path(path).name if isinstance(path, (str, os.PathLike)) else "posts"
            table, said = _table(file, name, time_zone, progress)
        parts.append(table)
        told.append(said)
    if len({part.schema.field("time").type for part in parts if "time" in part.schema.names}) > 1:
        raise InvalidInput(
            "the times of some files have a time zone and those of others have none; say where "
            "these belong with time_zone= (--time-zone)"
        )
    whole = pa.concat_tables(parts, promote_options="default")
    whole = whole.replace_schema_metadata({READINGS: json.dumps(told)})
    return whole, sum(said["n_bad"] for said in told)


def _table(
    reader: Reader, name: str, time_zone: str | None, progress: bool | None
) -> tuple[pa.Table, dict[str, Any]]:
    """Read an open file into the common form, and tell how."""
    format, paths, counts = reader.reading["format"], reader.fields.paths, reader.counts
    if format == "txt":
        raise DataError(f"{name}: plain text has no accounts; expected csv, jsonl, parquet")
    table = pa.concat_tables(blocks(reader, progress, time_zone=time_zone))
    zone, n_none = time_zone or reader.fields.zone, counts["no time"]
    if n_none and format == IN_MEMORY:
        row, _, why = reader.bad[0]
        raise InvalidInput(f"row {row - 1}: {why}", position=row - 1)
    if counts["bad"] and not table.num_rows:
        raise DataError(f"{name}: none of its {counts['bad']} rows can be read")
    if 2 * n_none > table.num_rows:
        raise InvalidInput(
            f"{name}: {n_none} of {table.num_rows} values of {paths['time']!r} are no times; name "
            "another column with time= (--time-column)"
        )
    if "time" in paths and (zone or not counts["local"]):
        at = table.column_names.index("time")
        table = table.set_column(at, "time", table["time"].cast(pa.timestamp("us", "UTC")))
    names = [column for column in (*FIELDS, "repost") if column in paths]
    rest = [column for column in table.column_names if column not in names]
    origin = pa.array([name] * table.num_rows, pa.string()).dictionary_encode()
    where = reader.reading | {"layout": paths | {"zone": zone}}
    told: dict[str, Any] = {"name": name, "reading": where, "layout": reader.fields.layout}
    told |= {"n_rows": table.num_rows, "n_bad": counts["bad"] + n_none, "bad": reader.bad}
    return table.select([*names, *rest]).append_column("source", origin), told


def readings_of(table: pa.Table) -> list[dict[str, Any]]:
    """Give how each file of a table from `read_posts` was read: name, reading."""
    found: list[dict[str, Any]] = json.loads((table.schema.metadata or {}).get(READINGS, b"[]"))
    return found


def overview(posts: pa.Table) -> dict[str, dict[str, Any]]:
    """Tell what was understood of the files of a table from `read_posts`, in plain values.

    Returns:
        File → format, layout, encoding, and the column of each field; "posts" → how many posts,
        accounts, reposts, own words, languages, the first and the last time …
    """
    files: dict[str, dict[str, Any]] = {}
    for told in readings_of(posts):
        where = {name: at for name, at in told["reading"].pop("layout").items() if at}
        other = {"times without a zone are in": where.pop("zone", None), "padded": None}
        first = {"rows": told["n_rows"], "layout": told["layout"] or None}
        files[told["name"]] = first | told["reading"] | where | other
    counts: dict[str, Any] = {"posts": posts.num_rows}
    columns = {name: posts[name] for name in posts.column_names}
    if "account" in columns:
        counts["accounts"] = len(columns["account"].unique().drop_null())
        counts["posts without an account"] = columns["account"].null_count or None
    if "repost" in columns:
        counts["reposts"] = int(pc.sum(columns["repost"]).as_py() or 0)
    if "text" in columns:
        texts = columns["text"].to_pylist()
        counts["with words of their own"] = sum(has_words(normalise(t or ""), 4) for t in texts)
        sample = [normalise(t) for t in texts[:: max(1, len(texts) // 500)] if t]
        spoken = Counter(map(identify, sample)).most_common(4)
        shares = (f"{code} {n / max(1, len(sample)):.0%}" for code, n in spoken)
        counts["languages, of a sample"] = ", ".join(shares)
    if "time" in columns:
        zone = "" if columns["time"].type.tz else ", in no zone: say which with --time-zone"
        ends = pc.min_max(columns["time"]).as_py().values()
        said = (f"{at:%Y-%m-%d %H:%M:%S}{zone}" if at else None for at in ends)
        counts |= dict(zip(("first time", "last time"), said, strict=True))
        counts["posts without a time"] = columns["time"].null_count or None
    return files | {"posts": counts}
