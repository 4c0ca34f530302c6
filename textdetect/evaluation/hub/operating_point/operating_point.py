"""How good a frozen threshold is, and at whose expense; a module for `evaluate.load`.

It knows nothing of accounts, so it gives no intervals; see `textdetect.intervals`.
"""

from __future__ import annotations

from typing import Any

from textdetect._optional import require
from textdetect.metrics import accuracy, macro_f1, predictive_value, rates

datasets, evaluate = (require(name, extra="train") for name in ("datasets", "evaluate"))


class OperatingPoint(evaluate.Metric):  # type: ignore[misc, name-defined]
    """TPR, FPR, accuracy and macro-F1 at a frozen threshold, and what a flag is then worth.

    Predictions: scores, higher = more machine-like, shape (n,). References: 0 human, 1
    machine, shape (n,). `threshold`: on their scale.
    """

    def _info(self) -> Any:
        columns = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description=OperatingPoint.__doc__, citation="", features=datasets.Features(columns)
        )

    def _compute(self, predictions: Any, references: Any, *, threshold: float) -> dict[str, float]:
        at = rates(references, predictions, threshold=threshold)
        worth = predictive_value(at.tpr, at.fpr)
        return {
            "tpr": at.tpr,
            "fpr": at.fpr,
            "accuracy": accuracy(references, predictions, threshold=threshold),
            "macro_f1": macro_f1(references, predictions, threshold=threshold),
        } | {f"ppv_at_base_rate_{rate:g}": value for rate, value in worth.items()}
