"""Posts files of any format, packing and encoding, opened; "-" is stdin.

Rows stream through, so that a file of any size takes the same memory (of json documents the text is
held). A new format: `SUFFIXES`, `_MAGIC` or `_looks_like`, and a reader in `open_posts`.
"""

from __future__ import annotations

import csv
import errno
import glob
import gzip
import html
import io
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, cast

from textdetect._ground.optional import require
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.fields import FIELDS, find_fields, usual_names, usual_place
from textdetect.posts.rows import (
    IN_MEMORY,
    Reader,
    Row,
    delimited,
    documents,
    in_memory,
    objects,
    parsed,
    plain,
    scan_keys,
    sheet,
)

FORMATS: Final = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt")
SUFFIXES: Final = {f".{name}": name for name in FORMATS} | {
    ".tab": "tsv",
    ".ndjson": "jsonl",
    ".pq": "parquet",
    ".js": "json",
}
"""Suffix → format; ".gz" or ".zst" may follow, but for Parquet and Excel."""
STANDARD_STREAM: Final = "-"
DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
_HEAD_BYTES: Final = 1 << 16
_NOTE_CHARS: Final = 200
_SAMPLE_ROWS: Final = 1_000
_SAMPLE_CHARS: Final = 1_000_000
_MAGIC: Final = {b"PAR1": ("Parquet", "parquet"), b"PK\x03\x04": ("Excel, or zip", "xlsx")}

PathOrDash = str | os.PathLike[str]


def format_of_input(source: PathOrDash, given: str | None = None) -> str:
    """Tell the format of an input: the one given, that of the suffix, or what it looks like.

    Raises InvalidInput for an unknown format, or where nothing tells it; OSError.

    >>> format_of_input("posts.CSV.gz"), format_of_input("-", "jsonl")
    ('csv', 'jsonl')
    """
    expected = f"expected one of {', '.join(FORMATS)}; say it with --format"
    name = SUFFIXES.get(f".{given.lower()}" if given else suffix_of(source), "")
    if given and not name:
        raise InvalidInput(f"format {given!r}: {expected}")
    if given or name not in ("", "json"):
        return name
    if suffix_of(source) not in ("", ".json", ".js") and not os.path.lexists(source):
        raise InvalidInput(f"the file's suffix tells no format: {expected}")
    with _open_source(source) as file:  # what is peeked at in a pipe is still there for the reader
        start = io.BufferedReader(io.BytesIO(file.peek(_HEAD_BYTES)), _HEAD_BYTES)
    with _unpacked(start) as stream:
        head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    found = _looks_like(head) if head else ""
    if not found or (found == "txt" and suffix_of(source)):
        told_by = "the file's suffix" if head else "an empty input"
        raise InvalidInput(f"{told_by} tells no format: {expected}")
    return found


def _looks_like(head: bytes) -> str:
    if head[:4] in _MAGIC:
        return _MAGIC[head[:4]][1]
    text = head.decode(_encoding(head), "replace").lstrip()
    if text.startswith(("[", "{", "window.")):
        first = text.partition("\n")[0].encode()
        return "jsonl" if text[0] == "{" and parsed(first)[0] is not None else "json"
    delimiter, _, header = _shape(text, ",")
    known = [usual_place(header, usual_names(name)) for name in ("text", "account", "time")]
    return "txt" if known == [None] * 3 else "tsv" if delimiter == "\t" else "csv"


def find_inputs(
    given: PathOrDash | Sequence[PathOrDash], *, but: str = "part-*.parquet", of: str = ""
) -> list[str]:
    """Find the files that paths, globs and folders name: each once, those of one name sorted.

    A folder gives its files with a suffix of `SUFFIXES` (of scripts the posts of an archive), those
    of its folders too; names that begin with "." or "_" are passed over. A path that there is wins
    over a glob; one without a file is given back; FileNotFoundError for a folder without any.

    Args:
        given: one or several.
        but, of: files of this name in the folder `of` are no inputs: they are outputs.

    >>> find_inputs(["b.csv", "a.csv", "b.csv"])
    ['b.csv', 'a.csv']
    """
    found: list[str] = []
    for name in as_paths(given):
        places = [name]
        if name != STANDARD_STREAM and not os.path.lexists(name) and glob.has_magic(name):
            places = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob wants a root
        paths = [path for at in places for path in (_inside(at) if Path(at).is_dir() else [at])]
        if of:
            home, own = os.path.realpath(of), [path for path in paths if Path(path).match(but)]
            paths = [p for p in paths if p not in own or os.path.realpath(Path(p).parent) != home]
        if not paths:
            raise FileNotFoundError(errno.ENOENT, "no posts file there", name)
        found += paths
    return list(dict.fromkeys(found))


