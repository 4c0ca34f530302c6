"""Edges → groups that hold together: how firmly each account sits in one, and which they are.

An account's score is its weighted coreness: the largest c such that it belongs to a group in which
everyone's edges to the others add up to a surprise of at least c (Seidman, "Network structure and
minimum degree", Social Networks 5, 1983; with weights: Eidsaa and Almaas, "s-core network
decomposition", Physical Review E 88, 2013). It does not know why a group holds together.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.campaigns.projection import MIN_MEETINGS, Edges, Meetings, distinct, surprise_of
from textdetect.campaigns.traces import Traces

_STEP: Final = 1.05  # scores are exact to 5%
_LOUVAIN_EDGES: Final = 200_000  # of a larger campaign, the strongest edges make the cells
_LOUVAIN_RUNS: Final = 5


def coreness(edges: Edges, n_accounts: int) -> NDArray[np.float64]:
    """Give each account's weighted coreness, 0 without an edge; shape (n_accounts,).

    Groups of fewer than three accounts are no groups: a lone pair scores 0.
    """
    value = np.zeros(n_accounts)
    members, ends = np.unique(np.concatenate([edges.a, edges.b]), return_inverse=True)
    a, b = ends[: len(edges)], ends[len(edges) :]
    weight = edges.surprise
    partners = np.bincount(ends, minlength=len(members))
    lone = (partners[a] == 1) & (partners[b] == 1)
    a, b, weight = a[~lone], b[~lone], weight[~lone]
    level = 0.0
    while len(a):
        strength = np.bincount(a, weight, len(members)) + np.bincount(b, weight, len(members))
        stays = (strength[a] >= level) & (strength[b] >= level)
        if stays.all():
            level = float(min(strength[a].min(), strength[b].min()))
            value[members[a]] = level
            value[members[b]] = level
            level *= _STEP
        else:
            a, b, weight = a[stays], b[stays], weight[stays]
    return value


def components(edges: Edges, n_accounts: int) -> NDArray[np.int64]:
    """Number the connected component of each account; shape (n_accounts,)."""
    sparse = require("scipy.sparse", extra="campaigns")
    csgraph = require("scipy.sparse.csgraph", extra="campaigns")
    ones = np.ones(len(edges), dtype=np.int8)
    graph = sparse.coo_matrix((ones, (edges.a, edges.b)), (n_accounts, n_accounts))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1], dtype=np.int64)


def spare(
    edges: Edges,
    group: NDArray[np.int64],
    traces: Traces,
    meetings: Meetings,
    *,
    n_spared: int,
    min_surprise: float,
    in_turn: bool = False,
) -> Edges:
    """Leave out each group's `n_spared` most shared objects, and its most crowded hours.

    What so few objects or hours can explain is an event that people of one interest share: some
    press releases, an evening's match. A campaign must stand without them.

    Args:
        edges: pairs and their meetings.
        group: each account's group, shape (n_accounts,).
        traces, meetings: what the edges were found in.
        n_spared: objects, and as many hours, ≥ 0.
        min_surprise: of the edges that remain.
        in_turn: the hours are the most crowded of what is left without the objects.
    """
    edge, meeting = edges.meeting_edge, edges.meeting
    of_group = group[edges.a[edge]]
    objects, hours = traces.object[meetings.first[meeting]], meetings.hour[meeting]
    left = np.ones(len(edge), dtype=bool)
    for values in (objects, hours):
        seen = left.copy() if in_turn else np.ones(len(edge), dtype=bool)
        left[seen] &= ~_most_met(of_group[seen], values[seen], n_spared)
    count = distinct(edge[left], objects[left], hours[left], len(edges))
    surprise = surprise_of(count, edges.expected)
    lighter = Edges(edges.a, edges.b, count, edges.expected, surprise, edge[left], meeting[left])
    return lighter.take((count >= MIN_MEETINGS) & (surprise >= min_surprise))


def _most_met(group: NDArray[np.int64], values: NDArray[Any], n_top: int) -> NDArray[np.bool_]:
    """Tell which meetings are at one of their group's `n_top` most frequent values."""
    if not len(group) or not n_top:
        return np.zeros(len(group), dtype=bool)
    low = int(values.min())
    width = int(values.max()) - low + 1
    keys, inverse, size = np.unique(
        group * width + (values.astype(np.int64) - low), return_inverse=True, return_counts=True
    )
    order = np.lexsort((keys, -size, keys // width))
    groups = (keys // width)[order]
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    top = np.zeros(len(keys), dtype=bool)
    top[order] = rank < n_top
    return np.asarray(top[inverse], dtype=np.bool_)


def cells(edges: Edges, members: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], float]:
    """Split a campaign into cells by Louvain, and say how stable the split is.

    Blondel, Guillaume, Lambiotte and Lefebvre, "Fast unfolding of communities in large networks",
    Journal of Statistical Mechanics, 2008. Of more than 200,000 edges the strongest are used.

    Args:
        edges: edges among the members.
        members: accounts, ascending, shape (n,).
        seed: of the first of five runs.

    Returns:
        Each member's cell, numbered from 0 by size, shape (n,); and the stability: the mean
        adjusted Rand index between the first run and the others, 1 if all agree.

    Raises:
        MissingDependency: networkx is not installed.
    """
    networkx = require("networkx", extra="campaigns")
    strongest = np.sort(np.lexsort((edges.b, edges.a, -edges.surprise))[:_LOUVAIN_EDGES])
    place = {int(account): i for i, account in enumerate(members)}
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(members)))
    graph.add_weighted_edges_from(
        (place[int(edges.a[i])], place[int(edges.b[i])], float(edges.surprise[i]))
        for i in strongest
    )
    runs = []
    for run in range(_LOUVAIN_RUNS):
        split = networkx.community.louvain_communities(graph, weight="weight", seed=seed + run)
        label = np.zeros(len(members), dtype=np.int64)
        for number, cell in enumerate(sorted(split, key=lambda cell: (-len(cell), min(cell)))):
            label[list(cell)] = number
        runs.append(label)
    return runs[0], float(np.mean([agreement(runs[0], other) for other in runs[1:]]))


def agreement(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Give the adjusted Rand index of two splits of the same accounts, in [−1, 1].

    Hubert and Arabie, "Comparing partitions", Journal of Classification 2, 1985, equation 5.

    >>> agreement(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    """

    def pairs(labels: NDArray[np.int64]) -> float:
        size = np.unique(labels, return_counts=True)[1].astype(np.float64)
        return float(np.sum(size * (size - 1)) / 2)

    both, a, b = pairs(one * (int(other.max()) + 1) + other), pairs(one), pairs(other)
    everything = len(one) * (len(one) - 1) / 2
    chance = a * b / everything if everything else 0.0
    if (a + b) / 2 == chance:
        return 1.0
    return (both - chance) / ((a + b) / 2 - chance)
