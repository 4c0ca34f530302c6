"""Score files of more and more rows by a stub, each in a fresh process: what grows with the rows?

python training/growth.py [--rows N ...] [--seconds N]

Reading, normalising, identifying languages and writing, without a model: rows a second, and the
most memory that the process held, which must not grow with the rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from textdetect.bulk import score_files
from textdetect.evaluation.benchmark import made_posts
from textdetect.evaluation.benchmark.fresh import run_fresh
from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime
from textdetect.model.runtimes.host import peak_memory_mb
from textdetect.posts.language import prepare

N_ROWS: Final = (1_000, 10_000, 100_000, 1_000_000)
_SCORE_FILE: Final = """
import runpy, sys
runpy.run_path(sys.argv[1])["score_file"](sys.argv[2])
"""

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, nargs="+", default=N_ROWS, help="in rising order")
parser.add_argument("--seconds", type=float, default=600, help="about how long, in all")


def main() -> None:
    """Measure, and print a line for each file."""
    asked, skipped = parser.parse_args(), dict[str, str]()
    with tempfile.TemporaryDirectory() as folder:
        for grown in growth(Path(folder), asked.rows, seconds=asked.seconds, skipped=skipped):
            print(f"{grown.n_rows:,} rows: {grown.rows_per_s:,.0f} a second, {grown.peak_mb} MB")
    for what, why in skipped.items():
        print(f"{what}: {why}")


@dataclass(frozen=True, slots=True)
class Growth:
    """Files scored without a model, in a process of their own: what grows with the rows.

    Attributes:
        n_rows: of the file.
        rows_per_s: reading, normalising, identifying languages and writing; no model.
        peak_mb: most memory that the process held; None where it can't be told.
    """

    n_rows: int
    rows_per_s: float
    peak_mb: float | None


def growth(
    folder: Path, sizes: Sequence[int], *, seconds: float, skipped: dict[str, str]
) -> list[Growth]:
    """Score files of more and more rows by a `StubRuntime`, each in a process of its own.

    Args:
        folder: where the files may be written.
        sizes: rows, in rising order.
        seconds: for all; a size that would take longer is skipped. The first is always measured.

    Raises:
        TextdetectError: a process failed.
    """
    deadline_s, found = time.perf_counter() + seconds, list[Growth]()
    for n_rows in sizes:
        took_s = n_rows / found[-1].rows_per_s if found else 0.0
        if time.perf_counter() + took_s > deadline_s and found:
            skipped[f"file of {n_rows:,} rows"] = f"needs about {took_s:.0f} s: give more --seconds"
        else:
            file = write_posts(folder / f"{n_rows}.csv", n_rows)
            _, said = run_fresh(_SCORE_FILE, __file__, str(file))
            file.unlink()
            found.append(Growth(n_rows, said["rows_per_s"], said["peak_mb"]))
    return found


def write_posts(file: Path, n_rows: int) -> Path:
    """Write a csv file of made posts, of which every thousandth is the same."""
    posts = made_posts("short", 700) + made_posts("chinese", 250) + made_posts("long", 50)
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "text"])
        rows.writerows(enumerate(islice(cycle(posts), n_rows)))
    return file


def score_file(source: str) -> None:
    """Score a file beside itself, and print how fast and in what memory."""
    humans = [f"so good to see you all again, for the {i}th time" for i in range(600)]
    stub = Detector(StubRuntime()).calibrate(humans, languages=["en"] * len(humans))
    out = f"{source}.scored.csv"
    prepare()  # or small files would pay for what a loaded detector finds ready
    print(flush=True)
    summary = score_files(source, out, detector=stub, progress=False)
    Path(out).unlink()
    print(json.dumps({"rows_per_s": summary.posts_per_s, "peak_mb": peak_memory_mb()}))


if __name__ == "__main__":
    main()
