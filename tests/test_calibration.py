"""The promise: for this calibration set, at every rate at once, with 95% confidence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from textdetect.errors import CalibrationMismatch, InvalidInput, NotCalibrated
from textdetect.model.detector import Detector
from textdetect.posts.corpus import load_posts
from textdetect.statistics.calibration import (
    EVEN,
    FEWEST_MACHINES,
    TIE,
    UNFITTED,
    Calibration,
    adjusted_p_values,
    check_share,
    fit_line,
    smallest_p_value,
)

Columns = tuple[np.ndarray, np.ndarray, list[str]]

RATES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5])


def fitted(logits: np.ndarray, **options: object) -> Calibration:
    n = len(logits)
    values: dict[str, object] = {
        "n_tokens": np.full(n, 20),
        "languages": ["en"] * n,
        "panels": ["all"] * n,
        "fingerprint": "f",
        "numerics": "stub",
    }
    return Calibration.fit(logits, **values | options)  # type: ignore[arg-type]


def p_values(calibration: Calibration, logits: np.ndarray, n_tokens: int = 20) -> np.ndarray:
    n = len(logits)
    return calibration.p_values(logits, np.full(n, n_tokens), ["en"] * n)[0]


@pytest.mark.parametrize("n", [100, 600, 2_000])
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_the_promise_holds_at_every_rate_at_once_with_the_stated_confidence(
    n: int, delta: float
) -> None:
    """Simulate calibration sets; for each, compare the true rate behind every p-value with it.

    With uniform scores the share of people above the (i+1)-th highest of the set is known exactly,
    so that nothing but the draw of the set is random.
    """
    rng = np.random.default_rng(0)
    n_sets, p = 4_000, adjusted_p_values(n, delta)[:n]
    broken = 0
    for _ in range(n_sets):
        highest_first = np.sort(rng.random(n))[::-1]
        true_rate = 1 - highest_first  # of people who outscore the (i+1)-th highest
        broken += bool(np.any(true_rate > p))
    # one-sided exact binomial: as many broken sets as this would be rare if delta were kept
    assert stats.binomtest(broken, n_sets, delta, alternative="greater").pvalue > 0.001
    assert broken > 0.2 * delta * n_sets, "a bound this loose costs power for nothing"


@pytest.mark.slow
def test_the_promise_holds_through_fit_and_p_values_panels_and_bins_too() -> None:
    rng = np.random.default_rng(1)
    n, n_sets, broken = 1_200, 300, 0
    panels = np.repeat(["quiet", "angry"], [900, 300])
    shift = np.where(panels == "angry", 2.0, 0.0)
    quiet, angry = rng.normal(0, 1, 30_000), rng.normal(2, 1, 30_000)
    everyone = np.append(quiet, angry[:10_000])  # three of four are quiet, as in the panels
    of_panels = []
    for _ in range(n_sets):
        calibration = fitted(rng.normal(shift, 1), panels=panels, n_tokens=rng.integers(5, 60, n))
        rates = [
            np.searchsorted(np.sort(p_values(calibration, fresh)), RATES, side="right") / len(fresh)
            for fresh in (everyone, quiet, angry)
        ]
        broken += bool(np.any(rates[0] > RATES + 2.5 * np.sqrt(RATES / len(everyone))))
        of_panels.append(rates[1:])
    assert broken / n_sets <= 0.05
    error = np.std(of_panels, axis=0) / np.sqrt(n_sets) + np.sqrt(RATES / len(quiet))
    assert np.all(np.mean(of_panels, axis=0) <= RATES + 3 * error)


def test_a_panel_that_scores_high_is_protected_though_the_pool_is_calm() -> None:
    rng = np.random.default_rng(2)
    pool, angry = rng.normal(0, 1, 20_000), rng.normal(3, 1, 800)
    logits = np.concatenate([pool, angry])
    together = fitted(logits)
    apart = fitted(logits, panels=["calm"] * 20_000 + ["angry"] * 800)
    fresh = rng.normal(3, 1, 20_000)
    assert (p_values(together, fresh) <= 0.01).mean() > 0.05, "the average hides the panel"
    assert (p_values(apart, fresh) <= 0.01).mean() <= 0.01


def test_a_panel_apart_is_protected_and_lowers_no_p_value() -> None:
    rng = np.random.default_rng(6)
    crowd, high, low = rng.normal(0, 1, 4_000), rng.normal(2, 1, 3_000), rng.normal(-4, 1, 9_000)
    n_tokens = rng.integers(5, 60, len(crowd) + len(high) + len(low))
    alone = fitted(crowd, n_tokens=n_tokens[: len(crowd)])
    beside = fitted(
        np.concatenate([crowd, high, low]),
        n_tokens=n_tokens,
        panels=["crowd"] * len(crowd) + ["high"] * len(high) + ["low"] * len(low),
        apart=["high", "low"],
    )
    assert [s.low for s in alone.strata] == [s.low for s in beside.strata]
    assert beside.smallest == alone.smallest
    assert [bool(s.apart) for s in beside.strata] == [True, False]
    fresh = np.concatenate([rng.normal(0, 1, 5_000), rng.normal(2, 1, 5_000)])
    before, after = p_values(alone, fresh), p_values(beside, fresh)
    assert (after >= before).all()
    assert (before[5_000:] <= 0.05).mean() > 0.2
    assert (after[5_000:] <= 0.05).mean() <= 0.05
    again = Calibration.from_dict(json.loads(json.dumps(beside.to_dict())))
    assert p_values(again, fresh).tolist() == after.tolist()
    with pytest.raises(InvalidInput, match="none with any text"):
        fitted(high, panels=["high"] * len(high), apart=["high"])


def test_in_a_language_of_few_a_panel_too_small_elsewhere_still_speaks() -> None:
    rng = np.random.default_rng(3)
    logits = np.concatenate([rng.normal(0, 1, 900), rng.normal(3, 1, 60)])
    panels = ["calm"] * 900 + ["angry"] * 60
    fresh = rng.normal(3, 1, 20_000)
    flagged = [
        (p_values(fitted(logits, panels=panels, min_panel=300, panel_share=share), fresh) <= 0.1)
        for share in (1.0, 0.05, 0.07)
    ]
    assert flagged[0].mean() > 0.5, "the average hides the panel"
    assert flagged[1].mean() <= 0.1
    assert np.array_equal(flagged[2], flagged[0]), "60 of 960 are fewer than 7%"


def test_p_values_are_those_of_the_paper() -> None:
    """Bates et al. 2023, eq. 11, computed term by term in exact arithmetic."""
    from fractions import Fraction

    n, delta = 30, 0.1
    k = n // 2
    for i in range(n + 1):
        product = Fraction(1)
        for step in range(k):
            product *= Fraction(n - i - step, n - step)
        expected = 1.0 if n - i < k else 1 - delta ** (1 / k) * float(product) ** (1 / k)
        assert adjusted_p_values(n, delta)[i] == pytest.approx(expected, abs=1e-12)


def test_simes_supports_smaller_rates_than_the_dkw_band() -> None:
    """The other adjustment of the paper adds sqrt(log(1/delta) / 2n) to every plain p-value."""
    for n in (300, 1_000, 5_000):
        dkw = 1 / n + np.sqrt(np.log(1 / 0.05) / (2 * n))
        assert smallest_p_value(n) < 0.4 * dkw


@given(st.integers(0, 3_000), st.floats(0.001, 0.5))
@settings(deadline=None, max_examples=60)
def test_p_values_rise_and_stay_above_the_plain_conformal_ones(n: int, delta: float) -> None:
    p = adjusted_p_values(n, delta)
    assert p.shape == (n + 1,)
    assert np.all(np.diff(p) >= 0)
    assert p[0] == smallest_p_value(n, delta)
    assert 0 < p[0] <= p[-1] <= 1
    if delta <= 0.05:
        assert np.all(p[: n // 2] >= (1 + np.arange(n // 2)) / (n + 1))


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=60), st.floats(-25, 25), st.floats(0, 5))
@settings(deadline=None)
def test_a_higher_logit_never_has_a_higher_p_value(
    humans: list[float], logit: float, more: float
) -> None:
    low, high = p_values(fitted(np.array(humans)), np.array([logit, logit + more]))
    assert high <= low


def test_logits_that_only_rounding_tells_apart_have_one_p_value() -> None:
    calibration = fitted(np.array([1.0] * 200 + [0.0] * 200))
    at, below, above = p_values(calibration, np.array([1.0, 1.0 - TIE / 5, 1.0 + TIE / 5]))
    assert at == below == above


def test_strata_are_language_by_tokens_and_merge_until_they_are_large() -> None:
    rng = np.random.default_rng(3)
    n_tokens = np.concatenate([rng.integers(1, 16, 1_500), rng.integers(16, 32, 1_500)])
    calibration = fitted(rng.normal(size=3_000), n_tokens=n_tokens, min_stratum=1_000)
    assert [(s.low, s.high, len(s.logits)) for s in calibration.strata] == [
        (0, 16, 1_500),
        (16, None, 1_500),
    ]
    few = fitted(rng.normal(size=50), n_tokens=np.full(50, 40))
    assert [(s.low, s.high) for s in few.strata] == [(0, None)]
    for count in (1, 15, 16, 31, 500):
        assert sum(s.low <= count < (s.high or np.inf) for s in calibration.strata) == 1


def test_where_no_stratum_speaks_the_p_value_is_nan() -> None:
    calibration = fitted(np.linspace(-1, 1, 100))
    p, floor = calibration.p_values([0.0, np.nan, 0.0], [20, 20, 20], ["fr", "en", "en"])
    assert np.isnan(p).tolist() == [True, True, False]
    assert np.isnan(floor).tolist() == [True, True, False]


def test_describe_lists_each_stratum_with_what_it_can_support() -> None:
    (row,) = fitted(np.linspace(-1, 1, 600)).describe()
    assert row["n_humans"] == 600
    assert row["smallest_p_value"] == pytest.approx(1 - 0.05 ** (1 / 300))


def test_a_calibration_is_of_one_model_and_one_numerics_class() -> None:
    calibration = fitted(np.linspace(-1, 1, 100))
    calibration.check(fingerprint="f", numerics="stub")
    with pytest.raises(CalibrationMismatch, match="model"):
        calibration.check(fingerprint="g", numerics="stub")
    with pytest.raises(CalibrationMismatch, match="numerics"):
        calibration.check(fingerprint="f", numerics="torch-fp32")


def test_json_and_back_keeps_every_p_value() -> None:
    rng = np.random.default_rng(4)
    panels = rng.choice(["a", "b"], 500)
    calibration = fitted(rng.normal(size=500), panels=panels, machines=machines(200))
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    fresh = rng.normal(size=200)
    assert p_values(again, fresh).tolist() == p_values(calibration, fresh).tolist()
    for one, other in zip(again.strata, calibration.strata, strict=True):
        assert (one.line, one.line_of) == (other.line, other.line_of)
    old = {key: item for key, item in calibration.to_dict().items() if key != "strata"}
    strata = [
        {key: item for key, item in stratum.items() if not key.startswith("line")}
        for stratum in calibration.to_dict()["strata"]
    ]
    (stratum,) = Calibration.from_dict(old | {"strata": strata, "temperature": 0.8}).strata
    assert (stratum.line, stratum.line_of) == (UNFITTED, "none")
    with pytest.raises(NotCalibrated):
        Calibration.from_dict({"strata": [{"language": "en"}]})


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none with any text"):
        fitted(np.array([np.nan, np.nan]))
    with pytest.raises(InvalidInput, match="one length"):
        fitted(np.zeros(3), languages=["en"])


def test_columns_of_different_lengths_are_refused() -> None:
    calibration = fitted(np.linspace(-1, 1, 100))
    for call in (calibration.p_values, calibration.probabilities):
        for columns in (([0.5], [20, 20], ["en", "en"]), ([0.5, 0.5], [20, 20], ["en"])):
            with pytest.raises(InvalidInput, match="one length"):
                call(*columns)
    with pytest.raises(InvalidInput, match="one length"):
        fitted(np.zeros(3), machines=([1.0], [20, 20], ["en"]))
    for x, targets in (([1.0, 2.0], [0, 0]), ([1.0, 2.0], [0, 1, 1]), ([], [])):
        with pytest.raises(InvalidInput, match="both classes"):
            fit_line(x, targets, offset=(0, 0), slope=(0, 1))


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan"), "0.01", None])
def test_a_rate_is_a_share_between_0_and_1(rate: float) -> None:
    with pytest.raises(InvalidInput, match="max_fpr"):
        check_share("max_fpr", rate)
    check_share("max_fpr", np.float32(0.01))


def machines(n: int, *, mean: float = 2.0, n_tokens: int = 20, language: str = "en") -> Columns:
    logits = np.random.default_rng(n).normal(mean, 1, n)
    return logits, np.full(n, n_tokens), [language] * n


# Machines that are told easily, hardly, not at all, and worse than by chance; and none.
@pytest.mark.parametrize("mean", [9.0, 2.0, 0.3, 0.0, -3.0, None])
def test_probability_falls_strictly_with_p_and_calls_nothing_at_a_fifth_a_machines(
    mean: float | None,
) -> None:
    """On 20,000 posts, in every stratum."""
    rng = np.random.default_rng(7)
    n = 6_000
    people = rng.normal(0, 1, n), rng.integers(5, 300, n), rng.choice(["en", "zh"], n).tolist()
    found = rng.normal(mean or 0, 1, n), people[1], people[2]
    calibration = Calibration.fit(
        *people,
        rng.choice(["a", "b"], n).tolist(),
        fingerprint="f",
        numerics="n",
        machines=None if mean is None else found,
        min_stratum=600,
    )
    assert len(calibration.strata) >= 6
    fresh = np.concatenate([rng.normal(0, 1, 10_000), rng.normal(mean or 2, 1, 10_000)])
    n_tokens, languages = rng.integers(1, 400, 20_000), rng.choice(["en", "zh"], 20_000)
    check_probabilities(calibration, fresh, n_tokens, languages)
    assert calibration.probability_fitted == (mean is not None)


def check_probabilities(
    calibration: Calibration, logits: np.ndarray, n_tokens: np.ndarray, languages: np.ndarray
) -> None:
    p, _ = calibration.p_values(logits, n_tokens, languages.tolist())
    probability = calibration.probabilities(p, n_tokens, languages.tolist())
    assert np.array_equal(np.isnan(p), np.isnan(probability))
    assert not (probability[p >= 0.2] > 0.5).any()
    assert not (probability[p > 0.05] > 0.95).any()
    for stratum in calibration.strata:
        inside = (n_tokens >= stratum.low) & (n_tokens < (stratum.high or np.inf))
        rows = (languages == stratum.language) & inside
        values, first = np.unique(p[rows], return_index=True)
        at = probability[rows][first]
        assert (np.diff(at) < 0).all(), "strictly"
        assert ((at > 0) & (at < 1)).all()
        if len(values) > 1:
            assert stats.spearmanr(p[rows], probability[rows]).statistic == pytest.approx(-1)


@pytest.mark.slow
@pytest.mark.corpus
def test_on_posts_of_the_corpus_probability_and_p_value_agree_in_every_stratum(
    corpus: Path, embedded: Detector
) -> None:
    """On 2,000 posts, and on 20,000 logits from the lowest of them to the highest."""
    posts = load_posts(corpus)
    rng = np.random.default_rng(0)
    assert embedded.calibration is not None
    scored = embedded.score(posts.take(rng.permutation(len(posts))[:2_000]).texts)
    check_probabilities(embedded.calibration, scored.logit, scored.n_tokens, scored.language)
    known = scored.logit[np.isfinite(scored.logit)]
    logits = rng.uniform(known.min() - 1, known.max() + 1, 20_000)
    listed = rng.choice(np.array(embedded.calibration.languages, dtype=object), 20_000)
    check_probabilities(embedded.calibration, logits, rng.integers(1, 257, 20_000), listed)


def test_probabilities_come_true_where_half_of_the_posts_are_machines() -> None:
    rng = np.random.default_rng(8)
    calibration = fitted(rng.normal(0, 1, 5_000), machines=machines(3_000))
    fresh = np.concatenate([rng.normal(0, 1, 20_000), rng.normal(2, 1, 20_000)])
    truth = np.repeat([0.0, 1.0], 20_000)
    p = p_values(calibration, fresh)
    found = calibration.probabilities(p, np.full(40_000, 20), ["en"] * 40_000)
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.6, 0.8), (0.8, 0.95), (0.95, 1.0)):
        rows = (found >= low) & (found < high)
        assert found[rows].mean() == pytest.approx(truth[rows].mean(), abs=0.12)


def test_a_stratum_of_few_machines_takes_its_languages_line_then_that_of_all() -> None:
    rng = np.random.default_rng(9)
    n = 1_000
    languages = ["en"] * 2 * n + ["de"] * n
    n_tokens = np.repeat([10, 100, 10], n)

    def lines(*parts: Columns) -> list[tuple[str, str]]:
        joined = tuple(np.concatenate([part[i] for part in parts]) for i in range(2))
        codes = [code for part in parts for code in part[2]]
        strata = fitted(
            rng.normal(0, 1, 3 * n),
            n_tokens=n_tokens,
            languages=languages,
            machines=(*joined, codes),
            min_stratum=n,
        ).strata
        for one in strata:
            for other in strata:
                if one.line_of == other.line_of == "all":
                    assert one.line == other.line
        return [(stratum.language, stratum.line_of) for stratum in strata]

    many, few = FEWEST_MACHINES, FEWEST_MACHINES - 1
    assert lines(machines(many, n_tokens=10), machines(few, n_tokens=100)) == [
        ("de", "all"), ("en", "stratum"), ("en", "language"),
    ]  # fmt: skip
    assert lines(machines(few, n_tokens=10), machines(1, language="de")) == [
        ("de", "all"), ("en", "all"), ("en", "all"),
    ]  # fmt: skip
    assert lines(machines(few)) == [("de", "none"), ("en", "none"), ("en", "none")]
    assert lines(machines(900, language="fr")) == [("de", "none"), ("en", "none"), ("en", "none")]


def test_without_machine_posts_the_odds_stay_below_what_a_p_value_can_lend() -> None:
    """Sellke, Bayarri & Berger 2001: at most 1 / (-e p log p), for what they consider."""
    calibration = fitted(np.linspace(-1, 1, 2_000))
    p = np.geomspace(1e-6, EVEN, 200)
    probability = calibration.probabilities(p, np.full(200, 20), ["en"] * 200)
    assert (probability / (1 - probability) <= 1 / (-np.e * p * np.log(p))).all()
    assert not calibration.probability_fitted
    assert calibration.describe()[0]["probability_of"] == "none"


@pytest.mark.parametrize("bounds", [(-20.0, 0.0), (-20.0, 20.0), (0.0, 0.0)])
@pytest.mark.parametrize("mean", [-1.0, 0.5, 3.0])
def test_the_line_is_the_likeliest_one_within_its_bounds(
    bounds: tuple[float, float], mean: float
) -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0, 1, 3_000), rng.normal(mean, 2, 1_000)])
    y = np.repeat([0.01, 0.98], [3_000, 1_000])
    weights = np.where(y > 0.5, 1 / 1_000, 1 / 3_000)

    def loss(line: np.ndarray) -> float:
        z = line[0] + line[1] * x
        return float(weights @ (np.logaddexp(0, z) - y * z))

    slope = (0.05, 3.0)
    best = minimize(loss, [min(bounds[1], 0.0), 1.0], bounds=[bounds, slope], tol=1e-12)
    found = fit_line(x, y, offset=bounds, slope=slope)
    assert loss(np.array(found)) <= best.fun + 1e-9
    assert found == pytest.approx(tuple(best.x), abs=1e-3)


@given(
    st.lists(st.floats(-8, 2), min_size=1, max_size=40),
    st.lists(st.floats(-8, 12), min_size=1, max_size=40),
)
def test_any_fit_ends_within_its_bounds(people: list[float], found: list[float]) -> None:
    targets = [0.0] * len(people) + [1.0] * len(found)
    offset, slope = fit_line(people + found, targets, offset=(-20, 0), slope=(0.05, 3))
    assert -20 <= offset <= 0
    assert 0.05 <= slope <= 3
