"""Posts files of any format, packing and encoding, opened; "-" is stdin.

Rows stream through, so that a file of any size takes the same memory. It does not know what is done
with them.
"""

from __future__ import annotations

import csv
import errno
import glob
import gzip
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from textdetect._optional import require
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.fields import find_fields, usual_names, usual_place
from textdetect.posts.objects import documents, in_memory, objects, parsed, scan_keys
from textdetect.posts.rows import Reader, Row, delimited, plain, sheet

SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "txt",
    ".xlsx": "xlsx",
    ".json": "json",
    ".js": "json",
}
"""Suffix → format; ".gz" or ".zst" may follow, but for Parquet and Excel."""
FORMATS: Final = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt")
STANDARD_STREAM: Final = "-"
IN_MEMORY: Final = "a table"
"""What stands for the format of posts that are no file's."""
DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
_PACKED: Final = (".gz", ".zst")
_HEAD_BYTES: Final = 1 << 16
_SAMPLE_ROWS: Final = 1_000
_SAMPLE_CHARS: Final = 1_000_000

PathOrDash = str | os.PathLike[str]


def format_of_input(source: PathOrDash, given: str | None = None) -> str:
    """Tell the format of an input: the one given, that of the suffix, or what it looks like.

    Raises:
        InvalidInput: an unknown format, or nothing that tells it.
        OSError: it can't be read.

    >>> format_of_input("posts.CSV.gz"), format_of_input("-", "jsonl")
    ('csv', 'jsonl')
    """
    name = SUFFIXES.get(f".{given.lower()}" if given else suffix_of(source), "")
    if given and not name:
        expected = ", ".join(FORMATS)
        raise InvalidInput(f"format {given!r}: expected one of {expected}; say it with --format")
    if given or name not in ("", "json"):
        return name
    with _open_source(source) as file:  # what is peeked at in a pipe is still there for the reader
        start = io.BufferedReader(io.BytesIO(file.peek(_HEAD_BYTES)))
    with _unpacked(start) as stream:
        head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    found = _looks_like(head) if head else ""
    if not found or (found == "txt" and suffix_of(source)):
        told_by = "the file's suffix" if head else "an empty input"
        raise InvalidInput(
            f"{told_by} tells no format: expected one of {', '.join(FORMATS)}; say it with --format"
        )
    return found


def _looks_like(head: bytes) -> str:
    if head.startswith((b"PAR1", b"PK\x03\x04")):
        return "parquet" if head.startswith(b"PAR1") else "xlsx"
    text = head.decode(_encoding(head), "replace").lstrip()
    first = text.partition("\n")[0]
    if text.startswith(("[", "{", "window.")):
        return "jsonl" if text[0] == "{" and parsed(first.encode())[0] is not None else "json"
    delimiter, _, header = _shape(text, ",")
    known = [usual_place(header, usual_names(name)) for name in ("text", "account", "time")]
    return "txt" if known == [None] * 3 else "tsv" if delimiter == "\t" else "csv"


def find_inputs(given: Sequence[str], *, but: str = "part-*.parquet", of: str = "") -> list[str]:
    """Find the files that paths, globs and folders name: each once, those of one name sorted.

    A folder gives its files with a suffix of `SUFFIXES` (of scripts the posts of an archive), those
    of its folders too; names that begin with "." or "_" are passed over. A path without a file is
    given back.

    Args:
        given: a path that there is wins over a glob.
        but, of: files of this name in the folder `of` are no inputs: they are outputs.

    Raises:
        FileNotFoundError: a folder or a glob without any file.

    >>> find_inputs(["b.csv", "a.csv", "b.csv"])
    ['b.csv', 'a.csv']
    """
    home = os.path.realpath(of) if of else None
    found: dict[str, None] = {}
    for name in given:
        paths = [path for path in _expand(name) if not _is_output(path, but, home)]
        if not paths:
            raise FileNotFoundError(errno.ENOENT, "no posts file there", name)
        found |= dict.fromkeys(paths)
    return list(found)


def _expand(name: str) -> list[str]:
    if Path(name).is_dir():
        return _inside(name)
    if name == STANDARD_STREAM or os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob wants a root
    return [p for path in found for p in (_inside(path) if Path(path).is_dir() else [path])]


def _inside(folder: str) -> list[str]:
    root = Path(folder)
    return sorted(
        str(path)
        for path in root.rglob("*")
        if suffix_of(path) in SUFFIXES
        and (suffix_of(path) != ".js" or path.name.startswith("tweet"))
        and not any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
        and path.is_file()
    )


def _is_output(path: str, but: str, home: str | None) -> bool:
    return (
        home is not None and Path(path).match(but) and os.path.realpath(Path(path).parent) == home
    )


