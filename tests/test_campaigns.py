"""The search for campaigns: what it finds, whom it leaves alone, and what it makes of bad input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import script
from typer.testing import CliRunner

from textdetect.campaigns import Campaigns, find_campaigns
from textdetect.campaigns.communities import agreement, coreness
from textdetect.campaigns.evidence import verify
from textdetect.campaigns.likeness import find_alike
from textdetect.campaigns.null import permuted_worlds
from textdetect.campaigns.objects import objects_in
from textdetect.campaigns.projection import Edges, find_edges, find_meetings
from textdetect.campaigns.texts import near_identical
from textdetect.campaigns.traces import find_traces, read_dump
from textdetect.cli import app
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.tables import read_posts
from textdetect.posts.writers import write_table
from textdetect.statistics.multiplicity import empirical_q_values

simulate = script("simulate")
Planted, World, simulate_world = simulate.Planted, simulate.World, simulate.simulate_world

START = datetime(2024, 12, 1, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> World:
    """Give a world of 500 accounts, 50 of them a campaign's."""
    return simulate_world(
        n_accounts=500, n_posts=5_000, campaigns=[Planted(n_accounts=50, reach=0.2)]
    )


@pytest.fixture(scope="module")
def found(world: World) -> Campaigns:
    """Give what is found in it."""
    return find_campaigns(world.posts)


def planted(world: World) -> set[str]:
    """Give the names of the campaign's accounts."""
    rows = world.truth.to_pylist()
    return {row["account"] for row in rows if row["campaign"] is not None}


def members(found: Campaigns) -> set[str]:
    """Give the names of all accounts in campaigns."""
    return {name for one in found.campaigns for name in one.accounts}


def test_a_planted_campaign_is_found_and_people_are_left_alone(
    world: World, found: Campaigns
) -> None:
    assert len(found.campaigns) == 1
    listed, true = members(found), planted(world)
    assert len(listed & true) / len(listed) >= 0.95
    assert len(listed & true) / len(true) >= 0.7
    one = found.campaigns[0]
    assert one.p_value == found.settings.smallest_p_value == 0.05
    assert one.statistic > found.null_maxima.max()


def test_the_tables_agree_with_each_other(world: World, found: Campaigns) -> None:
    accounts = found.accounts
    assert accounts["account"].to_pylist() == sorted(set(world.posts["account"].to_pylist()))
    assert pc.sum(accounts["n_posts"]).as_py() == world.posts.num_rows
    inside = accounts.filter(pc.is_valid(accounts["campaign"]))
    assert set(inside["account"].to_pylist()) == members(found)
    names = world.posts["account"].to_pylist()
    edges = found.edges.to_pylist()
    for place in range(0, len(edges), 37):
        rows = found.posts_behind(place)
        assert len(rows) >= edges[place]["n_meetings"] >= 2
        for pair in rows:
            assert {names[row] for row in pair} == {edges[place]["a"], edges[place]["b"]}


@pytest.mark.parametrize("seed", range(4))
def test_organic_bursts_are_no_campaign(seed: int) -> None:
    world = simulate_world(n_accounts=300, n_posts=3_000, seed=seed)
    assert find_campaigns(world.posts, seed=seed).campaigns == ()


def test_the_order_of_the_rows_changes_nothing(world: World, found: Campaigns) -> None:
    order = np.random.default_rng(0).permutation(world.posts.num_rows)
    again = find_campaigns(world.posts.take(pa.array(order)))
    assert again.accounts.equals(found.accounts)
    assert again.edges.equals(found.edges)
    assert again.campaigns == found.campaigns


def test_frames_dicts_and_tables_give_the_same(world: World, found: Campaigns) -> None:
    frame = world.posts.to_pandas()
    for posts in (frame, frame.to_dict("records")):
        assert find_campaigns(posts).accounts.equals(found.accounts)


