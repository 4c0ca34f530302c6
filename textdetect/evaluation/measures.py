"""Answers and labels → rows of the long table, each figure with its interval and its n.

It knows nothing of where posts come from, nor of what was done to them before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput
from textdetect.evaluation.thresholds import Answers
from textdetect.statistics import intervals, metrics
from textdetect.statistics.intervals import Interval, Weighted

SCHEMA: Final = pa.schema(
    [(name, pa.string()) for name in ("suite", "part", "slice", "attack", "detector", "metric")]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
    + [(name, pa.int64()) for name in ("n", "n_clusters")]
    + [("threshold", pa.float64()), ("fingerprint", pa.string()), ("note", pa.string())]
    + [(name, pa.float64()) for name in ("p_value", "p_holm")]
)
"""The long table: a figure a row. `n` counts the posts that a figure rests on (for a false-positive
rate the people), `n_clusters` the accounts or groups among them; a value, or an end of an interval,
that cannot be had is null, and the note says why."""

Row = dict[str, Any]
Decided = Callable[[NDArray[np.int64], NDArray[np.int64]], float]
"""A metric of labels and decisions (1: flagged)."""
_RATES: Final = (0.001, 0.01, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the table figures belong: the columns that they share.

    Its `note` says why they need care: "small", "seen family" …
    """

    suite: str
    part: str
    slice: str = "all"
    attack: str = "none"
    detector: str
    fingerprint: str
    note: str = ""

    def row(
        self,
        metric: str,
        found: Interval | None,
        *,
        threshold: float | None = None,
        note: str = "",
        n: int = 0,
    ) -> Row:
        """Make a row of the table; what is NaN becomes null, and a note must say why."""
        found = Interval(np.nan, np.nan, np.nan, n, n) if found is None else found
        unsure = found.value == found.value and found.low != found.low
        why = "no interval: every resample agrees" if unsure and not note else ""
        row = dict.fromkeys(SCHEMA.names) | asdict(self) | asdict(found)
        row |= {"metric": metric, "note": _notes(note, self.note, why), "threshold": threshold}
        return {name: row[name] if row[name] == row[name] else None for name in SCHEMA.names}


def _notes(*notes: str) -> str:
    return "; ".join(dict.fromkeys(note for note in notes if note))


