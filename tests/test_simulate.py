"""Simulated worlds: the same for the same seed, and what is said about them is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scripts import script

from textdetect.errors import InvalidInput

simulate = script("simulate")
BURSTS, Planted, simulate_world = simulate.BURSTS, simulate.Planted, simulate.simulate_world


def test_the_same_seed_gives_the_same_world() -> None:
    make = [simulate_world(n_accounts=100, n_posts=800, seed=seed) for seed in (1, 1, 2)]
    assert make[0].posts.equals(make[1].posts)
    assert make[0].truth.equals(make[1].truth)
    assert not make[0].posts.equals(make[2].posts)


def test_posts_have_an_order_and_an_id_each() -> None:
    posts = simulate_world(n_accounts=100, n_posts=800, campaigns=[Planted(n_accounts=20)]).posts
    times = posts["time"].cast("int64").to_numpy()
    assert np.all(np.diff(times) >= 0)
    assert len(set(posts["id"].to_pylist())) == posts.num_rows
    assert abs(posts.num_rows - 800) < 100


def test_a_campaigns_message_is_posted_by_its_accounts_within_the_jitter() -> None:
    planted = Planted(n_accounts=30, filler=0.0, jitter_s=60.0, reach=0.3, links=0.0)
    world = simulate_world(n_accounts=100, n_posts=2_000, campaigns=[planted], bursts=())
    of = dict(
        zip(*(world.truth[name].to_pylist() for name in ("account", "campaign")), strict=True)
    )
    assert sum(number == 0 for number in of.values()) == 30
    spans: dict[str, list[float]] = {}
    for row in world.posts.select(["account", "text", "time"]).to_pylist():
        if of[row["account"]] == 0:
            spans.setdefault(row["text"], []).append(row["time"].timestamp())
    together = [times for times in spans.values() if len(times) >= 5]
    assert len(together) >= 20
    assert all(max(times) - min(times) <= 120 for times in together)


@pytest.mark.parametrize("burst", BURSTS)
def test_bursts_are_of_genuine_people(burst: str) -> None:
    world = simulate_world(
        n_accounts=200, n_posts=2_000, bursts=[burst], campaigns=[Planted(n_accounts=40)]
    )
    took_part = [row for row in world.truth.to_pylist() if row["bursts"]]
    assert len(took_part) >= 10
    assert all(row["campaign"] is None for row in took_part)


def test_texts_of_ones_own_are_used() -> None:
    texts = ["my own text about kettles", "and another one about ferries"]
    world = simulate_world(n_accounts=50, n_posts=200, texts=texts)
    assert set(world.posts["text"].to_pylist()) <= set(texts)


@pytest.mark.parametrize(
    "options",
    [
        {"n_accounts": 5},
        {"bursts": ["parade"]},
        {"language": "fr"},
        {"texts": []},
        {"n_accounts": 30, "campaigns": [Planted(n_accounts=31)]},
    ],
)
def test_worlds_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        simulate_world(**options)
