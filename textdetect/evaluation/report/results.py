"""What a report is made from: long tables of figures and points, and the facts around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from textdetect.errors import InvalidInput

Row = Mapping[str, Any]

_COLUMNS: Final = {
    "table": ("suite", "part", "slice", "attack", "detector", "metric", "value"),
    "curves": ("detector", "kind", "x", "y"),
    "errors": ("detector", "label", "score"),
}
_KEY: Final = ("part", "slice", "attack", "detector", "metric")


@dataclass(frozen=True)
class Results:
    """The result of evaluating detectors on one suite, for a page and for a program.

    Attributes:
        table: one figure a row: suite; part ("select", "report"); slice ("all", "language=zh" …);
            attack ("none", a name, "worst_of_k"); detector; metric (see `cells.METRICS`); value,
            low, high (None or NaN where there is none: `note` says why); n posts; n_clusters
            accounts; threshold; fingerprint; note ("small; seen family" …). A comparison has the
            detector "A - B", of two with rows of their own, p_value and p_holm.
        curves: one point a row: detector; kind ("roc": x FPR, y TPR, n human posts; "reliability":
            x mean probability, y share of machines, n posts); x, y in [0, 1]; n.
        errors: one post a row: detector, label, score, source, language, generator, key, and text,
            which is None unless texts were asked for.
        facts: all optional: title, description, part (the one to show), looks (times that the
            report part was looked at), max_fpr (the promise), level (of intervals, 0.95), date,
            command; all else (models, contamination, seed, libraries …) is listed as it is,
            however nested.
        caution: the sentences that say what a flag is.

    Raises:
        InvalidInput: a row lacks a column, a figure is there twice, or there are several suites.

    >>> Results([{"suite": "s"}])
    Traceback (most recent call last):
    textdetect.errors.InvalidInput: table, row 0: no 'part', 'slice', 'attack', 'detector', ...
    """

    table: Sequence[Row]
    curves: Sequence[Row] = ()
    errors: Sequence[Row] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    caution: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, columns in _COLUMNS.items():
            for number, row in enumerate(getattr(self, name)):
                missing = [repr(column) for column in columns if column not in row]
                if missing:
                    raise InvalidInput(f"{name}, row {number}: no {', '.join(missing)}")
        seen: dict[tuple[Any, ...], int] = {}
        for number, row in enumerate(self.table):
            first = seen.setdefault(tuple(row[column] for column in _KEY), number)
            if first != number:
                raise InvalidInput(f"table, rows {first} and {number}: the same figure twice")
        suites = {str(row["suite"]) for row in self.table}
        if len(suites) > 1:
            raise InvalidInput(f"one suite a report expected, got {', '.join(sorted(suites))}")
