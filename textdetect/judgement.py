"""The rule that turns scores into verdicts, and the calls that ask for them.

It knows nothing of models, files or threads.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from textdetect.calibration import Calibration
from textdetect.errors import InvalidInput
from textdetect.text import MAX_RAW_CHARS, has_words, notes
from textdetect.types import Languages, Scores, Verdict, Verdicts, objects, row_index

MIN_WORDS: Final = 4
"""Fewer different words than this (a Chinese character counts as one) can't carry a verdict."""
_TAG: Final = re.compile(r"</?[a-z][^<>\s]*(?:\s[^<>]*=[^<>]*)?/?>", re.IGNORECASE)


class Predicting:
    """What judges posts, here or behind a URL: the calls that are answered alike."""

    @overload
    def predict(
        self,
        texts: str,
        *,
        max_fpr: float = ...,
        language: str | None = ...,
        progress: bool | None = ...,
    ) -> Verdict: ...
    @overload
    def predict(
        self,
        texts: Iterable[Any],
        *,
        max_fpr: float = ...,
        language: Languages = ...,
        progress: bool | None = ...,
    ) -> Verdicts: ...
    def predict(
        self,
        texts: str | Iterable[Any],
        *,
        max_fpr: float = 0.01,
        language: Languages = None,
        progress: bool | None = None,
    ) -> Verdict | Verdicts:
        """Judge posts: one str gives a `Verdict`, an iterable gives `Verdicts`, in its order.

        Args:
            texts: str, or an iterable of str and missing values (None, NaN), which are empty posts.
            max_fpr: share of human posts that may be flagged, in (0, 1).
            language: code (BCP-47) that replaces identification, for all or (a sequence with a
                code or None) for each.
            progress: show a bar; None: on a terminal, for more than a few seconds of work.

        Raises:
            InvalidInput: a text that is neither str nor missing (with its position), `max_fpr`
                outside (0, 1), languages of another length.
            NotCalibrated: the model gives scores only.
            TooFewCalibration: no stratum supports this `max_fpr`.
            NotAllowed, RequestTooLarge, ServerBusy, ServerError: a server gives no verdicts.
        """
        if isinstance(texts, str):
            if language is not None and not isinstance(language, str):
                raise InvalidInput("language: expected one code for one text")
            return next(self._judge([texts], max_fpr, language, progress=False))[0]
        parts = list(self._judge(texts, max_fpr, language, progress=progress))
        found = Verdicts.joined(parts or [self._none(max_fpr)])
        found.row_labels = row_index(texts)
        return found

    def predict_iter(
        self, texts: Iterable[Any], *, max_fpr: float = 0.01, language: Languages = None
    ) -> Iterator[Verdict]:
        """Judge an endless stream in flat memory; verdicts come in the order of the texts."""
        for verdicts in self._judge(texts, max_fpr, language, progress=False):
            yield from verdicts

    def _judge(
        self, texts: Iterable[Any], max_fpr: float, language: Languages, *, progress: bool | None
    ) -> Iterator[Verdicts]:
        """Judge some texts after others."""
        raise NotImplementedError

    def _none(self, max_fpr: float) -> Verdicts:
        """Give the verdicts on no texts."""
        raise NotImplementedError


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
