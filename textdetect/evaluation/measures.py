"""Answers and labels → rows of the long table, each figure with its interval and its n.

It knows nothing of where posts come from, nor of what was done to them before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textdetect.errors import InvalidInput
from textdetect.evaluation.contenders import Answers
from textdetect.intervals import (
    Interval,
    Weighted,
    cluster_bootstrap,
    holm,
    one_by_one,
    paired_bootstrap,
    proportion,
)
from textdetect.metrics import (
    BASE_RATES,
    auroc,
    brier,
    ece,
    macro_f1,
    predictive_value,
    weighted_auroc,
    weighted_average_precision,
    weighted_tpr_at_fpr,
)

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
_RATES: Final = (0.001, 0.01, 0.05)
_MIN_RESAMPLES: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the table figures belong: the columns that they share.

    Attributes:
        suite, part, slice, attack, detector, fingerprint: of those columns.
        note: why a figure needs care: "small", "seen family" …
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
        p_value: float | None = None,
    ) -> Row:
        """Make a row of the table; what is NaN becomes null, and a note must say why."""
        found = Interval(np.nan, np.nan, np.nan, n, n) if found is None else found
        unsure = found.value == found.value and found.low != found.low
        why = "no interval: every resample agrees" if unsure and not note else ""
        where = ("suite", "part", "slice", "attack", "detector")
        return {
            **{name: getattr(self, name) for name in where},
            "metric": metric,
            **{name: _null(getattr(found, name)) for name in ("value", "low", "high")},
            "n": found.n,
            "n_clusters": found.n_clusters,
            "threshold": None if threshold is None else _null(threshold),
            "fingerprint": self.fingerprint,
            "note": "; ".join(dict.fromkeys(t for t in (note, self.note, why) if t)),
            "p_value": p_value,
            "p_holm": None,
        }


def measure(
    place: Place,
    labels: NDArray[np.int64],
    answers: Answers,
    clusters: Sequence[str],
    *,
    seed: int,
    min_slice: int = 100,
    full: bool = False,
    shown: tuple[str, ...] | None = None,
) -> list[Row]:
    """Measure one slice.

    Rates at the frozen thresholds count an unanswered post as not flagged. Figures of the ranking
    (AUROC …) leave out posts without a score and say how many.

    Args:
        labels: 0 human, 1 machine; shape (n,).
        answers: on the same posts.
        clusters: what was sampled as one, a name for each post.
        full: all metrics, as for a suite's "all"; else AUROC, rates, accuracy and share answered.
        shown: only these metrics.

    Returns:
        Rows of `SCHEMA`; where a class is missing, figures that need it are null with the note
        "one class".
    """
    human, machine = labels == 0, labels == 1
    n_few = min((int(np.sum(m)) for m in (human, machine) if m.any()), default=0)
    small = "small" if 0 < n_few < min_slice else ""
    place = replace(place, note="; ".join(text for text in (small, place.note) if text))
    names = np.array(clusters, dtype=object)
    rows = []
    for name, of in (("fpr", human), ("tpr", machine)):
        if answers.threshold != answers.threshold and not answers.stratified:
            rows.append(place.row(name, None, note="no threshold: too few people on select"))
        elif of.any():
            found = share(answers.flagged[of], names[of])
            rows.append(place.row(name, found, threshold=answers.threshold))
    rates = {row["metric"]: row for row in rows if row["value"] is not None}
    if full and {"fpr", "tpr"} <= set(rates):
        rows += _predictive(place, rates["fpr"], rates["tpr"])
    if len(labels):
        rows.append(place.row("answered", share(answers.answered, names)))
        rows += _right(place, labels, answers, names)
    rows += _ranking(place, labels, answers, names, seed=seed, full=full)
    return [row for row in rows if shown is None or row["metric"] in shown]


def compare(
    place: Place,
    labels: NDArray[np.int64],
    ours: Answers,
    theirs: Answers,
    clusters: Sequence[str],
    *,
    seed: int,
    metric: str = "auroc",
) -> Row:
    """Bound the difference in AUROC of two detectors on the posts that both score."""
    both = np.isfinite(ours.scores) & np.isfinite(theirs.scores)
    if len(set(labels[both])) < 2:
        return place.row(metric, None, note="one class", n=int(both.sum()))
    names = np.array(clusters, dtype=object)[both]
    scores = ours.scores[both], theirs.scores[both]
    try:
        found = paired_bootstrap(weighted_auroc, labels[both], *scores, clusters=names, seed=seed)
    except InvalidInput:
        value = auroc(labels[both], scores[1]) - auroc(labels[both], scores[0])
        n, n_clusters = int(both.sum()), len(set(names))
        few = Interval(-value, np.nan, np.nan, n, n_clusters)
        return place.row(metric, few, note="no interval: too few clusters of a class")
    return place.row(metric, found, p_value=_null(found.p_value))


def share(events: NDArray[Any], clusters: NDArray[np.object_]) -> Interval:
    """Bound a share of posts (see `intervals.proportion`); one cluster counts as independent."""
    several = len(set(clusters.tolist())) > 1
    return proportion(events.astype(int), clusters=clusters if several else None)


def with_holm(rows: Sequence[Row]) -> list[Row]:
    """Adjust the p-values of a table's comparisons, as one family (Holm)."""
    tested = [i for i, row in enumerate(rows) if row["p_value"] is not None]
    adjusted = dict(zip(tested, holm([rows[i]["p_value"] for i in tested]).tolist(), strict=True))
    return [row | {"p_holm": adjusted.get(i)} for i, row in enumerate(rows)]


