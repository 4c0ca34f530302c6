"""Rows of jsonl, of json documents and of tables in memory: objects, one after the other.

It does not know where the bytes come from, nor what the keys mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TextIO

import orjson
import pyarrow as pa

from textdetect.errors import InvalidInput
from textdetect.posts.fields import table, usual_names, usual_place
from textdetect.posts.rows import FEW_CHARS, Row

_BLOCK_BYTES: Final = 1 << 18
_MAX_DEPTH: Final = 200
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_BETWEEN: Final = re.compile(r"[\s,]*")
_TO_VALUE: Final = re.compile(r"[\s:]*")
_TO_BRACKET: Final = re.compile(r"[^\[{]*")


def objects(blocks: Iterable[list[bytes]]) -> Iterator[Row]:
    """Read jsonl: an object a line, or a page of them; blank lines are not rows.

    Args:
        blocks: lines, in UTF-8.
    """
    number = line_number = 0
    paged: bool | None = None
    for block in blocks:
        # orjson makes floats of what does not fit into 64 bits: json reads a block with such.
        loads = json.loads if b"0" * 20 in b"".join(block).translate(_ZEROS) else orjson.loads
        for line in block:
            line_number += 1
            try:
                value = loads(line)
                problem = None
                if type(value) is not dict or line.count(b"[") + line.count(b"{") > _MAX_DEPTH:
                    value, problem = parsed(line)
            except (ValueError, RecursionError):
                if not line.strip():
                    continue
                value, problem = parsed(line)
            if value is not None and paged is None:
                paged = is_page(value)
            if paged and value is not None:
                for post in posts_of(value):
                    number += 1
                    yield Row(number, line_number, values=post)
                continue
            number += 1
            yield Row(number, line_number, values=value, raw=line, problem=problem)


def parsed(line: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """Return the object that a line is, and why it is none."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        return None, "not UTF-8"
    except RecursionError:
        return None, "nested too deeply"
    except json.JSONDecodeError as error:
        return None, f"not JSON ({error.msg.split(':')[0]}, column {error.colno})"
    except ValueError:
        return None, "a number that is too long"
    if not isinstance(value, dict):
        return None, f"expected a JSON object, got {type(value).__name__}"
    return (None, "nested too deeply") if _is_deep(value) else (value, None)


def in_memory(posts: Any) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Give the columns of a table in memory, and its rows as mappings.

    Args:
        posts: a pyarrow Table, a pandas or polars DataFrame, a mapping of columns, or mappings.

    Raises:
        InvalidInput: none of these, or columns of different lengths.

    >>> names, rows = in_memory({"account": ["ann"], "text": ["so good"]})
    >>> list(rows)
    [{'account': 'ann', 'text': 'so good'}]
    """
    if isinstance(posts, pa.Table):
        for i, column in enumerate(posts.schema):
            if pa.types.is_timestamp(column.type):  # datetime has no nanoseconds
                as_us = posts[i].cast(pa.timestamp("us", column.type.tz), safe=False)
                posts = posts.set_column(i, column.name, as_us)
        batches = posts.to_batches(max_chunksize=8_192)
        return list(posts.column_names), (row for each in batches for row in each.to_pylist())
    if isinstance(posts, Mapping) or hasattr(posts, "columns"):
        columns = posts if isinstance(posts, Mapping) else {n: posts[n] for n in posts.columns}
        if len({len(column) for column in columns.values()}) > 1:
            raise InvalidInput("posts: the columns differ in length")
        names = [str(name) for name in columns]
        cells = zip(*columns.values(), strict=True)
        return names, (dict(zip(names, row, strict=True)) for row in cells)
    rows = list(posts) if isinstance(posts, Iterable) else [posts]
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            what = f"expected a table or a list of mappings, got {type(row).__name__}"
            raise InvalidInput(f"posts: {what} in row {position}", position=position)
    return list(dict.fromkeys(str(name) for row in rows for name in row)), iter(rows)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        nested = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for item in nested for child in item if isinstance(child, (dict, list))]
    return bool(level)


def is_page(value: dict[str, Any]) -> bool:
    """Tell whether an object holds posts, and is none.

    >>> is_page({"data": [{"text": "so good"}]}), is_page({"text": "so good", "items": [{}]})
    (True, False)
    """
    inner = [value[name] for name in table()["pages"] if name in value]
    held = [one[0] if isinstance(one, list) and one else one for one in inner]
    return (
        any(isinstance(one, dict) for one in held)
        and usual_place(list(value), usual_names("text")) is None
    )


def posts_of(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the posts of a page, and of pages in it; or the object, if it is a post itself."""
    if not is_page(value):
        yield value
        return
    for name in table()["pages"]:
        inner = value.get(name, [])
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield from posts_of(one)


