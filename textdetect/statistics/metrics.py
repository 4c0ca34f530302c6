"""Figures about scores: arrays in, numbers out; it knows nothing of models or data.

`score` is higher for more machine-like; a score at a threshold counts as machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textdetect.errors import InvalidInput

BASE_RATES: Final = (0.001, 0.01, 0.1)
"""Shares of machine posts in a stream, at which a flag's worth is stated."""
FEWEST_OF_A_GENRE: Final = 20
"""Posts of each class with which a genre has an AUROC worth averaging."""


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: how often a machine post outscores a human one, ties by half.

    Args:
        labels: 0 human, 1 machine; shape (n,).
        scores: higher = more machine-like; shape (n,); finite.

    Raises:
        InvalidInput: one class only, other labels, a score that is not finite, or unequal lengths.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return float(weighted_auroc(labels, scores, np.ones(np.shape(scores)))[0])


def auroc_within(labels: NDArray[Any], scores: NDArray[np.float64], genres: NDArray[Any]) -> float:
    """Give the AUROC of posts ranked against posts of their own genre; NaN where none has both.

    A mean over the genres with at least `FEWEST_OF_A_GENRE` of each class, each weighing as many as
    its smaller class has: telling genres apart counts for nothing.

    >>> y, genre = np.tile([0, 1], 50), np.repeat(["tweet", "review"], 50)
    >>> float(auroc_within(y, y + (genre == "review"), genre))
    1.0
    >>> float(auroc_within(y, y * 1.0, np.where(y, "tweet", "review")))
    nan
    """
    areas, weights = [], []
    for genre in sorted(set(genres)):
        rows = genres == genre
        smaller = int(min(np.sum(labels[rows] == 0), np.sum(labels[rows] == 1)))
        if smaller >= FEWEST_OF_A_GENRE:
            areas.append(auroc(labels[rows], scores[rows]))
            weights.append(smaller)
    return float(np.average(areas, weights=weights)) if areas else float("nan")


