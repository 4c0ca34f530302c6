"""Figures about scores, held against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score, roc_curve

from textdetect.errors import InvalidInput
from textdetect.metrics import accuracy, auroc, tpr_at_fpr

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


@pytest.mark.parametrize("metric", [auroc, accuracy, lambda y, s: tpr_at_fpr(y, s, 0.1)])
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


@pytest.mark.parametrize("metric", [auroc, lambda y, s: tpr_at_fpr(y, s, 0.1)])
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
