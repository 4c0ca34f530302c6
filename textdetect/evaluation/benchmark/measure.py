"""The whole benchmark, within a time; all that score take turns, so that noise meets them alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, get_args

import numpy as np

from textdetect._ground.optional import LIBRARIES, installed_versions
from textdetect._ground.progress import bar
from textdetect._ground.version import __version__
from textdetect.errors import InvalidInput, TextdetectError
from textdetect.evaluation.benchmark.fresh import cold_start
from textdetect.evaluation.benchmark.posts import KINDS, made_posts
from textdetect.evaluation.benchmark.results import Benchmark, Figure, Spread
from textdetect.model.detector import Detector
from textdetect.model.runtimes.choice import RuntimeName
from textdetect.model.runtimes.host import machine

LEAST_POSTS: Final = 8
MOST_POSTS: Final = 2_048
OURS: Final = "textdetect"
_QUICK: Final = 90.0, 3
_FULL: Final = 900.0, 7
"""Seconds, and rounds."""
Run = tuple[Callable[[list[str]], object], list[str]]
"""What scores, and the posts that it scores the first of."""


def bench(
    model: str | os.PathLike[str] = "default",
    *,
    seconds: float | None = None,
    full: bool = False,
    seed: int = 0,
    progress: bool | None = None,
) -> Benchmark:
    """Measure how fast posts are judged here, how soon, and in what memory.

    `Detector.predict` is timed with all that it does, by each runtime that is installed and has a
    calibration; they score the same posts in turn, round by round.

    Args:
        model: embedded name, folder or hub id of a calibrated checkpoint.
        seconds: about how long it may take; 90, or 900 if full. Below 30 or so, loading alone takes
            longer.
        full: more rounds, of more posts.
        seed: of the posts.
        progress: show a bar on stderr; None: if that is a terminal.

    Raises:
        InvalidInput: `seconds` is not positive.
        CheckpointError, NotCalibrated: the model can't be opened, or gives no verdicts.
        TextdetectError: a fresh process failed.

    >>> bench(seconds=20).figures[0].unit  # doctest: +SKIP
    'posts/s'
    """
    usual_s, n_rounds = _FULL if full else _QUICK
    seconds = usual_s if seconds is None else seconds
    if not seconds > 0:
        raise InvalidInput(f"seconds: expected a positive number, got {seconds!r}")
    start_s = time.perf_counter()
    load_before = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    n_starts = max(1, min(5, int(seconds // 30)))
    skipped: dict[str, str] = {}
    with bar(n_starts + len(KINDS) * n_rounds, progress, unit="step") as shown:
        detector = Detector.from_pretrained(model)
        rate = smallest_rate(detector)
        detector.predict([], max_fpr=rate)  # refuses a model that gives no verdicts
        started = cold_start(model, rate, n_runs=n_starts, room_s=seconds / 60, bar=shown)
        detectors = by_runtime(detector, skipped)
        speeds = _speeds(detectors, rate, start_s + seconds, n_rounds, seed, shown)
    return Benchmark(
        model=detector.name,
        version=detector.version,
        fingerprint=detector.fingerprint,
        numerics=detector.numerics,
        machine=machine(),
        libraries={"textdetect": __version__} | installed_versions(LIBRARIES),
        load_before=load_before,
        took_s=round(time.perf_counter() - start_s, 1),
        figures=(*speeds, *started),
        skipped=skipped,
    )


def smallest_rate(detector: Detector) -> float:
    """Give 0.01, or the smallest false-positive rate that the calibration supports."""
    return max(0.01, detector.calibration.smallest if detector.calibration else 0.0)


def by_runtime(detector: Detector, skipped: dict[str, str]) -> dict[str, Detector]:
    """Give the detector as it comes, and by each other runtime that has a calibration.

    Args:
        detector: loaded from a checkpoint with the default runtime.
        skipped: takes up why a runtime is not there.
    """
    found = {OURS: detector}
    for runtime in get_args(RuntimeName):
        name = f"{OURS}, {runtime}"
        if runtime == "auto" or detector.checkpoint is None:
            continue
        try:
            other = Detector.from_pretrained(detector.checkpoint.folder, runtime=runtime)
        except TextdetectError as error:
            skipped[name] = str(error)
            continue
        if other.calibration is None:
            skipped[name] = f"no calibration for {other.numerics}"
        elif other.numerics != detector.numerics:
            found[name] = other
    return found


def _speeds(
    detectors: Mapping[str, Detector],
    rate: float,
    until_s: float,
    n_rounds: int,
    seed: int,
    shown: Any,
) -> list[Figure]:
    """Let the detectors judge posts of each kind in turn, as many as fit into the time."""
    speeds = []
    for place, kind in enumerate(KINDS):
        shown.set_description(f"{kind} posts")
        now_s = time.perf_counter()
        deadline_s = now_s + (until_s - now_s) / (len(KINDS) - place)
        posts = made_posts(kind, MOST_POSTS, seed=seed)
        runs: dict[str, Run] = {
            name: (partial(each.predict, max_fpr=rate, progress=False), posts)
            for name, each in detectors.items()
        }
        n_posts, rates = take_turns(
            runs, rounds=n_rounds, deadline_s=deadline_s, each_round=shown.update
        )
        for name, per_s in rates.items():
            spread = Spread.of(per_s)
            speeds.append(Figure(kind, name, spread, "posts/s", len(per_s), n_posts))
    return speeds


def take_turns(
    runs: Mapping[str, Run],
    *,
    rounds: int,
    deadline_s: float,
    each_round: Callable[[], object] = lambda: None,
    fits: Callable[[str, int], bool] = lambda name, n_posts: True,
) -> tuple[int, dict[str, list[float]]]:
    """Time all on the same posts, as many as fit into the time, another one first in each round.

    Args:
        runs: by name; each is warm before the first round.
        rounds: at most; there is one of eight posts even if there is no time.
        deadline_s: by `time.perf_counter`; no further round begins after it.
        each_round: called as each round begins.
        fits: whether one takes part, given the posts of a round.

    Returns:
        The posts of a round, and posts a second in each round by name.
    """
    for run in runs.values():
        _took_s(run, 2)
    tried_s = sum(_took_s(run, LEAST_POSTS) for run in runs.values())
    room_s = (deadline_s - time.perf_counter()) / (rounds + 1)
    n_posts = int(np.clip(LEAST_POSTS * room_s / tried_s, LEAST_POSTS, MOST_POSTS))
    names = [name for name in runs if fits(name, n_posts)]
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        if number and time.perf_counter() > deadline_s:
            break
        each_round()
        first = number % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(n_posts / _took_s(runs[name], n_posts))
    return n_posts, rates


def _took_s(run: Run, n_posts: int) -> float:
    score, posts = run
    start_s = time.perf_counter()
    score(posts[:n_posts])
    return time.perf_counter() - start_s
