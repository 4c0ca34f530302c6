"""The promise: for this calibration set, at every rate at once, with 95% confidence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from textdetect.calibration import (
    TIE,
    Calibration,
    adjusted_p_values,
    fit_temperature,
    smallest_p_value,
)
from textdetect.errors import CalibrationMismatch, InvalidInput, NotCalibrated

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


def test_the_promise_holds_through_fit_and_p_values_panels_and_bins_too() -> None:
    rng = np.random.default_rng(1)
    n, n_sets, broken = 1_200, 300, 0
    panels = np.repeat(["quiet", "angry"], [900, 300])
    shift = np.where(panels == "angry", 2.0, 0.0)
    fresh_quiet, fresh_angry = rng.normal(0, 1, 40_000), rng.normal(2, 1, 40_000)
    for _ in range(n_sets):
        calibration = fitted(rng.normal(shift, 1), panels=panels, n_tokens=rng.integers(5, 60, n))
        for fresh in (fresh_quiet, fresh_angry):
            p = np.sort(p_values(calibration, fresh))
            rates = np.searchsorted(p, RATES, side="right") / len(p)
            broken += bool(np.any(rates > RATES + 2.5 * np.sqrt(RATES / len(p))))
    assert broken / (2 * n_sets) <= 0.05


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
        assert sum(s.holds(np.array([count]))[0] for s in calibration.strata) == 1


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
    calibration = fitted(rng.normal(size=500), panels=panels, temperature=1.7)
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    fresh = rng.normal(size=200)
    assert p_values(again, fresh).tolist() == p_values(calibration, fresh).tolist()
    assert again.probabilities(fresh).tolist() == calibration.probabilities(fresh).tolist()
    with pytest.raises(NotCalibrated):
        Calibration.from_dict({"strata": [{"language": "en"}]})


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none with any text"):
        fitted(np.array([np.nan, np.nan]))
    with pytest.raises(InvalidInput, match="one length"):
        fitted(np.zeros(3), languages=["en"])
    with pytest.raises(InvalidInput, match="both classes"):
        fit_temperature([1.0, 2.0], [0, 0])


def test_the_temperature_is_the_likeliest_one() -> None:
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], [3_000, 1_000])
    logits = 3 * rng.logistic(np.where(labels == 1, 1.0, -1.0))
    weights = np.where(labels == 1, 0.5 / 0.25, 0.5 / 0.75)

    def loss(temperature: float) -> float:
        return float(
            np.mean(weights * np.logaddexp(0, np.where(labels, -1, 1) * logits / temperature))
        )

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x
    assert fit_temperature(logits, labels) == pytest.approx(best, rel=1e-3)


@given(st.floats(allow_nan=False))
def test_probabilities_stay_in_their_range(logit: float) -> None:
    (probability,) = fitted(np.zeros(10), temperature=0.05).probabilities(np.array([logit]))
    assert 0 <= probability <= 1
