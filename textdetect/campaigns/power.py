"""What could have been found in a dump: networks planted into it, and the smallest that show.

A planted network has accounts of its own that post ten messages, each by about six in ten of them
within four minutes, at times of the dump's own posts, and nothing else. Who hides better is found
later. It knows traces, and asks a search for scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.progress import bar
from textdetect.campaigns.likeness import find_alike
from textdetect.campaigns.traces import BESIDE, Traces

SIZES: Final = (4, 6, 8, 10, 12, 16, 20, 30, 50, 100)
"""Accounts of the networks that are planted."""
N_MESSAGES: Final = 10
REACH: Final = 0.6
JITTER_S: Final = 120.0
_N_NETWORKS: Final = 20
_N_HITS: Final = 17
"""Found of them, so that the smallest size that has so many has 80% in truth."""
_N_POSTS: Final = 4
"""Of a reworded message: the fewer, the less they hold each other together."""
_MOST: Final = 0.1  # of the accounts that are there are planted at once
_CHANGED: Final = 0.3  # of the words, where a message is reworded
_N_TEXTS: Final = 2_000
_KINDS: Final = {
    "equal texts": ("text",),
    "reworded texts": ("alike",),
    "one link a message": BESIDE,
    "one tag a message": BESIDE,
}

Scores = Callable[[Traces], NDArray[np.float64]]
"""Traces → each account's score, as the search gives it."""


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest network of one kind that would have been found.

    Attributes:
        kind: what its accounts have in common.
        n_accounts: how many suffice in 80% of the tries; None: more than `SIZES` has.
    """

    kind: str
    n_accounts: int | None


def find_power(
    traces: Traces,
    n_accounts: int,
    *,
    scores: Scores,
    maxima: NDArray[np.float64],
    n_higher: int,
    share_alike: float,
    seed: int,
    progress: bool | None,
) -> tuple[Detectable, ...]:
    """Plant networks of several kinds and sizes, and give the smallest sizes that are found.

    Args:
        traces: of the dump.
        n_accounts: accounts of the dump.
        scores: the search in one world.
        maxima: the highest score of each permuted world. Other worlds have others: a network must
            exceed those that a Gumbel law, fitted to these, gives as many worlds.
        n_higher: permuted worlds that may be higher.
        share_alike: of the posts of a reworded message, those that share an object.
        seed: of the networks; the same gives the same.
        progress: show a bar; None: if stderr is a terminal.
    """
    found = []
    spread = max(float(np.std(maxima)), 0.1) * np.sqrt(6) / np.pi
    middle_of = float(np.mean(maxima)) - np.euler_gamma * spread
    with bar(len(_KINDS), progress, unit="kind") as shown:
        for number, (kind, kinds) in enumerate(_KINDS.items()):
            places = np.flatnonzero(np.isin(traces.kinds.astype(str), kinds)[traces.object])
            low, high = 0, len(SIZES)
            while low < high and len(places):
                middle = (low + high) // 2
                n_hits = 0
                runs = _runs(n_accounts, SIZES[middle])
                for run, n_networks in enumerate(runs):
                    rng = np.random.default_rng((seed, number, SIZES[middle], run))
                    joins = share_alike if kind == "reworded texts" else 1.0
                    world, of = _planted(
                        traces, places, n_accounts, SIZES[middle], n_networks, joins, rng
                    )
                    top = np.zeros(n_networks)
                    np.maximum.at(top, of, scores(world)[n_accounts:])
                    others = rng.gumbel(middle_of, spread, (n_networks, len(maxima)))
                    n_hits += int(np.sum(top > np.sort(others)[:, -1 - n_higher]))
                if n_hits >= _N_HITS:
                    high = middle
                else:
                    low = middle + 1
            enough = len(places) > 0 and low < len(SIZES)
            found.append(Detectable(kind, SIZES[low] if enough else None))
            shown.update(1)
    return tuple(found)


def _runs(n_accounts: int, size: int) -> Iterator[int]:
    """Give how many networks are planted at once, so that the dump remains what it is."""
    at_once = min(_N_NETWORKS, max(1, int(_MOST * n_accounts / size)))
    for start in range(0, _N_NETWORKS, at_once):
        yield min(at_once, _N_NETWORKS - start)


def _planted(
    traces: Traces,
    places: NDArray[np.int64],
    n_accounts: int,
    size: int,
    n_networks: int,
    joins: float,
    rng: np.random.Generator,
) -> tuple[Traces, NDArray[np.int64]]:
    """Add networks' traces to those of a dump; also gives each new account's network."""
    of = np.repeat(np.arange(n_networks), size)
    who, message = np.nonzero(rng.random((len(of), N_MESSAGES)) < REACH)
    number = of[who] * N_MESSAGES + message
    place = rng.choice(places, n_networks * N_MESSAGES)[number]
    time_s = traces.time_s[place] + rng.uniform(-JITTER_S, JITTER_S, len(who))
    lone = rng.random(len(who)) >= joins
    number[lone] = n_networks * N_MESSAGES + np.arange(int(lone.sum()))
    order = np.lexsort((who, time_s, number))
    objects = np.unique(number, return_inverse=True)[1] + len(traces.kinds)
    place, who, time_s, objects = place[order], who[order], time_s[order], objects[order]
    post = int(traces.post.max(initial=-1)) + 1 + np.arange(len(who))
    kinds = np.full(int(objects.max(initial=-1)) + 1 - len(traces.kinds), "planted", dtype=object)
    world = replace(
        traces,
        account=np.concatenate([traces.account, n_accounts + who]).astype(np.int32),
        object=np.concatenate([traces.object, objects]).astype(np.int32),
        time_s=np.concatenate([traces.time_s, time_s]),
        post=np.concatenate([traces.post, post]).astype(np.int32),
        stratum=np.concatenate([traces.stratum, traces.stratum[place]]),
        kinds=np.concatenate([traces.kinds, kinds]),
        bare=np.concatenate([traces.bare, traces.bare[place]]),
    )
    return world, of


def share_alike(texts: Sequence[str], time_s: NDArray[np.float64], window_s: float) -> float:
    """Give the share of a reworded message's posts that would share an object in this dump.

    Texts of the dump, three words in ten replaced by those of others, a different way in each of
    four posts, stand beside 2,000 of its posts.

    Args:
        texts: normalised, in order of time; "" for none.
        time_s: ascending.
        window_s: within which likeness is looked for, > 0.
    """
    rng = np.random.default_rng(20_260_301)
    long_enough = np.flatnonzero([len(text) >= 40 or len(text.encode()) >= 60 for text in texts])
    if len(long_enough) < 100:
        return 0.0
    kept = np.sort(rng.choice(long_enough, min(_N_TEXTS, len(long_enough)), replace=False))
    said, times = [texts[i] for i in kept], time_s[kept].tolist()
    pieces = [_pieces(text) for text in said]
    message = rng.choice(len(said), 40)
    for one in message.tolist():
        for _ in range(_N_POSTS):
            others = [str(rng.choice(pieces[rng.integers(len(pieces))])) for _ in pieces[one]]
            anew = rng.random(len(others)) < _CHANGED
            words = [b if new else a for a, b, new in zip(pieces[one], others, anew, strict=True)]
            said.append("".join(words))
            times.append(times[one] + rng.uniform(-JITTER_S, JITTER_S))
    order = np.argsort(times, kind="stable")
    group = np.empty(len(said), dtype=np.int64)
    in_order, alone = [said[i] for i in order], np.arange(len(said))
    group[order] = find_alike(in_order, np.array(times)[order], alone, window_s=window_s)
    parts = group[len(kept) :].reshape(len(message), _N_POSTS)
    most = [np.unique(part, return_counts=True)[1].max() for part in parts]
    return float(np.mean([n if n > 1 else 0 for n in most]) / _N_POSTS)


def _pieces(text: str) -> list[str]:
    """Cut a text into words with the blank before each; into pairs of characters if it has none."""
    words = text.split(" ")
    if len(words) * 12 > len(text):
        return [words[0], *(f" {word}" for word in words[1:])]
    return [text[i : i + 2] for i in range(0, len(text), 2)]
