"""How many posts of each kind, and how much of each, a run calibrates and measures on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdetect.posts import Posts
from textdetect.posts.splits import at_most, draw
from textdetect.text import first_words, n_words, normalise


def capped(posts: Posts, usable: NDArray[Any], seed: int, most: tuple[int, int]) -> NDArray[Any]:
    """Choose at most `most` (humans, machines) of the usable posts of each source and language."""
    by = (posts.column("source"), posts.column("language"), posts.labels)
    return at_most(np.array(most)[posts.labels], posts, usable, by, seed=seed, what="measure")


def cut_short(
    texts: Sequence[str | None], lengths: Sequence[Sequence[int]], *, seed: int
) -> list[str]:
    """Return the first words of each text that is longer than all of `lengths`.

    A text is cut once for each group of lengths, to one of them, which is drawn: groups a range of
    tokens apart keep most excerpts of a text in different ranges.

    >>> cut_short(["One two three four.", "One two."], [[1], [2, 3]], seed=0)
    ['One', 'One two']
    """
    longest = max((most for group in lengths for most in group), default=0)
    cut = []
    for text in (normalise(text or "") for text in texts if longest):
        if n_words(text, most=longest + 1) > longest:
            for group in lengths:
                place = int(len(group) * draw(seed, "cut short", str(group[0]), text))
                cut.append(first_words(text, group[place]))
    return cut
