"""What posts are sliced by: columns, and what follows from them (length, year, characters)."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from textdetect.posts.corpus import Posts
from textdetect.posts.text import MENTION, URL, n_words, normalise

DIMENSIONS: Final = (
    *("source", "language", "domain", "generator", "length", "account", "year", "characters"),
)
LENGTHS: Final = (8, 16, 32, 64, 128)
"""Upper ends of the length bins, in words (a Chinese character counts as one)."""
_HAN: Final = re.compile("[\u4e00-\u9fff]")
_KANA: Final = re.compile("[\u3040-\u30ff]")
_LATIN: Final = re.compile("[A-Za-z]{2,}")


def dimension(posts: Posts, name: str) -> NDArray[np.object_]:
    """Give each post's value in one of `DIMENSIONS`, shape (n,); "" where it is unknown."""
    if name == "year":
        return np.array([stamp[:4] for stamp in posts.column("timestamp")], dtype=object)
    if name == "characters":
        return np.array([characters(normalise(text or "")) for text in posts.texts], dtype=object)
    if name != "length":
        return posts.column(name)
    bins = [f"{low + 1}-{high} words" for low, high in pairwise((0, *LENGTHS))]
    bins.append(f"over {LENGTHS[-1]} words")
    counts = [max(1, n_words(normalise(text or ""))) for text in posts.texts]
    return np.array([bins[int(np.searchsorted(LENGTHS, n))] for n in counts], dtype=object)


def characters(normalised: str) -> str:
    """Tell how a Chinese text is written; "" for one without a Chinese character, or with kana.

    Characters that only one of the national character sets has (Big5, GB 2312) tell traditional
    from simplified; two Latin words and more are a mix, links and @names aside.

    >>> characters("这家店很好"), characters("這家店很好"), characters("打卡 happy hour 啦")
    ('simplified', 'traditional', 'with Latin words')
    """
    if not _HAN.search(normalised) or _KANA.search(normalised):
        return ""
    big5, gb = (sum(map(known.__contains__, normalised)) for known in _national())
    if big5 > gb:
        return "traditional"
    bare = normalised.replace(URL, " ").replace(MENTION, " ")
    return "with Latin words" if len(_LATIN.findall(bare)) >= 2 else "simplified"


@cache
def _national() -> tuple[frozenset[str], frozenset[str]]:
    """Give the characters of Big5 that GB 2312 lacks, and those of GB 2312 that Big5 lacks."""
    han = [chr(point) for point in range(0x4E00, 0x9FFF + 1)]
    big5, gb = ({c for c in han if c.encode(name, "ignore")} for name in ("big5", "gb2312"))
    return frozenset(big5 - gb), frozenset(gb - big5)
