"""A detector's answers at a threshold that was frozen before: texts → scores, flags, silence.

A checkpoint of ours brings its calibration; any other detector gets thresholds from *select*
posts, which are stored and never refitted. Scores are kept by detector and text, so that a second
look costs no inference. It knows nothing of slices or figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from tqdm.auto import tqdm

from textdetect.checkpoint import write_atomically
from textdetect.detector import Detector
from textdetect.errors import DataError, InvalidInput
from textdetect.evaluation.scorers import Checked
from textdetect.metrics import rates
from textdetect.posts import Posts
from textdetect.text import normalise

CHUNK: Final = 4_096
"""Posts that are scored, and kept, at a time."""
_COLUMNS: Final = ("score", "probability", "flagged", "answered")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a detector says of n posts.

    Attributes:
        scores: float64, shape (n,); higher = more machine-like; NaN = no score.
        flagged: bool, shape (n,): called machine-written at the frozen false-positive rate.
        answered: bool, shape (n,): said to be one or the other.
        probabilities: float64, shape (n,), of machine-written; None where scores are no logits.
        decision: score from which "machine" is likelier; accuracy is taken there.
        threshold: score from which a post is flagged; NaN where none could be set.
        stratified: each language and length has a threshold of its own, from a calibration.
    """

    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    answered: NDArray[np.bool_]
    probabilities: NDArray[np.float64] | None
    decision: float
    threshold: float
    stratified: bool = False

    def take(self, rows: NDArray[Any]) -> Answers:
        """Return the answers at `rows`: positions, or a boolean mask of shape (n,)."""
        chosen = None if self.probabilities is None else self.probabilities[rows]
        arrays = (self.scores[rows], self.flagged[rows], self.answered[rows])
        return Answers(*arrays, chosen, self.decision, self.threshold, self.stratified)


class Contender(Protocol):
    """A detector with its thresholds frozen.

    Attributes:
        name: what a table calls it.
        fingerprint: of all that makes a score.
        note: how its threshold came about.
    """

    name: str
    fingerprint: str
    note: str

    def answer(self, texts: Sequence[str]) -> Answers:
        """Answer for texts, in their order."""
        ...


class Calibrated:
    """A checkpoint with its own calibration: flags are those of `Detector.predict`.

    Args:
        detector: calibrated.
        max_fpr: false-positive rate of the flags, in (0, 1).
        cache: folder of scores; None keeps none.

    Raises:
        TooFewCalibration: no stratum supports `max_fpr`.
    """

    note = "calibrated: a threshold for each language and length, from the checkpoint"

    def __init__(self, detector: Detector, *, max_fpr: float, cache: Path | None = None) -> None:
        self.detector, self.max_fpr = detector, max_fpr
        self.name = f"{detector.name} {detector.version}".strip()
        self.fingerprint = detector.fingerprint
        calibration = detector.calibration
        known = json.dumps(calibration.to_dict() if calibration else {}, sort_keys=True)
        languages = ",".join(detector.languages)
        parts = ("verdicts", self.fingerprint, detector.runtime.numerics, languages, known)
        self._memory = _Memory(cache, *parts, f"{max_fpr:g}")
        detector.predict([], max_fpr=max_fpr)

    def answer(self, texts: Sequence[str]) -> Answers:
        """Answer as `predict` does: "uncertain" is no answer."""
        seen_as = normalise if self.detector.normalises else None
        found = self._memory.recall(texts, self._compute, self.name, seen_as=seen_as)
        return Answers(
            found["score"],
            found["flagged"] == 1,
            found["answered"] == 1,
            found["probability"],
            decision=0.0,
            threshold=float("nan"),
            stratified=True,
        )

    def _compute(self, texts: list[str]) -> dict[str, NDArray[np.float64]]:
        verdicts = self.detector.predict(texts, max_fpr=self.max_fpr, progress=False)
        return {
            "score": verdicts.logit,
            "probability": verdicts.probability,
            "flagged": verdicts.flagged.astype(np.float64),
            "answered": (verdicts.label != "uncertain").astype(np.float64),
        }


