"""Scorers that take turns on the same posts, round by round, so that noise meets them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

LEAST_POSTS: Final = 8
MOST_POSTS: Final = 2_048
Run = Callable[[int], object]
"""Scores the first n of its posts."""


def n_fitting(runs: Mapping[str, Run], *, rounds: int, deadline_s: float) -> int:
    """Tell how many posts each may score in each round, so that all are done by the deadline.

    Args:
        runs: name → what scores; each is called twice, so that the first round finds it warm.
        rounds: see `take_turns`.
        deadline_s: by `time.perf_counter`; eight posts a round even if there is no time.
    """
    for run in runs.values():
        run(2)
    tried_s = sum(_took_s(run, LEAST_POSTS) for run in runs.values())
    room_s = (deadline_s - time.perf_counter()) / (rounds + 1)
    return int(np.clip(LEAST_POSTS * room_s / tried_s, LEAST_POSTS, MOST_POSTS))


def take_turns(
    runs: Mapping[str, Run],
    n_posts: int,
    *,
    rounds: int,
    deadline_s: float,
    each_round: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Time all on the same posts, another one first in each round: posts a second in each round.

    Args:
        runs: name → what scores.
        n_posts: that each scores in a round.
        rounds: at most; there is one round even past the deadline.
        deadline_s: by `time.perf_counter`; no round begins after it.
        each_round: called as each round begins.
    """
    rates: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(rounds):
        if number and time.perf_counter() > deadline_s:
            break
        each_round()
        first = number % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(n_posts / _took_s(runs[name], n_posts))
    return rates


def _took_s(run: Run, n_posts: int) -> float:
    start_s = time.perf_counter()
    run(n_posts)
    return time.perf_counter() - start_s
