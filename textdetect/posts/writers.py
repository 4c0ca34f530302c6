"""Scored rows → csv, tsv, jsonl, a terminal: each row's own columns, then the verdict's.

It does not know where the bytes go, nor how a verdict came about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final, Protocol

import numpy as np

from textdetect.posts.rows import Chunk, Reader, Row
from textdetect.types import FIELDS, WHY, Verdicts

TD_COLUMNS: Final = tuple(f"td_{name}" for name in FIELDS)
"""The verdict's columns; those that a file has already are replaced."""

ORIGIN_COLUMNS: Final = ("td_source", "td_row")
"""Where a row came from, in outputs that hold several files: the file, and the 1-based row."""

Annotations = dict[str, list[Any]]
"""`TD_COLUMNS` → a value for each row of a chunk; None where there is none (never NaN)."""

MAX_SHOWN: Final = 200
"""Rows that a terminal is shown."""
_MAX_POST_CHARS: Final = 300
_UNREADABLE: Final = {"td_label": "uncertain", "td_reason": "unreadable"} | dict.fromkeys(
    ("td_flagged", "td_truncated"), False
)
_UNWRITABLE = re.compile("[\ud800-\udfff\0]")


class Writer(Protocol):
    """What takes scored rows."""

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Write the rows of a chunk, in order."""

    def close(self) -> None:
        """Write what is still held back; the file itself stays open."""

    def discard(self) -> None:
        """Let go of what is held back, after a failure."""


def annotate(rows: Sequence[Row], verdicts: Verdicts) -> Annotations:
    """Spread the verdicts on the readable rows over all rows.

    Args:
        rows: n rows, in order.
        verdicts: one for each row without a problem, in order.
    """
    readable = np.array([row.problem is None for row in rows], dtype=np.bool_)
    spread: Annotations = {}
    for name, values in verdicts.columns().items():
        column = np.full(len(rows), _UNREADABLE.get(f"td_{name}"), dtype=object)
        given = map(" ".join, values) if name == "notes" else values.tolist()
        column[readable] = [None if v != v else v for v in given]
        spread[f"td_{name}"] = column.tolist()
    return spread


def unique_names(names: Sequence[str]) -> list[str]:
    """Name every column differently, for formats that need it; a blank name gets its place.

    >>> unique_names(["a", "", "a"])
    ['a', 'column_2', 'a_2']
    """
    given = set(names)
    unique: dict[str, None] = {}
    for place, name in enumerate(names, 1):
        stem = candidate = name or f"column_{place}"
        n = 1
        while candidate in unique or (candidate != name and candidate in given):
            n += 1
            candidate = f"{stem}_{n}"
        unique[candidate] = None
    return list(unique)


class OwnCells:
    """The input's columns that stay, and each row's cells in them."""

    def __init__(self, reader: Reader, replaced: Sequence[str] = TD_COLUMNS) -> None:
        self.places = [i for i, name in enumerate(reader.columns) if name not in replaced]
        self.names = [reader.columns[i] for i in self.places]
        self._text_at = reader.text_at

    def cells(self, row: Row) -> list[Any]:
        """Return the row's cells; a row that can't be parsed has its raw line as its text."""
        if row.values is None:
            text = row.raw.rstrip(b"\r\n").decode("utf-8", "replace")
            return [text if i == self._text_at else None for i in self.places]
        if isinstance(row.values, dict):
            return [row.values.get(name) for name in self.names]
        return [row.values[i] for i in self.places]


class DelimitedWriter:
    r"""csv and tsv, lines ending in "\n"; what UTF-8 or csv can't hold becomes U+FFFD."""

    def __init__(self, file: BinaryIO, reader: Reader, delimiter: str) -> None:
        self._file = file
        self._table = OwnCells(reader)
        self._delimiter = delimiter
        # Blanks at the ends and a byte-order mark are quoted as well, as readers like to eat them.
        self._quoted = re.compile(f'["\r\n\ufeff{delimiter}]|^ | $')
        self._write([[*self._table.names, *TD_COLUMNS]])

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Write the rows of a chunk, in order."""
        self._write(
            [*self._table.cells(row), *verdict]
            for row, verdict in zip(chunk.rows, _across(verdicts), strict=True)
        )

    def close(self) -> None:
        """Do nothing: no row is held back."""

    discard = close

    def _write(self, rows: Any) -> None:
        lines = (self._delimiter.join([self._cell(cell) for cell in row]) + "\n" for row in rows)
        self._file.write(writable("".join(lines)).encode())

    def _cell(self, value: Any) -> str:
        text = value if isinstance(value, str) else as_text(value)
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if self._quoted.search(text) else text


class JsonlWriter:
    """One object a line; a line that was one is kept to the letter, and the verdict added."""

    def __init__(self, file: BinaryIO, reader: Reader) -> None:
        self._file = file
        self._table = OwnCells(reader)
        self._names = unique_names(self._table.names)

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Write the rows of a chunk, in order."""
        lines = (
            self._line(row, dict(zip(TD_COLUMNS, verdict, strict=True)))
            for row, verdict in zip(chunk.rows, _across(verdicts), strict=True)
        )
        self._file.write(b"".join(lines))

    def close(self) -> None:
        """Do nothing: no row is held back."""

    discard = close

    def _line(self, row: Row, verdict: dict[str, Any]) -> bytes:
        if not isinstance(row.values, dict):
            cells = map(_nan_as_none, self._table.cells(row))
            return _json_line(dict(zip(self._names, cells, strict=True)) | verdict)
        if not row.values.keys().isdisjoint(TD_COLUMNS):
            kept = {key: v for key, v in row.values.items() if key not in TD_COLUMNS}
            return _json_line(kept | verdict)
        if not row.raw:
            return _json_line(row.values | verdict)
        head = row.raw.strip().removesuffix(b"}").rstrip()
        return head + (b", " if row.values else b"") + _json_line(verdict)[1:]


