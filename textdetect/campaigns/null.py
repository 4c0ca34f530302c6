"""Permuted worlds: the same objects at the same times, and by draw who took part.

Within a stratum (kind of object, three hours of the day, week) the accounts of all traces are
shuffled. So every object keeps its own time course: a press release bursts in every world. Every
account keeps how much it posts of each kind, and the hours at which it is awake. What no world
keeps is that the same accounts meet again and again; nor, and this is the null's limit, that people
of one interest do.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    order = np.argsort(traces.stratum, kind="stable")
    for world in range(n_worlds):
        rng = np.random.default_rng([seed, world])
        yield shuffled(traces.account, traces.stratum, order, rng)


def shuffled(
    account: NDArray[np.int32],
    stratum: NDArray[np.int32],
    order: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Shuffle accounts within strata; `order` sorts the strata, stably."""
    draw = np.lexsort((rng.random(len(account)), stratum))
    found = np.empty_like(account)
    found[order] = account[draw]
    return found


def max_p_value(value: float, null_maxima: NDArray[np.float64]) -> float:
    """Give (1 + worlds whose maximum is at least `value`) / (1 + worlds).

    Phipson and Smyth, "Permutation p-values should never be zero", Statistical Applications in
    Genetics and Molecular Biology 9, 2010. Taken from the maximum, it holds for all of a list.

    >>> max_p_value(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    return float((1 + np.sum(null_maxima >= value)) / (1 + len(null_maxima)))


def list_q_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the q-values of a list of campaigns, strongest first: p over rank, never falling.

    >>> list_q_values(np.array([0.05, 0.05])).tolist()
    [0.025, 0.025]
    """
    rate = p_values / np.arange(1, len(p_values) + 1)
    return np.asarray(np.minimum(1.0, np.minimum.accumulate(rate[::-1])[::-1]), dtype=np.float64)


def empirical_q_values(
    scores: NDArray[np.float64], null_scores: NDArray[np.float64], n_worlds: int
) -> NDArray[np.float64]:
    """Give each score's q-value: how many a world has by chance, over how many there are.

    The number by chance counts the observed world as one of them: (1 + #{null ≥ s}) / (1 + worlds).
    A score of 0 has the q-value 1.

    Args:
        scores: of all accounts, ≥ 0.
        null_scores: the positive scores of all permuted worlds, pooled.
        n_worlds: how many worlds these are.

    >>> empirical_q_values(np.array([5.0, 4.0, 0.0]), np.array([4.5]), 19).tolist()
    [0.05, 0.05, 1.0]
    """
    pooled = np.sort(null_scores)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    above = 1 + len(pooled) - np.searchsorted(pooled, ranked, side="left")
    n_at_least = np.searchsorted(-ranked, -ranked, side="right")
    rate = np.where(ranked > 0, above / (1 + n_worlds) / n_at_least, 1.0)
    q_values = np.ones(len(scores))
    q_values[order] = np.minimum(1.0, np.minimum.accumulate(rate[::-1])[::-1])
    return np.where(scores > 0, q_values, 1.0)
