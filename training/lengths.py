"""Measure a checkpoint by length: posts as they come, and the same long posts cut short.

python training/lengths.py [MODEL] [--config FILE] [--part select] [--data FOLDER]

What is flagged here is what has a p-value small enough, however short: from which number of words
on a post has a verdict at all (`judgement.MIN_WORDS`) is decided by the *select* part.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.config import TrainConfig, load_config
from textdetect.errors import NotCalibrated
from textdetect.evaluation.figures import markdown
from textdetect.model.detector import Detector
from textdetect.posts.corpus import Posts
from textdetect.posts.splits import PARTS
from textdetect.posts.text import first_words, n_words
from textdetect.statistics.metrics import auroc_within
from textdetect.training import capped, corpus_folder, split_corpus

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", nargs="?", default="default")
parser.add_argument("--config", default="configs/default.yaml", help="whose parts are used")
parser.add_argument("--part", default="report", choices=PARTS)
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--languages", nargs="+", default=["en", "zh"])

BOUNDS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64, 128, 256, 100_000)
"""First number of words of each bin (a Chinese character is a word)."""
CUTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
RATES = (0.01, 0.05)
MOST = 600
"""Posts of a source, language and class."""


def main() -> None:
    """Score, count, print."""
    arguments = parser.parse_args()
    config, _ = load_config(Path(arguments.config), TrainConfig)
    posts, parts = split_corpus(config, corpus_folder(arguments.data))
    usable = (parts.part == arguments.part) & posts.classed
    usable &= np.isin(posts.column("language"), arguments.languages)
    rows = capped(posts, usable, config.seed, (MOST, MOST))
    chosen, texts = posts.take(rows), [parts.normalised[row] for row in rows]
    detector = Detector.from_pretrained(arguments.model)
    words = np.array([n_words(text) for text in texts])
    whole = _Scored(detector, chosen, texts)
    print(f"\n## As they come ({arguments.part})\n")
    print(
        markdown(
            [
                {"language": code, "words": _range(low, high)}
                | whole.figures(chosen.column("language") == code, (words >= low) & (words < high))
                for code in arguments.languages
                for low, high in pairwise(BOUNDS)
            ]
        )
    )
    long = np.flatnonzero(words >= CUTS[-1])
    print(f"\n## Posts of {CUTS[-1]} words and more, cut after the first ({arguments.part})\n")
    longer = chosen.take(long)
    table = []
    for cut in CUTS:
        scored = _Scored(detector, longer, [first_words(texts[i], cut) for i in long])
        table += [
            {"language": code, "words": cut} | scored.figures(longer.column("language") == code)
            for code in arguments.languages
        ]
    print(markdown(sorted(table, key=lambda row: row["language"])))


class _Scored:
    """Posts with a logit and a p-value each."""

    def __init__(self, detector: Detector, posts: Posts, texts: Sequence[str]) -> None:
        if detector.calibration is None:
            raise NotCalibrated("this checkpoint has no calibration")
        codes = posts.column("language").tolist()
        scored = detector.score(texts, language=codes)
        self._posts, self._logits = posts, scored.logit
        self._tokens, self._p_values = scored.n_tokens, scored.p_value

    def figures(self, *of: NDArray[np.bool_]) -> dict[str, Any]:
        """Count people and machines, and those flagged at each rate, among some posts."""
        rows = np.logical_and.reduce([*of, np.isfinite(self._logits)])
        labels = self._posts.labels[rows]
        found: dict[str, Any] = {
            "tokens": float(np.median(self._tokens[rows])) if rows.any() else None,
            "people": int(np.sum(labels == 0)),
            "machines": int(np.sum(labels == 1)),
            "auroc_within": auroc_within(
                labels, self._logits[rows], self._posts.column("domain")[rows]
            ),
        }
        for name, label in (("machines", 1), ("people", 0)):
            p_values = self._p_values[rows][labels == label]
            for rate in RATES:
                flagged = float(np.mean(p_values <= rate)) if len(p_values) else None
                found[f"{name}_flagged_{rate}"] = flagged
        return found


def _range(low: int, high: int) -> str:
    if high == BOUNDS[-1]:
        return f"{low}+"
    return str(low) if high == low + 1 else f"{low}–{high - 1}"


if __name__ == "__main__":
    main()
