"""What the cells of posts say: accounts, times, strings. It does not know where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from numbers import Integral, Real
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect.errors import InvalidInput
from textdetect.text import is_missing

YES: Final = {"true", "t", "yes", "y", "1", "1.0", "是"}
NOTHING: Final = {"", "none", "nan", "null", "<na>", "nat", "na", "n/a", "#n/a", "undefined"}
NO: Final = {"false", "f", "no", "n", "0", "0.0", "否"}
_NOBODY: Final = NOTHING | {
    *("[deleted]", "[removed]", "[deleted user]", "deleted user", "deleted account"),
    *("账号已注销", "用户已注销", "该用户已注销", "已注销"),
}
_SPREADSHEET: Final = re.compile(r"\d([.,]\d+)?[eE]\+\d{2,3}")
_AS: Final = "read or export that column as text (pandas: dtype=str)"
_EPOCH: Final = re.compile(r"\d{9,19}(\.\d+)?")
_EARLIEST_S: Final = 631_152_000  # 1990: before it, digits are no seconds, but 20241201
_LATEST_S: Final = 4_102_444_800  # the year 2100: beyond it, a number is in milliseconds …
_ZONES_H: Final = dict.fromkeys(("UTC", "GMT", "Z"), 0.0) | {  # and no name that two places share
    "EST": -5.0,
    "EDT": -4.0,
    "PST": -8.0,
    "PDT": -7.0,
    "MDT": -6.0,
    "CDT": -5.0,
    "AEST": 10.0,
    "CET": 1.0,
    "CEST": 2.0,
    "EET": 2.0,
    "EEST": 3.0,
    "MSK": 3.0,
    "JST": 9.0,
    "KST": 9.0,
}
_NAMED_ZONE: Final = re.compile(r"(.*\d)\s+([A-Z]{1,4})")
_LOOSE: Final = re.compile(r"(\d{4})[/.年-](\d{1,2})[/.月-](\d{1,2})日?(?:[T\s]+(\d\d?)(:\d\d.*))?")


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


_NAMING: Final = ("expanded_url", "url", "href", "uri", "tag", "text", "name", "id")
"""What stands for a tag or a link that is an object."""


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
        named = next((value[name] for name in _NAMING if isinstance(value.get(name), str)), None)
        if named is None:
            raise InvalidInput("a column of strings or numbers expected, got objects")
        return str(named)
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


Flags = NDArray[np.bool_]


def moments(values: Sequence[Any]) -> tuple[NDArray[np.float64], Flags, Flags]:
    """Give times as seconds since 1970, those without a zone as if in UTC.

    Args:
        values: timestamps; seconds, milliseconds or microseconds since 1970, as numbers or digits;
            strings in ISO 8601, RFC 2822, as the first API of Twitter's, with "EST" and its like.

    Returns:
        Three arrays of the values' length: the seconds, NaN where missing; whether the time has no
        zone; whether there is a value that is no time.

    >>> [found.tolist() for found in moments(["2024-03-04 03:15:07 EST", "1709540107", "soon"])]
    [[1709540107.0, 1709540107.0, nan], [False, False, False], [False, False, True]]
    """
    parsed = [_moment(value) for value in values]
    found = np.array([_stamp(moment) for moment in parsed], dtype=np.float64)
    local = [isinstance(moment, datetime) and moment.tzinfo is None for moment in parsed]
    said = [not is_missing(value) and bool(str(value).strip()) for value in values]
    return found, np.array(local, dtype=bool), np.isnan(found) & np.array(said, dtype=bool)


def offset_s(n_local: int, n_known: int, time_zone: str | None) -> float:
    """Give the seconds that times without a zone are ahead of UTC; 0 where there is none of them.

    Raises:
        InvalidInput: times without a zone where none is given.
    """
    zone_s = _zone_s(time_zone or "UTC")
    if time_zone is not None or n_local == 0:
        return zone_s if n_local else 0.0
    if n_local < n_known:
        raise InvalidInput(
            f"{n_known - n_local} times have a time zone and {n_local} have none; "
            "say where these belong with time_zone= (--time-zone)"
        )
    raise InvalidInput(
        "times without a time zone: say which one with time_zone= (--time-zone), "
        'as "UTC" or "+08:00"'
    )


def _moment(value: Any) -> datetime | float | None:
    """Parse what `moments` takes; None where it is no time."""
    if isinstance(value, datetime) or is_missing(value):
        return None if is_missing(value) else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    text = str(value).strip()
    if isinstance(value, Real) or _EPOCH.fullmatch(text):
        number = float(value)
        for scale in (1.0, 1e3, 1e6, 1e9):
            if _EARLIEST_S <= number / scale <= _LATEST_S:
                return number / scale
        if isinstance(value, Real):  # seconds of a clock of one's own
            return number if number <= _LATEST_S else None
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    if (named := _NAMED_ZONE.fullmatch(text)) and named[2] in _ZONES_H:
        with suppress(ValueError):
            zone = timezone(timedelta(hours=_ZONES_H[named[2]]))
            return datetime.fromisoformat(named[1]).replace(tzinfo=zone)
    if loose := _LOOSE.fullmatch(text):
        year, month, day, hour, rest = loose.groups()
        with suppress(ValueError):
            clock = f"T{hour:0>2}{rest}" if hour else ""
            return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}{clock}")
    if text[-1:].isdigit() or (named and named[2] in _ZONES_H):
        with suppress(ValueError, TypeError, IndexError):
            return parsedate_to_datetime(text)
    return None


def _stamp(moment: datetime | float | None) -> float:
    if not isinstance(moment, datetime):
        return float("nan") if moment is None else moment
    with suppress(OverflowError, ValueError):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float("nan")


def _zone_s(time_zone: str) -> float:
    if time_zone.upper() in ("UTC", "Z"):
        return 0.0
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", time_zone)
    if not match:
        raise InvalidInput(f'time_zone "UTC" or an offset as "+08:00" expected, got {time_zone!r}')
    offset = timedelta(hours=int(match[2]), minutes=int(match[3])).total_seconds()
    return offset if match[1] == "+" else -offset
