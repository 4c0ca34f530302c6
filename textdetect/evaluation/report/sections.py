"""Results → what the page's template asks for: names, cells and charts; it knows no HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import textdetect.evaluation.report.charts as charts
from textdetect.errors import InvalidInput
from textdetect.evaluation.report.cells import METRICS, Cell, cell, count, finite, p_text, rate
from textdetect.evaluation.report.results import Results, Row

SECTIONS: Final = {
    "summary": "Summary",
    "roc": "ROC curves",
    "reliability": "Reliability",
    "length": "Found, by length",
    "attacks": "Under attack",
    "groups": "Humans flagged, by group",
    "comparisons": "Comparisons",
    "figures": "All figures",
    "slices": "Slices",
    "errors": "Worst errors",
    "again": "How to make it again",
    "caution": "What a flag is, and isn’t",
}
"""Each section's id and heading, in the order of the page."""
SLICED: Final = ("fpr", "tpr", "auroc", "tpr_at_1%", "answered")
"""The figures that the table of slices has: its columns, after the slice and the detector."""
_HEADING: Final = {"title", "description", "part", "looks", "max_fpr", "level", "date", "command"}
_LEAST_FPR: Final = 1e-4  # where the log axis of the groups begins


class Figures:
    """The figures of the part that is shown, found by what they are about.

    Detectors, slices and attacks are in the order of the rows, without "all" and "none"; `attacked`
    is the slice that attacks were measured on, `comparisons` the rows of two detectors.
    """

    def __init__(self, results: Results) -> None:
        self.parts = sorted({str(row["part"]) for row in results.table})
        self.part = str(results.facts.get("part") or (self.parts or [""])[0])
        rows = [row for row in results.table if row["part"] == self.part]
        if not rows:
            raise InvalidInput(f"no figures of the part {self.part!r}; parts: {self.parts}")
        names = dict.fromkeys(row["detector"] for row in rows)
        pairs = {f"{a} - {b}" for a in names for b in names}
        self.comparisons = [r for r in rows if r["detector"] in pairs]
        alone = [r for r in rows if r["detector"] not in pairs]
        self._rows = {(r["detector"], r["metric"], r["slice"], r["attack"]): r for r in alone}
        self.detectors = [name for name in names if name not in pairs]
        self.slices = list(dict.fromkeys(r["slice"] for r in alone if r["slice"] != "all"))
        under = [row for row in alone if row["attack"] != "none"]
        self.attacks = list(dict.fromkeys(row["attack"] for row in under))
        self.attacked = under[0]["slice"] if under else "all"

    def row(self, detector: str, metric: str, where: str = "all", attack: str = "none") -> Row:
        """Give a row, or an empty one."""
        return self._rows.get((detector, metric, where, attack), {})

    def cell(self, detector: str, metric: str, where: str = "all", attack: str = "none") -> Cell:
        """Give a row's cell."""
        return cell(self.row(detector, metric, where, attack))

    def any(self, metrics: Iterable[str], where: str = "all", attack: str = "none") -> bool:
        """Tell whether any detector has one of the figures."""
        return any(self.row(d, m, where, attack) for d in self.detectors for m in metrics)


def page(results: Results) -> dict[str, Any]:
    """Give all that the template shows; see `report.render` for what is refused."""
    figures, facts = Figures(results), results.facts
    promise, looks = finite(facts.get("max_fpr")), finite(facts.get("looks"))
    metrics = {row["metric"]: row["metric"] for row in results.table} | METRICS
    known = [*METRICS, *(name for name in metrics if name not in METRICS)]
    return {
        "title": str(facts.get("title") or results.table[0]["suite"]),
        "description": str(facts.get("description") or ""),
        "date": str(facts.get("date") or ""),
        "looks": None if looks is None else f"{looks:.0f} time{'s' * (looks != 1)}",
        "figures": figures,
        "metrics": {name: metrics[name] for name in known if figures.any([name])},
        "promise": None if promise is None else rate(promise),
        "level": rate(finite(facts.get("level")) or 0.95),
        "verdict": lambda fpr: _verdict(fpr, promise),
        "length": _lengths(figures),
        "attacks": _attacks(figures),
        "groups": {name: _groups(figures, name) for name in figures.detectors},
        "at": lambda value: None if value is None else _on_log_axis(value),
        "line": -9 if promise is None else _on_log_axis(promise),
        "names": METRICS,
        "cell": cell,
        "p_text": p_text,
        "sure": lambda row: (p := finite(row.get("p_holm"))) is not None and p <= 0.05,
        "slices": _slices(figures),
        "errors": results.errors,
        "texts": any(row.get("text") is not None for row in results.errors),
        "command": str(facts.get("command") or ""),
        "facts": list(_flat({k: v for k, v in facts.items() if k not in _HEADING})),
        "caution": results.caution,
    } | _curves(results, figures)


