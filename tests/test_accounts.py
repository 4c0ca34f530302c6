"""Accounts: p-values that keep their promise, and one honest row for each account."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from tiny import human_posts, machine_posts
from typer.testing import CliRunner

from textdetect import Detector, score_accounts, score_files
from textdetect.accounts import AccountVerdicts
from textdetect.campaigns import find_campaigns
from textdetect.campaigns.traces import find_traces, read_dump
from textdetect.cli import app
from textdetect.errors import CalibrationMismatch, InvalidInput, NotCalibrated
from textdetect.model.checkpoint import read_manifest, write_calibration, write_manifest
from textdetect.model.runtimes import StubRuntime
from textdetect.posts.scored import Scores
from textdetect.posts.text import normalise
from textdetect.posts.values import account_names
from textdetect.statistics.account_null import (
    MIN_ACCOUNTS,
    MODELLED,
    SIZES,
    AccountNull,
    alike,
    simulated,
    together,
)
from textdetect.statistics.multiplicity import benjamini_hochberg

WORDS = (
    "so",
    "good",
    "to",
    "be",
    "back",
    "here",
    "with",
    "all",
    "of",
    "you",
    "again",
    "today",
    "and",
    "it",
    "was",
    "fun",
    "to",
    "see",
    "that",
)


def people(n: int, rng: np.random.Generator, *, shift: float = 0.0) -> list[NDArray[np.float64]]:
    """Make the logits of n accounts: each has its own level, and 3 to 40 posts around it."""
    sizes = np.exp(rng.uniform(np.log(3), np.log(40), n)).astype(int)
    levels = rng.normal(shift, 1, n)
    return [rng.normal(level, 1.5, size) for level, size in zip(levels, sizes, strict=True)]


def null_of(accounts: list[NDArray[np.float64]]) -> AccountNull:
    return AccountNull.fit(accounts, ["en"] * len(accounts), fingerprint="f", numerics="n")


def test_fresh_human_accounts_are_rarely_called_machines_whatever_their_size() -> None:
    rng = np.random.default_rng(0)
    small, p = [], []
    for _ in range(60):
        null = null_of(people(150, rng))
        fresh = people(100, rng)
        p.append(null.p_values(fresh, ["en"] * 100).p_value)
        small.append(np.array([len(account) < 8 for account in fresh]))
    for group in (np.concatenate(small), ~np.concatenate(small)):
        values = np.concatenate(p)[group]
        for rate in (0.02, 0.05, 0.1, 0.25):
            assert np.mean(values <= rate) <= rate + 3 * np.sqrt(rate / len(values))


@pytest.mark.slow
def test_the_conditional_p_value_holds_for_nineteen_calibration_sets_of_twenty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("textdetect.statistics.account_null.MODELLED", 200)
    rng = np.random.default_rng(1)
    fresh = people(4_000, rng)
    broken = 0
    for _ in range(200):
        null = null_of(people(400, rng))
        found = null.p_values(fresh, ["en"] * len(fresh))
        rates = np.array([0.02, 0.05, 0.1, 0.2])
        broken += bool(np.any((found.conditional[:, None] <= rates).mean(0) > rates + 0.008))
        assert np.all(found.conditional >= found.p_value - 1e-9)
    assert broken <= 0.05 * 200 + 3 * np.sqrt(0.05 * 200)


@pytest.mark.slow
def test_the_false_discovery_rate_is_kept_in_mixes_of_people_and_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("textdetect.statistics.account_null.MODELLED", 2_000)
    rng = np.random.default_rng(2)
    share, found = [], []
    for _ in range(300):
        null = null_of(people(300, rng))
        mixed = [*people(160, rng), *people(40, rng, shift=4.0)]
        q = benjamini_hochberg(null.p_values(mixed, ["en"] * 200).p_value)
        flagged = np.nan_to_num(q, nan=1.0) <= 0.1
        share.append(flagged[:160].sum() / max(1, flagged.sum()))
        found.append(flagged[160:].mean())
    assert np.mean(share) <= 0.1
    assert np.mean(found) > 0.5


def population(n: int, rng: np.random.Generator, odd: float, away: float) -> NDArray[np.float64]:
    """Make 8 logits each of n people, of whom a share `odd` writes far from all others."""
    level = rng.standard_normal((n, 1)) * 2**-0.5 + away * (rng.random((n, 1)) < odd)
    return level + rng.standard_normal((n, 8))


@pytest.mark.parametrize(("odd", "away"), [(0.0, 0.0), (0.01, 2.0)])
def test_accounts_simulated_from_a_few_hundred_score_as_high_as_people_do(
    odd: float, away: float
) -> None:
    rng, rates = np.random.default_rng(3), np.array([0.01, 0.002, 0.0005])
    truth = population(200_000, rng, odd, away).mean(axis=1)
    shares = []
    for _ in range(16):
        known = population(250, rng, odd, away)
        drawn = simulated(known, MODELLED, alike(known)).mean(axis=1)
        shares.append((truth[:, None] >= np.quantile(drawn, 1 - rates)).mean(axis=0))
    assert np.all(np.mean(shares, axis=0) <= 1.2 * rates)


def test_however_odd_some_people_are_few_score_above_all_that_are_known() -> None:
    """What simulated accounts miss stays below one in as many as there are human ones, plus one."""
    rng, above = np.random.default_rng(3), []
    truth = population(200_000, rng, 0.02, 4.0).mean(axis=1)
    for _ in range(16):
        known = population(250, rng, 0.02, 4.0)
        bar = np.quantile(simulated(known, MODELLED, alike(known)).mean(axis=1), 0.9995)
        above.append((truth >= max(bar, known.mean(axis=1).max())).mean())
    assert np.mean(above) <= 1 / 251 + 3 * np.std(above) / 4


def test_an_account_above_all_people_has_a_smaller_p_value_and_says_so() -> None:
    rng = np.random.default_rng(4)
    null = null_of(people(150, rng))
    highest = max(float(np.mean(account[:8])) for account in null.humans["en"])
    asked = [np.full(8, highest - 1.0), np.full(8, highest + 9.0)]
    found, again = (null.p_values(asked, ["en"] * 2) for _ in range(2))
    assert found.modelled.tolist() == [False, True]
    assert found.p_value[0] >= 1 / (found.n_humans[0] + 1) > found.p_value[1]
    assert found.p_value[1] >= 1 / (MODELLED + 1)
    assert found.p_value.tolist() == again.p_value.tolist()
    assert found.conditional[1] > 1 / (found.n_humans[1] + 1)  # promises what was seen alone


def test_five_machines_among_five_hundred_accounts_are_found_beside_a_few_people() -> None:
    rng, found, false = np.random.default_rng(5), [], []
    null = null_of(people(200, rng))
    for _ in range(40):
        mixed = [*people(495, rng), *people(5, rng, shift=6.0)]
        q = benjamini_hochberg(null.p_values(mixed, ["en"] * 500).p_value)
        flagged = np.nan_to_num(q, nan=1.0) <= 0.05
        found.append(flagged[495:].mean())
        false.append(flagged[:495].sum() / max(1, flagged.sum()))
    assert np.mean(found) >= 0.5
    assert np.mean(false) <= 0.05


def test_people_of_another_genre_are_no_machines_where_their_posts_are_not() -> None:
    """Their logits lie above all accounts known; against people of their genre they are usual."""
    rng = np.random.default_rng(6)
    null = null_of(people(150, rng))
    people_elsewhere, machines = people(300, rng, shift=4.0), people(300, rng, shift=8.0)
    spread = np.sqrt(1 + 1.5**2)
    rates = []
    for accounts in (people_elsewhere, machines):
        by_post = [stats.norm.sf(account, 4.0, spread) for account in accounts]
        found = null.p_values(accounts, ["en"] * 300, by_post=by_post)
        alone = null.p_values(accounts, ["en"] * 300)
        assert np.all(found.p_value >= alone.p_value)
        assert np.array_equal(found.modelled, found.p_value < 1 / (1 + found.n_humans))
        rates.append([(each.p_value <= 0.05).mean() for each in (alone, found)])
    assert rates[0][0] > 0.9
    assert rates[0][1] <= 0.05
    assert rates[1][1] > 0.7


def test_posts_taken_together_keep_the_promise_where_they_resemble_each_other() -> None:
    rng, k = np.random.default_rng(7), 8
    levels, own = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, k))
    logits = np.sqrt(0.3) * levels + np.sqrt(0.7) * own
    p = np.sort(together(stats.norm.sf(logits), 0.3))
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert alike(logits[:300]) >= 0.3
    nothing = np.full((1, k), np.nan)
    assert together(nothing, 0.3)[0] > 0.9


def test_q_values_are_those_of_scipy() -> None:
    p = np.random.default_rng(0).uniform(size=200) ** 3
    assert np.allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    with_gaps = np.insert(p, 7, np.nan)
    assert np.allclose(np.delete(benjamini_hochberg(with_gaps), 7), benjamini_hochberg(p))
    assert benjamini_hochberg([]).shape == (0,)


def test_accounts_are_compared_over_as_many_posts_as_enough_people_have() -> None:
    few = [np.zeros(4)] * MIN_ACCOUNTS + [np.zeros(30)] * (MIN_ACCOUNTS - 1)
    found = null_of(few).p_values([np.ones(50), np.ones(5), np.ones(2)], ["en"] * 3)
    assert found.n_compared.tolist() == [4, 4, 0]
    assert np.isnan(found.p_value[2])
    assert np.isnan(null_of(few).p_values([np.ones(9)], ["fr"]).p_value[0])
    assert found.n_humans[:2].tolist() == [len(few), len(few)]
    assert found.p_value[0] <= 1 / (len(few) + 1)
    assert set(found.n_compared[:2].tolist()) <= set(SIZES)


def test_human_accounts_come_back_from_json_and_belong_to_one_model() -> None:
    null = null_of(people(50, np.random.default_rng(0)))
    again = AccountNull.from_dict(json.loads(json.dumps(null.to_dict())))
    account = [np.ones(12)]
    assert again.p_values(account, ["en"]).score == null.p_values(account, ["en"]).score
    with pytest.raises(CalibrationMismatch):
        null.check(fingerprint="other", numerics="n")
    for damaged in ({}, {**null.to_dict(), "statistic": "luck"}, {**null.to_dict(), "humans": 3}):
        with pytest.raises(NotCalibrated):
            AccountNull.from_dict(damaged)
    with pytest.raises(InvalidInput, match="3 posts"):
        null_of([np.ones(2)])


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A detector whose logit is the share of exclamation marks, in tens."""
    return Detector(StubRuntime(lambda text: 10 * text.count("!") / len(text)))


