"""What is measured in fresh processes: a cold start, and one post at a time after it."""

from __future__ import annotations

import json
import os
import sys
import time
from subprocess import PIPE, Popen
from typing import Any, Final

import numpy as np

from textdetect.errors import TextdetectError
from textdetect.evaluation.benchmark.posts import made_posts
from textdetect.evaluation.benchmark.results import Figure, Spread
from textdetect.model.detector import Detector

_SINGLE_POSTS: Final = 300
_FIRST_VERDICT: Final = """
import sys
from textdetect import Detector
model, post, rate, room_s = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
detector = Detector.from_pretrained(model)
detector.predict(post, max_fpr=rate)
print(flush=True)
from textdetect.model.runtimes.host import peak_memory_mb
peak_mb = peak_memory_mb()
from textdetect.evaluation.benchmark.fresh import _one_at_a_time
_one_at_a_time(detector, rate, room_s, peak_mb)
"""


def cold_start(
    model: str | os.PathLike[str], max_fpr: float, *, n_runs: int, room_s: float, bar: Any
) -> list[Figure]:
    """Time fresh processes, one after the other: to a first verdict, and one post at a time.

    A first verdict takes interpreter, imports, checksums and model; its memory is the most that the
    process held until then, and left out where it can't be told.

    Args:
        model, max_fpr: as `Detector.from_pretrained` and `Detector.predict` take them.
        room_s: seconds that each process may judge single posts for.

    Raises:
        TextdetectError: a process came to no verdict.
    """
    bar.set_description("cold start")
    post = made_posts("short", 1)[0]
    runs = []
    for _ in range(n_runs):
        first_s, said = run_fresh(_FIRST_VERDICT, os.fspath(model), post, str(max_fpr), str(room_s))
        runs.append({"first_s": first_s, **said})
        bar.update()
    n_posts = min(run["n_posts"] for run in runs)
    return [
        Figure("latency", what, Spread.of([run[key] for run in runs]), unit, n_runs, n)
        for key, what, unit, n in (
            ("first_s", "cold start to a verdict", "s", 1),
            ("peak_mb", "its peak memory", "MB", 1),
            ("p50_ms", "one short post, p50", "ms", n_posts),
            ("p95_ms", "one short post, p95", "ms", n_posts),
        )
        if runs[0][key] is not None
    ]


def run_fresh(code: str, *arguments: str) -> tuple[float, dict[str, Any]]:
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
