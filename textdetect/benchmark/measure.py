"""The whole benchmark in one go, within a time: speed, a cold start, on which machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final, get_args

from textdetect._optional import installed_versions
from textdetect._version import __version__
from textdetect.benchmark.fresh import cold_start
from textdetect.benchmark.posts import KINDS, made_posts
from textdetect.benchmark.race import MOST_POSTS, Run, n_fitting, take_turns
from textdetect.benchmark.results import Benchmark, Speed, Spread
from textdetect.detector import Detector
from textdetect.errors import InvalidInput, TextdetectError
from textdetect.progress import bar
from textdetect.runtimes.choice import RuntimeName
from textdetect.runtimes.host import machine

QUICK_S: Final = 90.0
FULL_S: Final = 900.0
OURS: Final = "textdetect"
_QUICK_ROUNDS: Final = 3
_FULL_ROUNDS: Final = 7
_LIBRARIES: Final = (
    *("numpy", "onnxruntime", "tokenizers", "py3langid", "pyarrow"),
    *("torch", "transformers", "openvino"),
)


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

    >>> bench(seconds=20).cold_start.n_runs  # doctest: +SKIP
    1
    """
    seconds = (FULL_S if full else QUICK_S) if seconds is None else seconds
    if not seconds > 0:
        raise InvalidInput(f"seconds: expected a positive number, got {seconds!r}")
    start_s = time.perf_counter()
    load_before = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    n_starts = max(1, min(5, int(seconds // 30)))
    n_rounds = _FULL_ROUNDS if full else _QUICK_ROUNDS
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
        libraries={"textdetect": __version__} | installed_versions(_LIBRARIES),
        load_before=load_before,
        took_s=round(time.perf_counter() - start_s, 1),
        cold_start=started,
        speeds=tuple(speeds),
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
) -> list[Speed]:
    """Let the detectors judge posts of each kind in turn, as many as fit into the time."""
    speeds = []
    for place, kind in enumerate(KINDS):
        shown.set_description(f"{kind} posts")
        now_s = time.perf_counter()
        deadline_s = now_s + (until_s - now_s) / (len(KINDS) - place)
        posts = made_posts(kind, MOST_POSTS, seed=seed)
        runs = {name: judging(each, posts, rate) for name, each in detectors.items()}
        n_posts = n_fitting(runs, rounds=n_rounds, deadline_s=deadline_s)
        verdicts = detectors[OURS].predict(posts[:n_posts], max_fpr=rate, progress=False)
        mean_tokens = round(float(verdicts.n_tokens.mean()), 1)
        rates = take_turns(
            runs, n_posts, rounds=n_rounds, deadline_s=deadline_s, each_round=shown.update
        )
        for name, per_s in rates.items():
            spread = Spread.of(per_s)
            speeds.append(Speed(kind, name, n_posts, len(per_s), mean_tokens, spread))
    return speeds


def judging(detector: Detector, posts: list[str], max_fpr: float) -> Run:
    """Give what judges the first n of the posts."""
    return lambda n: detector.predict(posts[:n], max_fpr=max_fpr, progress=False)
