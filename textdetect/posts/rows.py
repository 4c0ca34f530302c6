"""Rows of a posts file, streamed in order: what can't be parsed comes as its raw line.

It does not know where the bytes come from, what the posts are scored for, or how rows are written.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from textdetect.errors import InvalidInput
from textdetect.language import canonical
from textdetect.text import is_missing

TEXT_COLUMNS: Final = (
    *("text", "full_text", "post", "tweet", "content", "body", "message", "comment", "review"),
    *("post_text", "tweet_text", "comment_text", "review_text", "caption", "selftext"),
    *("正文", "微博正文", "内容", "文本", "评论", "评论内容"),
)
"""Names that a column of posts usually has, the likeliest first; case does not matter."""

MAX_RECORD_LINES: Final = 10_000
MAX_RECORD_CHARS: Final = 16_000_000
"""How far a quoted csv field is followed before its first line is called broken."""
_FEW_CHARS: Final = 2_000
_LINE_COST: Final = 64
_CHUNK_CHARS: Final = 16_000_000
_PEEK_LINES: Final = 1_000
_PEEK_CHARS: Final = 1_000_000
_MAX_DEPTH: Final = 200
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_NAME_LIKE = re.compile(r"[^\s]{1,24}(?: [^\s]{1,24}){0,2}")


@dataclass(slots=True)
class Row:
    """One row of a file.

    Attributes:
        number: 1-based; the header and blank lines are not counted.
        line: 1-based line of the file where the row begins; None in Parquet.
        text: the post, or None where it is missing.
        language: what the language column says, or None.
        values: the cells in the order of the reader's columns, a dict in jsonl; None where the
            row can't be parsed or its cells stay in the chunk's `batch`.
        raw: the line as it stands in the file: in jsonl, and where `values` is None.
        problem: why the row can't be scored, or None. It never holds text of the row.
    """

    number: int
    line: int | None
    text: str | None = None
    language: str | None = None
    values: Sequence[Any] | dict[str, Any] | None = None
    raw: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows; `batch` is their pyarrow RecordBatch where cells keep Parquet's types."""

    rows: list[Row]
    batch: Any = None

    def after(self, n_rows: int) -> Chunk:
        """Return the chunk without its first rows."""
        return Chunk(self.rows[n_rows:], None if self.batch is None else self.batch.slice(n_rows))


class Reader:
    """Base of what reads a format; made by `files.open_posts`.

    Attributes:
        columns: the names in the header's order, as they stand there, doubles and blanks too; in
            jsonl every key of the file, or the first rows' keys where the output needs no more.
        text_at, language_at: places in `columns` of the posts and of their languages, if any.
        total: bytes or rows (`unit`) that there are to read; None where that can't be told.
        position: returns how many of them were read.
        kinds: in jsonl, each key's kind of values, where the output has to know.
    """

    columns: list[str]
    text_at: int
    language_at: int | None = None
    unit: str = "B"
    total: int | None = None
    position: Callable[[], int]
    kinds: dict[str, str] | None = None

    def chunks(self, n_rows: int) -> Iterator[Chunk]:
        """Yield the rows, at most `n_rows` at once, and fewer where they are very long."""
        rows: list[Row] = []
        n_chars = 0
        for row in self._rows():
            rows.append(row)
            n_chars += len(row.text or row.raw)
            if len(rows) >= n_rows or n_chars > _CHUNK_CHARS:
                yield Chunk(rows)
                rows, n_chars = [], 0
        if rows:
            yield Chunk(rows)

    def _rows(self) -> Iterator[Row]:
        raise NotImplementedError

    def _choose(self, names: list[str], text: str | None, language: str | None) -> None:
        self.columns = names
        self.text_at = find_column(names, text, usual=TEXT_COLUMNS)
        if language is not None:
            self.language_at = find_column(names, language, option="--language-column")


def find_column(
    names: Sequence[str],
    wanted: str | None,
    *,
    usual: Sequence[str] = (),
    purpose: str = "posts",
    option: str = "--text-column",
) -> int:
    """Return the place of the column `wanted`, or of the first of the `usual` names.

    The exact name wins, then the same name in another case. A file's only column is the posts'.

    Raises:
        InvalidInput: no such column; the message says its purpose, and lists those that there are.

    >>> find_column(["id", "Text"], None, usual=TEXT_COLUMNS), find_column(["a", "b"], "b")
    (1, 1)
    """
    place = usual_place(names, usual if wanted is None else (wanted,))
    if place is None and wanted is None and len(names) == 1 and purpose == "posts":
        return 0
    if place is None:
        what = f"of a usual name for {purpose}" if wanted is None else repr(wanted)
        raise InvalidInput(f"no column {what} among {_listed(names)}; name one with {option}")
    return place


