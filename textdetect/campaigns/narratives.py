"""A campaign's posts → its narratives: messages that several of its accounts posted, and when.

A narrative here is a cluster of near-identical texts; what its reworded versions have in common it
does not see.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textdetect.campaigns.tactics import Codebook
from textdetect.campaigns.texts import near_identical
from textdetect.campaigns.traces import OBJECTS, Dump, objects_of

MIN_ACCOUNTS: Final = 3
"""What fewer accounts of a campaign posted is no narrative of it."""
_MOST: Final = 500
"""Narratives of a campaign that are described: its most posted."""
_N_TERMS: Final = 6
_BACKGROUND: Final = 20_000
_TERM: Final = re.compile(r"[\u3400-\u9fff]+|[^\W\d_]{3,}(?:['-][^\W\d_]+)*")

SCHEMA: Final = pa.schema(
    [
        ("campaign", pa.int64()),
        ("narrative", pa.int64()),
        ("n_posts", pa.int64()),
        ("n_accounts", pa.int64()),
        ("first_row", pa.int64()),
        ("rows", pa.list_(pa.int64())),
        ("first", pa.timestamp("us", "UTC")),
        ("last", pa.timestamp("us", "UTC")),
        ("half_within_h", pa.float64()),
        ("tactics", pa.list_(pa.string())),
        ("example", pa.string()),
        ("key_terms", pa.list_(pa.string())),
        ("targets", pa.list_(pa.string())),
    ]
)


def find_narratives(
    dump: Dump, campaign: NDArray[np.int64], *, near_duplicate: float, codebook: Codebook
) -> pa.Table:
    """Describe the messages of each campaign, the most posted first.

    Args:
        dump: the posts.
        campaign: number of each account's campaign, −1 for none; shape (n_accounts,).
        near_duplicate: overlap of shingles from which texts are one message.
        codebook: what suggests tactics, of a message's first post.

    Returns:
        Columns: campaign; narrative, its number in it; n_posts; n_accounts; first_row of the dump,
        the first post; rows, all of its posts; first, last, times; half_within_h, hours until half
        of the posts were out; tactics, suggested; example, the first post's text; key_terms, words
        that it has and other posts have less; targets, the most frequent values of the other
        columns.
    """
    posts = np.flatnonzero(campaign[dump.account] >= 0)
    if "text" not in dump.columns or not len(posts):
        return SCHEMA.empty_table()
    texts = dump.columns["text"]
    said, _ = objects_of(texts[posts], dump.marked[posts])
    clusters = near_identical(said, threshold=near_duplicate)
    of = campaign[dump.account[posts]]
    found: dict[tuple[int, int], list[int]] = {}
    for post, number, cluster in zip(posts, of, clusters, strict=True):
        if cluster >= 0:
            found.setdefault((int(number), int(cluster)), []).append(int(post))
    kept = [
        (number, members)
        for (number, _), members in found.items()
        if len(set(dump.account[members])) >= MIN_ACCOUNTS
    ]
    kept.sort(key=lambda one: (one[0], -len(one[1]), one[1][0]))
    common = _document_counts(texts[:: max(1, len(texts) // _BACKGROUND)])
    objects = {str(name): dump.columns[name] for name in OBJECTS if name in dump.columns}
    rows, counts = [], Counter[int]()
    for number, members in kept:
        counts[number] += 1
        if counts[number] <= _MOST:
            row = _described(dump, members, texts, objects, common, codebook)
            rows.append({"campaign": number, "narrative": counts[number] - 1} | row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _described(
    dump: Dump,
    members: Sequence[int],
    texts: NDArray[np.object_],
    objects: dict[str, NDArray[np.object_]],
    common: Counter[str],
    codebook: Codebook,
) -> dict[str, Any]:
    times = dump.time_s[members]
    example = str(texts[members[0]])
    return {
        "n_posts": len(members),
        "n_accounts": len(set(dump.account[members])),
        "first_row": int(dump.row[members[0]]),
        "rows": np.sort(dump.row[members]).tolist(),
        "first": datetime.fromtimestamp(float(times.min()), tz=UTC),
        "last": datetime.fromtimestamp(float(times.max()), tz=UTC),
        "half_within_h": round(float(np.median(times) - times.min()) / 3600, 3),
        "tactics": list(codebook.tactics([example])[0]),
        "example": example,
        "key_terms": _key_terms([texts[i] for i in members], common),
        "targets": [
            f"{name}: {value}"
            for name, values in objects.items()
            for value, n in Counter(v for v in values[members] if v).most_common(2)
            if n > len(members) / 4
        ],
    }


def _key_terms(texts: Sequence[str], common: Counter[str]) -> list[str]:
    """Give the terms of a message that most of its posts have, and other posts the least."""
    own = _document_counts(texts)
    scores = {
        term: n / len(texts) / (1 + common[term]) for term, n in own.items() if n > len(texts) / 2
    }
    return sorted(scores, key=lambda term: (-scores[term], term))[:_N_TERMS]


def _document_counts(texts: Iterable[str]) -> Counter[str]:
    return Counter(term for text in texts for term in set(_terms(text)))


def _terms(text: str) -> list[str]:
    """Give the words of a text, and the pairs of Chinese characters."""
    found = []
    for run in _TERM.findall(text.lower()):
        if run[0] >= "\u3400" and len(run) > 1:
            found += [run[i : i + 2] for i in range(len(run) - 1)]
        else:
            found.append(run)
    return found
