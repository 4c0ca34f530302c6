"""The room that reads posts: a platform's file in, its posts out, whatever its layout and state."""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripts import script
from typer.testing import CliRunner

from textdetect.bulk import score_files
from textdetect.campaigns import find_campaigns
from textdetect.campaigns.evidence import verify
from textdetect.campaigns.traces import find_traces, read_dump
from textdetect.cli import app
from textdetect.errors import InvalidInput, TextdetectError
from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime
from textdetect.posts.fields import find_fields
from textdetect.posts.files import open_posts
from textdetect.posts.tables import read_posts, readings_of
from textdetect.posts.values import moments
from textdetect.posts.writers import writable

simulate = script("simulate")
Planted, simulate_world = simulate.Planted, simulate.simulate_world
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


def tool(*arguments: str | Path) -> tuple[int, str]:
    """Run the command: its exit code, and what it said."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
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


def test_the_page_of_platforms_shows_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(CASES)
    page = (CASES.parents[1] / "docs" / "files.md").read_text(encoding="utf-8")
    blocks = re.findall(
        r"```sh\n(textdetect read .*?)\n```\n\n```text\n(.*?)\n```", page, re.DOTALL
    )
    assert len(blocks) == 14
    for line, shown in blocks:
        code, said = tool(*line.split()[1:])
        assert (code, [each.rstrip() for each in said.splitlines()]) == (0, shown.splitlines())


# --- The same rows in any format ------------------------------------------------------------------


def written(folder: Path, rows: list[dict[str, str]]) -> list[Path]:
    """Write the same rows in every format."""
    files = [folder / f"posts.{suffix}" for suffix in ("csv", "jsonl", "json", "parquet", "xlsx")]
    with open(files[0], "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    files[1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    files[2].write_text(json.dumps({"messages": rows}, indent=1))
    pq.write_table(pa.Table.from_pylist(rows), files[3])
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for cells in (list(rows[0]), *(list(row.values()) for row in rows)):
        book.active.append(cells)
    book.save(files[4])
    packed = folder / "packed.csv.gz"
    packed.write_bytes(gzip.compress(files[0].read_bytes()))
    other = folder / "gb.csv"
    other.write_bytes(files[0].read_bytes().decode().replace(",", ";").encode("gb18030"))
    return [*files, packed, other]


@Cases("zone", ["", "Z", "+08:00", "-05:00"])
def test_every_format_gives_the_same_posts_accounts_and_times(zone: str, tmp_path: Path) -> None:
    rows = [
        {
            "id": str(1764300000000000000 + i),
            "user_id": str(9007199254740993 + i % 5),
            "created_at": f"2024-03-04T0{i % 8}:15:07{zone}",
            "text": f"今天早上地铁又晚点了 {i}",
            "hashtags": "mill lane",
        }
        for i in range(40)
    ]
    tables = [read_posts(file) for file in written(tmp_path, rows)]
    first = tables[0][0].drop_columns(["source"])
    assert first["id"].to_pylist() == [row["id"] for row in rows]
    assert first["text"].to_pylist() == [row["text"] for row in rows]
    for table, n_bad in tables:
        assert n_bad == 0
        assert table.drop_columns(["source"]).equals(first)
    offset_h = {"+08:00": -8, "-05:00": 5}.get(zone, 0)
    expected = datetime(2024, 3, 4, 0, 15, 7) + timedelta(hours=offset_h)
    assert first["time"][0].as_py().replace(tzinfo=None) == expected
    assert first.schema.field("time").type.tz == ("UTC" if zone else None)


def test_zoned_times_give_the_same_campaign_from_csv_and_jsonl() -> None:
    found = [find_campaigns(read_posts(CASES / f"zoned_plus8.{s}")[0]) for s in ("csv", "jsonl")]
    one, other = ([(c.accounts, c.first, c.last, c.p_value) for c in f.campaigns] for f in found)
    assert one == other
    assert found[0].accounts.equals(found[1].accounts)


@pytest.mark.slow
@Cases("zone", [0, 8, -5])
def test_one_world_gives_one_result_in_every_format_and_zone(zone: int, tmp_path: Path) -> None:
    planted = Planted(n_accounts=40, reach=0.2)
    world = simulate_world(n_accounts=400, n_posts=4_000, campaigns=[planted]).posts
    expected = find_campaigns(world)
    there = timezone(timedelta(hours=zone))
    rows = world.to_pylist()
    for row in rows:
        row["time"] = row["time"].astimezone(there).isoformat()
        row["repost"] = str(row["repost"])
    for file in written(tmp_path, rows)[:4]:
        found = find_campaigns(read_posts(file)[0])
        assert [(c.accounts, c.first, c.last) for c in found.campaigns] == [
            (c.accounts, c.first, c.last) for c in expected.campaigns
        ]


def test_one_odd_row_costs_one_row_in_campaigns_too(tmp_path: Path) -> None:
    sizes = {"one_bad_line.jsonl": 29, "nan_cells.jsonl": 30, "tags_two_kinds.jsonl": 30}
    for name, n_rows in sizes.items():
        assert len(read_dump(read_posts(CASES / name)[0])) == n_rows
    code, said = tool("campaigns", CASES / "one_bad_line.jsonl", "-o", tmp_path / "out")
    assert (code, "unreadable: 1 row" in said) == (3, True)


def test_mixed_zones_are_an_error_that_says_how_to_mend_it(tmp_path: Path) -> None:
    lines = ["account,time,text", "a,2024-03-04T08:00:00Z,so good", "b,2024-03-04T08:00:00,to see"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    for command in ("accounts", "campaigns", "read"):
        out = [] if command == "read" else ["-o", tmp_path / command]
        code, said = tool(command, tmp_path / "a.csv", *out)
        assert code == 2, said
        assert "--time-zone" in said
    assert tool("read", tmp_path / "a.csv", "--time-zone", "+08:00")[0] == 0


@Cases(
    "said",
    [
        *("2024-03-04T16:15:07+08:00", "2024-03-04 08:15:07Z", "1709540107", 1709540107),
        *("1709540107000", 1709540107000, "1709540107000000", 1709540107.0, "1709540107.0"),
        *("Mon Mar 04 08:15:07 +0000 2024", "Mon, 04 Mar 2024 03:15:07 -0500"),
        *("2024-03-04 03:15:07 EST", "2024-03-04 08:15:07 UTC", "2024/3/4 8:15:07"),
    ],
)
def test_a_time_is_read_however_it_is_written(said: str | int | float) -> None:
    assert moments([said])[0].tolist() == [FIRST.timestamp()]


@Cases(
    "said",
    [
        *("2024-03-04 16:15:07 CST", "yesterday", "12", "99:99", "2024-13-45"),
        f"Mon, 4 Mar {'9' * 40} 8:15:07 +0000",
    ],
)
def test_what_is_ambiguous_or_no_time_is_not_guessed(said: str) -> None:
    assert moments([said])[2].tolist() == [True]


# --- Mangled files --------------------------------------------------------------------------------


def mangle(body: bytes, rng: random.Random) -> bytes:
    """Damage a file as transfers, editors and scripts do."""
    at = rng.randrange(len(body) + 1)
    damage = rng.choice(
        [
            lambda: body[:at],
            lambda: body[:at] + bytes(rng.randrange(256) for _ in range(8)) + body[at:],
            lambda: b"\xef\xbb\xbf" + body,
            lambda: body.replace(b'"text": "', b'"text": NaN, "x": "', 1 + rng.randrange(3)),
            lambda: body.replace(b"\n", b"\r\n"),
            lambda: body[:at] + b"\0" + body[at:],
            lambda: body[:at] + b'"' + body[at:],
            lambda: body.decode("utf-8").encode(rng.choice(["gb18030", "latin-1"]), "replace"),
            lambda: body[:at] + b"9" * 400 + body[at:],
            lambda: body.replace(b"\n", b"\n\n"),
            lambda: body + body,
            lambda: body[: at // 2] + body[at:],
        ]
    )
    return bytes(damage())


def check_mangled(seeds: range, folder: Path) -> None:
    """Read damaged files: no traceback, no lost row, no moved row."""
    names = [name for name in LAYOUTS if name != "telegram_result.json"]
    for seed in seeds:
        rng = random.Random(seed)
        name = rng.choice(names)
        body = mangle((CASES / name).read_bytes(), rng)
        file = folder / name
        file.write_bytes(body)
        try:
            with open_posts(file, need=()) as reader:
                get = reader.get("id")
                rows = [row for chunk in reader.chunks(7) for row in chunk.rows]
            values = [get(row.values) if row.values is not None else None for row in rows]
        except TextdetectError:  # typed, and a line for the user
            continue
        assert [row.number for row in rows] == list(range(1, len(rows) + 1)), seed
        if name.endswith((".jsonl", ".ndjson")) and "pages" not in name:
            n_lines = sum(bool(line.strip()) for line in body.split(b"\n"))
            assert len(rows) == n_lines, (seed, name)
        assert all(row.problem or row.values is not None for row in rows), seed
        assert len(values) == len(rows)
        try:
            table, n_bad = read_posts(file)
        except TextdetectError:  # typed, and a line for the user
            continue
        assert table.num_rows <= len(rows) <= table.num_rows + n_bad, (seed, name)
        by_row = (
            dict(zip(table["row"].to_pylist(), table["text"].to_pylist(), strict=True))
            if ("text" in table.column_names)
            else {}
        )
        for row in rows:
            if row.number in by_row:
                assert (by_row[row.number] or "") == writable(row.text or ""), seed


def test_mangled_files_end_in_no_traceback(tmp_path: Path) -> None:
    check_mangled(range(150), tmp_path)


@pytest.mark.slow
def test_two_thousand_mangled_files_lose_and_move_no_row(tmp_path: Path) -> None:
    check_mangled(range(2_000), tmp_path)


def test_a_field_of_ten_megabytes_is_read_in_every_format(tmp_path: Path) -> None:
    rows = [
        {"id": str(i), "account": "a", "text": "word " * n} for i, n in enumerate((2, 2**21, 3))
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for name in ("a.jsonl", "a.json"):
        table, _ = read_posts(tmp_path / name)
        assert [len(text) for text in table["text"].to_pylist()] == [10, 5 * 2**21, 15]


# --- Columns, layouts, options --------------------------------------------------------------------


def test_a_column_of_objects_is_never_silently_a_name(tmp_path: Path) -> None:
    post = {"author": {"id": 7, "bio": "x"}, "text": "so good", "when": 1709540107}
    assert find_fields(list(post), [post], {}).paths["account"] == "author.id"
    with pytest.raises(InvalidInput, match=r"holds objects.*author\.id"):
        find_fields(list(post), [post], {"account": "author"})


def test_a_layout_of_ones_own_is_a_yaml_file_or_a_function(tmp_path: Path) -> None:
    post = {
        "p": {"words": "so good", "by": {"h": "ann"}},
        "at": "2024-03-04 16:15:07",
        "k": "share",
    }
    file, own = tmp_path / "a.jsonl", tmp_path / "mine.yaml"
    file.write_text(json.dumps(post) + "\n")
    own.write_text('text: p.words\naccount: p.by.h\ntime: at\nzone: "+08:00"\nrepost: k=share\n')
    table, _ = read_posts(file, layout=str(own))
    shown = ["account", "time", "text", "repost"]
    expected = [{"account": "ann", "time": FIRST, "text": "so good", "repost": True}]
    assert table.select(shown).to_pylist() == expected

    def mine(row: dict[str, Any]) -> dict[str, Any]:
        return {"text": row["p"]["words"], "account": row["p"]["by"]["h"], "time": 1709540107}

    table, _ = read_posts(file, layout=mine)
    assert table.select(shown[:3]).to_pylist() == [{k: expected[0][k] for k in shown[:3]}]


def test_pipes_need_no_format(tmp_path: Path) -> None:
    for name in ("crowdtangle.csv", "twarc1.jsonl", "mastodon_outbox.json"):
        for data in ((body := (CASES / name).read_bytes()), gzip.compress(body)):
            line = [sys.executable, "-m", "textdetect", "read", "-"]
            ran = subprocess.run(line, input=data, capture_output=True, check=True)
            assert LAYOUTS[name][0] in ran.stdout.decode()
    code, said = tool("read", CASES / "twarc1.jsonl", CASES / "crowdtangle.csv")
    assert (code, "│ posts " in said, "60" in said) == (0, True, True)


def test_rows_shorter_than_the_header_are_padded_where_the_file_is_so(tmp_path: Path) -> None:
    names = ["id", "bid", "正文", "日期", "是否原创", *(f"源{i}" for i in range(34))]
    original = ["5008\t", "O", "今天早上\n地铁又晚点了", "2024-03-04", "True"]
    with open(tmp_path / "1669879400.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([names, original, [*original, *"x" * 30], names, original])
    table, n_bad = read_posts(tmp_path / "1669879400.csv")
    assert (table.num_rows, n_bad) == (3, 0)
    assert set(table["account"].to_pylist()) == {"1669879400"}


def test_zstd_with_a_long_window_is_read(tmp_path: Path) -> None:
    zstd = pytest.importorskip("zstandard")
    shape = zstd.ZstdCompressionParameters.from_level(3, window_log=31)
    packed = zstd.ZstdCompressor(compression_params=shape)
    (tmp_path / "RC.zst").write_bytes(
        packed.compress((CASES / "reddit_comments.ndjson").read_bytes())
    )
    table, n_bad = read_posts(tmp_path / "RC.zst")
    assert (table.num_rows, n_bad) == (30, 0)


def test_an_archive_has_its_account_and_its_long_posts_whole(tmp_path: Path) -> None:
    long = "the tram & I " * 40
    stub = {"id_str": "1", "created_at": "Mon Mar 04 08:15:07 +0000 2024"}
    stub["full_text"] = long.replace("&", "&amp;")[:270] + "… https://t.co/x"
    note = {"noteTweet": {"noteTweetId": "9", "core": {"text": long}}}
    files = {
        "tweets": {"tweet": stub},
        "account": {"account": {"username": "ann", "accountId": "7"}},
        "note-tweet": note,
    }
    for name, one in files.items():
        (tmp_path / f"{name}.js").write_text(f"window.YTD.{name}.part0 = {json.dumps([one])}")
    for source in (tmp_path, tmp_path / "tweets.js"):
        table, _ = read_posts(source)
        assert table.select(["account", "text"]).to_pylist() == [{"account": "ann", "text": long}]


def test_each_link_and_tag_of_a_list_is_an_object_of_its_own(tmp_path: Path) -> None:
    when = "2024-03-04T08:15:07Z"
    posts = [
        {"account": "a", "time": when, "url": ["https://x.org/1", "https://x.org/2"]},
        {"account": "b", "time": when, "url": ["https://x.org/2"], "hashtags": ["Rye", "bun"]},
        {"account": "c", "time": when, "url": "https://x.org/1", "hashtags": [{"tag": "rye"}]},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(post) + "\n" for post in posts))
    for given in (posts, read_posts(tmp_path / "a.jsonl")[0]):
        traces = find_traces(read_dump(given))
        touched = list(zip(traces.kinds[traces.object], traces.account, strict=True))
        assert sorted(touched) == [("hashtags", 1)] * 2 + [("hashtags", 2)] + [
            ("url", i) for i in (0, 0, 1, 2)
        ]
        assert len(traces.kinds) == 4


@Cases("command", ["read", "score", "accounts", "campaigns", "evaluate", "calibrate"])
def test_every_command_that_reads_posts_takes_the_same_options(command: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for option in ("format", "layout", "encoding", "delimiter", "text-column"):
        assert f"--{option}" in said
