"""Traces → edges: pairs of accounts that meet on more objects than chance lets them.

Two traces of one object within the window are a meeting. A pair's count is of distinct objects in
distinct hours, so one burst counts once, however long. Its expectation is that of the bipartite
configuration model: within a stratum (kind of object, hour of the day, week) every account keeps
its number of traces and every object its own times, and who took part is a draw. The p-value is the
upper tail of the Poisson law (Tumminello et al., "Statistically validated networks in bipartite
complex systems", PLoS ONE 6, 2011; Saracco et al., "Inferring monopartite projections of bipartite
networks", New Journal of Physics 19, 2017). It does not know of common interests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.campaigns.traces import Traces

MAX_LAG: Final = 500
"""A trace meets at most so many of the traces of its object that follow it."""
MAX_PAIRS: Final = 24_000_000
"""Meetings held at once; beyond it the lag is cut until they fit: nearest in time first."""
MIN_MEETINGS: Final = 2
"""Who meets once is no edge."""
_MAX_SURPRISE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Meetings:
    """All pairs of traces of one object within the window; the same in every permuted world.

    Attributes:
        first, second: indices of traces; int32, shape (n,).
        hour: hour since 1970 of the first trace; int32, shape (n,).
        stratum: of each trace, by which meetings are expected; shape (n_traces,).
        rate: for each stratum, the chance that two given traces of it meet; shape (n_strata,).
        max_lag: the lag that kept the meetings within `MAX_PAIRS`.
        n_cut: meetings left out by the lag: those furthest apart in the hottest moments.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    hour: NDArray[np.int32]
    stratum: NDArray[np.int32]
    rate: NDArray[np.float64]
    max_lag: int
    n_cut: int


@dataclass(frozen=True, slots=True)
class Edges:
    """Pairs of accounts that met on several objects.

    Attributes:
        a, b: accounts, a < b; int32, shape (n,).
        count: distinct objects in distinct hours, at least `MIN_MEETINGS`; int32, shape (n,).
        expected: what activity, hours and popularity explain; float64, shape (n,).
        surprise: −log10 of the p-value, cut at 20; float64, shape (n,).
        meeting_edge, meeting: the meetings behind each edge: edge number, ascending, and index in
            `Meetings`; shape (n_meetings,).
    """

    a: NDArray[np.int32]
    b: NDArray[np.int32]
    count: NDArray[np.int64]
    expected: NDArray[np.float64]
    surprise: NDArray[np.float64]
    meeting_edge: NDArray[np.int64]
    meeting: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.a)

    def take(self, kept: NDArray[np.bool_]) -> Edges:
        """Keep the edges where `kept`, shape (n,), and the meetings behind them."""
        number = np.cumsum(kept) - 1
        of_kept = kept[self.meeting_edge]
        return Edges(
            self.a[kept],
            self.b[kept],
            self.count[kept],
            self.expected[kept],
            self.surprise[kept],
            number[self.meeting_edge[of_kept]],
            self.meeting[of_kept],
        )


