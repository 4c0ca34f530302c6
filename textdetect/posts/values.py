"""What the cells of posts say: accounts, times, strings. It does not know where they stand."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from textdetect.errors import InvalidInput
from textdetect.posts.text import is_missing

_SPREADSHEET: Final = re.compile(r"\d([.,]\d+)?[eE]\+\d{2,3}")
_AS: Final = "read or export that column as text (pandas: dtype=str)"
_EPOCH: Final = re.compile(r"\d{9,19}(\.\d+)?")
_EARLIEST_S, _LATEST_S = 631_152_000, 4_102_444_800  # 1990 to 2100; 20241201 is no second
_NAMED_ZONE: Final = re.compile(r"(.*\d)\s+([A-Z]{1,4})")
_LOOSE: Final = re.compile(r"(\d{4})[/.年-](\d{1,2})[/.月-](\d{1,2})日?(?:[T\s]+(\d\d?)(:\d\d.*))?")
_NAMING: Final = ("expanded_url", "url", "href", "uri", "tag", "text", "name", "id")
"""What stands for a tag or a link that is an object."""

Flags = NDArray[np.bool_]


@functools.cache
def table() -> dict[str, Any]:
    """Give what is known of files of posts, as in layouts.yaml."""
    file = Path(__file__).with_name("layouts.yaml")
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


@functools.cache
def words(*kinds: str) -> frozenset[str]:
    """Give the words for "yes", "no", "nothing" or "nobody", in small letters."""
    return frozenset(word for kind in kinds for word in table()["words"][kind])


def account_names(values: Iterable[Any]) -> list[str | None]:
    """Give accounts as text, None where there is none: missing, "[deleted]", "NaN" and their like.

    Ids that a table with gaps turned into floats become whole again where that is exact: below
    2**53, and above where the last four bits that a float has are unused. Of ids that lost digits
    one in sixteen looks so, a column of them does not: InvalidInput, as for 1.76E+18 and objects.

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
    return None if name.casefold() in words("nothing", "nobody") else name


def strings(values: Iterable[Any]) -> NDArray[np.object_]:
    r"""Give values as str, "" where missing; whole floats as integers, lists with "\n" between.

    >>> strings([7.0, ["a", "b"], '["a", "b"]', None]).tolist()
    ['7', 'a\nb', 'a\nb', '']
    """
    return np.array([v if _is_plain(v) else _string(v) for v in values], dtype=object)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and not (value.startswith('["') and value.endswith('"]'))


def _string(value: Any) -> str:
    if value is None or is_missing(value):
        return ""
    if isinstance(value, str):  # a list in a cell of csv
        with suppress(ValueError):
            return "\n".join(json.loads(value))
        return value
    if isinstance(value, (list, tuple, np.ndarray)):
        return "\n".join(strings(value))
    if isinstance(value, Mapping):
        value = next((value[name] for name in _NAMING if isinstance(value.get(name), str)), value)
        if isinstance(value, Mapping):
            raise InvalidInput("a column of strings or numbers expected, got objects")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def moments(values: Sequence[Any]) -> tuple[NDArray[np.float64], Flags, Flags]:
    """Give times as seconds since 1970, those without a zone as if in UTC.

    Values are timestamps; seconds, milliseconds or microseconds since 1970, as numbers or digits;
    strings in ISO 8601, RFC 2822, as the first API of Twitter's, with "EST" and its like. Returns
    arrays of as many: NaN where missing; whether it has no zone; whether a value is no time.

    >>> [found.tolist() for found in moments(["2024-03-04 03:15:07 EST", "1709540107", "soon"])]
    [[1709540107.0, 1709540107.0, nan], [False, False, False], [False, False, True]]
    """
    parsed = [_moment(value) for value in values]
    found = np.array([_stamp(moment) for moment in parsed], dtype=np.float64)
    local = [isinstance(moment, datetime) and moment.tzinfo is None for moment in parsed]
    said = [not is_missing(value) and bool(str(value).strip()) for value in values]
    return found, np.array(local, dtype=bool), np.isnan(found) & np.array(said, dtype=bool)


def offset_s(n_local: int, n_known: int, time_zone: str | None) -> float:
    """Give the seconds that times without a zone are ahead of UTC; InvalidInput without a zone."""
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", time_zone or "")
    if not match and (time_zone or "UTC").upper() not in ("UTC", "Z"):
        raise InvalidInput(f'time_zone "UTC" or an offset as "+08:00" expected, got {time_zone!r}')
    if n_local and time_zone is None:
        if n_local < n_known:
            raise InvalidInput(
                f"{n_known - n_local} times have a time zone and {n_local} have none; "
                "say where these belong with time_zone= (--time-zone)"
            )
        raise InvalidInput(
            "times without a time zone: say which one with time_zone= (--time-zone), "
            'as "UTC" or "+08:00"'
        )
    minutes = int(match[2]) * 60 + int(match[3]) if match and n_local else 0
    return 60.0 * (-minutes if match and match[1] == "-" else minutes)


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
    named, loose = _NAMED_ZONE.fullmatch(text), _LOOSE.fullmatch(text)
    zone_h = table()["zones"].get(named[2]) if named else None
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    with suppress(ValueError):
        if named and zone_h is not None:
            zone = timezone(timedelta(hours=zone_h))
            return datetime.fromisoformat(named[1]).replace(tzinfo=zone)
        if loose:
            year, month, day, hour, rest = loose.groups()
            clock = f"T{hour:0>2}{rest}" if hour else ""
            return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}{clock}")
    if text[-1:].isdigit() or zone_h is not None:
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            return parsedate_to_datetime(text)
    return None


def _stamp(moment: datetime | float | None) -> float:
    if isinstance(moment, float):
        return moment
    with suppress(OverflowError, ValueError, AttributeError):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()  # type: ignore[union-attr]
    return float("nan")
