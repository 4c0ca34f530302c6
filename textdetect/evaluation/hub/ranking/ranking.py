"""How well scores rank machine posts above human ones; a module for `evaluate.load`.

It knows nothing of accounts, so it gives no intervals; see `textdetect.intervals`.
"""

from __future__ import annotations

from typing import Any

from textdetect._optional import require
from textdetect.metrics import auroc, average_precision, tpr_at_fpr

datasets, evaluate = (require(name, extra="train") for name in ("datasets", "evaluate"))


class Ranking(evaluate.Metric):  # type: ignore[misc, name-defined]
    """AUROC, average precision, and the share of machine posts found at a false-positive rate.

    Predictions: scores, higher = more machine-like, shape (n,). References: 0 human, 1
    machine, shape (n,). `max_fpr`: in [0, 1].
    """

    def _info(self) -> Any:
        columns = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description=Ranking.__doc__, citation="", features=datasets.Features(columns)
        )

    def _compute(
        self, predictions: Any, references: Any, *, max_fpr: float = 0.01
    ) -> dict[str, float]:
        return {
            "auroc": auroc(references, predictions),
            "average_precision": average_precision(references, predictions),
            "tpr_at_fpr": tpr_at_fpr(references, predictions, max_fpr),
            "max_fpr": max_fpr,
        }
