"""A checkpoint's graph → one whose products are of 8-bit integers, which reads the same weights.

Ranges of activations are fixed beforehand, so no post moves another's logit. Weights take 7 bits:
two products of 8 by 7 bits fit into 16, so processors with and without VNNI add up the same.
It knows nothing of calibration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.files import write_atomically
from textdetect._ground.optional import require
from textdetect.errors import ParityError
from textdetect.model.checkpoint import GRAPH, INTEGER_GRAPH, WEIGHTS, open_checkpoint
from textdetect.model.runtimes.graph import IntegerRuntime, OnnxRuntime
from textdetect.posts.text import normalise

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

TOLERANCE: Final = 0.1
"""Largest root mean square difference from fp32, in standard deviations of the logit."""
WEIGHT_STEPS, ACTIVATION_STEPS = 63, 255
"""Steps from zero to the largest weight, and from the smallest to the largest activation."""
ROWS: Final = 8
"""Tokens of a text whose activations are kept; the largest of each channel is over all tokens."""
QUANTILES: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
"""Channels larger than this one, by their largest value, may be scaled down to it."""
SHARES: Final = (0.5, 0.7, 0.85, 1.0)
"""Shares of the whole range of activations that may be kept."""


@dataclass(slots=True)
class Activations:
    """What goes into a product: rows of tokens, and each channel's largest absolute value."""

    rows: NDArray[np.float32]
    largest: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quantised:
    """How an activation x becomes integers: round(x · multiplier / step) + zero."""

    multiplier: NDArray[np.float32]
    step: np.float32
    zero: np.uint8

    def rounded(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give what the integers stand for, in the scaled channels."""
        steps = np.clip(
            np.rint(rows * self.multiplier / self.step) + self.zero, 0, ACTIVATION_STEPS
        )
        return np.asarray((steps - self.zero) * self.step, np.float32)


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product with weights: its node, the node that adds a bias, and the weights."""

    node: NodeProto
    bias: NodeProto | None
    key: str
    full: str
    weights: NDArray[np.float32]


def write_integer_graph(folder: Path, texts: Sequence[str]) -> float:
    """Write the graph beside the fp32 one; the manifest must be written after it.

    Channels that reach far beyond the others are scaled down and their weights up, as far as it
    lowers the error of the product (Xiao et al., "SmoothQuant", 2023, equation 3, by trial in the
    place of its exponent); the mean of what error is left is added to the bias (Nagel et al.,
    "Data-free quantization through weight equalization and bias correction", 2019, section 4.2).

    Args:
        texts: posts in all languages and lengths; every second one fixes the ranges, the others
            measure what the integers cost.

    Returns:
        The root mean square difference of a logit from fp32, over its standard deviation.

    Raises:
        ParityError: that is above `TOLERANCE`; no graph is written.
    """
    onnx = require("onnx", extra="train")
    prepared = [normalise(text) for text in texts]
    proto = onnx.load(folder / GRAPH, load_external_data=False)
    products = _products(proto.graph, folder)
    seen = _activations(folder, products, prepared[::2])
    _replace(proto, products, seen)
    raw = proto.SerializeToString(deterministic=True)
    write_atomically(folder / INTEGER_GRAPH, raw)
    checkpoint = open_checkpoint(folder)
    ours, full = (
        engine(checkpoint).run(prepared[1::2]).logits for engine in (IntegerRuntime, OnnxRuntime)
    )
    difference = float(np.sqrt(np.mean((ours - full) ** 2)) / np.std(full))
    if not difference <= TOLERANCE:
        (folder / INTEGER_GRAPH).unlink()
        raise ParityError(
            f"in 8-bit integers the logits differ by {difference:.2f} standard deviations from "
            f"fp32, more than {TOLERANCE:g}; this model stays in fp32 (calibration.int8: false)"
        )
    return difference


def _products(graph: GraphProto, folder: Path) -> list[Product]:
    """Find the products with weights of the checkpoint, written as (transposed) casts of fp16."""
    numpy = require("safetensors.numpy", extra="train")
    state = numpy.load_file(str(folder / WEIGHTS))
    made = {node.output[0]: node for node in graph.node}
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    constants = {tensor.name for tensor in graph.initializer}
    products = []
    for node in graph.node:
        turned = made.get(node.input[1]) if node.op_type == "MatMul" else None
        cast = made.get(turned.input[0]) if turned and turned.op_type == "Transpose" else None
        if cast is None or cast.op_type != "Cast" or cast.input[0] not in constants:
            continue
        after = readers[node.output[0]]
        added = after[0] if len(after) == 1 and after[0].op_type == "Add" else None
        weights = state[cast.input[0].removesuffix(".fp16")].astype(np.float32)
        if added is not None and not _is_constant(_other(added, node), made, constants):
            added = None
        products.append(Product(node, added, node.input[1], cast.output[0], weights))
    return products


def _other(added: NodeProto, node: NodeProto) -> str:
    """Name what is added to a node's output."""
    return str(next(name for name in added.input if name != node.output[0]))


def _is_constant(name: str, made: dict[str, NodeProto], constants: set[str]) -> bool:
    while name in made and made[name].op_type in ("Cast", "Identity"):
        name = made[name].input[0]
    return name in constants


def _activations(
    folder: Path, products: Sequence[Product], texts: Sequence[str]
) -> dict[str, Activations]:
    """Run texts one by one, and keep what goes into each product."""
    onnx = require("onnx", extra="train")
    names = list(dict.fromkeys(product.node.input[0] for product in products))
    proto = onnx.load(folder / GRAPH)
    for name in names:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        proto.graph.output.append(value)
    import onnxruntime

    engine = OnnxRuntime(open_checkpoint(folder))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rng, rows = np.random.default_rng(0), defaultdict(list)
    largest: dict[str, NDArray[np.float32]] = {}
    for text in texts:
        ids = np.array([engine.tokenizer.encode(text).ids], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        for name, (found,) in zip(names, session.run(names, feed), strict=True):
            tokens = rng.choice(len(found), min(ROWS, len(found)), replace=False)
            rows[name].append(found[tokens].astype(np.float16))
            reached = np.abs(found).max(axis=0)
            largest[name] = np.maximum(largest.get(name, reached), reached)
    return {
        name: Activations(np.concatenate(rows[name]).astype(np.float32), largest[name])
        for name in names
    }


def _replace(proto: ModelProto, products: Sequence[Product], seen: dict[str, Activations]) -> None:
    """Put integer products in the place of the graph's, beside how their input is rounded."""
    onnx = require("onnx", extra="train")
    graph, make = proto.graph, onnx.helper.make_node
    instead: dict[str, list[NodeProto]] = {}
    gone = {product.bias.output[0] for product in products if product.bias is not None}
    gone |= {product.key for product in products}
    together: dict[str, list[Product]] = defaultdict(list)
    for product in products:
        together[product.node.input[0]].append(product)

    def constant(name: str, value: object) -> str:
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    for name, group in together.items():
        found = seen[name]
        how = _best(found, np.concatenate([product.weights for product in group]).T)
        scaled, nodes = name, []
        if (how.multiplier != 1).any():
            scaled = f"{name}.scaled"
            nodes.append(make("Mul", [name, constant(f"{name}.by", how.multiplier)], [scaled]))
        step, zero = constant(f"{name}.step", how.step), constant(f"{name}.zero", how.zero)
        nodes.append(make("QuantizeLinear", [scaled, step, zero], [f"{name}.int8"]))
        rounded = how.rounded(found.rows)
        for product in group:
            key, up = product.key, np.float32(1) / how.multiplier
            steps, whole = _whole(product.weights * up)
            error = found.rows @ product.weights.T - rounded @ (whole * steps[:, None]).T
            left, out = constant(f"{key}.left", error.mean(axis=0)), product.node.output[0]
            if product.bias is not None:
                bias, out = _other(product.bias, product.node), product.bias.output[0]
                nodes.append(make("Add", [bias, left], [f"{key}.bias"]))
                left = f"{key}.bias"
            by = constant(f"{key}.steps", steps)
            none = constant(f"{key}.zeros", np.zeros(len(steps), np.int8))
            nodes += [
                make("Mul", [product.full, constant(f"{key}.up", up)], [f"{key}.scaled"]),
                make("QuantizeLinear", [f"{key}.scaled", by, none], [f"{key}.rows"], axis=0),
                make("Transpose", [f"{key}.rows"], [f"{key}.int8"], perm=[1, 0]),
                make(
                    "MatMulIntegerToFloat",
                    [f"{name}.int8", f"{key}.int8", step, by, zero, "", left],
                    [out],
                    domain="com.microsoft",
                ),
            ]
            instead[product.node.output[0]], nodes = nodes, []
    kept = list(graph.node)
    del graph.node[:]
    for node in kept:
        if node.output[0] in instead:
            graph.node.extend(instead[node.output[0]])
        elif node.output[0] not in gone:
            graph.node.append(node)
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))


