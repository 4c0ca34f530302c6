"""onnxruntime: the light runtime, without torch; the same logits on every processor, to 1e-5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from textdetect.runtimes.graph import GraphRuntime
from textdetect.runtimes.host import available_cores


class OnnxRuntime(GraphRuntime):
    """Run a checkpoint's ONNX graph in fp32 on the processor; see `GraphRuntime`."""

    numerics = "onnxruntime-fp32"

    def _load(self, graph: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )

    def _infer(self, feed: dict[str, NDArray[np.int64]]) -> NDArray[Any]:
        (out,) = self._session.run(["logits"], feed)
        return np.asarray(out)
