"""The tables that a model card stands on: by source, by generator, and by panel of humans.

Each takes posts that were never trained on. It knows nothing of how they were set apart.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._optional import require
from textdetect.detector import Detector
from textdetect.errors import InvalidInput
from textdetect.evaluation.baselines import BagOfWords
from textdetect.metrics import accuracy, auroc, auroc_within, tpr_at_fpr
from textdetect.posts.corpus import Posts
from textdetect.posts.dimensions import dimension
from textdetect.text import normalise, without
from textdetect.types import Verdicts

RATES: Final = (0.01, 0.05)
"""The false-positive rates that the tables show."""
Table = list[dict[str, Any]]


def figures(
    detector: Detector,
    report: Posts,
    *,
    own_split: Collection[str] = (),
    calibrated: Collection[str] = (),
    trained: Collection[str] = (),
    baseline: BagOfWords | None = None,
) -> dict[str, Table]:
    """Measure a detector on the report part.

    Args:
        report: posts that neither trained nor calibrated it.
        own_split: sources with a published split, which get a table of their own by generator.
        calibrated: sources whose humans calibrated it; the panels of others are called transfer.
        trained: sources whose posts trained it.
        baseline: a fitted rival to put beside it.

    Returns:
        Tables, a list of rows each: "sources" (AUROC by source and language, ours and the
        baseline's), "machines_only" (the same for sources without people, against people of their
        language and genre), one for each of `own_split`, "humans" (see `human_panels`), "machines"
        (found by source), "languages" (the mean of these over sources that trained, and over
        others) and "slices" (people flagged and machines found by genre, generator and length).
    """
    classed = report.take(report.classed)
    logits, verdicts = _score(detector, classed)
    rival = baseline.score([normalise(t or "") for t in classed.texts]) if baseline else None
    tables = {
        "sources": _by_source(classed, logits, rival),
        "machines_only": _machines_only(classed, logits, rival),
    }
    for source in own_split:
        rows = classed.column("source") == source
        if rows.any() and len(set(classed.labels[rows])) == 2:
            tables[source] = _by_generator(detector, classed.take(rows), logits[rows])
    if verdicts is not None:
        human = classed.labels == 0
        tables["humans"] = human_panels(classed.take(human), verdicts[human], calibrated=calibrated)
        pool = _pool_p_values(detector, verdicts)[~human]
        machines = _flagged_machines(classed.take(~human), verdicts[~human], pool)
        tables["machines"], tables["languages"] = machines, _means(machines, trained)
        tables["slices"] = _slices(classed, verdicts)
    return tables


def human_panels(
    humans: Posts,
    verdicts: Verdicts,
    *,
    calibrated: Collection[str] = (),
    rates: tuple[float, ...] = RATES,
    min_panel: int = 500,
) -> Table:
    """Count the humans that are flagged, by panel (language × source), against the promise.

    `p_0.01` is the one-sided exact binomial p-value of so many flags, were the rate kept; compare
    it with 0.05 / number of panels (Bonferroni). A post without a verdict counts as not flagged,
    and `answered` is the share that got one: `scored` counts posts that are long enough, in a
    supported language and with enough calibration; `answered` leaves out the inconclusive too.

    Args:
        humans: posts that people wrote.
        verdicts: on them, in their order, at the smallest of the rates.

    Returns:
        One row a panel: source, language, n, transfer (not among the calibrated sources), small
        (n < `min_panel`), answered, scored, and flagged_… and p_… for each rate.
    """
    stats = require("scipy.stats", extra="train")
    source, language = humans.column("source"), humans.column("language")
    table: Table = []
    for name, code in sorted(set(zip(source, language, strict=True))):
        rows = (source == name) & (language == code)
        n = int(rows.sum())
        reasons = verdicts.reason[rows]
        row: dict[str, Any] = {
            "source": name,
            "language": code,
            "n": n,
            "transfer": name not in calibrated,
            "small": n < min_panel,
            "answered": _share(np.array([why is None for why in reasons])),
            "scored": _share(np.array([why in (None, "inconclusive") for why in reasons])),
        }
        for rate in rates:
            flagged = int(_flagged(verdicts, rate)[rows].sum())
            test = stats.binomtest(flagged, n, rate, alternative="greater")
            row[f"flagged_{rate:g}"] = flagged
            row[f"p_{rate:g}"] = float(test.pvalue)
        table.append(row)
    return table


def _score(detector: Detector, posts: Posts) -> tuple[NDArray[np.float64], Verdicts | None]:
    """Score posts once: p-values do not depend on the rate, so one set of verdicts serves all."""
    if detector.calibration is None:
        return detector.logits(posts.texts), None
    rate = max(RATES[0], detector.calibration.smallest)
    verdicts = detector.predict(posts.texts, max_fpr=rate, progress=None)
    return verdicts.logit, verdicts


def _flagged(verdicts: Verdicts, rate: float) -> NDArray[np.bool_]:
    """Tell which posts `rate` flags, given verdicts at this rate or a smaller one."""
    return ~_barred(verdicts) & (verdicts.p_value <= rate)


def _barred(verdicts: Verdicts) -> NDArray[np.bool_]:
    reasons = ("empty", "too_short", "unsupported_language")
    return np.isin(verdicts.reason.astype(str), reasons)


def _share(mask: NDArray[np.bool_]) -> float:
    return round(float(np.mean(mask)), 4) if len(mask) else float("nan")


def _by_source(
    posts: Posts, logits: NDArray[np.float64], rival: NDArray[np.float64] | None
) -> Table:
    source, language = posts.column("source"), posts.column("language")
    table: Table = []
    for name in sorted(set(source)):
        for code in ["", *sorted(set(language[source == name]))]:
            rows = (source == name) & np.isfinite(logits)
            rows &= (language == code) if code else True
            found = _pair(posts, logits, rival, rows)
            table.append({"source": name, "language": code or "all"} | found)
    several = Counter(row["source"] for row in table)  # a line for all of it is one of them
    return [row for row in table if row["language"] == "all" or several[row["source"]] > 2]


def _pair(
    posts: Posts,
    logits: NDArray[np.float64],
    rival: NDArray[np.float64] | None,
    rows: NDArray[np.bool_],
    genre: NDArray[np.object_] | None = None,
) -> dict[str, Any]:
    """Count both classes and rank them, within each genre where these are given."""
    labels = posts.labels[rows]
    n_human, n_machine = (int(np.sum(labels == label)) for label in (0, 1))
    row: dict[str, Any] = {"n_human": n_human, "n_machine": n_machine}
    for name, scores in (("auroc", logits), ("auroc_bag_of_words", rival)):
        of = () if genre is None else (genre[rows],)
        metric = auroc if genre is None else auroc_within
        row[name] = None if scores is None else _ranked(metric, labels, scores[rows], *of)
    return row


def _ranked(metric: Any, labels: NDArray[Any], scores: NDArray[Any], *more: Any) -> float | None:
    """Compute a figure that needs both classes; None where it has no value."""
    found = metric(labels, scores, *more) if len(set(labels)) == 2 else math.nan
    return round(found, 4) if math.isfinite(found) else None


def _machines_only(
    posts: Posts, logits: NDArray[np.float64], rival: NDArray[np.float64] | None
) -> Table:
    """Rank machine posts of sources without people within their language and genre.

    The people are those of all other sources. Genres with too few of either are left out
    (`auroc_within`), so the counts are of all posts that were at hand.
    """
    source, language, domain = (posts.column(name) for name in ("source", "language", "domain"))
    human = (posts.labels == 0) & np.isfinite(logits)
    table: Table = []
    for name, code in sorted(set(zip(source, language, strict=True))):
        own = (source == name) & (language == code) & np.isfinite(logits)
        if not own.any() or (own & human).any():
            continue
        rows = own | (human & (language == code) & np.isin(domain, domain[own]))
        found = _pair(posts, logits, rival, rows, domain)
        table.append({"source": name, "language": code} | found)
    return table


def _by_generator(detector: Detector, posts: Posts, logits: NDArray[np.float64]) -> Table:
    """Accuracy at one half and AUROC: all, humans, each generator; with and without links."""
    bare = detector.logits([without(normalise(text or ""), names=False) for text in posts.texts])
    generator, labels = posts.column("generator"), posts.labels
    human = labels == 0
    table: Table = []
    for name in ["all", "human", *sorted(set(generator[~human]))]:
        rows = np.ones(len(posts), np.bool_) if name == "all" else generator == name
        rows = human if name == "human" else rows
        row: dict[str, Any] = {"slice": name, "n": int(rows.sum())}
        for suffix, scores in (("", logits), ("_no_links", bare)):
            known = rows & np.isfinite(scores)
            row[f"accuracy{suffix}"] = round(accuracy(labels[known], scores[known]), 4)
            against = (rows | human) & np.isfinite(scores)
            row[f"auroc{suffix}"] = _ranked(auroc, labels[against], scores[against])
        known = (rows | human) & np.isfinite(logits)
        row["tpr_at_1%"] = _ranked(tpr_at_fpr, labels[known], logits[known], 0.01)
        table.append(row)
    return table


def _pool_p_values(detector: Detector, verdicts: Verdicts) -> NDArray[np.float64]:
    """Compute the p-values against all humans of a stratum alone, without its panels."""
    if detector.calibration is None:
        raise InvalidInput("p-values need a calibration")
    pool = dataclasses.replace(
        detector.calibration, min_panel=sys.maxsize, panel_share=math.inf, _panels={}
    )
    return pool.p_values(verdicts.logit, verdicts.n_tokens, verdicts.language.tolist())[0]


def _flagged_machines(machines: Posts, verdicts: Verdicts, pool: NDArray[np.float64]) -> Table:
    """Share of machine posts flagged, by source and language: what the promise costs in power.

    `pool_…` is the share that would be flagged if the humans of a language and length were one
    panel: the difference is what it costs that no source of people pays for the average.
    """
    source, language = machines.column("source"), machines.column("language")
    known = ~_barred(verdicts)
    table: Table = []
    for name, code in sorted(set(zip(source, language, strict=True))):
        rows = (source == name) & (language == code)
        shares = {f"flagged_{rate:g}": _share(_flagged(verdicts, rate)[rows]) for rate in RATES}
        shares |= {f"pool_{rate:g}": _share((known & (pool <= rate))[rows]) for rate in RATES}
        table.append({"source": name, "language": code, "n": int(rows.sum())} | shares)
    return table


def _means(machines: Table, trained: Collection[str]) -> Table:
    """Average the machine posts found over the sources of a language that have 30 and more."""
    table: Table = []
    for code in sorted({row["language"] for row in machines}):
        for known in (True, False):
            of = [row for row in machines if row["language"] == code and row["n"] >= 30]
            of = [row for row in of if (row["source"] in trained) == known]
            means = {
                name: round(float(np.mean([row[name] for row in of])), 4)
                for name in (of[0] if of else ())
                if name.startswith(("flagged_", "pool_"))
            }
            if of:
                table.append({"language": code, "trained": known, "sources": len(of)} | means)
    return table


def _slices(classed: Posts, verdicts: Verdicts) -> Table:
    """Share of the people flagged and of the machines found, by genre, generator and length.

    A slice of a language is listed with 50 posts of one class; the share of fewer is left empty.
    """
    language, human, table = classed.column("language"), classed.labels == 0, list[Any]()
    flagged = {rate: _flagged(verdicts, rate) for rate in RATES}
    for name in ("domain", "generator", "length"):
        values = dimension(classed, name)
        for code, value in sorted(set(zip(language, values, strict=True))):
            rows = (language == code) & (values == value)
            row: dict[str, Any] = {"language": code, "slice": name, "value": value}
            for kind, of in (("human", rows & human), ("machine", rows & ~human)):
                enough = int(of.sum()) >= 50
                row[f"n_{kind}"] = int(of.sum())
                for rate in RATES:
                    row[f"{kind}_{rate:g}"] = _share(flagged[rate][of]) if enough else None
            if max(row["n_human"], row["n_machine"]) >= 50 and value:
                table.append(row)
    return table


def markdown(table: Table) -> str:
    """Render a table as Markdown.

    >>> print(markdown([{"a": 1, "b": None}]))
    | a | b |
    |---|---|
    | 1 |  |
    """
    if not table:
        raise InvalidInput("a table needs at least one row")
    names = list(table[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in table:
        lines.append("| " + " | ".join(_cell(row.get(name)) for name in names) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
