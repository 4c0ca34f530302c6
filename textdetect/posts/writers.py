"""Scored posts → files in csv, tsv, jsonl, Parquet, or a terminal; tables → files; "-" is stdout.

A row keeps its own columns, then come the verdict's. An output appears under its name only when it
is complete. It does not know where rows come from, nor how a verdict came about.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from textdetect._ground.files import replacing
from textdetect.errors import InvalidInput
from textdetect.posts.files import DELIMITERS, SUFFIXES, PathOrDash, is_dash, suffix_of
from textdetect.posts.rows import Chunk, Reader, Row
from textdetect.posts.scored import FIELDS, WHY, Verdicts

TD_COLUMNS: Final = tuple(f"td_{name}" for name in (*FIELDS, "model"))
"""The verdict's columns, and `model_of`; those that a file has already are replaced."""

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
_GROUP_ROWS: Final = 32_768
_GROUP_BYTES: Final = 32_000_000
_UNWRITABLE = re.compile("[\ud800-\udfff\0]")


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
    model = model_of(verdicts.fingerprint, verdicts.numerics)
    spread["td_model"] = [model if row.problem is None else None for row in rows]
    return spread


def model_of(fingerprint: str, numerics: str) -> str:
    """Say which model and engine scored a post, so that no other takes over its score.

    >>> model_of("0123456789abcdef0123456789abcdef", "onnxruntime-fp32")
    '0123456789abcdef onnxruntime-fp32'
    """
    return f"{fingerprint[:16]} {numerics}"


def unique_names(names: Sequence[str]) -> list[str]:
    """Name every column differently, for formats that need it; a blank name gets its place.

    >>> unique_names(["a", "", "a"])
    ['a', 'column_2', 'a_2']
    """
    given = set(names)
    unique: dict[str, None] = {}
    for place, name in enumerate(names, 1):
        stem = name or f"column_{place}"
        tries = chain([stem], (f"{stem}_{n}" for n in count(2)))
        unique[next(t for t in tries if t not in unique and (t == name or t not in given))] = None
    return list(unique)


