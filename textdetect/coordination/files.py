"""A file of posts → a table for the search: every column, those of text files as strings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from textdetect.errors import DataError
from textdetect.posts.files import STANDARD_STREAM, format_of_input


def read_posts(
    source: str | os.PathLike[str], *, input_format: str | None = None
) -> tuple[pa.Table, int]:
    """Read a dump: csv, tsv, jsonl (.gz too) or Parquet, whole; "-" is stdin.

    Returns:
        The table, and how many rows could not be read, which are left out.

    Raises:
        InvalidInput: no format that has columns.
        DataError: a file that is not what its format says.
        OSError: a file that can't be read.
    """
    read_as = format_of_input(source, input_format)
    place: Any = Path(source)
    if os.fspath(source) == STANDARD_STREAM:
        place = pa.py_buffer(sys.stdin.buffer.read())
    try:
        if read_as == "parquet":
            return pa.parquet.read_table(pa.input_stream(place, compression=None)), 0
        if read_as == "jsonl":
            with pa.input_stream(place) as stream:
                return pa.json.read_json(stream), 0
        if read_as in ("csv", "tsv"):
            return _delimited(place, "," if read_as == "csv" else "\t")
    except pa.ArrowInvalid as error:
        raise DataError(f"{source}: no {read_as}: {str(error).splitlines()[0][:80]}") from None
    raise DataError(f"{source}: plain text has no accounts; expected csv, tsv, jsonl or parquet")


def _delimited(place: Any, delimiter: str) -> tuple[pa.Table, int]:
    n_bad = 0

    def skip(_row: Any) -> str:
        nonlocal n_bad
        n_bad += 1
        return "skip"

    shape = pa.csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
    )
    with pa.input_stream(place) as stream, pa.csv.open_csv(stream, parse_options=shape) as head:
        names = head.schema.names
    n_bad = 0
    as_text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.large_string()),
        strings_can_be_null=True,
        null_values=[""],
        quoted_strings_can_be_null=True,
    )
    with pa.input_stream(place) as stream:
        table = pa.csv.read_csv(stream, parse_options=shape, convert_options=as_text)
    return table, n_bad
