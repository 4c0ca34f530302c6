"""How far probabilities can be taken at their word; a module for `evaluate.load`.

It knows nothing of accounts, so it gives no intervals; see `textdetect.intervals`.
"""

from __future__ import annotations

from typing import Any

from textdetect._optional import require
from textdetect.metrics import brier, ece

datasets, evaluate = (require(name, extra="train") for name in ("datasets", "evaluate"))


class Reliability(evaluate.Metric):  # type: ignore[misc, name-defined]
    """Brier score, and expected calibration error in bins of equal width.

    Predictions: probabilities of machine, in [0, 1], shape (n,). References: 0 human, 1
    machine, shape (n,). `n_bins`: at least 1.
    """

    def _info(self) -> Any:
        columns = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description=Reliability.__doc__, citation="", features=datasets.Features(columns)
        )

    def _compute(self, predictions: Any, references: Any, *, n_bins: int = 15) -> dict[str, float]:
        return {
            "brier": brier(references, predictions),
            "ece": ece(references, predictions, n_bins=n_bins),
        }
