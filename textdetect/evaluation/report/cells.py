"""A figure → the text of a table's cell; it knows metrics' names and units, and no layout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from textdetect.evaluation.report.results import Row

METRICS: Final = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "tpr_at_0.1%": "TPR at 0.1 % FPR",
    "tpr_at_1%": "TPR at 1 % FPR",
    "tpr_at_5%": "TPR at 5 % FPR",
    "tpr": "TPR at the frozen threshold",
    "fpr": "FPR at the frozen threshold",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "answered": "Answered",
    "selective_accuracy": "Accuracy where answered",
    "brier": "Brier score",
    "ece": "Expected calibration error",
    "ppv_at_0.1%": "Right among the flagged, if 0.1 % are machines",
    "ppv_at_1%": "Right among the flagged, if 1 % are machines",
    "ppv_at_10%": "Right among the flagged, if 10 % are machines",
    "auroc_lost": "AUROC lost",
    "newly_flagged": "Humans newly flagged",
    "flagged": "Flagged",
}
"""Every metric that has a name in words, in the order of the page; others keep their own."""
_PLAIN: Final = {"auroc", "average_precision", "macro_f1", "brier", "ece", "auroc_lost"}


@dataclass(frozen=True)
class Cell:
    """What is written of a figure: with its unit and its interval, or "–" and why there is none.

    The numbers are finite, or None; counts are "1,234", or "".
    """

    text: str
    detail: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: str = ""
    n_clusters: str = ""
    notes: tuple[str, ...] = ()


def cell(row: Row, *, difference: bool = False) -> Cell:
    """Write a figure; one that is missing (an empty row) or no number is a dash with the reason.

    >>> cell({"metric": "auroc", "value": 0.9999, "low": 0.98, "high": 1.0}).text
    '>0.999'
    >>> cell({"metric": "auroc", "value": float("nan"), "note": "one class"}).detail
    'one class'
    """
    if not row:
        return Cell("–", "not measured")
    value, low, high = (finite(row.get(name)) for name in ("value", "low", "high"))
    n, n_clusters = (count(row.get(name)) for name in ("n", "n_clusters"))
    notes = tuple(note.strip() for note in str(row.get("note") or "").split(";") if note.strip())
    if value is None:
        why = "; ".join(notes) or "no reason given"
        return Cell("–", why, None, None, None, n, n_clusters, notes)
    percent = row["metric"] in METRICS and row["metric"] not in _PLAIN
    unit = "" if not percent else "\u00a0points" if difference else "\u00a0%"
    detail = "no interval"
    if low is not None and high is not None:
        ends = [_rounded(end, percent, difference) for end in (low, high)]
        detail = (" to " if difference or low < 0 else "–").join(ends)
    return Cell(
        _rounded(value, percent, difference) + unit, detail, value, low, high, n, n_clusters, notes
    )


def finite(value: Any) -> float | None:
    """Give a finite number as a float, and None for all else."""
    number = isinstance(value, (int, float)) or hasattr(value, "__float__")
    return float(value) if number and math.isfinite(value) else None


def count(value: Any) -> str:
    """Write a count with commas; nothing for one that is missing."""
    number = finite(value)
    return "" if number is None else f"{number:,.0f}"


def rate(value: float) -> str:
    """Write a rate that someone chose: all its digits, and no more.

    >>> rate(0.01)
    '1\\xa0%'
    """
    return f"{100 * value:g}\u00a0%"


def p_text(value: Any) -> str:
    """Write a p-value."""
    number = finite(value)
    return "–" if number is None else "<0.001" if number < 0.001 else f"{number:.3f}"


def _rounded(value: float, percent: bool, signed: bool) -> str:
    """Round, but write 0 and 1 (100 %) only of what is just that."""
    whole = 100 if percent else 1
    value *= whole
    digits = 3 if not percent else 2 if abs(value) < 10 else 1
    step: float = 10**-digits
    if value == 0:
        return "0"
    if not signed and 0 < value < step / 2:
        return f"<{step:.{digits}f}"
    if not signed and whole - step / 2 <= value < whole:
        return f">{whole - step:.{digits}f}"
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}".replace("-", "−")
