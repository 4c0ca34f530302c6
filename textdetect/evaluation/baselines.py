"""Rivals that need no download; every figure of ours stands beside one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdetect._optional import require

_MAX_CHARS = 1_500


class BagOfWords:
    """Character 2–4-grams and word 1–2-grams, tf-idf, logistic regression.

    The classic rival of a fine-tuned transformer, and a strong one on generators it has seen.

    Args:
        seed: of the solver.
        n_features: hashed features of each of the two kinds.
    """

    def __init__(self, *, seed: int = 0, n_features: int = 2**19) -> None:
        pipeline = require("sklearn.pipeline", extra="train")
        text = require("sklearn.feature_extraction.text", extra="train")
        linear = require("sklearn.linear_model", extra="train")
        hashed = {
            "n_features": n_features,
            "alternate_sign": False,
            "norm": None,
            "dtype": np.float32,
        }
        grams = pipeline.make_union(
            text.HashingVectorizer(analyzer="char", ngram_range=(2, 4), **hashed),
            text.HashingVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", **hashed),
        )
        self._model: Any = pipeline.make_pipeline(
            grams,
            text.TfidfTransformer(sublinear_tf=True),
            linear.SGDClassifier(
                loss="log_loss",
                alpha=2e-6,
                max_iter=20,
                class_weight="balanced",
                average=True,
                random_state=seed,
            ),
        )

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> BagOfWords:
        """Fit on normalised texts; labels 0 human, 1 machine."""
        self._model.fit([text[:_MAX_CHARS] for text in texts], labels)
        return self

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return logits, shape (n,), higher = more machine-like."""
        clipped = [text[:_MAX_CHARS] for text in texts]
        return np.asarray(self._model.decision_function(clipped), dtype=np.float64)
