"""Bars that figures must not fall below, or rise above: the long table in, failures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdetect._ground.config import check, load_config
from textdetect.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One figure, of the rows with these columns ("" for any), and what all of them must keep to.

    The bar is held against the "value", or the "low" or "high" end of its interval.
    """

    metric: str
    suite: str = ""
    slice: str = "all"
    attack: str = "none"
    detector: str = ""
    at_least: float | None = None
    at_most: float | None = None
    on: str = "value"

    def __post_init__(self) -> None:
        check(self.on in ("value", "low", "high"), "bars.on", "value, low or high", self.on)
        some = self.at_least is not None or self.at_most is not None
        check(some, "bars", "at_least or at_most", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """The YAML file of a gate: a list of `Bar` under the key `bars`."""

    bars: tuple[Bar, ...]


def read_bars(file: str | Path) -> tuple[Bar, ...]:
    """Read a gate's bars; a file that cannot be used is a `ConfigError`."""
    return load_config(file, Bars)[0].bars


def fallen(table: Sequence[Mapping[str, Any]], bars: tuple[Bar, ...]) -> list[str]:
    """Say, a line each, which figures do not keep to their bar.

    A figure that could not be had does not keep to it; a bar that fits no row of the table, and so
    would hold nothing, is `InvalidInput`.

    >>> row = {"suite": "s", "slice": "all", "attack": "none", "detector": "d", "metric": "auroc"}
    >>> row |= {"value": 0.8, "low": 0.7, "high": 0.9}
    >>> fallen([row], (Bar(metric="auroc", at_least=0.9),))
    ['s / all / none / d: auroc is 0.8000, expected at least 0.9']
    """
    lines = []
    for bar in bars:
        keys = ("suite", "slice", "attack", "detector")
        rows = [
            row
            for row in table
            if row["metric"] == bar.metric
            and all(getattr(bar, key) in ("", row[key]) for key in keys)
            and (bar.detector or " - " not in row["detector"])
        ]
        if not rows:
            wanted = ", ".join(f"{key}={getattr(bar, key)}" for key in keys if getattr(bar, key))
            raise InvalidInput(f"gate: no figure {bar.metric!r} with {wanted or 'anything'}")
        for row in rows:
            value = float("nan") if row[bar.on] is None else row[bar.on]
            below = bar.at_least is not None and not value >= bar.at_least  # so that NaN is below
            above = bar.at_most is not None and not value <= bar.at_most
            if below or above:
                limit = f"at least {bar.at_least:g}" if below else f"at most {bar.at_most:g}"
                got = "unknown" if value != value else f"{value:.4f}"
                which = "" if bar.on == "value" else f" ({bar.on})"
                where = " / ".join(str(row[key]) for key in keys)
                lines.append(f"{where}: {bar.metric}{which} is {got}, expected {limit}")
    return lines