def as_paths(source: PathOrDash | Sequence[PathOrDash]) -> list[str]:
    """Return one path or many as a list of str."""
    given = [source] if isinstance(source, (str, os.PathLike)) else source
    return [os.fspath(path) for path in given]


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
    need: Sequence[str] = ("text",),
    **columns: str | None,
) -> Iterator[Reader]:
    """Open a posts file for reading, packed with gzip or zstd or not.

    Args:
        source: a path, or "-" for stdin; or posts in memory, as `rows.in_memory` takes them.
        into: format of the output, if any: it decides what must be known of the columns.
        format: one of `FORMATS`; by the suffix, or by what the file looks like. Or input_format=.
        encoding: of text; None: UTF-8, or GB18030 or Latin-1 where it is clearly that.
        delimiter: of csv; found otherwise.
        padded: rows of csv may be shorter than the header; None: if half of the first ones are.
        layout: as in `find_fields`.
        need: fields that must be there; a known layout may have no texts.
        columns: field → its column, or path; found otherwise. text_column= is text=, and so on;
            the codes (BCP-47) of language_column= replace identification, too.

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
    format = format or columns.pop("input_format", None)
    long = {f"{name}_column": name for name in (*FIELDS, "repost")}
    wanted = {long.get(name, name): at for name, at in columns.items() if at is not None}
    in_files = isinstance(source, (str, os.PathLike))
    format = format_of_input(source, format) if in_files else IN_MEMORY
    reading: dict[str, Any] = {"format": format}
    known: dict[str, Any] = {"judged": columns.get("language_column") is not None}
    names, samples, rows = list[str](), list[dict[str, Any]](), cast(Any, None)
    is_json = format in ("json", "jsonl")
    if is_json and into in ("csv", "tsv", "parquet"):
        known["types"] = _scan(source, into, format=format, encoding=encoding)
    with ExitStack() as stack:
        if in_files:
            file = stack.enter_context(_open_source(source))
            if not is_dash(source):
                known["stem"] = Path(source).name.split(".")[0]
                if Path(source).is_file():
                    known |= {"total": Path(source).stat().st_size, "position": file.tell}
        if format in ("parquet", "xlsx") and not file.seekable():  # the footer comes last
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            file = copy
        if format == IN_MEMORY:
            names, rows = in_memory(source)
        elif format == "xlsx":
            names, rows = sheet(file)
        elif format == "parquet":
            from textdetect.posts.parquet import open_parquet

            names, samples, rows, more = open_parquet(file, into)
            known |= more
        else:
            asked = {"encoding": encoding, "delimiter": delimiter, "padded": padded}
            names, rows = _rows_of_text(stack, file, reading, asked)
        if is_json or format == IN_MEMORY:
            first = list(_first(rows))
            rows = chain(first, rows)
            samples = [row.values for row in first if isinstance(row.values, dict)]
        if is_json:
            names = list(known.get("types") or {key: 1 for row in samples for key in row})
            if not names and "text" not in wanted and len(first) >= _SAMPLE_ROWS:
                raise InvalidInput(f"none of the first {len(first)} lines is a JSON object")
            # Without one readable row there is nothing to choose from, and nothing to get wrong.
            names = names or list(wanted.values()) or ["text"]
        if in_files and suffix_of(source) == ".js":
            known["stem"], rows = _archive(Path(source).parent, known["stem"], rows)
        fields = find_fields(names, samples, wanted, layout=layout, need=need)
        yield Reader(rows, fields, reading, **known)


def _rows_of_text(
    stack: ExitStack, file: Any, reading: dict[str, Any], asked: dict[str, Any]
) -> tuple[list[str], Iterator[Row]]:
    """Give the names and the rows of a file of text; put into `reading` how it is read."""
    stream, format = stack.enter_context(_unpacked(file)), reading["format"]
    start = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    _refuse_others(start, format)
    reading["encoding"] = encoding = asked["encoding"] or _encoding(start)
    if format == "jsonl" and encoding == "utf-8":
        if start.startswith(b"\xef\xbb\xbf"):
            stream.read(3)
        return [], objects(iter(lambda: stream.readlines(1 << 18), []))
    lines = stack.enter_context(_lines(stream, encoding))
    if format == "jsonl":
        return [], objects([line.encode("utf-8", "surrogateescape")] for line in lines)
    if format == "json":
        return [], documents(lines.read())
    if format == "txt":
        return ["text"], plain(lines)
    likely, is_short, _ = _shape(start.decode(encoding, "replace"), DELIMITERS[format])
    reading["delimiter"] = asked["delimiter"] or likely
    reading["padded"] = is_short if asked["padded"] is None else asked["padded"]
    return delimited(lines, reading["delimiter"], padded=reading["padded"])


def _archive(folder: Path, stem: str, rows: Iterator[Row]) -> tuple[str, Iterator[Row]]:
    """Give the account of an X archive, and whole texts, where account.js and note-tweet.js say."""
    beside: list[Any] = []
    for name in ("account.js", "note-tweet.js"):
        text = (folder / name).read_text("utf-8") if (folder / name).is_file() else ""
        beside += [row.values for row in documents(text) if isinstance(row.values, dict)]
    accounts = [each["account"].get("username") for each in beside if "account" in each]
    notes = [str(each["noteTweet"]["core"]["text"]) for each in beside if "noteTweet" in each]
    by_start = {note[:_NOTE_CHARS]: note for note in notes}  # ids of notes are none of posts

    def whole() -> Iterator[Row]:
        for row in rows:
            post = row.values.get("tweet") if isinstance(row.values, dict) else None
            if isinstance(post, dict) and isinstance(post.get("full_text"), str):
                start = html.unescape(post["full_text"])[:_NOTE_CHARS]
                post["full_text"] = by_start.get(start, post["full_text"])
            yield row

    return next(filter(None, accounts), stem), whole()


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
    return Path(Path(path).name.lower().removesuffix(".gz").removesuffix(".zst")).suffix


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
    start, damage, stream = file.peek(4)[:4], cast(Any, ()), file
    if start[:2] == b"\x1f\x8b":
        damage, stream = (EOFError, zlib.error, gzip.BadGzipFile), gzip.GzipFile(fileobj=file)
    elif start == b"\x28\xb5\x2f\xfd":
        zstd = require("zstandard", extra="files")
        packed = zstd.ZstdDecompressor(max_window_size=2**31)
        damage = (zstd.ZstdError,)
        stream = packed.stream_reader(file, read_across_frames=True, closefd=False)
    try:
        yield file if stream is file else io.BufferedReader(stream, _HEAD_BYTES)
    except damage:
        name = "gzip" if start[:2] == b"\x1f\x8b" else "zstd"
        raise DataError(f"the {name} file is damaged or cut off") from None


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


def _encoding(head: bytes) -> str:
    """Tell the encoding: UTF-8 unless several lines, and no other, are none, or it is all Chinese.

    A line here and there that is not UTF-8 is a damaged row, and no sign of another encoding.
    """
    lines = [line for line in head.split(b"\n")[:-1] or [head] if not line.isascii()]
    n_bad = sum("\ufffd" in line.decode("utf-8", "replace") for line in lines)
    if n_bad < 3 or n_bad < len(lines):
        return "utf-8"
    odd = [c for c in b"\n".join(lines).decode("gb18030", "replace") if not c.isascii()]
    chinese = sum("\u3000" <= c <= "\u9fff" or "\uff00" <= c <= "\uffef" for c in odd)
    return "gb18030" if chinese > 0.9 * len(odd) and "\ufffd" not in odd else "latin-1"


def _shape(text: str, usual: str) -> tuple[str, bool, list[str]]:
    """Tell a table's delimiter, whether its rows are shorter than its header, and the header."""
    whole = text[: text.rfind("\n") + 1] or text
    found = []
    for delimiter in dict.fromkeys((usual, *",;\t|")):
        cells = csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter)
        records: list[list[str]] = []
        with suppress(csv.Error):
            records.extend(record for record in islice(cells, 500) if record)
        header, *rows = records or [[]]
        is_whole = 2 * sum(len(row) == len(header) for row in rows) >= len(rows)
        is_short = 2 * sum(len(row) < len(header) for row in rows) >= len(rows) > 1
        likely = (len(header) > 1 and is_whole, delimiter == usual, len(header))
        found.append((likely, (delimiter, is_short, header)))
    return max(found)[1]


def _refuse_others(start: bytes, format: str) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput(
            "the file is UTF-16: expected UTF-8; convert it with: iconv -f UTF-16 -t UTF-8"
        )
    if start[:4] in _MAGIC:
        name, other = _MAGIC[start[:4]]
        raise InvalidInput(f"the file is {name}: expected {format}; say --format {other}")


def _scan(source: PathOrDash, into: str, **reading: Any) -> dict[str, str]:
    """Read a file of json once to know its keys."""
    if is_dash(source) or not Path(source).is_file():
        raise InvalidInput(
            f"jsonl from a stream can't become {into}, whose columns must be known first; ask for "
            "jsonl (--output-format jsonl), or save the input to a file"
        )
    with open_posts(source, layout="", need=(), **reading) as reader:
        return scan_keys(reader.rows)
