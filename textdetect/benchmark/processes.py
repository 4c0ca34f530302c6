"""What is measured in fresh processes: a cold start, one post at a time, files that grow.

Each of them is begun by this module and ends in one of its functions.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, Final

import numpy as np

from textdetect.benchmark.posts import made_posts
from textdetect.benchmark.results import ColdStart, Growth, Spread
from textdetect.detector import Detector
from textdetect.errors import TextdetectError
from textdetect.language import prepare
from textdetect.runtimes.host import peak_memory_mb

N_ROWS: Final = (1_000, 10_000, 100_000)
MANY_ROWS: Final = 1_000_000
_SINGLE_POSTS: Final = 300
_FIRST_VERDICT: Final = """
import sys
from textdetect import Detector
model, post, rate, room_s = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
detector = Detector.from_pretrained(model)
detector.predict(post, max_fpr=rate)
print(flush=True)
from textdetect.runtimes.host import peak_memory_mb
peak_mb = peak_memory_mb()
from textdetect.benchmark.processes import _one_at_a_time
_one_at_a_time(detector, rate, room_s, peak_mb)
"""
_SCORE_FILE: Final = """
import sys
from textdetect.benchmark.processes import _score_file
_score_file(sys.argv[1])
"""


def cold_start(
    model: str | os.PathLike[str], max_fpr: float, *, n_runs: int, room_s: float, bar: Any
) -> ColdStart:
    """Time fresh processes, one after the other: to a first verdict, and one post at a time.

    Args:
        model, max_fpr: as `Detector.from_pretrained` and `Detector.predict` take them.
        room_s: seconds that each process may judge single posts for.

    Raises:
        TextdetectError: a process came to no verdict.
    """
    bar.set_description("cold start")
    post = made_posts("short", 1)[0]
    times, found = [], []
    for _ in range(n_runs):
        first_s, said = _run(_FIRST_VERDICT, os.fspath(model), post, str(max_fpr), str(room_s))
        times.append(first_s)
        found.append(said)
        bar.update()
    peaks = [each["peak_mb"] for each in found if each["peak_mb"] is not None]
    return ColdStart(
        n_runs=n_runs,
        first_verdict_s=Spread.of(times),
        peak_mb=max(peaks, default=None),
        n_posts=min(each["n_posts"] for each in found),
        p50_ms=Spread.of([each["p50_ms"] for each in found]),
        p95_ms=Spread.of([each["p95_ms"] for each in found]),
    )


def growth(
    folder: Path, sizes: tuple[int, ...], *, seconds: float, bar: Any, skipped: dict[str, str]
) -> list[Growth]:
    """Score files of more and more rows by a `StubRuntime`, each in a process of its own.

    Args:
        folder: where the files may be written.
        sizes: rows, in rising order.
        seconds: for all; a size that would take longer is skipped. The first is always measured.

    Raises:
        TextdetectError: a process failed.
    """
    bar.set_description("files")
    deadline_s, found = time.perf_counter() + seconds, list[Growth]()
    for n_rows in sizes:
        took_s = n_rows / found[-1].rows_per_s if found else 0.0
        if time.perf_counter() + took_s > deadline_s and found:
            skipped[f"file of {n_rows:,} rows"] = f"needs about {took_s:.0f} s: give more --seconds"
        else:
            file = write_posts(folder / f"{n_rows}.csv", n_rows)
            _, said = _run(_SCORE_FILE, str(file))
            file.unlink()
            found.append(Growth(n_rows, said["rows_per_s"], said["peak_mb"]))
        bar.update()
    return found


def write_posts(file: Path, n_rows: int) -> Path:
    """Write a csv file of made posts, of which every thousandth is the same."""
    posts = made_posts("short", 700) + made_posts("chinese", 250) + made_posts("long", 50)
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "text"])
        rows.writerows(enumerate(islice(cycle(posts), n_rows)))
    return file


def _run(code: str, *arguments: str) -> tuple[float, dict[str, Any]]:
    """Run code in a fresh process: seconds to its first line, and the JSON of its last."""
    command = [sys.executable, "-P", "-c", code, *arguments]
    start_s = time.perf_counter()
    with Popen(command, stdout=PIPE, stderr=PIPE, text=True) as process:
        if process.stdout:
            process.stdout.readline()
        first_s = time.perf_counter() - start_s
        rest, complaint = process.communicate()
    if process.returncode or not rest.strip():
        why = (complaint.splitlines() or ["no reason"])[-1]
        raise TextdetectError(f"a fresh process did not get through: {why}")
    return first_s, json.loads(rest)


def _one_at_a_time(
    detector: Detector, max_fpr: float, room_s: float, peak_mb: float | None
) -> None:
    """Print what single posts take, and what memory the process held before."""
    times_ms: list[float] = []
    deadline_s = time.perf_counter() + room_s
    for post in made_posts("short", _SINGLE_POSTS, seed=1):
        start_s = time.perf_counter()
        detector.predict(post, max_fpr=max_fpr)
        times_ms.append((time.perf_counter() - start_s) * 1e3)
        if time.perf_counter() > deadline_s:
            break
    p50_ms, p95_ms = np.percentile(times_ms, [50, 95]).tolist()
    said = {"peak_mb": peak_mb, "n_posts": len(times_ms), "p50_ms": p50_ms, "p95_ms": p95_ms}
    print(json.dumps(said))  # noqa: T201


def _score_file(source: str) -> None:
    """Score a file beside itself, and print how fast and in what memory."""
    from textdetect.bulk import score_files
    from textdetect.runtimes import StubRuntime

    humans = [f"so good to see you all again, for the {i}th time" for i in range(600)]
    stub = Detector(StubRuntime()).calibrate(humans, languages=["en"] * len(humans))
    out = f"{source}.scored.csv"
    prepare()  # or small files would pay for what a loaded detector finds ready
    print(flush=True)  # noqa: T201
    summary = score_files(source, out, detector=stub, progress=False)
    Path(out).unlink()
    print(json.dumps({"rows_per_s": summary.posts_per_s, "peak_mb": peak_memory_mb()}))  # noqa: T201