def _verdict(fpr: Cell, promise: float | None) -> str:
    """Say whether the interval of a false-positive rate keeps to the promise."""
    if promise is None or fpr.low is None or fpr.high is None:
        return "can’t be told"
    if fpr.low > promise:
        return "broken"
    return "kept" if fpr.high <= promise else "not settled"


def _curves(results: Results, figures: Figures) -> dict[str, str | None]:
    """Draw the kinds of curve that were given: kind → SVG."""
    points: dict[str, dict[int, list[charts.Point]]] = {"roc": {}, "reliability": {}}
    for number, row in enumerate(results.curves):
        x, y, n = (finite(row.get(name)) for name in ("x", "y", "n"))
        if row["kind"] not in points or row["detector"] not in figures.detectors:
            raise InvalidInput(f"curves, row {number}: another kind, or a detector without figures")
        if x is None or y is None or n is None:
            raise InvalidInput(f"curves, row {number}: x, y and n must be finite numbers")
        place = figures.detectors.index(row["detector"])
        points[row["kind"]].setdefault(place, []).append((x, y, n))
    frozen = {}
    for place, name in enumerate(figures.detectors):
        fpr, tpr = (figures.cell(name, metric).value for metric in ("fpr", "tpr"))
        if fpr is not None and tpr is not None:
            frozen[place] = (fpr, tpr)
    roc, reliability = points["roc"], points["reliability"]
    return {
        "roc": charts.roc(roc, frozen) if roc else None,
        "reliability": charts.reliability(reliability) if reliability else None,
    }


def _lengths(figures: Figures) -> dict[str, Any] | None:
    bins = [where for where in figures.slices if where.startswith("length=")]
    bins.sort(key=lambda where: [int(digits) for digits in re.findall(r"\d+", where)[:2]])
    if not any(figures.any(["tpr"], where) for where in bins):
        return None
    cells = [[figures.cell(name, "tpr", where) for where in bins] for name in figures.detectors]
    labels = [where.partition("=")[2] for where in bins]
    return {"svg": charts.by_length(labels, cells), "bins": dict(zip(bins, labels, strict=True))}


def _attacks(figures: Figures) -> list[dict[str, Any]]:
    """Attack × (detector, figure) as cells, the worst first; shades from 0 to 100 at the most."""
    metrics, rows, most = ("auroc_lost", "newly_flagged"), [], [1e-9, 1e-9]
    columns = [(name, metric) for name in figures.detectors for metric in metrics]
    for attack in figures.attacks:
        if figures.any(metrics, figures.attacked, attack):
            cells = [figures.cell(*column, figures.attacked, attack) for column in columns]
            values = [max(c.value or 0.0, 0.0) for c in cells]
            most = [max(most[i], *values[i::2]) for i in (0, 1)]
            seen = any("seen family" in c.notes for c in cells)
            rows.append({"name": attack, "cells": cells, "seen": seen, "values": values})
    for row in rows:
        row["shades"] = [round(100 * value / most[i % 2]) for i, value in enumerate(row["values"])]
    rows.sort(key=lambda row: (row["name"] != "worst_of_k", -max(row["values"][::2])))
    return rows


def _groups(figures: Figures, detector: str) -> dict[str, Cell]:
    """Group → its humans flagged, the highest upper end first; generators are no humans."""
    cells = {
        where: figures.cell(detector, "fpr", where)
        for where in figures.slices
        if figures.row(detector, "fpr", where)
        and not where.startswith("generator=")
        and where != figures.attacked
    }
    by_end = sorted(cells.items(), key=lambda item: -1 if (e := item[1].high) is None else e)
    return dict(reversed(by_end))


def _on_log_axis(fpr: float) -> float:
    """Place a rate between 0.01 % (0; or 2, so that a mark there shows whole) and 100 % (100)."""
    return max(round(100 * (1 - math.log(max(fpr, _LEAST_FPR)) / math.log(_LEAST_FPR)), 2), 2.0)


def _slices(figures: Figures) -> dict[str, list[dict[str, Any]]]:
    """Kind of slice → its rows, one a value and detector."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for where in figures.slices:
        kind, _, value = str(where).partition("=")
        for place, name in enumerate(figures.detectors):
            cells = [figures.cell(name, metric, where) for metric in SLICED]
            notes = dict.fromkeys(note for c in cells for note in c.notes)
            n = max((finite(figures.row(name, m, where).get("n")) or 0) for m in SLICED)
            found = {"name": value or kind, "detector": name, "n": count(n), "notes": list(notes)}
            if any(figures.row(name, metric, where) for metric in SLICED):
                kinds.setdefault(kind, []).append(found | {"cells": cells, "place": place})
    return kinds


def _flat(facts: Mapping[Any, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """List nested facts as names and values, one line each."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} › ")
        elif isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", ", ".join(map(str, value)) or "none"
        else:
            yield f"{prefix}{name}", "–" if value is None else str(value)