@contextmanager
def open_posts(
    source: Any,
    *,
    into: str | None = None,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    padded: bool | None = None,
    layout: Any = None,
    language_column: str | None = None,
    need: Sequence[str] = ("text",),
    **columns: str | None,
) -> Iterator[Reader]:
    """Open a posts file for reading, packed with gzip or zstd or not.

    Args:
        source: a path, or "-" for stdin; or posts in memory, as `objects.in_memory` takes them.
        into: format of the output, if any: it decides what must be known of the columns.
        format: one of `FORMATS`; by the suffix, or by what the file looks like.
        encoding: of text; None: UTF-8, or GB18030 or Latin-1 where it is clearly that.
        delimiter: of csv; found otherwise.
        padded: rows of csv may be shorter than the header; None: if half of the first ones are.
        layout: as in `find_fields`.
        language_column: the column with language codes (BCP-47) that replace identification.
        need: fields that must be there; a known layout may have no texts.
        columns: field → its column, or path; found otherwise.

    Raises:
        InvalidInput: no such column, or not a file of this format.
        DataError: a damaged file.
        OSError: the file can't be read.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/posts.txt"
    >>> _ = Path(path).write_text("first post\\nsecond post\\n")
    >>> with open_posts(path) as posts:
    ...     [row.text for chunk in posts.chunks(100) for row in chunk.rows]
    ['first post', 'second post']
    """
    if not isinstance(source, (str, os.PathLike)):
        names, values = in_memory(source)
        head = list(islice(values, _SAMPLE_ROWS))
        fields = find_fields(names, head, columns, layout=layout, need=need)
        held = (Row(i, None, values=row) for i, row in enumerate(chain(head, values), 1))
        reader = Reader(held, fields, judged=bool(language_column))
        reader.reading = {"format": IN_MEMORY}
        yield reader
        return
    format = format_of_input(source, format)
    stem = "" if is_dash(source) else Path(source).name.split(".")[0]
    with ExitStack() as stack:
        kinds = None
        if format in ("jsonl", "json") and into in ("csv", "tsv", "parquet"):
            kinds = _scan(source, into, format, encoding)
        file = stack.enter_context(_open_source(source))
        reading: dict[str, Any] = {"format": format}
        rows: Iterator[Row]
        columns |= {"language": language_column} if language_column else {}
        find = partial(find_fields, wanted=columns, layout=layout, need=need)
        if format in ("parquet", "xlsx"):
            if is_dash(source) or not file.seekable():  # the footer comes last: have it all
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, copy)
                copy.seek(0)
                file = cast(BinaryIO, copy)
            if format == "parquet":
                from textdetect.posts.parquet import ParquetReader

                reader = ParquetReader(file, find, into, bool(language_column))
                reader.reading, reader.stem = reading, stem
                yield reader
                return
            names, rows = sheet(file)
        else:
            stream = stack.enter_context(_unpacked(file))
            start = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
            _refuse_others(start, format)
            reading["encoding"] = encoding = encoding or _encoding(start)
            names = ["text"]
            if format == "jsonl":
                rows = objects(_blocks(stream, encoding))
            else:
                lines = stack.enter_context(_lines(stream, encoding))
                if format in DELIMITERS:
                    text = start.decode(encoding, "replace")
                    found, short, _ = _shape(text, DELIMITERS[format])
                    reading["delimiter"] = delimiter = delimiter or found
                    reading["padded"] = padded = short if padded is None else padded
                    names, rows = delimited(lines, delimiter, padded=padded)
                else:
                    rows = documents(lines) if format == "json" else plain(lines)
        samples: list[dict[str, Any]] = []
        if format in ("jsonl", "json"):
            first = list(_first(rows))
            rows = chain(first, rows)
            samples = [row.values for row in first if isinstance(row.values, dict)]
            names = list(kinds or dict.fromkeys(key for row in samples for key in row))
            if not names and columns.get("text") is None and len(first) >= _SAMPLE_ROWS:
                n = len(first)
                raise InvalidInput(f"none of the first {n} lines is a JSON object")
            # Without one readable row there is nothing to choose from, and nothing to get wrong.
            names = names or [name for name in columns.values() if name] or ["text"]
        reader = Reader(rows, find(names, samples), judged=bool(language_column))
        reader.reading, reader.stem, reader.kinds = reading, stem, kinds
        reader.total, reader.position = _progress(source, file)
        yield reader


def _first(rows: Iterator[Row]) -> Iterator[Row]:
    n_chars = 0
    for row in islice(rows, _SAMPLE_ROWS):
        yield row
        n_chars += len(row.raw) or 500
        if n_chars > _SAMPLE_CHARS:
            return


def is_dash(path: PathOrDash) -> bool:
    """Tell whether a path stands for stdin or stdout."""
    return os.fspath(path) == STANDARD_STREAM


def suffix_of(path: PathOrDash) -> str:
    """Give the suffix that tells the format, in small letters."""
    name = Path(path).name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


@contextmanager
def _open_source(source: PathOrDash) -> Iterator[Any]:
    if not is_dash(source):
        with open(source, "rb", buffering=_HEAD_BYTES) as file:
            yield file
        return
    stream: Any = sys.stdin.buffer
    yield stream if hasattr(stream, "peek") else io.BufferedReader(io.BytesIO(stream.read()))


