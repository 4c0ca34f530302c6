"""Rows of csv, json, plain text, Excel and tables in memory: in order, each read or named.

It does not know where the bytes come from, what the posts are scored for, or how rows are written.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa

from textdetect._ground.optional import require
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.fields import Fields, Get, usual_names, usual_place
from textdetect.posts.language import canonical
from textdetect.posts.text import is_missing
from textdetect.posts.values import strings, table

MAX_RECORD_LINES: Final = 10_000
MAX_RECORD_CHARS: Final = 16_000_000
"""How far a quoted csv field is followed before its first line is called broken."""
MAX_LISTED: Final = 20
"""Rows that can't be read of which a list is; all are counted."""
IN_MEMORY: Final = "a table"
"""What stands for the format of posts that are no file's."""
_FEW_CHARS: Final = 2_000
_LINE_COST: Final = 64
_CHUNK_CHARS: Final = 16_000_000
_OPEN: Final = "a quote that is not closed"
_MAX_DEPTH: Final = 200
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_BRACKET: Final = re.compile(r"[\[{]")
_BETWEEN: Final = re.compile(r"[\s,:]*")


@dataclass(slots=True)
class Row:
    """One row of a file.

    Attributes:
        number: 1-based; the header and blank lines are not counted.
        line: 1-based line of the file where the row begins; None where there are no lines.
        text, language: the post, and what the language column says; None where missing.
        values: the cells in the order of the columns, or a mapping; None if it can't be parsed.
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


@dataclass(slots=True)
class Reader:
    """An open file of posts; made by `files.open_posts`.

    Attributes:
        rows: yields them, or, of Parquet, is what gives them a batch at once.
        fields: where the fields of a post stand.
        reading: how the file is read: format, encoding …
        judged: whether the language column replaces identification.
        stem: the file's name up to its first dot.
        types: of json, each key's type, where the output has to know.
        schema: of Parquet.
        total, position, unit: how much there is to read, None if unknown; how much was, so far.
        counts: so far: rows that are "bad"; if times are read, those "known", the "local" ones
            among them, which have no zone, and values that are "no time".
        bad: the first of the rows counted as "bad" or "no time": row, line, why.
    """

    rows: Any
    fields: Fields
    reading: dict[str, Any]
    judged: bool = False
    stem: str = ""
    types: dict[str, str] | None = None
    schema: Any = None
    total: int | None = None
    position: Callable[[], int] = lambda: 0
    unit: str = "B"
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, int | None, str]] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The names as they stand there, doubles and blanks too; of json its (first) keys."""
        return self.fields.columns

    def get(self, purpose: str) -> Get:
        """Give what takes a field out of a row's values: None where it stands nowhere."""
        cells = self.reading["format"] not in ("jsonl", "json", IN_MEMORY)
        return self.fields.getter(purpose, cells=cells, file=self.stem)

    def chunks(self, n_rows: int) -> Iterator[Chunk]:
        """Yield the rows, at most `n_rows` at once, and fewer where they are very long."""
        text_of = self.get("text")
        language_of = self.get("language") if self.judged else None
        for rows, batch in [(self.rows, None)] if self.schema is None else self.rows(n_rows, self):
            held: list[Row] = []
            n_chars = 0
            for row in rows:
                if row.problem is None:
                    found = text_of(row.values)
                    if type(found) is str:
                        row.text = found
                        n_chars += len(found)
                    elif not is_missing(found):
                        what = f"expected str, got {type(found).__name__}"
                        row.problem = f"{self.fields.paths['text']}: {what}"
                    if language_of and row.problem is None:
                        try:
                            row.language = canonical(language_of(row.values))
                        except InvalidInput as error:
                            row.problem = str(error)
                held.append(row)
                if row.raw:
                    n_chars += len(row.raw)
                if row.problem is not None:
                    self.lose(row.number, row.line, row.problem)
                if batch is None and (len(held) >= n_rows or n_chars > _CHUNK_CHARS):
                    yield Chunk(held)
                    held, n_chars = [], 0
            if held:
                yield Chunk(held, batch)

    def lose(self, row: int, line: int | None, why: str, *, what: str = "bad") -> None:
        """Count a row, and list it; a bad one is InvalidInput in memory."""
        if what == "bad" and self.reading["format"] == IN_MEMORY:
            raise InvalidInput(f"row {row - 1}: {why}", position=row - 1)
        self.counts[what] += 1
        if len(self.bad) < MAX_LISTED:
            self.bad.append((row, line, why))