def summary(table: Sequence[Row]) -> list[Row]:
    """Give each detector's figures over the whole suite, for reading: none without its FPR.

    Returns:
        A row a detector: detector, people, machines, then figures with their intervals as text.
    """
    shown = ("auroc", "tpr_at_1%", "accuracy", "fpr", "tpr", "answered")
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


def _text(row: Row | None) -> str:
    if row is None or row["value"] is None:
        return ""
    ends = "" if row["low"] is None else f" ({row['low']:.3f}-{row['high']:.3f})"
    return f"{row['value']:.3f}{ends}"


def curves(
    place: Place, labels: NDArray[np.int64], answers: Answers, *, n_points: int = 200
) -> list[Row]:
    """Give the points of the ROC curve, and of the reliability curve where there are probabilities.

    Returns:
        Rows of suite, detector, kind ("roc": x false-positive rate, y true-positive rate, n the
        people; "reliability": x mean probability, y share of machine posts, n the posts of a
        tenth), x, y, n.
    """
    rows: list[Row] = []
    known = np.isfinite(answers.scores)
    y, s = labels[known], answers.scores[known]

    def add(kind: str, x: float, share: float, n: int) -> None:
        of = {"suite": place.suite, "detector": place.detector, "kind": kind}
        rows.append(of | {"x": float(x), "y": float(share), "n": int(n)})

    if len(set(y)) == 2:
        order = np.argsort(-s, kind="stable")
        last = np.append(s[order][1:] != s[order][:-1], True)
        fpr = (np.cumsum(y[order] == 0) / np.sum(y == 0))[last]
        tpr = (np.cumsum(y[order] == 1) / np.sum(y == 1))[last]
        steps = np.unique(np.geomspace(1, len(fpr), n_points).astype(int)) - 1
        add("roc", 0.0, 0.0, np.sum(y == 0))
        for i in steps:
            add("roc", fpr[i], tpr[i], np.sum(y == 0))
    if answers.probabilities is not None and len(y):
        known &= np.isfinite(answers.probabilities)  # none where no stratum speaks
        y, p = labels[known], answers.probabilities[known]
        bins = np.minimum((p * 10).astype(int), 9)
        for tenth in range(10):
            rows_in = bins == tenth
            if rows_in.any():
                add("reliability", p[rows_in].mean(), y[rows_in].mean(), rows_in.sum())
    return rows