class Writer:
    """What takes scored rows: those of an open file, whose own columns stay.

    Attributes:
        places, names: of the columns that are not `replaced`.
    """

    def __init__(self, reader: Reader, replaced: Sequence[str] = TD_COLUMNS) -> None:
        self.places = [i for i, name in enumerate(reader.columns) if name not in replaced]
        self.names = [reader.columns[i] for i in self.places]
        self._text_at = next(iter(reader.fields.places("text")), 0)

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Write the rows of a chunk, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is still held back; the file itself stays open."""

    def discard(self) -> None:
        """Let go of what is held back, after a failure."""

    def cells(self, row: Row) -> list[Any]:
        """Return the row's cells; a row that can't be parsed has its raw line as its text."""
        if row.values is None:
            text = row.raw.rstrip(b"\r\n").decode("utf-8", "replace")
            return [text if i == self._text_at else None for i in self.places]
        if isinstance(row.values, dict):
            return [row.values.get(name) for name in self.names]
        return [row.values[i] for i in self.places]


class TableWriter(Writer):
    """csv, tsv and Parquet: own columns keep the types of Parquet for Parquet, or are strings.

    For Parquet a key of jsonl keeps its type where all its values have one; nested and mixed ones
    become JSON. With an `origin`, the input's name, each row says where it came from
    (`ORIGIN_COLUMNS`).
    """

    def __init__(
        self, file: BinaryIO, reader: Reader, format: str, *, origin: str | None = None
    ) -> None:
        more = () if origin is None else ORIGIN_COLUMNS
        super().__init__(reader, (*TD_COLUMNS, *more))
        self._origin, self._format = origin, format
        self._held: list[Any] = []
        if format == "parquet" and reader.schema is not None:
            own = [reader.schema.field(i) for i in self.places]
        else:
            types = dict(reader.types or {}) if format == "parquet" else {}
            types[reader.columns[self._text_at]] = "string"  # it takes what can't be parsed
            names = unique_names(self.names) if format == "parquet" else self.names
            pairs = zip(names, self.names, strict=True)
            own = [pa.field(shown, types.get(name, "string")) for shown, name in pairs]
        of = dict.fromkeys(("td_probability", "td_logit", "td_p_value"), "float64")
        of |= dict.fromkeys(("td_n_tokens", "td_row"), "int64")
        of |= dict.fromkeys(("td_flagged", "td_truncated"), "bool")
        own += [pa.field(name, of.get(name, "string")) for name in (*TD_COLUMNS, *more)]
        self._schema = pa.schema(own, metadata=getattr(reader.schema, "metadata", None))
        if format == "parquet":
            self._out: Any = pa.parquet.ParquetWriter(file, self._schema)
        else:
            shape = pa.csv.WriteOptions(delimiter=DELIMITERS[format])
            self._out = pa.csv.CSVWriter(file, self._schema, write_options=shape)

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Take the rows of a chunk, in order; Parquet's are written a row group at a time."""
        if chunk.batch is not None:
            arrays = [chunk.batch.column(i) for i in self.places]
        else:
            cells = zip(*map(self.cells, chunk.rows), strict=True)
            arrays = [
                pa.array(_of_type(column, field.type), type=field.type)
                for column, field in zip(cells, self._schema, strict=False)
            ]
        told = [verdicts[name] for name in TD_COLUMNS]
        if self._origin is not None:
            told += [[self._origin] * len(chunk.rows), [row.number for row in chunk.rows]]
        for values in told:
            arrays.append(pa.array(values, type=self._schema.field(len(arrays)).type))
        self._held.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        n_rows, n_bytes = (sum(getattr(b, n) for b in self._held) for n in ("num_rows", "nbytes"))
        if self._format != "parquet" or n_rows >= _GROUP_ROWS or n_bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the last row group and Parquet's footer."""
        self._flush()
        self._out.close()

    def discard(self) -> None:
        """Let go of what is held back, after a failure."""
        with suppress(Exception):
            self._out.close()
        if self._format == "parquet":
            self._out.is_open = False  # or it would try again when it is collected

    def _flush(self) -> None:
        if self._held:
            self._out.write_table(pa.Table.from_batches(self._held, schema=self._schema))
        self._held = []


