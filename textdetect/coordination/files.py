"""A file of posts → a table for the search: every column, those of text files as strings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from textdetect.errors import DataError
from textdetect.posts.files import format_of_input


def read_posts(
    source: str | os.PathLike[str], *, input_format: str | None = None
) -> tuple[pa.Table, int]:
    """Read a dump: csv, tsv, jsonl (.gz too) or Parquet, whole.

    Returns:
        The table, and how many rows could not be read, which are left out.

    Raises:
        InvalidInput: no format that has columns.
        DataError: a file that is not what its format says.
        OSError: a file that can't be read.
    """
    read_as = format_of_input(source, input_format)
    try:
        if read_as == "parquet":
            return pa.parquet.read_table(Path(source)), 0
        if read_as == "jsonl":
            with pa.input_stream(source) as stream:
                return pa.json.read_json(stream), 0
        if read_as in ("csv", "tsv"):
            return _delimited(source, "," if read_as == "csv" else "\t")
    except pa.ArrowInvalid as error:
        raise DataError(f"{source}: no {read_as}: {str(error).splitlines()[0][:80]}") from None
    raise DataError(f"{source}: plain text has no accounts; expected csv, tsv, jsonl or parquet")


def _delimited(source: str | os.PathLike[str], delimiter: str) -> tuple[pa.Table, int]:
    n_bad = 0

    def skip(_row: Any) -> str:
        nonlocal n_bad
        n_bad += 1
        return "skip"

    shape = pa.csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
    )
    with pa.input_stream(source) as stream, pa.csv.open_csv(stream, parse_options=shape) as head:
        names = head.schema.names
    n_bad = 0
    as_text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.large_string()),
        strings_can_be_null=True,
        null_values=[""],
        quoted_strings_can_be_null=True,
    )
    with pa.input_stream(source) as stream:
        table = pa.csv.read_csv(stream, parse_options=shape, convert_options=as_text)
    return table, n_bad