class Frozen:
    """Any other detector, with thresholds from *select* posts.

    The threshold of a flag is the lowest score that the conformal rule allows: of n people on
    *select* at most k may reach it, (k + 1) / (n + 1) ≤ `max_fpr`. The decision for accuracy is
    the detector's own (0 for logits), and for one that has none the score that tells the classes
    of *select* apart best (balanced accuracy).

    Args:
        scorer: fitted, or trainable with `train`.
        select: human and machine posts that are not measured.
        train: gives (texts, labels) to fit a trainable scorer; called only where scores are needed.
        key: what `train` gives, in a word, so that another training is another detector.
        thresholds: file in which the thresholds are stored, and read where they are there.

    Raises:
        DataError: stored thresholds of another detector, rate or select part.
    """

    def __init__(
        self,
        scorer: Checked,
        select: Posts,
        *,
        max_fpr: float,
        train: Callable[[], tuple[list[str], list[int]]] | None = None,
        key: str = "",
        cache: Path | None = None,
        thresholds: Path | None = None,
    ) -> None:
        self.name, self.max_fpr = scorer.name, max_fpr
        self._scorer, self._train = scorer, train
        fingerprint = scorer.fingerprint
        trained = f"{fingerprint} {key}" if scorer.needs_fit else fingerprint
        self.fingerprint = blake2b(trained.encode(), digest_size=16).hexdigest()
        keeps = cache if fingerprint else None  # who may change unseen is asked each time
        self._memory = _Memory(keeps, "scores", self.name, self.fingerprint)
        self.threshold, self.decision = self._thresholds(select, thresholds)
        few = (
            " (too few people on select for a threshold)"
            if self.threshold != self.threshold
            else ""
        )
        self.note = f"thresholds from {int(np.sum(select.labels == 0)):,} people on select{few}"

    def answer(self, texts: Sequence[str]) -> Answers:
        """Answer with the frozen thresholds; a NaN score is no answer."""
        scores = self._scores(texts)
        known = np.isfinite(scores)
        logits = self._scorer.logits
        return Answers(
            scores,
            known & (scores >= self.threshold),
            known,
            1 / (1 + np.exp(-np.clip(scores, -700, 700))) if logits else None,
            self.decision,
            self.threshold,
        )

    def _scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        seen_as = normalise if self._scorer.is_trainable else None
        return self._memory.recall(texts, self._compute, self.name, seen_as=seen_as)["score"]

    def _compute(self, texts: list[str]) -> dict[str, NDArray[np.float64]]:
        if self._scorer.needs_fit:
            if self._train is None:
                raise InvalidInput(
                    f"{self.name} must be trained, and this suite has no train part; leave it out"
                )
            self._scorer.fit(*self._train())
        if self._scorer.is_trainable:  # they learn from what our models see
            texts = [normalise(text) for text in texts]
        return {"score": self._scorer.score(texts)}

    def _thresholds(self, select: Posts, file: Path | None) -> tuple[float, float]:
        texts = [text or "" for text in select.texts]
        digest = blake2b("\x1f".join(sorted(texts)).encode("utf-8", "replace"), digest_size=16)
        of = {
            "detector": self.name,
            "fingerprint": self.fingerprint,
            "max_fpr": self.max_fpr,
            "select": digest.hexdigest(),
        }
        if file is not None and file.is_file():
            known = json.loads(file.read_text(encoding="utf-8"))
            if {name: known.get(name) for name in of} != of:
                raise DataError(
                    f"{file.name} holds thresholds of another detector, rate or select part; they "
                    "are frozen, so use a fresh folder for --out"
                )
            return float(known["threshold"]), float(known["decision"])
        scores, labels = self._scores(texts) if texts else np.empty(0), select.labels
        known_scores = np.isfinite(scores)
        threshold = conformal_threshold(scores[known_scores & (labels == 0)], self.max_fpr)
        decision = self._scorer.decision
        if decision is None:
            decision = best_decision(labels[known_scores], scores[known_scores])
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            values = of | {"threshold": threshold, "decision": decision}
            write_atomically(file, (json.dumps(values, indent=1) + "\n").encode())
        return threshold, decision


