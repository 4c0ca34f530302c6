"""A transformers classifier → a checkpoint folder: fp16 weights once, and a graph that reads them.

The ONNX graph holds no weights: its external data points into model.safetensors, so that one copy
serves both runtimes. It knows nothing of calibration or figures.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput, ParityError
from textdetect.model import checkpoint as folders
from textdetect.model.checkpoint import GRAPH, MANIFEST, WEIGHTS, Manifest
from textdetect.posts.text import NORMALISATION_VERSION, normalise

TOLERANCE: Final = 1e-4
"""Largest difference between the two runtimes' logits that an export may show."""

_KEPT: Final = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_PROBE: Final = (
    "so good",
    "The delivery took three weeks and nobody answered my mails, never again.",
    "我在这家店买了两次,第二次的质量明显不如第一次",
    "I went there with my sister last summer and we both loved the view from the old tower. " * 12,
)


def export(
    model: str | Path,
    out: str | Path,
    *,
    name: str,
    version: str = "0.0.0",
    languages: Sequence[str] = (),
    max_length: int = 256,
    training: dict[str, Any] | None = None,
) -> Path:
    """Write a classifier as a checkpoint folder that both runtimes load.

    Args:
        model: transformers folder, or hub id, of a two-label classifier (human, machine).
        out: the checkpoint folder; what is there under the same names is replaced. It has no
            calibration yet.
        name, version, languages, max_length, training: see `Manifest`.

    Raises:
        ModelNotFound: no such folder or hub id.
        InvalidInput: its labels are not (human, machine), or it reads fewer than `max_length`.
        ParityError: the graph's logits are not the model's.
    """
    source, folder = folders.find_folder(model), Path(out)
    classifier = _classifier(source, max_length)
    folder.mkdir(parents=True, exist_ok=True)
    for tensor in classifier.state_dict().values():  # both runtimes must see the rounded weights
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    _write_weights(classifier, folder / WEIGHTS)
    _write_graph(classifier, folder)
    values = json.loads((source / "config.json").read_bytes()) | {"dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    for file in _KEPT:
        if (source / file).is_file():
            shutil.copyfile(source / file, folder / file)
    manifest = Manifest(
        name, version, NORMALISATION_VERSION, max_length, tuple(languages), {}, training or {}
    )
    folders.write_manifest(folder, manifest)
    difference = parity(folder, _PROBE)
    if not difference <= TOLERANCE:
        (folder / MANIFEST).unlink()  # or the folder would pass for a checkpoint
        raise ParityError(
            f"the exported graph differs from the model by {difference:.2g} in a logit, more than "
            f"{TOLERANCE:g}; this architecture can't be exported"
        )
    return folder


def parity(folder: str | Path, texts: Sequence[str]) -> float:
    """Return the largest |Δlogit| between the two runtimes over some texts."""
    from textdetect.model.runtimes.graph import OnnxRuntime
    from textdetect.model.runtimes.hf import HfRuntime

    checkpoint = folders.open_checkpoint(folder)
    prepared = [normalise(text) for text in texts]
    graph, model = OnnxRuntime(checkpoint).run(prepared), HfRuntime(checkpoint).run(prepared)
    return float(np.max(np.abs(graph.logits - model.logits)))


def _classifier(source: Path, max_length: int) -> Any:
    """Load the model in fp32, if it is one that can be exported."""
    transformers, torch = require("transformers", extra="train"), require("torch", extra="train")
    require("onnx", extra="train")
    config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    labels = [str(label).lower() for _, label in sorted(config.id2label.items())]
    if labels != ["human", "machine"]:
        raise InvalidInput(f"id2label: expected human, machine in this order, got {labels}")
    if max_length > (most := config.max_position_embeddings):
        raise InvalidInput(
            f"max_length: expected at most {most}, which is what the model reads, got {max_length}"
        )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        source, dtype=torch.float32, attn_implementation="eager", trust_remote_code=False
    )
    return model.eval()


def _write_weights(classifier: Any, path: Path) -> None:
    """Write the parameters as fp16, contiguous and without aliases."""
    safetensors = require("safetensors.torch", extra="train")
    floats = {k: v for k, v in classifier.state_dict().items() if v.is_floating_point()}
    state = {name: v.detach().half().contiguous().clone() for name, v in floats.items()}
    safetensors.save_file(state, str(path), metadata={"format": "pt"})


