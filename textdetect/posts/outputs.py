"""Where scored posts and tables go: files in csv, tsv, jsonl, Parquet; "-" is stdout.

An output appears under its name only when it is complete. It does not know where rows come from.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from textdetect.errors import InvalidInput
from textdetect.posts.files import DELIMITERS, SUFFIXES, PathOrDash, is_dash, suffix_of
from textdetect.posts.rows import Reader
from textdetect.posts.writers import DelimitedWriter, JsonlWriter, Writer


def format_of_output(out: PathOrDash, given: str | None, source_format: str) -> str:
    """Tell the format of an output: the one given, the suffix's, or for stdout the input's.

    A device, a pipe or a path without a suffix is written as stdout is. What has no columns, or
    is not written here, becomes csv, and json jsonl.

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
    fails. stdout, devices and pipes are written to directly.

    Args:
        out: a path, or "-" for stdout; with the suffix .gz it is packed.
        reader: what the rows come from.
        format: csv, tsv, jsonl or parquet.
        source: the input's path, which must not be the output's.
        origin: the input's name; in Parquet, each row then says where it came from.

    Raises:
        InvalidInput: the output is the input.
        OSError: the output can't be written.
    """
    packed = not is_dash(out) and str(out).lower().endswith(".gz")
    if packed and format == "parquet":
        raise InvalidInput("Parquet is packed already: leave out the suffix .gz")
    if source is not None and _is_same(source, out):
        raise InvalidInput("the output is the input file: name another one")
    with ExitStack() as stack:
        file = stack.enter_context(_destination(out))
        if packed:
            zipped = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0)
            file = cast(BinaryIO, stack.enter_context(zipped))
        writer: Writer
        if format == "parquet":
            from textdetect.posts.parquet import ParquetWriter

            writer = ParquetWriter(file, reader, origin=origin)
        elif format == "jsonl":
            writer = JsonlWriter(file, reader)
        else:
            writer = DelimitedWriter(file, reader, DELIMITERS[format])
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.discard()
            raise


def write_table(table: Any, out: PathOrDash, *, format: str) -> None:
    """Write a pyarrow Table that fits into memory as csv, tsv, jsonl or Parquet.

    In csv and tsv a string that a spreadsheet would take for a formula gets a ' before it.

    Raises:
        OSError: the output can't be written; nothing is left behind.
    """
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    with _destination(out) as file:
        if format == "parquet":
            pq.write_table(table, file)
        elif format == "jsonl":
            file.writelines(
                (json.dumps(row, ensure_ascii=False) + "\n").encode() for row in table.to_pylist()
            )
        else:
            delimiter = DELIMITERS[format]
            pc.write_csv(_formulas_quoted(table), file, pc.WriteOptions(delimiter=delimiter))


def _formulas_quoted(table: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            quoted = pc.replace_substring_regex(table[i], r"\A([=+\-@\t\r])", r"'\1")
            table = table.set_column(i, field, quoted)
    return table


def _is_same(source: PathOrDash, out: PathOrDash) -> bool:
    files = not is_dash(source) and not is_dash(out) and Path(out).is_file()
    return files and os.path.samefile(source, out)


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
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    with suppress(FileNotFoundError):
        partial.unlink()
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
