"""transformers + torch: the reference runtime, and the one for GPUs; any sequence classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput
from textdetect.model.checkpoint import Checkpoint
from textdetect.model.runtimes.batching import BatchRuntime
from textdetect.posts.scored import Scores

_TOKENS_ON_GPU: Final = 65_536
"""Tokens of a batch on a GPU, which small ones leave idle."""


class HfRuntime(BatchRuntime):
    """Run a transformers classifier, in float32 or with matrix products in bf16.

    On a GPU, batches are large, the next one is made while one is computed, and logits come back
    when all are under way. The last layer is computed in float32 in any case: in bf16 a logit would
    have three digits. In bf16 torch chooses its kernels by a batch's size, so that a logit moves by
    up to about 0.01 with the number of posts beside it.

    Args:
        checkpoint: ours or anyone's.
        device: "cpu", "cuda", "cuda:1" ...; None is "cpu".
        dtype: "fp32", "bf16", or "auto": bf16 on a GPU that has it, fp32 otherwise.
        machine_label: the class that means machine-written, by name or index; ours need none.

    Raises:
        InvalidInput: a device that is not here, or a label that the model does not have.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str | None = None,
        dtype: Literal["auto", "fp32", "bf16"] = "auto",
        machine_label: str | int | None = None,
    ) -> None:
        self._torch = torch = require("torch", extra="train")
        transformers = require("transformers", extra="train")
        self._device = torch_device(torch, device)
        folder = str(checkpoint.folder)
        self._model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
        self._model.eval().to(self._device)
        manifest = checkpoint.manifest
        self.max_length = manifest.max_length if manifest else _max_length(self._model.config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, model_max_length=self.max_length
        )
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self.tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.max_length)
        self._machine = machine_index(self._model.config, machine_label)
        self.fingerprint = checkpoint.fingerprint
        kind, self._on_gpu = self._device.type, self._device.type == "cuda"
        has_bf16 = self._on_gpu and torch.cuda.is_bf16_supported()
        self._half = dtype == "bf16" or (dtype == "auto" and has_bf16)
        if self._on_gpu:
            self.batch_sizes = {"max_tokens": _TOKENS_ON_GPU, "max_texts": _TOKENS_ON_GPU}
        if self._half:
            _keep_last_layer(torch, self._model, kind)
        number_type = "bf16" if self._half else "fp32"
        self.numerics = f"torch-{number_type}" if kind == "cpu" else f"torch-{kind}-{number_type}"

    def run(self, texts: Sequence[str]) -> Scores:
        """Score texts; see `Runtime`."""
        torch = self._torch
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half),
        ):
            return super().run(texts)

    def _logits(self, out: Any) -> NDArray[Any]:
        return np.asarray(binary_logit(out.double().cpu().numpy(), self._machine))

    def _infer(self, input_ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        """Run one batch; a GPU is sent its arrays, and not waited for."""
        tensors = [self._torch.from_numpy(array) for array in (input_ids, mask)]
        if self._on_gpu:
            tensors = [tensor.pin_memory() for tensor in tensors]
        ids, seen = (t.to(self._device, non_blocking=self._on_gpu) for t in tensors)
        return self._model(input_ids=ids, attention_mask=seen).logits


def _keep_last_layer(torch: Any, model: Any, kind: str) -> None:
    """Let the layer that gives the logits compute in float32 whatever is around it."""
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    for layer in [each for each in linear if each.out_features == model.config.num_labels][-1:]:

        def exact(x: Any, forward: Any = layer.forward) -> Any:
            with torch.autocast(kind, enabled=False):
                return forward(x.float())

        layer.forward = exact


def binary_logit(logits: Any, machine: int) -> Any:
    """Return log p(machine) - log p(not machine) of a classifier's logits; shape (n,).

    >>> import numpy as np
    >>> [binary_logit(np.array(x), i).tolist() for x, i in (([[1.0, 3.0]], 1), ([[2.0]], 0))]
    [[2.0], [2.0]]
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    others = np.delete(logits, machine, axis=1)
    return logits[:, machine] - np.logaddexp.reduce(others, axis=1)


def machine_index(config: Any, machine_label: str | int | None) -> int:
    """Find the class that means machine-written: "machine" unless another one is named."""
    names = {int(index): str(name) for index, name in config.id2label.items()}
    if len(names) == 1:
        return 0
    wanted = "machine" if machine_label is None else machine_label
    for index, name in names.items():
        if wanted == index or str(wanted).lower() == name.lower():
            return index
    raise InvalidInput(
        f"which class means machine-written? expected machine_label= one of "
        f"{sorted(names.values())}, got {machine_label!r}"
    )


def torch_device(torch: Any, name: str | None) -> Any:
    """Find a device by name; None is the processor."""
    try:
        device = torch.device(name or "cpu")
    except RuntimeError as error:
        message = f"no such device: {name!r}; expected 'cpu', 'cuda', 'cuda:0' …"
        raise InvalidInput(message) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("device='cuda' asked for, but torch sees no GPU here; use device='cpu'")
    return device


def _max_length(config: Any) -> int:
    """Tokens that someone else's model reads: its positions, less RoBERTa's two reserved ones."""
    positions = int(getattr(config, "max_position_embeddings", 512) or 512)
    family = getattr(config, "model_type", "")
    return min(512, positions - 2 * (family in ("roberta", "xlm-roberta", "camembert")))