def usual_place(names: Sequence[str], usual: Iterable[str]) -> int | None:
    """Return the place of the first of the `usual` names that there is, or None."""
    folded = [name.strip().casefold() for name in names]
    for name in usual:
        for known, one in ((names, name), (folded, name.strip().casefold())):
            if one in known:
                return known.index(one)
    return None


def _listed(names: Sequence[str]) -> str:
    # In a file without a header these are a post's: what doesn't look like a name is not shown.
    shown = [
        repr(name) if _NAME_LIKE.fullmatch(name) else f"<column {i}>"
        for i, name in enumerate(names[:30], 1)
    ]
    return ", ".join(shown) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _shown(line: str) -> str:
    """Return a line without its end, with what stood for undecodable bytes replaced."""
    line = line.rstrip("\r\n")
    if _is_utf8(line):
        return line
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_utf8(line: str) -> bool:
    return line.isascii() or not _UNDECODABLE.search(line)


class _Lines:
    """The lines of a file for csv.reader, those of the record being read kept for a second try."""

    def __init__(self, stream: Iterable[str]) -> None:
        self._stream = iter(stream)
        self._again: deque[str] = deque()
        self._n_chars = self._n_read = self._lost = 0
        self.record: list[str] = []
        self.number = 1

    def begin(self) -> None:
        """Begin a record at the next line."""
        self.number += len(self.record)
        self._n_read += self._n_chars
        self.record, self._n_chars = [], 0

    def retry(self) -> None:
        """Give back every line of the record but the first."""
        self._lost += self._n_chars + _LINE_COST * len(self.record)
        self._again.extendleft(reversed(self.record[1:]))
        del self.record[1:]
        self._n_chars = len(self.record[0])

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._stream)
        self.record.append(line)
        self._n_chars += len(line)
        if "\0" in line:
            raise csv.Error("a NUL byte")
        if not _is_utf8(line):
            raise csv.Error("not UTF-8")
        if len(self.record) > 1:
            # Bounds the time spent on a file whose every line opens a quote that never ends.
            patient = self._lost <= 4 * self._n_read + MAX_RECORD_CHARS
            limit = MAX_RECORD_CHARS if patient else _FEW_CHARS
            if len(self.record) > MAX_RECORD_LINES or self._n_chars > limit:
                raise csv.Error("a quote that is not closed")
        return line


class DelimitedReader(Reader):
    """csv and tsv, with standard quoting; blank lines are not rows.

    A record that can't be parsed, or has other than the header's number of fields, makes its
    first line an unreadable row, and reading goes on at the next line: a broken row swallows none
    behind it. Raises csv's process-wide field size limit, and leaves it raised.
    """

    def __init__(
        self, stream: Iterable[str], delimiter: str, *, text: str | None, language: str | None
    ) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_CHARS))
        self._lines = _Lines(stream)
        self._csv = csv.reader(self._lines, delimiter=delimiter, strict=True)
        header: list[str] | None = []
        while header == []:
            self._lines.begin()
            header, problem = self._record()
            if problem:
                raise InvalidInput(
                    f"the header (line {self._lines.number}) can't be read: {problem}; expected "
                    "column names in UTF-8"
                )
        if header is None:
            raise InvalidInput("the file is empty: expected a line of column names")
        other = next((c for c in ",;\t|" if c != delimiter and c in header[0]), None)
        if len(header) == 1 and other and text is None:
            raise InvalidInput(
                f"one column only, whose name holds {other!r}: expected fields separated by "
                f"{delimiter!r}; convert the file, or name the column with --text-column"
            )
        self._choose(header, text, language)

    def _record(self) -> tuple[list[str] | None, str | None]:
        """Return the next record's cells (None at the end), and why it can't be read."""
        try:
            return next(self._csv), None
        except StopIteration:
            return None, None
        except csv.Error as error:
            why = str(error)
            why = "a stray quote" if "expected after" in why else why
            return None, "a quote that is not closed" if "end of data" in why else why

    def _rows(self) -> Iterator[Row]:
        width, number = len(self.columns), 0
        while True:
            self._lines.begin()
            cells, problem = self._record()
            if cells is None and problem is None:
                return
            if cells == []:
                continue
            number += 1
            if cells is not None and len(cells) != width:
                problem = f"expected {width} fields, got {len(cells)}"
            row = Row(number, self._lines.number, problem=problem)
            if cells is None or problem:
                self._lines.retry()
                row.raw = _shown(self._lines.record[0])
            else:
                row.values, row.text = cells, cells[self.text_at]
                if self.language_at is not None:
                    row.language, row.problem = language_of(cells[self.language_at])
            yield row


