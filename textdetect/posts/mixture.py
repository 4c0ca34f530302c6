"""Which training posts are seen, how often and how much of each; it knows nothing of models."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.config import DataConfig, check
from textdetect.errors import DataError
from textdetect.posts.attacks import ATTACKS, Attack
from textdetect.posts.corpus import Posts
from textdetect.posts.cues import chances, cues
from textdetect.posts.dimensions import DIMENSIONS, dimension
from textdetect.posts.splits import draw, ties
from textdetect.posts.text import normalise, without


@dataclass(frozen=True, slots=True)
class TrainingList:
    """The posts of one epoch.

    Attributes:
        rows: positions in the posts; a repeated post occurs several times.
        crops: tokens to cut each to, 0 for the whole post; shape of `rows`.
        offsets: where the cut begins, as a share of what could be skipped; shape of `rows`.
        no_links, no_names: bool, which lose their links and their @names; shape of `rows`.
        attacks: what is done to each, None for nothing; as long as `rows`.
    """

    rows: NDArray[np.int64]
    crops: NDArray[np.int64]
    offsets: NDArray[np.float64]
    no_links: NDArray[np.bool_]
    no_names: NDArray[np.bool_]
    attacks: tuple[Attack | None, ...]

    def take(self, places: NDArray[np.int64]) -> TrainingList:
        """Return the list of some of its posts, by their places in it."""
        return TrainingList(
            self.rows[places],
            self.crops[places],
            self.offsets[places],
            self.no_links[places],
            self.no_names[places],
            tuple(self.attacks[place] for place in places),
        )

    def texts(self, normalised: Sequence[str]) -> list[str]:
        """Return the texts of the list; `normalised` are those of all posts, in their order."""
        texts = []
        for row, links, names, attack in zip(
            self.rows, self.no_links, self.no_names, self.attacks, strict=True
        ):
            text = without(normalised[row], links=bool(links), names=bool(names))
            text = text or normalised[row]
            texts.append((attack and normalise(attack(text, seed=0))) or text)
        return texts


def training_list(
    posts: Posts,
    part: NDArray[np.object_],
    config: DataConfig,
    *,
    seed: int,
    first_copy: int = 0,
) -> TrainingList:
    """Choose the training posts: human and machine ones of the train part, capped alike.

    At most `max_rows` posts for each source, language and class: that balances the classes inside
    a source, and the sources among each other.

    A source that has one class only in a language trains only where other sources have the other
    class in that language and domain, and is seen no more often than they are; otherwise a model
    would learn the genre. What they repeat, it may match with posts of its own. Posts that a
    machine post was written beside come first where a cap leaves some out.

    Args:
        first_copy: number of a post's first copy. Each copy is cut and attacked in its own way: a
            training that goes on from another begins where that one's copies ended.

    Raises:
        DataError: nothing is left, or one class only.
        ConfigError: `leave_out` names no dimension.
    """
    source, language = posts.column("source"), posts.column("language")
    domain, usable = genre(posts, config), _usable(posts, part, config)
    labels, texts = posts.labels, posts.column("text").tolist()
    genres: Counter[tuple[str, str, int]] = Counter()
    cells: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    if config.even:
        usable = _evened(posts, usable, domain, config, seed)
    twins = set(posts.column("group")[usable & (labels == 1)]) - {""}
    first = np.array([tie in twins for tie in ties(posts)])
    for row in np.flatnonzero(usable):
        times = config.repeat.get(source[row], 1)
        genres[language[row], domain[row], int(labels[row])] += times
        cells[source[row], language[row], int(labels[row])].append(int(row))
    rows = []
    for (name, code, label), members in sorted(cells.items()):
        most, times = config.max_rows, config.repeat.get(name, 1)
        if (name, code, 1 - label) not in cells:
            members = [row for row in members if genres[code, domain[row], 1 - label]]
            others = {domain[row]: genres[code, domain[row], 1 - label] for row in members}
            most = min(most, sum(others.values()) // times)
        if name not in config.own_split:
            members = sorted(
                members, key=lambda row: (not first[row], draw(seed, "cap", texts[row]))
            )[:most]
        rows += members * times
    if len({int(labels[row]) for row in rows}) < 2:
        raise DataError("training needs posts of both classes; check the sources and parts")
    chosen = np.array(rows, dtype=np.int64)
    n_copies, copies = Counter[int](), []
    for position in rows:
        copies.append((texts[position], str(first_copy + n_copies[position])))
        n_copies[position] += 1
    pick = [int(len(config.crops) * draw(seed, "crop", *copy)) for copy in copies]
    crops = np.array([config.crops[i] if config.crops else 0 for i in pick], dtype=np.int64)
    offsets = np.array([draw(seed, "offset", *copy) for copy in copies])
    offsets[offsets < 0.5] = 0.0
    no_links, no_names = (
        np.array([draw(seed, what, *copy) < config.drop_links for copy in copies], dtype=np.bool_)
        for what in ("links", "names")
    )
    attacks = tuple(_attack(config.augment, seed, copy) for copy in copies)
    return TrainingList(chosen, crops, offsets, no_links, no_names, attacks)


def hardest(
    posts: Posts, listed: TrainingList, logits: NDArray[np.float64], share: float, *, seed: int
) -> TrainingList:
    """Keep the posts of a list that a model gets most wrong, their counterparts, and some others.

    Args:
        logits: of the list's texts, in its order, higher = more machine-like.
        share: of each language and class, in (0, 1].

    Returns:
        That share of each cell, people from the highest score down and machines from the lowest
        up; those of the other class that are in one group with these; a third as many of the rest.
    """
    labels, language = posts.labels[listed.rows], posts.column("language")[listed.rows]
    wrong = np.where(labels == 1, -logits, logits)
    kept = np.zeros(len(labels), dtype=np.bool_)
    for code, label in sorted(set(zip(language, labels.tolist(), strict=True))):
        cell = np.flatnonzero((language == code) & (labels == label))
        worst_first = cell[np.argsort(-wrong[cell], kind="stable")]
        kept[worst_first[: int(np.ceil(share * len(cell)))]] = True
    group = ties(posts)[listed.rows]
    for label in (0, 1):
        theirs = set(group[kept & (labels == 1 - label)]) - {""}
        kept |= (labels == label) & np.isin(group, list(theirs))
    hard, rest = np.flatnonzero(kept), np.flatnonzero(~kept)
    drawn = np.random.default_rng(seed).choice(rest, min(len(rest), len(hard) // 3), replace=False)
    return listed.take(np.sort(np.append(hard, drawn)))


def genre(posts: Posts, config: DataConfig) -> NDArray[np.object_]:
    """Give each post's genre as a config counts it, shape (n,)."""
    return np.array([config.genres.get(d, d) for d in posts.column("domain")], dtype=object)