class JsonlWriter(Writer):
    """One object a line; a line that was one is kept to the letter, and the verdict added."""

    def __init__(self, file: BinaryIO, reader: Reader) -> None:
        super().__init__(reader)
        self._file, self._unique = file, unique_names(self.names)

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Write the rows of a chunk, in order."""
        told = zip(*(verdicts[name] for name in TD_COLUMNS), strict=True)
        named = (dict(zip(TD_COLUMNS, each, strict=True)) for each in told)
        self._file.write(b"".join(map(self._line, chunk.rows, named)))

    def _line(self, row: Row, verdict: dict[str, Any]) -> bytes:
        if not isinstance(row.values, dict):
            cells = (None if isinstance(v, float) and v != v else v for v in self.cells(row))
            return _json_line(dict(zip(self._unique, cells, strict=True)) | verdict)
        if not row.raw or not row.values.keys().isdisjoint(TD_COLUMNS):
            kept = {key: v for key, v in row.values.items() if key not in TD_COLUMNS}
            return _json_line(kept | verdict)
        head = row.raw.strip().removesuffix(b"}").rstrip()
        return head + (b", " if row.values else b"") + _json_line(verdict)[1:]


class TerminalWriter(Writer):
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
            said = (text.replace("_", " ") for text in (label, told))  # that a cell can wrap
            self._rows.append((str(row.number), post, next(said), *figures, next(said)))

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


def format_of_output(out: PathOrDash, given: str | None, source_format: str) -> str:
    """Tell the format of an output: the one given, the suffix's, or for stdout the input's.

    A device, a pipe or a path without a suffix is written as stdout is. What has no columns, or
    is not written here, becomes csv, and json jsonl. InvalidInput for a format of no output.

    >>> format_of_output("-", None, "txt"), format_of_output("scored.parquet", None, "csv")
    ('csv', 'parquet')
    """
    suffix = "" if is_dash(out) else suffix_of(out)
    if given is None and not suffix:
        return {"txt": "csv", "xlsx": "csv", "json": "jsonl"}.get(source_format, source_format)
    name = SUFFIXES.get(f".{given.lower()}" if given else suffix, "")
    if name not in ("csv", "tsv", "jsonl", "parquet"):
        what = f"format {given!r}" if given else f"the suffix {suffix!r}"
        raise InvalidInput(
            f"{what} can't hold scored posts: expected one of csv, tsv, jsonl, parquet; say it "
            "with --output-format"
        )
    return name


@contextmanager
def open_output(
    out: PathOrDash,
    reader: Reader,
    *,
    format: str,
    source: PathOrDash | None = None,
    origin: str | None = None,
) -> Iterator[Writer]:
    """Open an output for scored rows; it takes its place only if all went well.

    A file is written beside its final name, as `.NAME.partial-PID`, and removed if anything
    fails; one with the suffix .gz is packed. stdout, devices and pipes are written to directly.

    Args:
        out: a path, or "-" for stdout; OSError if it can't be written.
        reader: what the rows come from.
        format: csv, tsv, jsonl or parquet.
        source: the input's path, which must not be the output's (InvalidInput).
        origin: the input's name; in Parquet, each row then says where it came from.
    """
    packed = not is_dash(out) and str(out).lower().endswith(".gz")
    if packed and format == "parquet":
        raise InvalidInput("Parquet is packed already: leave out the suffix .gz")
    files = source is not None and not is_dash(source) and not is_dash(out) and Path(out).is_file()
    if files and os.path.samefile(cast(PathOrDash, source), out):
        raise InvalidInput("the output is the input file: name another one")
    with ExitStack() as stack:
        file = stack.enter_context(_destination(out))
        if packed:
            zipped = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0)
            file = cast(BinaryIO, stack.enter_context(zipped))
        writer: Writer
        if format == "jsonl":
            writer = JsonlWriter(file, reader)
        else:
            writer = TableWriter(file, reader, format, origin=origin)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.discard()
            raise


def write_table(table: Any, out: PathOrDash, *, format: str) -> None:
    """Write a pyarrow Table as csv, tsv, jsonl or Parquet; after an OSError nothing is left behind.

    In csv and tsv a string that a spreadsheet would take for a formula gets a ' before it.
    """
    with _destination(out) as file:
        if format == "parquet":
            pa.parquet.write_table(table, file)
        elif format == "jsonl":
            file.writelines(map(_json_line, table.to_pylist()))
        else:
            for i, field in enumerate(table.schema):
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
                    safe = pc.replace_substring_regex(table[i], r"\A([=+\-@\t\r])", r"'\1")
                    table = table.set_column(i, field, safe)
            pa.csv.write_csv(table, file, pa.csv.WriteOptions(delimiter=DELIMITERS[format]))


@contextmanager
def _destination(out: PathOrDash) -> Iterator[BinaryIO]:
    if is_dash(out):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if Path(out).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
    if Path(out).exists() and not Path(out).is_file():
        with open(out, "wb") as device:
            yield device
        return
    path = Path(os.path.realpath(out))  # a link is written through, not replaced
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    with replacing(path) as file:
        yield file


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


def _of_type(column: Sequence[Any], dtype: Any) -> Sequence[Any]:
    if str(dtype) != "string":
        return column
    return [None if v is None else writable(as_text(v)) for v in column]


def _plain(value: Any) -> str:
    """Write what JSON has no type for: dates in ISO 8601, bytes as hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _json_line(values: dict[str, Any]) -> bytes:
    """Write a line of jsonl; half a surrogate pair as an escape, the only way to say it."""
    try:
        return (json.dumps(values, ensure_ascii=False, default=_plain) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(values, default=_plain) + "\n").encode()


def inert(text: str) -> str:
    """Shorten a post to one line that can't command a terminal: printable characters only.

    >>> inert("a\\x1b[31m b\\u202e")
    'a [31m b'
    """
    text = text[:_MAX_POST_CHARS]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