def test_chinese_messages_are_found_too() -> None:
    campaign = Planted(n_accounts=50, reach=0.2, links=0.0)
    world = simulate_world(
        n_accounts=400, n_posts=4_000, campaigns=[campaign], language="zh", seed=1
    )
    listed = members(find_campaigns(world.posts))
    assert len(listed & planted(world)) / len(listed) >= 0.95


def posts_of(*rows: tuple[str, float, str]) -> list[dict[str, Any]]:
    """Make posts of (account, minute, url)."""
    return [
        {"account": name, "time": (START + timedelta(minutes=minute)).isoformat(), "url": url}
        for name, minute, url in rows
    ]


def test_a_viral_object_does_not_explode_into_pairs() -> None:
    def viral(n: int) -> pa.Table:
        return pa.table(
            {
                "account": [f"u{i}" for i in range(n)],
                "time": pa.array(np.linspace(0, 250, n) + START.timestamp()),
                "url": ["https://example.org/viral"] * n,
            }
        )

    traces = find_traces(read_dump(viral(20_000)))
    meetings = find_meetings(traces, 300.0, max_pairs=1_000_000)
    assert len(meetings.first) <= 1_000_000
    assert meetings.n_cut > 0
    assert "most crowded moments" in " ".join(find_campaigns(viral(2_000)).notes)


def test_a_hub_that_all_answer_makes_no_campaign() -> None:
    rng = np.random.default_rng(0)
    posts = [
        {
            "account": f"u{rng.integers(200)}",
            "time": float(START.timestamp() + rng.uniform(0, 20 * 86_400)),
            "reply_to": "hub",
        }
        for _ in range(4_000)
    ]
    assert find_campaigns(posts).campaigns == ()


def test_who_meets_once_is_no_edge() -> None:
    traces = find_traces(read_dump(posts_of(("a", 0, "x"), ("b", 1, "x"), ("c", 2, "x"))))
    meetings = find_meetings(traces, 300.0)
    assert len(meetings.first) == 3
    assert len(find_edges(traces, meetings, traces.account)) == 0


def test_one_burst_counts_once_however_long() -> None:
    rows = [(name, minute, f"u{minute}") for minute in range(10) for name in "ab"]
    traces = find_traces(read_dump(posts_of(*rows)))
    meetings = find_meetings(traces, 30.0)
    assert len(meetings.first) == 10
    assert len(find_edges(traces, meetings, traces.account)) == 0  # all in one hour


def test_permuted_worlds_keep_every_accounts_activity(world: World) -> None:
    traces = find_traces(read_dump(world.posts))
    for account in permuted_worlds(traces, 2, seed=3):
        for stratum in np.unique(traces.stratum)[:20]:
            of = traces.stratum == stratum
            assert sorted(account[of]) == sorted(traces.account[of])
        assert not np.array_equal(account, traces.account)


def test_near_identical_texts_are_one_object_and_others_are_not() -> None:
    base = "the new model was quietly recalled last week and nobody told the owners about it"
    texts = [base, f"{base}!!", base.replace("quietly", "secretly"), "so good", base[::-1]]
    found = near_identical(texts)
    assert found[0] == found[1] == found[2] != found[4]
    assert found[3] == -1


def test_coreness_of_a_clique_and_a_pair() -> None:
    pairs = [(a, b) for a in range(5) for b in range(a + 1, 5)] + [(7, 8)]
    a, b = np.array(pairs, dtype=np.int32).T
    n = len(a)
    none = np.zeros(0, np.int64)
    edges = Edges(a, b, np.full(n, 2), np.ones(n), np.full(n, 3.0), none, none)
    scores = coreness(edges, 10)
    assert scores[:5].tolist() == [12.0] * 5
    assert scores[5:].tolist() == [0.0] * 5


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30))
@settings(max_examples=50)
def test_agreement_is_one_with_itself_and_symmetric(labels: list[int]) -> None:
    one = np.array(labels)
    assert agreement(one, one) == pytest.approx(1.0)
    other = one[::-1].copy()
    assert agreement(one, other) == pytest.approx(agreement(other, one))