def delimited(
    stream: Iterable[str], delimiter: str, *, padded: bool = False
) -> tuple[list[str], Iterator[Row]]:
    """Read csv or tsv with standard quoting: the header's names, and the rows.

    Blank lines are not rows, nor is the header where it comes again. A record that can't be
    parsed, or has other than the header's number of fields (fewer may be `padded`), makes its first
    line an unreadable row, and reading goes on at the next line: a broken row swallows none behind
    it. Raises csv's process-wide field size limit, and InvalidInput without a header.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_CHARS))
    rows = _records(stream, delimiter, padded)
    header = next(rows, Row(0, 1, problem="the file is empty"))
    if header.values is None:
        why = f"{header.problem} (line {header.line})"
        raise InvalidInput(f"the header can't be read: {why}: expected column names in UTF-8")
    return list(header.values), rows


def _records(stream: Iterable[str], delimiter: str, padded: bool) -> Iterator[Row]:
    """Yield the header as row 0, then the rows; what a broken record held is read again."""
    source, again, held = iter(stream), deque[str](), list[str]()
    header, repeated = list[str](), False
    number, line, n_chars, n_read, n_lost = 0, 1, 0, 0, 0

    def lines() -> Iterator[str]:
        nonlocal n_chars, n_read
        while more := again.popleft() if again else next(source, ""):
            if held:  # bounds the time spent where every line opens a quote that never ends
                patient = n_lost <= 4 * n_read + MAX_RECORD_CHARS
                limit = MAX_RECORD_CHARS if patient else _FEW_CHARS
                if len(held) > MAX_RECORD_LINES or n_chars > limit:
                    again.appendleft(more)
                    raise csv.Error(_OPEN)
            held.append(more)
            n_chars += len(more)
            n_read += len(more)
            if "\0" in more or not (more.isascii() or _is_whole(more)):
                raise csv.Error("a NUL byte" if "\0" in more else "not UTF-8")
            yield more

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        cells: list[str] | None = None
        problem = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = "a stray quote" if "expected after" in str(error) else str(error)
            problem = _OPEN if "unexpected end" in problem else problem
            reader = csv.reader(lines(), delimiter=delimiter, strict=True)
        if cells and header and len(cells) != len(header):
            if padded and len(cells) < len(header):
                cells += [""] * (len(header) - len(cells))
            else:
                problem = f"expected {len(header)} fields, got {len(cells)}"
        if problem is not None:  # its other lines may be rows
            n_lost += n_chars + _LINE_COST * len(held)
            n_read -= n_chars - len(held[0])
            again.extendleft(reversed(held[1:]))
            del held[1:]
            raw = held[0].rstrip("\r\n").encode("utf-8", "surrogateescape")
            yield Row(number, line, raw=raw, problem=problem)
            number += 1
        elif cells and not (repeated and cells == header):
            yield Row(number, line, values=cells)
            number += 1
        if not header and cells:
            header = cells
            usual = map(usual_names, ("text", "account", "time", "id"))
            repeated = sum(usual_place(header, names) is not None for names in usual) > 1
        line += len(held)
        held.clear()
        n_chars = 0


def _is_whole(line: str) -> bool:
    """Tell whether all of a line could be decoded."""
    try:
        return bool(line.encode()) or not line
    except UnicodeEncodeError:
        return False


def plain(stream: Iterable[str]) -> Iterator[Row]:
    """Read plain text, a post a line; an empty line is an empty post."""
    for number, line in enumerate(stream, 1):
        line = line.rstrip("\r\n")
        if not _is_whole(line):
            raw = line.encode("utf-8", "surrogateescape")
            yield Row(number, number, raw=raw, problem="not UTF-8")
        else:
            yield Row(number, number, values=[line])


def sheet(file: BinaryIO) -> tuple[list[str], Iterator[Row]]:
    """Read the first sheet of an Excel workbook: names, and rows of text; DataError if damaged."""
    calamine = require("python_calamine", extra="files")
    try:
        records = calamine.CalamineWorkbook.from_filelike(file).get_sheet_by_index(0).to_python()
    except (calamine.CalamineError, OSError) as error:
        raise DataError(f"no Excel workbook, or a damaged one ({type(error).__name__})") from None
    if not records:
        raise DataError("the first sheet is empty: expected a row of column names")
    names, *cells = [strings(record).tolist() for record in records]
    return names, (Row(i, None, values=record) for i, record in enumerate(cells, 1) if any(record))


def objects(blocks: Iterable[list[bytes]]) -> Iterator[Row]:
    """Read jsonl, lines in UTF-8: an object a line, or a page of them; blank lines are not rows."""
    number = line_number = 0
    paged: bool | None = None
    for block in blocks:
        # orjson makes floats of what does not fit into 64 bits: json reads a block with such.
        loads = json.loads if b"0" * 20 in b"".join(block).translate(_ZEROS) else orjson.loads
        for line in block:
            line_number += 1
            if line.isspace():
                continue
            problem = None
            try:
                value = loads(line)
            except (ValueError, RecursionError):
                value = None
            if type(value) is not dict or line.count(b"[") + line.count(b"{") > _MAX_DEPTH:
                value, problem = parsed(line)
            if value is not None and paged is None:
                paged = is_page(value)
            for post in _posts_of(value) if paged and value is not None else (value,):
                number += 1
                raw = line if post is value else b""
                yield Row(number, line_number, values=post, raw=raw, problem=problem)


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
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        nested = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for item in nested for child in item if isinstance(child, (dict, list))]
    return (None, "nested too deeply") if level else (value, None)


def is_page(value: dict[str, Any]) -> bool:
    """Tell whether an object holds posts, and is none.

    >>> is_page({"data": [{"text": "so good"}]}), is_page({"text": "so good", "items": [{}]})
    (True, False)
    """
    inner = [value[name] for name in table()["pages"] if name in value]
    firsts = (each[0] if isinstance(each, list) and each else each for each in inner)
    held = any(isinstance(first, dict) for first in firsts)
    return held and not _has_text(value)


def _has_text(value: dict[str, Any]) -> bool:
    return usual_place(list(value), usual_names("text")) is not None


def _posts_of(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the posts of a page, and of pages in it; or the object, if it is a post itself."""
    if not is_page(value):
        yield value
        return
    for inner in (value.get(name, []) for name in table()["pages"]):
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield from _posts_of(one)


