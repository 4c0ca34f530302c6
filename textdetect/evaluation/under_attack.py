"""What attacks cost a detector, and whom: machine posts that get away, people newly flagged.

It knows nothing of how a text is attacked, nor of files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from textdetect.attacks import ATTACKS, mix
from textdetect.evaluation.contenders import Answers, Contender
from textdetect.evaluation.measures import Place, Row, compare, measure, share
from textdetect.evaluation.suite import clusters
from textdetect.posts import Posts
from textdetect.posts.splits import at_most, draw
from textdetect.progress import tracked

WORST: Final = "worst_of_k"
MIXED: Final = "mix"
"""A quarter of the sentences come from a post of the other class."""


@dataclass(frozen=True, slots=True)
class Attacked:
    """One attack on many posts.

    Attributes:
        name: of the attack.
        texts: the attacked texts, in the order of the posts.
        changed: bool, shape (n,): the attack found something to change.
    """

    name: str
    texts: list[str]
    changed: NDArray[np.bool_]


def sample(posts: Posts, n: int, *, seed: int) -> Posts:
    """Choose, by hash, at most n posts of people and n of machines."""
    classed = posts.column("kind") != "assisted"
    return posts.take(at_most(n, posts, classed, [posts.labels], seed=seed, what="attacked"))


def attacked(posts: Posts, names: Sequence[str], *, seed: int) -> Iterator[Attacked]:
    """Attack every post with each attack of `ATTACKS`, and at last mix in the other class."""
    texts = [text or "" for text in posts.texts]
    for name in tracked(names, unit="attack", what="attacks"):
        yield _attacked(name, texts, [ATTACKS[name](text, seed=seed) for text in texts])
    donors = [np.flatnonzero(posts.labels == 1 - label) for label in (0, 1)]
    if len(donors[0]) and len(donors[1]):
        of = [
            texts[donors[label][int(draw(seed, "donor", text) * len(donors[label]))]]
            for label, text in zip(posts.labels, texts, strict=True)
        ]
        mixed = [mix(text, other, seed=seed) for text, other in zip(texts, of, strict=True)]
        yield _attacked(MIXED, texts, mixed)


def measure_attacks(
    place: Place,
    posts: Posts,
    contender: Contender,
    names: Sequence[str],
    *,
    seen: Collection[str] = (),
    seed: int,
    min_slice: int = 100,
) -> list[Row]:
    """Measure a detector under each attack, and under the worst of them for each post.

    Attacked machine posts are ranked against people's posts as they were: "auroc", and
    "auroc_lost", the paired difference from the same posts unattacked; "tpr" at the frozen
    threshold; "fpr" of people whose posts were attacked, and "newly_flagged", the share of all
    people who were not flagged before; "changed", the share of posts that the attack could change.
    The worst of k takes each machine post's lowest score, and each person's highest. Where a
    quarter of the sentences is of the other class ("mix"), people's posts are no longer people's
    alone, so only machine posts are measured, and "flagged_mixed" says how often the others are.

    Args:
        place: its attack and note are filled in here.
        seen: families of attacks that the detector was trained on.
    """
    labels, of = posts.labels, np.array(clusters(posts), dtype=object)
    human, machine = labels == 0, labels == 1
    clean = contender.answer([text or "" for text in posts.texts])
    rows = measure(place, labels, clean, of.tolist(), seed=seed, min_slice=min_slice)
    worst, flags = clean.scores, clean.flagged
    for each in attacked(posts, names, seed=seed):
        answers = contender.answer(each.texts)
        family = ATTACKS[each.name].family if each.name in ATTACKS else MIXED
        note = "seen family" if family in seen else ""
        undone = each.name in ATTACKS and ATTACKS[each.name].undone
        note = "; ".join(t for t in (note, "undone by normalisation" if undone else "") if t)
        at = replace(place, attack=each.name, note=note)
        if each.name == MIXED:
            if (mixed := human & each.changed).any():
                rows.append(at.row("flagged_mixed", share(answers.flagged[mixed], of[mixed])))
        else:
            scores = answers.scores
            worst = np.where(machine, np.fmin(worst, scores), np.fmax(worst, scores))
            flags = np.where(machine, flags & answers.flagged, flags | answers.flagged)
            rows += _people(at, human, clean, answers.flagged, of)
        rows += _machines(at, labels, clean, answers, of, seed=seed)
        rows.append(at.row("changed", share(each.changed, of)))
    if names:
        at = replace(place, attack=WORST, note=f"k = {len(names)}")
        answers = replace(clean, scores=worst, flagged=flags)
        rows += _people(at, human, clean, flags, of)
        rows += _machines(at, labels, clean, answers, of, seed=seed)
    return rows


def _attacked(name: str, texts: list[str], after: list[str]) -> Attacked:
    changed = np.array([a != b for a, b in zip(texts, after, strict=True)], dtype=np.bool_)
    return Attacked(name, after, changed)


def _people(
    at: Place,
    human: NDArray[np.bool_],
    clean: Answers,
    flagged: NDArray[np.bool_],
    of: NDArray[np.object_],
) -> list[Row]:
    if not human.any():
        return []
    newly = flagged & ~clean.flagged
    return [
        at.row("fpr", share(flagged[human], of[human]), threshold=clean.threshold),
        at.row("newly_flagged", share(newly[human], of[human])),
    ]


def _machines(
    at: Place,
    labels: NDArray[np.int64],
    clean: Answers,
    answers: Answers,
    of: NDArray[np.object_],
    *,
    seed: int,
) -> list[Row]:
    """Measure attacked machine posts against people's posts as they were."""
    machine = labels == 1
    if not machine.any():
        return []
    against = replace(
        answers,
        scores=np.where(machine, answers.scores, clean.scores),
        flagged=np.where(machine, answers.flagged, clean.flagged),
    )
    rows = measure(at, labels, against, of.tolist(), seed=seed, shown=("auroc", "tpr"))
    lost = compare(at, labels, clean, against, of.tolist(), seed=seed)
    return [*rows, lost | {"metric": "auroc_lost", "p_value": None}]
