"""What this machine can do at best: matrix products, reading files, writing to its disk.

A model cannot be faster than its matrix products. `speed.py` prints these beside its figures.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from textdetect._ground.optional import require
from textdetect.errors import MissingDependency
from textdetect.evaluation.benchmark import KINDS, made_posts
from textdetect.evaluation.benchmark.results import Spread
from textdetect.model.runtimes.host import available_cores
from textdetect.posts.files import open_posts

UNITS: Final = {"fp32": "GFLOP/s", "bf16": "GFLOP/s", "int8": "GOP/s"}
"""The number types whose peak is measured."""
_TOKENS: Final = (256, 1_024)
"""Rows of the products: what a small and a full batch hold."""
_REPEATS: Final = 5
_DISK_BYTES: Final = 64_000_000
_DISK_FILES: Final = 4
_PARSED: Final = 3
_PARSED_ROWS: Final = 3_000
"""Of each kind of posts."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What this machine can do at best in one respect: a number of measurements, and their unit."""

    name: str
    unit: str
    n: int
    value: Spread


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of an encoder (BERT, RoBERTa, MiniLM …), which say what a post costs.

    >>> Shape(layers=6, hidden=384, intermediate=1536, labels=2).flops(32) // 10**6
    689
    """

    layers: int
    hidden: int
    intermediate: int
    labels: int = 2

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self | None:
        """Read them from config.json; None where it does not say them by these names."""
        names = ("num_hidden_layers", "hidden_size", "intermediate_size")
        if not all(isinstance(config.get(name), int) for name in names):
            return None
        layers, hidden, intermediate = (config[name] for name in names)
        return cls(layers, hidden, intermediate, labels=len(config.get("id2label") or "01"))

    def flops(self, tokens: int) -> int:
        """Count the operations of one post's matrix products: 2 for each multiply-add.

        With T tokens (special ones and padding included), H hidden and I intermediate: each layer
        has four products (T × H)(H × H) for queries, keys, values and output, two (T × T × H) for
        attention, and two (T × H × I) for the feed-forward: 8TH² + 4T²H + 4THI. The pooler and the
        classifier add 2H² + 2H·labels. Embeddings, norms, softmax and activations are left out.
        """
        t, h, i = tokens, self.hidden, self.intermediate
        layer = 8 * t * h * h + 4 * t * t * h + 4 * t * h * i
        return self.layers * layer + 2 * h * h + 2 * h * self.labels


def matrix_peaks(shape: Shape) -> tuple[dict[str, Callable[[], float]], dict[str, str]]:
    """Give, for each number type, what measures its peak; and why others are skipped.

    A measurement is the best of several products (tokens × hidden) (hidden × intermediate) on all
    available cores, in 10⁹ operations a second: for floats `torch.mm`, for int8 an onnxruntime
    graph of one MatMulInteger (unsigned activations, signed constant weights), for fp32 the faster
    of `torch.mm` and onnxruntime's MatMul, as each is ahead on some processors.
    """
    peaks: dict[str, Callable[[], float]] = {}
    skipped = {}
    for name in UNITS:
        makers = {
            "fp32": (_torch_product, _onnxruntime_product),
            "bf16": (_torch_product,),
            "int8": (_onnxruntime_product,),
        }
        try:
            multiply = [make(shape, name) for make in makers[name]]
        except MissingDependency as error:
            skipped[f"matrix products, {name}"] = str(error)
        else:
            peaks[name] = partial(_peak, multiply, shape)
    return peaks, skipped


def _peak(engines: Sequence[Callable[[int], object]], shape: Shape) -> float:
    best = 0.0
    for multiply, tokens in product(engines, _TOKENS):
        operations = 2 * tokens * shape.hidden * shape.intermediate
        for _ in range(_REPEATS):
            start_s = time.perf_counter()
            multiply(tokens)
            best = max(best, operations / (time.perf_counter() - start_s) / 1e9)
    return best


def _torch_product(shape: Shape, name: str) -> Callable[[int], object]:
    torch = require("torch", extra="train")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[name]
    draw = torch.Generator().manual_seed(0)
    left = torch.randn(max(_TOKENS), shape.hidden, generator=draw).to(dtype)
    right = torch.randn(shape.hidden, shape.intermediate, generator=draw).to(dtype)
    out = torch.empty(max(_TOKENS), shape.intermediate, dtype=dtype)
    return lambda tokens: torch.mm(left[:tokens], right, out=out[:tokens])


def _onnxruntime_product(shape: Shape, name: str) -> Callable[[int], object]:
    import onnxruntime

    onnx = require("onnx", extra="train")
    draw = np.random.default_rng(0)
    weights: Any = draw.integers(-127, 128, (shape.hidden, shape.intermediate), dtype=np.int8)
    left: Any = draw.integers(0, 256, (max(_TOKENS), shape.hidden), dtype=np.uint8)
    value, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    operator, takes, gives = "MatMulInteger", kinds.UINT8, kinds.INT32
    if name == "fp32":
        operator, takes, gives = "MatMul", kinds.FLOAT, kinds.FLOAT
        weights, left = weights.astype(np.float32), left.astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, ["left", "right"], ["out"])],
        name,
        [value("left", takes, ["tokens", shape.hidden])],
        [value("out", gives, ["tokens", shape.intermediate])],
        [onnx.numpy_helper.from_array(weights, "right")],
    )
    opsets = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=opsets)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda tokens: session.run(None, {"left": left[:tokens]})


def parsers(folder: Path) -> list[Limit]:
    """Read a csv and a Parquet file of posts, made in a folder, without scoring: rows a second."""
    import pyarrow.csv
    import pyarrow.parquet

    posts = pyarrow.table(
        {"text": [post for kind in KINDS for post in made_posts(kind, _PARSED_ROWS)]}
    )
    csv, parquet = folder / "posts.csv", folder / "posts.parquet"
    pyarrow.csv.write_csv(posts, csv)
    pyarrow.parquet.write_table(posts, parquet)
    found = []
    for name, file in (("csv", csv), ("parquet", parquet)):
        rates = []
        for _ in range(_PARSED):
            start_s = time.perf_counter()
            with open_posts(file, format=name, into=name) as reader:
                n_rows = sum(len(chunk.rows) for chunk in reader.chunks(4_096))
            rates.append(n_rows / (time.perf_counter() - start_s))
        found.append(Limit(f"reading {name}", "rows/s", len(rates), Spread.of(rates)))
    return found


def disk(folder: Path) -> Limit:
    """Write at most 64 MB to a folder's disk, each of four files with fsync: MB a second."""
    block, rates, file = os.urandom(1_000_000), [], folder / "written"
    for _ in range(_DISK_FILES):
        start_s = time.perf_counter()
        with file.open("wb", buffering=0) as stream:
            for _ in range(_DISK_BYTES // _DISK_FILES // len(block)):
                stream.write(block)
            os.fsync(stream.fileno())
        rates.append(_DISK_BYTES / _DISK_FILES / 1e6 / (time.perf_counter() - start_s))
        file.unlink()
    return Limit("disk, with fsync", "MB/s", len(rates), Spread.of(rates))
