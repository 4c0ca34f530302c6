#!/usr/bin/env bash
# twarc-csv: a retweet's row has the retweeter's name and the original's words and likes.
#
# One expects: the row of a retweet to hold what the API gave for it: a text that begins with "RT @",
#   and its own counts.
# What happens: by default (merge_retweets) text, entities and public metrics of the original replace
#   those of the retweet; author.id stays the retweeter's. "RT @" is gone, and what tells the row from
#   a post of the retweeter's own are three other columns alone (referenced_tweets.retweeted.id,
#   retweeted_user_id, retweeted_username).
# Source: dataframe_converter.py, "Process Retweets". The help of --merge-retweets says what is merged;
#   the file that is handed on does not.
# Why it matters here: whoever groups the texts of such a file by author.id and asks who wrote them
#   judges an account by what others wrote, and adds up likes that it never had.
# Guess before running: "RT @" stays, as in the API, and the likes are the retweet's (0).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
  twarc==2.14.0 twarc-csv==0.7.2 pandas==2.3.3 numpy==2.3.5
"$work/venv/bin/python" - "$work" <<'P'
import csv
import json
import sys
from importlib.metadata import version

from twarc_csv import CSVConverter, DataFrameConverter

words = "A bakery near the station sells rye buns that stay fresh for a week."
counts = dict.fromkeys(("retweet_count", "reply_count", "quote_count", "impression_count"), 0)


def tweet(number, author, text, likes, **more):
    return {
        "id": number, "author_id": author, "text": text, "conversation_id": number,
        "created_at": f"2026-01-01T{number}:00:00.000Z",
        "public_metrics": {**counts, "like_count": likes}, **more,
    }


users = [
    {"id": i, "username": f"user{i}", "name": f"User {i}", "created_at": "2020-01-01T00:00:00.000Z"}
    for i in "12"
]
retweeted = [{"type": "retweeted", "id": "10"}]
page = {
    "data": [tweet("11", "2", f"RT @user1: {words}", 0, referenced_tweets=retweeted)],
    "includes": {"users": users, "tweets": [tweet("10", "1", words, 512)]},
    "meta": {"result_count": 1},
}
file, table = f"{sys.argv[1]}/page.jsonl", f"{sys.argv[1]}/page.csv"
with open(file, "w", encoding="utf-8") as out:
    out.write(json.dumps(page) + "\n")
print("twarc-csv", version("twarc-csv"), "pandas", version("pandas"))
columns = ("author.username", "text", "public_metrics.like_count", "retweeted_username")
seen = {}
for merged in (True, False):
    converter = DataFrameConverter("tweets", merge_retweets=merged)
    with open(file, encoding="utf-8") as given, open(table, "w", encoding="utf-8") as out:
        CSVConverter(given, out, hide_progress=True, converter=converter).process()
    with open(table, encoding="utf-8", newline="") as made:
        (row,) = csv.DictReader(made)
    seen[merged] = [row[name] for name in columns]
    print("merge_retweets", merged, dict(zip(columns, seen[merged])))
assert seen[True][:2] == ["user2", words], seen
assert float(seen[True][2]) == 512 and seen[True][3] == "user1", seen
assert seen[False][1].startswith("RT @user1: ") and float(seen[False][2]) == 0, seen
print("as found: user2 has user1's words and likes")
P
