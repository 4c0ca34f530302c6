"""The room that reads posts: a platform's file in, its posts out, whatever its layout and state."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from textdetect.bulk import score_files
from textdetect.cli import app
from textdetect.detector import Detector
from textdetect.evidence import verify
from textdetect.posts.tables import read_posts, readings_of
from textdetect.runtimes import StubRuntime

CASES = Path(__file__).parent / "cases"
LAYOUTS = {
    "x_archive_tweets.js": ("x-archive", 30, 1),
    "twarc2_raw_pages.jsonl": ("twitter-v2", 30, 5),
    "twarc2_flattened.jsonl": ("twitter-v2", 30, 5),
    "twarc1.jsonl": ("twitter-v1", 30, 5),
    "telegram_result.json": ("telegram", 10, 1),
    "reddit_comments.ndjson": ("reddit-comments", 30, 2),
    "weibo_search.csv": ("weibo-search", 30, 6),
    "weibo_crawler_1700000001.csv": ("weibo-crawler", 30, 1),
    "coortweet.csv": ("coortweet", 30, 5),
    "bluesky_jetstream.jsonl": ("bluesky-jetstream", 30, 5),
    "mastodon_outbox.json": ("mastodon-outbox", 30, 1),
    "youtube_commentThreads.json": ("youtube-threads", 30, 5),
    "crowdtangle.csv": ("crowdtangle", 30, 5),
    # and more of the same kinds
    "mastodon_statuses.jsonl": ("mastodon", 30, 5),
    "telegram_messages.jsonl": ("telegram", 30, 3),
    "youtube_comments.csv": ("", 30, 5),
    "reddit_comments.csv": ("reddit-comments", 30, 2),
}
"""File → its layout, posts and accounts."""
FIRST = datetime(2024, 3, 4, 8, 15, 7, tzinfo=UTC)
Cases = pytest.mark.parametrize


def tool(*arguments: str | Path, data: bytes | None = None) -> tuple[int, str]:
    """Run the command: its exit code, and what it said."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], input=data)
    assert not isinstance(result.exception, Exception), result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def stub() -> Detector:
    humans = [f"a person wrote this post, and it has the number {i}" for i in range(1_000)]
    detector = Detector(StubRuntime(lambda text: text.count("machine") - 2.0), languages=["en"])
    return detector.calibrate(humans, languages=["en"] * len(humans))


# --- Layouts --------------------------------------------------------------------------------------


@Cases("name", LAYOUTS)
def test_a_platforms_file_is_known_by_its_shape(name: str) -> None:
    table, n_bad = read_posts(CASES / name)
    layout, n_posts, n_accounts = LAYOUTS[name]
    assert readings_of(table)[0]["layout"] == layout
    assert (table.num_rows, n_bad) == (n_posts, 0)
    assert len(set(table["account"].to_pylist()) - {None}) == n_accounts
    assert table["time"].null_count == 0
    if not name.startswith("weibo_crawler"):  # which has days only
        first = FIRST.replace(second=0) if name == "weibo_search.csv" else FIRST
        assert table["time"][0].as_py().replace(microsecond=0) == first
    if name != "coortweet.csv":
        assert all(table["text"].to_pylist())


@Cases("name", LAYOUTS)
def test_score_gives_every_row_with_the_file_as_its_only_argument(
    name: str, stub: Detector, tmp_path: Path
) -> None:
    out = tmp_path / "scored.parquet"
    summary = score_files(CASES / name, out, detector=stub)
    assert (summary.n_rows, summary.n_unreadable) == (LAYOUTS[name][1], 0)
    assert (summary.uncertain.get("empty", 0) == 30) == (name == "coortweet.csv")
    assert pq.read_table(out).num_rows == LAYOUTS[name][1]


@pytest.mark.slow
@Cases("name", [name for name in LAYOUTS if name != "coortweet.csv"])
def test_accounts_runs_with_the_file_as_its_only_argument(name: str, tmp_path: Path) -> None:
    code, said = tool("accounts", CASES / name, "-o", tmp_path / "accounts.csv")
    assert code == 0, said
    with open(tmp_path / "accounts.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["account"] for row in rows} - {""}) == LAYOUTS[name][2]
    assert sum(int(row["n_posts"]) for row in rows) == LAYOUTS[name][1]


@pytest.mark.slow
@Cases("name", LAYOUTS)
def test_campaigns_runs_and_its_evidence_is_verified(name: str, tmp_path: Path) -> None:
    code, said = tool("campaigns", CASES / name, "-o", tmp_path / "evidence")
    assert code == 0, said
    assert "campaign(s)" in said
    assert verify(tmp_path / "evidence", dump=CASES / name) == []


def test_the_page_of_platforms_shows_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    page = (CASES.parents[1] / "docs" / "files.md").read_text(encoding="utf-8")
    blocks = re.findall(
        r"```sh\n(textdetect read .*?)\n```\n\n```text\n(.*?)\n```", page, re.DOTALL
    )
    assert len(blocks) == 14
    for line, shown in blocks:
        code, said = tool(*line.split()[1:])
        assert (code, [each.rstrip() for each in said.splitlines()]) == (0, shown.splitlines())
