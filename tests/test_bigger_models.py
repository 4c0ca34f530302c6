"""The configs of bigger models, each trained whole from a tiny random model of its architecture."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from synthetic import CHINESE_HUMAN, CHINESE_MACHINE, human_post, template_post, write_corpus

from textdetect import Detector
from textdetect._ground.config import CalibrationConfig, DataConfig, TrainConfig, load_config
from textdetect.model.checkpoint import open_checkpoint
from textdetect.posts.mixture import TrainingList
from textdetect.statistics.metrics import auroc
from textdetect.training import train
from textdetect.training.export import TOLERANCE
from textdetect.training.finetune import finetune, load_tokenizer

CONFIGS = Path(__file__).parent.parent / "configs"
MAX_LENGTH = 48
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "initializer_range": 0.1,
}


def posts(n: int, *, seed: int) -> tuple[list[str], list[int]]:
    """Make n posts of people and n of machines, and their labels."""
    rng = random.Random(seed)
    texts = [maker(rng) for maker in (human_post, template_post) for _ in range(n)]
    return texts, [0] * n + [1] * n


def read_for_vocabulary() -> list[str]:
    return [*posts(200, seed=1)[0], *CHINESE_HUMAN, *CHINESE_MACHINE]


def byte_level(special: list[str]) -> Any:
    """Train a byte-level BPE tokenizer whose first tokens are the special ones."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(read_for_vocabulary(), trainer)
    return tokenizer


def vocabulary(tokenizer: Any) -> tuple[Any, list[tuple[str, str]]]:
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def roberta(folder: Path) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM, RobertaTokenizer

    words, merges = vocabulary(byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]))
    RobertaTokenizer(vocab=words, merges=merges).save_pretrained(folder)
    places = {"max_position_embeddings": MAX_LENGTH + 2, "type_vocab_size": 1}
    config = RobertaConfig(vocab_size=len(words), **places, **SIZES)
    RobertaForMaskedLM(config).save_pretrained(folder)


def xlm_roberta(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizer

    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    learner.train_from_iterator(read_for_vocabulary(), trainer)
    words = [tuple(piece) for piece in json.loads(learner.to_str())["model"]["vocab"]]
    XLMRobertaTokenizer(vocab=[*words, ("<mask>", 0.0)]).save_pretrained(folder)
    places = {"max_position_embeddings": MAX_LENGTH + 2, "type_vocab_size": 1}
    config = XLMRobertaConfig(vocab_size=len(words) + 1, **places, **SIZES)
    XLMRobertaForMaskedLM(config).save_pretrained(folder)


def mdeberta(folder: Path) -> None:
    """Write what the hub has of mDeBERTa: a SentencePiece model and PyTorch's own weights file."""
    import torch
    from sentencepiece import SentencePieceTrainer
    from transformers import DebertaV2Config, DebertaV2ForMaskedLM

    pieces = io.BytesIO()
    ids = {f"{name}_id": i for i, name in enumerate(("pad", "bos", "eos", "unk"))}
    special = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
    SentencePieceTrainer.train(
        sentence_iterator=iter(read_for_vocabulary()),
        model_writer=pieces,
        vocab_size=300,
        unk_piece="[UNK]",
        minloglevel=2,
        **ids,
        **special,
    )
    config = DebertaV2Config(
        vocab_size=304,
        max_position_embeddings=64,
        type_vocab_size=0,
        relative_attention=True,
        position_biased_input=False,
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        **SIZES,
    )
    config.save_pretrained(folder)
    torch.save(DebertaV2ForMaskedLM(config).state_dict(), folder / "pytorch_model.bin")
    (folder / "spm.model").write_bytes(pieces.getvalue())
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')


def modernbert(folder: Path) -> None:
    from tokenizers import processors
    from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    backend = byte_level([*names.values()])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **names
    ).save_pretrained(folder)
    ids = {"cls_token_id": 1, "sep_token_id": 2, "pad_token_id": 3}
    config = ModernBertConfig(
        vocab_size=backend.get_vocab_size(),
        max_position_embeddings=128,
        local_attention=16,
        classifier_pooling="mean",
        bos_token_id=1,
        eos_token_id=2,
        **ids,
        **SIZES | {"num_hidden_layers": 2},  # the first attends to all, the second to what is near
    )
    ModernBertForMaskedLM(config).save_pretrained(folder)


def qwen2(folder: Path) -> None:
    """Write a causal language model whose config, as the hub's, names no padding token."""
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

    words, merges = vocabulary(byte_level(["<|endoftext|>"]))
    Qwen2Tokenizer(vocab=words, merges=merges).save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(words),
        max_position_embeddings=128,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        **SIZES,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)


MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "roberta-base": (roberta, "RobertaForSequenceClassification"),
    "xlm-roberta-base": (xlm_roberta, "XLMRobertaForSequenceClassification"),
    "mdeberta-v3-base": (mdeberta, "DebertaV2ForSequenceClassification"),
    "modernbert-base": (modernbert, "ModernBertForSequenceClassification"),
    "lora": (qwen2, "Qwen2ForSequenceClassification"),
}


@pytest.fixture(scope="module")
def corpus_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("made") / "corpus", n=400)


def made(name: str, folder: Path, **finetuning: Any) -> TrainConfig:
    """Write a tiny model of a config's architecture; give the config with it and small data."""
    import torch

    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        MODELS[name][0](folder)
    config, _ = load_config(CONFIGS / f"{name}.yaml", TrainConfig)
    small = {"encoder": str(folder), "max_length": MAX_LENGTH, "epochs": 3.0, "averaging": 0.5}
    return dataclasses.replace(
        config,
        data=DataConfig(evaluation_only=("only",), crops=(16, 48), parts=(0.4, 0.2, 0.2, 0.2)),
        finetune=dataclasses.replace(
            config.finetune, learning_rate=4e-3, **small | finetuning, batch_size=16
        ),
        calibration=CalibrationConfig(min_stratum=100, min_panel=50, min_humans=50, min_auroc=0.5),
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_bigger_model_says_only_what_differs_from_the_default(name: str) -> None:
    config, origin = load_config(CONFIGS / f"{name}.yaml", TrainConfig)
    default, _ = load_config(CONFIGS / "default.yaml", TrainConfig)
    assert config.name == name
    assert (config.data, config.calibration) == (default.data, default.calibration)
    assert "/" in config.finetune.encoder
    for key in ("epochs", "batch_size", "learning_rate"):
        assert origin[f"finetune.{key}"] == f"{name}.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_bigger_model_is_trained_exported_and_opened_by_both_engines(
    name: str, tmp_path: Path, corpus_made: Path
) -> None:
    folder = train(made(name, tmp_path / "encoder"), corpus_made, tmp_path / "run")
    assert open_checkpoint(folder).config["architectures"] == [MODELS[name][1]]
    texts, labels = posts(40, seed=2)
    rng = random.Random(3)
    odd = ["ok", *CHINESE_MACHINE, *(" ".join(map(human_post, [rng] * 9)) for _ in range(9))]
    engines = (Detector.from_pretrained(folder, runtime=engine) for engine in ("onnx", "hf"))
    graph, model = (engine.score([*texts, *odd]) for engine in engines)
    assert np.abs(graph.logit - model.logit).max() <= TOLERANCE
    assert graph.n_tokens.tolist() == model.n_tokens.tolist()
    assert graph.truncated.tolist() == model.truncated.tolist()
    assert auroc(np.array(labels), graph.logit[: len(texts)]) > 0.8


@pytest.mark.slow
def test_lora_changes_no_embedding_and_goes_on_where_it_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    settings = made("lora", tmp_path / "encoder", epochs=1.0, save_steps=4).finetune
    texts, labels = posts(96, seed=4)
    n = len(texts)
    nothing = np.zeros(n, np.int64)
    listed = TrainingList(np.arange(n), nothing, nothing, nothing, nothing, attacks=(None,) * n)
    whole = finetune(settings, texts, labels, listed, tmp_path / "whole", seed=0)
    step, n_steps = transformers.Trainer.training_step, 0

    def stop_at_6(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 6:
            raise KeyboardInterrupt
        return step(self, *arguments, **named)

    monkeypatch.setattr(transformers.Trainer, "training_step", stop_at_6)
    with pytest.raises(KeyboardInterrupt):
        finetune(settings, texts, labels, listed, tmp_path / "cut", seed=0)
    cut = finetune(settings, texts, labels, listed, tmp_path / "cut", seed=0)
    assert n_steps == 6 + 12 - 4, "it began again from the start"
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, cut))
    assert {name: weight.tolist() for name, weight in first.items()} == {
        name: weight.tolist() for name, weight in second.items()
    }
    before = load_file(tmp_path / "encoder" / "model.safetensors")
    shared = sorted(before.keys() & first.keys())
    kept = [name for name in shared if np.array_equal(before[name], first[name])]
    assert "model.embed_tokens.weight" in kept
    assert "model.layers.0.self_attn.q_proj.weight" in shared
    assert "model.layers.0.self_attn.q_proj.weight" not in kept


def test_a_tokenizer_without_a_padding_token_pads_with_its_last_one(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    backend = byte_level(["<s>", "</s>"])
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>").save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path), 16).pad_token == "</s>"
