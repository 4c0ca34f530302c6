"""What the engines that run a checkpoint's ONNX graph share; it knows none of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from textdetect.checkpoint import GRAPH, Checkpoint
from textdetect.errors import GraphError, InvalidInput, MissingFile
from textdetect.runtimes.batching import score_in_batches
from textdetect.runtimes.host import return_freed_memory
from textdetect.types import Scores


class GraphRuntime:
    """Texts → tokens → batches → logits, by an engine that a subclass brings.

    Args:
        checkpoint: one of ours, with a graph.

    Raises:
        MissingFile: a checkpoint without a graph, or without a fast tokenizer.
        GraphError: a graph that the engine can't load.
    """

    numerics: str

    def __init__(self, checkpoint: Checkpoint) -> None:
        graph = checkpoint.folder / GRAPH
        if checkpoint.manifest is None or not graph.is_file():
            raise MissingFile(
                f"{checkpoint.folder.name} has no {GRAPH}; make one with: textdetect export "
                f"{checkpoint.folder}, or load it with runtime='hf'"
            )
        self.fingerprint = checkpoint.fingerprint
        self.max_length = checkpoint.manifest.max_length
        try:
            self._load(graph)
        except Exception as error:  # the engines' errors derive from nothing narrower
            raise GraphError(
                f"{self.numerics.partition('-')[0]} can't load {checkpoint.folder.name}/{GRAPH}: "
                "it is damaged, or reads weights outside its folder; make it again with: "
                "textdetect export"
            ) from error
        return_freed_memory()
        self._tokenizer = light_tokenizer(checkpoint.folder, self.max_length)
        self._pad_id = int(checkpoint.config.get("pad_token_id") or 0)

    def run(self, texts: Sequence[str]) -> Scores:
        """Score normalised texts; see `Runtime`."""
        return score_in_batches(
            texts,
            self._tokenizer,
            lambda ids, mask: self._infer({"input_ids": ids, "attention_mask": mask}),
            lambda out: out[:, 1].astype(np.float64) - out[:, 0],
            max_length=self.max_length,
            pad_id=self._pad_id,
        )

    def _load(self, graph: Path) -> None:
        """Load the graph's file."""
        raise NotImplementedError

    def _infer(self, feed: dict[str, NDArray[np.int64]]) -> NDArray[Any]:
        """Run one batch; returns the two classes' logits, shape (n, 2)."""
        raise NotImplementedError


def light_tokenizer(folder: Path, max_length: int) -> Tokenizer:
    """Load tokenizer.json with truncation at `max_length` and no padding."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise MissingFile(f"{folder.name} has no tokenizer.json (a fast tokenizer)")
    try:
        tokenizer = Tokenizer.from_str(json.dumps(json.loads(file.read_text(encoding="utf-8"))))
    except Exception as error:  # tokenizers raises bare Exception
        raise InvalidInput(f"{folder.name}/tokenizer.json cannot be read") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer
