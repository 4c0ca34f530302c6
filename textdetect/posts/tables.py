"""Files of posts → a table in the common form, with what was left out and how it was read.

It does not know what is asked of the posts.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textdetect.errors import DataError, InvalidInput
from textdetect.language import identify
from textdetect.posts.fields import FIELDS
from textdetect.posts.files import IN_MEMORY, PathOrDash, find_inputs, open_posts
from textdetect.posts.rows import Reader, Row
from textdetect.posts.values import account_names, moments, offset_s, strings
from textdetect.posts.writers import inert, writable
from textdetect.progress import bar
from textdetect.text import has_words, normalise

READINGS: Final = b"textdetect_readings"
"""Key of a table's metadata: how each file was read, as JSON."""
MAX_LISTED: Final = 20
"""Unreadable rows that are named; all are counted."""
_ROWS: Final = 8_192


def as_paths(source: PathOrDash | Sequence[PathOrDash]) -> list[str]:
    """Return one path or many as a list of str."""
    given = [source] if isinstance(source, (str, os.PathLike)) else source
    return [os.fspath(path) for path in given]


def sources_of(posts: Any) -> list[Any]:
    """Return the files that paths name, or the posts in memory as the only one."""
    several = (
        isinstance(posts, (list, tuple)) and posts and isinstance(posts[0], (str, os.PathLike))
    )
    if several or isinstance(posts, (str, os.PathLike)):
        return list(find_inputs(as_paths(posts)))
    return [posts]


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
    """Read posts, whole, into the common form: a row a post, the same from every format.

    Its columns, those that there are: id, account, text, language, url, hashtags, reply_to
    (strings, null where missing; lists with blanks between), time (in UTC, or without a zone where
    none is known), repost (bool), and the `objects` by their names; source and row say where the
    post stands: the file's name, and its row, 1-based. The table's metadata has how each file was
    read (`readings_of`), so that `readings` reads it so again.

    Args:
        source: a path, "-" for stdin; or several, globs and folders; or posts in memory, as
            `objects.in_memory` takes them: there a row that can't be read is an error.
        objects: names of more columns, which are kept.
        time_zone: "UTC" or an offset as "+02:00", for times without one.
        progress: show a bar; None: if stderr is a terminal.
        need: fields that must be there.
        readings: how each of the files is read, as `readings_of` gives it.
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
    more = {name: name for name in objects if name not in FIELDS}
    parts, told, n_bad = [], [], 0
    for place, path in enumerate(sources_of(source)):
        own = readings[place] if readings else more | reading
        with open_posts(path, need=need, **own) as reader:
            if reader.reading["format"] == "txt":
                raise DataError(f"{path}: plain text has no accounts; expected csv, jsonl, parquet")
            name = "posts" if reader.reading["format"] == IN_MEMORY else os.fspath(path)
            listed: list[str] = []
            table, bad = _table(reader, name, time_zone, progress, listed)
        if bad and not table.num_rows:
            raise DataError(f"{name}: none of its {bad} rows can be read")
        parts.append(table)
        n_bad += bad
        known = {"layout": reader.fields.layout, "n_rows": table.num_rows, "bad": listed}
        told.append({"name": Path(name).name, "reading": reader.told()} | known)
    zones = {table.schema.field("time").type for table in parts if "time" in table.column_names}
    if len(zones) > 1:
        raise InvalidInput(
            "the times of some files have a time zone and those of others have none; say where "
            "these belong with time_zone= (--time-zone)"
        )
    whole = pa.concat_tables(parts, promote_options="default")
    return whole.replace_schema_metadata({READINGS: json.dumps(told)}), n_bad


def readings_of(table: pa.Table) -> list[dict[str, Any]]:
    """Give how each file of a table from `read_posts` was read: name, reading."""
    found: list[dict[str, Any]] = json.loads((table.schema.metadata or {}).get(READINGS, b"[]"))
    return found


@dataclass(frozen=True, slots=True)
class Overview:
    """What was understood of files of posts, in plain values; `first` holds texts.

    Attributes:
        files: file → format, layout, encoding, and the column of each field.
        counts: posts, accounts, reposts, own words, languages, the first and the last time …
        first: the first rows.
        bad: the first rows that could not be read, and why.
    """

    files: dict[str, dict[str, Any]]
    counts: dict[str, Any]
    first: list[dict[str, Any]]
    bad: list[str]


def overview(posts: pa.Table) -> Overview:
    """Count what a table from `read_posts` holds."""
    files: dict[str, dict[str, Any]] = {}
    bad = []
    for told in readings_of(posts):
        reading = told["reading"]
        where = {name: at for name, at in reading["layout"].items() if at}
        kind = {name: value for name, value in reading.items() if name not in ("layout", "padded")}
        files[told["name"]] = {"rows": told["n_rows"], "layout": told["layout"] or None, **kind}
        files[told["name"]] |= {name: at for name, at in where.items() if name != "zone"}
        files[told["name"]]["times without a zone are in"] = where.get("zone")
        bad += [f"unreadable: {told['name']}: {row}" for row in told["bad"]]
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
        ends = pc.min_max(columns["time"]).as_py()
        zone = "" if columns["time"].type.tz else ", in no zone: say which with --time-zone"
        counts["first time"], counts["last time"] = (
            f"{at:%Y-%m-%d %H:%M:%S}{zone}" if at else None for at in ends.values()
        )
        counts["posts without a time"] = columns["time"].null_count or None
    shown = [name for name in ("account", "time", "text", "repost") if name in columns]
    first = posts.select(shown).slice(0, 5).to_pylist()
    first = [{name: inert(str(value)[:70]) for name, value in row.items()} for row in first]
    return Overview(files, counts, first, bad)


def good_rows(
    reader: Reader, progress: bool | None, listed: list[str] | None = None
) -> Iterator[tuple[list[Row], int]]:
    """Yield an open file's rows that can be read, some thousands at once, and how many can't."""
    with bar(reader.total, progress, unit=reader.unit) as shown:
        for chunk in reader.chunks(_ROWS):
            rows = [row for row in chunk.rows if row.problem is None]
            if len(rows) < len(chunk.rows) and reader.reading["format"] == IN_MEMORY:
                bad = next(row for row in chunk.rows if row.problem is not None)
                raise InvalidInput(f"row {bad.number - 1}: {bad.problem}", position=bad.number - 1)
            if listed is not None:
                bad_rows = [row for row in chunk.rows if row.problem is not None]
                listed += [
                    f"row {row.number}{f' (line {row.line})' if row.line else ''}: {row.problem}"
                    for row in bad_rows[: max(0, MAX_LISTED - len(listed))]
                ]
            yield rows, len(chunk.rows) - len(rows)
            shown.update(reader.position() - shown.n)


def _table(
    reader: Reader, path: str, time_zone: str | None, progress: bool | None, listed: list[str]
) -> tuple[pa.Table, int]:
    gets = {name: reader.get(name) for name in reader.fields.paths if name != "text"}
    parts, n_bad, n_none = [], 0, 0
    n_local = n_known = 0
    for rows, bad in chain(good_rows(reader, progress, listed), [([], 0)]):
        columns: dict[str, Any] = {"row": pa.array([row.number for row in rows], pa.int64())}
        for name, get in gets.items():
            values = [get(row.values) for row in rows]
            if name == "account":
                columns[name] = _strings(account_names(values))
            elif name == "repost":
                columns[name] = pa.array(values, pa.bool_())
            elif name == "time":
                found, local, none = moments(values)
                columns[name], columns["local"] = pa.array(found), pa.array(local)
                if none.any() and reader.reading["format"] == IN_MEMORY:
                    row = rows[int(np.argmax(none))].number - 1
                    what = "no time in ISO 8601, as 2024-12-01T08:00:00+00:00"
                    raise InvalidInput(f"row {row}: {what}", position=row)
                n_none += int(none.sum())
                n_local, n_known = (
                    n_local + int(local.sum()),
                    n_known + int(np.sum(~np.isnan(found))),
                )
            else:
                columns[name] = _strings(values)
        if "text" in reader.fields.paths:
            columns["text"] = _strings([row.text for row in rows])
        parts.append(pa.table(columns))
        n_bad += bad
    table = pa.concat_tables(parts)
    if "time" in gets:
        if 2 * n_none > table.num_rows:
            what = reader.fields.paths["time"]
            raise InvalidInput(
                f"{path}: {n_none} of {table.num_rows} values of {what!r} are no times; name "
                "another column with time= (--time-column)"
            )
        zone = time_zone or reader.fields.zone
        floating = zone is None and 0 < n_local == n_known
        shift_s = 0.0 if floating else offset_s(n_local, n_known, zone)
        at_s = table["time"].to_numpy() - shift_s * table["local"].to_numpy(zero_copy_only=False)
        micros = pa.array(np.round(np.nan_to_num(at_s) * 1e6).astype(np.int64), mask=np.isnan(at_s))
        times = micros.cast(pa.timestamp("us", None if floating else "UTC"))
        place = table.column_names.index("time")
        table = table.set_column(place, "time", times).drop_columns(["local"])
    names = [name for name in (*FIELDS, "repost") if name in table.column_names]
    rest = [name for name in table.column_names if name not in (*names, "row")]
    table = table.select([*names, *rest, "row"])
    source = pa.array([Path(path).name] * table.num_rows, pa.string()).dictionary_encode()
    return table.append_column("source", source), n_bad + n_none


def _strings(values: Sequence[Any]) -> pa.Array:
    found = strings(values)
    return pa.array([writable(value) or None for value in found], pa.large_string())
