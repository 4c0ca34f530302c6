"""Measure reading at length: `python tests/long_reading.py --rows 10000000 [--beside FOLDER]`.

Makes a csv, a jsonl and an ndjson.zst of so many invented posts, and reads each in processes of
their own, in turn by this build and by the one in FOLDER, another checkout. Prints a Markdown
table: rows a second, the ratio in the same round, and the most memory that the process held.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

READ = """
import resource, sys, time
from textdetect.posts.files import open_posts
file, format = sys.argv[1:]
start_s, n_rows = time.perf_counter(), 0
with open_posts(file, format=format, into=format) as reader:
    for chunk in reader.chunks(4_096):
        n_rows += sum(row.text is not None for row in chunk.rows)
took_s = time.perf_counter() - start_s
print(n_rows, n_rows / took_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
SAID = (
    "the bakery on Mill Lane ran out of rye again, so I settled for a bun",
    "今天早上地铁又晚点了，等了二十分钟才上车",
    'who moved the "bike racks"?\nI walked round the station twice, honestly',
    "ok",
)
NAMES = ("id", "account", "time", "text", "likes")


def posts(n_rows: int) -> Iterator[tuple[str, str, str, str, int]]:
    for i in range(n_rows):
        when = f"2024-03-{i % 28 + 1:02}T{i % 24:02}:{i % 60:02}:07+00:00"
        account = f"user{i * 7919 % 99_991}"
        yield str(1_764_300_000_000_000_000 + i), account, when, f"{SAID[i % 4]} {i}", i % 50


def write(folder: Path, n_rows: int) -> dict[str, Path]:
    import zstandard

    files = {name: folder / f"posts.{name}" for name in ("csv", "jsonl", "ndjson.zst")}
    packed = zstandard.ZstdCompressor(level=3).stream_writer
    with (
        open(files["csv"], "w", encoding="utf-8", newline="") as table,
        open(files["jsonl"], "w", encoding="utf-8") as lines,
        open(files["ndjson.zst"], "wb") as raw,
        io.TextIOWrapper(packed(raw), encoding="utf-8") as more,
    ):
        rows = csv.writer(table)
        rows.writerow(NAMES)
        for post in posts(n_rows):
            rows.writerow(post)
            line = json.dumps(dict(zip(NAMES, post, strict=True)), ensure_ascii=False) + "\n"
            lines.write(line)
            more.write(line)
    return files


def measure(build: Path, file: Path, n_rows: int) -> tuple[float, int] | None:
    """Read a file by a build: rows a second, and MiB; None where it can't."""
    format = "csv" if file.suffix == ".csv" else "jsonl"
    ran = subprocess.run(
        [sys.executable, "-c", READ, str(file), format],
        env=os.environ | {"PYTHONPATH": str(build)},
        cwd=build,
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        return None
    found, rate, mib = ran.stdout.split()
    return (float(rate), int(mib)) if int(found) == n_rows else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another checkout")
    given = parser.parse_args()
    here = Path(__file__).parents[1]
    print("| file | rows | rows/s | MiB | beside: rows/s | MiB | ratio: lowest, median, highest |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, file in write(Path(folder), given.rows).items():
            ours, theirs, ratios = [], [], []
            for _ in range(given.rounds):
                own = measure(here, file, given.rows)
                assert own is not None, f"{name} can't be read whole"
                ours.append(own)
                if given.beside and (other := measure(given.beside, file, given.rows)):
                    theirs.append(other)
                    ratios.append(own[0] / other[0])
            cells = [f"{statistics.median(r for r, _ in ours):,.0f}", max(mib for _, mib in ours)]
            if theirs:
                cells += [f"{statistics.median(r for r, _ in theirs):,.0f}"]
                cells += [max(mib for _, mib in theirs)]
                low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
                cells += [f"{low:.2f}, {middle:.2f}, {high:.2f}"]
            else:
                cells += ["", "", "can't be read" if given.beside else ""]
            print("| " + " | ".join(map(str, [name, f"{given.rows:,}", *cells])) + " |", flush=True)


if __name__ == "__main__":
    main()
