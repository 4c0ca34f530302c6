"""What attacks cost a detector, and whom: machine posts that get away, people newly flagged.

It knows nothing of how a text is attacked, nor of files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.progress import tracked
from textdetect.evaluation.measures import Judged, Place, Row, compare, measure
from textdetect.evaluation.suite import clusters
from textdetect.evaluation.thresholds import Answers, Thresholded
from textdetect.posts.attacks import ATTACKS, mix
from textdetect.posts.corpus import Posts
from textdetect.posts.splits import at_most, draw

WORST: Final = "worst_of_k"
MIXED: Final = "mix"


def sample(posts: Posts, n: int, *, seed: int) -> Posts:
    """Choose, by hash, at most n posts of people and n of machines."""
    classed = posts.column("kind") != "assisted"
    return posts.take(at_most(n, posts, classed, [posts.labels], seed=seed, what="attacked"))


def attacked(
    posts: Posts, texts: list[str], names: Sequence[str], *, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """Attack every text with each attack of `ATTACKS`, and at last mix in the other class."""
    for name in tracked(names, unit="attack", what="attacks"):
        yield name, [ATTACKS[name](text, seed=seed) for text in texts]
    donors = [np.flatnonzero(posts.labels == 1 - label) for label in (0, 1)]
    if len(donors[0]) and len(donors[1]):
        of = [
            texts[donors[label][int(draw(seed, "donor", text) * len(donors[label]))]]
            for label, text in zip(posts.labels, texts, strict=True)
        ]
        yield MIXED, [mix(text, other, seed=seed) for text, other in zip(texts, of, strict=True)]


def measure_attacks(
    place: Place,
    posts: Posts,
    contender: Thresholded,
    names: Sequence[str],
    *,
    seen: Collection[str] = (),
    seed: int,
    min_slice: int = 100,
) -> list[Row]:
    """Measure a detector under each attack, and under the worst of them for each post.

    docs/evaluation.md says what the figures are. Where a quarter of the sentences is of the other
    class ("mix"), people's posts are no longer people's alone, so only machine posts are measured,
    and "flagged_mixed" says how often the others are flagged. `seen` are families of attacks that
    the detector was trained on.
    """
    texts = [text or "" for text in posts.texts]
    clean, machine = contender.answer(texts), posts.labels == 1
    before = Judged(posts.labels, np.array(clusters(posts), dtype=object), clean)
    rows = measure(place, before, seed=seed, min_slice=min_slice)
    worst, flags = clean.scores, clean.flagged
    for name, after in attacked(posts, texts, names, seed=seed):
        answers = contender.answer(after)
        changed = np.array([a != b for a, b in zip(texts, after, strict=True)], dtype=np.bool_)
        at = replace(place, attack=name, note=_note(name, seen))
        if name == MIXED:
            if (mixed := ~machine & changed).any():
                rows.append(at.row("flagged_mixed", before.share(answers.flagged, mixed)))
        else:
            scores = answers.scores
            worst = np.where(machine, np.fmin(worst, scores), np.fmax(worst, scores))
            flags = np.where(machine, flags & answers.flagged, flags | answers.flagged)
            rows += _people(at, before, answers.flagged)
        rows += _machines(at, before, answers, seed=seed)
        rows.append(at.row("changed", before.share(changed)))
    if names:
        at = replace(place, attack=WORST, note=f"k = {len(names)}")
        rows += _people(at, before, flags)
        answers = replace(clean, scores=worst, flagged=flags)
        rows += _machines(at, before, answers, seed=seed)
    return rows


def _note(name: str, seen: Collection[str]) -> str:
    attack = ATTACKS.get(name)
    known = ["seen family"] if (attack.family if attack else MIXED) in seen else []
    return "; ".join(known + ["undone by normalisation"] * bool(attack and attack.undone))


def _people(at: Place, before: Judged, flagged: NDArray[np.bool_]) -> list[Row]:
    human, clean = before.labels == 0, before.answers
    if not human.any():
        return []
    newly = before.share(flagged & ~clean.flagged, human)
    return [
        at.row("fpr", before.share(flagged, human), threshold=clean.threshold),
        at.row("newly_flagged", newly),
    ]


def _machines(at: Place, before: Judged, answers: Answers, *, seed: int) -> list[Row]:
    """Measure attacked machine posts against people's posts as they were."""
    machine, clean = before.labels == 1, before.answers
    if not machine.any():
        return []
    scores = np.where(machine, answers.scores, clean.scores)
    flagged = np.where(machine, answers.flagged, clean.flagged)
    after = replace(answers, scores=scores, flagged=flagged)
    rows = measure(at, replace(before, answers=after), seed=seed, shown=("auroc", "tpr"))
    lost = compare(at, before, after, seed=seed)
    return [*rows, lost | {"metric": "auroc_lost", "p_value": None}]
