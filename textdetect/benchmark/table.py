"""One table of all that was measured, as rows for a terminal."""

from __future__ import annotations

from typing import Any, Final

from textdetect.benchmark.results import Benchmark, Spread

_COLUMNS: Final = (
    *("", "what", "median (low–high)", "unit"),
    *("× pipeline 1", "× pipeline best", "of peak", "n"),
)


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
    found = [
        (
            *(speed.posts, speed.contender, _spread(speed.posts_per_s, ",.1f"), "posts/s"),
            *(_spread(speed.ratio, ".2f"), _spread(speed.ratio_best, ".2f")),
            *(_spread(speed.share_of_peak, ".0%"), f"{speed.n_rounds} × {speed.n_posts:,}"),
        )
        for speed in measured.speeds
    ]

    def add(group: str, what: str, value: str, unit: str, n: str) -> None:
        found.append((group, what, value, unit, "", "", "", n))

    for limit in measured.limits:
        add("limits", limit.name, _spread(limit.value, ",.0f"), limit.unit, f"{limit.n}")
    start = measured.cold_start
    runs, singles = f"{start.n_runs}", f"{start.n_runs} × {start.n_posts:,}"
    add("latency", "cold start to a verdict", _spread(start.first_verdict_s, ".2f"), "s", runs)
    add("latency", "its peak memory", _one(start.peak_mb), "MB", runs)
    add("latency", "one short post, p50", _spread(start.p50_ms, ".1f"), "ms", singles)
    add("latency", "one short post, p95", _spread(start.p95_ms, ".1f"), "ms", singles)
    for grown in measured.growth:
        add("files", "no model", _one(grown.rows_per_s), "rows/s", f"{grown.n_rows:,}")
        add("files", "its peak memory", _one(grown.peak_mb), "MB", f"{grown.n_rows:,}")
    return [dict(zip(_COLUMNS, row, strict=True)) for row in found]


def _spread(of: Spread | None, form: str) -> str:
    return "" if of is None else f"{of.median:{form}} ({of.low:{form}}–{of.high:{form}})"


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
