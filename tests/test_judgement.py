"""The rule that turns scores into verdicts: in its order, and for any scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from textdetect.model.judgement import MIN_WORDS, judge, scored_posts
from textdetect.posts.scored import FIELDS, Scores, Verdicts
from textdetect.statistics.calibration import Calibration

LONG = "four words or more of text"
LISTED = ("en", "de")
REASONS = (None, "empty", "too_short", "unsupported_language", "too_few_calibration")


def calibration(**options: Any) -> Calibration:
    """Calibrate on 1,000 English humans around -2, 40 German ones and 1,000 Swedish ones."""
    draw = np.random.default_rng(0)
    languages = ["en"] * 1_000 + ["de"] * 40 + ["sv"] * 1_000
    return Calibration.fit(
        draw.normal(-2, 1, len(languages)),
        np.full(len(languages), 20),
        languages,
        ["panel"] * len(languages),
        fingerprint="f",
        numerics="n",
        **options,
    )


CALIBRATION = calibration()


def scores(logits: Sequence[float], n_tokens: int = 20) -> Scores:
    n = len(logits)
    return Scores(
        np.array(logits, dtype=np.float64),
        np.full(n, n_tokens, dtype=np.int64),
        np.zeros(n, dtype=np.bool_),
    )


def judged(
    logits: Sequence[float],
    *,
    texts: Sequence[str] | None = None,
    raw: Sequence[str | None] | None = None,
    languages: Sequence[str] | None = None,
    max_fpr: float = 0.01,
    by: Calibration = CALIBRATION,
) -> dict[str, NDArray[Any]]:
    texts = texts if texts is not None else [LONG] * len(logits)
    languages = languages if languages is not None else ["en"] * len(logits)
    return judge(
        scored_posts(texts, scores(logits), languages, by),
        [None] * len(logits) if raw is None else raw,
        calibration=by,
        listed=LISTED,
        max_fpr=max_fpr,
    )


def one(logit: float, **options: Any) -> tuple[str, bool, str | None]:
    """Give the label, the flag and the reason of one post."""
    text, language = options.pop("text", LONG), options.pop("language", "en")
    columns = judged([logit], texts=[text], languages=[language], **options)
    return columns["label"][0], bool(columns["flagged"][0]), columns["reason"][0]


def test_a_score_beyond_the_humans_is_flagged() -> None:
    assert one(9.0) == ("machine", True, None)


def test_a_low_score_is_human() -> None:
    assert one(-3.0) == ("not_flagged", False, None)


def test_a_score_between_the_two_is_inconclusive() -> None:
    columns = judged([0.0, 0.1])
    assert columns["label"].tolist() == ["uncertain"] * 2
    assert columns["reason"].tolist() == ["inconclusive"] * 2
    assert (columns["probability"] >= 0.5).all()
    assert (columns["p_value"] > 0.01).all()


def test_a_flag_wins_over_a_low_probability() -> None:
    columns = judged([-1.2], max_fpr=0.4)
    assert columns["flagged"][0]
    assert 0.2 < columns["p_value"][0] <= 0.4
    assert columns["probability"][0] < 0.5
    assert columns["label"][0] == "machine"


def test_a_high_probability_stands_beside_a_low_p_value_alone() -> None:
    machines = (np.random.default_rng(1).normal(2, 1, 500), np.full(500, 20), ["en"] * 500)
    columns = judged(np.linspace(-6, 6, 2_000).tolist(), by=calibration(machines=machines))
    p_value, probability = columns["p_value"], columns["probability"]
    assert (np.diff(probability[np.argsort(p_value)]) <= 0).all()
    assert (p_value[probability > 0.5] < 0.2).all()
    assert (p_value[probability > 0.95] <= 0.05).all()
    assert probability.max() > 0.95


def test_a_p_value_at_the_rate_is_flagged() -> None:
    p_value = float(judged([9.0])["p_value"][0])
    assert one(9.0, max_fpr=p_value) == ("machine", True, None)
    assert one(9.0, max_fpr=np.nextafter(p_value, 0)) == ("uncertain", False, "too_few_calibration")


def test_the_reasons_come_in_their_order() -> None:
    nan = float("nan")
    every = {"text": "so good", "language": "sv", "max_fpr": 1e-6}
    assert one(nan, **every | {"text": ""})[2] == "empty"
    assert one(nan, **every)[2] == "empty"
    assert one(nan, **every, raw=["> quoted"])[2] == "no_own_words"
    assert one(9.0, **every)[2] == "too_short"
    assert one(9.0, **every | {"text": LONG})[2] == "unsupported_language"
    assert one(9.0, **every | {"text": LONG, "language": "en"})[2] == "too_few_calibration"
    assert one(0.0)[2] == "inconclusive"
    assert one(9.0)[2] is None


def test_whatever_the_score_a_post_with_a_reason_is_neither_flagged_nor_human() -> None:
    for logit in (-9.0, 0.0, 9.0):
        assert one(logit, text="so good") == ("uncertain", False, "too_short")
        assert one(logit, language="sv") == ("uncertain", False, "unsupported_language")
        assert one(logit, language="und") == ("uncertain", False, "unsupported_language")
        assert one(logit, language="de") == ("uncertain", False, "too_few_calibration")


def test_a_listed_language_without_calibration_humans_has_too_few() -> None:
    english = Calibration.fit(
        [-2.0] * 1_000, [20] * 1_000, ["en"] * 1_000, ["p"] * 1_000, fingerprint="f", numerics="n"
    )
    assert one(9.0, language="de", by=english) == ("uncertain", False, "too_few_calibration")
    assert np.isnan(judged([9.0], languages=["de"], by=english)["p_value"][0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one two three four", None),
        ("one two three", "too_short"),
        ("太好用了", None),
        ("太好用", "too_short"),
        ("http @user one two three", "too_short"),
        ("😀 😀 😀 😀 😀", "too_short"),
    ],
)
def test_words_are_counted_without_links_names_and_emoji(text: str, reason: str | None) -> None:
    assert MIN_WORDS == 4
    assert one(9.0, text=text)[2] == reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n\u200b\ufeff&nbsp;", "empty"),
        ("<p> </p>", "empty"),
        ("> somebody else's", "no_own_words"),
        ("[deleted]", "no_own_words"),
        ("转发微博", "no_own_words"),
        ("!!! ??", "empty"),
        ("\u3164\u2800", "empty"),
    ],
)
def test_what_has_no_words_is_empty_and_what_has_others_has_none_of_its_own(
    raw: str | None, reason: str
) -> None:
    assert one(float("nan"), text="", raw=[raw]) == ("uncertain", False, reason)


def test_tags_that_never_close_take_no_time() -> None:
    assert one(float("nan"), text="", raw=["<" * 10_000_000 + "a"])[2] == "empty"


def test_no_posts_give_empty_columns() -> None:
    columns = judged([])
    assert all(len(columns[name]) == 0 for name in FIELDS)
    assert len(Verdicts(columns, max_fpr=0.01)) == 0


post = st.tuples(
    st.one_of(st.floats(-1e4, 1e4), st.floats(-6, 6), st.just(float("nan"))),
    st.sampled_from([LONG, "so good", "太好用了", "http"]),
    st.sampled_from(["en", "de", "sv", "und"]),
)


def columns_of(rows: list[tuple[float, str, str]]) -> tuple[list[float], list[str], list[str]]:
    logits = [logit for logit, _, _ in rows]
    return logits, [text for _, text, _ in rows], [language for _, _, language in rows]


@settings(deadline=None)
@given(st.lists(post, max_size=20), st.floats(1e-4, 0.5), st.floats(1e-4, 0.5))
def test_the_rule_holds_for_any_scores(
    rows: list[tuple[float, str, str]], one_rate: float, other_rate: float
) -> None:
    logits, texts, languages = columns_of(rows)
    low, high = sorted((one_rate, other_rate))
    strict = judged(logits, texts=texts, languages=languages, max_fpr=low)
    loose = judged(logits, texts=texts, languages=languages, max_fpr=high)
    assert not (strict["flagged"] & ~loose["flagged"]).any()
    np.testing.assert_array_equal(strict["p_value"], loose["p_value"])
    for columns, rate in ((strict, low), (loose, high)):
        for verdict in Verdicts(columns, max_fpr=rate):
            empty = verdict.reason == "empty"
            assert np.isnan(verdict.logit) == empty
            assert np.isnan(verdict.p_value) == np.isnan(verdict.probability)
            assert verdict.flagged == (verdict.label == "machine")
            if verdict.flagged:
                assert verdict.p_value <= rate
            if verdict.reason is None:
                assert verdict.flagged == (verdict.p_value <= rate)
            assert (verdict.label == "uncertain") == (verdict.reason is not None)
            assert verdict.reason in (*REASONS, "inconclusive")
            if verdict.label == "not_flagged":
                assert verdict.probability < 0.5
            if verdict.reason == "inconclusive":
                assert verdict.probability >= 0.5
            assert np.isnan(verdict.p_value) or 0 < verdict.p_value <= 1


@settings(deadline=None)
@given(st.lists(post, min_size=1, max_size=12))
def test_a_verdict_does_not_depend_on_the_other_posts(rows: list[tuple[float, str, str]]) -> None:
    logits, texts, languages = columns_of(rows)
    together = Verdicts(judged(logits, texts=texts, languages=languages), max_fpr=0.01)
    for i, (logit, text, language) in enumerate(rows):
        alone = Verdicts(judged([logit], texts=[text], languages=[language]), max_fpr=0.01)
        assert together[i : i + 1] == alone
