"""OpenVINO: the same graph in bf16, for processors that multiply in bf16."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdetect._optional import require
from textdetect.checkpoint import Checkpoint
from textdetect.errors import UnsupportedProcessor
from textdetect.runtimes.graph import GraphRuntime
from textdetect.runtimes.host import available_cores


class OpenVinoRuntime(GraphRuntime):
    """Run a checkpoint's ONNX graph in bf16 on the processor; see `GraphRuntime`.

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

    def _infer(self, feed: dict[str, NDArray[np.int64]]) -> NDArray[Any]:
        if not hasattr(self._of_thread, "request"):  # one serves one call at a time
            self._of_thread.request = self._model.create_infer_request()
        return np.array(self._of_thread.request.infer(feed, share_inputs=True)[0])
