"""Figures about scores: arrays in, numbers out; it knows nothing of models or data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textdetect.errors import InvalidInput


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: how often a machine post outscores a human one, ties by half.

    Args:
        labels: 0 human, 1 machine; shape (n,).
        scores: higher = more machine-like; shape (n,); finite.

    Returns:
        A number in [0, 1].

    Raises:
        InvalidInput: one class only, a score that is not finite, or different lengths.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    y, s = _columns(labels, scores)
    _, inverse, counts = np.unique(s, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2.0)[inverse]
    n_machine, n_human = int(y.sum()), int(len(y) - y.sum())
    return float((ranks[y == 1].sum() - n_machine * (n_machine + 1) / 2) / (n_machine * n_human))


def tpr_at_fpr(labels: ArrayLike, scores: ArrayLike, max_fpr: float) -> float:
    """Share of machine posts above the lowest threshold that flags at most `max_fpr` of humans.

    Raises:
        InvalidInput: as `auroc`, or `max_fpr` is not in [0, 1].

    >>> tpr_at_fpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.0)
    0.5
    """
    y, s = _columns(labels, scores)
    if not 0 <= max_fpr <= 1:
        raise InvalidInput(f"max_fpr must be in [0, 1], got {max_fpr}")
    human = np.sort(s[y == 0])[::-1]
    n_allowed = int(np.floor(max_fpr * len(human) + 1e-9))
    threshold = human[n_allowed] if n_allowed < len(human) else -np.inf
    return float(np.mean(s[y == 1] > threshold))


def accuracy(labels: ArrayLike, scores: ArrayLike, *, threshold: float = 0.0) -> float:
    """Share of posts on the right side of `threshold`; a score at it counts as machine.

    NaN where there are no posts.

    >>> accuracy([0, 1], [-1.0, 2.0])
    1.0
    """
    y, s = _columns(labels, scores, both=False)
    return float(np.mean((s >= threshold) == (y == 1))) if len(y) else float("nan")


def _columns(
    labels: ArrayLike, scores: ArrayLike, *, both: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1:
        raise InvalidInput(f"labels and scores of one length expected, got {y.shape} and {s.shape}")
    if not np.isfinite(s).all():
        raise InvalidInput("scores must be finite; leave out empty posts first")
    if not np.isin(y, (0, 1)).all():
        raise InvalidInput("labels must be 0 (human) or 1 (machine)")
    if both and len(np.unique(y)) < 2:
        raise InvalidInput("posts of both classes are needed, labelled 0 and 1")
    return y.astype(np.int64), s
