"""Figures about scores, held against scikit-learn and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_score,
    roc_auc_score,
    roc_curve,
)

from textdetect.errors import InvalidInput
from textdetect.statistics.metrics import (
    accuracy,
    auroc,
    brier,
    ece,
    macro_f1,
    predictive_value,
    tpr_at_fpr,
    weighted_auroc,
    weighted_average_precision,
    weighted_tpr_at_fpr,
)

# Few different scores, so that most examples have ties, and some that are far apart.
score = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
)
post = st.tuples(st.integers(0, 1), score)
posts = st.lists(post, max_size=40)
both_classes = st.builds(
    lambda human, machine, others: [(0, human), (1, machine), *others], score, score, posts
)


def columns(rows: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [label for label, _ in rows], [score for _, score in rows]


@given(both_classes)
def test_auroc_is_the_one_of_scikit_learn_with_ties_by_half(rows: list[tuple[int, float]]) -> None:
    labels, scores = columns(rows)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(both_classes)
def test_auroc_of_turned_scores_is_one_less_auroc(rows: list[tuple[int, float]]) -> None:
    labels, scores = columns(rows)
    turned = auroc(labels, [-score for score in scores])
    assert turned == pytest.approx(1 - auroc(labels, scores), abs=1e-12)


@given(both_classes, st.floats(0, 1))
def test_tpr_at_fpr_is_the_best_point_of_the_roc_curve_that_keeps_the_rate(
    rows: list[tuple[int, float]], max_fpr: float
) -> None:
    labels, scores = columns(rows)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert tpr_at_fpr(labels, scores, max_fpr) == pytest.approx(tpr[fpr <= max_fpr + 1e-9].max())


@given(both_classes, st.floats(0, 1), st.floats(0, 1))
def test_tpr_at_fpr_grows_with_the_rate(
    rows: list[tuple[int, float]], one: float, other: float
) -> None:
    labels, scores = columns(rows)
    low, high = sorted((one, other))
    assert tpr_at_fpr(labels, scores, low) <= tpr_at_fpr(labels, scores, high)


def test_tpr_at_fpr_counts_whole_humans() -> None:
    labels = [0] * 100 + [1] * 4
    scores = [*range(100), 97.5, 98.5, 99.5, 98.0]
    assert tpr_at_fpr(labels, scores, 0.01) == 0.5
    assert tpr_at_fpr(labels, scores, 0.0199) == 0.5
    assert tpr_at_fpr(labels, scores, 0.02) == 1.0
    assert tpr_at_fpr(labels, scores, 0.0) == 0.25
    assert tpr_at_fpr(labels, scores, 1.0) == 1.0


def test_a_machine_post_that_ties_with_the_last_human_is_not_found() -> None:
    assert tpr_at_fpr([0, 0, 1], [1.0, 2.0, 2.0], 0.0) == 0.0
    assert tpr_at_fpr([0, 0, 1], [1.0, 2.0, 2.0], 0.5) == 1.0


@given(st.lists(post, min_size=1, max_size=40), score)
def test_accuracy_is_the_one_of_scikit_learn(
    rows: list[tuple[int, float]], threshold: float
) -> None:
    labels, scores = columns(rows)
    predicted = [int(score >= threshold) for score in scores]
    expected = accuracy_score(labels, predicted)
    assert accuracy(labels, scores, threshold=threshold) == pytest.approx(expected)


def test_accuracy_needs_no_second_class_and_cuts_at_zero() -> None:
    assert accuracy([1, 1], [0.0, -0.1]) == 0.5
    assert accuracy([0], [-0.1]) == 1.0


def test_accuracy_without_posts_is_not_a_number(recwarn: pytest.WarningsRecorder) -> None:
    assert math.isnan(accuracy([], []))
    assert not recwarn.list


def sample(rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Give labels of both classes, scores with ties on few levels, and whole weights."""
    n = int(rng.integers(2, 150))
    labels = rng.permutation(np.append([0, 1], rng.random(n - 2) < rng.uniform(0.05, 0.95)))
    n_levels = int(rng.integers(2, 60))
    scores = rng.integers(0, n_levels, n) / n_levels + (labels * 0.2 if rng.random() < 0.5 else 0)
    weights = rng.integers(0, 4, n)
    weights[[np.argmax(labels), np.argmin(labels)]] = 1
    return labels.astype(int), scores, weights


