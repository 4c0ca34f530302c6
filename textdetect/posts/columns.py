"""What stands beside a post, by the columns' usual names: account, time, marks of a repost.

One reading for every room, so that an account has one name everywhere. It does not read texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textdetect.errors import InvalidInput
from textdetect.posts.rows import find_column
from textdetect.text import is_missing

ACCOUNT_COLUMNS: Final = (
    *("account", "account_id", "user", "user_id", "username", "user_name", "screen_name"),
    *("author", "author_id", "handle", "账号", "用户", "用户名", "用户昵称", "作者"),
)
"""Names that a column of accounts usually has, the likeliest first."""
TIME_COLUMNS: Final = (
    *("time", "timestamp", "created_at", "createdAt", "date", "datetime", "created_utc", "created"),
    *("published", "published_at", "publishedAt", "posted_at", "date_unixtime", "timestamp_share"),
    *("发布时间", "发表时间", "创建时间", "时间", "日期"),
)
"""Names that a column of times usually has, the likeliest first."""
_FLAGS: Final = {"repost", "is_repost", "retweet", "is_retweet", "is_reblog", "是否转发"}
_ORIGINALS: Final = {"是否原创", "is_original"}
_SOURCES: Final = {"retweeted_status", "reblog", "forwarded_from"}
_YES: Final = {"true", "t", "yes", "y", "1", "1.0", "是"}
_NOTHING: Final = {"", "none", "nan", "null", "<na>", "nat", "na", "n/a", "#n/a", "undefined"}
_NO: Final = {"false", "f", "no", "n", "0", "0.0", "否"}
_NOBODY: Final = _NOTHING | {
    *("[deleted]", "[removed]", "[deleted user]", "deleted user", "deleted account"),
    *("账号已注销", "用户已注销", "该用户已注销", "已注销"),
}
_SPREADSHEET: Final = re.compile(r"\d([.,]\d+)?[eE]\+\d{2,3}")
_AS: Final = "read or export that column as text (pandas: dtype=str)"
_DIGITS: Final = re.compile(r"\d{9,10}(\.\d+)?")
_EARLIEST_S: Final = 631_152_000  # 1990: before it, digits are no seconds, but 20241201
_LATEST_S: Final = 4_102_444_800  # the year 2100: beyond it, a number is in milliseconds
_V1_TIME: Final = "%a %b %d %H:%M:%S %z %Y"  # Twitter's API before version 2


def open_table(posts: Any) -> tuple[list[str], Callable[[str], list[Any]]]:
    """Give the names of a table's columns, and what returns the values of the one of a name.

    Args:
        posts: a pyarrow Table, a pandas or polars DataFrame, a mapping of columns, or mappings.

    Raises:
        InvalidInput: none of these, or columns of different lengths.

    >>> names, column = open_table([{"account": "ann", "text": "so good"}])
    >>> names, column("text")
    (['account', 'text'], ['so good'])
    """
    if isinstance(posts, pa.Table):
        return list(posts.column_names), lambda name: _python(posts[name])
    if isinstance(posts, Mapping) or hasattr(posts, "columns"):
        if isinstance(posts, Mapping) and len({len(column) for column in posts.values()}) > 1:
            raise InvalidInput("posts: the columns differ in length")
        labels = {str(name): name for name in getattr(posts, "columns", posts)}
        return list(labels), lambda name: _python(posts[labels[name]])
    rows = list(posts) if isinstance(posts, Iterable) and not isinstance(posts, str) else [posts]
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            what = f"expected a table or a list of mappings, got {type(row).__name__}"
            raise InvalidInput(f"posts: {what} in row {position}", position=position)
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return list(names), lambda name: [row.get(name) for row in rows]


def _python(column: Any) -> list[Any]:
    if isinstance(column, pa.ChunkedArray) and pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    for method in ("to_pylist", "to_list"):  # of pyarrow; of pandas and polars
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def place_of(purpose: str, names: Sequence[str], wanted: str | None) -> int:
    """Find the column of a purpose, "account" or "time"; errors as in `find_column`."""
    usual = ACCOUNT_COLUMNS if purpose == "account" else TIME_COLUMNS
    option = f"{purpose}= (--{purpose}-column)"
    return find_column(names, wanted, usual=usual, purpose=f"{purpose}s", option=option)


def account_names(values: Iterable[Any]) -> list[str | None]:
    """Give accounts as text, None where there is none: missing, "[deleted]", "NaN" and their like.

    Ids that a table with gaps turned into floats become whole again where that is exact: below
    2**53, and above where the last four bits that a float has are unused. Of ids that lost digits
    one in sixteen looks so, a column of them does not.

    Raises:
        InvalidInput: ids that lost digits, as floats or as a spreadsheet's 1.76E+18; objects.

    >>> account_names(["ann", "[deleted]", 7.0, 1764300000000004096, None])
    ['ann', None, '7', '1764300000000004096', None]
    """
    return [_account(value) for value in values]


def _account(value: Any) -> str | None:
    if value is None or (not isinstance(value, str) and is_missing(value)):
        return None
    if isinstance(value, (Mapping, list, tuple, np.ndarray)):
        raise InvalidInput("accounts: expected names or ids, got objects; name another column")
    if not isinstance(value, (str, Integral)) and isinstance(value, Real):
        whole = int(float(value)) if float(value).is_integer() else 2**53 + 1
        if abs(whole) >= 2**53 and whole % (1 << whole.bit_length() - 49):
            raise InvalidInput(f"accounts: ids came as floats that lost their last digits; {_AS}")
        value = whole
    name = str(value).strip()
    if _SPREADSHEET.fullmatch(name):
        raise InvalidInput(f"accounts: ids came as 1.76E+18, their last digits lost; {_AS}")
    return None if name.casefold() in _NOBODY else name


def reposts(names: Sequence[str], column: Callable[[str], list[Any]], n_rows: int) -> list[bool]:
    """Tell which posts a usual column marks as somebody else's; `names`, `column`: of a table.

    >>> reposts(*open_table({"is_retweet": ["0", "True"], "reblog": [{"id": 7}, None]}), 2)
    [True, True]
    """
    marked = [False] * n_rows
    for name in names:
        kind = name.strip().casefold()
        if kind not in _FLAGS | _ORIGINALS | _SOURCES:
            continue
        for i, value in enumerate(column(name)):
            empty = is_missing(value) or value in ("", [], {})
            said = "" if empty else str(value).strip().casefold()
            if kind in _FLAGS:
                marked[i] |= said in _YES
            else:
                marked[i] |= said in _NO if kind in _ORIGINALS else said not in _NO | _NOTHING
    return marked


def strings(values: Iterable[Any]) -> NDArray[np.object_]:
    """Give values as str, "" where missing; whole floats as integers, lists with blanks between.

    Raises:
        InvalidInput: objects.
    """
    return np.array([v if isinstance(v, str) else _string(v) for v in values], dtype=object)


def _string(value: Any) -> str:
    if value is None or is_missing(value):
        return ""
    if isinstance(value, (list, tuple, np.ndarray)):
        return " ".join(strings(value))
    if isinstance(value, Mapping):
        raise InvalidInput("a column of strings or numbers expected, got objects")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def seconds(values: Sequence[Any], time_zone: str | None) -> NDArray[np.float64]:
    """Give times as seconds since 1970 in UTC, NaN where missing.

    Args:
        values: timestamps, seconds as numbers or digits, or strings in ISO 8601.
        time_zone: "UTC" or an offset as "+02:00", for times without one.

    Raises:
        InvalidInput: a time that is none, or times without a zone where none is given.
    """
    moments = [_moment(value) for value in values]
    for row, (value, moment) in enumerate(zip(values, moments, strict=True)):
        if moment is None and not is_missing(value) and str(value).strip():
            what = "no time in ISO 8601, as 2024-12-01T08:00:00+00:00"
            raise InvalidInput(f"row {row}: {what}", position=row)
        if isinstance(moment, float) and abs(moment) > _LATEST_S:
            raise InvalidInput(
                "times as numbers are seconds since 1970; these lie beyond the year 2100 "
                "(milliseconds? divide by 1000)"
            )
    zoned = [moment.tzinfo is not None for moment in moments if isinstance(moment, datetime)]
    if any(zoned) and not all(zoned) and time_zone is None:
        raise InvalidInput(
            f"{sum(zoned)} times have a time zone and {len(zoned) - sum(zoned)} have none; "
            "say where these belong with time_zone= (--time-zone)"
        )
    zone_s = 0.0 if all(zoned) else _zone_s(time_zone)
    return np.array([_stamp(moment, zone_s) for moment in moments], dtype=np.float64)


def stamp(value: Any) -> float:
    """Give one time as seconds, in UTC where it names no zone; NaN where it is none.

    >>> stamp("2024-12-01T08:00:00"), stamp("1733040000"), stamp("soon")
    (1733040000.0, 1733040000.0, nan)
    """
    return _stamp(_moment(value), 0.0)


def _moment(value: Any) -> datetime | float | None:
    """Parse ISO 8601, seconds since 1970, or the times of Twitter's first API."""
    if is_missing(value):
        return None
    if isinstance(value, (datetime, Real)):
        return value if isinstance(value, datetime) else float(value)
    text = str(value).strip()
    if _DIGITS.fullmatch(text) and _EARLIEST_S <= float(text) <= _LATEST_S:
        return float(text)
    for parse in (datetime.fromisoformat, lambda text: datetime.strptime(text, _V1_TIME)):
        with suppress(ValueError):
            return parse(text)
    return None


def _stamp(moment: datetime | float | None, zone_s: float) -> float:
    if not isinstance(moment, datetime):
        return float("nan") if moment is None else moment
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