def _write_graph(classifier: Any, folder: Path) -> None:
    """Export the graph and point its weights, cast up from fp16, into model.safetensors."""
    torch = require("torch", extra="train")
    length = torch.export.Dim("length", min=2, max=classifier.config.max_position_embeddings)
    batch = torch.export.Dim("batch", min=1, max=4096)
    ids = torch.ones((2, 16), dtype=torch.long)
    program = torch.onnx.export(
        _logits_only(classifier),
        (ids, torch.ones_like(ids)),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    proto = program.model_proto
    state = {name: tensor.numpy() for name, tensor in classifier.state_dict().items()}
    _share_weights(proto, state, _references(folder / WEIGHTS))
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    (folder / GRAPH).write_bytes(proto.SerializeToString(deterministic=True))


def _share_weights(proto: Any, state: dict[str, Any], references: dict[str, Any]) -> None:
    """Replace each weight in the graph by a reference into model.safetensors, cast up from fp16.

    The exporter renames and transposes weights, so they are found again by their values.
    """
    onnx = require("onnx", extra="train")
    by_value = {_key(array): (name, False) for name, array in state.items() if name in references}
    for name, array in state.items():
        if name in references and array.ndim == 2:
            by_value.setdefault(_key(array.T), (name, True))
    shared: dict[str, Any] = {}
    new_nodes = []
    for tensor in list(proto.graph.initializer):
        found = by_value.get(_key(onnx.numpy_helper.to_array(tensor)))
        if found is None:
            continue
        key, transposed = found
        half, full = references[key].name, f"{key}.fp32"
        if half not in shared:
            shared[half] = references[key]
            cast = onnx.helper.make_node("Cast", [half], [full], to=onnx.TensorProto.FLOAT)
            new_nodes.append(cast)
        kind, turn = ("Transpose", {"perm": [1, 0]}) if transposed else ("Identity", {})
        new_nodes.append(onnx.helper.make_node(kind, [full], [tensor.name], **turn))
        proto.graph.initializer.remove(tensor)
    proto.graph.initializer.extend(shared.values())
    nodes = [*new_nodes, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    _look_up_before_casting(onnx, proto.graph)


def _look_up_before_casting(onnx: Any, graph: Any) -> None:
    """Cast the rows that are looked up in a table, not the table: an engine would keep it in fp32.

    A vocabulary's table is half of a small model.
    """
    source = {node.output[0]: node for node in graph.node if node.op_type in ("Cast", "Identity")}
    readers = Counter(name for node in graph.node for name in node.input)
    nodes, gone = [], set[str]()
    for node in graph.node:
        nodes.append(node)
        copy = source.get(node.input[0]) if node.op_type == "Gather" else None
        cast = source.get(copy.input[0]) if copy is not None else None
        if copy and cast and readers[copy.output[0]] == readers[cast.output[0]] == 1:
            gone |= {copy.output[0], cast.output[0]}
            found, half = node.output[0], f"{node.output[0]}.fp16"
            node.input[0], node.output[0] = cast.input[0], half
            nodes.append(onnx.helper.make_node("Cast", [half], [found], to=onnx.TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(node for node in nodes if node.output[0] not in gone)


def _key(array: Any) -> tuple[Any, ...]:
    values = np.ascontiguousarray(array)
    return (values.shape, str(values.dtype), hashlib.sha256(values.data).digest())


def _references(path: Path) -> dict[str, Any]:
    """Give each fp16 tensor of a safetensors file as a graph's tensor that lies in that file."""
    onnx = require("onnx", extra="train")
    half, outside = onnx.TensorProto.FLOAT16, onnx.TensorProto.EXTERNAL
    with path.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(size))
    tensors = {}
    for name in header.keys() - {"__metadata__"}:
        begin, end = header[name]["data_offsets"]
        tensor = onnx.TensorProto(
            name=f"{name}.fp16", data_type=half, dims=header[name]["shape"], data_location=outside
        )
        where = {"location": WEIGHTS, "offset": 8 + size + begin, "length": end - begin}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors[name] = tensor
    return tensors


def _logits_only(classifier: Any) -> Any:
    """Wrap a classifier so that it returns its logits alone, as the exporter wants."""
    torch = require("torch", extra="train")

    class LogitsOnly(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = classifier

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    return LogitsOnly().eval()
