"""The whole benchmark in one go, within a time: who, against what, on which machine."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Final

from textdetect._optional import installed_versions
from textdetect._version import __version__
from textdetect.benchmark.contenders import all_cores, max_length, ours, peers
from textdetect.benchmark.posts import KINDS
from textdetect.benchmark.processes import MANY_ROWS, N_ROWS, cold_start, growth, write_posts
from textdetect.benchmark.race import Course, race
from textdetect.benchmark.results import Benchmark, Limit, Speed, Spread
from textdetect.benchmark.roofs import UNITS, Shape, disk, matrix_peaks, parsers
from textdetect.checkpoint import Checkpoint, find_folder, open_checkpoint
from textdetect.detector import Detector
from textdetect.errors import InvalidInput
from textdetect.progress import bar
from textdetect.runtimes.host import machine

QUICK_S: Final = 90.0
FULL_S: Final = 900.0
_QUICK_ROUNDS: Final = 3
_FULL_ROUNDS: Final = 7
_LIBRARIES: Final = (
    *("numpy", "onnxruntime", "tokenizers", "py3langid", "pyarrow"),
    *("torch", "transformers", "scikit-learn", "onnx", "openvino"),
)
_PARSED_ROWS: Final = 10_000


def bench(
    model: str | os.PathLike[str] = "default",
    *,
    seconds: float | None = None,
    full: bool = False,
    seed: int = 0,
    progress: bool | None = None,
) -> Benchmark:
    """Measure this library, others on the same weights, and what this machine can do at best.

    `Detector.predict` is timed with all that it does (normalisation and language identification
    included); the others are given normalised texts, and cut them where the model does. In each
    round all contenders score the same posts one after the other, beside the machine's matrix
    products, and ratios are taken within a round.

    Args:
        model: embedded name, folder or hub id of a calibrated checkpoint of ours.
        seconds: about how long it may take; 90, or 900 if full. Below 30 or so, loading alone takes
            longer.
        full: also what takes minutes: a compiled model, a file of a million rows.
        seed: of the posts.
        progress: show a bar on stderr; None: if that is a terminal.

    Raises:
        InvalidInput: `seconds` is not positive.
        CheckpointError, NotCalibrated: the model can't be opened, or gives no verdicts.
        TextdetectError: a fresh process failed, or a contender left posts out.

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
    sizes = (*N_ROWS, MANY_ROWS) if full else N_ROWS
    skipped: dict[str, str] = {}
    speeds: list[Speed] = []
    rounds: dict[str, list[float]] = {}
    with (
        bar(n_starts + len(sizes) + len(KINDS) * n_rounds, progress, unit="step") as shown,
        tempfile.TemporaryDirectory() as name,
        all_cores(),
    ):
        folder, detector = Path(name), Detector.from_pretrained(model)
        rate = max(0.01, detector.calibration.smallest if detector.calibration else 0.0)
        detector.predict([], max_fpr=rate)  # refuses a model that gives no verdicts
        started = cold_start(model, rate, n_runs=n_starts, room_s=seconds / 60, bar=shown)
        grown = growth(folder, sizes, seconds=0.25 * seconds, bar=shown, skipped=skipped)
        limits = [*parsers(write_posts(folder / "posts.csv", _PARSED_ROWS), folder), disk(folder)]
        checkpoint = detector.checkpoint or open_checkpoint(find_folder(model))
        course = _course(checkpoint, skipped)
        contenders = ours(detector, rate, skipped)
        contenders |= peers(checkpoint, course.tokenizer, skipped, slow=full)
        for place, kind in enumerate(KINDS):
            left_s = start_s + seconds - time.perf_counter()
            found, peaks = race(
                kind,
                contenders,
                course,
                rounds=n_rounds,
                seconds=left_s / (len(KINDS) - place),
                seed=seed,
                bar=shown,
                skipped=skipped,
            )
            speeds += found
            for number_type, values in peaks.items():
                rounds.setdefault(number_type, []).extend(values)
    products = [
        Limit(f"matrix products, {name}", UNITS[name], len(values), Spread.of(values))
        for name, values in rounds.items()
    ]
    return Benchmark(
        model=detector.name,
        version=detector.version,
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
        machine=machine(),
        libraries={"textdetect": __version__} | installed_versions(_LIBRARIES),
        load_before=load_before,
        took_s=round(time.perf_counter() - start_s, 1),
        cold_start=started,
        speeds=tuple(speeds),
        limits=(*products, *limits),
        growth=tuple(grown),
        skipped=skipped,
    )


def _course(checkpoint: Checkpoint, skipped: dict[str, str]) -> Course:
    """Prepare what a post's cost is counted with; without the model's sizes there are no peaks."""
    from textdetect.runtimes.graph import light_tokenizer

    shape = Shape.of(checkpoint.config)
    if shape is None:
        skipped["share of the peak"] = "config.json does not name layers, hidden and intermediate"
    peaks, missing = matrix_peaks(shape) if shape else ({}, {})
    skipped |= missing
    length = max_length(checkpoint)
    return Course(light_tokenizer(checkpoint.folder, length), length, shape, peaks)
