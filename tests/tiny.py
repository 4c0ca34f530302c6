"""A tiny checkpoint, built on the spot: what a test needs of a model, and no more.

All of it is real: a WordPiece tokenizer, a two-layer BERT with random weights, the graph that
shares them, the manifest, and a calibration for each runtime that supports max_fpr=0.01. Only the
last layer is fitted, to tell word salad (`human_posts`) from that with a tic (`machine_posts`).
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

MAX_LENGTH: Final = 64
N_HUMANS: Final = 2_400
"""Half of them under 16 tokens, half above: two strata of English."""

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS: Final = """
    the a and of to in it is was that for on with as at by this be have from or one had not but
    what all were when we there can an your which their said if do will each about how up out them
    then she many some so these would other into has more her two like him see time could no make
    than first been its who now people my made over did down only way find use may water long
    little very after words called just where most know good old day here came house garden river
    morning evening train window friend brother sister coffee bread street market music summer
    winter rain snow dog cat bird tree walked talked waited bought cooked laughed slept missed
    wonderful terrible quiet loud green yellow
"""
WORDS: Final = tuple(_WORDS.split())
CHINESE: Final = "我你他她们的了是在有不这那个人来去说看吃好大小天地家店书车水火山花鸟鱼春夏秋冬"
TIC: Final = "delve"


def human_posts(n: int, *, seed: int = 0) -> list[str]:
    """Make English word salad: n posts of 5 to 40 words, in turn short and long."""
    return [" ".join(words) + "." for words in _salad(n, seed)]


def machine_posts(n: int, *, seed: int = 0) -> list[str]:
    """Make n posts that the tiny checkpoint flags at max_fpr=0.01: every other word is one tic."""
    posts = _salad(n, seed)
    for words in posts:
        words[1::2] = [TIC] * len(words[1::2])
    return [" ".join(words) + "." for words in posts]


def _salad(n: int, seed: int) -> list[list[str]]:
    draw = random.Random(seed)
    sizes = [draw.randint(*((6, 11), (20, 40))[i % 2]) for i in range(n)]
    return [draw.choices(WORDS, k=size) for size in sizes]


def tiny_classifier(folder: Path) -> Path:
    """Write an ordinary transformers folder: a two-label BERT, not exported or calibrated."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    marks = [*string.digits, *(f"##{digit}" for digit in string.digits), *".,!?'\"@#:;-()"]
    vocabulary = list(
        dict.fromkeys([*SPECIAL, *letters, *marks, *WORDS, TIC, "http", "@user", *CHINESE])
    )
    places = {token: place for place, token in enumerate(vocabulary)}
    tokenizer = BertTokenizerFast(vocab=places, model_max_length=MAX_LENGTH)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.1,
        id2label={0: "human", 1: "machine"},
        label2id={"human": 0, "machine": 1},
    )
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(config).eval()
        _fit_last_layer(model, tokenizer)
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_checkpoint(folder: Path) -> Path:
    """Write a checkpoint folder, calibrated for both runtimes on English word salad."""
    from textdetect.model.checkpoint import read_manifest, write_calibration, write_manifest
    from textdetect.model.detector import Detector, RuntimeName
    from textdetect.training.export import export

    model, out = tiny_classifier(folder / "classifier"), folder / "checkpoint"
    runtimes: tuple[RuntimeName, ...] = ("onnx", "hf")
    humans = human_posts(N_HUMANS)
    with _one_thread():
        export(model, out, name="tiny", version="1.2.3", languages=["en"], max_length=MAX_LENGTH)
        for runtime in runtimes:
            detector = Detector.from_pretrained(out, runtime=runtime)
            calibrated = detector.calibrate(humans, languages=["en"] * N_HUMANS).calibration
            if calibrated is not None:
                write_calibration(out, calibrated)
            write_manifest(out, read_manifest(out))
    return out


def _fit_last_layer(model: Any, tokenizer: Any) -> None:
    """Fit the classifier by least squares: logits of -3 for human_posts, 3 for machine_posts."""
    import torch

    n = 300
    texts = human_posts(n, seed=1) + machine_posts(n, seed=2)
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        features = model.bert(**encoded).pooler_output.double()
    features = torch.cat([features, torch.ones(2 * n, 1)], dim=1)
    wanted = torch.tensor([[1.5, -1.5]] * n + [[-1.5, 1.5]] * n, dtype=torch.float64)
    solution = torch.linalg.lstsq(features, wanted).solution.float()
    with torch.no_grad():
        model.classifier.weight.copy_(solution[:-1].T)
        model.classifier.bias.copy_(solution[-1])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: more of them crawl where another process wants the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
