"""Rows of csv, jsonl, json, plain text, Excel: streamed in order, each read or named.

It does not know where the bytes come from, what the posts are scored for, or how rows are written.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TextIO

import orjson
import pyarrow as pa

from textdetect._optional import require
from textdetect.errors import DataError, InvalidInput
from textdetect.language import canonical
from textdetect.posts.fields import Fields, table, usual_names, usual_place
from textdetect.text import is_missing

MAX_RECORD_LINES: Final = 10_000
MAX_RECORD_CHARS: Final = 16_000_000
"""How far a quoted csv field is followed before its first line is called broken."""
_FEW_CHARS: Final = 2_000
_LINE_COST: Final = 64
_CHUNK_CHARS: Final = 16_000_000
_BLOCK_BYTES: Final = 1 << 18
_MAX_DEPTH: Final = 200
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_BETWEEN: Final = re.compile(r"[\s,]*")
_TO_VALUE: Final = re.compile(r"[\s:]*")
_TO_BRACKET: Final = re.compile(r"[^\[{]*")


@dataclass(slots=True)
class Row:
    """One row of a file.

    Attributes:
        number: 1-based; the header and blank lines are not counted.
        line: 1-based line of the file where the row begins; None in Parquet and Excel.
        text: the post, or None where it is missing.
        language: what the language column says, or None.
        values: the cells in the order of the reader's columns, a dict of json; None where the
            row can't be parsed or its cells stay in the chunk's `batch`.
        raw: the line as it stands in the file: of jsonl, and where `values` is None.
        problem: why the row can't be scored, or None. It never holds text of the row.
    """

    number: int
    line: int | None
    text: str | None = None
    language: str | None = None
    values: Sequence[Any] | dict[str, Any] | None = None
    raw: bytes = b""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows; `batch` is their pyarrow RecordBatch where cells keep Parquet's types."""

    rows: list[Row]
    batch: Any = None

    def after(self, n_rows: int) -> Chunk:
        """Return the chunk without its first rows."""
        return Chunk(self.rows[n_rows:], None if self.batch is None else self.batch.slice(n_rows))


class Reader:
    """An open file of posts; made by `files.open_posts`.

    Attributes:
        columns: the names in the header's order, as they stand there, doubles and blanks too; of
            json every key of the file, or the first rows' keys where the output needs no more.
        fields: where the fields of a post stand.
        text_at: place in `columns` of the posts.
        stem: the file's name up to its first dot.
        kinds: of json, each key's kind of values, where the output has to know.
        schema: of Parquet; None otherwise.
        total: bytes or rows (`unit`) that there are to read; None where that can't be told.
        position: returns how many of them were read.
    """

    kinds: dict[str, str] | None = None
    schema: Any = None
    unit: str = "B"
    total: int | None = None

    def __init__(self, rows: Iterable[Row], fields: Fields, *, judged: bool) -> None:
        self.fields, self.columns = fields, fields.columns
        self.text_at = next(iter(fields.places("text")), 0)
        self._rows, self._judged = rows, judged
        self.position: Callable[[], int] = lambda: 0
        self.reading: dict[str, Any] = {}
        self.stem = ""

    def get(self, purpose: str) -> Callable[[Any], Any]:
        """Give what takes a field out of a row's values: None where it stands nowhere."""
        cells = self.reading["format"] in ("csv", "tsv", "txt", "xlsx", "parquet")
        if purpose not in self.fields.paths:
            return lambda _: None
        return self.fields.getter(purpose, cells=cells, file=self.stem)

    def told(self) -> dict[str, Any]:
        """Give how the file is read, in plain values, as `open_posts` takes it again."""
        return self.reading | {"layout": self.fields.paths | {"zone": self.fields.zone}}

    def chunks(self, n_rows: int) -> Iterator[Chunk]:
        """Yield the rows, at most `n_rows` at once, and fewer where they are very long."""
        text_of, path = self.get("text"), self.fields.paths.get("text", "")
        language_of = self.get("language") if self._judged else None
        rows: list[Row] = []
        n_chars = 0
        for row in self._rows:
            if row.problem is None:
                found = text_of(row.values)
                if isinstance(found, str):
                    row.text = found
                    n_chars += len(found)
                elif not is_missing(found):
                    row.problem = f"{path}: expected str, got {type(found).__name__}"
                if language_of and not row.problem:
                    row.language, row.problem = spoken(language_of(row.values))
            rows.append(row)
            n_chars += len(row.raw)
            if len(rows) >= n_rows or n_chars > _CHUNK_CHARS:
                yield Chunk(rows)
                rows, n_chars = [], 0
        if rows:
            yield Chunk(rows)


def spoken(value: Any) -> tuple[str | None, str | None]:
    """Return a cell's language (None: to be identified), and why it can't be used."""
    try:
        return canonical(value), None
    except InvalidInput as error:
        return None, str(error)


def _is_utf8(line: str) -> bool:
    return line.isascii() or not _UNDECODABLE.search(line)


def delimited(
    stream: Iterable[str], delimiter: str, *, padded: bool = False
) -> tuple[list[str], Iterator[Row]]:
    """Read csv or tsv with standard quoting: the header's names, and the rows.

    Blank lines are not rows, nor is the header where it comes again. A record that can't be
    parsed, or has other than the header's number of fields, makes its first line an unreadable
    row, and reading goes on at the next line: a broken row swallows none behind it. Raises csv's
    process-wide field size limit, and leaves it raised.

    Args:
        stream: lines, with lone surrogates for what could not be decoded.
        delimiter: one character.
        padded: rows may be shorter than the header.

    Raises:
        InvalidInput: no header.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_CHARS))
    records = _Records(stream, delimiter)
    line, header, problem = records.take()
    if problem:
        raise InvalidInput(
            f"the header (line {line}) can't be read: {problem}; expected column names in UTF-8"
        )
    if not header:
        raise InvalidInput("the file is empty: expected a line of column names")
    return header, _delimited_rows(records, header, padded)


def _delimited_rows(records: _Records, header: list[str], padded: bool) -> Iterator[Row]:
    width, number = len(header), 0
    usual = (usual_place(header, usual_names(name)) for name in ("text", "account", "time", "id"))
    repeats = header if sum(place is not None for place in usual) > 1 else None
    while True:
        line, cells, problem = records.take()
        if cells is not None and len(cells) != width:
            if not cells:
                return
            if padded and len(cells) < width:
                cells += [""] * (width - len(cells))
            else:
                problem = f"expected {width} fields, got {len(cells)}"
        if cells is not None and cells == repeats:
            continue
        number += 1
        if problem:
            raw = records.give_back().rstrip("\r\n").encode("utf-8", "surrogateescape")
            yield Row(number, line, raw=raw, problem=problem)
        else:
            yield Row(number, line, values=cells)


class _Records:
    """The records of a csv file, each parsed by itself, so that a broken one ends there."""

    def __init__(self, stream: Iterable[str], delimiter: str) -> None:
        self._stream, self._delimiter = iter(stream), delimiter
        self._again: deque[str] = deque()
        self._held: list[str] = []
        self._line, self._n_read, self._lost = 1, 0, 0

    def _next(self) -> str:
        line = self._again.popleft() if self._again else next(self._stream, "")
        self._held.append(line)
        self._n_read += len(line)
        return line

    def give_back(self) -> str:
        """Return the record's first line, and let its others be read again."""
        n_chars = sum(map(len, self._held))
        self._lost += n_chars + _LINE_COST * len(self._held)
        self._again.extendleft(reversed(self._held[1:]))
        self._n_read -= n_chars - len(self._held[0])
        del self._held[1:]
        return self._held[0]

    def take(self) -> tuple[int, list[str] | None, str | None]:
        """Return the next record's line, cells ([] at the end), and why it can't be read."""
        first = "\n"
        while first in ("\n", "\r\n", "\r"):
            self._line += len(self._held)
            first = self._again.popleft() if self._again else next(self._stream, "")
            self._held = [first]
        self._n_read += len(first)
        if not first:
            return self._line, [], None
        if first.isascii() and '"' not in first and "\0" not in first:
            return self._line, first.rstrip("\r\n").split(self._delimiter), None
        open_, n_chars = False, 0
        line = first
        while True:
            if "\0" in line or not _is_utf8(line):
                return self._line, None, "a NUL byte" if "\0" in line else "not UTF-8"
            if line is first and '"' not in line:
                return self._line, line.rstrip("\r\n").split(self._delimiter), None
            open_ ^= line.count('"') % 2 == 1
            if not open_:
                cells, problem = self._parsed()
                if problem is None or "quote" in problem:
                    return self._line, cells, problem
                open_ = True
            n_chars += len(line)
            # Bounds the time spent on a file whose every line opens a quote that never ends.
            patient = self._lost <= 4 * self._n_read + MAX_RECORD_CHARS
            limit = MAX_RECORD_CHARS if patient else _FEW_CHARS
            if len(self._held) > MAX_RECORD_LINES or n_chars > limit:
                return self._line, None, "a quote that is not closed"
            line = self._next()
            if not line:
                self._held.pop()
                return self._line, None, "a quote that is not closed"

    def _parsed(self) -> tuple[list[str] | None, str | None]:
        reader = csv.reader(self._held, delimiter=self._delimiter, strict=True)
        try:
            cells = next(reader)
        except csv.Error as error:
            return None, "a stray quote" if "expected after" in str(error) else str(error)
        self._again.extendleft(reversed(self._held[reader.line_num :]))
        del self._held[reader.line_num :]
        return cells, None


def plain(stream: Iterable[str]) -> Iterator[Row]:
    """Read plain text, a post a line; an empty line is an empty post."""
    for number, line in enumerate(stream, 1):
        line = line.rstrip("\r\n")
        if _is_utf8(line):
            yield Row(number, number, values=[line])
        else:
            raw = line.encode("utf-8", "surrogateescape")
            yield Row(number, number, raw=raw, problem="not UTF-8")


def sheet(file: BinaryIO) -> tuple[list[str], Iterator[Row]]:
    """Read the first sheet of an Excel workbook, its cells as text: names, and rows.

    Raises:
        DataError: no workbook, or an empty one.
        MissingDependency: python-calamine is not installed.
    """
    calamine = require("python_calamine", extra="files")
    try:
        records = calamine.CalamineWorkbook.from_filelike(file).get_sheet_by_index(0).to_python()
    except (calamine.CalamineError, OSError) as error:
        raise DataError(f"no Excel workbook, or a damaged one ({type(error).__name__})") from None
    cells = [[_cell(value) for value in record] for record in records]
    if not cells:
        raise DataError("the first sheet is empty: expected a row of column names")
    rows = (Row(i, None, values=record) for i, record in enumerate(cells[1:], 1) if any(record))
    return cells[0], rows


def _cell(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


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
                        raw = json.dumps(post)[:_FEW_CHARS].encode()
                        yield Row(number, None, raw=raw, problem=why)
    except (ValueError, RecursionError):
        raw = text.held[text.at :][:_FEW_CHARS].encode("utf-8", "replace")
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
