"""Which files a run reads, in what order, and their rows as one stream of pieces.

A file that can't be read ends early, with the reason, and the next one begins. It does not know
what is done with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from textdetect.errors import TextdetectError
from textdetect.posts.files import open_posts
from textdetect.posts.rows import Chunk, Reader


@dataclass(slots=True)
class Input:
    """A file of a run, and how far the run is with it.

    A change is told by size and time of change, which cost nothing to look up; a file rewritten
    with as many bytes and an old time set by hand passes for the same.

    Attributes:
        path: as it was given or found.
        size: in bytes; None where there is no such file.
        modified_ns: time of the last change, in nanoseconds since 1970.
        n_rows: rows that came out of it; None until it is done with.
        problem: why it could not be read to its end; None if it could.
    """

    path: str
    size: int | None = None
    modified_ns: int | None = None
    n_rows: int | None = None
    problem: str | None = None

    @classmethod
    def at(cls, path: str) -> Input:
        """Look a file up.

        >>> Input.at("no/such/file").size is None
        True
        """
        try:
            found = Path(path).stat()
        except OSError:
            return cls(path)
        return cls(path, found.st_size, found.st_mtime_ns)

    def is_as(self, other: Input) -> bool:
        """Tell whether two looks at a file found the same."""
        return (self.size, self.modified_ns) == (other.size, other.modified_ns)


class Piece(NamedTuple):
    """The next rows of an input, or its end.

    Attributes:
        place: which input it is, 0-based.
        chunk: the rows; none at the end.
        reader: of the input; None at its end.
        position: how much of the input was read so far.
        problem: at the end, why it came early; None if it did not.
    """

    place: int
    chunk: Chunk
    reader: Reader | None = None
    position: int = 0
    problem: str | None = None


def read_inputs(
    inputs: Sequence[Input], reading: dict[str, Any], n_rows: int, *, skip: int
) -> Iterator[Piece]:
    """Read the inputs that are not done with: the rows of each for Parquet, then its end.

    Of the first of them, the first `skip` rows came out in an earlier run. See `open_posts` for
    `reading`, and `read_rows`.
    """
    for place, source in enumerate(inputs):
        if source.n_rows is not None:
            continue
        problem = None
        try:
            with open_posts(source.path, into="parquet", **reading) as reader:
                yield from read_rows(reader, n_rows, place=place, skip=skip)
            now = Input.at(source.path)
            if now.size is not None and not now.is_as(source):
                problem = "it changed while the run went on"
        except OSError as error:
            problem = error.strerror or str(error)
        except TextdetectError as error:
            problem = str(error)
        yield Piece(place, Chunk([]), problem=problem)
        skip = 0


def read_rows(reader: Reader, n_rows: int, *, place: int = 0, skip: int = 0) -> Iterator[Piece]:
    """Read an open input, at most `n_rows` rows at once, without its first `skip` rows."""
    for chunk in reader.chunks(n_rows):
        rows = chunk.rows[skip:]
        if rows:
            batch = None if chunk.batch is None else chunk.batch.slice(skip)
            yield Piece(place, Chunk(rows, batch), reader, reader.position())
        skip = max(0, skip - len(chunk.rows))
