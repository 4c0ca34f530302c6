"""Which training posts are seen, how often and how much of each; it knows nothing of models."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textdetect.config import DataConfig
from textdetect.errors import DataError
from textdetect.posts.corpus import Posts
from textdetect.posts.splits import draw


@dataclass(frozen=True, slots=True)
class TrainingList:
    """The posts of one epoch.

    Attributes:
        rows: positions in the posts; a repeated post occurs several times.
        crops: tokens to cut each to, 0 for the whole post; shape of `rows`.
        offsets: where the cut begins, as a share of what could be skipped; shape of `rows`.
    """

    rows: NDArray[np.int64]
    crops: NDArray[np.int64]
    offsets: NDArray[np.float64]


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
    """
    source, language, domain, kind = (
        posts.column(name) for name in ("source", "language", "domain", "kind")
    )
    labels, texts = posts.labels, posts.column("text").tolist()
    usable = (part == "train") & np.isin(kind, ("human", "machine"))
    usable &= ~np.isin(source, list(config.evaluation_only))
    genres: Counter[tuple[str, str, int]] = Counter()
    cells: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for row in np.flatnonzero(usable):
        genres[language[row], domain[row], int(labels[row])] += 1
        cells[source[row], language[row], int(labels[row])].append(int(row))
    rows = []
    for (name, code, label), members in sorted(cells.items()):
        most = config.max_rows
        if (name, code, 1 - label) not in cells:
            most = min(most, sum(genres[code, d, 1 - label] for d in set(domain[members])))
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
    return TrainingList(chosen, crops, offsets)


def _copy_numbers(rows: list[int]) -> list[int]:
    seen: Counter[int] = Counter()
    numbers = []
    for row in rows:
        numbers.append(seen[row])
        seen[row] += 1
    return numbers
