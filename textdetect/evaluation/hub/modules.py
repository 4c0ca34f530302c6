"""The modules themselves: scores and labels in, the figures of `textdetect.metrics` out.

They know nothing of accounts, so they give no intervals; see `textdetect.intervals`.
"""

from __future__ import annotations

from typing import Any

from textdetect._optional import require
from textdetect.metrics import (
    accuracy,
    auroc,
    average_precision,
    brier,
    ece,
    macro_f1,
    predictive_value,
    rates,
    tpr_at_fpr,
)

datasets, evaluate = (require(name, extra="train") for name in ("datasets", "evaluate"))


class _Module(evaluate.Metric):  # type: ignore[misc, name-defined]
    """Predictions are float64, references 0 human and 1 machine; both of shape (n,)."""

    def _info(self) -> Any:
        columns = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description=self.__doc__, citation="", features=datasets.Features(columns)
        )


class Ranking(_Module):
    """AUROC, average precision, and the share of machine posts found at a false-positive rate.

    Predictions: scores, higher = more machine-like, shape (n,). References: 0 human, 1
    machine, shape (n,). `max_fpr`: in [0, 1].
    """

    def _compute(
        self, predictions: Any, references: Any, *, max_fpr: float = 0.01
    ) -> dict[str, float]:
        return {
            "auroc": auroc(references, predictions),
            "average_precision": average_precision(references, predictions),
            "tpr_at_fpr": tpr_at_fpr(references, predictions, max_fpr),
            "max_fpr": max_fpr,
        }


class OperatingPoint(_Module):
    """TPR, FPR, accuracy and macro-F1 at a frozen threshold, and what a flag is then worth.

    Predictions: scores, higher = more machine-like, shape (n,). References: 0 human, 1
    machine, shape (n,). `threshold`: on their scale.
    """

    def _compute(self, predictions: Any, references: Any, *, threshold: float) -> dict[str, float]:
        at = rates(references, predictions, threshold=threshold)
        worth = predictive_value(at.tpr, at.fpr)
        return {
            "tpr": at.tpr,
            "fpr": at.fpr,
            "accuracy": accuracy(references, predictions, threshold=threshold),
            "macro_f1": macro_f1(references, predictions, threshold=threshold),
        } | {f"ppv_at_base_rate_{rate:g}": value for rate, value in worth.items()}


class Reliability(_Module):
    """Brier score, and expected calibration error in bins of equal width.

    Predictions: probabilities of machine, in [0, 1], shape (n,). References: 0 human, 1
    machine, shape (n,). `n_bins`: at least 1.
    """

    def _compute(self, predictions: Any, references: Any, *, n_bins: int = 15) -> dict[str, float]:
        return {
            "brier": brier(references, predictions),
            "ece": ece(references, predictions, n_bins=n_bins),
        }
