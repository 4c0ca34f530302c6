"""One table of all that was measured, as rows for a terminal."""

from __future__ import annotations

from typing import Any, Final

from textdetect.benchmark.results import Benchmark

_COLUMNS: Final = ("", "what", "median (low–high)", "unit", "n")


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
    peak = "" if start.peak_mb is None else f"{start.peak_mb:,.0f}"
    runs, singles = f"{start.n_runs}", f"{start.n_runs} × {start.n_posts:,}"
    found = [
        *(
            (
                s.posts,
                s.runtime,
                f"{s.posts_per_s:,.1f}",
                "posts/s",
                f"{s.n_rounds} × {s.n_posts:,}",
            )
            for s in measured.speeds
        ),
        ("latency", "cold start to a verdict", f"{start.first_verdict_s:.2f}", "s", runs),
        ("latency", "its peak memory", peak, "MB", runs),
        ("latency", "one short post, p50", f"{start.p50_ms:.1f}", "ms", singles),
        ("latency", "one short post, p95", f"{start.p95_ms:.1f}", "ms", singles),
    ]
    return [dict(zip(_COLUMNS, row, strict=True)) for row in found]
