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
from textdetect.posts.fields import Fields
from textdetect.posts.rows import Chunk, Reader, Row
from textdetect.posts.writers import (
    ORIGIN_COLUMNS,
    TD_COLUMNS,
    Annotations,
    OwnCells,
    as_text,
    unique_names,
    writable,
)

_STRING_TYPES: Final = ("string", "large_string", "string_view", "null")
_BATCH_BYTES: Final = 32_000_000
_ROW_GROUP_ROWS: Final = 32_768
_ROW_GROUP_BYTES: Final = 32_000_000


class ParquetReader(Reader):
    """Parquet; for Parquet `into`, the cells stay in each chunk's batch, with their types.

    Raises:
        InvalidInput: the text or language column holds no strings.
        DataError: no Parquet file, or a damaged one.
    """

    unit = "row"

    def __init__(
        self, file: BinaryIO, find: Callable[..., Fields], into: str | None, judged: bool
    ) -> None:
        self._n_read, self._into = 0, into
        try:
            self._file = pq.ParquetFile(file, buffer_size=1 << 20)
            self.schema = self._file.schema_arrow
            names = list(self.schema.names)
            nested = [name for name, of in zip(names, self.schema.types, strict=True) if _nests(of)]
            head = self._file.iter_batches(batch_size=100, columns=nested, row_groups=[0])
            samples = next(head).to_pylist() if nested and self._file.num_row_groups else []
        except (pa.ArrowException, OSError) as error:
            raise _damaged(error, "not a Parquet file, or a damaged one") from None
        fields = find(names, samples)
        super().__init__((), fields, judged=judged)
        self.total, self.position = self._file.metadata.num_rows, lambda: self._n_read
        for purpose in ("text", "language") if judged else ("text",):
            path = fields.paths.get(purpose)
            dtype = self.schema.field(path).type if names.count(path) == 1 else pa.null()
            lists = pa.types.is_list(dtype) and purpose == "language"
            value = dtype.value_type if pa.types.is_dictionary(dtype) or lists else dtype
            if str(value) not in _STRING_TYPES:
                raise InvalidInput(
                    f"column {path!r}: expected strings, got {dtype}; name another column"
                )

    def chunks(self, n_rows: int) -> Iterator[Chunk]:
        """Yield the rows, at most `n_rows` at once, and fewer where they are very long."""
        metadata = self._file.metadata
        n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        places = [self.fields.places(purpose) for purpose in self.fields.paths]
        used = set(range(len(self.columns)))
        if self._into in (None, "parquet"):  # the others stay as they are, or are asked of nobody
            used = set().union(*places)
        n_fitting = _BATCH_BYTES * metadata.num_rows // max(n_bytes, 1)
        try:
            for batch in self._file.iter_batches(batch_size=max(1, min(n_rows, n_fitting))):
                held = [
                    _python_values(c) if i in used else [None] * batch.num_rows
                    for i, c in enumerate(batch.columns)
                ]
                cells = zip(*held, strict=True)
                self._rows = [
                    Row(number, None, values=values)
                    for number, values in enumerate(cells, self._n_read + 1)
                ]
                self._n_read += batch.num_rows
                rows = [row for chunk in super().chunks(n_rows) for row in chunk.rows]
                yield Chunk(rows, batch if self._into == "parquet" else None)
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise _damaged(
                error,
                f"the Parquet file can't be read beyond row {self._n_read}: it is damaged, or "
                "a column of strings is not UTF-8",
            ) from None


def _nests(dtype: Any) -> bool:
    return bool(pa.types.is_nested(dtype))


def _damaged(error: Exception, message: str) -> Exception:
    """Tell a damaged file from a failing disk, whose errors have a number and stay."""
    return error if getattr(error, "errno", None) is not None else DataError(message)


def _python_values(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # datetime has no nanoseconds: exact in microseconds, or else as a string
        try:
            column = column.cast(pa.timestamp("us", column.type.tz))
        except pa.ArrowInvalid:
            column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    return values


class ParquetWriter:
    """Parquet: the columns of Parquet with their types, those of csv as strings.

    A key of jsonl keeps its type where all its values have one; nested and mixed ones become JSON.
    With an `origin`, the input's name, each row says where it came from (`ORIGIN_COLUMNS`).
    """

    def __init__(self, file: BinaryIO, reader: Reader, *, origin: str | None = None) -> None:
        self._origin = origin
        more = () if origin is None else ORIGIN_COLUMNS
        self._table = OwnCells(reader, (*TD_COLUMNS, *more))
        self._names = unique_names(self._table.names)
        self._held: list[Any] = []
        self._held_bytes = 0
        self._schema = _schema(reader, self._table, self._names, more)
        self._writer = pq.ParquetWriter(_Sink(file), self._schema)

    def write(self, chunk: Chunk, verdicts: Annotations) -> None:
        """Take the rows of a chunk, in order; they are written a row group at a time."""
        if chunk.batch is not None:
            arrays = [chunk.batch.column(i) for i in self._table.places]
        else:
            cells = zip(*map(self._table.cells, chunk.rows), strict=True)
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
        self._held_bytes += self._held[-1].nbytes
        n_rows = sum(batch.num_rows for batch in self._held)
        if n_rows >= _ROW_GROUP_ROWS or self._held_bytes >= _ROW_GROUP_BYTES:
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
        self._held, self._held_bytes = [], 0


class _Sink:
    """A file that pyarrow can write to though it can't say where it stands, as a pipe."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._n_bytes = 0

    def write(self, data: Any) -> int:
        self._n_bytes += self._file.write(data)
        return len(data)

    def tell(self) -> int:
        return self._n_bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Leave the file open: whoever opened it closes it."""


def _schema(reader: Reader, table: OwnCells, names: Sequence[str], more: Sequence[str]) -> Any:
    """Give the input's own columns their types, and add the verdict's and `more`."""
    metadata = None
    if reader.schema is not None:
        own = [reader.schema.field(i) for i in table.places]
        metadata = reader.schema.metadata
    else:
        kinds = reader.kinds or {}
        typed = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "null": pa.null()}
        own = [
            # The text column takes the raw lines of what can't be parsed.
            pa.field(name, typed.get(kind, pa.string()) if i != reader.text_at else pa.string())
            for i, name in zip(table.places, names, strict=True)
            for kind in [kinds.get(reader.columns[i], "str")]
        ]
    others = dict.fromkeys(("td_probability", "td_logit", "td_p_value"), pa.float64())
    others |= dict.fromkeys(("td_n_tokens", "td_row"), pa.int64())
    others |= dict.fromkeys(("td_flagged", "td_truncated"), pa.bool_())
    verdict = [pa.field(name, others.get(name, pa.string())) for name in (*TD_COLUMNS, *more)]
    return pa.schema([*own, *verdict], metadata=metadata)


def _of_type(column: Sequence[Any], dtype: Any) -> Sequence[Any]:
    if str(dtype) != "string":
        return column
    return [None if v is None else writable(as_text(v)) for v in column]