def _evened(
    posts: Posts,
    usable: NDArray[np.bool_],
    domain: NDArray[np.object_],
    config: DataConfig,
    seed: int,
) -> NDArray[np.bool_]:
    """Leave out some of the posts whose cues give their label away; a whole source's never."""
    rows = np.flatnonzero(usable)
    texts = [normalise(text or "") for text in posts.take(rows).texts]
    language = posts.column("language")[rows]
    cells = np.array([f"{a} {b}" for a, b in zip(language, domain[rows], strict=True)])
    found = chances(cues(texts), posts.labels[rows], cells)
    own = np.isin(posts.column("source")[rows], [*config.own_split, *config.repeat])
    kept = np.array([draw(seed, "even", text) for text in texts]) < found
    evened = usable.copy()
    evened[rows] = kept | own
    return evened


def _attack(shares: dict[str, float], seed: int, copy: tuple[str, str]) -> Attack | None:
    """Draw the attack of one copy of a post, with a fifth to twice its usual budget."""
    place = draw(seed, "attack", *copy)
    for family, share in sorted(shares.items()):
        known = [a for a in ATTACKS.values() if a.family == family and not a.undone]
        check(bool(known), "data.augment", "families of attacks that last", family)
        if place < share:
            chosen = known[int(len(known) * draw(seed, "which", *copy))]
            strength = 0.2 * 10.0 ** draw(seed, "strength", *copy)
            return replace(chosen, budget=min(1.0, chosen.budget * strength))
        place -= share
    return None


def _usable(posts: Posts, part: NDArray[np.object_], config: DataConfig) -> NDArray[np.bool_]:
    """Mark the human and machine posts of the train part that a config lets train."""
    usable: NDArray[np.bool_] = (part == "train") & posts.classed
    usable &= ~np.isin(posts.column("source"), list(config.evaluation_only))
    for name, values in config.leave_out.items():
        check(name in DIMENSIONS, "data.leave_out", f"some of {', '.join(DIMENSIONS)}", name)
        usable[usable] = ~np.isin(dimension(posts.take(usable), name), list(values))
    return usable