def tpr_at_fpr(labels: ArrayLike, scores: ArrayLike, max_fpr: float) -> float:
    """Share of machine posts above the lowest threshold that flags at most `max_fpr` of humans.

    >>> tpr_at_fpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.0)
    0.5
    """
    weights = np.ones(np.shape(scores))
    return float(weighted_tpr_at_fpr(labels, scores, weights, max_fpr=max_fpr)[0])


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Compute `auroc` once for each row of weights, as for the resamples of a bootstrap.

    Weights say how often each post counts: ≥ 0, shape (n_rows, n) or (n,). A row that leaves one
    class only gives NaN.

    >>> weighted_auroc([0, 0, 1], [0.1, 0.4, 0.3], [[1, 1, 1], [2, 0, 1]]).tolist()
    [0.5, 1.0]
    """
    machine, human = _by_score(labels, scores, weights)
    above = machine.cumsum(axis=1) - machine / 2
    return np.asarray((above * human).sum(axis=1) / (machine.sum(axis=1) * human.sum(axis=1)))


def weighted_average_precision(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike
) -> NDArray[np.float64]:
    """Average the precision over the machine posts, for each row of weights (see `weighted_auroc`).

    Σ (Rₖ − Rₖ₋₁) Pₖ over the distinct scores, without the interpolation that flatters (Davis &
    Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006). It depends on
    the share of machine posts in the sample.

    >>> weighted_average_precision([0, 1], [0.2, 0.1], [[1, 1], [3, 1]]).tolist()
    [0.5, 0.25]
    """
    machine, human = _by_score(labels, scores, weights)
    found = machine.cumsum(axis=1)
    flagged = found + human.cumsum(axis=1)
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    return np.asarray((precision * machine).sum(axis=1) / machine.sum(axis=1))


def weighted_tpr_at_fpr(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike, *, max_fpr: float
) -> NDArray[np.float64]:
    """Compute `tpr_at_fpr` once for each row of weights; see `weighted_auroc`.

    >>> weighted_tpr_at_fpr([0, 1, 1], [0.2, 0.1, 0.3], [1, 1, 3], max_fpr=0.01).tolist()
    [0.75]
    """
    if not 0 <= max_fpr <= 1:
        raise InvalidInput(f"max_fpr must be in [0, 1], got {max_fpr}")
    machine, human = _by_score(labels, scores, weights)
    n_allowed = np.floor(max_fpr * human.sum(axis=1, keepdims=True) + 1e-9)
    kept = human.cumsum(axis=1) <= n_allowed
    return np.asarray((machine * kept).sum(axis=1) / machine.sum(axis=1))


def accuracy(labels: ArrayLike, scores: ArrayLike, *, threshold: float = 0.0) -> float:
    """Share of posts on the right side of a frozen `threshold`; NaN where there are no posts.

    One class will do here; a threshold that is NaN is refused.

    >>> accuracy([0, 1], [-1.0, 2.0])
    1.0
    """
    y, s = _columns(labels, scores, both=False)
    return _mean(_flags(s, threshold) == (y == 1))


def macro_f1(labels: ArrayLike, scores: ArrayLike, *, threshold: float) -> float:
    """Average the F1 of the two classes at a frozen `threshold`, each counting half.

    F1 of a class is 2 TP / (2 TP + FP + FN); it is 0 for a class that is never given.

    >>> round(macro_f1([0, 0, 1, 1], [-2.0, 1.0, 1.0, 2.0], threshold=0.0), 4)
    0.7333
    """
    y, s = _columns(labels, scores)
    flagged = _flags(s, threshold)
    classes = ((y == 1, flagged), (y == 0, ~flagged))
    f1 = [2 * np.sum(true & given) / (np.sum(true) + np.sum(given)) for true, given in classes]
    return float(np.mean(f1))


def predictive_value(
    tpr: float, fpr: float, *, base_rates: Iterable[float] = BASE_RATES
) -> dict[float, float]:
    """Share of flags that are right, by the share π of machine posts in the stream.

    Bayes' rule, PPV = π TPR / (π TPR + (1 − π) FPR): at a low base rate most flags are false
    however good the detector (Axelsson, "The base-rate fallacy and the difficulty of intrusion
    detection", ACM TISSEC 3, 2000). An FPR of 0 among few humans is not 0: give the
    upper end of its interval.

    A base rate has NaN where nothing is ever flagged; a rate outside [0, 1] is refused.

    >>> {rate: round(ppv, 3) for rate, ppv in predictive_value(0.8, 0.01).items()}
    {0.001: 0.074, 0.01: 0.447, 0.1: 0.899}
    """
    rates = tuple(base_rates)
    if not all(0 <= rate <= 1 for rate in (tpr, fpr, *rates)):
        raise InvalidInput(f"rates must be in [0, 1], got {tpr=}, {fpr=}, base_rates={rates}")
    flagged = {rate: rate * tpr + (1 - rate) * fpr for rate in rates}
    return {r: r * tpr / flagged[r] if flagged[r] else float("nan") for r in rates}


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Average the squared distance of the probabilities from the labels; 0 is best.

    The two-class form, in [0, 1]: half of what Brier wrote ("Verification of forecasts expressed
    in terms of probability", Monthly Weather Review 78, 1950). Labels and errors as for
    `accuracy`; probabilities outside [0, 1] are refused too.

    >>> brier([0, 1], [0.5, 1.0])
    0.125
    """
    y, p = _probabilities(labels, probabilities)
    return _mean((p - y) ** 2)


def ece(labels: ArrayLike, probabilities: ArrayLike, *, n_bins: int = 15) -> float:
    """Average the gap, bin by bin, between the mean probability and the share of machine posts.

    The expected calibration error of the probability of "machine": Σ |Bₘ|/n · |ō(Bₘ) − p̄(Bₘ)|
    over bins of equal width, (0, 1/15] … (14/15, 1], with 0 in the first (Guo et al., "On
    calibration of modern neural networks", ICML 2017, equation 3). It is biased upwards where bins
    hold few posts. Arguments, range and errors as for `brier`; `n_bins` ≥ 1.

    >>> round(ece([0, 1, 1, 1], [0.3, 0.3, 0.9, 0.9]), 4)
    0.15
    """
    y, p = _probabilities(labels, probabilities)
    if n_bins < 1:
        raise InvalidInput(f"n_bins must be at least 1, got {n_bins}")
    bins = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], p)
    gaps = np.abs(np.bincount(bins, weights=y - p))
    return float(gaps.sum() / len(y)) if len(y) else float("nan")


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


def _probabilities(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    y, p = _columns(labels, probabilities, both=False)
    if ((p < 0) | (p > 1)).any():
        raise InvalidInput("probabilities must be in [0, 1]; these look like scores or logits")
    return y, p


def _by_score(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the weights of machine and of human posts at each distinct score, highest first.

    Both have shape (n_rows, n_scores). A row of weights that leaves one class only is all NaN.
    """
    y, s = _columns(labels, scores)
    w = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if w.ndim != 2 or w.shape[1] != len(s) or not (np.isfinite(w) & (w >= 0)).all():
        raise InvalidInput(f"weights ≥ 0 of shape (rows, {len(s)}) expected, got {w.shape}")
    order = np.argsort(-s, kind="stable")
    y, s, w = y[order], s[order], w[:, order]
    first = np.flatnonzero(np.append(True, s[1:] != s[:-1]))
    machine = np.add.reduceat(w * y, first, axis=1)
    human = np.add.reduceat(w * (1 - y), first, axis=1)
    lacking = ~(machine.any(axis=1) & human.any(axis=1))
    machine[lacking] = human[lacking] = np.nan
    return machine, human


def _flags(scores: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    if np.isnan(threshold):
        raise InvalidInput("a threshold is needed, got NaN")
    return scores >= threshold


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
