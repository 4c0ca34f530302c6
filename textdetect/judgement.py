"""The rule that turns scores into verdicts; it knows nothing of models, files or threads."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect.calibration import Calibration
from textdetect.text import MAX_RAW_CHARS, has_words, notes
from textdetect.types import Scores, objects

MIN_WORDS: Final = 4
"""Fewer different words than this (a Chinese character counts as one) can't carry a verdict."""
_TAG: Final = re.compile(r"</?[a-z][^<>\s]*(?:\s[^<>]*=[^<>]*)?/?>", re.IGNORECASE)


def judge(
    texts: Sequence[str],
    scores: Scores,
    languages: Sequence[str],
    *,
    raw: Sequence[str | None],
    calibration: Calibration,
    listed: Collection[str],
    max_fpr: float,
) -> dict[str, NDArray[Any]]:
    """Return the fields of `Verdict` as columns, shape (n,) each.

    The reason is the first that holds of empty, no_own_words, too_short, unsupported_language and
    too_few_calibration; a post without one is flagged where p ≤ `max_fpr`; one that is neither
    flagged nor below one half in probability is inconclusive.

    Args:
        texts: as the model saw them; only their words are counted.
        scores: of those texts; NaN logit = empty.
        languages: of each.
        raw: the texts as they came: for notes, and to tell what has no words from what has none of
            the account's own.
        listed: languages that the model answers for.
    """
    p_value, floor = calibration.p_values(scores.logits, scores.n_tokens, languages)
    probability = calibration.probabilities(p_value, scores.n_tokens, languages)
    reason = np.full(len(texts), None, dtype=object)
    empty, supported = np.isnan(scores.logits).tolist(), (floor <= max_fpr).tolist()
    for i, text in enumerate(texts):  # over plain lists: an array's items are slow to come by
        if empty[i]:
            reason[i] = "no_own_words" if _shows_words(raw[i]) else "empty"
        elif not has_words(text, MIN_WORDS):
            reason[i] = "too_short"
        elif languages[i] not in listed:
            reason[i] = "unsupported_language"
        elif not supported[i]:
            reason[i] = "too_few_calibration"
    sure = np.array([why is None for why in reason], dtype=np.bool_)
    flagged = sure & (p_value <= max_fpr)
    label = np.full(len(texts), "uncertain", dtype=object)
    label[flagged] = "machine"
    label[sure & ~flagged & (probability < 0.5)] = "not_flagged"
    reason[sure & (label == "uncertain")] = "inconclusive"
    return {
        "label": label,
        "probability": probability,
        "logit": scores.logits,
        "p_value": p_value,
        "flagged": flagged,
        "language": np.array(languages, dtype=object),
        "reason": reason,
        "n_tokens": scores.n_tokens,
        "truncated": scores.truncated,
        "notes": objects([notes(text or "") for text in raw]),
    }


def _shows_words(raw: str | None) -> bool:
    """Tell whether a reader would see words in a post, whoever's; fillers are blank letters."""
    plain = html.unescape(_TAG.sub("", (raw or "")[:MAX_RAW_CHARS]))
    return any(c.isalnum() and c not in "\u115f\u1160\u3164\uffa0" for c in plain)
