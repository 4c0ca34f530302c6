"""The seam to the heavy world: what every engine gives, and nothing of how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from textdetect.types import Scores


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
