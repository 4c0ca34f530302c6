"""Many tests at once → q-values: bounds on the share of false discoveries.

It does not know where the p-values or the permuted worlds come from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return q-values: the smallest false-discovery rate at which each would be flagged.

    Benjamini and Hochberg, "Controlling the false discovery rate", Journal of the Royal
    Statistical Society B 57, 1995.

    NaN stays NaN and is no test.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, float("nan")]).round(3).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    q = np.full(p.shape, np.nan)
    q[order] = _step_up(p[order] * len(order) / np.arange(1, len(order) + 1))
    return q


def max_p_value(value: float, null_maxima: NDArray[np.float64]) -> float:
    """Give (1 + worlds whose maximum is at least `value`) / (1 + worlds).

    Phipson and Smyth, "Permutation p-values should never be zero", Statistical Applications in
    Genetics and Molecular Biology 9, 2010. Taken from the maximum, it holds for all of a list.

    >>> max_p_value(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    return float((1 + np.sum(null_maxima >= value)) / (1 + len(null_maxima)))


def list_q_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the q-values of a list of campaigns, strongest first: p over rank, never falling.

    >>> list_q_values(np.array([0.05, 0.05])).tolist()
    [0.025, 0.025]
    """
    return _step_up(p_values / np.arange(1, len(p_values) + 1))


def empirical_q_values(
    scores: NDArray[np.float64], null_scores: NDArray[np.float64], n_worlds: int
) -> NDArray[np.float64]:
    """Give each score's q-value: how many a world has by chance, over how many there are.

    The number by chance counts the observed world as one of them: (1 + #{null ≥ s}) / (1 + worlds).
    A score of 0 has the q-value 1.

    Args:
        scores: of all accounts, ≥ 0.
        null_scores: the positive scores of all permuted worlds, pooled.
        n_worlds: how many worlds these are.

    >>> empirical_q_values(np.array([5.0, 4.0, 0.0]), np.array([4.5]), 19).tolist()
    [0.05, 0.05, 1.0]
    """
    pooled = np.sort(null_scores)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    above = 1 + len(pooled) - np.searchsorted(pooled, ranked, side="left")
    n_at_least = np.searchsorted(-ranked, -ranked, side="right")
    rate = np.where(ranked > 0, above / (1 + n_worlds) / n_at_least, 1.0)
    q_values = np.ones(len(scores))
    q_values[order] = _step_up(rate)
    return np.where(scores > 0, q_values, 1.0)


def _step_up(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring rates, strongest first, to at most 1 and to at most those of the weaker ones."""
    return np.asarray(np.minimum(1.0, np.minimum.accumulate(rates[::-1])[::-1]), dtype=np.float64)