def post(rng: np.random.Generator, *, loud: bool = False) -> str:
    words = rng.choice(WORDS, rng.integers(6, 12))
    return " ".join(f"{w}!" if loud or rng.random() < 0.1 else w for w in words)


@pytest.fixture(scope="module")
def null(detector: Detector) -> AccountNull:
    rng = np.random.default_rng(5)
    logits = [detector.logits([post(rng) for _ in range(12)]) for _ in range(120)]
    return AccountNull.fit(
        logits,
        ["en"] * 120,
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
    )


@pytest.fixture(scope="module")
def dump() -> list[dict[str, Any]]:
    """Ten people and five machines with 15 posts each, shuffled."""
    rng = np.random.default_rng(6)
    rows = [
        {"account": f"{kind}{i}", "text": post(rng, loud=kind == "bot"), "id": n}
        for kind, n_accounts in (("person", 10), ("bot", 5))
        for i in range(n_accounts)
        for n in range(15)
    ]
    return [rows[i] for i in rng.permutation(len(rows))]


def test_machines_are_flagged_people_are_not_and_every_account_has_one_row(
    detector: Detector, null: AccountNull, dump: list[dict[str, Any]]
) -> None:
    found = score_accounts(dump, detector=detector, null=null, fdr=0.1)
    assert found.account.tolist() == list(dict.fromkeys(row["account"] for row in dump))
    assert set(found.account[found.flagged]) == {f"bot{i}" for i in range(5)}
    assert found.n_posts.tolist() == [15] * 15
    assert found.fewest == 1
    table = found.to_table()
    assert table.column_names[:3] == ["account", "n_posts", "n_scored"]
    assert table.num_rows == len(found) == 15