def test_q_values_rise_as_scores_fall() -> None:
    rng = np.random.default_rng(0)
    scores = rng.exponential(1, 200)
    q_values = empirical_q_values(scores, rng.exponential(1, 3_800), 19)
    assert np.all(np.diff(q_values[np.argsort(-scores)]) >= 0)
    assert q_values.min() > 0.2  # no account stands out of its own null


def test_accounts_without_a_score_make_no_one_elses_q_value_smaller() -> None:
    null = np.array([4.5, 3.0, 2.0])
    few = empirical_q_values(np.array([4.0]), null, 19)
    among_many = empirical_q_values(np.array([4.0] + [0.0] * 1_000), null, 19)
    assert among_many[0] == few[0] == 2 / 20
    assert set(among_many[1:]) == {1.0}


BAD: list[tuple[str, Any, dict[str, Any]]] = [
    ("for accounts among 'time', 'url'; name one with account=", [{"time": 0.0, "url": "x"}], {}),
    ("for times among", [{"author": "a", "url": "x"}], {}),
    ("no object column", [{"account": "a", "time": 0.0, "reply_to": {"id": 1}}], {}),
    (
        "4 of 5 posts have the id, account, time and text of another",
        [{"account": "a", "time": 0.0, "text": "hi", "id": 1}] * 5,
        {},
    ),
    ("no text and no object column", [{"account": "a", "time": 0.0}], {}),
    ("without a time zone", [{"account": "a", "time": "2024-12-01T08:00:00", "url": "x"}], {}),
    (
        "1 times have a time zone and 1 have none",
        [
            {"account": "a", "time": "2024-12-01T08:00:00Z", "url": "x"},
            {"account": "b", "time": "2024-12-01T08:00:00", "url": "x"},
        ],
        {},
    ),
    (
        "row 0: no time",
        [{"account": "a", "time": "yesterday", "url": "x"}],
        {"time_zone": "UTC"},
    ),
    ("a list of mappings, got int in row 0", [7], {}),
    ("no posts", [], {}),
    ("a window", posts_of(("a", 0, "x")), {"window": "soon"}),
    ("one day", posts_of(("a", 0, "x")), {"window": "48h"}),
    ("pass n_worlds=99", posts_of(("a", 0, "x")), {"fdr": 0.01}),
    ("near_duplicate", posts_of(("a", 0, "x")), {"near_duplicate": 0.0}),
    ("fdr in", posts_of(("a", 0, "x")), {"fdr": 1.5}),
]


