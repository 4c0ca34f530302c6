"""A detector's answers at a threshold that was frozen before: texts → scores, flags, silence.

A checkpoint of ours brings its calibration; any other detector gets thresholds from *select*
posts, which are stored and never refitted. Scores are kept (see `memory`), so that a second look
costs no inference. It knows nothing of slices or figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.files import write_atomically
from textdetect.errors import DataError, InvalidInput
from textdetect.evaluation.memory import Memory, digest
from textdetect.evaluation.scorers import Checked
from textdetect.model.detector import Detector
from textdetect.posts.corpus import Posts
from textdetect.posts.text import normalise


@dataclass(frozen=True, slots=True)
class Answers:
    """What a detector says of n posts; arrays of shape (n,)."""

    scores: NDArray[np.float64]  # higher = more machine-like; NaN = no score
    flagged: NDArray[np.bool_]  # called machine-written at the frozen false-positive rate
    answered: NDArray[np.bool_]  # said to be one or the other
    probabilities: NDArray[np.float64] | None  # of machine-written; None where scores are no logits
    decision: float  # score from which "machine" is likelier; accuracy is taken there
    threshold: float  # score from which a post is flagged; NaN where none could be set
    stratified: bool = False  # each language and length has a threshold of its own

    def take(self, rows: NDArray[Any]) -> Answers:
        """Return the answers at `rows`: positions, or a boolean mask of shape (n,)."""
        chosen = None if self.probabilities is None else self.probabilities[rows]
        arrays = (self.scores[rows], self.flagged[rows], self.answered[rows])
        return Answers(*arrays, chosen, self.decision, self.threshold, self.stratified)


class Calibrated:
    """A checkpoint with its own calibration, for a `max_fpr` that it supports.

    Flags are those of `Detector.predict`.
    """

    note = "calibrated: a threshold for each language and length, from the checkpoint"

    def __init__(self, detector: Detector, *, max_fpr: float, cache: Path | None = None) -> None:
        self.detector, self.max_fpr = detector, max_fpr
        self.name = f"{detector.name} {detector.version}".strip()
        self.fingerprint = detector.fingerprint
        calibration = detector.calibration
        known = json.dumps(calibration.to_dict() if calibration else {}, sort_keys=True)
        languages = ",".join(detector.languages)
        of = ("verdicts", self.fingerprint, detector.runtime.numerics, languages, known)
        self._memory = Memory(4, folder=cache, of=(*of, f"{max_fpr:g}"))
        detector.predict([], max_fpr=max_fpr)

    def answer(self, texts: Sequence[str]) -> Answers:
        """Answer as `predict` does: "uncertain" is no answer."""
        seen_as = normalise if self.detector.normalises else None
        rows = self._memory.recall(texts, self._compute, seen_as=seen_as, what=self.name)
        scores, probabilities, flagged, answered = rows.T
        flags = flagged == 1, answered == 1
        return Answers(scores, *flags, probabilities, 0.0, float("nan"), stratified=True)

    def _compute(self, texts: list[str]) -> NDArray[np.float64]:
        verdicts = self.detector.predict(texts, max_fpr=self.max_fpr, progress=False)
        answered = verdicts.label != "uncertain"
        return np.column_stack([verdicts.logit, verdicts.probability, verdicts.flagged, answered])


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

    Stored thresholds of another detector, rate or select part are a `DataError`.
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
        trained = f"{scorer.fingerprint} {key}" if scorer.needs_fit else scorer.fingerprint
        self.fingerprint = digest(trained).hex()
        keeps = cache if scorer.fingerprint else None  # who may change unseen is asked each time
        self._memory = Memory(1, folder=keeps, of=("scores", self.name, self.fingerprint))
        self.threshold, self.decision = self._stored(select, thresholds)
        none = self.threshold != self.threshold
        few = " (too few people on select for a threshold)" if none else ""
        self.note = f"thresholds from {int(np.sum(select.labels == 0)):,} people on select{few}"

    def answer(self, texts: Sequence[str]) -> Answers:
        """Answer with the frozen thresholds; a NaN score is no answer."""
        scores = self._scores(texts)
        known = np.isfinite(scores)
        flagged = known & (scores >= self.threshold)
        chances = 1 / (1 + np.exp(-np.clip(scores, -700, 700))) if self._scorer.logits else None
        return Answers(scores, flagged, known, chances, self.decision, self.threshold)

    def _scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        seen_as = normalise if self._scorer.is_trainable else None
        rows = self._memory.recall(texts, self._compute, seen_as=seen_as, what=self.name)
        return np.asarray(rows[:, 0])

    def _compute(self, texts: list[str]) -> NDArray[np.float64]:
        if self._scorer.needs_fit:
            if self._train is None:
                raise InvalidInput(
                    f"{self.name} must be trained, and this suite has no train part; leave it out"
                )
            self._scorer.fit(*self._train())
        if self._scorer.is_trainable:  # they learn from what our models see
            texts = [normalise(text) for text in texts]
        return self._scorer.score(texts)[:, None]

    def _stored(self, select: Posts, file: Path | None) -> tuple[float, float]:
        """Read threshold and decision, or fit and store them."""
        texts = [text or "" for text in select.texts]
        of = {"detector": self.name, "fingerprint": self.fingerprint, "max_fpr": self.max_fpr}
        of |= {"select": digest(*sorted(texts)).hex()}
        if file is not None and file.is_file():
            known = json.loads(file.read_text(encoding="utf-8"))
            if {name: known.get(name) for name in of} != of:
                raise DataError(
                    f"{file.name} holds thresholds of another detector, rate or select part; they "
                    "are frozen, so use a fresh folder for --out"
                )
            return float(known["threshold"]), float(known["decision"])
        scores = self._scores(texts)
        labels, scores = select.labels[np.isfinite(scores)], scores[np.isfinite(scores)]
        threshold = conformal_threshold(scores[labels == 0], self.max_fpr)
        decision = self._scorer.decision
        decision = best_decision(labels, scores) if decision is None else decision
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            values = of | {"threshold": threshold, "decision": decision}
            write_atomically(file, (json.dumps(values, indent=1) + "\n").encode())
        return threshold, decision


Thresholded = Calibrated | Frozen
"""A detector with its thresholds frozen; `note` says how these came about."""


def conformal_threshold(humans: NDArray[np.float64], max_fpr: float) -> float:
    """Give the lowest threshold that at most `max_fpr` of people reach, by the conformal rule.

    It is just above the (k + 1)-th highest of n finite scores, with (k + 1) / (n + 1) ≤ `max_fpr`;
    NaN where n is too small for any.

    >>> conformal_threshold(np.arange(99.0), 0.02), conformal_threshold(np.arange(9.0), 0.02)
    (97.00000000000001, nan)
    """
    n_may = int(np.floor(max_fpr * (len(humans) + 1) + 1e-9)) - 1
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
    people, machines = scores[labels == 0], scores[labels == 1]
    gaps = [np.mean(machines >= score) - np.mean(people >= score) for score in candidates]
    return float(candidates[int(np.argmax(gaps))])