def test_neither_the_order_of_the_rows_nor_the_kind_of_table_matters(
    detector: Detector, null: AccountNull, dump: list[dict[str, Any]]
) -> None:
    first = score_accounts(dump, detector=detector, null=null)
    expected = dict(zip(first.account, first.p_value, strict=True))
    columns = {name: [row[name] for row in reversed(dump)] for name in ("account", "text")}
    for posts in (columns, pa.table(columns), pd.DataFrame(columns)):
        again = score_accounts(posts, detector=detector, null=null)
        assert dict(zip(again.account, again.p_value, strict=True)) == expected


def test_only_what_an_account_words_itself_counts(detector: Detector, null: AccountNull) -> None:
    rng = np.random.default_rng(7)
    own = [post(rng) for _ in range(5)]
    rows = [
        *[("ann", text) for text in own],
        *[
            ("ann", own[0]),
            ("ann", "RT @someone: so good to be back here"),
            ("ann", "yes"),
            ("ann", ""),
        ],
        *[("ben", text) for text in own],
        (None, own[1]),
        (float("nan"), "so good to be back here"),
    ]
    posts = {"account": [name for name, _ in rows], "text": [text for _, text in rows]}
    found = score_accounts(posts, detector=detector, null=null)
    assert found.account.tolist() == ["ann", "ben", None]
    assert found.n_posts.tolist() == [9, 5, 2]
    assert found.n_scored.tolist() == [5, 0, 0]
    assert found.reason.tolist() == [None, "too_few_posts", "no_account"]
    assert not found.flagged[1:].any()


