"""How sure a figure is: posts of one account are alike, so accounts are counted, not posts.

It knows nothing of detectors. A cluster is an account, a thread or a group of near-copies:
whatever was sampled as one. With fewer than about 50 clusters every interval here is hopeful; how
often each covers in simulations stands in docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput

Weighted = Callable[[ArrayLike, ArrayLike, NDArray[np.float64]], NDArray[np.float64]]
"""A figure for each row of weights, as `metrics.weighted_auroc`; see `one_by_one` for others."""

_MIN_EVENTFUL: Final = 10  # clusters with an event, below which a design effect is mostly noise
_MIN_OF_CLASS: Final = 3  # clusters that hold a class, or of one kind, to be resampled
_CHUNK: Final = 2**20  # weights in memory at once
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, the ends of its interval (NaN where nothing tells the spread), posts and clusters.

    `n_clusters` counts the accounts or groups among the n posts; n where these are independent. A
    difference alone has a p-value, the two-sided one of there being none, in [0, 1]. It is below
    1 − level where the interval leaves out 0, and NaN where every resample gives one difference
    that is not 0.
    """

    value: float
    low: float
    high: float
    n: int
    n_clusters: int
    p_value: float | None = None


def clopper_pearson(n_events: float, n: float, *, level: float = 0.95) -> tuple[float, float]:
    """Bound a proportion of independent posts exactly: coverage is `level` or more.

    Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26, 1934. Zero events among n still leave 1 − (α/2)^(1/n) above.

    Args:
        n_events: in [0, n], n > 0; need not be whole, as an effective count is not.
        level: in (0, 1), here and below.

    Raises:
        InvalidInput: an argument out of range.
        MissingDependency: scipy is not installed; so it is of all intervals here.

    >>> low, high = clopper_pearson(0, 300)
    >>> low, round(high, 4)
    (0.0, 0.0122)
    """
    if not (0 < n < np.inf and 0 <= n_events <= n):
        raise InvalidInput(f"0 ≤ n_events ≤ n and n > 0 expected, got {n_events} of {n}")
    beta, tail = require("scipy.stats", extra="train").beta, _tail(level)
    low = beta.ppf(tail, n_events, n - n_events + 1) if n_events > 0 else 0.0
    high = beta.ppf(1 - tail, n_events + 1, n - n_events) if n_events < n else 1.0
    return float(low), float(high)


def proportion(
    events: ArrayLike, *, clusters: Iterable[object] | None = None, level: float = 0.95
) -> Interval:
    """Bound a share of posts: of humans flagged (FPR), of machines found (TPR), of right answers.

    Independent posts get the exact interval. Clustered ones get it for their effective number,
    n* = p(1 − p) / V̂, with the variance V̂ between clusters and the correction for its degrees of
    freedom; never more than n (Korn & Graubard, "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data", Survey Methodology 24, 1998).
    Where fewer than 10 clusters have an event, or lack one, V̂ says little, so a cluster counts as
    one post there, at most: n* = (Σm)² / Σm², with Kish's design effect for clusters of m posts
    that all agree ("Survey sampling", 1965).

    Args:
        events: bool, or 0 and 1; shape (n,), n ≥ 1.
        clusters: the account of each post, hashable; None: the posts are independent.

    Raises:
        InvalidInput: other events, a missing or a single cluster, different lengths.

    >>> alone = proportion([0] * 60)
    >>> alone.low, round(alone.high, 3), alone.n_clusters
    (0.0, 0.06, 60)
    >>> round(proportion([0] * 60, clusters=[i // 3 for i in range(60)]).high, 3)
    0.183
    """
    x = np.asarray(events)
    if x.ndim != 1 or not len(x) or not np.isin(x, (0, 1)).all():
        raise InvalidInput(f"events 0 or 1 of shape (n,) expected, n ≥ 1, got shape {x.shape}")
    n, p = len(x), float(np.mean(x))
    sizes = np.ones(n) if clusters is None else np.bincount(_codes(clusters, n))
    n_clusters, n_effective = len(sizes), float(n)
    if clusters is not None and n_clusters < n:
        t = require("scipy.stats", extra="train").t
        in_cluster = np.bincount(_codes(clusters, n), weights=x)
        eventful = min(np.sum(in_cluster > 0), np.sum(in_cluster < sizes))
        kish = n**2 / float(np.sum(sizes**2))
        spread = float(np.sum((in_cluster - p * sizes) ** 2))
        variance = n_clusters / (n_clusters - 1) * spread / n**2
        n_effective = min(n, p * (1 - p) / variance) if variance > 0 else n
        if eventful < _MIN_EVENTFUL:
            n_effective = min(n_effective, kish)
        quantiles = t.ppf(_tail(level), [n - 1, n_clusters - 1])
        n_effective *= float(quantiles[0] / quantiles[1]) ** 2
    low, high = clopper_pearson(p * n_effective, n_effective, level=level)
    return Interval(p, low, high, n, n_clusters)


