"""Parquet in and out, a batch at a time, columns keeping their types; types in both.

It does not know where the bytes come from or go to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from textdetect.errors import DataError, InvalidInput
from textdetect.posts.rows import Chunk, Reader, Row
from textdetect.posts.writers import (
    ORIGIN_COLUMNS,
    TD_COLUMNS,
    Annotations,
    Writer,
    as_text,
    unique_names,
    writable,
)

_STRING_TYPES: Final = ("string", "large_string", "string_view", "null")
_BATCH_BYTES: Final = 32_000_000
_ROW_GROUP_ROWS: Final = 32_768


def open_parquet(
    file: BinaryIO, into: str | None
) -> tuple[list[str], list[Any], Callable[[int, Reader], Any], dict[str, Any]]:
    """Open a Parquet file; for Parquet `into`, the cells stay in batches, with their types.

    Returns:
        Names; a few rows of nested columns; what gives rows and their batch, the most rows at once
        asked for; and attributes of `Reader`. DataError where it is none, or damaged.
    """
    try:
        parquet = pq.ParquetFile(file, buffer_size=1 << 20)
        schema, metadata = parquet.schema_arrow, parquet.metadata
        nested = [each.name for each in schema if pa.types.is_nested(each.type)]
        head = parquet.iter_batches(batch_size=100, columns=nested, row_groups=[0])
        samples = next(head).to_pylist() if nested and metadata.num_row_groups else []
    except (pa.ArrowException, OSError) as error:
        raise _damaged(error, "not a Parquet file, or a damaged one") from None
    n_read = 0

    def rows(n_rows: int, reader: Reader) -> Iterator[tuple[list[Row], Any]]:
        nonlocal n_read
        _check_strings(reader)
        n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        used = set(range(len(schema.names)))
        if into in (None, "parquet"):  # the others stay as they are, or are asked of nobody
            used = set().union(*map(reader.fields.places, reader.fields.paths))
        n_fitting = _BATCH_BYTES * metadata.num_rows // max(n_bytes, 1)
        try:
            for batch in parquet.iter_batches(batch_size=max(1, min(n_rows, n_fitting))):
                none = [None] * batch.num_rows
                held = [_values(c) if i in used else none for i, c in enumerate(batch.columns)]
                cells = enumerate(zip(*held, strict=True), n_read + 1)
                n_read += batch.num_rows
                found = [Row(number, None, values=values) for number, values in cells]
                yield found, batch if into == "parquet" else None
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            why = "it is damaged, or a column of strings is not UTF-8"
            message = f"the Parquet file can't be read beyond row {n_read}: {why}"
            raise _damaged(error, message) from None

    told = {"schema": schema, "total": metadata.num_rows, "position": lambda: n_read, "unit": "row"}
    return list(schema.names), samples, rows, told


def _check_strings(reader: Reader) -> None:
    """Raise InvalidInput where the text or language column of a Parquet file holds no strings."""
    for purpose in ("text", "language") if reader.judged else ("text",):
        path = reader.fields.paths.get(purpose, "")
        dtype = reader.schema.field(path).type if reader.columns.count(path) == 1 else pa.null()
        lists = pa.types.is_list(dtype) and purpose == "language"
        value = dtype.value_type if pa.types.is_dictionary(dtype) or lists else dtype
        if str(value) not in _STRING_TYPES:
            what = f"expected strings, got {dtype}; name another column"
            raise InvalidInput(f"column {path!r}: {what}")


def _damaged(error: Exception, message: str) -> Exception:
    """Tell a damaged file from a failing disk, whose errors have a number and stay."""
    return error if getattr(error, "errno", None) is not None else DataError(message)


def _values(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # datetime has no nanoseconds: exact in microseconds, or else as a string
        try:
            column = column.cast(pa.timestamp("us", column.type.tz))
        except pa.ArrowInvalid:
            column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    return values


class ParquetWriter(Writer):
    """Parquet: the columns of Parquet with their types, those of csv as strings.

    A key of jsonl keeps its type where all its values have one; nested and mixed ones become JSON.
    With an `origin`, the input's name, each row says where it came from (`ORIGIN_COLUMNS`).
    """

    def __init__(self, file: BinaryIO, reader: Reader, *, origin: str | None = None) -> None:
        self._origin = origin
        more = () if origin is None else ORIGIN_COLUMNS
        super().__init__(reader, (*TD_COLUMNS, *more))
        self._held: list[Any] = []
        self._schema = self._schema_of(reader, more)
        self._writer = pq.ParquetWriter(file, self._schema)

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Take the rows of a chunk, in order; they are written a row group at a time."""
        if chunk.batch is not None:
            arrays = [chunk.batch.column(i) for i in self.places]
        else:
            cells = zip(*map(self.cells, chunk.rows), strict=True)
            arrays = [
                pa.array(_of_type(column, field.type), type=field.type)
                for column, field in zip(cells, self._schema, strict=False)
            ]
        for name in TD_COLUMNS:
            arrays.append(pa.array(verdicts[name], type=self._schema.field(len(arrays)).type))
        if self._origin is not None:
            arrays.append(pa.repeat(self._origin, len(chunk.rows)))
            arrays.append(pa.array([row.number for row in chunk.rows], pa.int64()))
        self._held.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        n_rows = sum(batch.num_rows for batch in self._held)
        if n_rows >= _ROW_GROUP_ROWS or sum(b.nbytes for b in self._held) >= _BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the last row group and Parquet's footer."""
        self._flush()
        self._writer.close()

    def discard(self) -> None:
        """Let go of what is held back, after a failure."""
        with suppress(Exception):
            self._writer.close()
        self._writer.is_open = False  # or it would try again when it is collected

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, schema=self._schema))
        self._held = []

    def _schema_of(self, reader: Reader, more: Sequence[str]) -> Any:
        """Give the input's own columns their types, and add the verdict's and `more`."""
        if reader.schema is not None:
            own = [reader.schema.field(i) for i in self.places]
        else:
            types = dict(reader.types or {})
            types[reader.columns[reader.text_at]] = "string"  # it takes what can't be parsed
            pairs = zip(unique_names(self.names), self.names, strict=True)
            own = [pa.field(unique, types.get(name, "string")) for unique, name in pairs]
        of = dict.fromkeys(("td_probability", "td_logit", "td_p_value"), "float64")
        of |= dict.fromkeys(("td_n_tokens", "td_row"), "int64")
        of |= dict.fromkeys(("td_flagged", "td_truncated"), "bool")
        verdict = [pa.field(name, of.get(name, "string")) for name in (*TD_COLUMNS, *more)]
        return pa.schema([*own, *verdict], metadata=getattr(reader.schema, "metadata", None))


def _of_type(column: Sequence[Any], dtype: Any) -> Sequence[Any]:
    if str(dtype) != "string":
        return column
    return [None if v is None else writable(as_text(v)) for v in column]