def names_of(found: AccountVerdicts) -> dict[str | None, tuple[int, int]]:
    """Give each account's n_posts and n_scored."""
    columns = (found.account, found.n_posts, found.n_scored)
    return {name: (n, own) for name, n, own in zip(*columns, strict=True)}


@pytest.mark.parametrize(
    "nobody",
    [
        *("[deleted]", "[Removed]", "deleted user", "", " ", "None", "nan", "NaN", "NULL", "<NA>"),
        *("已注销", None, float("nan"), pd.NA, pd.NaT),
    ],
)
def test_names_that_stand_for_nobody_are_no_account(
    nobody: Any, detector: Detector, null: AccountNull
) -> None:
    rng = np.random.default_rng(3)
    texts = [post(rng) for _ in range(12)]
    posts = {"account": [nobody] * 6 + ["ann"] * 6, "text": texts}
    found = score_accounts(posts, detector=detector, null=null)
    assert found.account.tolist() == [None, "ann"]
    assert found.reason.tolist() == ["no_account", None]
    assert np.isnan(found.p_value[0])
    seen = find_campaigns(
        pa.table(posts | {"account": [None] * 6 + ["ann"] * 6, "time": range(12)})
    )
    assert seen.accounts["account"].to_pylist() == ["ann"]


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ([7.0, None, 2.0**53 - 1], ["7", None, "9007199254740991"]),
        (
            [1764300000000000001, 1764300000000000002],
            ["1764300000000000001", "1764300000000000002"],
        ),
        ([1.7643e18, 1.764300000000004e18], ["1764300000000000000", "1764300000000004096"]),
        ([1, "a1", np.int64(5), 2.0], ["1", "a1", "5", "2"]),
        (["007", "1e5", "7.0", " ann\t"], ["007", "1e5", "7.0", "ann"]),
    ],
)
def test_ids_stay_what_they_are(ids: list[Any], names: list[str | None]) -> None:
    assert account_names(ids) == names


@pytest.mark.parametrize(
    "ids",
    [
        [1764312345678901504.0],  # of 1764312345678901434, say
        [float(2**53 + 2)],
        [1.5],
        [float("inf")],
        ["7.9E+017"],
        ["1,7643E+18"],
        ["ann", "1.764300000000004e+18"],
    ],
)
def test_ids_that_lost_their_last_digits_are_refused_in_both_rooms(
    ids: list[Any], detector: Detector, null: AccountNull
) -> None:
    posts = {"account": ids, "text": ["so good to be back here again"] * len(ids)}
    with pytest.raises(InvalidInput, match="as text"):
        score_accounts(posts, detector=detector, null=null)
    with pytest.raises(InvalidInput, match="as text"):
        find_campaigns([{"account": name, "time": 0.0, "text": "so good"} for name in ids])


@given(st.lists(st.integers(0, 2**63 - 1), max_size=40))
def test_a_float_is_its_id_or_refused(ids: list[int]) -> None:
    exact = [n % 2**53 for n in ids]
    assert account_names(map(float, exact)) == [str(n) for n in exact]
    odd = [n for n in ids if n >= 2**53 and int(float(n)) % (1 << n.bit_length() - 50)]
    for n in odd:
        with pytest.raises(InvalidInput):
            account_names([float(n)])


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("column", ["time", "created_utc", "发布时间", "when"])
def test_of_equal_texts_the_earlier_in_time_is_the_authors(
    newest_first: bool, column: str, detector: Detector, null: AccountNull, tmp_path: Path
) -> None:
    rows = [
        {"account": name, "text": text, column: hour * 3600 + 1_733_040_000}
        for hour, name in enumerate(("author", "copier"))
        for text in [post(np.random.default_rng(i)) for i in range(12)]
    ]
    rows = rows[::-1] if newest_first else rows
    options: Any = {"detector": detector, "null": null}
    options |= {"time": "when"} if column == "when" else {}
    file = write_csv(tmp_path / "dump.csv", rows)
    for posts in (rows, file, pd.DataFrame(rows)):
        found = score_accounts(posts, **options)
        assert names_of(found) == {"author": (12, 12), "copier": (12, 0)}
        assert (found.n_by_order, "copies" in "".join(found.lines())) == (0, False)


