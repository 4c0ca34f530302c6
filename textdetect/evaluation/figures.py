"""The tables that a model card stands on: by source, by generator, and by panel of humans.

Each takes posts that were never trained on. It knows nothing of how they were set apart.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Collection, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput
from textdetect.evaluation.baselines import BagOfWords
from textdetect.model.detector import Detector
from textdetect.posts.corpus import Posts
from textdetect.posts.dimensions import dimension
from textdetect.posts.scored import Verdicts
from textdetect.posts.text import normalise, without
from textdetect.statistics.calibration import Calibration
from textdetect.statistics.metrics import accuracy, auroc, auroc_within, tpr_at_fpr

RATES: Final = (0.01, 0.05)
"""The false-positive rates that the tables show."""
Table = list[dict[str, Any]]
_SMALL_PANEL: Final = 500
_MIN_SLICE: Final = 50
_MIN_OF_SOURCE: Final = 30
_Mask = NDArray[np.bool_]
_Flags = dict[float, _Mask]  # rate → the posts that it flags
_Scores = dict[str, NDArray[np.float64] | None]  # column of a table → the scores that it ranks


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
        language and genre), one for each of `own_split`, "humans" (people flagged by source and
        language, against the promise), "machines" (found by source), "languages" (the mean of these
        over sources that trained, and over others) and "slices" (people flagged and machines found
        by genre, generator and length).
    """
    posts, calibration = report.take(report.classed), detector.calibration
    verdicts = None
    if calibration is not None:  # p-values do not depend on the rate: one set serves all rates
        rate = max(RATES[0], calibration.smallest)
        verdicts = detector.predict(posts.texts, max_fpr=rate, progress=None)
    logits = detector.logits(posts.texts) if verdicts is None else verdicts.logit
    rival = baseline.score([normalise(t or "") for t in posts.texts]) if baseline else None
    scores: _Scores = {"auroc": logits, "auroc_bag_of_words": rival}
    tables = {
        "sources": _by_source(posts, logits, scores),
        "machines_only": _machines_only(posts, logits, scores),
    }
    for source in own_split:
        rows = posts.column("source") == source
        if len(set(posts.labels[rows])) == 2:
            tables[source] = _by_generator(detector, posts.take(rows), logits[rows])
    if calibration is not None and verdicts is not None:
        flagged = _flags(verdicts, verdicts.p_value)
        pool = _flags(verdicts, _pool_p_values(calibration, verdicts))
        tables["humans"] = _humans(posts, verdicts, flagged, calibrated)
        tables["machines"] = machines = _machines(posts, flagged, pool)
        tables["languages"], tables["slices"] = _means(machines, trained), _slices(posts, flagged)
    return tables


def _flags(verdicts: Verdicts, p_values: NDArray[np.float64]) -> _Flags:
    barred = ("empty", "too_short", "unsupported_language")
    judged = ~np.isin(verdicts.reason.astype(str), barred)
    return {rate: judged & (p_values <= rate) for rate in RATES}


def _pool_p_values(calibration: Calibration, verdicts: Verdicts) -> NDArray[np.float64]:
    """Compute the p-values against all humans of a stratum alone, without its panels."""
    pool = dataclasses.replace(calibration, min_panel=sys.maxsize, panel_share=math.inf, _panels={})
    return pool.p_values(verdicts.logit, verdicts.n_tokens, verdicts.language.tolist())[0]


def _cells(among: _Mask, *columns: NDArray[np.object_]) -> Iterator[tuple[tuple[str, ...], _Mask]]:
    """Yield the values that some posts share, in order, and these posts; all of shape (n,)."""
    for values in sorted(set(zip(*(column[among] for column in columns), strict=True))):
        same = [column == value for column, value in zip(columns, values, strict=True)]
        yield values, np.logical_and.reduce([among, *same])


def _share(mask: _Mask) -> float:
    return round(float(np.mean(mask)), 4) if len(mask) else float("nan")


def _shares(name: str, flagged: _Flags, rows: _Mask) -> dict[str, float]:
    return {f"{name}_{rate:g}": _share(flagged[rate][rows]) for rate in RATES}


def _ranked(metric: Any, labels: NDArray[Any], scores: NDArray[Any], *more: Any) -> float | None:
    """Compute a figure that needs both classes; None where it has no value."""
    value = metric(labels, scores, *more) if len(set(labels)) == 2 else math.nan
    return round(value, 4) if math.isfinite(value) else None


def _ranking(
    posts: Posts, scores: _Scores, rows: _Mask, genre: NDArray[np.object_] | None = None
) -> dict[str, Any]:
    """Count both classes and rank them, within each genre where these are given."""
    labels = posts.labels[rows]
    row: dict[str, Any] = {"n_human": int(np.sum(labels == 0)), "n_machine": int(np.sum(labels))}
    metric, within = (auroc, ()) if genre is None else (auroc_within, (genre[rows],))
    for name, values in scores.items():
        row[name] = None if values is None else _ranked(metric, labels, values[rows], *within)
    return row


def _by_source(posts: Posts, logits: NDArray[np.float64], scores: _Scores) -> Table:
    """Rank each source's posts, and those of each of its languages where it has several."""
    known, language, table = np.isfinite(logits), posts.column("language"), Table()
    for (name,), rows in _cells(np.ones(len(posts), np.bool_), posts.column("source")):
        row = {"source": name, "language": "all"}
        table.append(row | _ranking(posts, scores, rows & known))
        cells = [*_cells(rows, language)]
        for (code,), spoken in cells if len(cells) > 1 else ():
            table.append(row | {"language": code} | _ranking(posts, scores, spoken & known))
    return table


