"""A tiny causal language model, built on the spot: random weights, a byte-level tokenizer."""

from __future__ import annotations

from pathlib import Path

N_PLACES = 48
"""Tokens that the model has places for."""


def tiny_lm(folder: Path, *, seed: int = 0, bos: bool = False, extra_outputs: int = 0) -> Path:
    """Write a transformers folder of a two-layer GPT-2 over bytes.

    Args:
        folder: to be made.
        seed: of the weights.
        bos: whether the tokenizer puts <s> before each text, as Llama's does.
        extra_outputs: outputs beyond the vocabulary, as models padded to a round size have.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
    config = GPT2Config(
        vocab_size=len(vocabulary) + extra_outputs,
        n_positions=N_PLACES,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        GPT2LMHeadModel(config).eval().save_pretrained(folder)
    return folder