class TerminalWriter:
    """A table of the first rows, shown at the end; no post can command the terminal."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Keep the rows of a chunk, as long as there is room."""
        room = MAX_SHOWN - len(self._rows)
        for i, row in enumerate(chunk.rows[:room]):
            label, probability, p_value, reason, notes = (
                verdicts[f"td_{name}"][i]
                for name in ("label", "probability", "p_value", "reason", "notes")
            )
            post = inert(row.text if row.text is not None else row.raw.decode("utf-8", "replace"))
            figures = ("" if v is None else f"{v:.3g}" for v in (probability, p_value))
            told = ", ".join(filter(None, (WHY.get(reason), *(notes or "").split())))
            words = (text.replace("_", " ") for text in (label, told))  # that a cell can wrap
            self._rows.append((str(row.number), post, next(words), *figures, next(words)))

    def close(self) -> None:
        """Do nothing: `show` is called after the summary is known."""

    discard = close

    def show(self, n_rows: int) -> None:
        """Print the rows, and how many are not shown."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table("row", expand=True, pad_edge=False)
        table.add_column("post", no_wrap=True, overflow="ellipsis", ratio=1, min_width=24)
        for name, width in (("verdict", 9), ("probability", None), ("p-value", None), ("why", 16)):
            table.add_column(name, no_wrap=width is None, max_width=width)
        for cells in self._rows:
            table.add_row(*map(Text, cells))  # Text, so that no markup in a post is obeyed
        console = Console()
        console.print(table)
        if n_rows > len(self._rows):
            console.print(f"and {n_rows - len(self._rows):,} more; -o FILE writes them all")


def _across(verdicts: Annotations) -> Iterator[tuple[Any, ...]]:
    return zip(*(verdicts[name] for name in TD_COLUMNS), strict=True)


def writable(text: str) -> str:
    """Replace what can't be written as UTF-8, or not in csv: lone surrogates and NUL."""
    return text if text.isascii() and "\0" not in text else _UNWRITABLE.sub("\ufffd", text)


def as_text(value: Any) -> str:
    """Write a cell for csv: missing as nothing, true and false as in JSON, nested ones as JSON."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, dict, list)):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return repr(value) if isinstance(value, float) else _plain(value)


def _plain(value: Any) -> str:
    """Write what JSON has no type for: dates in ISO 8601, bytes as hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _nan_as_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _json_line(values: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(values, ensure_ascii=False, default=_plain) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can say
        return (json.dumps(values, default=_plain) + "\n").encode()


def inert(text: str) -> str:
    """Shorten a post to one line that can't command a terminal: printable characters only.

    >>> inert("a\\x1b[31m b\\u202e")
    'a [31m b'
    """
    text = text[:_MAX_POST_CHARS]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
