"""Parquet in, a batch at a time, columns keeping their types.

It does not know where the bytes come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from textdetect.errors import DataError, InvalidInput
from textdetect.posts.rows import Reader, Row, cells_of

_STRINGS: Final = ("string", "large_string", "string_view", "null")
_BATCH_BYTES: Final = 32_000_000


def open_parquet(
    file: BinaryIO, into: str | None
) -> tuple[list[str], list[Any], Callable[[int, Reader], Any], dict[str, Any]]:
    """Open a Parquet file; for Parquet `into`, the cells stay in batches, with their types.

    Returns:
        Names; a few rows of nested columns; what gives rows and their batch, the most rows at once
        asked for; and attributes of `Reader`. DataError where it is none, or damaged; InvalidInput
        where the texts, or the languages that count, are no strings.
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
        for purpose in ("text", "language") if reader.judged else ("text",):
            path = reader.fields.paths.get(purpose, "")
            dtype = schema.field(path).type if schema.names.count(path) == 1 else pa.null()
            lists = pa.types.is_list(dtype) and purpose == "language"
            value = dtype.value_type if pa.types.is_dictionary(dtype) or lists else dtype
            if str(value) not in _STRINGS:
                what = f"expected strings, got {dtype}; name another column"
                raise InvalidInput(f"column {path!r}: {what}")
        n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        used = set(range(len(schema.names)))
        if into in (None, "parquet"):  # the others stay as they are, or are asked of nobody
            used = set().union(*map(reader.fields.places, reader.fields.paths))
        n_fitting = _BATCH_BYTES * metadata.num_rows // max(n_bytes, 1)
        try:
            for batch in parquet.iter_batches(batch_size=max(1, min(n_rows, n_fitting))):
                none = [None] * batch.num_rows
                held = [cells_of(c) if i in used else none for i, c in enumerate(batch.columns)]
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


def _damaged(error: Exception, message: str) -> Exception:
    """Tell a damaged file from a failing disk, whose errors have a number and stay."""
    return error if getattr(error, "errno", None) is not None else DataError(message)