def test_without_times_the_earlier_row_is_the_authors_and_it_is_said(
    detector: Detector, null: AccountNull
) -> None:
    texts = [post(np.random.default_rng(i)) for i in range(12)]
    posts = {"account": ["ann"] * 12 + ["ben"] * 12, "text": texts * 2}
    unknown = posts | {"date": ["soon"] * 24}
    for table in (posts, unknown):
        found = score_accounts(table, detector=detector, null=null)
        assert names_of(found) == {"ann": (12, 12), "ben": (12, 0)}
        assert "copies: 12 posts" in "\n".join(found.lines())
    half = posts | {"date": [None] * 12 + ["2024-12-01T08:00"] * 12}
    found = score_accounts(half, detector=detector, null=null)
    assert names_of(found) == {"ann": (12, 0), "ben": (12, 12)}


@pytest.mark.parametrize(
    ("column", "others", "own"),
    [
        ("repost", "true", "false"),
        ("is_retweet", 1, 0),
        ("Is_Repost", True, None),
        ("reblog", {"id": "7"}, None),
        ("retweeted_status", "7", "nan"),
        ("forwarded_from", "Channel 7", ""),
        ("是否转发", "是", "否"),
        ("是否原创", "False", "True"),
        ("是否原创", "否", None),
    ],
)
def test_what_a_column_marks_as_a_repost_counts_in_n_posts_only(
    column: str, others: Any, own: Any, detector: Detector, null: AccountNull, tmp_path: Path
) -> None:
    texts = [post(np.random.default_rng(i)) for i in range(10)]
    rows = [
        {"account": "ann", "text": text, column: others if i < 4 else own, "time": 60.0 * i}
        for i, text in enumerate(texts)
    ]
    file = tmp_path / "dump.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for posts in (rows, file):
        found = score_accounts(posts, detector=detector, null=null)
        assert names_of(found) == {"ann": (10, 6)}
    kinds = find_traces(read_dump(rows)).kinds.tolist()
    assert (kinds.count("repost"), kinds.count("text")) == (4, 6)


def test_a_count_or_an_odd_mark_is_no_repost(detector: Detector, null: AccountNull) -> None:
    texts = [post(np.random.default_rng(i)) for i in range(8)]
    posts = {"account": ["ann"] * 8, "text": texts, "retweet": [12] * 4 + ["?"] * 4}
    assert names_of(score_accounts(posts, detector=detector, null=null)) == {"ann": (8, 8)}


def test_own_words_are_scored_whatever_stands_beside_them(
    detector: Detector, null: AccountNull
) -> None:
    texts = [post(np.random.default_rng(i)) for i in range(8)]
    bot = "so! good! to! be! here!"
    expected = score_accounts({"account": ["ann"] * 8, "text": texts}, detector=detector, null=null)
    for around in ("> " + bot + "\n{}", "{} RT @bot: " + bot, "{}//@bot:" + bot, "<p>{}</p>"):
        dressed = [around.format(text) for text in texts]
        posts = {"account": ["ann"] * 9, "text": [*dressed, around.format("")]}
        found = score_accounts(posts, detector=detector, null=null)
        assert names_of(found) == {"ann": (9, 8)}
        assert found.score.tolist() == expected.score.tolist()


def test_a_file_of_texts_alone_has_no_accounts(
    detector: Detector, null: AccountNull, tmp_path: Path
) -> None:
    (tmp_path / "posts.csv").write_text("text\nso good\n")
    with pytest.raises(InvalidInput, match=r"for accounts among 'text'; .*--account-column"):
        score_accounts(tmp_path / "posts.csv", detector=detector, null=null)


