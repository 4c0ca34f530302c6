"""The rule that turns scores into verdicts, and the calls that ask for them.

It knows nothing of models, files or threads.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from textdetect.errors import InvalidInput
from textdetect.posts.scored import (
    Languages,
    ScoredPosts,
    Scores,
    Verdict,
    Verdicts,
    objects,
    row_index,
)
from textdetect.posts.text import MAX_RAW_CHARS, has_words, normalise, notes
from textdetect.statistics.calibration import Calibration, Codes

MIN_WORDS: Final = 4
"""Fewer different words than this (a Chinese character counts as one) can't carry a verdict."""
_TAG: Final = re.compile(r"</?[a-z][^<>\s]*(?:\s[^<>]*=[^<>]*)?/?>", re.IGNORECASE)


class ModelFacts(Protocol):
    """Which model, and which engine, gives scores."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def numerics(self) -> str: ...
    @property
    def languages(self) -> tuple[str, ...]: ...


class Judge(ModelFacts, Protocol):
    """What judges posts: a `Detector` here, a `Client` of one behind a URL, one of your own."""

    def predict(
        self,
        texts: Iterable[Any],
        *,
        max_fpr: float = ...,
        language: Languages = ...,
        progress: bool | None = ...,
    ) -> Verdicts:
        """Judge posts; see `Predicting.predict`."""
        ...


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


def scored_posts(
    texts: Sequence[str],
    scores: Scores,
    languages: Codes,
    calibration: Calibration | None,
    own_words: Sequence[str] | None = None,
) -> ScoredPosts:
    """Put beside the scores of posts what else their verdicts are taken from.

    Args:
        texts: as the model saw them; only their words are counted.
        scores: of each; NaN logit = empty.
        languages: of each.
        calibration: the model's, if it has one.
        own_words: the texts, normalised; None: they are.
    """
    p_value = floor = np.full(len(texts), np.nan)
    if calibration is not None:
        p_value, floor = calibration.p_values(scores.logits, scores.n_tokens, languages)
    hashes = text_hashes(texts if own_words is None else own_words)
    words = hashes > 0
    if own_words is not None:
        words = np.array([has_words(text, MIN_WORDS) for text in texts], dtype=np.bool_)
    languages = np.array(languages, dtype=object)
    return ScoredPosts(
        scores.logits, scores.n_tokens, scores.truncated, languages, p_value, floor, words, hashes
    )


def scored_by(verdicts: Verdicts, texts: Sequence[str | None]) -> ScoredPosts:
    """Make scored posts of the verdicts on them: enough for accounts; no rate is judged again.

    Args:
        verdicts: on the posts.
        texts: as they came.
    """
    own_words = text_hashes([normalise(text or "") for text in texts])
    return ScoredPosts(
        verdicts.logit,
        verdicts.n_tokens,
        verdicts.truncated,
        verdicts.language,
        verdicts.p_value,
        np.full(len(texts), np.nan),
        own_words > 0,
        own_words,
    )


def judge(
    posts: ScoredPosts,
    raw: Sequence[str | None],
    *,
    calibration: Calibration,
    listed: Collection[str],
    max_fpr: float,
) -> dict[str, NDArray[Any]]:
    """Return the fields of `Verdict` as columns, shape (n,) each.

    The reason is the first that holds of empty, no_own_words, too_short, unsupported_language and
    too_few_calibration; a post without one is "machine" where p ≤ `max_fpr`, the one threshold that
    there is, "not_flagged" where its probability is below one half, else "uncertain", inconclusive.

    Args:
        posts: as they were scored.
        raw: as they came: for notes, and to tell what has no words from what has none of the
            account's own.
        calibration: by which they were scored.
        listed: languages that the model answers for.
    """
    probability = calibration.probabilities(posts.p_value, posts.n_tokens, posts.language)
    unlisted = [code not in listed for code in posts.language.tolist()]
    reason = np.full(len(raw), None, dtype=object)
    reason[~(posts.floor <= max_fpr)] = "too_few_calibration"
    reason[np.array(unlisted, dtype=np.bool_)] = "unsupported_language"
    reason[~posts.has_words] = "too_short"
    for i in np.flatnonzero(np.isnan(posts.logit)).tolist():
        reason[i] = "no_own_words" if _shows_words(raw[i]) else "empty"
    sure = np.array([why is None for why in reason], dtype=np.bool_)
    flagged = sure & (posts.p_value <= max_fpr)
    label = np.full(len(raw), "uncertain", dtype=object)
    label[flagged] = "machine"
    label[sure & ~flagged & (probability < 0.5)] = "not_flagged"
    reason[sure & (label == "uncertain")] = "inconclusive"
    return {
        "label": label,
        "probability": probability,
        "logit": posts.logit,
        "p_value": posts.p_value,
        "flagged": flagged,
        "language": posts.language,
        "reason": reason,
        "n_tokens": posts.n_tokens,
        "truncated": posts.truncated,
        "notes": objects([notes(text or "") for text in raw]),
    }


def text_hashes(own_words: Sequence[str]) -> NDArray[np.uint64]:
    """Hash normalised texts into 64 bits each; 0 where one has too few words for a verdict.

    >>> bool((text_hashes(["so good to see you"]) > 0).all()), text_hashes(["so good"]).tolist()
    (True, [0])
    """
    digests = (
        blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        if has_words(text, MIN_WORDS)
        else bytes(8)
        for text in own_words
    )
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def _shows_words(raw: str | None) -> bool:
    """Tell whether a reader would see words in a post, whoever's; fillers are blank letters."""
    plain = html.unescape(_TAG.sub("", (raw or "")[:MAX_RAW_CHARS]))
    return any(c.isalnum() and c not in "\u115f\u1160\u3164\uffa0" for c in plain)
