"""A campaign's core → the accounts around it that turn up with it again and again.

Two accounts of a large campaign may hardly ever have the same order; each of them has orders with
somebody. It does not decide whether there is a campaign: that is the core's p-value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from textdetect.campaigns.null import permuted
from textdetect.campaigns.projection import Meetings, distinct, surprise_of
from textdetect.campaigns.traces import Traces
from textdetect.statistics.multiplicity import empirical_q_values

MIN_TIMES: Final = 3
"""Who turns up with the core once or twice is not of it."""


def attached(
    traces: Traces,
    meetings: Meetings,
    core: NDArray[np.bool_],
    core_objects: NDArray[np.bool_],
    *,
    n_worlds: int,
    seed: int,
) -> NDArray[np.float64]:
    """Give each account's q-value for turning up with the core by chance; 1 for the core itself.

    The statistic is the surprise at how many of the core's objects, in distinct hours, the account
    touched within the window of a core account. In the permuted worlds the core stays where it is,
    and everyone else is shuffled within the strata.

    Args:
        traces, meetings: of the dump.
        core: the core's accounts, shape (n_accounts,).
        core_objects: the objects on which the core's accounts met, shape (n_objects,).
        n_worlds: permuted worlds.
        seed: of the worlds.
    """
    of_core = core[traces.account]
    first, second = meetings.first, meetings.second
    mixed = (of_core[first] != of_core[second]) & core_objects[traces.object[first]]
    first, second = first[mixed], second[mixed]
    near = np.zeros(len(traces), dtype=bool)
    near[np.where(of_core[first], second, first)] = True

    others = np.flatnonzero(~of_core)
    account, stratum = traces.account[others], traces.stratum[others]
    rate = np.bincount(stratum, near[others]) / np.maximum(1, np.bincount(stratum))
    expected = np.bincount(account, rate[stratum], minlength=len(core)).astype(np.float64)
    touched = near[others]
    objects = traces.object[others[touched]]
    hours = (traces.time_s[others[touched]] // 3600).astype(np.int64)

    def scores(account: NDArray[np.int32]) -> NDArray[np.float64]:
        times = distinct(account[touched].astype(np.int64), objects, hours, len(core))
        return np.where(times >= MIN_TIMES, surprise_of(times, expected), 0.0)

    if not touched.any():
        return np.ones(len(core))
    worlds = permuted(account, stratum, [(seed, world, 1) for world in range(n_worlds)])
    null = np.concatenate([scores(world) for world in worlds])
    return empirical_q_values(scores(account), null[null > 0], n_worlds)