def documents(text: str) -> Iterator[Row]:
    """Read json: an array of posts, a page with an array in it, or objects in a row.

    Its posts are parsed one by one. What precedes the first bracket ("window.YTD.tweets.part0 = ")
    is passed over. A text that is broken gives the posts before that place, and a row for the rest.
    """
    decode = json.JSONDecoder(strict=False).raw_decode
    number = at = 0

    def skip() -> str:
        nonlocal at
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        return text[at]

    def members() -> Iterator[Any]:
        """Yield the members of an array, those of an array of posts in an object, or the object."""
        nonlocal at
        is_array, own = text[at] == "[", dict[str, Any]()
        paged = is_array
        at += 1
        while skip() not in "]}":
            value, at = decode(text, at)
            if is_array:
                yield value
            elif skip() == "[" and value in table()["pages"] and not _has_text(own):
                paged = True
                yield from members()
            else:
                own[str(value)], at = decode(text, at)
        if not paged:
            yield own
        at += 1

    try:
        while found := _BRACKET.search(text, at):
            at = found.start()
            for value in members():
                for post in _posts_of(value) if isinstance(value, dict) else [value]:
                    number += 1
                    is_post = isinstance(post, dict)
                    why = None if is_post else f"expected a JSON object, got {type(post).__name__}"
                    yield Row(number, None, values=post if is_post else None, problem=why)
    except (ValueError, IndexError, RecursionError):
        yield Row(number + 1, None, problem="not JSON from here on: damaged or cut off")


def in_memory(posts: Any) -> tuple[list[str], Iterator[Row]]:
    """Give the columns of a table in memory, and its rows as mappings.

    Args:
        posts: a pyarrow Table, a pandas or polars DataFrame, a mapping of columns, or mappings;
            InvalidInput for anything else, and for columns of different lengths.

    >>> [row.values for row in in_memory({"account": ["ann"], "text": ["so good"]})[1]]
    [{'account': 'ann', 'text': 'so good'}]
    """
    rows: Iterable[Any]
    if isinstance(posts, pa.Table):
        names, batches = list(posts.column_names), posts.to_batches(max_chunksize=8_192)
        cells = (row for each in batches for row in zip(*map(cells_of, each.columns), strict=True))
        rows = (dict(zip(names, row, strict=True)) for row in cells)
    elif isinstance(posts, Mapping) or hasattr(posts, "columns"):
        columns = posts if isinstance(posts, Mapping) else {n: posts[n] for n in posts.columns}
        if len({len(column) for column in columns.values()}) > 1:
            raise InvalidInput("posts: the columns differ in length")
        names = [str(name) for name in columns]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
    else:
        rows = list(posts) if isinstance(posts, Iterable) else [posts]
        for at, row in enumerate(rows):
            if not isinstance(row, Mapping):
                what = f"expected a table or a list of mappings, got {type(row).__name__}"
                raise InvalidInput(f"posts: {what} in row {at}", position=at)
        names = list(dict.fromkeys(str(name) for row in rows for name in row))
    return names, (Row(i, None, values=row) for i, row in enumerate(rows, 1))


def cells_of(column: Any) -> list[Any]:
    """Give the values of an Arrow array; datetime has no nanoseconds: exact, or as strings."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        try:
            column = column.cast(pa.timestamp("us", column.type.tz))
        except pa.ArrowInvalid:
            column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    return values


def scan_keys(rows: Iterable[Row]) -> dict[str, str]:
    """Return every key of rows of json, in the order of appearance, with Arrow's name of its type.

    What is nested, mixed, or too big for 64 bits is a string; numbers are int64 or float64.
    """
    found: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.values.items() if isinstance(row.values, dict) else ():
            found.setdefault(key, {"null"}).add(_type(value))
    types = {key: tuple(sorted(each - {"null"})) for key, each in found.items()}
    mixed = {("big", "int64"): "int64", ("float64", "int64"): "float64", ("big",): "int64"}
    mixed |= {(): "null", ("bool",): "bool", ("int64",): "int64", ("float64",): "float64"}
    return {key: mixed.get(each, "string") for key, each in types.items()}


def _type(value: Any) -> str:
    if type(value) is int:
        return "int64" if abs(value) <= 2**53 else "big" if -(2**63) <= value < 2**63 else "string"
    known = {type(None): "null", bool: "bool", float: "float64"}
    return known.get(type(value), "string")
