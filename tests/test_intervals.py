"""Intervals that hold what they say, where posts of one account are alike."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from textdetect.errors import InvalidInput
from textdetect.statistics.intervals import (
    Weighted,
    clopper_pearson,
    cluster_bootstrap,
    holm,
    one_by_one,
    paired_bootstrap,
    proportion,
)
from textdetect.statistics.metrics import (
    accuracy,
    auroc,
    brier,
    macro_f1,
    tpr_at_fpr,
    weighted_auroc,
    weighted_average_precision,
    weighted_tpr_at_fpr,
)


def accounts(
    rng: np.random.Generator, *, n_accounts: int, n_posts: int, distance: float, alike: float
) -> tuple[Any, Any, Any]:
    """Give labels, scores and accounts: each account human or machine, its posts much alike."""
    account = np.repeat(np.arange(n_accounts), n_posts)
    labels = account % 2
    own, post = rng.normal(size=n_accounts), rng.normal(size=len(account))
    scores = alike**0.5 * own[account] + (1 - alike) ** 0.5 * post + distance * labels
    return labels, scores, account


def by_pairs(labels: Any, scores: Any, account: Any) -> Weighted:
    """Give `weighted_auroc` for weights of whole accounts: their pairs are compared only once."""
    first, human, machine = np.flatnonzero(np.diff(account, prepend=-1)), labels == 0, labels == 1
    held = np.array([np.bincount(account, weights=y) for y in (human, machine)])
    own = account[:, None] == np.arange(len(first))
    won = own[machine].T @ (scores[machine, None] > scores[human]).astype(float) @ own[human]

    def weighted(labels: Any, scores: Any, weights: Any) -> Any:
        counts = weights[:, first]
        return np.sum(counts @ won * counts, axis=1) / np.prod(counts @ held.T, axis=1)

    return weighted


def coverage(metric: Weighted, truth: float, drawn: Iterable[tuple[Any, Any, Any]]) -> float:
    """Share of the data sets whose interval holds the truth."""
    covered = []
    for seed, (labels, scores, account) in enumerate(drawn):
        quick = by_pairs(labels, scores, account) if metric is weighted_auroc else metric
        found = cluster_bootstrap(
            quick, labels, scores, clusters=account, n_resamples=200, seed=seed
        )
        covered.append(found.low <= truth <= found.high)
    return float(np.mean(covered))


def test_clopper_pearson_is_the_one_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    n = rng.integers(1, 3000, 1000)
    k = rng.integers(0, n + 1)
    k[:100], k[100:200] = 0, n[100:200]
    for level in (0.9, 0.95, 0.99):
        ours = [clopper_pearson(*row, level=level) for row in zip(k, n, strict=True)]
        theirs = np.transpose(proportion_confint(k, n, alpha=1 - level, method="beta"))
        assert np.max(np.abs(ours - theirs)) <= 1e-9


def test_no_errors_are_no_proof_of_none() -> None:
    for clusters in (None, list(range(100)), [i // 5 for i in range(100)]):
        none, all_ = (
            proportion([0] * 100, clusters=clusters),
            proportion([1] * 100, clusters=clusters),
        )
        assert none.low == none.value == 0.0
        assert none.high > 0.03
        assert all_.high == all_.value == 1.0
        assert all_.low == pytest.approx(1 - none.high)


@pytest.mark.parametrize("n", [3, 7, 49, 97, 1001])
def test_all_right_is_bounded_whatever_the_rounding(n: int) -> None:
    for clusters in (None, [0, 0, *range(1, n - 1)], [i // 2 for i in range(n)]):
        found = proportion([1] * n, clusters=clusters)
        assert 0 < found.low < found.high == 1.0


def test_independent_posts_get_the_exact_interval() -> None:
    events = [1] * 7 + [0] * 93
    alone = proportion(events)
    assert (alone.low, alone.high) == pytest.approx(clopper_pearson(7, 100), abs=1e-12)
    assert (alone.value, alone.n, alone.n_clusters) == (0.07, 100, 100)
    assert proportion(np.array(events, bool), clusters=range(100)) == alone


def test_accounts_whose_posts_all_agree_count_once() -> None:
    events = np.repeat(np.arange(60) < 24, 20)
    found = proportion(events, clusters=np.repeat(np.arange(60), 20))
    t = stats.t.ppf(0.025, [1199, 59])
    n_effective = 59 * (t[0] / t[1]) ** 2
    assert (found.low, found.high) == pytest.approx(clopper_pearson(0.4 * n_effective, n_effective))
    assert (found.n, found.n_clusters) == (1200, 60)


def test_accounts_of_every_rate_alike_are_no_worse_than_independent_posts() -> None:
    found = proportion([0, 1] * 200, clusters=[i // 2 for i in range(400)])
    low, high = clopper_pearson(200, 400)
    assert found.low == pytest.approx(low, abs=0.002)
    assert found.high == pytest.approx(high, abs=0.002)
    assert found.low <= low
    assert found.high >= high


def test_few_accounts_with_an_error_are_not_taken_for_independent_posts() -> None:
    clusters = np.repeat(np.arange(50), 20)
    posts = np.arange(1000)
    highs = [proportion(posts < k, clusters=clusters).high for k in range(21)]
    assert highs[0] > clopper_pearson(0, 50)[1]
    assert np.all(np.diff(highs) > 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "n_accounts", "most"), [(0.3, 100, 0.97), (0.05, 200, 0.97), (0.01, 100, 1.0)]
)
def test_a_proportion_is_covered_as_often_as_promised(
    rate: float, n_accounts: int, most: float
) -> None:
    rng = np.random.default_rng(0)
    account = np.repeat(np.arange(n_accounts), 20)
    covered, as_if_independent = 0, 0
    for _ in range(1000):
        # A beta-binomial: two posts of an account have a correlation of one half.
        own = rng.beta(rate, 1 - rate, n_accounts)
        events = rng.random(len(account)) < own[account]
        found, naive = proportion(events, clusters=account), proportion(events)
        covered += found.low <= rate <= found.high
        as_if_independent += naive.low <= rate <= naive.high
    assert 930 <= covered <= 1000 * most
    assert as_if_independent < 700


def test_pairs_of_accounts_give_the_auroc_of_posts() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=20, n_posts=4, distance=1.0, alike=0.5
    )
    counts = np.random.default_rng(1).integers(0, 3, (50, 20))
    weights = counts[:, account]
    found = by_pairs(labels, scores, account)(labels, scores, weights)
    assert found == pytest.approx(weighted_auroc(labels, scores, weights))


def test_a_high_auroc_of_few_accounts_is_covered_as_often_as_promised() -> None:
    truth, rng = stats.norm.cdf(3.0 / 2**0.5), np.random.default_rng(0)
    drawn = [accounts(rng, n_accounts=50, n_posts=10, distance=3.0, alike=0.6) for _ in range(1000)]
    assert 0.93 <= coverage(weighted_auroc, truth, drawn) <= 0.97
    posts = [(labels, scores, np.arange(len(labels))) for labels, scores, _ in drawn[:50]]
    assert coverage(weighted_auroc, truth, posts) < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.6])
@pytest.mark.parametrize("n_accounts", [50, 100])
@pytest.mark.parametrize("distance", [1.0, 2.0, 3.0])  # AUROC 0.760, 0.921, 0.983
def test_an_auroc_is_covered_as_often_as_promised(
    distance: float, n_accounts: int, alike: float
) -> None:
    rng, n_posts = np.random.default_rng(1), 500 // n_accounts
    drawn = (
        accounts(rng, n_accounts=n_accounts, n_posts=n_posts, distance=distance, alike=alike)
        for _ in range(1000)  # a standard error of 0.7 %
    )
    truth = stats.norm.cdf(distance / 2**0.5)
    assert 0.93 <= coverage(weighted_auroc, truth, drawn) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("distance", "alike"), [(1.0, 0.6), (2.0, 0.0), (3.0, 0.6)])
def test_an_average_precision_is_covered_as_often_as_promised(
    distance: float, alike: float
) -> None:
    rng, at = np.random.default_rng(1), np.linspace(-8, 12, 20_001)
    found, flagged = stats.norm.sf(at - distance), stats.norm.sf(at)
    truth = -integrate.trapezoid(found / (found + flagged), found)
    drawn = (
        accounts(rng, n_accounts=50, n_posts=10, distance=distance, alike=alike)
        for _ in range(1000)  # a standard error of 0.7 %
    )
    assert 0.93 <= coverage(weighted_average_precision, truth, drawn) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("alike", "least"), [(0.0, 0.93), (0.6, 0.89)])
def test_a_tpr_at_a_low_fpr_is_covered_as_often_as_the_docstring_says(
    alike: float, least: float
) -> None:
    rng, truth = np.random.default_rng(1), stats.norm.sf(stats.norm.isf(0.01) - 3.0)
    drawn = (
        accounts(rng, n_accounts=100, n_posts=30, distance=3.0, alike=alike) for _ in range(400)
    )  # a standard error of 1 to 1.5 %
    metric = partial(weighted_tpr_at_fpr, max_fpr=0.01)
    assert least <= coverage(metric, truth, drawn) <= 0.97


@pytest.mark.slow
def test_two_detectors_as_good_as_each_other_differ_once_in_twenty_times() -> None:
    rng = np.random.default_rng(0)
    covered, p_values = 0, []
    for seed in range(600):
        labels, scores, account = accounts(rng, n_accounts=60, n_posts=5, distance=1.5, alike=0.6)
        one, other = scores + 0.5 * rng.normal(size=(2, 60))[:, account]
        found = paired_bootstrap(
            weighted_auroc, labels, one, other, clusters=account, seed=seed, n_resamples=500
        )
        covered += found.low <= 0 <= found.high
        p_values.append(found.p_value)
    assert 600 * 0.93 <= covered <= 600 * 0.97
    assert 600 * 0.03 <= np.sum(np.array(p_values) <= 0.05) <= 600 * 0.07
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


def test_pairing_finds_a_small_difference_that_two_intervals_hide() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(2), n_accounts=80, n_posts=10, distance=1.0, alike=0.7
    )
    rival = scores + np.random.default_rng(3).normal(size=len(scores)) * 0.8
    bound = partial(cluster_bootstrap, weighted_auroc, labels, clusters=account)
    one, other = bound(scores), bound(rival)
    assert one.low < other.high
    found = paired_bootstrap(weighted_auroc, labels, scores, rival, clusters=account)
    assert found.value == pytest.approx(one.value - other.value)
    assert 0 < found.low < found.value < found.high
    assert found.p_value < 0.02
    turned = paired_bootstrap(weighted_auroc, labels, rival, scores, clusters=account)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-3)
    assert turned.p_value == pytest.approx(found.p_value, abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_the_p_value_agrees_with_the_interval(shift: float) -> None:
    rng = np.random.default_rng(4)
    labels, scores, account = accounts(rng, n_accounts=60, n_posts=5, distance=1.0, alike=0.5)
    rival = scores + 0.6 * rng.normal(size=60)[account] - shift * labels
    one = partial(paired_bootstrap, weighted_auroc, labels, scores, rival, clusters=account)
    p_value = one().p_value
    for level in (1 - p_value + 0.01, 1 - p_value - 0.01):
        if 0 < level < 1:
            found = one(level=level)
            assert (found.low <= 0 <= found.high) == (level > 1 - p_value)


def test_a_detector_does_not_differ_from_itself() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=20, n_posts=3, distance=1.0, alike=0.5
    )
    found = paired_bootstrap(weighted_auroc, labels, scores, scores, clusters=account)
    assert (found.value, found.p_value) == (0.0, 1.0)


def test_a_perfect_ranking_says_nothing_of_its_spread() -> None:
    labels = [0, 1] * 30
    clusters = [i // 4 for i in range(60)]
    found = cluster_bootstrap(weighted_auroc, labels, labels, clusters=clusters)
    assert found.value == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    difference = paired_bootstrap(weighted_auroc, labels, labels, [0.0] * 60, clusters=clusters)
    assert difference.value == 0.5
    assert math.isnan(difference.p_value)


def test_the_ends_stay_in_range_and_hold_a_figure_at_its_end() -> None:
    labels, clusters = np.arange(60) % 2, np.arange(60) // 4
    scores = labels + np.where(np.arange(60) % 10 == 0, 0.95, 0.0)
    scores[:2] = [3.0, 2.0]  # one person above every machine
    for max_fpr, value in ((0.04, 1.0), (0.0, 0.0)):
        metric = partial(weighted_tpr_at_fpr, max_fpr=max_fpr)
        found = cluster_bootstrap(metric, labels, scores, clusters=clusters)
        assert found.value == value
        assert 0.0 <= found.low <= value <= found.high <= 1.0
        assert found.low < found.high


def test_a_class_that_few_accounts_have_is_bounded_with_their_degrees_of_freedom() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=60, n_posts=4, distance=1.0, alike=0.5
    )
    few = (labels == 0) | (account < 6)  # three accounts of machines, thirty of people
    found = cluster_bootstrap(weighted_auroc, labels[few], scores[few], clusters=account[few])
    assert found.high - found.low > 0.4


def test_a_figure_outside_its_range_is_refused() -> None:
    labels, scores = [0, 1] * 20, np.arange(40.0)
    metric: Weighted = lambda labels, scores, weights: np.asarray(weights)[:, 0] - 1.0  # noqa: E731
    with pytest.raises(InvalidInput, match=r"metric in \[0, 1\]"):
        cluster_bootstrap(metric, labels, scores, clusters=range(40))


def test_the_same_seed_gives_the_same_interval_and_names_of_accounts_do_not_matter() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=30, n_posts=4, distance=1.0, alike=0.5
    )
    bound = partial(cluster_bootstrap, weighted_auroc, labels, scores)
    first = bound(clusters=account, seed=7)
    assert bound(clusters=[f"account {i}" for i in account], seed=7) == first
    assert bound(clusters=account, seed=8) != first
    wide = bound(clusters=account, seed=7, level=0.99)
    assert wide.low < first.low < first.high < wide.high


def test_the_order_of_posts_does_not_matter_to_the_figure_nor_much_to_the_interval() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=60, n_posts=4, distance=1.0, alike=0.5
    )
    order = np.random.default_rng(1).permutation(len(labels))
    bound = partial(cluster_bootstrap, weighted_auroc, n_resamples=4000)
    one = bound(labels, scores, clusters=account)
    other = bound(labels[order], scores[order], clusters=account[order])
    assert one.value == pytest.approx(other.value)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.01)


@pytest.mark.parametrize(
    ("weighted", "plain"),
    [
        (weighted_auroc, auroc),
        (partial(weighted_tpr_at_fpr, max_fpr=0.1), partial(tpr_at_fpr, max_fpr=0.1)),
    ],
)
def test_a_metric_called_one_by_one_gives_the_interval_of_its_weighted_form(
    weighted: Weighted, plain: Callable[[Any, Any], float]
) -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=30, n_posts=4, distance=1.0, alike=0.5
    )
    one = cluster_bootstrap(weighted, labels, scores, clusters=account)
    other = cluster_bootstrap(one_by_one(plain), labels, scores, clusters=account)
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_metrics_at_a_threshold_and_of_probabilities_have_intervals_too() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=30, n_posts=4, distance=1.0, alike=0.5
    )
    probabilities = 1 / (1 + np.exp(-scores))
    for metric, values in (
        (partial(accuracy, threshold=0.5), scores),
        (partial(macro_f1, threshold=0.5), scores),
        (brier, probabilities),
    ):
        found = cluster_bootstrap(one_by_one(metric), labels, values, clusters=account)
        assert found.value == metric(labels, values)
        assert found.low < found.value < found.high


@pytest.mark.alone
def test_a_thousand_resamples_of_five_thousand_posts_take_less_than_three_seconds() -> None:
    labels, scores, account = accounts(
        np.random.default_rng(0), n_accounts=1000, n_posts=5, distance=1.0, alike=0.5
    )
    for clusters in (account, range(5000)):
        start_s = time.perf_counter()
        cluster_bootstrap(weighted_auroc, labels, scores, clusters=clusters)
        assert time.perf_counter() - start_s < 3


def test_holm_is_the_one_of_statsmodels_on_a_thousand_tables_with_ties(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels collects at each call: 0.1 s
    rng = np.random.default_rng(0)
    for _ in range(1000):
        p_values = np.round(rng.random(int(rng.integers(1, 40))) ** 3, 2)
        expected = multipletests(p_values, method="holm")[1]
        assert np.max(np.abs(holm(p_values) - expected)) <= 1e-9


def test_holm_keeps_the_shape_of_the_table() -> None:
    table = [[0.01, 0.2, 0.04], [0.5, 0.0, 1.0]]
    assert holm(table).ravel().tolist() == holm(np.ravel(table)).tolist()
    assert holm(table).shape == (2, 3)
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("p_value", [-0.01, 1.01, math.nan])
def test_holm_refuses_what_is_no_p_value(p_value: float) -> None:
    with pytest.raises(InvalidInput, match="p-values"):
        holm([0.5, p_value])


@pytest.mark.parametrize(
    ("clusters", "why"),
    [
        (["a", "b", "a"], "3 for 4"),
        (["a", "b", None, "a"], "missing"),
        ([1.0, 2.0, math.nan, 1.0], "missing"),
        (["a"] * 4, "two clusters"),
    ],
)
def test_clusters_that_do_not_name_accounts_are_refused(clusters: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        proportion([0, 1, 0, 1], clusters=clusters)
    with pytest.raises(InvalidInput, match=why):
        cluster_bootstrap(weighted_auroc, [0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0], clusters=clusters)


@pytest.mark.parametrize("events", [[], [0, 2], [0.5], [[0, 1]], [math.nan], 1])
def test_events_that_are_neither_0_nor_1_are_refused(events: Any) -> None:
    with pytest.raises(InvalidInput, match="events"):
        proportion(events)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0), (math.nan, 5), (1, math.inf)])
def test_counts_out_of_range_are_refused(k: float, n: float) -> None:
    with pytest.raises(InvalidInput, match="n_events"):
        clopper_pearson(k, n)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 95, math.nan])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    arguments: Any = (weighted_auroc, [0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0])
    with pytest.raises(InvalidInput, match="level"):
        clopper_pearson(1, 5, level=level)
    with pytest.raises(InvalidInput, match="level"):
        cluster_bootstrap(*arguments, clusters=[0, 0, 1, 1], level=level)


def test_what_a_metric_refuses_its_interval_refuses() -> None:
    for labels, scores in (([0, 0], [0.0, 1.0]), ([0, 1], [0.0, math.nan]), ([0, 2], [0.0, 1.0])):
        with pytest.raises(InvalidInput):
            cluster_bootstrap(weighted_auroc, labels, scores, clusters=[0, 1])
        with pytest.raises(InvalidInput):
            paired_bootstrap(weighted_auroc, labels, scores, scores, clusters=[0, 1])


def test_too_few_resamples_or_accounts_of_a_class_are_refused() -> None:
    labels, scores = [0] * 2 + [1] * 20, np.arange(22.0)
    with pytest.raises(InvalidInput, match="100 resamples"):
        cluster_bootstrap(weighted_auroc, labels, scores, clusters=range(22), n_resamples=99)
    with pytest.raises(InvalidInput, match="too few clusters of a class"):
        cluster_bootstrap(weighted_auroc, labels, scores, clusters=range(22))