class LinesReader(Reader):
    """Plain text, a post a line; an empty line is an empty post."""

    def __init__(self, stream: Iterable[str], *, text: str | None, language: str | None) -> None:
        self._stream = stream
        self._choose(["text"], text, language)

    def _rows(self) -> Iterator[Row]:
        for number, line in enumerate(self._stream, 1):
            if _is_utf8(line):
                text = line.rstrip("\r\n")
                yield Row(number, number, text=text, values=[text])
            else:
                yield Row(number, number, raw=_shown(line), problem="not UTF-8")


class JsonlReader(Reader):
    """One JSON object a line; blank lines are not rows, a row without the text key is empty.

    Args:
        stream: the lines.
        kinds: every key of the file, from `scan_keys`; None where the output needs no columns.
    """

    def __init__(
        self,
        stream: Iterable[str],
        *,
        text: str | None,
        language: str | None,
        kinds: dict[str, str] | None = None,
    ) -> None:
        lines = iter(stream)
        head: list[str] = []
        n_chars = 0
        for line in islice(lines, _PEEK_LINES if kinds is None else 0):
            head.append(line)
            n_chars += len(line)
            if n_chars > _PEEK_CHARS:
                break
        more = len(head) == _PEEK_LINES or n_chars > _PEEK_CHARS
        self._stream = chain(head, lines)
        self.kinds = kinds
        names = list(scan_keys(head) if kinds is None else kinds)
        if not names and text is None and more:
            raise InvalidInput(
                f"none of the first {len(head)} lines is a JSON object: expected one a line"
            )
        # Without one readable row there is nothing to choose from, and nothing to get wrong.
        self._choose(names or [text or "text", *([language] if language else [])], text, language)

    def _rows(self) -> Iterator[Row]:
        text_key = self.columns[self.text_at]
        language_key = None if self.language_at is None else self.columns[self.language_at]
        number = 0
        for line_number, line in enumerate(self._stream, 1):
            if not line.strip(" \t\r\n"):
                continue
            number += 1
            row = Row(number, line_number, raw=_shown(line))
            row.values, row.problem = _parse_object(line)
            if row.values is not None:
                row.text, row.problem = _str_of(row.values, text_key)
                if language_key and not row.problem:
                    row.language, row.problem = language_of(row.values.get(language_key))
            yield row


def _parse_object(line: str) -> tuple[dict[str, Any] | None, str | None]:
    if not _is_utf8(line):
        return None, "not UTF-8"
    try:
        value = json.loads(line)
    except RecursionError:
        return None, "nested too deeply"
    except json.JSONDecodeError as error:
        return None, f"not JSON ({error.msg.split(':')[0]}, column {error.colno})"
    except ValueError:
        return None, "a number that is too long"
    if not isinstance(value, dict):
        return None, f"expected a JSON object, got {type(value).__name__}"
    if line.count("[") + line.count("{") > _MAX_DEPTH and _is_deep(value):
        return None, "nested too deeply"
    return value, None


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        nested = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for item in nested for child in item if isinstance(child, (dict, list))]
    return bool(level)


def _str_of(values: dict[str, Any], key: str) -> tuple[str | None, str | None]:
    """Return the string under `key` (None where missing), and why it can't be used."""
    value = values.get(key)
    if is_missing(value):
        return None, None
    if isinstance(value, str):
        return value, None
    return None, f"{key}: expected str, got {type(value).__name__}"


def language_of(value: Any) -> tuple[str | None, str | None]:
    """Return a cell's language (None: to be identified), and why it can't be used."""
    try:
        return canonical(value), None
    except InvalidInput as error:
        return None, str(error)


def scan_keys(lines: Iterable[str]) -> dict[str, str]:
    """Return every key of jsonl lines, in the order of appearance, with the kind of its values.

    Kinds: "str", "bool", "int", "float", "json" (nested, mixed, or too big for 64 bits), "null".
    """
    kinds: dict[str, set[str]] = {}
    for line in lines:
        for key, value in (_parse_object(line)[0] or {}).items() if line.strip() else ():
            kinds.setdefault(key, set()).add(_kind(value))
    return {key: _common(found - {"null"}) for key, found in kinds.items()}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is int:
        return "small" if abs(value) <= 2**53 else "int" if -(2**63) <= value < 2**63 else "json"
    return type(value).__name__ if isinstance(value, (str, bool, float)) else "json"


def _common(kinds: set[str]) -> str:
    if kinds <= {"small", "int"} and kinds:
        return "int"
    if kinds == {"small", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "json" if kinds else "null"