def conformal_threshold(humans: NDArray[np.float64], max_fpr: float) -> float:
    """Give the lowest threshold that at most `max_fpr` of people reach, by the conformal rule.

    Args:
        humans: scores of n people, finite.

    Returns:
        A score just above that of the (k + 1)-th highest, with (k + 1) / (n + 1) ≤ `max_fpr`; NaN
        where n is too small for any.

    >>> conformal_threshold(np.arange(99.0), 0.02), conformal_threshold(np.arange(9.0), 0.02)
    (97.00000000000001, nan)
    """
    n = len(humans)
    n_may = int(np.floor(max_fpr * (n + 1) + 1e-9)) - 1
    if n_may < 0:
        return float("nan")
    return float(np.nextafter(np.sort(humans)[::-1][n_may], np.inf))


def best_decision(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Give the score with the best balanced accuracy, the highest among equals; NaN for one class.

    >>> best_decision(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.7, 0.9]))
    0.7
    """
    if len(set(labels.tolist())) < 2:
        return float("nan")
    candidates = np.unique(scores)[::-1]
    candidates = candidates[:: max(1, len(candidates) // 500)]
    found = [rates(labels, scores, threshold=float(score)) for score in candidates]
    return float(candidates[int(np.argmax([each.tpr - each.fpr for each in found]))])


class _Memory:
    """Scores by text, in a folder of Parquet files: a chunk each, so that a cut-off run goes on."""

    def __init__(self, folder: Path | None, *key: str) -> None:
        digest = blake2b("\x1f".join(key).encode(), digest_size=12).hexdigest()
        self._folder = None if folder is None else folder / digest
        self._known: dict[bytes, tuple[float, ...]] = {}
        for file in sorted(self._folder.glob("*.parquet")) if self._folder else []:
            table = pa.parquet.read_table(file).to_pydict()
            columns = [table.get(name, [float("nan")] * len(table["key"])) for name in _COLUMNS]
            self._known |= dict(zip(table["key"], zip(*columns, strict=True), strict=True))

    def recall(
        self,
        texts: Sequence[str],
        compute: Callable[[list[str]], dict[str, NDArray[np.float64]]],
        name: str,
        *,
        seen_as: Callable[[str], str] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Give each text's columns, those that are not known computed and kept.

        Texts that are `seen_as` one are scored once.
        """
        seen = texts if seen_as is None else [seen_as(text) for text in texts]
        keys = [blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in seen]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        wanted = list(new)
        with tqdm(total=len(wanted), desc=name, unit="post", delay=2, disable=None) as bar:
            for start in range(0, len(wanted), CHUNK):
                chunk = wanted[start : start + CHUNK]
                found = compute([new[key] for key in chunk])
                blank = np.full(len(chunk), np.nan)
                columns = [found.get(column, blank).tolist() for column in _COLUMNS]
                self._known |= dict(zip(chunk, zip(*columns, strict=True), strict=True))
                self._keep(chunk, columns)
                bar.update(len(chunk))
        rows = np.array([self._known[key] for key in keys], dtype=np.float64)
        rows = rows.reshape(len(keys), len(_COLUMNS))
        return {name: rows[:, i] for i, name in enumerate(_COLUMNS)}

    def _keep(self, keys: list[bytes], columns: list[list[float]]) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        table = pa.table({"key": keys, **dict(zip(_COLUMNS, columns, strict=True))})
        sink = pa.BufferOutputStream()
        pa.parquet.write_table(table, sink)
        name = blake2b(b"".join(keys), digest_size=12).hexdigest()
        write_atomically(self._folder / f"{name}.parquet", sink.getvalue().to_pybytes())