@contextmanager
def _unpacked(file: Any) -> Iterator[Any]:
    """Unpack gzip and zstd, whose windows may be as long as they get."""
    start = file.peek(4)[:4]
    if start[:2] == b"\x1f\x8b":
        try:
            yield io.BufferedReader(gzip.GzipFile(fileobj=file), _HEAD_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise DataError("the gzip file is damaged or cut off") from None
    elif start == b"\x28\xb5\x2f\xfd":
        zstd = require("zstandard", extra="files")
        unpacking = zstd.ZstdDecompressor(max_window_size=2**31)
        try:
            stream = unpacking.stream_reader(file, read_across_frames=True, closefd=False)
            yield io.BufferedReader(stream, _HEAD_BYTES)
        except zstd.ZstdError:
            raise DataError("the zstd file is damaged or cut off") from None
    else:
        yield file


@contextmanager
def _lines(stream: Any, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Decode a file line by line; bytes that can't be decoded come as lone surrogates."""
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    lines = io.TextIOWrapper(stream, name, errors="surrogateescape", newline="")
    try:
        yield lines
    finally:
        with suppress(ValueError):
            lines.detach()  # stdin must not be closed with it


def _blocks(stream: Any, encoding: str) -> Iterator[list[bytes]]:
    """Yield lines in UTF-8, many at once."""
    if encoding == "utf-8":
        if stream.peek(3).startswith(b"\xef\xbb\xbf"):
            stream.read(3)
        yield from iter(lambda: stream.readlines(1 << 18), [])
        return
    with _lines(stream, encoding) as lines:
        for block in iter(lambda: lines.readlines(1 << 18), []):
            yield [line.encode("utf-8", "surrogateescape") for line in block]


def _encoding(head: bytes) -> str:
    """Tell the encoding: UTF-8 unless several lines, and no other, are none, or it is all Chinese.

    A line here and there that is not UTF-8 is a damaged row, and no sign of another encoding.
    """
    lines = [line for line in head.split(b"\n")[:-1] or [head] if not line.isascii()]
    other = b"\n".join(line for line in lines if not _decodes(line, "utf-8"))
    if other.count(b"\n") < 2 or other.count(b"\n") + 1 < len(lines):
        return "utf-8"
    if _decodes(other, "gb18030"):
        odd = re.findall(r"[^\x00-\x7f]", other.decode("gb18030"))
        if sum("\u3000" <= c <= "\u9fff" or "\uff00" <= c <= "\uffef" for c in odd) > 0.9 * len(
            odd
        ):
            return "gb18030"
    return "latin-1"


def _decodes(line: bytes, encoding: str) -> bool:
    with suppress(UnicodeDecodeError):
        return bool(line.decode(encoding)) or True
    return False


def _shape(text: str, usual: str) -> tuple[str, bool, list[str]]:
    """Tell a table's delimiter, whether its rows are shorter than its header, and the header."""
    whole = text[: text.rfind("\n") + 1] or text
    found = []
    for delimiter in dict.fromkeys((usual, *",;\t|")):
        table = csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter)
        records: list[list[str]] = []
        with suppress(csv.Error):
            records.extend(record for record in islice(table, 500) if record)
        header, rows = records[0] if records else [], records[1:]
        n_whole, n_short = (
            sum(len(r) - len(header) == 0 for r in rows),
            sum(len(r) < len(header) for r in rows),
        )
        fits = len(header) > 1 and 2 * n_whole >= len(rows)
        short = len(rows) > 1 and 2 * n_short >= len(rows)
        found.append(((fits, delimiter == usual, len(header)), (delimiter, short, header)))
    return max(found)[1]


def _refuse_others(start: bytes, format: str) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput(
            "the file is UTF-16: expected UTF-8; convert it with: iconv -f UTF-16 -t UTF-8"
        )
    for magic, name in ((b"PAR1", "Parquet"), (b"PK\x03\x04", "Excel, or zip")):
        if start.startswith(magic):
            as_ = {"Parquet": "parquet"}.get(name, "xlsx")
            raise InvalidInput(f"the file is {name}: expected {format}; say --format {as_}")


def _scan(source: PathOrDash, into: str, format: str, encoding: str | None) -> dict[str, str]:
    """Read a file of json once to know its keys."""
    if is_dash(source) or not Path(source).is_file():
        raise InvalidInput(
            f"jsonl from a stream can't become {into}, whose columns must be known first; ask for "
            "jsonl (--output-format jsonl), or save the input to a file"
        )
    with _open_source(source) as file, _unpacked(file) as stream:
        encoding = encoding or _encoding(stream.peek(_HEAD_BYTES)[:_HEAD_BYTES])
        if format == "jsonl":
            return scan_keys(objects(_blocks(stream, encoding)))
        with _lines(stream, encoding) as lines:
            return scan_keys(documents(lines))


def _progress(source: PathOrDash, file: BinaryIO) -> tuple[int | None, Any]:
    if is_dash(source) or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None, lambda: 0
    return os.fstat(file.fileno()).st_size, file.tell
