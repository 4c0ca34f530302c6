"""What the benchmark found, as values, as a table for a terminal, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from textdetect._ground.files import write_atomically

_FORMS: Final = {"posts/s": ",.1f", "s": ".2f", "MB": ",.0f", "ms": ".1f"}
"""How a figure is written, by its unit."""


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
class Figure:
    """One line of the benchmark.

    Attributes:
        group: "short", "chinese" or "long" posts, or "latency".
        what: the runtime ("textdetect" as it comes, "textdetect, hf" …), or what took so long.
        value, unit: over the measurements.
        n, n_posts: measurements, and posts in each.
    """

    group: str
    what: str
    value: Spread
    unit: str
    n: int
    n_posts: int = 1


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
        figures: posts a second of each kind by each runtime, and a fresh process's latency.
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
    figures: tuple[Figure, ...]
    skipped: dict[str, str]

    @property
    def busy(self) -> bool:
        """Whether others wanted more than half of the cores: then no figure is to be trusted."""
        return (self.load_before or 0.0) > 0.5 * int(self.machine["cores_available"])

    def facts(self) -> dict[str, Any]:
        """Say what was measured where: name → value."""
        return {
            "model": f"{self.model} {self.version}, {self.numerics}",
            **self.machine,
            "load before": self.load_before,
            "took, s": self.took_s,
            **self.libraries,
        }

    def rows(self) -> list[dict[str, str]]:
        """Give the rows of the table, all with the same columns."""
        return [
            {
                "": each.group,
                "what": each.what,
                "median (low–high)": f"{each.value:{_FORMS[each.unit]}}",
                "unit": each.unit,
                "n": f"{each.n} × {each.n_posts:,}" if each.n_posts > 1 else f"{each.n}",
            }
            for each in self.figures
        ]

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
