"""The seam to the heavy world: what every engine gives, and one that gives it without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable
from zlib import crc32

import numpy as np

from textdetect.posts.scored import Scores


@runtime_checkable
class Runtime(Protocol):
    """Texts → logits. A text's logit never depends on the texts beside it.

    Attributes:
        fingerprint: weights + tokenizer + normalisation + max_length, as one hash.
        numerics: engine and number type, "onnxruntime-fp32": what a calibration belongs to.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def numerics(self) -> str: ...

    def run(self, texts: Sequence[str]) -> Scores:
        """Score texts, already normalised as the model expects; order and count are kept."""
        ...


def _by_hash(text: str) -> float:
    return (crc32(text.encode("utf-8", "replace")) % 20_001 - 10_000) / 1_000


class StubRuntime:
    """A runtime for tests: a logit is any function of the text; by default a hash, in [-10, 10].

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
