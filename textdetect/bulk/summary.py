"""What a run came to: rows counted by verdict, and what could not be read.

It knows nothing of how the rows were judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from textdetect.posts.rows import MAX_LISTED, Chunk
from textdetect.posts.scored import Verdicts, current

Unreadable = tuple[int, int | None, str]
"""Row (1-based), line of the file (None in Parquet), why."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run over files came to.

    Attributes:
        n_rows: all rows: n_flagged + n_not_flagged + those of `uncertain` + n_unreadable.
        n_flagged, n_not_flagged: rows labelled "machine" and "not_flagged".
        uncertain: reason → rows that are uncertain for it.
        n_unreadable: rows that could not be read.
        unreadable: the first 20 of them: row (1-based), line of the file (None in Parquet), why;
            of several files, why begins with the file.
        elapsed_s: seconds spent on reading, scoring and writing.
        output: the output's path, "-" for stdout, "" where the caller brought a writer.
        n_files: inputs, the failed ones too.
        failed: inputs that could not be read to their end: path, why. The rows before that point
            came out and are counted.
        n_resumed: rows of `n_rows` that earlier runs had scored.
        n_worker_deaths: worker processes that died and were replaced.
    """

    n_rows: int
    n_flagged: int
    n_not_flagged: int
    uncertain: dict[str, int]
    n_unreadable: int
    unreadable: tuple[Unreadable, ...]
    elapsed_s: float
    output: str
    n_files: int = 1
    failed: tuple[tuple[str, str], ...] = ()
    n_resumed: int = 0
    n_worker_deaths: int = 0

    @property
    def posts_per_s(self) -> float:
        """Rows a second, those of earlier runs left out."""
        return (self.n_rows - self.n_resumed) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def lines(self) -> Iterator[str]:
        """Say it in words, a fact a line; no line holds text of a post."""
        uncertain = ", ".join(f"{n:,} {reason}" for reason, n in self.uncertain.items())
        yield (
            f"{self.n_rows:,} rows in {self.elapsed_s:.1f} s ({self.posts_per_s:,.0f} a second): "
            f"{self.n_flagged:,} flagged, {self.n_not_flagged:,} not flagged, "
            f"{sum(self.uncertain.values()):,} uncertain{f' ({uncertain})' if uncertain else ''}, "
            f"{self.n_unreadable:,} unreadable"
        )
        if self.n_resumed:
            yield f"{self.n_resumed:,} of them were scored before"
        if self.n_files > 1 or self.failed:
            yield f"{self.n_files:,} files, {len(self.failed):,} of them failed"
        for path, why in self.failed:
            yield f"failed: {path}: {why}"
        for number, line, why in self.unreadable:
            yield f"unreadable: row {number}{'' if line is None else f' (line {line})'}: {why}"
        if self.n_unreadable > len(self.unreadable):
            yield f"unreadable: and {self.n_unreadable - len(self.unreadable):,} more"
        if self.n_worker_deaths:
            yield f"{self.n_worker_deaths:,} worker processes died and were replaced"
        if self.output not in ("", "-"):
            yield f"written to {self.output}"


@dataclass(slots=True)
class Tally:
    """Rows counted as they come."""

    n_rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    n_unreadable: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)

    def add(self, chunk: Chunk, verdicts: Verdicts, *, source: str = "") -> None:
        """Count a chunk's rows; `source` is the file that its unreadable ones are listed under."""
        self.n_rows += len(chunk.rows)
        self.labels.update(verdicts.label.tolist())
        self.reasons.update(reason for reason in verdicts.reason.tolist() if reason is not None)
        where = f"{source}: " if source else ""
        bad = [(r.number, r.line, f"{where}{r.problem}") for r in chunk.rows if r.problem]
        self.n_unreadable += len(bad)
        self.unreadable += bad[: MAX_LISTED - len(self.unreadable)]

    def merge(self, other: Tally) -> None:
        """Count what another tally has counted."""
        self.n_rows += other.n_rows
        self.labels.update(other.labels)
        self.reasons.update(other.reasons)
        self.n_unreadable += other.n_unreadable
        self.unreadable += other.unreadable[: MAX_LISTED - len(self.unreadable)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tally:
        """Read what `to_dict` gave, with a warning where it has the old label."""
        found = cls(values["n_rows"], n_unreadable=values["n_unreadable"])
        names = current(list(values["labels"]))
        found.labels.update(dict(zip(names, values["labels"].values(), strict=True)))
        found.reasons.update(values["reasons"])
        found.unreadable += [(row, line, why) for row, line, why in values["unreadable"]]
        return found

    def summary(self, elapsed_s: float, output: str, **run: Any) -> Summary:
        """Say what was counted; `run`: the fields of `Summary` that are not of rows."""
        return Summary(
            n_rows=self.n_rows,
            n_flagged=self.labels["machine"],
            n_not_flagged=self.labels["not_flagged"],
            uncertain=dict(self.reasons.most_common()),
            n_unreadable=self.n_unreadable,
            unreadable=tuple(self.unreadable),
            elapsed_s=elapsed_s,
            output=output,
            **run,
        )
