"""What the benchmark found, as values: the same for the table in a terminal and for JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textdetect.checkpoint import write_atomically


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements, and their smallest and largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.0, high=3.0)
        """
        return cls(float(np.median(values)), float(min(values)), float(max(values)))

    def __format__(self, form: str) -> str:
        """Write the three by one form.

        >>> f"{Spread(2.0, 1.0, 3.0):.1f}"
        '2.0 (1.0–3.0)'
        """
        return f"{self.median:{form}} ({self.low:{form}}–{self.high:{form}})"


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one runtime judged one kind of posts.

    Attributes:
        posts: "short", "chinese" or "long".
        runtime: "textdetect" as it comes, "textdetect, hf" …
        n_posts, n_rounds: posts a round, the same for every runtime; and rounds.
        mean_tokens: of a post, as `Verdict.n_tokens` counts them.
        posts_per_s: over the rounds.
    """

    posts: str
    runtime: str
    n_posts: int
    n_rounds: int
    mean_tokens: float
    posts_per_s: Spread


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A fresh process: from its start to its first verdict, and one short post at a time after it.

    Attributes:
        n_runs: fresh processes.
        first_verdict_s: interpreter, imports, checksums and model included.
        peak_mb: most memory that a process held until then; None where it can't be told.
        n_posts: posts that each process judged one at a time.
        p50_ms, p95_ms: for one of them, over the processes.
    """

    n_runs: int
    first_verdict_s: Spread
    peak_mb: float | None
    n_posts: int
    p50_ms: Spread
    p95_ms: Spread


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What `bench` measured, and where.

    Attributes:
        model, version, fingerprint, numerics: of the detector.
        machine: see `runtimes.host.machine`.
        libraries: name → version, "not installed" included.
        load_before: processes that wanted a core before it began (one-minute load average); None
            where it can't be told. See `busy`.
        took_s: all of it.
        cold_start, speeds: see their classes.
        skipped: what was not measured → why.
    """

    model: str
    version: str
    fingerprint: str
    numerics: str
    machine: dict[str, Any]
    libraries: dict[str, str]
    load_before: float | None
    took_s: float
    cold_start: ColdStart
    speeds: tuple[Speed, ...]
    skipped: dict[str, str]

    @property
    def busy(self) -> bool:
        """Whether others wanted more than half of the cores: then no figure is to be trusted."""
        return (self.load_before or 0.0) > 0.5 * int(self.machine["cores_available"])

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        return dataclasses.asdict(self) | {"busy": self.busy}


def write_json(measured: Benchmark, file: str | os.PathLike[str]) -> None:
    """Write what was measured as a JSON file, whole or not at all.

    Raises:
        OSError: the file can't be written.
    """
    text = json.dumps(measured.to_dict(), indent=1, ensure_ascii=False)
    write_atomically(Path(file), f"{text}\n".encode())
