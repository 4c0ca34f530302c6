"""Parts without leaks: whole accounts and groups, one of each set of near-duplicates."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdetect._ground.config import DataConfig
from textdetect.posts.corpus import COLUMNS, Posts
from textdetect.posts.splits import DROPPED, PARTS, draw, split
from textdetect.posts.text import normalise

CONFIG = DataConfig()
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u")]


def words(n: int, seed: object) -> str:
    """Make n words that no other seed makes in this order."""
    chosen = random.Random(str(seed))
    return " ".join("".join(chosen.choices(SYLLABLES, k=3)) for _ in range(n))


def row(text: object, label: int = 0, **columns: str) -> dict[str, Any]:
    """Make a row; a text that is no str seeds one of twelve words."""
    made = text if isinstance(text, str) else words(12, text)
    return {
        "text": made,
        "label": label,
        "kind": "machine" if label else "human",
        "source": "one",
        "language": "en",
        **columns,
    }


def posts(rows: list[dict[str, Any]]) -> Posts:
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    return Posts(pa.table({name: pa.array(columns[name], COLUMNS[name]) for name in COLUMNS}))


def parts(rows: list[dict[str, Any]], config: DataConfig = CONFIG, *, seed: int = 0) -> list[str]:
    return list(split(posts(rows), config, seed=seed).part)


def many(n: int, *, start: int = 0, **columns: Any) -> list[dict[str, Any]]:
    return [row(i, **columns) for i in range(start, start + n)]


def corpus() -> list[dict[str, Any]]:
    """Make two sources: accounts of one to five posts, machine accounts, groups, single posts."""
    rows = []
    for account in range(120):
        for post in range(account % 5 + 1):
            rows.append(row((account, post), int(account % 4 == 0), account=f"a{account}"))
    for group in range(60):
        for post in range(group % 3 + 1):
            rows.append(row(("g", group, post), post % 2, group=f"g{group}", source="two"))
    return rows + many(100, source="two")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return corpus()


def test_every_post_has_a_part_and_every_part_has_posts(rows: list[dict[str, Any]]) -> None:
    made = split(posts(rows), CONFIG, seed=0)
    assert set(made.part) == set(PARTS)
    assert made.normalised == [normalise(row["text"]) for row in rows]


def test_the_shares_are_about_those_of_the_config() -> None:
    found = parts(many(2_000))
    for part, share in zip(PARTS, CONFIG.parts, strict=True):
        assert found.count(part) / len(found) == pytest.approx(share, abs=0.04)
    none = parts(many(300), dataclasses.replace(CONFIG, parts=(0.5, 0.0, 0.0, 0.5)))
    assert set(none) == {"train", "report"}


def test_no_account_and_no_group_is_in_two_parts(rows: list[dict[str, Any]]) -> None:
    for seed in range(3):
        units = defaultdict(set)
        for made, part in zip(rows, parts(rows, seed=seed), strict=True):
            for name in ("account", "group"):
                if made.get(name):
                    units[made["source"], name, made[name]].add(part)
        assert len(units) > 150
        assert all(len(found) == 1 for found in units.values())


def test_accounts_of_one_name_in_two_sources_are_two_accounts() -> None:
    rows = [
        row((source, i), account=f"a{i}", source=source)
        for i in range(100)
        for source in ("one", "two")
    ]
    found = parts(rows)
    assert any(found[2 * i] != found[2 * i + 1] for i in range(100))


def test_a_group_holds_together_across_sources() -> None:
    rows = [
        row((source, i), group=f"g{i}", source=source)
        for i in range(100)
        for source in ("one", "two")
    ]
    found = parts(rows)
    assert all(found[2 * i] == found[2 * i + 1] for i in range(100))


def test_a_machine_answer_stays_with_the_account_that_it_answers() -> None:
    rows = []
    for i in range(60):
        rows += [row((i, j), account=f"a{i}", group=f"g{i}") for j in range(i % 4 + 1)]
        rows.append(row((i, "machine"), 1, group=f"g{i}"))
    units = defaultdict(set)
    for made, part in zip(rows, parts(rows), strict=True):
        units[made["group"]].add(part)
    assert all(len(found) == 1 for found in units.values())


def test_a_group_of_more_than_200_posts_is_a_scenario_and_may_be_torn() -> None:
    assert len(set(parts(many(201, group="all")))) > 1
    assert len(set(parts(many(200, group="all")))) == 1


def test_of_posts_that_are_equal_or_nearly_so_one_stays() -> None:
    text = words(60, "long")
    near = text.rsplit(" ", 1)[0] + " otherwise"
    rows = [
        row(text, source="one"),
        row(text, source="two"),
        row(near, source="three"),
        row(f"@ann {text.title()}!! https://t.co/x", source="four"),
        *many(20),
    ]
    found = parts(rows)
    assert sum(part != DROPPED for part in found[:4]) == 1
    assert DROPPED not in found[4:]


def test_posts_that_share_half_their_words_both_stay() -> None:
    shared = words(10, "shared")
    assert DROPPED not in parts([row(f"{shared} {words(10, i)}") for i in range(10)])


def test_the_threshold_of_near_duplicates_is_the_configs() -> None:
    text = words(40, "long")
    near = " ".join([*text.split()[:-8], words(8, "end")])  # Jaccard 30 / 46 of word 3-grams
    assert DROPPED not in parts([row(text), row(near)])
    assert DROPPED in parts([row(text), row(near)], dataclasses.replace(CONFIG, near_duplicate=0.5))


def test_of_a_human_and_a_machine_copy_the_human_one_stays() -> None:
    for i in range(20):
        text = words(20, i)
        found = parts([row(text, 1, source="one"), row(text, 0, source="two")])
        assert found[0] == DROPPED != found[1]


def test_a_copy_in_a_held_out_split_stays_whoever_wrote_it() -> None:
    config = dataclasses.replace(CONFIG, own_split=("own",))
    for i in range(20):
        text = words(20, i)
        rows = [
            row(text, 0, source="one"),
            row(text, 0, source="own", split="train"),
            row(text, 1, source="own", split="test"),
        ]
        assert parts(rows, config) == [DROPPED, DROPPED, "report"]


def test_posts_without_text_are_in_no_part() -> None:
    found = parts([row(""), row(" ?! "), row("fine words here"), {**row(""), "text": None}])
    assert [part == DROPPED for part in found] == [True, True, False, True]


def test_the_split_of_a_source_stands_where_the_config_says_so() -> None:
    rows = [
        row((split, i), source="own", split=split, account=f"a{i % 5}")
        for split in ("train", "validation", "test")
        for i in range(30)
    ]
    found = parts(rows, dataclasses.replace(CONFIG, own_split=("own",)))
    assert found == ["train"] * 30 + ["report"] * 60
    assert set(parts(rows)) - {"train", "report"}


def test_a_row_without_a_split_of_its_own_is_drawn() -> None:
    rows = many(100, source="own", split="")
    assert set(parts(rows, dataclasses.replace(CONFIG, own_split=("own",)))) == set(PARTS)


def test_evaluation_only_sources_neither_train_nor_calibrate() -> None:
    config = dataclasses.replace(CONFIG, evaluation_only=("only", "own"), own_split=("own",))
    rows = [
        *many(200, source="only"),
        *[row((i, j), source="only", account=f"a{i}") for i in range(30) for j in range(4)],
        *many(50, start=500, source="own", split="train"),
        *many(50, start=600),
    ]
    found = parts(rows, config)
    assert set(found[:370]) == {"select", "report"}
    assert found[:370].count("select") / 370 == pytest.approx(0.3, abs=0.08)
    assert set(found[370:]) == set(PARTS)


def test_evaluation_only_groups_are_in_one_part() -> None:
    config = dataclasses.replace(CONFIG, evaluation_only=("only",))
    rows = [row((i, j), source="only", group=f"g{i}") for i in range(30) for j in range(4)]
    found = parts(rows, config)
    assert all(len(set(found[4 * i : 4 * i + 4])) == 1 for i in range(30))


def test_about_half_of_the_human_accounts_with_three_posts_calibrate_whole() -> None:
    rows = [row((i, j), account=f"a{i}") for i in range(400) for j in range(3)]
    found = [set(chunk) for chunk in np.array(parts(rows)).reshape(400, 3).tolist()]
    assert all(len(chunk) == 1 for chunk in found)
    calibrate = sum(chunk == {"calibration"} for chunk in found)
    assert calibrate / 400 == pytest.approx(0.5, abs=0.08)


def test_fewer_posts_or_machine_accounts_reserve_nothing() -> None:
    for rows in (
        [row((i, j), account=f"a{i}") for i in range(400) for j in range(2)],
        [row((i, j), 1, account=f"a{i}") for i in range(400) for j in range(3)],
    ):
        found = parts(rows)
        share = found.count("calibration") / len(found)
        assert share == pytest.approx(CONFIG.parts[1], abs=0.06)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 2))
def test_no_part_depends_on_the_order_of_the_rows(order: random.Random, seed: int) -> None:
    rows = corpus()[::3] + [row(words(30, "copy") + end) for end in ("", " a", " b")]
    places = list(range(len(rows)))
    order.shuffle(places)
    shuffled = parts([rows[place] for place in places], seed=seed)
    straight = parts(rows, seed=seed)
    assert shuffled == [straight[place] for place in places]


def test_which_of_two_equal_posts_stays_does_not_depend_on_the_order() -> None:
    rows = [row(words(12, "same"), account=account) for account in ("a", "b")]
    straight, turned = parts(rows), parts(rows[::-1])
    assert straight == turned[::-1]


def test_no_part_depends_on_which_other_sources_are_there(rows: list[dict[str, Any]]) -> None:
    both = parts(rows)
    for source in ("one", "two"):
        mine = [i for i, made in enumerate(rows) if made["source"] == source]
        assert parts([rows[i] for i in mine]) == [both[i] for i in mine]


def test_a_seed_gives_one_split_and_another_seed_another(rows: list[dict[str, Any]]) -> None:
    assert parts(rows, seed=1) == parts(rows, seed=1)
    assert parts(rows, seed=1) != parts(rows, seed=2)


def test_no_posts_have_no_parts() -> None:
    assert parts([]) == []


@given(st.integers(), st.lists(st.text(), max_size=3))
def test_a_draw_is_a_share_that_depends_on_its_names_alone(seed: int, what: list[str]) -> None:
    drawn = draw(seed, *what)
    assert 0 <= drawn < 1
    assert drawn == draw(seed, *what)


def test_draws_are_spread_evenly() -> None:
    drawn = np.array([draw(0, str(i)) for i in range(4_000)])
    assert np.histogram(drawn, 10, (0, 1))[0] == pytest.approx(np.full(10, 400), abs=80)


def test_a_source_may_be_split_by_a_column_whatever_its_size() -> None:
    people = [f"person{i % 12}" for i in range(3_600)]
    rows = [row(i, i % 2, account=f"a{i % 24}", group=person) for i, person in enumerate(people)]
    given = parts(rows, dataclasses.replace(CONFIG, split_by={"one": "group"}))
    homes = defaultdict(set)
    for person, part in zip(people, given, strict=True):
        homes[person].add(part)
    assert all(len(home) == 1 for home in homes.values())
    assert len(set(given)) > 1
    elsewhere = [row(i, source="two", group="person0") for i in range(300)]
    assert len(set(parts(elsewhere, dataclasses.replace(CONFIG, split_by={"one": "group"})))) == 4


def test_a_source_may_be_split_by_time() -> None:
    days = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(1_000)]
    rows = [row(i, i % 2, account=f"a{i % 40}", timestamp=day) for i, day in enumerate(days)]
    given = parts(rows, dataclasses.replace(CONFIG, split_by={"one": "timestamp"}))
    of = {part: sorted(d for d, p in zip(days, given, strict=True) if p == part) for part in PARTS}
    for earlier, later in itertools.pairwise(PARTS):
        assert of[earlier][-1] <= of[later][0]
    assert [len(of[part]) / 1_000 for part in PARTS] == pytest.approx(CONFIG.parts, abs=0.01)
