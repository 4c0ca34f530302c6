"""Rows of csv, plain text, Excel, and what reads any: streamed in order, each read or named.

It does not know where the bytes come from, what the posts are scored for, or how rows are written.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from textdetect._optional import require
from textdetect.errors import DataError, InvalidInput
from textdetect.language import canonical
from textdetect.posts.fields import Fields, usual_names, usual_place
from textdetect.text import is_missing

MAX_RECORD_LINES: Final = 10_000
MAX_RECORD_CHARS: Final = 16_000_000
"""How far a quoted csv field is followed before its first line is called broken."""
FEW_CHARS: Final = 2_000
_LINE_COST: Final = 64
_CHUNK_CHARS: Final = 16_000_000
_UNDECODABLE = re.compile("[\udc80-\udcff]")


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
            limit = MAX_RECORD_CHARS if patient else FEW_CHARS
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