@dataclass(frozen=True, slots=True)
class Judged:
    """What a detector says of n posts whose writers are known; arrays of shape (n,)."""

    labels: NDArray[np.int64]  # 0 human, 1 machine
    clusters: NDArray[np.object_]  # what was sampled as one, a name for each post
    answers: Answers

    def take(self, rows: NDArray[Any]) -> Judged:
        """Return the posts at `rows`: positions, or a boolean mask of shape (n,)."""
        return Judged(self.labels[rows], self.clusters[rows], self.answers.take(rows))

    def ranked(self) -> Judged:
        """Return the posts that have a score."""
        return self.take(np.isfinite(self.answers.scores))

    def share(self, events: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> Interval:
        """Bound a share (see `intervals.proportion`); posts of one cluster count as independent."""
        rows = slice(None) if among is None else among
        of = self.clusters[rows]
        several = len(set(of.tolist())) > 1
        return intervals.proportion(events[rows].astype(int), clusters=of if several else None)


def measure(
    place: Place,
    posts: Judged,
    *,
    seed: int,
    min_slice: int = 100,
    full: bool = False,
    shown: tuple[str, ...] | None = None,
    named: Mapping[str, Decided] | None = None,
) -> list[Row]:
    """Measure one slice.

    Rates at the frozen thresholds count an unanswered post as not flagged. Figures of the ranking
    (AUROC …) leave out posts without a score and say how many. Figures that need a class that is
    missing are null, with the note "one class".

    Args:
        full: all metrics, as for a suite's "all"; else AUROC, rates, accuracy and share answered.
        shown: only these metrics.
        named: more metrics (see `named_metrics`), at the frozen threshold.
    """
    answers, rows = posts.answers, list[Row]()
    classes = {"fpr": posts.labels == 0, "tpr": posts.labels == 1}
    n_few = min((int(mask.sum()) for mask in classes.values() if mask.any()), default=0)
    small = "small" if 0 < n_few < min_slice else ""
    place = replace(place, note=_notes(small, place.note))
    for name, among in classes.items():
        if answers.threshold != answers.threshold and not answers.stratified:
            rows.append(place.row(name, None, note="no threshold: too few people on select"))
        elif among.any():
            flagged = posts.share(answers.flagged, among)
            rows.append(place.row(name, flagged, threshold=answers.threshold))
    rates = {row["metric"]: row for row in rows if row["value"] is not None}
    if full and {"fpr", "tpr"} <= set(rates):
        rows += _predictive(place, rates["fpr"], rates["tpr"])
    if len(posts.labels):
        rows.append(place.row("answered", posts.share(answers.answered)))
        rows += _right(place, posts)
    rows += _ranking(place, posts, seed=seed, full=full)
    for name, metric in (named or {}).items() if len(posts.labels) else ():
        bounds = _one_by_one(metric, posts, answers.flagged.astype(np.int64), seed)
        note = "no interval" if np.isnan(bounds.low) else ""
        if name in {row["metric"] for row in rows}:
            name = f"{name}_at_threshold"
        rows.append(place.row(name, bounds, threshold=answers.threshold, note=note))
    return [row for row in rows if shown is None or row["metric"] in shown]


def named_metrics(names: Sequence[str]) -> dict[str, Decided]:
    """Load metrics of the library evaluate, each by its name, hub id or folder.

    A name that is no folder is looked up on the hub, once, and `InvalidInput` where it is not
    there. A metric is given the labels and, as predictions, the flags at the frozen threshold.
    """
    return {Path(name).name: _loaded(name) for name in names}


def _loaded(name: str) -> Decided:
    library = require("evaluate", extra="train")
    try:
        module = library.load(name, module_type="metric", keep_in_memory=True)
    except (OSError, ImportError, ValueError) as error:
        raise InvalidInput(
            f"metric: the library evaluate finds no {name!r} ({type(error).__name__}); expected "
            "the name of one on the hub, or its folder"
        ) from error

    def metric(labels: NDArray[np.int64], flags: NDArray[np.int64]) -> float:
        try:
            found = module.compute(references=labels, predictions=flags)
            return float(next(iter(found.values())))
        except (ValueError, TypeError, AttributeError) as error:  # it wants texts, or gives a table
            raise InvalidInput(f"metric: {name!r} gives no number for labels 0 and 1") from error

    return metric


def compare(place: Place, ours: Judged, theirs: Answers, *, seed: int) -> Row:
    """Bound the difference in AUROC of two detectors on the posts that both score."""
    both = np.isfinite(ours.answers.scores) & np.isfinite(theirs.scores)
    posts, rival = ours.take(both), theirs.scores[both]
    labels, scores = posts.labels, posts.answers.scores
    if len(set(labels)) < 2:
        return place.row("auroc", None, note="one class", n=len(labels))
    try:
        columns = metrics.weighted_auroc, labels, scores, rival
        found = intervals.paired_bootstrap(*columns, clusters=posts.clusters, seed=seed)
    except InvalidInput:
        value = metrics.auroc(labels, rival) - metrics.auroc(labels, scores)
        note = "no interval: too few clusters of a class"
        return place.row("auroc", _unbounded(-value, posts), note=note)
    return place.row("auroc", found)


def with_holm(rows: Sequence[Row]) -> list[Row]:
    """Adjust the p-values of a table's comparisons, as one family (Holm)."""
    known = [row["p_value"] for row in rows if row["p_value"] is not None]
    adjusted = iter(intervals.holm(known).tolist())
    return [row | {"p_holm": None if row["p_value"] is None else next(adjusted)} for row in rows]


def summary(table: Sequence[Mapping[str, Any]], *, more: Sequence[str] = ()) -> list[Row]:
    """Give each detector's figures over the whole suite, for reading: none without its FPR.

    A row a detector: detector, people, machines, then figures with their intervals as text; those
    of `more` metrics at the end.
    """
    shown = ("auroc", "tpr_at_1%", "accuracy", "fpr", "tpr", "answered", *more)
    rows: list[Row] = []
    for name in dict.fromkeys(row["detector"] for row in table if row["p_value"] is None):
        of = {
            row["metric"]: row
            for row in table
            if (row["detector"], row["slice"], row["attack"]) == (name, "all", "none")
        }
        if "answered" in of:
            counts = {"people": of.get("fpr", {}).get("n"), "machines": of.get("tpr", {}).get("n")}
            rows.append({"detector": name, **counts} | {m: _text(of.get(m)) for m in shown})
    return rows


def _text(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return ""
    ends = "" if row["low"] is None else f" ({row['low']:.3f}-{row['high']:.3f})"
    return f"{row['value']:.3f}{ends}"


def curves(place: Place, posts: Judged, *, n_points: int = 200) -> list[Row]:
    """Give the points of the ROC curve, and of the reliability curve where there are probabilities.

    Rows as `report.Results` has them; a point of the reliability curve stands for a tenth of the
    scale of probabilities.
    """
    rows: list[Row] = []
    posts = posts.ranked()
    y, chances = posts.labels, posts.answers.probabilities

    def add(kind: str, x: float, share: float, n: int) -> None:
        of = {"suite": place.suite, "detector": place.detector, "kind": kind}
        rows.append(of | {"x": float(x), "y": float(share), "n": int(n)})

    if len(set(y)) == 2:
        roc_curve = require("sklearn.metrics", extra="train").roc_curve
        fpr, tpr, _ = roc_curve(y, posts.answers.scores, drop_intermediate=False)
        for i in (0, *np.unique(np.geomspace(1, len(fpr) - 1, n_points).astype(int))):
            add("roc", fpr[i], tpr[i], np.sum(y == 0))
    if chances is not None and len(y):
        known = np.isfinite(chances)  # no chance where no stratum speaks
        y, p = y[known], chances[known]
        bins = np.minimum((p * 10).astype(int), 9)
        for tenth in np.unique(bins):
            of_it = bins == tenth
            add("reliability", p[of_it].mean(), y[of_it].mean(), of_it.sum())
    return rows


def _predictive(place: Place, fpr: Row, tpr: Row) -> list[Row]:
    """State what a flag is worth at base rates; if nobody was flagged, at the FPR's upper end."""
    none = not fpr["value"]
    note = "no human flagged: at the upper end of the FPR" if none else ""
    ends = ("value", "high" if none else "value"), ("low", "high"), ("high", "low")
    values = [metrics.predictive_value(tpr[found], fpr[lost]) for found, lost in ends]
    counts = fpr["n"] + tpr["n"], fpr["n_clusters"] + tpr["n_clusters"]
    rows = []
    for rate in metrics.BASE_RATES:
        value, low, high = (of_rate[rate] for of_rate in values)
        worth = Interval(value, low, high, *counts)
        rows.append(place.row(f"ppv_at_{100 * rate:g}%", worth, note=note))
    return rows


def _right(place: Place, posts: Judged) -> list[Row]:
    answers = posts.answers
    known = np.isfinite(answers.scores)
    if not known.any() or answers.decision != answers.decision:
        return [place.row("accuracy", None, note="no decision threshold", n=len(known))]
    machine, called = posts.labels == 1, answers.scores >= answers.decision
    right = posts.share(called == machine, known)
    rows = [place.row("accuracy", right, threshold=answers.decision)]
    sure = answers.answered
    if sure.any() and not sure.all():
        called = answers.flagged if answers.stratified else called
        rows.append(place.row("selective_accuracy", posts.share(called == machine, sure)))
    return rows


def _ranking(place: Place, posts: Judged, *, seed: int, full: bool) -> list[Row]:
    n_all, posts = len(posts.labels), posts.ranked()
    answers, n = posts.answers, len(posts.labels)
    note = f"{n_all - n} posts without a score left out" if n < n_all else ""
    if len(set(posts.labels)) < 2:
        return [place.row("auroc", None, note="one class", n=n)]
    people = int(np.sum(posts.labels == 0))
    weighted: list[tuple[str, Weighted, str]] = [("auroc", metrics.weighted_auroc, note)]
    for rate in _RATES if full else (0.01,):
        fine = f"fewer people ({people}) than the rate needs" if rate * people < 1 else ""
        tpr = partial(metrics.weighted_tpr_at_fpr, max_fpr=rate)
        weighted.append((f"tpr_at_{100 * rate:g}%", tpr, _notes(note, fine)))
    if full:
        weighted.append(("average_precision", metrics.weighted_average_precision, note))
    rows = [
        place.row(name, _interval(metric, posts, answers.scores, seed), note=said)
        for name, metric, said in weighted
    ]
    if full and answers.decision == answers.decision:
        f1 = partial(metrics.macro_f1, threshold=answers.decision)
        bounds = _one_by_one(f1, posts, answers.scores, seed)
        rows.append(place.row("macro_f1", bounds, threshold=answers.decision, note=note))
    if full and answers.probabilities is not None:
        posts = posts.take(np.isfinite(answers.probabilities))
        for metric in (metrics.brier, metrics.ece) if len(posts.labels) else ():
            bounds = _one_by_one(metric, posts, posts.answers.probabilities, seed)
            rows.append(place.row(metric.__name__, bounds, note=note))
    return rows


def _one_by_one(
    metric: Callable[[Any, Any], float], posts: Judged, values: Any, seed: int
) -> Interval:
    """Bound a metric that has no weighted form, with fewer resamples, as it is slow."""
    return _interval(intervals.one_by_one(metric), posts, values, seed, n_resamples=400)


def _interval(
    metric: Weighted, posts: Judged, values: Any, seed: int, n_resamples: int = 1_000
) -> Interval:
    """Bound a metric of labels and values, of shape (n,)."""
    labels = posts.labels
    try:
        return intervals.cluster_bootstrap(
            metric, labels, values, clusters=posts.clusters, n_resamples=n_resamples, seed=seed
        )
    except InvalidInput:  # too few clusters of a class: the value stands without an interval
        return _unbounded(float(metric(labels, values, np.ones((1, len(labels))))[0]), posts)


def _unbounded(value: float, posts: Judged) -> Interval:
    return Interval(value, np.nan, np.nan, len(posts.labels), len(set(posts.clusters.tolist())))
