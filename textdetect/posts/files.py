"""Posts files in and out: csv, tsv, jsonl, Parquet, plain text; "-" is stdin or stdout.

Rows stream through, so that a file of any size takes the same memory, and an output appears under
its name only when it is complete. It does not know what is done with the rows in between.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from textdetect.errors import DataError, InvalidInput
from textdetect.posts.rows import DelimitedReader, JsonlReader, LinesReader, Reader, scan_keys
from textdetect.posts.writers import DelimitedWriter, JsonlWriter, Writer

SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "txt",
}
"""Suffix → format; ".gz" may follow, but for Parquet."""
FORMATS: Final = ("csv", "tsv", "jsonl", "parquet", "txt")
STANDARD_STREAM: Final = "-"
_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}

PathOrDash = str | os.PathLike[str]


def format_of_input(source: PathOrDash, given: str | None = None) -> str:
    """Tell the format of an input: the one given, or that of the suffix.

    Raises:
        InvalidInput: an unknown format, or a suffix that tells none.

    >>> format_of_input("posts.CSV.gz"), format_of_input("-", "jsonl")
    ('csv', 'jsonl')
    """
    name = SUFFIXES.get(f".{given.lower()}" if given else _suffix(source), "")
    if not name:
        told_by = "stdin" if _is_dash(source) else "the file's suffix"
        what = f"format {given!r}" if given else told_by
        raise InvalidInput(
            f"{what} tells no format: expected one of {', '.join(FORMATS)}; say it with --format"
        )
    return name


def format_of_output(out: PathOrDash, given: str | None, source_format: str) -> str:
    """Tell the format of an output: the one given, the suffix's, or for stdout the input's.

    A device, a pipe or a path without a suffix is written as stdout is. Plain text has no columns
    and becomes csv.

    >>> format_of_output("-", None, "txt"), format_of_output("scored.parquet", None, "csv")
    ('csv', 'parquet')
    """
    suffix = "" if _is_dash(out) else _suffix(out)
    if given is None and not suffix:
        return "csv" if source_format == "txt" else source_format
    name = SUFFIXES.get(f".{given.lower()}" if given else suffix, "")
    if name in ("", "txt"):
        what = f"format {given!r}" if given else f"the suffix {suffix!r}"
        raise InvalidInput(
            f"{what} can't hold scored posts: expected one of {', '.join(FORMATS[:-1])}; say it "
            "with --output-format"
        )
    return name


def has_posts_suffix(path: PathOrDash) -> bool:
    """Tell whether the suffix is that of a posts file, packed or not.

    >>> has_posts_suffix("posts.csv.gz"), has_posts_suffix("notes.md")
    (True, False)
    """
    return _suffix(path) in SUFFIXES


@contextmanager
def open_posts(
    source: PathOrDash,
    *,
    format: str,
    into: str | None = None,
    text_column: str | None = None,
    language_column: str | None = None,
) -> Iterator[Reader]:
    """Open a posts file for reading, packed with gzip or not.

    Args:
        source: a path, or "-" for stdin.
        format: one of `FORMATS`.
        into: format of the output, if any: it decides what must be known of the columns.
        text_column: the posts' column; found by its usual names otherwise.
        language_column: the column with language codes (BCP-47); none otherwise.

    Raises:
        InvalidInput: no such column, or not a file of this format.
        OSError: the file can't be read.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/posts.txt"
    >>> _ = Path(path).write_text("first post\\nsecond post\\n")
    >>> with open_posts(path, format="txt") as posts:
    ...     [row.text for chunk in posts.chunks(100) for row in chunk.rows]
    ['first post', 'second post']
    """
    names: dict[str, str | None] = {"text": text_column, "language": language_column}
    kinds = None
    if format == "jsonl" and into in ("csv", "tsv", "parquet"):
        kinds = _scan(source, into)
    with ExitStack() as stack:
        file = stack.enter_context(_open_source(source))
        if format == "parquet":
            from textdetect.posts.parquet import ParquetReader

            if _is_dash(source) or not file.seekable():  # the footer comes last: have it all
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, copy)
                copy.seek(0)
                file = cast(BinaryIO, copy)
            yield ParquetReader(file, typed=into == "parquet", **names)
            return
        total, position = _progress(source, file)
        lines = stack.enter_context(_lines(file, format))
        reader: Reader
        if format == "jsonl":
            reader = JsonlReader(lines, kinds=kinds, **names)
        elif format == "txt":
            reader = LinesReader(lines, **names)
        else:
            reader = DelimitedReader(lines, _DELIMITERS[format], **names)
        reader.total, reader.position = total, position
        yield reader


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
    packed = not _is_dash(out) and str(out).lower().endswith(".gz")
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
            writer = DelimitedWriter(file, reader, _DELIMITERS[format])
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
            delimiter = _DELIMITERS[format]
            pc.write_csv(_formulas_quoted(table), file, pc.WriteOptions(delimiter=delimiter))


def _formulas_quoted(table: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            quoted = pc.replace_substring_regex(table[i], r"\A([=+\-@\t\r])", r"'\1")
            table = table.set_column(i, field, quoted)
    return table


def _is_dash(path: PathOrDash) -> bool:
    return os.fspath(path) == STANDARD_STREAM


def _suffix(path: PathOrDash) -> str:
    name = Path(path).name.lower()
    return Path(name.removesuffix(".gz")).suffix


def _is_same(source: PathOrDash, out: PathOrDash) -> bool:
    files = not _is_dash(source) and not _is_dash(out) and Path(out).is_file()
    return files and os.path.samefile(source, out)


@contextmanager
def _open_source(source: PathOrDash) -> Iterator[BinaryIO]:
    if not _is_dash(source):
        with open(source, "rb") as file:
            yield file
        return
    stream: Any = sys.stdin.buffer
    yield stream if hasattr(stream, "peek") else io.BufferedReader(io.BytesIO(stream.read()))


@contextmanager
def _lines(file: BinaryIO, format: str) -> Iterator[io.TextIOWrapper]:
    """Decode a file line by line; bytes that are not UTF-8 come as lone surrogates."""
    try:
        stream = cast(Any, file)
        if stream.peek(2).startswith(b"\x1f\x8b"):
            stream = gzip.GzipFile(fileobj=file)
        _refuse_other_encodings(stream.peek(4), format)
        lines = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        try:
            yield lines
        finally:
            lines.detach()  # stdin must not be closed with it
    except (EOFError, zlib.error):
        raise DataError("the gzip file is damaged or cut off") from None


def _refuse_other_encodings(start: bytes, format: str) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput(
            "the file is UTF-16: expected UTF-8; convert it with: iconv -f UTF-16 -t UTF-8"
        )
    if start.startswith(b"PAR1"):
        raise InvalidInput(f"the file is Parquet: expected {format}; say --format parquet")


def _scan(source: PathOrDash, into: str) -> dict[str, str]:
    """Read a jsonl file once to know its keys."""
    if _is_dash(source) or not Path(source).is_file():
        raise InvalidInput(
            f"jsonl from a stream can't become {into}, whose columns must be known first; ask for "
            "jsonl (--output-format jsonl), or save the input to a file"
        )
    with _open_source(source) as file, _lines(file, "jsonl") as lines:
        return scan_keys(lines)


def _progress(source: PathOrDash, file: BinaryIO) -> tuple[int | None, Any]:
    if _is_dash(source) or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None, lambda: 0
    return os.fstat(file.fileno()).st_size, file.tell


@contextmanager
def _destination(out: PathOrDash) -> Iterator[BinaryIO]:
    if _is_dash(out):
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
