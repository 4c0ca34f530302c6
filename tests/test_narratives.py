"""Narratives and suggested tactics: what is said of each message, and how good suggestions are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from scripts import script

from textdetect.campaigns import find_campaigns
from textdetect.campaigns.tactics import Codebook
from textdetect.errors import ConfigError

simulate = script("simulate")
Planted, simulate_world = simulate.Planted, simulate.simulate_world

POSTS = Path(__file__).parents[1] / "examples" / "campaign_posts.jsonl"
TACTICS = ("false_claim", "unfair_comparison", "division")


def held_out(language: str) -> list[dict[str, Any]]:
    """Give the written posts that the codebook was not written by: half of the narratives."""
    rows = [json.loads(line) for line in POSTS.read_text(encoding="utf-8").splitlines()]
    half = [row for row in rows if int(hashlib.sha256(_key(row).encode()).hexdigest(), 16) % 2]
    return [row for row in half if row["language"] == language]


def _key(row: dict[str, Any]) -> str:
    return row["language"] + row["narrative"] if row["role"] == "campaign" else row["id"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_suggested_is_mostly_so_and_people_are_rarely_suspected(language: str) -> None:
    rows = held_out(language)
    found = Codebook.read().tactics([row["text"] for row in rows])
    for tactic in TACTICS:
        right = sum(
            tactic in got and row["tactic"] == tactic for row, got in zip(rows, found, strict=True)
        )
        suggested = sum(tactic in got for got in found)
        assert right / suggested >= 0.9
        assert right >= 5  # recall is low: 18 to 35%, see docs/campaigns.md
    people = [got for row, got in zip(rows, found, strict=True) if row["role"] == "genuine"]
    assert len(people) >= 50
    assert sum(map(bool, people)) / len(people) <= 0.03


def test_a_suggestion_quotes_the_sentence_and_the_cue() -> None:
    text = "Nice weather. They quietly recall all of them! See you."
    for suggestion in Codebook.read().suggest(text):
        assert suggestion.cue in suggestion.sentence == "They quietly recall all of them!"


def test_a_codebook_of_ones_own_is_used(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("groups: {kettles: {en: ['kettle']}}\nrules: {tea: [[kettles]]}\n")
    book = Codebook.read(file)
    assert book.tactics(["my kettle is broken", "my car is"]) == [("tea",), ()]


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "groups: {a: {en: ['(']}}\nrules: {}", "groups: {a: {en: []}}\nrules: {}",
     "groups: {a: {en: ['x']}}\nrules: {t: [[b]]}", "groups: {a: {en: ['x*']}}\nrules: {}"],
)  # fmt: skip
def test_what_is_no_codebook_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(ConfigError, match="no codebook"):
        Codebook.read(tmp_path / "bad.yaml")


def test_messages_are_told_by_their_first_post_their_spread_and_their_terms() -> None:
    campaign = Planted(n_accounts=50, reach=0.2, links=1.0, jitter_s=120)
    world = simulate_world(n_accounts=500, n_posts=5_000, campaigns=[campaign])
    found = find_campaigns(world.posts)
    rows = found.narratives.to_pylist()
    assert len(rows) >= 10
    texts = world.posts["text"].to_pylist()
    names = world.posts["account"].to_pylist()
    for row in rows:
        assert texts[row["first_row"]] == row["example"]
        assert names[row["first_row"]] in found.campaigns[row["campaign"]].accounts
        assert row["n_accounts"] >= 3
        assert row["first"] <= row["last"]
        assert row["half_within_h"] * 3600 <= 240 or row["n_posts"] < 5
        assert all(term in row["example"].lower() for term in row["key_terms"])
    assert [row["n_posts"] for row in rows] == sorted((r["n_posts"] for r in rows), reverse=True)
    assert any("url: https://example.org/" in target for row in rows for target in row["targets"])


def test_chinese_messages_have_terms_too() -> None:
    campaign = Planted(n_accounts=50, reach=0.2)
    world = simulate_world(
        n_accounts=400, n_posts=4_000, campaigns=[campaign], language="zh", seed=1
    )
    rows = find_campaigns(world.posts).narratives.to_pylist()
    assert rows
    assert all(len(term) == 2 for row in rows for term in row["key_terms"])
