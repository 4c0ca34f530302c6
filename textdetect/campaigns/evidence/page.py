"""The tables of a bundle → one HTML page that opens offline; it knows tables, not the search."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textdetect._ground.optional import require

_MOST_ACCOUNTS: Final = 100
_MOST_MESSAGES: Final = 30
_MOST_DRAWN: Final = 150
"""Accounts of a campaign whose network is drawn: its strongest."""
_SIZE: Final = 360.0
_COLUMNS: Final = 120
_ROWS: Final = 25
_MINUTE: Final = 60_000_000


def render(tables: dict[str, pa.Table], facts: dict[str, Any]) -> str:
    """Render the page: HTML with its styles and pictures inside, without scripts.

    The tables are those of `bundle.make_tables`, the facts the manifest's, without the files.
    Raises MissingDependency where jinja2 or networkx is not installed.
    """
    jinja2 = require("jinja2", extra="campaigns")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = (
        files("textdetect.campaigns.evidence").joinpath("page.html").read_text(encoding="utf-8")
    )
    html: str = environment.from_string(source).render(
        facts=facts,
        n_accounts=tables["accounts"].num_rows,
        n_posts=pc.sum(tables["accounts"]["n_posts"]).as_py() or 0,
        null=_null(tables),
        campaigns=[_campaign(row, tables) for row in tables["campaigns"].to_pylist()],
        automated=_automated(tables["accounts"]),
        most=_MOST_ACCOUNTS,
    )
    return html


def _null(tables: dict[str, pa.Table]) -> dict[str, Any]:
    """Place the permuted worlds' maxima and the campaigns' statistics on one axis."""
    maxima = tables["null"]["max"].to_pylist()
    found = tables["campaigns"]["statistic"].to_pylist()
    top = max([*maxima, *found, 1e-9]) * 1.05
    return {
        "worlds": [(x, round(600 * x / top, 1)) for x in maxima],
        "found": [(i, x, round(600 * x / top, 1)) for i, x in enumerate(found)],
        "highest": max(maxima, default=0.0),
    }


def _campaign(row: dict[str, Any], tables: dict[str, pa.Table]) -> dict[str, Any]:
    accounts, edges, messages, posts = (
        tables[name].filter(pc.equal(tables[name]["campaign"], row["number"]))
        for name in ("accounts", "edges", "narratives", "timeline")
    )
    ranked = accounts.sort_by([("coordination_score", "descending"), ("account", "ascending")])
    return row | {
        "n_messages": messages.num_rows,
        "timeline": _timeline(posts["time"].cast(pa.int64()).to_numpy()),
        "messages": messages.drop_columns("rows").slice(0, _MOST_MESSAGES).to_pylist(),
        "accounts": ranked.slice(0, _MOST_ACCOUNTS).to_pylist(),
        "network": _network(ranked.slice(0, _MOST_DRAWN)["account"].to_pylist(), edges),
        "cells": len(set(accounts["cell"].to_pylist()) - {None}),
    }


def _timeline(times: NDArray[np.int64]) -> dict[str, Any]:
    """Draw posts over time: columns of marks, each for one post, or for `per` where they are many.

    However many the posts, there are as many columns; each with a post in it has a mark. Stretches
    end where nothing was posted for a tenth of the time, as between two waves.
    """
    first, last = int(times[0]), int(times[-1]) + _MINUTE
    counts, ends = np.histogram(times, _COLUMNS, (first, last))
    per = -(-int(counts.max()) // _ROWS)
    gaps = np.flatnonzero(np.diff(times) > (last - first) / 10) + 1
    return {
        "columns": [
            (i, int(counts[i]), -(-int(counts[i]) // per), _moment(ends[i]))
            for i in np.flatnonzero(counts)
        ],
        "per": per,
        "n": len(times),
        "column_h": (last - first) / _COLUMNS / _MINUTE / 60,
        "stretches": [(_moment(x[0]), _moment(x[-1]), len(x)) for x in np.split(times, gaps)],
    }


def _moment(time_us: float) -> str:
    return f"{datetime.fromtimestamp(float(time_us) / 1e6, UTC):%Y-%m-%d %H:%M}"


def _network(names: list[str], edges: pa.Table) -> dict[str, Any]:
    """Lay a campaign's strongest accounts out, and the edges between them."""
    networkx = require("networkx", extra="campaigns")
    graph = networkx.Graph()
    graph.add_nodes_from(names)
    drawn = set(names)
    pairs = zip(edges["a"].to_pylist(), edges["b"].to_pylist(), edges["surprise"], strict=True)
    graph.add_weighted_edges_from(
        (a, b, weight.as_py()) for a, b, weight in pairs if a in drawn and b in drawn
    )
    places = networkx.spring_layout(graph, seed=0, iterations=30) if names else {}
    at = {name: np.round((place + 1.1) / 2.2 * _SIZE, 1).tolist() for name, place in places.items()}
    return {
        "size": _SIZE,
        "nodes": [(name, *at[name]) for name in names],
        "edges": [(*at[a], *at[b]) for a, b in list(graph.edges)[:4000]],
    }


def _automated(accounts: pa.Table) -> list[dict[str, Any]]:
    """Give the accounts whose texts are flagged, the likeliest first."""
    named = accounts.filter(pc.is_valid(accounts["verdict"]))
    named = named.filter(pc.match_substring(named["verdict"], "automated"))
    rows: list[dict[str, Any]] = named.sort_by([("automation_q", "ascending")]).to_pylist()
    return rows[:_MOST_ACCOUNTS]
