"""Write posts.csv, a mixed sample of human and machine-made posts; it knows no detector.

Two styles are read from the files beside this script; two are made here, by a Markov chain over
the public-domain texts and from templates with slots. The same seed gives the same bytes.

    python examples/make_posts.py            write posts.csv
    python examples/make_posts.py --check    exit 1 if posts.csv is not what this script writes
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 1978
COLUMNS = ("id", "text", "language", "style", "origin")

N_MARKOV = 16
MIN_WORDS, MAX_WORDS = 18, 45
# A run of this many words is shared with no source and no other post: the wording is the chain's.
COPY_WORDS = 10
# Nor does a post go in circles: no run of this many words comes twice in it.
LOOP_WORDS = 4

# Pattern → how many posts it makes. All companies, products and places are invented.
ENGLISH_PATTERNS = {
    "{call} {gadget} now {n}% off, only {few} left! Get yours: https://example.org/{code}": 3,
    "Bought the {product} {n} days ago and {verdict}. {detail}. {stars}/5, {advice}.": 3,
    "{praise}! The {product} is the best thing I own. Thank you, thank you, {thanks}! {tag}": 3,
    "{place} deserves better than {complaint}. Vote {side} on Measure {few}, friends! {tag}": 3,
}
CHINESE_PATTERNS = {
    "家人们 {chinese_product} 限时免费试用 名额只剩{few}个 https://example.org/{code}": 2,
    "{chinese_product} 用了{n}天 {chinese_verdict} 推荐指数{stars}颗星。": 2,
}
SLOTS = {
    "call": ("CONGRATULATIONS!", "Last chance, friends!", "🔥 Today only 🔥", "Chosen for you!"),
    "n": ("12", "19", "25", "30", "45", "60"),
    "few": ("3", "4", "7", "9"),
    "code": ("gift7", "free-now", "claim22", "win"),
    "gadget": ("Lumo earbuds", "Pebra smart watches", "Tovi phone holders", "Lumo power banks"),
    "product": ("Vantora S5", "Lumo earbuds", "Pebra watch", "Tovi vacuum", "Vantora L7"),
    "verdict": ("it works as described", "I have mixed feelings", "I am very happy with it"),
    "detail": ("Setup took ten minutes", "Delivery was fast", "The manual is hard to follow"),
    "stars": ("3", "4", "5"),
    "advice": ("would buy again", "would recommend to a friend", "wait for a discount"),
    "praise": ("Wow, just wow", "Absolutely amazing", "10 out of 10", "I am speechless"),
    "thanks": ("you made my year", "keep it up", "never change"),
    "tag": ("#blessed", "#fairshare", "#mustsee", "#ourtown", "#nofilter"),
    "place": ("Northfen", "Our town", "Every family in Lower Arden", "Port Calloway"),
    "complaint": ("broken promises", "empty buses", "higher fees", "a council that won't listen"),
    "side": ("YES", "NO"),
    "chinese_product": ("万拓S5", "露墨耳机", "佩拉手表", "托维吸尘器"),
    "chinese_verdict": ("续航比想象中好", "做工扎实 客服也很耐心", "性价比很高 家里人都喜欢"),
}


def read_jsonl(name: str) -> list[dict[str, str]]:
    """Read one of the files beside this script, an object a line."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def bare(word: str) -> str:
    """Give the word without case and punctuation, as the chain compares words."""
    return "".join(c for c in word.casefold() if c.isalnum())


def runs(words: list[str], length: int) -> list[tuple[str, ...]]:
    """List every run of `length` neighbouring words, bare."""
    plain = [bare(word) for word in words]
    return [tuple(plain[i : i + length]) for i in range(len(plain) - length + 1)]


def markov_posts(sources: list[str], rng: random.Random) -> Iterator[str]:
    """Walk an order-2 chain over the sources, without end; each post opens in its own way."""
    follow: dict[tuple[str, str], list[str]] = {}
    openings: list[list[str]] = []
    taken: set[tuple[str, ...]] = set()
    for text in sources:
        words = text.split()
        taken.update(runs(words, COPY_WORDS))
        for i in range(len(words) - 2):
            if i == 0 or words[i - 1].endswith((".", "!", "?")):
                openings.append(words[i : i + 2])
            follow.setdefault((bare(words[i]), bare(words[i + 1])), []).append(words[i + 2])
    while True:
        post = list(rng.choice(openings))
        while len(post) < MIN_WORDS or not post[-1].endswith((".", "!", "?")):
            choices = follow.get((bare(post[-2]), bare(post[-1])))
            if choices is None or len(post) == MAX_WORDS:
                break
            post.append(rng.choice(choices))
        else:
            own, inner = runs(post, COPY_WORDS), runs(post, LOOP_WORDS)
            if taken.isdisjoint(own) and len(set(inner)) == len(inner):
                taken.update(own)
                openings = [opening for opening in openings if opening != post[:2]]
                yield " ".join(post)


def template_posts(patterns: dict[str, int], rng: random.Random) -> Iterator[str]:
    """Fill each pattern's slots as often as it asks, with no two posts alike."""
    for pattern, n_posts in patterns.items():
        made: set[str] = set()
        while len(made) < n_posts:
            made.add(pattern.format_map({slot: rng.choice(ws) for slot, ws in SLOTS.items()}))
        yield from sorted(made)


def make_rows() -> list[tuple[str, ...]]:
    """Make the posts of all four styles, shuffled and numbered; raise if two are the same."""
    rng = random.Random(SEED)
    human, written = read_jsonl("public_domain.jsonl"), read_jsonl("written.jsonl")
    posts = [(p["text"], p["language"], "human", p["origin"]) for p in human]
    posts += [(p["text"], p["language"], "language_model", "language model, 2026") for p in written]
    chain = markov_posts([p["text"] for p in human if p["language"] == "en"], rng)
    markov = [next(chain) for _ in range(N_MARKOV)]
    posts += [(text, "en", "markov", "order-2 Markov chain in make_posts.py") for text in markov]
    for language, patterns in (("en", ENGLISH_PATTERNS), ("zh", CHINESE_PATTERNS)):
        for text in template_posts(patterns, rng):
            posts.append((text, language, "template", "templates in make_posts.py"))
    if len({post[0] for post in posts}) < len(posts):
        raise ValueError("two posts are the same; each text may come once only")
    rng.shuffle(posts)
    return [(f"p{i:03d}", *post) for i, post in enumerate(posts, start=1)]


def main() -> int:
    """Write posts.csv, or compare it, and return the exit code."""
    parser = argparse.ArgumentParser(description="Write the sample posts.")
    parser.add_argument("--check", action="store_true", help="compare posts.csv, write nothing")
    check = parser.parse_args().check
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([COLUMNS, *make_rows()])
    made, path = table.getvalue().encode("utf-8"), HERE / "posts.csv"
    if not check:
        path.write_bytes(made)
    elif not path.is_file() or path.read_bytes() != made:
        print(f"{path} is not what this script writes; run it without --check", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