def find_meetings(
    traces: Traces,
    window_s: float,
    *,
    max_pairs: int = MAX_PAIRS,
    max_lag: int = MAX_LAG,
    across: bool = False,
    bare: bool = False,
) -> Meetings:
    """Pair the traces of each object that lie at most `window_s` seconds apart.

    A viral object has as many traces as it has; its pairs are at most `max_lag` times that.

    Args:
        traces: sorted by object and time.
        window_s: seconds, ≥ 0.
        max_pairs: bound on the meetings.
        max_lag: bound on how many following traces one trace meets.
        across: keep meetings between strata, which the null expects of nobody.
        bare: only those on the texts of posts without a link.
    """
    n = len(traces)
    end = _ends(traces, window_s)
    following = end - np.arange(n) - 1
    if bare:
        following[~traces.bare] = 0
    lag = max_lag
    while lag > 1 and np.minimum(following, lag).sum() > max_pairs:
        lag = max(1, int(lag * 0.8))
    taken = np.minimum(following, lag)
    first = np.repeat(np.arange(n, dtype=np.int32), taken)
    within = np.arange(len(first)) - np.repeat(np.cumsum(taken) - taken, taken)
    second = (first + 1 + within).astype(np.int32)
    apart = traces.account[first] != traces.account[second]
    # Meetings hours or days apart lie in several strata: they are expected of all bare texts alike.
    stratum = np.where(traces.bare, 0, 1).astype(np.int32) if bare else traces.stratum
    if bare or not across:
        apart &= stratum[first] == stratum[second]
    first, second = first[apart], second[apart]
    n_strata = int(stratum.max(initial=-1)) + 1
    size = np.bincount(stratum, minlength=n_strata).astype(np.float64)
    met = np.bincount(stratum[first], minlength=n_strata)
    rate = np.minimum(1.0, 2.0 * met / np.maximum(1.0, size * (size - 1)))
    hour = (traces.time_s[first] // 3600).astype(np.int32)
    return Meetings(first, second, hour, stratum, rate, lag, int(following.sum() - taken.sum()))


def _ends(traces: Traces, window_s: float) -> NDArray[np.int64]:
    """Give for each trace the end of the run of its object's traces within the window."""
    n = len(traces)
    if not n:
        return np.zeros(0, dtype=np.int64)
    # One axis on which objects lie further apart than the window. Times are counted from the first
    # in milliseconds, as whole numbers: no rounding however many objects there are.
    time = np.round((traces.time_s - traces.time_s.min()) * 1000).astype(np.int64)
    window = round(window_s * 1000)
    axis = traces.object.astype(np.int64) * (int(time.max()) + window + 1) + time
    return np.asarray(np.searchsorted(axis, axis + window, side="right"), dtype=np.int64)


def find_edges(
    traces: Traces, meetings: Meetings, account: NDArray[np.int32], *, min_surprise: float = 0.0
) -> Edges:
    """Find the pairs that meet at least twice, and how surprising that is.

    Args:
        traces: the traces.
        meetings: their meetings.
        account: who left each trace, shape (n_traces,): as observed, or in a permuted world.
        min_surprise: less surprising pairs are left out.
    """
    n_accounts = int(account.max(initial=0)) + 1
    one, other = account[meetings.first], account[meetings.second]
    key = np.minimum(one, other).astype(np.int64) * n_accounts + np.maximum(one, other)
    repeated = np.flatnonzero(one != other)
    repeated = repeated[_repeated(key[repeated])]
    order = repeated[np.argsort(key[repeated], kind="stable")]
    pairs, edge = np.unique(key[order], return_inverse=True)
    count = distinct(edge, traces.object[meetings.first[order]], meetings.hour[order], len(pairs))
    a, b = (pairs // n_accounts).astype(np.int32), (pairs % n_accounts).astype(np.int32)
    blank = np.zeros(len(pairs))
    edges = Edges(a, b, count, blank, blank, edge.astype(np.int64), order)
    edges = edges.take(count >= MIN_MEETINGS)
    expected = _expected(meetings, account, edges, n_accounts)
    surprise = surprise_of(edges.count, expected)
    return replace(edges, expected=expected, surprise=surprise).take(surprise >= min_surprise)


def _repeated(key: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which keys may occur twice: those that share a slot of a hash table of counts."""
    bits = max(8, len(key).bit_length() + 2)
    slot = (key.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)
    slot = slot.astype(np.int64)
    return np.asarray(np.bincount(slot)[slot] > 1) if len(key) else np.zeros(0, dtype=bool)


def distinct(
    edge: NDArray[np.int64], objects: NDArray[Any], hours: NDArray[Any], n_edges: int
) -> NDArray[np.int64]:
    """Count an edge's meetings: the fewer of its distinct objects and its distinct hours."""
    counts = []
    for values in (objects, hours):
        low = int(values.min(initial=0))
        width = int(values.max(initial=0)) - low + 1
        seen = np.unique(edge * width + (values.astype(np.int64) - low)) // width
        counts.append(np.bincount(seen, minlength=n_edges))
    return np.minimum(*counts).astype(np.int64)


def surprise_of(count: NDArray[np.int64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give −log10 P(Poisson(expected) ≥ count), cut at 20.

    >>> surprise_of(np.array([2, 2]), np.array([0.01, 1.0])).round(2).tolist()
    [4.3, 0.58]
    """
    special = require("scipy.special", extra="campaigns")
    tail = special.pdtrc(count - 1, np.maximum(expected, 1e-12))
    surprise = -np.log10(np.maximum(tail, 10.0**-_MAX_SURPRISE))
    return np.asarray(np.maximum(surprise, 0.0), dtype=np.float64)


def _expected(
    meetings: Meetings, account: NDArray[np.int32], edges: Edges, n_accounts: int
) -> NDArray[np.float64]:
    """Expect Σ over strata of rate × (traces of a) × (traces of b): all draws equally likely."""
    sparse = require("scipy.sparse", extra="campaigns")
    shape = (n_accounts, len(meetings.rate))
    ones = np.ones(len(account))
    held = sparse.csr_matrix((ones, (account, meetings.stratum)), shape=shape)
    weighted = held @ sparse.diags(meetings.rate)
    expected = np.empty(len(edges))
    for start in range(0, len(edges), 500_000):
        some = slice(start, start + 500_000)
        product = held[edges.a[some]].multiply(weighted[edges.b[some]])
        expected[some] = np.asarray(product.sum(axis=1)).ravel()
    return expected
