"""One table of all that was measured, as rows for a terminal."""

from __future__ import annotations

from typing import Any

from textdetect.benchmark.results import Benchmark, Spread


def facts(measured: Benchmark) -> dict[str, Any]:
    """Say what was measured where: name → value."""
    return {
        "model": f"{measured.model} {measured.version}, {measured.numerics}",
        **measured.machine,
        "load before": measured.load_before,
        "took, s": measured.took_s,
        **measured.libraries,
    }


def rows(measured: Benchmark) -> list[dict[str, str]]:
    """Give the rows of the table, all with the same columns."""
    start = measured.cold_start
    found = [
        _row(
            speed.posts,
            speed.contender,
            _spread(speed.posts_per_s, ",.1f"),
            "posts/s",
            f"{speed.n_rounds} × {speed.n_posts:,}",
            ratio=_spread(speed.ratio, ".2f"),
            best=_spread(speed.ratio_best, ".2f"),
            share=_spread(speed.share_of_peak, ".0%"),
        )
        for speed in measured.speeds
    ]
    found += [
        _row("limits", limit.name, _spread(limit.value, ",.0f"), limit.unit, f"{limit.n}")
        for limit in measured.limits
    ]
    runs, singles = f"{start.n_runs}", f"{start.n_runs} × {start.n_posts:,}"
    found += [
        _row(
            "latency", "cold start to a verdict", _spread(start.first_verdict_s, ".2f"), "s", runs
        ),
        _row("latency", "its peak memory", _one(start.peak_mb), "MB", runs),
        _row("latency", "one short post, p50", _spread(start.p50_ms, ".1f"), "ms", singles),
        _row("latency", "one short post, p95", _spread(start.p95_ms, ".1f"), "ms", singles),
    ]
    for grown in measured.growth:
        n_rows = f"{grown.n_rows:,}"
        found.append(_row("files", "no model", _one(grown.rows_per_s), "rows/s", n_rows))
        found.append(_row("files", "its peak memory", _one(grown.peak_mb), "MB", n_rows))
    return found


def _row(
    group: str,
    what: str,
    value: str,
    unit: str,
    n: str,
    *,
    ratio: str = "",
    best: str = "",
    share: str = "",
) -> dict[str, str]:
    return {
        "": group,
        "what": what,
        "median (low–high)": value,
        "unit": unit,
        "× pipeline 1": ratio,
        "× pipeline best": best,
        "of peak": share,
        "n": n,
    }


def _spread(of: Spread | None, form: str) -> str:
    if of is None:
        return ""
    return f"{of.median:{form}} ({of.low:{form}}–{of.high:{form}})"


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