def oracles(y: Any, s: Any, w: Any, rng: np.random.Generator) -> dict[str, tuple[Any, Any]]:
    """Give each figure of ours beside the same one of scikit-learn or scipy."""
    threshold, max_fpr = float(rng.choice(s)), float(rng.choice([0.0, 0.01, 0.05, 0.1, 0.5, 1.0]))
    flagged, p = s >= threshold, s / s.max() if s.max() > 0 else s
    (tn, fp), (fn, tp) = confusion_matrix(y, flagged, labels=[0, 1])
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    u = stats.mannwhitneyu(s[y == 1], s[y == 0], method="asymptotic").statistic
    rate = float(rng.uniform(0, 1))
    stream = np.where(y == 1, rate / np.sum(y == 1), (1 - rate) / np.sum(y == 0))
    caught, blamed = tp / (tp + fn), fp / (fp + tn)
    edges = np.linspace(0, 1, 16)
    n_in_bin = np.array([np.sum((p > low) & (p <= high)) for low, high in pairwise(edges)])
    n_in_bin[0] += np.sum(p == 0)
    observed, meant = calibration_curve(y, p, n_bins=15)
    repeated = np.repeat(np.arange(len(y)), w)
    return {
        "auroc": (auroc(y, s), roc_auc_score(y, s)),
        "auroc, scipy": (auroc(y, s), u / (np.sum(y == 1) * np.sum(y == 0))),
        "average_precision": (
            weighted_average_precision(y, s, np.ones(len(y)))[0],
            average_precision_score(y, s),
        ),
        "tpr_at_fpr": (tpr_at_fpr(y, s, max_fpr), tpr[fpr <= max_fpr + 1e-9].max()),
        "weighted_auroc": (weighted_auroc(y, s, w)[0], roc_auc_score(y, s, sample_weight=w)),
        "weighted_average_precision": (
            weighted_average_precision(y, s, w)[0],
            average_precision_score(y, s, sample_weight=w),
        ),
        "weighted_tpr_at_fpr": (
            weighted_tpr_at_fpr(y, s, w, max_fpr=max_fpr)[0],
            tpr_at_fpr(y[repeated], s[repeated], max_fpr),
        ),
        "accuracy": (accuracy(y, s, threshold=threshold), accuracy_score(y, flagged)),
        "macro_f1": (macro_f1(y, s, threshold=threshold), f1_score(y, flagged, average="macro")),
        "predictive_value": (
            predictive_value(caught, blamed, base_rates=[rate])[rate],
            precision_score(y, flagged, sample_weight=stream, zero_division=np.nan),
        ),
        "brier": (brier(y, p), brier_score_loss(y, p)),
        "ece": (ece(y, p), np.sum(n_in_bin[n_in_bin > 0] * np.abs(observed - meant)) / len(y)),
    }


@pytest.mark.slow
def test_every_figure_is_the_one_of_scikit_learn_on_four_hundred_samples_with_ties() -> None:
    rng = np.random.default_rng(0)
    worst: dict[str, float] = {}
    for _ in range(400):
        for name, (ours, theirs) in oracles(*sample(rng), rng).items():
            deviation = float(np.max(np.abs(np.subtract(ours, theirs))))
            worst[name] = float(np.maximum(worst.get(name, 0.0), deviation))  # NaN stays NaN
    assert all(deviation <= 1e-9 for deviation in worst.values()), worst


def test_resamples_are_scored_as_if_each_were_a_sample_of_its_own() -> None:
    rng = np.random.default_rng(1)
    y, s, _ = sample(rng)
    weights = rng.integers(0, 3, (50, len(y)))
    rows = [np.repeat(np.arange(len(y)), row) for row in weights]
    pairs: list[tuple[Any, Callable[[Any, Any], float]]] = [
        (weighted_auroc, auroc),
        (weighted_average_precision, average_precision_score),
        (partial(weighted_tpr_at_fpr, max_fpr=0.1), partial(tpr_at_fpr, max_fpr=0.1)),
    ]
    for weighted, plain in pairs:
        expected = [plain(y[row], s[row]) for row in rows]
        assert weighted(y, s, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "weighted",
    [weighted_auroc, weighted_average_precision, partial(weighted_tpr_at_fpr, max_fpr=0.1)],
)
def test_a_resample_of_one_class_has_no_figure(
    weighted: Any, recwarn: pytest.WarningsRecorder
) -> None:
    figures = weighted([0, 1, 1], [0.1, 0.2, 0.3], [[1, 1, 1], [0, 1, 2], [1, 0, 0], [0, 0, 0]])
    assert np.isnan(figures).tolist() == [False, True, True, True]
    assert not recwarn.list


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, np.nan], [[[1.0, 1.0]]], 1.0])
def test_weights_that_count_nothing_are_refused(weights: Any) -> None:
    with pytest.raises(InvalidInput, match="weights"):
        weighted_auroc([0, 1], [0.0, 1.0], weights)


