"""Compare a checkpoint's numerics classes on a corpus: do verdicts stay put?

python training/numerics.py [MODEL] [--data FOLDER] [--runtimes NAME ...] [--out FILE]

Within a class the same posts are scored together, reversed, alone and with one thread. Between
classes, each with its own calibration, it counts the labels that differ and how far from their
threshold they were, and the AUROC of each source. Nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import json
import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from textdetect.errors import MissingDependency
from textdetect.model.detector import Detector
from textdetect.model.runtimes.host import share_cores
from textdetect.posts.corpus import load_posts
from textdetect.statistics.metrics import auroc
from textdetect.training import RUNTIMES, corpus_folder

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", nargs="?", default="default")
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--n-posts", type=int, default=20_000)
parser.add_argument("--max-chars", type=int, default=600, help="longer posts are left out")
parser.add_argument("--runtimes", nargs="+", default=["onnx", "openvino"], choices=RUNTIMES)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, help="JSON file of what was found")

MAX_FPRS = (0.05, 0.01)
FEWEST = 100
"""Posts of each class that make an AUROC of a source worth comparing."""


def main() -> None:
    """Score, compare, print."""
    arguments = parser.parse_args()
    posts = load_posts(corpus_folder(arguments.data))
    short = np.array([len(text) <= arguments.max_chars for text in posts.column("text")])
    classed = np.flatnonzero(short & posts.classed)
    rng = np.random.default_rng(arguments.seed)
    n = min(arguments.n_posts, len(classed))
    chosen = posts.take(np.sort(rng.choice(classed, n, replace=False)))
    texts = [text or "" for text in chosen.texts]
    found: dict[str, dict[str, float]] = {}
    judged: dict[str, Any] = {}
    print("| | largest | rms | other side of .5 | farthest | other label | in p | AUROC |")
    print("|---|---|---|---|---|---|---|---|")

    def compare(name: str, ours: Any, theirs: Any) -> None:
        found[name] = _difference(ours, theirs, chosen)
        print(f"| {name} | {' | '.join(f'{x:.2g}' for x in found[name].values())} |", flush=True)

    for runtime in arguments.runtimes:
        try:
            detector = Detector.from_pretrained(arguments.model, runtime=runtime)
        except MissingDependency as error:
            print(error)
            continue
        numerics = detector.runtime.numerics
        if numerics in judged or detector.calibration is None:
            continue
        judged[numerics] = {rate: detector.predict(texts, max_fpr=rate) for rate in MAX_FPRS}
        together = judged[numerics][MAX_FPRS[0]]
        back = detector.predict(texts[::-1], max_fpr=MAX_FPRS[0])[::-1]
        compare(f"{numerics}: reversed", together, back)
        alone = [detector.predict(text, max_fpr=MAX_FPRS[0]) for text in texts]
        compare(f"{numerics}: alone", together, alone)
        with get_context("spawn").Pool(1) as one:
            single = one.apply(_with_one_thread, (arguments.model, runtime, texts))
        compare(f"{numerics}: one thread", together, single)
    first, *rest = judged
    for other in rest:
        for rate in MAX_FPRS:
            compare(f"{first} and {other} at {rate}", judged[first][rate], judged[other][rate])
    print(f"{n} posts; within a class at max_fpr {MAX_FPRS[0]}")
    if arguments.out:
        arguments.out.write_text(json.dumps({"n_posts": n, "found": found}, indent=1))


def _with_one_thread(model: str, runtime: Any, texts: list[str]) -> Any:
    share_cores(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return Detector.from_pretrained(model, runtime=runtime).predict(texts, max_fpr=MAX_FPRS[0])


def _difference(ours: Any, theirs: Any, posts: Any) -> dict[str, float]:
    """Compare two judgements of the same posts.

    Returns:
        Largest and root mean square difference of a logit; posts whose probability is on another
        side of one half, and the largest |logit| among them; verdicts with another label, and the
        largest difference of a p-value among them; the largest difference of a source's AUROC.
    """
    a, b = (np.array([verdict.logit for verdict in each]) for each in (ours, theirs))
    p, q = (np.array([verdict.p_value for verdict in each]) for each in (ours, theirs))
    labels = [np.array([verdict.label for verdict in each]) for each in (ours, theirs)]
    scored = np.isfinite(a)
    sides, others = (a > 0) != (b > 0), labels[0] != labels[1]
    apart = []
    for source in sorted(set(posts.column("source"))):
        rows = scored & (posts.column("source") == source)
        if min(np.bincount(posts.labels[rows], minlength=2)) >= FEWEST:
            apart.append(auroc(posts.labels[rows], a[rows]) - auroc(posts.labels[rows], b[rows]))
    return {
        "largest": float(np.max(np.abs(a - b)[scored])),
        "rms": float(np.sqrt(np.mean((a - b)[scored] ** 2))),
        "sides": int(sides.sum()),
        "farthest": float(np.max(np.abs(a[sides]), initial=0.0)),
        "labels": int(others.sum()),
        "apart": float(np.nanmax(np.abs(p - q)[others], initial=0.0)),
        "auroc": float(np.max(np.abs(apart), initial=0.0)),
    }


if __name__ == "__main__":
    main()