def _predictive(place: Place, fpr: Row, tpr: Row) -> list[Row]:
    """State what a flag is worth at base rates; if nobody was flagged, at the FPR's upper end."""
    none = not fpr["value"]
    note = "no human flagged: at the upper end of the FPR" if none else ""
    values = predictive_value(tpr["value"], fpr["high"] if none else fpr["value"])
    lows = predictive_value(tpr["low"], fpr["high"])
    highs = predictive_value(tpr["high"], fpr["low"])
    n, n_clusters = fpr["n"] + tpr["n"], fpr["n_clusters"] + tpr["n_clusters"]
    return [
        place.row(
            f"ppv_at_{100 * rate:g}%",
            Interval(values[rate], lows[rate], highs[rate], n, n_clusters),
            note=note,
        )
        for rate in BASE_RATES
    ]


def _right(
    place: Place, labels: NDArray[np.int64], answers: Answers, names: NDArray[np.object_]
) -> list[Row]:
    known = np.isfinite(answers.scores)
    if not known.any() or answers.decision != answers.decision:
        return [place.row("accuracy", None, note="no decision threshold", n=len(labels))]
    right = (answers.scores >= answers.decision) == (labels == 1)
    rows = [place.row("accuracy", share(right[known], names[known]), threshold=answers.decision)]
    sure = answers.answered
    if sure.any() and not sure.all():
        called = answers.flagged if answers.stratified else answers.scores >= answers.decision
        rows.append(place.row("selective_accuracy", share((called == labels)[sure], names[sure])))
    return rows


def _ranking(
    place: Place,
    labels: NDArray[np.int64],
    answers: Answers,
    names: NDArray[np.object_],
    *,
    seed: int,
    full: bool,
) -> list[Row]:
    known = np.isfinite(answers.scores)
    y, s, of = labels[known], answers.scores[known], names[known]
    lost = len(labels) - len(y)
    note = f"{lost} posts without a score left out" if lost else ""
    metrics: dict[str, Weighted] = {"auroc": weighted_auroc}
    wanted = _RATES if full else (0.01,)
    metrics |= {f"tpr_at_{100 * r:g}%": partial(weighted_tpr_at_fpr, max_fpr=r) for r in wanted}
    if full:
        metrics["average_precision"] = weighted_average_precision
    if len(set(y)) < 2:
        return [place.row("auroc", None, note="one class", n=len(y))]
    rows = [
        place.row(name, _interval(metric, y, s, of, seed), note=_few(name, y, note))
        for name, metric in metrics.items()
    ]
    if full and answers.decision == answers.decision:
        at = one_by_one(partial(macro_f1, threshold=answers.decision))
        found = _interval(at, y, s, of, seed, n_resamples=_MIN_RESAMPLES)
        rows.append(place.row("macro_f1", found, threshold=answers.decision, note=note))
    if full and answers.probabilities is not None:
        known &= np.isfinite(answers.probabilities)
        y, p, of = labels[known], answers.probabilities[known], names[known]
        for name, figure in (("brier", brier), ("ece", ece)) if len(y) else ():
            found = _interval(one_by_one(figure), y, p, of, seed, n_resamples=_MIN_RESAMPLES)
            rows.append(place.row(name, found, note=note))
    return rows


def _few(metric: str, labels: NDArray[np.int64], note: str) -> str:
    """Say where a rate is finer than one person among those measured."""
    people = int(np.sum(labels == 0))
    rate = {f"tpr_at_{100 * r:g}%": r for r in _RATES}.get(metric, 1.0)
    fine = f"fewer people ({people}) than the rate needs" if rate * people < 1 else ""
    return "; ".join(text for text in (note, fine) if text)


def _interval(
    metric: Weighted,
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    clusters: NDArray[np.object_],
    seed: int,
    n_resamples: int = 1_000,
) -> Interval:
    try:
        return cluster_bootstrap(
            metric, labels, scores, clusters=clusters, n_resamples=n_resamples, seed=seed
        )
    except InvalidInput:  # too few clusters of a class: the value stands without an interval
        value = float(metric(labels, scores, np.ones((1, len(labels))))[0])
        return Interval(value, np.nan, np.nan, len(labels), len(set(clusters.tolist())))


def _null(value: float) -> float | None:
    return value if value == value else None
