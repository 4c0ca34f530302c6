"""The engines that run an ONNX graph on the processor; each is imported when it is used."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from textdetect._ground.optional import require
from textdetect.errors import GraphError, InvalidInput, MissingFile, UnsupportedProcessor
from textdetect.model.checkpoint import GRAPH, INTEGER_GRAPH, Checkpoint
from textdetect.model.runtimes.batching import BatchRuntime
from textdetect.model.runtimes.host import available_cores, return_freed_memory


class GraphRuntime(BatchRuntime):
    """An ONNX graph, run by an engine that a subclass brings.

    Args:
        checkpoint: one of ours, with a graph.

    Raises:
        MissingFile: a checkpoint without a graph, or without a fast tokenizer.
        GraphError: a graph that the engine can't load.
    """

    numerics: str
    graph = GRAPH

    def __init__(self, checkpoint: Checkpoint) -> None:
        graph = checkpoint.folder / self.graph
        if checkpoint.manifest is None or not graph.is_file():
            raise MissingFile(
                f"{checkpoint.folder.name} has no {self.graph}; make one with: textdetect export "
                f"{checkpoint.folder}, or load it with runtime='hf'"
            )
        self.fingerprint = checkpoint.fingerprint
        self.max_length = checkpoint.manifest.max_length
        try:
            self._load(graph)
        except Exception as error:  # the engines' errors derive from nothing narrower
            raise GraphError(
                f"{self.numerics.partition('-')[0]} can't load {graph.parent.name}/{graph.name}: "
                "it is damaged, or reads weights outside its folder; make it again with: "
                "textdetect export"
            ) from error
        return_freed_memory()
        self.tokenizer = light_tokenizer(checkpoint.folder, self.max_length)
        self.pad_id = int(checkpoint.config.get("pad_token_id") or 0)

    def _load(self, graph: Path) -> None:
        """Load the graph's file."""
        raise NotImplementedError


class OnnxRuntime(GraphRuntime):
    """Run it by onnxruntime in fp32, without torch: the same logits on every processor, to 1e-5."""

    numerics = "onnxruntime-fp32"

    def __init__(self, checkpoint: Checkpoint) -> None:
        import onnxruntime

        self._engine = onnxruntime
        super().__init__(checkpoint)

    def _load(self, graph: Path) -> None:
        options = self._engine.SessionOptions()
        options.intra_op_num_threads = available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self._session = self._engine.InferenceSession(str(graph), options, providers=providers)

    def _infer(self, input_ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        return self._session.run(["logits"], {"input_ids": input_ids, "attention_mask": mask})[0]


class IntegerRuntime(OnnxRuntime):
    """Run products of 8-bit integers by onnxruntime, without torch; a logit moves by about 0.06.

    Whole numbers add up alike on every processor. What stands between them is fp32: where another
    processor rounds it otherwise, a logit moves by a fraction of that.
    """

    numerics = "onnxruntime-int8"
    graph = INTEGER_GRAPH


class OpenVinoRuntime(GraphRuntime):
    """Run it by OpenVINO in bf16, for processors that multiply in bf16.

    Matrix products take bf16 factors and add up in fp32; a logit moves by about 0.01 against fp32,
    whatever its neighbours.

    Raises:
        MissingDependency: without the extra `openvino`.
        UnsupportedProcessor: it has no bf16 products, and would be slow and round otherwise.
    """

    numerics = "openvino-bf16"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._core = require("openvino", extra="openvino").Core()
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UnsupportedProcessor(
                "this processor has no bf16 products (AVX-512 BF16, AMX or Arm's BF16)"
            )
        super().__init__(checkpoint)

    def _load(self, graph: Path) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": available_cores(),
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": False,  # or several processes would share one core
        }
        self._model = self._core.compile_model(self._core.read_model(graph), "CPU", settings)
        self._of_thread = threading.local()

    def _infer(self, input_ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Any:
        feed = {"input_ids": input_ids, "attention_mask": mask}
        if not hasattr(self._of_thread, "request"):  # one serves one call at a time
            self._of_thread.request = self._model.create_infer_request()
        return np.array(self._of_thread.request.infer(feed, share_inputs=True)[0])


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