def test_a_score_at_the_threshold_is_flagged_by_every_figure() -> None:
    labels, scores = [0, 1], [1.0, 1.0]
    assert accuracy(labels, scores, threshold=1.0) == 0.5
    assert macro_f1(labels, scores, threshold=1.0) == pytest.approx(1 / 3)


def test_most_flags_are_false_at_a_low_base_rate() -> None:
    worth = predictive_value(0.9, 0.01)
    assert list(worth) == [0.001, 0.01, 0.1]
    assert worth[0.001] == pytest.approx(0.0826, abs=1e-4)
    assert predictive_value(0.5, 0.0)[0.001] == 1.0
    assert math.isnan(predictive_value(0.0, 0.0)[0.1])


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_rates_outside_the_unit_interval_have_no_predictive_value(rate: float) -> None:
    for tpr, fpr, base in ((rate, 0.1, 0.1), (0.1, rate, 0.1), (0.1, 0.1, rate)):
        with pytest.raises(InvalidInput, match=str(rate)):
            predictive_value(tpr, fpr, base_rates=[base])


def test_a_probability_at_an_edge_is_in_the_bin_below() -> None:
    assert ece([0, 1], [0.5, 0.51], n_bins=2) == pytest.approx((0.5 + 0.49) / 2)
    assert ece([1, 0], [0.5, 0.0], n_bins=2) == pytest.approx(0.25)


@pytest.mark.parametrize("metric", [brier, ece])
def test_logits_are_no_probabilities(metric: Callable[[Any, Any], float]) -> None:
    for probability in (-0.1, 1.1):
        with pytest.raises(InvalidInput, match="logits"):
            metric([0, 1], [0.5, probability])
    assert math.isnan(metric([], []))
    with pytest.raises(InvalidInput, match="n_bins"):
        ece([0], [0.5], n_bins=0)


THRESHOLDED: list[Callable[..., Any]] = [
    accuracy,
    macro_f1,
]


@pytest.mark.parametrize("metric", THRESHOLDED)
def test_a_threshold_that_is_not_a_number_is_refused(metric: Callable[..., Any]) -> None:
    with pytest.raises(InvalidInput, match="threshold"):
        metric([0, 1], [0.0, 1.0], threshold=math.nan)


TWO_CLASSES: list[Callable[[Any, Any], Any]] = [
    auroc,
    lambda y, s: weighted_average_precision(y, s, np.ones(np.shape(s))),
    lambda y, s: tpr_at_fpr(y, s, 0.1),
    lambda y, s: weighted_auroc(y, s, np.ones(np.shape(s))),
    lambda y, s: macro_f1(y, s, threshold=0.0),
]
ANY_CLASSES: list[Callable[[Any, Any], Any]] = [
    accuracy,
    brier,
    ece,
]


@pytest.mark.parametrize("metric", TWO_CLASSES + ANY_CLASSES)
@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([0, 1], [0.0]),
        ([[0, 1]], [[0.0, 1.0]]),
        (0, 1.0),
        ([0, 1], [0.0, np.nan]),
        ([0, 1], [np.inf, 0.0]),
        ([0, 2], [0.0, 1.0]),
        ([-1, 1], [0.0, 1.0]),
        ([0.5, 1.0], [0.0, 1.0]),
        ([np.nan, 1.0], [0.0, 1.0]),
    ],
)
def test_columns_that_cannot_be_scored_are_refused(
    metric: Callable[[Any, Any], float], labels: Any, scores: Any
) -> None:
    with pytest.raises(InvalidInput):
        metric(labels, scores)


@pytest.mark.parametrize("metric", TWO_CLASSES)
@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_one_class_only_is_refused(metric: Callable[[Any, Any], float], labels: list[int]) -> None:
    with pytest.raises(InvalidInput, match="both classes"):
        metric(labels, [0.0] * len(labels))


@pytest.mark.parametrize("max_fpr", [-0.1, 1.1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused_and_echoed(max_fpr: float) -> None:
    with pytest.raises(InvalidInput, match=str(max_fpr)):
        tpr_at_fpr([0, 1], [0.0, 1.0], max_fpr)


def test_labels_may_be_booleans_or_arrays() -> None:
    assert auroc(np.array([False, True]), np.array([0, 1], dtype=np.float32)) == 1.0