def test_a_language_without_human_accounts_says_so(detector: Detector, null: AccountNull) -> None:
    chinese = ["今天天气真好我们去公园吧", "这家店的菜很好吃下次还来", "昨天晚上看了一部电影不错"]
    posts = {"account": ["li"] * 3, "text": chinese}
    found = score_accounts(posts, detector=detector, null=null)
    assert found.reason.tolist() in (["too_few_posts"], ["unsupported_language"])
    assert np.isnan(found.p_value[0])


@pytest.mark.parametrize(
    ("posts", "options", "says"),
    [
        ({"text": ["a"]}, {}, "no column of a usual name for accounts among 'text'"),
        ([{"account": "a", "id": 1}], {}, "no column of a usual name for posts"),
        (pa.table({"account": ["a"], "id": [1]}), {}, "for posts .* name one with text= "),
        ({"account": ["a"], "text": ["b"]}, {"time": "when"}, "no column 'when'"),
        ({"account": [{"x": 1}], "text": ["b"]}, {}, "for accounts .*'account.x'; name one with"),
        (3, {}, "expected a table"),
        ({"account": ["a"], "text": ["b", "c"]}, {}, "differ in length"),
        ({"account": ["a"], "text": ["b"]}, {"fdr": 0}, "fdr"),
        ({"account": ["a"], "text": [5]}, {}, "expected str"),
    ],
)
def test_what_cannot_be_used_says_why(
    posts: Any, options: dict[str, Any], says: str, detector: Detector, null: AccountNull
) -> None:
    with pytest.raises(InvalidInput, match=says):
        score_accounts(posts, detector=detector, null=null, **options)


def test_no_posts_are_no_accounts(detector: Detector, null: AccountNull) -> None:
    found = score_accounts([], detector=detector, null=null)
    assert (len(found), found.fewest) == (0, 0)


def test_without_human_accounts_there_is_no_verdict(detector: Detector, tiny: Any) -> None:
    for one in (detector, Detector.from_pretrained(tiny)):
        with pytest.raises(NotCalibrated, match="no human accounts"):
            score_accounts({"account": ["a"], "text": ["b"]}, detector=one)


