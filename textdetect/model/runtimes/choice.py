"""Which engine runs a checkpoint; each is imported only when it is the one."""

from __future__ import annotations

import logging
from typing import Literal, get_args

from textdetect.errors import InvalidInput, UnsupportedProcessor
from textdetect.model.checkpoint import INTEGER_GRAPH, Checkpoint
from textdetect.model.runtimes.protocol import Runtime

logger = logging.getLogger(__name__)

RuntimeName = Literal["auto", "onnx", "onnx-fp32", "openvino", "hf"]
NumberType = Literal["auto", "fp32", "bf16"]


def load_runtime(
    checkpoint: Checkpoint,
    runtime: RuntimeName,
    device: str | None,
    machine_label: str | int | None,
    dtype: NumberType = "auto",
) -> Runtime:
    """Load the engine asked for, or the one that takes its place; see `Detector.from_pretrained`.

    Raises:
        InvalidInput: a name that is none, or a device that it can't run on.
        MissingDependency, CheckpointError: see each engine.
    """
    for what, asked, known in (("runtime", runtime, RuntimeName), ("dtype", dtype, NumberType)):
        if asked not in get_args(known):
            names = ", ".join(get_args(known))
            raise InvalidInput(f"{what}: expected one of {names}, got {asked!r}")
    on_processor = device in (None, "cpu")
    if runtime == "hf" or (runtime == "auto" and not (checkpoint.manifest and on_processor)):
        from textdetect.model.runtimes.hf import HfRuntime

        return HfRuntime(checkpoint, device=device, dtype=dtype, machine_label=machine_label)
    if not on_processor:
        raise InvalidInput(f"runtime={runtime!r} runs on the processor, not on {device!r}")
    from textdetect.model.runtimes.graph import IntegerRuntime, OnnxRuntime, OpenVinoRuntime

    if runtime == "openvino":
        try:
            return OpenVinoRuntime(checkpoint)
        except UnsupportedProcessor as error:
            logger.warning("%s: runtime='onnx' takes the place of 'openvino'", error)
    listed = checkpoint.manifest.files if checkpoint.manifest else ()
    if runtime != "onnx-fp32" and INTEGER_GRAPH in listed:
        return IntegerRuntime(checkpoint)
    return OnnxRuntime(checkpoint)
