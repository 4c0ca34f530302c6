"""What gives a label away and is no writing: length, marks, links; it evens that out.

A detector that learns these of its sources is worth nothing on others. It knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.posts.text import MENTION, URL, n_words

_MARKS: Final = tuple(
    re.compile(mark)
    for mark in (
        r"[.!?。！？…~～]\W*$",
        r"^[a-z]",
        r"[\"“”«»「」『』]",
        r"[’']",
        r"#\w",
        r"[\U0001F000-\U0001FAFF\u2600-\u27bf]",
        r"[!！]",
        r"[?？]",
        r"[,，、]",
        r"[:：;；]",
        r"[-–—]",
        r"\.\.\.|…",
        r"[()（）\[\]【】]",
        r"\d",
        r"\n",
    )
)
_FEWEST: Final = 50
_FULL: Final = 0.25
"""Overlap weight from which on a post is always taken; where the cues say nothing, it is .5."""


def cues(texts: Sequence[str]) -> NDArray[np.float64]:
    """Give the cues of normalised texts, shape (n, k): counts as logarithms, and marks as 0 or 1.

    >>> cues(["so good!", "So good"]).shape
    (2, 20)
    """
    rows = [
        [
            np.log1p(n_words(text)),
            np.log1p(n_words(text)) ** 2,
            text.count(URL),
            text.count(MENTION),
            sum(map(str.isupper, text)) / max(1, len(text)),
            *(mark.search(text) is not None for mark in _MARKS),
        ]
        for text in texts
    ]
    return np.array(rows, dtype=np.float64).reshape(len(texts), 5 + len(_MARKS))


def chances(
    found: NDArray[np.float64], labels: NDArray[np.int64], cells: NDArray[Any]
) -> NDArray[np.float64]:
    """Give the chance with which each post is taken, so that cues tell less of its label.

    Within each cell (a language and genre) a logistic regression on the cues gives each post's
    overlap weight: the chance that its cues belong to the other class. Posts are taken in
    proportion to it, up to a quarter, and always above (Li, Morgan & Zaslavsky, "Balancing
    covariates via propensity score weighting", JASA 2018, section 3.1).

    Args:
        found: what `cues` gave, shape (n, k).
        labels: 0 human, 1 machine; shape (n,).
        cells: posts with equal values are compared with each other; shape (n,).

    Returns:
        In (0, 1], shape (n,); 1 in cells with fewer than fifty posts of a class.
    """
    linear = require("sklearn.linear_model", extra="train")
    pipeline = require("sklearn.pipeline", extra="train")
    preprocessing = require("sklearn.preprocessing", extra="train")
    taken = np.ones(len(labels))
    for cell in sorted(set(cells.tolist())):
        rows = np.flatnonzero(cells == cell)
        if min(np.bincount(labels[rows], minlength=2)) < _FEWEST:
            continue
        model = pipeline.make_pipeline(
            preprocessing.StandardScaler(),
            linear.LogisticRegression(class_weight="balanced", max_iter=300),
        ).fit(found[rows], labels[rows])
        machine = model.predict_proba(found[rows])[:, 1]
        weight = np.where(labels[rows] == 1, 1 - machine, machine)
        taken[rows] = np.minimum(1.0, weight / _FULL)
    return taken