def _machines_only(posts: Posts, logits: NDArray[np.float64], scores: _Scores) -> Table:
    """Rank machine posts of sources without people within their language and genre.

    The people are those of all other sources. Genres with too few of either are left out
    (`auroc_within`), so the counts are of all posts that were at hand.
    """
    known, table = np.isfinite(logits), Table()
    source, language, domain = (posts.column(name) for name in ("source", "language", "domain"))
    people = (posts.labels == 0) & known
    for (name, code), rows in _cells(known, source, language):
        if not (rows & people).any():
            of = rows | (people & (language == code) & np.isin(domain, domain[rows]))
            ranking = _ranking(posts, scores, of, domain)
            table.append({"source": name, "language": code} | ranking)
    return table


def _by_generator(detector: Detector, posts: Posts, logits: NDArray[np.float64]) -> Table:
    """Accuracy at one half and AUROC: all, humans, each generator; with and without links."""
    bare = detector.logits([without(normalise(text or ""), names=False) for text in posts.texts])
    generator, labels, human = posts.column("generator"), posts.labels, posts.labels == 0
    slices = {"all": np.ones(len(posts), np.bool_), "human": human}
    slices |= {name: generator == name for name in sorted(set(generator[~human]))}
    table: Table = []
    for name, rows in slices.items():
        row: dict[str, Any] = {"slice": name, "n": int(rows.sum())}
        for suffix, scores in (("", logits), ("_no_links", bare)):
            of, against = rows & np.isfinite(scores), (rows | human) & np.isfinite(scores)
            row[f"accuracy{suffix}"] = round(accuracy(labels[of], scores[of]), 4)
            row[f"auroc{suffix}"] = _ranked(auroc, labels[against], scores[against])
        against = (rows | human) & np.isfinite(logits)
        row["tpr_at_1%"] = _ranked(tpr_at_fpr, labels[against], logits[against], 0.01)
        table.append(row)
    return table


def _humans(
    posts: Posts, verdicts: Verdicts, flagged: _Flags, calibrated: Collection[str]
) -> Table:
    """Count the humans that are flagged, by panel (language × source), against the promise.

    `p_0.01` is the one-sided exact binomial p-value of so many flags, were the rate kept; compare
    it with 0.05 / number of panels (Bonferroni). A post without a verdict counts as not flagged,
    and `answered` is the share that got one: `scored` counts posts that are long enough, in a
    supported language and with enough calibration; `answered` leaves out the inconclusive too.
    """
    stats, table = require("scipy.stats", extra="train"), Table()
    answered = np.array([why is None for why in verdicts.reason], np.bool_)
    scored = answered | (verdicts.reason == "inconclusive")
    columns = posts.column("source"), posts.column("language")
    for (name, code), rows in _cells(posts.labels == 0, *columns):
        n = int(rows.sum())
        row: dict[str, Any] = {
            "source": name,
            "language": code,
            "n": n,
            "transfer": name not in calibrated,
            "small": n < _SMALL_PANEL,
            "answered": _share(answered[rows]),
            "scored": _share(scored[rows]),
        }
        for rate in RATES:
            n_flagged = int(flagged[rate][rows].sum())
            test = stats.binomtest(n_flagged, n, rate, alternative="greater")
            row |= {f"flagged_{rate:g}": n_flagged, f"p_{rate:g}": float(test.pvalue)}
        table.append(row)
    return table


def _machines(posts: Posts, flagged: _Flags, pool: _Flags) -> Table:
    """Share of machine posts flagged, by source and language: what the promise costs in power.

    `pool_…` is the share that would be flagged if the humans of a language and length were one
    panel: the difference is what it costs that no source of people pays for the average.
    """
    return [
        {"source": name, "language": code, "n": int(rows.sum())}
        | _shares("flagged", flagged, rows)
        | _shares("pool", pool, rows)
        for (name, code), rows in _cells(
            posts.labels == 1, posts.column("source"), posts.column("language")
        )
    ]


def _means(machines: Table, trained: Collection[str]) -> Table:
    """Average the machine posts found over the sources of a language that have 30 and more."""
    table: Table = []
    names = [f"{kind}_{rate:g}" for kind in ("flagged", "pool") for rate in RATES]
    for code in sorted({row["language"] for row in machines}):
        for known in (True, False):
            of = [r for r in machines if r["language"] == code and r["n"] >= _MIN_OF_SOURCE]
            of = [row for row in of if (row["source"] in trained) == known]
            if of:
                means = {n: round(float(np.mean([row[n] for row in of])), 4) for n in names}
                table.append({"language": code, "trained": known, "sources": len(of)} | means)
    return table


def _slices(posts: Posts, flagged: _Flags) -> Table:
    """Share of the people flagged and of the machines found, by genre, generator and length.

    A slice of a language is listed with 50 posts of one class; the share of fewer is left empty.
    """
    human, table = posts.labels == 0, Table()
    for name in ("domain", "generator", "length"):
        values = dimension(posts, name)
        for (code, value), rows in _cells(values != "", posts.column("language"), values):
            row: dict[str, Any] = {"language": code, "slice": name, "value": value}
            for kind, of in (("human", rows & human), ("machine", rows & ~human)):
                shares, row[f"n_{kind}"] = _shares(kind, flagged, of), int(of.sum())
                row |= shares if of.sum() >= _MIN_SLICE else dict.fromkeys(shares)
            if max(row["n_human"], row["n_machine"]) >= _MIN_SLICE:
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
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in table]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
