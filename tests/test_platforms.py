"""What real programs write, by their own code on invented posts, is read as it is meant."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from textdetect.posts.tables import read_posts, readings_of

CASES = Path(__file__).parent / "cases"
SHOWN = ("id", "account", "text", "repost")


def rows_of(file: Path, layout: str, *names: str) -> list[dict[str, Any]]:
    """Read a file that must be of this layout, without a lost row."""
    table, n_bad = read_posts(file)
    assert (n_bad, readings_of(table)[0]["layout"]) == (0, layout)
    rows: list[dict[str, Any]] = table.select(list(names or SHOWN)).to_pylist()
    return rows


# --- weibo-spider ---------------------------------------------------------------------------------


@pytest.fixture
def weibos() -> list[Any]:
    weibo = pytest.importorskip("weibo_spider.weibo")
    made = []
    said = ["今天早上地铁又晚点了，\n等了二十分钟", "转发理由:好 原始用户:小王 转发内容: 明天放假"]
    for i, text in enumerate(said):
        one = weibo.Weibo()
        one.id, one.content, one.original = f"K{i}aBc", text, i == 0
        one.publish_time, one.publish_tool = f"2024-03-04 16:1{i}", "iPhone客户端"
        one.original_pictures = one.retweet_pictures = "无"
        made.append(one)
    return made


@pytest.mark.parametrize("filter_originals", [0, 1])
def test_weibo_spiders_csv_is_read(
    filter_originals: int, weibos: list[Any], tmp_path: Path
) -> None:
    writers = pytest.importorskip("weibo_spider.writer.csv_writer")
    file = tmp_path / "1669879400.csv"
    writer = writers.CsvWriter(str(file), filter_originals)
    for one in weibos:  # it appends, a page at a time
        writer.write_weibo([one])
    shown = SHOWN if not filter_originals else SHOWN[:3]
    found = rows_of(file, "weibo-spider", *shown, "time")
    assert [row["id"] for row in found] == ["K0aBc", "K1aBc"]
    assert {row["account"] for row in found} == {"1669879400"}
    assert [row["text"] for row in found] == [one.content for one in weibos]
    assert [f"{row['time']:%H:%M}" for row in found] == ["08:10", "08:11"]
    if not filter_originals:
        assert [row["repost"] for row in found] == [False, True]


def test_weibo_spiders_json_is_read(weibos: list[Any], tmp_path: Path) -> None:
    writers = pytest.importorskip("weibo_spider.writer.json_writer")
    users = pytest.importorskip("weibo_spider.user")
    file = tmp_path / "1669879400.json"
    writer = writers.JsonWriter(str(file))
    writer.write_user(users.User())
    for one in weibos:
        writer.write_weibo([one])
    found = rows_of(file, "weibo-spider-json", *SHOWN, "time")
    assert [row["id"] for row in found] == ["K0aBc", "K1aBc"]
    assert {row["account"] for row in found} == {"1669879400"}
    assert [row["repost"] for row in found] == [False, True]
    assert [f"{row['time']:%H:%M}" for row in found] == ["08:10", "08:11"]


# --- twarc ----------------------------------------------------------------------------------------


@pytest.fixture
def page() -> dict[str, Any]:
    """Give a page of twarc2's, with a retweet, a link, a tag and an answer in it."""
    with open(CASES / "twarc2_raw_pages.jsonl", encoding="utf-8") as file:
        page: dict[str, Any] = json.loads(file.readline())
    original, retweet, linked, answer = page["data"][:4]
    page["includes"]["tweets"] = [copy.deepcopy(original)]
    retweet["text"] = f"RT @local0: {original['text'][:60]}…"
    retweet["referenced_tweets"] = [{"type": "retweeted", "id": original["id"]}]
    links = [{"start": 0, "end": 9, "url": "https://t.co/x", "expanded_url": "https://x.org/a"}]
    tags = [{"start": 0, "end": 4, "tag": "rye"}, {"start": 5, "end": 9, "tag": "bun"}]
    linked["entities"] = {"urls": links, "hashtags": tags}
    answer["referenced_tweets"] = [{"type": "replied_to", "id": "5"}]
    return page


def test_twarcs_expansions_change_nothing(page: dict[str, Any], tmp_path: Path) -> None:
    flatten = pytest.importorskip("twarc.expansions").ensure_flattened
    (tmp_path / "pages.jsonl").write_text(json.dumps(page) + "\n")
    tweets = flatten(copy.deepcopy(page))
    (tmp_path / "flat.jsonl").write_text("".join(json.dumps(each) + "\n" for each in tweets))
    shown = (*SHOWN, "time", "url", "hashtags")
    one, other = (rows_of(tmp_path / f"{n}.jsonl", "twitter-v2", *shown) for n in ("pages", "flat"))
    assert one == other
    assert [row["repost"] for row in one] == [False, True, *[False] * (len(one) - 2)]
    assert (one[2]["url"], one[2]["hashtags"]) == ("https://x.org/a", "rye\nbun")


def test_a_retweet_in_twarcs_csv_is_the_others(
    page: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twarc_csv = pytest.importorskip("twarc_csv")
    pandas = pytest.importorskip("pandas")
    # twarc-csv 0.7.2 calls what pandas 3 has under the other name only
    monkeypatch.setattr(pandas.DataFrame, "applymap", pandas.DataFrame.map, raising=False)
    (tmp_path / "a.jsonl").write_text(json.dumps(page) + "\n")
    with open(tmp_path / "a.jsonl") as given, open(tmp_path / "a.csv", "w") as out:
        twarc_csv.CSVConverter(given, out).process()
    found = rows_of(tmp_path / "a.csv", "twarc-csv", *SHOWN, "url", "hashtags", "reply_to")
    assert found[1]["text"] == found[0]["text"]  # whole, and without "RT @"
    assert [row["repost"] for row in found] == [False, True, *[False] * (len(found) - 2)]
    assert {row["account"] for row in found} == {f"900{i}" for i in range(5)}
    assert (found[2]["url"], found[2]["hashtags"]) == ("https://x.org/a", "#rye\n#bun")
    assert found[3]["reply_to"] == "5"


def test_a_retweet_in_the_csv_of_twarc_1_is_the_others(tmp_path: Path) -> None:
    to_csv = pytest.importorskip("twarc.json2csv")
    with open(CASES / "twarc1.jsonl", encoding="utf-8") as file:
        tweets = [json.loads(line) for line in file][:3]
    for tweet in tweets:
        tweet["entities"] = {"urls": [], "hashtags": [{"text": "rye"}]} | tweet.get("entities", {})
        tweet |= {"favorite_count": 0, "retweet_count": 0}
    tweets[1]["retweeted_status"] = copy.deepcopy(tweets[0])
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(to_csv.get_headings())
        table.writerows(to_csv.get_row(tweet) for tweet in tweets)
    found = rows_of(tmp_path / "a.csv", "")
    assert found[1]["text"] == found[0]["text"]
    assert [row["repost"] for row in found] == [False, True, False]
    assert len({row["account"] for row in found}) == 3