def documents(stream: TextIO) -> Iterator[Row]:
    """Read json: an array of posts, a page with an array in it, or objects in a row.

    An array is read post by post, in memory that does not grow with it. What precedes the first
    bracket ("window.YTD.tweets.part0 = ") is passed over. A file that is broken somewhere gives
    the posts before that place, and an unreadable row for the rest.
    """
    text, number = _Text(stream), 0
    try:
        while bracket := text.skip(_TO_BRACKET):
            for value in text.members(bracket):
                for post in posts_of(value) if isinstance(value, dict) else [value]:
                    number += 1
                    if isinstance(post, dict):
                        yield Row(number, None, values=post)
                    else:
                        why = f"expected a JSON object, got {type(post).__name__}"
                        raw = json.dumps(post)[:FEW_CHARS].encode()
                        yield Row(number, None, raw=raw, problem=why)
    except (ValueError, RecursionError):
        raw = text.held[text.at :][:FEW_CHARS].encode("utf-8", "replace")
        why = "not JSON from here on: damaged or cut off"
        yield Row(number + 1, None, raw=raw, problem=why)


class _Text:
    """A stream of JSON, from which values are taken one by one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.held, self.at = stream, "", 0
        self._decode = json.JSONDecoder(strict=False).raw_decode

    def _more(self) -> bool:
        more = self._stream.read(max(_BLOCK_BYTES, len(self.held)))
        if more:
            self.held, self.at = self.held[self.at :] + more, 0
        return bool(more)

    def skip(self, pattern: re.Pattern[str] = _BETWEEN) -> str:
        """Pass over what fits, and return the character behind it, "" at the end."""
        while True:
            fitting = pattern.match(self.held, self.at)
            self.at = fitting.end() if fitting else self.at
            if self.at < len(self.held) or not self._more():
                return self.held[self.at : self.at + 1]

    def take(self) -> Any:
        """Return the next value; raises ValueError where none can be read."""
        while True:
            try:
                value, end = self._decode(self.held, self.at)
            except ValueError:
                if not self._more():
                    raise
                continue
            if isinstance(value, (dict, list, str)) or end < len(self.held) or not self._more():
                self.at = end
                return value

    def members(self, bracket: str) -> Iterator[Any]:
        """Yield the members of an array, those of an array of posts in an object, or the object."""
        self.at += 1
        own: dict[str, Any] | None = {}
        while (mark := self.skip()) not in "]}":
            if bracket == "[":
                yield self.take()
                continue
            key = self.take()
            self.skip(_TO_VALUE)
            pages = isinstance(key, str) and key in table()["pages"]
            texts = usual_place(list(own or ()), usual_names("text"))
            if pages and texts is None and self.skip() == "[":
                own = None
                yield from self.members("[")
            elif own is None:
                self.take()
            else:
                own[str(key)] = self.take()
        if not mark:
            raise ValueError("the end is missing")
        self.at += 1
        if bracket == "{" and own is not None:
            yield own


def scan_keys(rows: Iterable[Row]) -> dict[str, str]:
    """Return every key of rows of json, in the order of appearance, with the kind of its values.

    Kinds: "str", "bool", "int", "float", "json" (nested, mixed, or too big for 64 bits), "null".
    """
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.values.items() if isinstance(row.values, dict) else ():
            kinds.setdefault(key, set()).add(_kind(value))
    return {key: _common(found - {"null"}) for key, found in kinds.items()}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is int:
        return "small" if abs(value) <= 2**53 else "int" if -(2**63) <= value < 2**63 else "json"
    return type(value).__name__ if isinstance(value, (str, bool, float)) else "json"


def _common(kinds: set[str]) -> str:
    if kinds <= {"small", "int"} and kinds:
        return "int"
    if kinds == {"small", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "json" if kinds else "null"
