"""A runtime without a model, for tests of whatever stands on a runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np

from textdetect.types import Scores


def _by_hash(text: str) -> float:
    return (crc32(text.encode("utf-8", "replace")) % 20_001 - 10_000) / 1_000


class StubRuntime:
    """A runtime whose logit is any function of the text; by default a hash of it, in [-10, 10].

    >>> StubRuntime(lambda text: len(text)).run(["abc", "a b"]).logits.tolist()
    [3.0, 3.0]
    """

    def __init__(
        self,
        logit: Callable[[str], float] = _by_hash,
        *,
        fingerprint: str = "stub",
        numerics: str = "stub",
        max_tokens: int = 254,
    ) -> None:
        self.logit = logit
        self.fingerprint = fingerprint
        self.numerics = numerics
        self.max_tokens = max_tokens

    def run(self, texts: Sequence[str]) -> Scores:
        """Score texts; tokens are the words between blanks."""
        counts = np.array([len(text.split()) for text in texts], dtype=np.int64)
        return Scores(
            logits=np.array([self.logit(text) for text in texts], dtype=np.float64),
            n_tokens=np.minimum(counts, self.max_tokens),
            truncated=counts > self.max_tokens,
        )
