#!/usr/bin/env bash
# ural: in a Chinese post the address goes on through comma and full stop to the next white space.
#
# One expects: `urls_from_text`, a helper for finding links in posts, ends an address where the sentence
#   goes on, as it does at an ASCII comma, and finds two addresses where there are two.
# What happens: the full-width marks that Chinese and Japanese write without spaces do not end it. Two
#   posts that share a link share no address, two links are one, and the prose is part of it.
#   twitter-text's rules, for the same posts, give the addresses.
# Source: ural/patterns.py, RESOURCE_PATH = r"(?:[/?#]\S*)?" inside URL_IN_TEXT_RE: any non-space
#   character. twitter-text-parser has a list: twitter_text/regexp/valid_general_url_path_chars.py.
# Why it matters here: co-link analysis, the most used sign of a campaign, misses accounts that post one
#   link with different words; and whoever removes links from posts with it removes the text.
# Guess before running: ural strips the full-width comma and what follows, as twitter-text does.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check ural==1.6.2 twitter-text-parser==3.0.0
"$work/venv/bin/python" - <<'P'
from importlib.metadata import version

from twitter_text import extract_urls
from ural import urls_from_text

print("ural", version("ural"), "twitter-text-parser", version("twitter-text-parser"))
a, b = "https://example.com/a", "https://example.com/b"
posts = {
    "ascii": f"See {a}, it is good. Then {b}!",
    "tea": f"看{a}，泡茶的方法很好。",
    "rain": f"看{a}，下雨天也可以读。",
    "two": f"先看{a}，再看{b}！",
    "thai": f"ดู {a} แล้วค่อยอ่าน",
}
seen = {name: (list(urls_from_text(text)), extract_urls(text)) for name, text in posts.items()}
for name, (by_ural, by_twitter) in seen.items():
    print(f"{name:6} ural {by_ural}\n       twitter-text {by_twitter}")
shared = set(seen["tea"][0]) & set(seen["rain"][0])
print("addresses that the posts tea and rain share, by ural:", len(shared))
assert seen["ascii"] == ([a, b], [a, b])
assert [found for found, _ in (seen["tea"], seen["two"])] == [
    [f"{a}，泡茶的方法很好。"], [f"{a}，再看{b}！"],
]
assert seen["tea"][1] == [a] and seen["two"][1] == [a, b] and not shared
print("as found: the sentence is part of the address")
P
