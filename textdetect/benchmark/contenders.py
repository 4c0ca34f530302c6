"""Who is measured: this library by each of its runtimes, and others on the same weights.

All have the available cores, the same texts and the same truncation. It knows nothing of clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast, get_args

import numpy as np
from numpy.typing import NDArray

from textdetect._optional import require
from textdetect.benchmark.posts import made_posts
from textdetect.checkpoint import GRAPH, Checkpoint
from textdetect.detector import Detector
from textdetect.errors import MissingDependency, TextdetectError
from textdetect.runtimes.batching import pad
from textdetect.runtimes.choice import RuntimeName
from textdetect.runtimes.hf import HfRuntime
from textdetect.runtimes.host import available_cores
from textdetect.runtimes.protocol import Runtime
from textdetect.text import normalise

BATCH_SIZES: Final = (1, 8, 32, 64)
"""Of the transformers pipeline; 1 is what it does unless told otherwise."""
OURS: Final = "textdetect"
PIPELINE: Final = "pipeline, batch "
_ARRIVAL_BATCH: Final = 32
_Run = Callable[[list[str]], Sized]


@dataclass(frozen=True, slots=True)
class Contender:
    """One that scores posts.

    Attributes:
        run: texts → as many answers.
        raw: takes posts as they are written; the others get them normalised.
        number_type: "fp32", "bf16" or "int8", of one whose padding is ours, so that its operations
            can be counted; None otherwise.
        batch_size: posts that it wants at once, at least.
    """

    run: _Run
    raw: bool = False
    number_type: str | None = None
    batch_size: int = 1


def number_type(numerics: str) -> str | None:
    """Tell the number type of a numerics class; None where it is none whose peak is measured.

    >>> number_type("onnxruntime-fp32"), number_type("stub")
    ('fp32', None)
    """
    return next((part for part in numerics.split("-") if part in ("fp32", "bf16", "int8")), None)


def max_length(checkpoint: Checkpoint) -> int:
    """Tell how many tokens a model reads."""
    return checkpoint.manifest.max_length if checkpoint.manifest else 512


def ours(detector: Detector, max_fpr: float, skipped: dict[str, str]) -> dict[str, Contender]:
    """Give `Detector.predict` as it comes, and by each other runtime that has a calibration.

    Args:
        detector: loaded from a checkpoint with the default runtime.
        max_fpr: share of human posts that may be flagged, in (0, 1).
        skipped: takes up why a runtime is not there.
    """
    found = {OURS: detector}
    for runtime in get_args(RuntimeName):
        name = f"{OURS}, {runtime}"
        if runtime == "auto" or detector.checkpoint is None:
            continue
        try:
            other = Detector.from_pretrained(detector.checkpoint.folder, runtime=runtime)
        except TextdetectError as error:
            skipped[name] = str(error)
            continue
        if other.calibration is None:
            skipped[name] = f"no calibration for {other.runtime.numerics}"
        elif other.runtime.numerics != detector.runtime.numerics:
            found[name] = other
    return {
        name: Contender(
            cast(_Run, partial(each.predict, max_fpr=max_fpr, progress=False)),
            raw=True,
            number_type=number_type(each.runtime.numerics),
        )
        for name, each in found.items()
    }


def peers(
    checkpoint: Checkpoint, tokenizer: Any, skipped: dict[str, str], *, slow: bool = False
) -> dict[str, Contender]:
    """Give the others on the same weights, a bag of words, and the tokenizer by itself.

    Args:
        checkpoint: one of ours.
        tokenizer: see `runtimes.graph.light_tokenizer`.
        skipped: takes up why one is not there.
        slow: also those that take minutes to get ready.
    """
    makers: dict[str, Callable[[], Contender | dict[str, Contender]]] = {
        "pipeline": lambda: _pipelines(checkpoint),
        "torch, sorted batches": lambda: _alone(HfRuntime(checkpoint), "fp32"),
        "torch.compile, bf16": lambda: _compiled(checkpoint),
        "onnxruntime, as they come": lambda: _onnxruntime(checkpoint, tokenizer),
        "bag of words": _bag_of_words,
        "tokenizer alone": lambda: Contender(tokenizer.encode_batch_fast),
    }
    found: dict[str, Contender] = {}
    for name, make in makers.items():
        if name.startswith("torch.compile") and not slow:
            skipped[name] = "takes minutes to compile: ask for it with --full"
            continue
        try:
            made = make()
            found |= made if isinstance(made, dict) else {name: made}
        except (TextdetectError, RuntimeError) as error:  # compilers and engines fail with these
            skipped[name] = (str(error).splitlines() or [type(error).__name__])[0]
    return found


@contextmanager
def all_cores() -> Iterator[None]:
    """Let torch, if it is there, use the available cores."""
    try:
        torch = require("torch", extra="train")
    except MissingDependency:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pipelines(checkpoint: Checkpoint) -> dict[str, Contender]:
    """Give a transformers text-classification pipeline in fp32, at each batch size."""
    torch, transformers = require("torch", extra="train"), require("transformers", extra="train")
    name, length = str(checkpoint.folder), max_length(checkpoint)
    pipeline = transformers.pipeline(
        "text-classification",
        model=transformers.AutoModelForSequenceClassification.from_pretrained(
            name, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        ).eval(),
        tokenizer=transformers.AutoTokenizer.from_pretrained(
            name, trust_remote_code=False, model_max_length=length
        ),
        device="cpu",
    )
    return {
        f"{PIPELINE}{size}": Contender(
            partial(pipeline, batch_size=size, truncation=True, max_length=length), batch_size=size
        )
        for size in BATCH_SIZES
    }


class _Compiled(HfRuntime):
    """Torch in bf16, compiled."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self._model = self._torch.compile(self._model.bfloat16(), dynamic=True)


def _compiled(checkpoint: Checkpoint) -> Contender:
    runtime = _Compiled(checkpoint)
    for kind in ("short", "long"):  # compiles, or says why it can't
        runtime.run([normalise(post) for post in made_posts(kind, 16)])
    return _alone(runtime, "bf16")


def _alone(runtime: Runtime, number_type: str) -> Contender:
    """Give a runtime with our batches, without normalisation, languages or verdicts."""
    return Contender(lambda texts: runtime.run(texts).logits, number_type=number_type)


def _onnxruntime(checkpoint: Checkpoint, tokenizer: Any) -> Contender:
    """Give onnxruntime as one would write it: 32 posts as they come, padded to their longest."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(
        str(checkpoint.folder / GRAPH), options, providers=["CPUExecutionProvider"]
    )
    pad_id = int(checkpoint.config.get("pad_token_id") or 0)

    def run(texts: list[str]) -> NDArray[np.float64]:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        logits = np.empty(len(ids))
        for first in range(0, len(ids), _ARRIVAL_BATCH):
            rows = np.arange(first, min(first + _ARRIVAL_BATCH, len(ids)))
            width = max(len(ids[row]) for row in rows)
            input_ids, mask = pad(ids, rows, width, pad_id=pad_id)
            out = session.run(["logits"], {"input_ids": input_ids, "attention_mask": mask})[0]
            logits[rows] = out[:, 1] - out[:, 0]
        return logits

    return Contender(run)


def _bag_of_words() -> Contender:
    """Give n-grams and a logistic regression, fitted on made posts: it learns nothing of use."""
    from textdetect.evaluation.baselines import BagOfWords

    texts = [normalise(post) for post in made_posts("short", 200, seed=1)]
    return Contender(BagOfWords().fit(texts, [0, 1] * 100).score)
