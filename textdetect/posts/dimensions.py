"""What posts are sliced by: columns, and what follows from them (length, year)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from textdetect.posts.corpus import Posts
from textdetect.text import n_words, normalise

DIMENSIONS: Final = ("source", "language", "domain", "generator", "length", "account", "year")
LENGTHS: Final = (8, 16, 32, 64, 128)
"""Upper ends of the length bins, in words (a Chinese character counts as one)."""


def dimension(posts: Posts, name: str) -> NDArray[np.object_]:
    """Give each post's value in one of `DIMENSIONS`, shape (n,); "" where it is unknown."""
    if name == "year":
        return np.array([stamp[:4] for stamp in posts.column("timestamp")], dtype=object)
    if name != "length":
        return posts.column(name)
    ends = [*LENGTHS, None]
    bins = [
        f"{low + 1}-{high} words" if high else f"over {low} words"
        for low, high in zip((0, *LENGTHS), ends, strict=True)
    ]
    counts = [max(1, n_words(normalise(text or ""))) for text in posts.texts]
    return np.array([bins[int(np.searchsorted(LENGTHS, n))] for n in counts], dtype=object)
