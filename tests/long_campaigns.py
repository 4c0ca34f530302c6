"""Measure the search for campaigns at length: `python tests/long_campaigns.py WHAT [--data FILE]`.

Prints Markdown tables. WHAT is founding, organic, people, meaning, stated, power, growth or
elections; the last needs the public table of posts around the German federal election of 2021
(columns account_id, post_id, url_id, hashtag_id, domain_id, phash_id, timestamp).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from scripts import script

from textdetect.campaigns import Campaigns, find_campaigns
from textdetect.campaigns.projection import find_edges, find_meetings
from textdetect.campaigns.traces import find_traces, read_dump
from textdetect.statistics.intervals import clopper_pearson

simulate = script("simulate")
BURSTS, Planted, World = simulate.BURSTS, simulate.Planted, simulate.World
simulate_world = simulate.simulate_world


def row(*cells: object) -> None:
    print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")
    sys.stdout.flush()


def head(*names: str) -> None:
    row(*names)
    print("|" + "---|" * len(names))


def peak_mib() -> int:
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def judged(world: World, found: Campaigns) -> tuple[int, float, float, float]:
    """Give campaigns found, precision and recall of accounts, share of genuine ones drawn in."""
    names, campaign = world.truth["account"].to_pylist(), world.truth["campaign"].to_pylist()
    planted = {name for name, number in zip(names, campaign, strict=True) if number is not None}
    listed = {name for one in found.campaigns for name in one.accounts}
    hits = len(listed & planted)
    return (
        len(found.campaigns),
        hits / len(listed) if listed else float("nan"),
        hits / len(planted) if planted else float("nan"),
        (len(listed) - hits) / max(1, len(names) - len(planted)),
    )


def timed(world: World, **options: Any) -> tuple[Campaigns, float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    found = find_campaigns(world.posts, **options)
    return found, time.perf_counter() - start, time.process_time() - cpu


def founding() -> None:
    head("accounts", "planted", "posts", "campaigns", "precision", "recall", "statistic",
         "highest of 19 null worlds", "wall s", "CPU s", "peak MiB")  # fmt: skip
    world = simulate_world(
        n_accounts=50_000, n_posts=500_000, campaigns=[Planted(n_accounts=10_000)]
    )
    found, wall_s, cpu_s = timed(world)
    n, precision, recall, _ = judged(world, found)
    top = found.campaigns[0].statistic if found.campaigns else 0.0
    row(50_000, 10_000, world.posts.num_rows, n, precision, recall, top,
        float(found.null_maxima.max()), wall_s, cpu_s, peak_mib())  # fmt: skip
    print(f"\n{found}")


def organic(n_worlds: int = 200) -> None:
    """Organic worlds of several kinds, and worlds with a campaign beside the bursts."""
    head("organic worlds", "n", "with a campaign reported", "share", "95% interval")
    kinds: list[tuple[str, dict[str, Any], int]] = [
        ("all bursts, three press releases", {}, n_worlds),
        ("every burst twice", {"bursts": BURSTS * 2}, n_worlds // 4),
        ("the same fans share 6 press releases", {"n_releases": 6}, n_worlds // 4),
        ("12 press releases", {"n_releases": 12}, n_worlds // 4),
        ("24 press releases", {"n_releases": 24}, n_worlds // 4),
        ("Chinese", {"language": "zh"}, n_worlds // 4),
    ]
    for name, options, n in kinds:
        hits = 0
        for seed in range(n):
            world = simulate_world(
                n_accounts=(300, 600, 1000)[seed % 3],
                n_posts=(3000, 6000, 10_000)[seed % 3],
                seed=seed,
                **options,
            )
            hits += bool(find_campaigns(world.posts, seed=seed).campaigns)
        low, high = clopper_pearson(hits, n)
        row(name, n, hits, hits / n, f"{low:.4f} to {high:.4f}")
    print()
    head("worlds with a campaign of", "n", "found", "mean precision", "mean recall",
         "genuine accounts drawn in")  # fmt: skip
    for size in (20, 50, 100):
        results = []
        for seed in range(n_worlds // 4):
            planted = [Planted(n_accounts=size, reach=0.2)]
            world = simulate_world(campaigns=planted, seed=seed)
            results.append(judged(world, find_campaigns(world.posts, seed=seed)))
        n, precision, recall, drawn = (
            np.array(column, float) for column in zip(*results, strict=True)
        )
        row(size, len(n), int(np.sum(n > 0)), float(np.nanmean(precision)),
            float(np.mean(recall)), f"{np.mean(drawn):.5f}")  # fmt: skip


WORDS: dict[str, dict[str, Any]] = {
    "near-identical": {},
    "20% of words changed": {"paraphrase": 0.2},
    "40% of words changed": {"paraphrase": 0.4},
    "reworded": {"reworded": True},
    "one link a message": {"paraphrase": 1.0, "links": 1.0},
    "one tag a message, beside another": {"paraphrase": 1.0, "tags": 1.0},
    "one link, always the same": {"paraphrase": 1.0, "links": 1.0, "one_object": True},
    "one tag, always the same": {"paraphrase": 1.0, "tags": 1.0, "one_object": True},
    "slow: 6 hours": {"jitter_s": 3 * 3600.0},
    "slow: two days": {"jitter_s": 86_400.0},
    "small: 8 accounts": {"n_accounts": 8},
    "small, reworded": {"n_accounts": 8, "reworded": True},
}


def meaning(n_accounts: int = 500, n_seeds: int = 3, n_worlds: int = 99) -> None:
    """Worlds with networks that hide in several ways: found, and genuine accounts drawn in."""
    head("network", "language", "planted", "found", "drawn in", "s")
    for name, knobs in WORDS.items():
        for language, in_text in (("en", True), ("zh", True), ("en", False)):
            if not in_text and not {"links", "tags"} & set(knobs):
                continue
            n, hits, drawn, begin = 0, 0, 0, time.perf_counter()
            for seed in range(n_seeds):
                usual = {"n_accounts": 60, "reach": 0.2, "links": 0.0, "filler": 0.25}
                planted = Planted(**(usual | knobs))
                world = simulate_world(
                    n_accounts=n_accounts + planted.n_accounts,
                    n_posts=10 * (n_accounts + planted.n_accounts),
                    campaigns=[planted], language=language, in_text=in_text, seed=seed,
                )  # fmt: skip
                found = find_campaigns(world.posts, seed=seed, n_worlds=n_worlds, progress=False)
                _, _, recall, false = judged(world, found)
                n, hits = n + planted.n_accounts, hits + round(recall * planted.n_accounts)
                drawn += round(false * n_accounts)
            where = language if in_text else f"{language}, columns"
            row(name, where, n, hits, drawn, (time.perf_counter() - begin) / n_seeds)


def people(n_each: int = 20, n_accounts: int = 500) -> None:
    """Organic worlds of more kinds: false campaigns, with the exact interval."""
    head("organic worlds", "n", "with a campaign", "95% interval", "genuine accounts drawn in")
    kinds: dict[str, dict[str, Any]] = {
        **{name: {"bursts": (name,)} for name in simulate.RARE_BURSTS},
        "petition, breaking news": {"bursts": ("petition", "breaking_news") * 2},
        "12 press releases": {"bursts": ("press_release",), "n_releases": 12},
        "all of them": {"bursts": BURSTS + simulate.RARE_BURSTS},
    }
    for name, options in kinds.items():
        hits, drawn = 0, 0
        for seed in range(n_each):
            world = simulate_world(
                n_accounts=n_accounts, n_posts=12 * n_accounts, seed=1_000 + seed,
                language=("en", "zh")[seed % 2], in_text=True, **options,
            )  # fmt: skip
            found = find_campaigns(world.posts, seed=seed, progress=False)
            hits += bool(found.campaigns)
            drawn += sum(len(one.accounts) for one in found.campaigns)
        low, high = clopper_pearson(hits, n_each)
        row(name, n_each, hits, f"{low:.4f} to {high:.4f}", drawn)


def stated(n_each: int = 20, n_accounts: int = 500) -> None:
    """Plant posts of networks of the stated size, one a dump, and search in full."""
    head("language", "network", "stated size", "found", "95% interval")
    for language in ("en", "zh"):
        posts = simulate_world(
            n_accounts=n_accounts, n_posts=10 * n_accounts, language=language, in_text=True, seed=5
        ).posts.select(["account", "time", "text"])
        texts, times = posts["text"].to_pylist(), posts["time"].to_pylist()
        between = " " if language == "en" else ""
        for one in find_campaigns(posts, power=True, progress=False).power:
            hits = 0
            for seed in range(n_each if one.n_accounts else 0):
                rng = np.random.default_rng(seed)
                rows = []
                for place in rng.integers(0, len(texts), 10).tolist():
                    for account in np.flatnonzero(rng.random(one.n_accounts) < 0.6).tolist():
                        other = texts[int(rng.integers(len(texts)))]
                        text = {
                            "equal texts": texts[place],
                            "reworded texts": _mixed(texts[place], other, between, rng),
                            "one link a message": f"{other} https://x.example/{place}",
                        }.get(one.kind, f"{other} #planted{place}")
                        at = times[place] + timedelta(seconds=float(rng.uniform(-120, 120)))
                        rows.append({"account": f"planted{account}", "time": at, "text": text})
                both = pa.concat_tables([posts, pa.Table.from_pylist(rows, schema=posts.schema)])
                found = find_campaigns(both, seed=seed, progress=False)
                hits += any(
                    name.startswith("planted") for c in found.campaigns for name in c.accounts
                )
            low, high = clopper_pearson(hits, n_each)
            row(language, one.kind, one.n_accounts, hits, f"{low:.2f} to {high:.2f}")


def _mixed(text: str, other: str, between: str, rng: np.random.Generator) -> str:
    """Replace three words in ten of a text, of Chinese three pairs of characters."""
    words, others = (
        each.split(" ") if between else [each[i : i + 2] for i in range(0, len(each), 2)]
        for each in (text, other)
    )
    return between.join(
        others[int(rng.integers(len(others)))] if rng.random() < 0.3 else word for word in words
    )


def power() -> None:
    head("knob", "value", "worlds with a campaign found", "precision", "recall")
    knobs: dict[str, tuple[Any, ...]] = {
        "n_accounts": (10, 20, 50, 100),
        "filler": (0.0, 0.5, 0.7, 0.8, 0.9),
        "jitter_s": (30.0, 180.0, 600.0, 1800.0, 7200.0),
        "paraphrase": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
        "reach": (0.1, 0.2, 0.4, 0.8),
        "age_days": (1e9, 7.0, 2.0, 1.0),
    }
    for knob, values in knobs.items():
        for value in values:
            results = []
            for seed in range(10):
                planted = Planted(
                    **({"n_accounts": 50, "reach": 0.2, "links": 0.0} | {knob: value})
                )
                world = simulate_world(campaigns=[planted], seed=seed)
                results.append(judged(world, find_campaigns(world.posts, seed=seed)))
            n, precision, recall, _ = (
                np.array(column, float) for column in zip(*results, strict=True)
            )
            one = float(np.nanmean(precision)) if np.any(n) else "–"
            row(knob, value, f"{np.sum(n > 0)} of 10", one, float(np.mean(recall)))


def growth() -> None:
    head("accounts", "posts", "wall s", "CPU s", "CPU µs a post", "peak MiB", "campaigns",
         "precision", "recall")  # fmt: skip
    for n in (10_000, 30_000, 100_000):
        subprocess.run([sys.executable, __file__, f"grown-{n}"], check=True)


def grown(n: int) -> None:
    # A message has the same number of posts in every world: the campaign has more of them.
    planted = Planted(n_accounts=n // 5, reach=300 / n)
    world = simulate_world(n_accounts=n, n_posts=10 * n, campaigns=[planted])
    found, wall_s, cpu_s = timed(world)
    n_found, precision, recall, _ = judged(world, found)
    each = cpu_s / world.posts.num_rows * 1e6
    row(n, world.posts.num_rows, wall_s, cpu_s, each, peak_mib(), n_found, precision, recall)


def elections(file: str) -> None:
    """Compare with the usual rule: an edge for whoever shares one object within 60 seconds."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    names = {"account_id": "account", "timestamp": "time", "url_id": "url",
             "hashtag_id": "hashtags", "domain_id": "domain", "phash_id": "phash"}  # fmt: skip
    table = table.rename_columns([names.get(name, name) for name in table.column_names])
    objects = ("url", "hashtags", "domain", "phash")
    start, cpu = time.perf_counter(), time.process_time()
    traces = find_traces(read_dump(table, objects=objects))
    meetings = find_meetings(traces, 60.0)
    rule = _co_shares(traces, meetings)
    n_twice = len(find_edges(traces, meetings, traces.account))
    head("co-share within 60 s", "pairs", "share")
    row("one object is enough (the plain rule)", len(rule), 1.0)
    row("explained by popularity and activity (p > 0.05)", int(np.sum(rule > 0.05)),
        float(np.mean(rule > 0.05)))  # fmt: skip
    adjusted = np.sort(rule) * len(rule) / np.arange(1, len(rule) + 1)
    kept = int(np.max(np.flatnonzero(adjusted <= 0.05), initial=-1)) + 1
    row("not validated at a false-discovery rate of 5% among them", len(rule) - kept,
        1 - kept / len(rule))  # fmt: skip
    row("met on two objects or more, in distinct hours", n_twice, n_twice / len(rule))
    print()
    for window in ("60s", "5min"):
        found = find_campaigns(table, objects=objects, window=window)
        sizes = [len(one.accounts) for one in found.campaigns]
        print(f"window {window}: accounts per campaign {sizes}\n\n{found}\n")
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    print(f"all of it: {wall_s:.0f} s ({cpu_s:.0f} s CPU), peak {peak_mib()} MiB")


def _co_shares(traces: Any, meetings: Any) -> np.ndarray:
    """Give for each pair that ever met the chance to meet at all: 1 − exp(−expected)."""
    from textdetect.campaigns.projection import Edges, _expected

    n = int(traces.account.max()) + 1
    one, other = traces.account[meetings.first], traces.account[meetings.second]
    pairs = np.unique(np.minimum(one, other).astype(np.int64) * n + np.maximum(one, other))
    none, blank = np.zeros(0, np.int64), np.zeros(len(pairs))
    a, b = (pairs // n).astype(np.int32), (pairs % n).astype(np.int32)
    edges = Edges(a, b, none, blank, blank, none, none)
    return -np.expm1(-_expected(meetings, traces.account, edges, n))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what")
    parser.add_argument("--data", default="")
    arguments = parser.parse_args()
    if arguments.what.startswith("grown-"):
        grown(int(arguments.what.removeprefix("grown-")))
    elif arguments.what == "elections":
        elections(arguments.data)
    else:
        tables = {
            f.__name__: f for f in (founding, organic, power, growth, meaning, people, stated)
        }
        tables[arguments.what]()