def _best(found: Activations, weights: NDArray[np.float32]) -> Quantised:
    """Choose how an input is rounded by the error of its products, over the rows at hand."""
    product, best, least = found.rows @ weights, None, np.inf
    for most in np.unique(np.quantile(found.largest, QUANTILES)):
        multiplier = np.minimum(1, most / np.maximum(found.largest, 1e-9)).astype(np.float32)
        steps, whole = _whole((weights / multiplier[:, None]).T)
        rounded_weights = (whole * steps[:, None]).T
        scaled = found.rows * multiplier
        for share in SHARES:
            low, high = (share * min(scaled.min(), 0), share * max(scaled.max(), 0))
            step = np.float32(max(high - low, 1e-9) / ACTIVATION_STEPS)
            how = Quantised(multiplier, step, np.uint8(np.rint(-low / step)))
            error = float(np.mean((how.rounded(found.rows) @ rounded_weights - product) ** 2))
            if error < least:
                best, least = how, error
    assert best is not None
    return best


def _whole(weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Round weights of shape (out, in) to whole steps: each row's step, and how many there are."""
    steps = np.maximum(np.abs(weights).max(axis=1), 1e-9).astype(np.float32) / WEIGHT_STEPS
    return steps, np.rint(weights / steps[:, None]).astype(np.float32)
