"""transformers + torch: the reference runtime, and the one for GPUs; any sequence classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from textdetect._optional import require
from textdetect.checkpoint import Checkpoint
from textdetect.errors import InvalidInput
from textdetect.runtimes.batching import batches, pad
from textdetect.types import Scores

_TOKENS_ON_GPU: Final = 65_536
"""Tokens of a batch on a GPU, which small ones leave idle."""


class HfRuntime:
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
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, model_max_length=self.max_length
        )
        backend = self._tokenizer.backend_tokenizer
        backend.no_padding()
        backend.enable_truncation(self.max_length)
        self._pad_id = int(self._tokenizer.pad_token_id or 0)
        self._machine = machine_index(self._model.config, machine_label)
        self.fingerprint = checkpoint.fingerprint
        kind, self._on_gpu = self._device.type, self._device.type == "cuda"
        has_bf16 = self._on_gpu and torch.cuda.is_bf16_supported()
        self._half = dtype == "bf16" or (dtype == "auto" and has_bf16)
        if self._half:
            _keep_last_layer(torch, self._model, kind)
        number_type = "bf16" if self._half else "fp32"
        self.numerics = f"torch-{number_type}" if kind == "cpu" else f"torch-{kind}-{number_type}"

    def run(self, texts: Sequence[str]) -> Scores:
        """Score texts; see `Runtime`."""
        torch = self._torch
        encodings = self._tokenizer.backend_tokenizer.encode_batch_fast(list(texts))
        ids = [encoding.ids for encoding in encodings]
        special = self._tokenizer.num_special_tokens_to_add()
        logits = np.empty(len(ids), dtype=np.float64)
        most = {"max_tokens": _TOKENS_ON_GPU, "max_texts": _TOKENS_ON_GPU} if self._on_gpu else {}
        found = []
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half),
        ):
            for rows, width in batches(
                [len(row) for row in ids], max_length=self.max_length, **most
            ):
                arrays = pad(ids, rows, width, pad_id=self._pad_id)
                input_ids, mask = (self._sent(torch.from_numpy(array)) for array in arrays)
                found.append((rows, self._model(input_ids=input_ids, attention_mask=mask).logits))
        for rows, out in found:  # a GPU is waited for here, when it has all of the work
            logits[rows] = binary_logit(out.double().cpu().numpy(), self._machine)
        return Scores(
            logits=logits,
            n_tokens=np.array([len(row) - special for row in ids], dtype=np.int64),
            truncated=np.array([bool(encoding.overflowing) for encoding in encodings], np.bool_),
        )

    def _sent(self, array: Any) -> Any:
        """Send an array to the device, to a GPU without waiting for it."""
        if self._on_gpu:
            array = array.pin_memory()
        return array.to(self._device, non_blocking=self._on_gpu)


def _keep_last_layer(torch: Any, model: Any, kind: str) -> None:
    """Let the layer that gives the logits compute in float32 whatever is around it."""
    n_labels = model.config.num_labels
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    last = [layer for layer in linear if layer.out_features == n_labels][-1:]
    for layer in last:
        forward = layer.forward

        def exact(x: Any, forward: Any = forward) -> Any:
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
        raise InvalidInput(
            f"no such device: {name!r}; expected 'cpu', 'cuda', 'cuda:0' …"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("device='cuda' asked for, but torch sees no GPU here; use device='cpu'")
    return device


def _max_length(config: Any) -> int:
    """Tokens that someone else's model reads: its positions, less RoBERTa's two reserved ones."""
    positions = int(getattr(config, "max_position_embeddings", 512) or 512)
    reserved = (
        2 if getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert") else 0
    )
    return min(512, positions - reserved)