def cluster_bootstrap(
    metric: Weighted,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    clusters: Iterable[object],
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Bound a figure in [0, 1] by resampling whole clusters, with all their posts.

    logit θ ± t √(m / (m − 1)) s*, turned back, with s* the standard deviation of the resamples'
    logits: near 1 a figure is skewed, and its logit less so (Pepe, "The statistical evaluation of
    medical tests", 2003, chapter 5, for the AUROC; Efron & Tibshirani, "An introduction to the
    bootstrap", 1993, section 12.6). The quantile t for m − 1 degrees of freedom and the root are
    Hesterberg's ("What teachers should know about the bootstrap", The American Statistician 69,
    2015); m counts the clusters of the class that fewest have. Clusters of people, of machines and
    of both are each resampled among themselves, as in a sample of so many of each. Where no
    resample differs, as with an AUROC of 1, the ends are NaN.

    Args:
        metric: in [0, 1], as `metrics.weighted_auroc`; see `one_by_one` for one without weights.
        labels, scores: 0 human, 1 machine; as the metric takes them; shape (n,).
        clusters: the account of each post, hashable; at least three with each class.
        n_resamples: at least 100.
        seed: the same seed gives the same interval.

    Raises:
        InvalidInput: as the metric, or it leaves [0, 1]; a missing cluster, too few of a class;
            different lengths.

    >>> from textdetect.statistics.metrics import weighted_auroc
    >>> labels, scores = [0, 1] * 20, [i % 7 + i % 2 for i in range(40)]
    >>> accounts = [i // 4 for i in range(40)]
    >>> found = cluster_bootstrap(weighted_auroc, labels, scores, clusters=accounts)
    >>> found.low < found.value < found.high, found.n, found.n_clusters
    (True, 40, 10)
    """
    sampling = (labels, _codes(clusters, len(np.atleast_1d(scores))), level, n_resamples, seed)
    interval = _bootstrap(lambda weights: metric(labels, scores, weights), (0.0, 1.0), *sampling)
    return replace(interval, p_value=None)  # it would be of one half, which nobody asks for


def paired_bootstrap(
    metric: Weighted,
    labels: ArrayLike,
    scores: ArrayLike,
    rival: ArrayLike,
    *,
    clusters: Iterable[object],
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Bound the difference of two detectors on the same posts: ours minus the rival's.

    As `cluster_bootstrap`, with both scored on the same resamples, and the difference taken from
    [−1, 1] to [0, 1] first. The p-value turns the interval around: it is one minus the level at
    which an end would touch 0. `scores` and `rival` are in the order of `labels`.

    >>> from textdetect.statistics.metrics import weighted_auroc
    >>> labels, scores, accounts = [0, 1] * 20, list(range(40)), [i // 4 for i in range(40)]
    >>> paired_bootstrap(weighted_auroc, labels, scores, scores, clusters=accounts).p_value
    1.0
    """
    sampling = (labels, _codes(clusters, len(np.atleast_1d(scores))), level, n_resamples, seed)

    def difference(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return metric(labels, scores, weights) - metric(labels, rival, weights)

    return _bootstrap(difference, (-1.0, 1.0), *sampling)


def one_by_one(metric: Callable[[Any, Any], float]) -> Weighted:
    """Make a metric of labels and scores one of weights too, called once a resample.

    For what has no weighted form: `accuracy`, `macro_f1`, `brier`, `ece`. Weights are whole
    numbers. A resample that lacks a class which the posts have gives NaN.

    >>> from textdetect.statistics.metrics import accuracy
    >>> one_by_one(accuracy)([0, 1], [1.0, 2.0], np.array([[1.0, 1.0], [0.0, 2.0]])).tolist()
    [0.5, nan]
    """

    def weighted(
        labels: ArrayLike, scores: ArrayLike, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        y, s, counts = np.asarray(labels), np.asarray(scores), np.atleast_2d(weights).astype(int)
        classes = len(np.unique(y))
        figures = np.full(len(counts), np.nan)
        for row, count in enumerate(counts):
            if len(np.unique(y[count > 0])) == classes:
                figures[row] = metric(np.repeat(y, count), np.repeat(s, count))
        return figures

    return weighted


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values of any shape, one family, so that one at 0.05 is wrong in one of 20 tables.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979: the chance of any false claim is kept, whatever the dependence.

    Raises:
        InvalidInput: a p-value that is not in [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise InvalidInput("p-values must be in [0, 1]; leave out those that could not be computed")
    order = np.argsort(p, axis=None)
    steps = p.ravel()[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return np.asarray(adjusted.reshape(p.shape))


def _bootstrap(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    bounds: tuple[float, float],
    labels: ArrayLike,
    codes: NDArray[np.int64],
    level: float,
    n_resamples: int,
    seed: int,
) -> Interval:
    """Give the interval of a statistic of weights; its p-value is of the middle of its range."""
    if n_resamples < 100:
        raise InvalidInput(f"at least 100 resamples are needed, got {n_resamples}")
    tail, n, n_clusters = _tail(level), len(codes), int(codes.max()) + 1
    value = float(statistic(np.ones((1, n)))[0])
    strata, n_fewest = _strata(np.asarray(labels), codes)
    rng = np.random.default_rng(seed)
    steps, step = [], max(1, _CHUNK // n)
    for start in range(0, n_resamples, step):
        counts = np.zeros((min(step, n_resamples - start), n_clusters))
        for members in strata:
            even = np.full(len(members), 1 / len(members))
            counts[:, members] = rng.multinomial(len(members), even, size=len(counts))
        steps.append(statistic(counts[:, codes]))
    replicates = np.concatenate(steps)
    replicates = replicates[np.isfinite(replicates)]
    if len(replicates) < 0.95 * n_resamples:
        raise InvalidInput("too few clusters of a class: more than 5 % of resamples lack it")
    lowest, width = bounds[0], bounds[1] - bounds[0]
    logits = _logits((np.append(replicates, value) - lowest) / width)
    centre = float(logits[-1])
    error = float(np.std(logits[:-1], ddof=1)) * (n_fewest / (n_fewest - 1)) ** 0.5
    if np.ptp(logits[:-1]) == 0:
        return Interval(value, np.nan, np.nan, n, n_clusters, np.nan if value else 1.0)
    t = require("scipy.stats", extra="train").t
    reach = float(t.ppf(1 - tail, n_fewest - 1)) * error
    expit = require("scipy.special", extra="train").expit
    low, high = (lowest + width * float(expit(centre + z)) for z in (-reach, reach))
    p_value = 2 * float(t.sf(abs(centre) / error, n_fewest - 1))
    return Interval(value, min(low, value), max(high, value), n, n_clusters, p_value)


def _strata(labels: NDArray[Any], codes: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], int]:
    """Part clusters by the classes they hold; and count those of the class that fewest hold."""
    n = codes.max() + 1
    held = np.array([np.bincount(codes[labels == c], minlength=n) > 0 for c in (0, 1)])
    fewest = int(min((n for n in held.sum(axis=1) if n), default=0))
    if fewest < _MIN_OF_CLASS:
        raise InvalidInput(f"too few clusters of a class: {fewest}, and {_MIN_OF_CLASS} are needed")
    kinds = held[0] + 2 * held[1]
    strata = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    if min(map(len, strata)) < _MIN_OF_CLASS:
        strata = [np.arange(len(kinds))]
    return strata, fewest


def _logits(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the logits of shares; one of 0 or 1 counts as half the nearest to it of the others."""
    if shares.min() < -_ROUNDING or shares.max() > 1 + _ROUNDING:
        raise InvalidInput("a metric in [0, 1] is needed, on every resample")
    room = np.minimum(shares, 1 - shares)
    edge = float(np.min(room, where=room > _ROUNDING, initial=0.5)) / 2
    inside = np.clip(shares, edge, 1 - edge)
    return np.asarray(np.log(inside / (1 - inside)))


def _codes(clusters: Iterable[object], n: int) -> NDArray[np.int64]:
    names = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)
    if len(names) != n:
        raise InvalidInput(f"a cluster for each post expected, got {len(names)} for {n} posts")
    if any(name is None or name != name for name in names):
        raise InvalidInput("a cluster is missing; give a post without account one of its own")
    index: dict[object, int] = {}
    codes = np.array([index.setdefault(name, len(index)) for name in names], dtype=np.int64)
    if len(index) < 2:
        raise InvalidInput(f"at least two clusters are needed, got {len(index)}")
    return codes


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise InvalidInput(f"level must be in (0, 1), got {level}")
    return (1 - level) / 2
