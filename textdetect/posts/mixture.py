"""Which training posts are seen, how often and how much of each; it knows nothing of models."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textdetect.config import DataConfig, check
from textdetect.errors import DataError
from textdetect.posts.corpus import Posts
from textdetect.posts.dimensions import DIMENSIONS, dimension
from textdetect.posts.splits import draw
from textdetect.text import without


@dataclass(frozen=True, slots=True)
class TrainingList:
    """The posts of one epoch.

    Attributes:
        rows: positions in the posts; a repeated post occurs several times.
        crops: tokens to cut each to, 0 for the whole post; shape of `rows`.
        offsets: where the cut begins, as a share of what could be skipped; shape of `rows`.
        no_links, no_names: bool, which lose their links and their @names; shape of `rows`.
    """

    rows: NDArray[np.int64]
    crops: NDArray[np.int64]
    offsets: NDArray[np.float64]
    no_links: NDArray[np.bool_]
    no_names: NDArray[np.bool_]

    def texts(self, normalised: Sequence[str]) -> list[str]:
        """Return the texts of the list; `normalised` are those of all posts, in their order."""
        flags = zip(self.rows, self.no_links, self.no_names, strict=True)
        return [
            without(normalised[row], links=bool(links), names=bool(names)) or normalised[row]
            for row, links, names in flags
        ]


def training_list(
    posts: Posts, part: NDArray[np.object_], config: DataConfig, *, seed: int
) -> TrainingList:
    """Choose the training posts: human and machine ones of the train part, capped alike.

    At most `max_rows` posts for each source, language and class: that balances the classes inside
    a source, and the sources among each other.

    A source that has one class only in a language trains only where other sources have the other
    class in that language and domain, and with no more posts than they have; otherwise a model
    would learn the genre.

    Raises:
        DataError: nothing is left, or one class only.
        ConfigError: `leave_out` names no dimension.
    """
    source, language, domain, kind = (
        posts.column(name) for name in ("source", "language", "domain", "kind")
    )
    labels, texts = posts.labels, posts.column("text").tolist()
    usable = (part == "train") & np.isin(kind, ("human", "machine"))
    usable &= ~np.isin(source, list(config.evaluation_only))
    for name, values in config.leave_out.items():
        check(name in DIMENSIONS, "data.leave_out", f"some of {', '.join(DIMENSIONS)}", name)
        usable[usable] = ~np.isin(dimension(posts.take(usable), name), list(values))
    genres: Counter[tuple[str, str, int]] = Counter()
    cells: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for row in np.flatnonzero(usable):
        genres[language[row], domain[row], int(labels[row])] += 1
        cells[source[row], language[row], int(labels[row])].append(int(row))
    rows = []
    for (name, code, label), members in sorted(cells.items()):
        most = config.max_rows
        if (name, code, 1 - label) not in cells:
            members = [row for row in members if genres[code, domain[row], 1 - label]]
            others = {domain[row]: genres[code, domain[row], 1 - label] for row in members}
            most = min(most, sum(others.values()))
        if name not in config.own_split:
            members = sorted(members, key=lambda row: draw(seed, "cap", texts[row]))[:most]
        rows += members * config.repeat.get(name, 1)
    if len({int(labels[row]) for row in rows}) < 2:
        raise DataError("training needs posts of both classes; check the sources and parts")
    chosen = np.array(rows, dtype=np.int64)
    copies = [(texts[row], str(n)) for row, n in zip(rows, _copy_numbers(rows), strict=True)]
    pick = [int(len(config.crops) * draw(seed, "crop", *copy)) for copy in copies]
    crops = np.array([config.crops[i] if config.crops else 0 for i in pick], dtype=np.int64)
    offsets = np.array([draw(seed, "offset", *copy) for copy in copies])
    offsets[offsets < 0.5] = 0.0
    no_links, no_names = (
        np.array([draw(seed, what, *copy) < config.drop_links for copy in copies], dtype=np.bool_)
        for what in ("links", "names")
    )
    return TrainingList(chosen, crops, offsets, no_links, no_names)


def _copy_numbers(rows: list[int]) -> list[int]:
    seen: Counter[int] = Counter()
    numbers = []
    for row in rows:
        numbers.append(seen[row])
        seen[row] += 1
    return numbers