def write_csv(path: Path, rows: list[dict[str, Any]], *, broken: str = "") -> Path:
    lines = [",".join(rows[0]), *(",".join(f'"{v}"' for v in row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n" + broken)
    return path


def test_a_file_says_what_the_same_posts_in_memory_say(
    detector: Detector, null: AccountNull, dump: list[dict[str, Any]], tmp_path: Path
) -> None:
    expected = score_accounts(dump, detector=detector, null=null)
    csv = write_csv(tmp_path / "dump.csv", dump, broken="a,b\n")
    jsonl = tmp_path / "dump.jsonl"
    jsonl.write_text("".join(json.dumps(row) + "\n" for row in dump) + "{broken\n")
    for file in (csv, jsonl):
        found = score_accounts(file, detector=detector, null=null)
        assert found.to_table().equals(expected.to_table())
        assert (found.n_unreadable, expected.n_unreadable) == (1, 0)
    parquet = tmp_path / "dump.parquet"
    renamed = [{"Screen_Name": row["account"], "tweet": row["text"]} for row in dump]
    pa.parquet.write_table(pa.Table.from_pylist(renamed), parquet)
    assert score_accounts(parquet, detector=detector, null=null).to_table() == expected.to_table()
    with pytest.raises(InvalidInput, match="--account-column"):
        score_accounts(csv, detector=detector, null=null, account="nobody")


@pytest.fixture(scope="module")
def with_accounts(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tiny checkpoint that knows 60 human accounts."""
    folder = tmp_path_factory.mktemp("accounts") / "model"
    shutil.copytree(tiny, folder)
    detector = Detector.from_pretrained(folder)
    posts = human_posts(360, seed=11)
    logits = [detector.logits(posts[i::60]) for i in range(60)]
    fitted = AccountNull.fit(
        logits,
        ["en"] * 60,
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
    )
    write_calibration(folder, fitted)
    write_manifest(folder, read_manifest(folder))
    return folder


def test_the_command_writes_a_row_an_account_and_says_what_it_could_not_compare(
    with_accounts: Path, tmp_path: Path
) -> None:
    rows = [
        {"user": f"{name}{i % 6}", "text": text}
        for name, posts in (("ann", human_posts(36, seed=3)), ("bot", machine_posts(36, seed=4)))
        for i, text in enumerate(posts)
    ]
    rows.append({"user": "once", "text": "so good to be back here again"})
    dump = write_csv(tmp_path / "dump.csv", rows, broken="x,y,z\n")
    for out in (tmp_path / "accounts.parquet", tmp_path / "accounts.csv"):
        arguments = ["accounts", dump, "-o", out, "--fdr", "0.05", "--model", with_accounts]
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 3, result.stderr
        assert "13 accounts: 6 flagged at a false-discovery rate of 0.05" in result.stderr
        assert "not compared: 1: too few posts of its own that can be scored" in result.stderr
        assert "unreadable: 1 rows" in result.stderr
        table = pd.read_parquet(out) if out.suffix == ".parquet" else pd.read_csv(out)
        assert len(table) == 13
        assert set(table.account[table.flagged]) == {f"bot{i}" for i in range(6)}
    bad = CliRunner().invoke(
        app, ["accounts", str(dump), "--fdr", "2", "--model", str(with_accounts)]
    )
    assert (bad.exit_code, bad.stderr.count("\n")) == (2, 1)


class Counting(StubRuntime):
    """A stub that remembers what it was asked."""

    def __init__(self, fingerprint: str = "counting") -> None:
        super().__init__(fingerprint=fingerprint)
        self.asked: list[str] = []

    def run(self, texts: Sequence[str]) -> Scores:
        self.asked += texts
        return super().run(texts)


def counting(fingerprint: str = "counting") -> tuple[Counting, Detector, AccountNull]:
    """Give a runtime that counts, a calibrated detector of it, and its human accounts."""
    runtime, humans = Counting(fingerprint), human_posts(660, seed=1)
    detector = Detector(runtime).calibrate(humans[:600], languages=["en"] * 600)
    logits = [detector.logits([f"{text} {i}" for i in range(4)]) for text in humans[600:]]
    facts = {"fingerprint": fingerprint, "numerics": detector.numerics}
    null = AccountNull.fit(logits, ["en"] * len(logits), **facts)
    runtime.asked.clear()
    return runtime, detector, null


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_a_file_that_was_scored_is_not_scored_again(format: str, tmp_path: Path) -> None:
    runtime, detector, null = counting()
    texts = [*human_posts(40, seed=3), "", "so", "RT @ann: so good to see you all again"]
    rows = [{"account": f"a{i % 4}", "text": text} for i, text in enumerate(texts)]
    (tmp_path / "dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = score_accounts(tmp_path / "dump.jsonl", detector=detector, null=null)
    scored = tmp_path / f"scored.{format}"
    score_files(tmp_path / "dump.jsonl", scored, detector=detector)
    runtime.asked.clear()
    found = score_accounts(scored, detector=detector, null=null)
    assert runtime.asked == []
    assert found.to_table() == expected.to_table()
    other, another, its_null = counting("another")
    score_accounts(scored, detector=another, null=its_null)
    assert len(other.asked) == 41


def test_of_a_file_that_was_scored_in_part_the_rest_is_scored(tmp_path: Path) -> None:
    runtime, detector, null = counting()
    rows = [
        {"account": f"a{i % 3}", "text": text} for i, text in enumerate(human_posts(30, seed=3))
    ]
    expected = score_accounts(rows, detector=detector, null=null)
    verdicts = detector.predict([row["text"] for row in rows])
    model = f"{detector.fingerprint[:16]} {detector.numerics}"
    for at, row in enumerate(rows):
        columns = {f"td_{name}": verdicts[name][at] for name in ("logit", "n_tokens", "language")}
        row |= columns | {"td_model": model if at % 2 else None}
    runtime.asked.clear()
    found = score_accounts(rows, detector=detector, null=null)
    assert runtime.asked == [normalise(row["text"]) for row in rows[::2]]
    assert found.to_table() == expected.to_table()
    rows[1]["td_logit"] = "high"
    with pytest.raises(InvalidInput, match="td_logit"):
        score_accounts(rows, detector=detector, null=null)


def test_each_post_is_normalised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, detector, null = counting()
    seen: list[str] = []

    def counted(text: str) -> str:
        seen.append(text)
        return normalise(text)

    for room in ("model.detector", "accounts", "model.judgement"):
        monkeypatch.setattr(f"textdetect.{room}.normalise", counted)
    texts = human_posts(20, seed=3)
    score_accounts({"account": ["ann"] * 20, "text": texts}, detector=detector, null=null)
    assert seen == texts