@pytest.mark.parametrize(("message", "posts", "options"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_is_a_clear_error(message: str, posts: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=message):
        find_campaigns(posts, **options)


def test_odd_input_gets_a_sensible_answer() -> None:
    one_account = posts_of(*[("a", minute, f"u{minute}") for minute in range(50)])
    one_each = posts_of(*[(f"u{i}", i, f"x{i}") for i in range(50)])
    all_at_once = posts_of(*[(f"u{i % 20}", 0, f"x{i}") for i in range(200)])
    for posts in (one_account, one_each, all_at_once):
        found = find_campaigns(posts)
        assert found.campaigns == ()
        assert pc.sum(found.accounts["n_posts"]).as_py() == len(posts)
    empty = pa.table({"account": pa.array([], pa.string()), "time": pa.array([], pa.float64()),
                      "url": pa.array([], pa.string())})  # fmt: skip
    assert find_campaigns(empty).accounts.num_rows == 0


@pytest.mark.slow
def test_a_million_posts_of_one_account_cost_no_pairs() -> None:
    n = 200_000
    posts = pa.table(
        {
            "account": ["busy"] * n + ["quiet"],
            "time": pa.array(np.arange(n + 1) * 10.0 + START.timestamp()),
            "text": [f"breaking number {i % 1000} of the day from here" for i in range(n)] + ["hi"],
        }
    )
    found = find_campaigns(posts)
    assert found.campaigns == ()
    assert found.accounts["n_posts"].to_pylist() == [n, 1]


def test_what_is_left_out_is_counted() -> None:
    rows = posts_of(("a", 0, "x"), ("b", 1, "x"), ("", 2, "x"))
    rows = [row | {"id": name} for row, name in zip([*rows, rows[0]], "pqrp", strict=True)]
    found = find_campaigns([*rows, {"account": "c", "time": None, "url": "x", "id": "s"}])
    assert pc.sum(found.accounts["n_posts"]).as_py() == 2
    assert "2 posts without an account or a time left out" in found.notes
    repeats = "1 posts left out that repeat another: the same id, account, time and text"
    assert repeats in found.notes


@pytest.mark.parametrize("number", ["telegram", "spreadsheet", "account", "none", "float"])
def test_ids_that_are_not_unique_leave_no_post_out(
    number: str, world: World, found: Campaigns
) -> None:
    frame = world.posts.to_pandas()
    frame["id"] = {
        "telegram": frame.groupby("account").cumcount() + 1,
        "spreadsheet": "1.76430E+18",
        "account": frame["account"],
        "none": None,
        "float": 1.7643e18 + np.arange(len(frame)) // 2,
    }[number]
    again = find_campaigns(frame)
    assert again.campaigns == found.campaigns
    assert again.accounts.equals(found.accounts)
    assert not [note for note in again.notes if "left out" in note]
    assert bool(again.notes) == (number != "none")


def test_columns_are_found_by_their_usual_names(world: World, found: Campaigns) -> None:
    table = world.posts.rename_columns(
        ["id", "Screen_Name", "created_at", "content", "url", "hashtags", "reply_to", "is_retweet"]
    )
    assert find_campaigns(table).accounts.equals(found.accounts)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    assert find_campaigns(columns).accounts.equals(found.accounts)
    frame = table.to_pandas().astype({"Screen_Name": object}).assign(extra=[1, "a"] * 2_500)
    assert find_campaigns(frame).accounts.equals(found.accounts)


def test_numbers_and_strings_in_one_column_are_text() -> None:
    rows = [{"account": name, "time": 0.0, "url": "x", "id": name} for name in (1, "a1", 2.0)]
    for posts in (rows, pd.DataFrame(rows)):
        assert read_dump(posts).accounts.tolist() == ["1", "2", "a1"]


def objects(*texts: str, repost: bool | None = None) -> list[tuple[str, int]]:
    """Give each post's kind and object; −1 where it has none."""
    rows = [
        {"account": f"u{i}", "time": float(i), "text": text, "repost": repost}
        for i, text in enumerate(texts)
    ]
    traces = find_traces(read_dump(rows))
    of = {
        post: (traces.kinds[one], one) for post, one in zip(traces.post, traces.object, strict=True)
    }
    return [of.get(i, ("", -1)) for i in range(len(texts))]


def test_a_text_is_the_accounts_own_words_and_a_repost_the_others() -> None:
    own = "the bridge over the mill is closed again this week"
    theirs = "nobody at the council has answered a single letter since May"
    found = objects(own, f"> {theirs}\n\n{own}", f"<p>{own}</p>", f"{own} RT @ann: {theirs}")
    assert {kind for kind, _ in found} == {"text"}
    assert len(set(found)) == 1
    again = objects(theirs, f"RT @ann: {theirs}", f"yes! RT @ben: {theirs}", f"好//@小明:{theirs}")
    assert [kind for kind, _ in again] == ["text", "repost", "repost", "repost"]
    assert len(set(again[1:])) == 1
    marked = objects(theirs, f"RT @ann: {theirs}", repost=True)
    assert marked[0] == marked[1]
    assert marked[0][0] == "repost"
    placeholders = objects("转发微博", "轉發微博", "//@某某:转发微博", "[deleted]", "[removed]")
    assert {kind for kind, _ in placeholders} == {""}


def test_a_page_is_one_object_whatever_its_scheme_and_host() -> None:
    pages = ["http://x.example/a", "https://x.example/a/", "https://www.x.example/a?utm_source=b"]
    pages += ["HTTPS://m.x.example/a#top", "mobile.X.example/a", "x.example/a"]
    traces = find_traces(read_dump(posts_of(*[(f"u{i}", i, url) for i, url in enumerate(pages)])))
    assert set(traces.object) == {0}
    apart = ["https://m.me/a", "https://me/a", "https://mx.example/a", "https://x.example/b"]
    traces = find_traces(read_dump(posts_of(*[(f"u{i}", i, url) for i, url in enumerate(apart)])))
    assert len(set(traces.object)) == 4


OBJECTS_IN: list[tuple[str, list[str]]] = [
    ("see http://m.x.example/a?utm_source=b&id=2, and https://x.example/a?id=2!",
     ["url x.example/a?id=2"]),
    ("two www.x.example/b https://t.co/Ab1", ["url x.example/b", "short_url t.co/Ab1"]),
    ("链接https://x.example/c看这里", ["url x.example/c"]),
    ("#Vote now #VOTE #2024 it&#39;s", ["hashtags vote"]),
    ("#某某事件#后续#真相 大白#", ["hashtags 某某事件", "hashtags 真相 大白"]),
    ("#今天 好#明天", ["hashtags 今天", "hashtags 明天"]),
    ("@ann @ben no, ask @Cat_1 or a@b.example", ["mention cat_1"]),
    ("call +44 20 7946 0958 or 13800138000", ["contact 442079460958", "contact 13800138000"]),
    ("加微信:ab_1234 邀请码 K7P9", ["contact ab_1234", "contact k7p9"]),
    ("join with promo code SAVE20", ["contact save20"]),
    ("join us on telegram for the 2024 season", []),
    ("so good RT @ann: see https://x.example/d #they", []),
    ("> https://x.example/e\n\nnot so", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), OBJECTS_IN, ids=[each[0] for each in OBJECTS_IN])
def test_objects_come_from_an_accounts_own_words(text: str, expected: list[str]) -> None:
    assert sorted(" ".join(each) for each in objects_in(text)) == sorted(expected)


def kinds_of(*rows: dict[str, Any], **options: Any) -> set[tuple[str, int]]:
    """Give the kinds of the objects of some posts, each with how many accounts touched it."""
    posts = [{"account": f"u{i}", "time": float(i)} | row for i, row in enumerate(rows)]
    traces = find_traces(read_dump(posts), **options)
    n = np.bincount(traces.object)
    return {(str(kind), int(n[i])) for i, kind in enumerate(traces.kinds) if kind != "text"}


def test_each_tag_of_a_post_is_an_object_in_a_column_or_in_the_text() -> None:
    columns = [{"hashtags": "#one #two"}, {"hashtags": "two;three"}, {"hashtags": "['two']"}]
    assert kinds_of(*columns) == {("hashtags", 1), ("hashtags", 3)}
    assert kinds_of(*columns, from_text=False) == {("hashtags", 1)}
    texts = [{"text": "so #one #two"}, {"text": "no #two x.example"}, {"text": "#TWO"}]
    assert kinds_of(*texts) == {("hashtags", 1), ("hashtags", 3)}
    assert kinds_of(*texts, from_text=False) == set()
    beside = [{"text": "#one #two", "hashtags": "three"}] * 2
    assert kinds_of(*beside) == {("hashtags", 2)}
    assert kinds_of({"text": "see https://x.example/a", "repost": True}) == set()


def test_the_tag_that_a_dump_was_collected_by_is_no_object() -> None:
    many = [{"text": f"#theme #own{i % 7}"} for i in range(400)]
    assert kinds_of(*many) == {("hashtags", n) for n in (57, 58)}


@pytest.mark.parametrize("knobs", [{"links": 1.0}, {"tags": 1.0}])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_link_or_a_tag_in_the_texts_gives_a_network_away(
    knobs: dict[str, float], language: str
) -> None:
    campaign = Planted(
        n_accounts=60,
        links=knobs.get("links", 0.0),
        reach=0.2,
        filler=0.1,
        paraphrase=1.0,
        tags=knobs.get("tags", 0.0),
    )
    world = simulate_world(
        n_accounts=360, n_posts=4_320, campaigns=[campaign], in_text=True, language=language
    )
    listed = members(find_campaigns(world.posts))
    assert len(listed & planted(world)) >= 54
    assert listed <= planted(world)


@pytest.mark.parametrize("knobs", [{"paraphrase": 0.4}, {"reworded": True}])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_network_that_words_each_message_anew_is_found(
    knobs: dict[str, Any], language: str
) -> None:
    campaign = Planted(n_accounts=60, reach=0.2, filler=0.1, links=0.0, **knobs)
    world = simulate_world(
        n_accounts=360, n_posts=4_320, campaigns=[campaign], in_text=True, language=language
    )
    assert members(find_campaigns(world.posts, alike=0)) == set()
    listed = members(find_campaigns(world.posts))
    assert len(listed & planted(world)) >= 54
    assert listed <= planted(world)


@pytest.mark.parametrize("jitter_h", [3.0, 24.0])
def test_a_slow_network_is_found_beside_a_fast_one(jitter_h: float) -> None:
    usual = {"n_accounts": 40, "reach": 0.25, "links": 0.0, "filler": 0.1}
    both = [Planted(**usual), Planted(**usual, jitter_s=jitter_h * 3_600)]
    world = simulate_world(n_accounts=380, n_posts=4_560, campaigns=both)
    assert len(members(find_campaigns(world.posts, wider=())) & planted(world)) <= 42
    listed = members(find_campaigns(world.posts))
    assert len(listed & planted(world)) >= 72
    assert listed <= planted(world)


def test_people_who_share_the_same_links_all_day_are_no_slow_network() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for i in range(1_500):
        minute = float(rng.uniform(0, 30 * 1_440))
        rows.append({"account": f"u{i % 150}", "time": 60 * minute, "text": f"w{i} x{i} y{i} z{i}"})
    for day in range(20):
        for fan in range(15):  # each story, as its page words it, some time of its day
            at = 86_400.0 * (day + rng.uniform(0, 1))
            text = f"story {day} of the day tells what {day} people did https://x.example/{day}"
            rows.append({"account": f"u{fan}", "time": at, "text": text})
    assert find_campaigns(rows).campaigns == ()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_where_nothing_is_found_it_is_said_what_could_have_been(language: str) -> None:
    posts = simulate_world(n_accounts=300, n_posts=3_000, language=language, seed=2).posts
    found = find_campaigns(posts, power=True)
    sizes = {one.kind: one.n_accounts for one in found.power}
    assert set(sizes) == {"equal texts", "reworded texts", "one link a message",
                          "one tag a message"}  # fmt: skip
    assert all(size is not None and size <= 20 for size in sizes.values()), sizes
    assert f"equal texts: {sizes['equal texts']} accounts or more" in str(found)
    order = np.random.default_rng(0).permutation(posts.num_rows)
    assert find_campaigns(posts.take(pa.array(order)), power=True).power == found.power
    few = find_campaigns(posts.slice(0, 60), power=True)
    assert [one.n_accounts for one in few.power if one.kind == "reworded texts"] == [None]


def test_texts_are_grouped_by_likeness_whoever_wrote_them() -> None:
    world = simulate_world(n_accounts=100, n_posts=2_000, bursts=(), seed=1)
    texts, n = world.posts["text"].to_pylist(), world.posts.num_rows
    time_s = np.arange(n) * 6_000.0
    message = "council hid another report since nobody asked our mayor what bridges cost"
    for i in range(8):  # one message, two of its words drawn anew
        said = message.split()
        said[i], said[(5 * i + 3) % 12] = f"w{i}", f"v{i}"
        texts[1_000 + i], time_s[1_000 + i] = " ".join(said), 6_000_000.0 + 20 * i
    group = find_alike(texts, time_s, np.arange(n), window_s=600.0)
    assert 7 <= np.bincount(group[1_000:1_008]).max() == n - len(set(group)) + 1
    time_s[1_000:1_008] = 6_000_000.0 + 500 * np.arange(8)  # it goes on for an hour: news
    again = find_alike(texts, time_s, np.arange(n), window_s=600.0)
    assert np.bincount(again[1_000:1_008]).max() <= 2
    copies = find_alike(texts, time_s, np.zeros(n, np.int64), window_s=600.0)
    assert copies.tolist() == list(range(n))  # near-identical texts are one object already


def test_a_crowded_moment_costs_no_all_pairs() -> None:
    texts = [f"the same words {i % 7} and number {i} of today" for i in range(6_000)]
    group = find_alike(texts, np.arange(6_000) * 0.01, np.arange(6_000), window_s=600.0)
    assert len(group) == 6_000


def test_seconds_and_the_times_of_twitters_first_api_have_a_zone() -> None:
    for written in (str(int(START.timestamp())), START.strftime("%a %b %d %H:%M:%S +0000 %Y")):
        dump = read_dump([{"account": "a", "time": written, "url": "x"}])
        assert dump.time_s.tolist() == [START.timestamp()]


def test_time_zones_are_one_time() -> None:
    east = timezone(timedelta(hours=8))
    rows = [
        {"account": "a", "time": START.isoformat(), "url": "x"},
        {"account": "b", "time": START.astimezone(east).isoformat(), "url": "x"},
    ]
    assert len(set(read_dump(rows).time_s)) == 1
    naive = [{"account": "a", "time": "2024-12-01T16:00:00", "url": "x"}]
    assert read_dump(naive, time_zone="+08:00").time_s.tolist() == [START.timestamp()]
    frame = pd.DataFrame({"account": ["a"], "time": [pd.Timestamp(START)], "url": ["x"]})
    assert read_dump(frame).time_s.tolist() == [START.timestamp()]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_dump_is_read_from_every_format(suffix: str, tmp_path: Path, world: World) -> None:
    table = world.posts.slice(0, 500)
    if suffix == "jsonl":
        table = table.set_column(2, "time", pc.strftime(table["time"], "%Y-%m-%dT%H:%M:%SZ"))
    write_table(table, tmp_path / f"dump.{suffix}", format=suffix)
    read, n_bad = read_posts(tmp_path / f"dump.{suffix}")
    assert (read.num_rows, n_bad) == (500, 0)
    assert len(read_dump(read)) == 500


def test_the_command_finds_columns_and_reads_stdin(tmp_path: Path, world: World) -> None:
    table = world.posts.rename_columns(
        ["id", "author", "created_at", "body", "url", "hashtags", "reply_to", "repost"]
    )
    write_table(table, tmp_path / "dump.csv", format="csv")
    data = (tmp_path / "dump.csv").read_bytes()
    for arguments in ([tmp_path / "dump.csv"], ["-", "--format", "csv"]):
        out = tmp_path / f"out{len(arguments)}"
        ran = CliRunner().invoke(
            app, ["campaigns", *map(str, arguments), "-o", str(out)], input=data
        )
        assert (ran.exit_code, ran.stderr[:13]) == (0, "1 campaign(s)")
        assert verify(out, dump=tmp_path / "dump.csv" if len(arguments) == 1 else None) == []
    lost = CliRunner().invoke(
        app, ["campaigns", str(tmp_path / "dump.csv"), "-o", str(out), "--text-column", "tex"]
    )
    assert lost.exit_code == 2


def test_rows_of_a_csv_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "dump.csv"
    file.write_text(
        'account,time,text\n007,2024-12-01,"two\nlines"\nb,1\nc,2,x,y\nd,2024-12-02,z\n'
    )
    read, n_bad = read_posts(file)
    assert read["account"].to_pylist() == ["007", "d"]
    assert n_bad == 2


def test_what_is_no_dump_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a post\n")
    (tmp_path / "a.jsonl").write_text("not json\n")
    for name in ("a.txt", "a.jsonl"):
        with pytest.raises(DataError):
            read_posts(tmp_path / name)
