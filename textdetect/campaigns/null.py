"""Permuted worlds: the same objects at the same times, and by draw who took part.

Within a stratum (kind of object, three hours of the day, week) the accounts of all traces are
shuffled. So every object keeps its own time course: a press release bursts in every world. Every
account keeps how much it posts of each kind, and the hours at which it is awake. What no world
keeps is that the same accounts meet again and again; nor, and this is the null's limit, that people
of one interest do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from textdetect.campaigns.traces import Traces


def permuted_worlds(traces: Traces, n_worlds: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Yield who left each trace in each permuted world, shape (n_traces,).

    The worlds depend on the seed and the traces, not on the order of the given posts.

    >>> from textdetect.campaigns.traces import find_traces, read_dump
    >>> posts = [{"account": a, "time": 60.0, "url": f"http://x.org/{u}"}
    ...          for a, u in zip("abcd", "1122")]
    >>> [sorted(w.tolist()) for w in permuted_worlds(find_traces(read_dump(posts)), 2, seed=0)]
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    seeds = [(seed, world) for world in range(n_worlds)]
    yield from permuted(traces.account, traces.stratum, seeds)


def permuted(
    account: NDArray[np.int32], stratum: NDArray[np.int32], seeds: Iterable[Sequence[int]]
) -> Iterator[NDArray[np.int32]]:
    """Shuffle accounts within strata, once for each seed."""
    order = np.argsort(stratum, kind="stable")
    for seed in seeds:
        draw = np.lexsort((np.random.default_rng(seed).random(len(account)), stratum))
        world = np.empty_like(account)
        world[order] = account[draw]
        yield world
