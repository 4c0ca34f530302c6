"""Files → files: every row comes out once and in order, with its verdict.

It knows nothing of formats (`posts.files`) nor of models (`Detector`).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tqdm.auto import tqdm

from textdetect.errors import InvalidInput
from textdetect.posts.files import (
    PathOrDash,
    format_of_input,
    format_of_output,
    open_output,
    open_posts,
)
from textdetect.posts.rows import Chunk, Reader
from textdetect.posts.writers import Writer, annotate
from textdetect.types import Verdicts

if TYPE_CHECKING:
    from textdetect.detector import Detector

MAX_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run over a file came to.

    Attributes:
        n_rows: all rows, the unreadable ones too; n_flagged + n_human + those of `uncertain` +
            n_unreadable.
        n_flagged, n_human: rows labelled "machine" and "human".
        uncertain: reason → rows that are uncertain for it.
        n_unreadable: rows that could not be read.
        unreadable: the first 20 of them: row (1-based), line of the file (None in Parquet), why.
        elapsed_s: seconds spent on reading, scoring and writing.
        output: the output's path, "-" for stdout, "" where the caller brought a writer.
    """

    n_rows: int
    n_flagged: int
    n_human: int
    uncertain: dict[str, int]
    n_unreadable: int
    unreadable: tuple[tuple[int, int | None, str], ...]
    elapsed_s: float
    output: str

    @property
    def posts_per_s(self) -> float:
        """Rows a second."""
        return self.n_rows / self.elapsed_s if self.elapsed_s > 0 else 0.0


def score_files(
    source: PathOrDash,
    out: PathOrDash | Writer,
    *,
    detector: Detector | None = None,
    text_column: str | None = None,
    language_column: str | None = None,
    input_format: str | None = None,
    output_format: str | None = None,
    max_fpr: float = 0.01,
    chunk_rows: int = 4_096,
    progress: bool | None = None,
) -> Summary:
    """Score a file of posts into another, in memory that does not grow with the file.

    The output has every row of the input once, in order, with all its columns and with `td_label`,
    `td_probability`, `td_logit`, `td_p_value`, `td_flagged`, `td_language`, `td_reason`,
    `td_n_tokens` and `td_truncated` (columns of these names are replaced). A row that can't be
    parsed has its raw line as its text and the reason "unreadable"; so does one whose text is no
    string, with its columns kept.

    Args:
        source: a path, or "-" for stdin; .gz is unpacked.
        out: a path, "-" for stdout, or a `Writer` of your own.
        detector: the embedded one by default.
        text_column: the posts' column; found by its usual names otherwise.
        language_column: a column with ISO 639-1 codes, which replace identification.
        input_format: csv, tsv, jsonl, parquet or txt (a post a line); by the suffix otherwise.
        output_format: as the input's, txt excepted; by the suffix, else as the input.
        max_fpr: share of human posts that may be flagged, in (0, 1).
        chunk_rows: rows held at once, at least 1.
        progress: show a bar on stderr; None: if that is a terminal.

    Raises:
        InvalidInput: an option, a format or a column that cannot be.
        OSError: a file that can't be read or written; no output is left behind.

    >>> import pathlib, tempfile
    >>> from textdetect.detector import Detector
    >>> from textdetect.runtimes import StubRuntime
    >>> stub = Detector(StubRuntime()).calibrate([f"a human post, number {i}" for i in range(600)])
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "posts.csv").write_text("id,text\\n1,so good to see you all again\\n")
    >>> score_files(folder / "posts.csv", folder / "scored.csv", detector=stub).n_rows
    1
    """
    if chunk_rows < 1:
        raise InvalidInput(f"chunk_rows: expected at least 1, got {chunk_rows}")
    read_as = format_of_input(source, input_format)
    path = os.fspath(out) if isinstance(out, (str, os.PathLike)) else ""
    write_as = format_of_output(path, output_format, read_as) if path else None
    tally = _Tally()
    with ExitStack() as stack:
        names = {"text_column": text_column, "language_column": language_column}
        reader = stack.enter_context(open_posts(source, format=read_as, into=write_as, **names))
        if detector is None:
            from textdetect.detector import Detector

            detector = Detector.from_pretrained()
        detector.predict([], max_fpr=max_fpr)  # refuses a rate before anything is written
        writer = stack.enter_context(_open_writer(out, reader, write_as, source))
        bar = stack.enter_context(_bar(reader, progress))
        start_s = time.perf_counter()
        for chunk in reader.chunks(chunk_rows):
            verdicts = _predict(detector, chunk, max_fpr)
            writer.write(chunk, annotate(chunk.rows, verdicts))
            tally.add(chunk, verdicts)
            bar.set_postfix(posts=tally.n_rows, refresh=False)
            bar.update(reader.position() - bar.n)
    elapsed_s = time.perf_counter() - start_s
    return tally.summary(elapsed_s, path)


def _open_writer(
    out: PathOrDash | Writer, reader: Reader, write_as: str | None, source: PathOrDash
) -> AbstractContextManager[Writer]:
    if isinstance(out, (str, os.PathLike)):
        return open_output(out, reader, format=write_as or "csv", source=source)
    return nullcontext(out)


def _bar(reader: Reader, progress: bool | None) -> Any:
    hidden = None if progress is None else not progress  # None: hidden unless on a terminal
    scale = reader.unit == "B"
    return tqdm(total=reader.total, unit=reader.unit, unit_scale=scale, leave=False, disable=hidden)


def _predict(detector: Detector, chunk: Chunk, max_fpr: float) -> Verdicts:
    """Judge the readable rows of a chunk."""
    rows = [row for row in chunk.rows if row.problem is None]
    languages = [row.language for row in rows] if any(row.language for row in rows) else None
    texts = [row.text for row in rows]
    return detector.predict(texts, max_fpr=max_fpr, language=languages, progress=False)


@dataclass(slots=True)
class _Tally:
    n_rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    n_unreadable: int = 0
    unreadable: list[tuple[int, int | None, str]] = field(default_factory=list)

    def add(self, chunk: Chunk, verdicts: Verdicts) -> None:
        self.n_rows += len(chunk.rows)
        self.labels.update(verdicts.label.tolist())
        self.reasons.update(reason for reason in verdicts.reason.tolist() if reason is not None)
        bad = [(row.number, row.line, row.problem) for row in chunk.rows if row.problem is not None]
        self.n_unreadable += len(bad)
        self.unreadable += bad[: MAX_LISTED - len(self.unreadable)]

    def summary(self, elapsed_s: float, output: str) -> Summary:
        return Summary(
            n_rows=self.n_rows,
            n_flagged=self.labels["machine"],
            n_human=self.labels["human"],
            uncertain=dict(self.reasons.most_common()),
            n_unreadable=self.n_unreadable,
            unreadable=tuple(self.unreadable),
            elapsed_s=elapsed_s,
            output=output,
        )
