"""Contenders that score the same posts in turn, round by round, so that noise meets them alike.

It knows nothing of who they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from textdetect.benchmark.contenders import PIPELINE, Contender
from textdetect.benchmark.posts import made_posts
from textdetect.benchmark.results import Speed, Spread
from textdetect.benchmark.roofs import Shape
from textdetect.errors import TextdetectError
from textdetect.runtimes.batching import padded_length
from textdetect.text import normalise

_LEAST_POSTS: Final = 8
_MOST_POSTS: Final = 2_048


@dataclass(frozen=True, slots=True)
class Course:
    """What a post's cost is counted with.

    Attributes:
        tokenizer: see `runtimes.graph.light_tokenizer`.
        max_length: tokens that the model reads.
        shape: of the model; None where it is not known.
        peaks: number type → what measures its peak, in 10⁹ operations a second.
    """

    tokenizer: Any
    max_length: int
    shape: Shape | None
    peaks: Mapping[str, Callable[[], float]]

    def padded(self, prepared: Sequence[str]) -> list[int]:
        """Count each text's tokens, special ones and our padding included."""
        encoded = self.tokenizer.encode_batch_fast(list(prepared))
        return [padded_length(len(each.ids), self.max_length) for each in encoded]


def race(
    kind: str,
    contenders: Mapping[str, Contender],
    course: Course,
    *,
    rounds: int,
    seconds: float,
    seed: int,
    bar: Any,
    skipped: dict[str, str],
) -> tuple[list[Speed], dict[str, list[float]]]:
    """Let all contenders score the same posts in turn, as many as fit into the time.

    Args:
        kind: one of `posts.KINDS`.
        contenders: name → who; those that want more posts at once than fit are skipped.
        rounds: times that each scores the same posts; fewer if it is late.
        seconds: for all rounds; there is one of eight posts even if there is no time.
        seed: of the posts.
        skipped: takes up why a contender is not there.

    Returns:
        A `Speed` for each contender, and for each number type its peak in each round.

    Raises:
        TextdetectError: a contender does not answer for every post.
    """
    bar.set_description(f"{kind} posts")
    deadline_s = time.perf_counter() + seconds
    posts = made_posts(kind, _MOST_POSTS, seed=seed)
    prepared = [normalise(post) for post in posts]
    running = {name: (each, posts if each.raw else prepared) for name, each in contenders.items()}
    for name, (each, texts) in running.items():  # what the first call pays for, later ones find
        if len(each.run(texts[:2])) != 2:
            raise TextdetectError(f"{name} does not answer for every post")
    tried_s = sum(_timed(each, texts[:_LEAST_POSTS]) for each, texts in running.values())
    room_s = (deadline_s - time.perf_counter()) / (rounds + 1)
    n_posts = int(np.clip(_LEAST_POSTS * room_s / tried_s, _LEAST_POSTS, _MOST_POSTS))
    for name, (each, _) in list(running.items()):
        if each.batch_size > n_posts:
            skipped[f"{name}, {kind} posts"] = f"only {n_posts} posts a round fit into the time"
            del running[name]
    rates: dict[str, list[float]] = {name: [] for name in running}
    peaks: dict[str, list[float]] = {name: [] for name in course.peaks}
    for number in range(rounds):
        if number == 0 or time.perf_counter() < deadline_s:
            for name, measure in course.peaks.items():
                peaks[name].append(measure())
            for name in _turned(list(running), number):
                each, texts = running[name]
                rates[name].append(n_posts / _timed(each, texts[:n_posts]))
        bar.update()
    tokens = course.padded(prepared[:n_posts])
    billions = sum(map(course.shape.flops, tokens)) / n_posts / 1e9 if course.shape else None
    pipelines = [rates[name] for name in rates if name.startswith(PIPELINE)]
    base, best = rates.get(f"{PIPELINE}1"), np.max(pipelines, axis=0) if pipelines else None
    of = {name: peaks.get(contenders[name].number_type or "") for name in rates}
    speeds = [
        Speed(
            posts=kind,
            contender=name,
            n_posts=n_posts,
            n_rounds=len(each),
            mean_tokens=round(float(np.mean(tokens)), 1),
            posts_per_s=Spread.of(each),
            ratio=_ratio(each, base),
            ratio_best=_ratio(each, best),
            share_of_peak=_ratio(each, of[name], times=billions),
        )
        for name, each in rates.items()
    ]
    return speeds, peaks


def _ratio(each: Sequence[float], others: Any, *, times: float | None = 1.0) -> Spread | None:
    """Divide round by round; None where there is nothing to divide by, or no cost is known."""
    if others is None or times is None:
        return None
    return Spread.of((np.multiply(each, times) / others).tolist())


def _turned(names: list[str], by: int) -> list[str]:
    """Let another begin in each round, so that no one always follows the same."""
    by %= len(names)
    return names[by:] + names[:by]


def _timed(each: Contender, texts: list[str]) -> float:
    start_s = time.perf_counter()
    each.run(texts)
    return time.perf_counter() - start_s
