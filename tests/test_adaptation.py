"""An encoder learns words that it lacked, without a label."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from synthetic import human_posts, write_encoder

from textdetect.adaptation import adapt, new_words
from textdetect.config import AdaptConfig
from textdetect.errors import TrainingFailed
from textdetect.finetune import load_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SHARED, ONE_SOURCE = "龍鳳麒麟", "龜鶴"
SMALL = AdaptConfig(max_tokens=100, min_posts=20, max_length=32)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("adapting") / "encoder")


@pytest.fixture(scope="module")
def read() -> tuple[list[str], list[str]]:
    """Posts of two sources; some characters are in both, some in one only, some are rare."""
    rng = random.Random(0)
    texts, sources = [], []
    for i, post in enumerate(human_posts(200)):
        extra = "".join(rng.sample(SHARED, 2)) + ("鯨" if i < 10 else "")
        extra += ONE_SOURCE if i % 2 else ""
        texts.append(f"{post[:60]} {extra}")
        sources.append("two" if i % 2 else "one")
    return texts, sources


@pytest.fixture(scope="module")
def adapted(
    tmp_path_factory: pytest.TempPathFactory, encoder: Path, read: tuple[list[str], list[str]]
) -> Path:
    return adapt(str(encoder), SMALL, *read, tmp_path_factory.mktemp("adapted"), seed=0)


def test_words_of_several_sources_and_enough_posts_are_new(
    encoder: Path, read: tuple[list[str], list[str]]
) -> None:
    words = new_words(load_tokenizer(str(encoder), 32), *read, SMALL)
    assert set(SHARED) <= set(words)
    assert not set(words) & {*ONE_SOURCE, "鯨"}
    assert not set(words) & set(load_tokenizer(str(encoder), 32).get_vocab())


def test_only_the_most_used_words_are_taken(
    encoder: Path, read: tuple[list[str], list[str]]
) -> None:
    few = AdaptConfig(max_tokens=2, min_posts=20)
    assert len(new_words(load_tokenizer(str(encoder), 32), *read, few)) == 2


def test_the_adapted_encoder_is_the_old_one_with_more_words(adapted: Path, encoder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    old, new = (load_tokenizer(str(folder), 32) for folder in (encoder, adapted))
    assert {word: new.get_vocab()[word] for word in old.get_vocab()} == old.get_vocab()
    unknown = new.unk_token_id
    assert unknown in old(SHARED)["input_ids"]
    assert unknown not in new(SHARED)["input_ids"]
    model = AutoModelForSequenceClassification.from_pretrained(adapted, num_labels=2)
    assert model.get_input_embeddings().weight.shape[0] == len(new) > len(old)
    before, after = (AutoModel.from_pretrained(folder) for folder in (encoder, adapted))
    layer = "encoder.layer.0.output.dense.weight"
    assert torch.equal(before.state_dict()[layer], after.state_dict()[layer])


def test_one_seed_gives_one_encoder_and_a_finished_one_is_not_made_again(
    adapted: Path, encoder: Path, read: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    weights = "model.safetensors"
    again = adapt(str(encoder), SMALL, *read, tmp_path, seed=0)
    assert (again / weights).read_bytes() == (adapted / weights).read_bytes()
    made = (adapted / weights).stat().st_mtime_ns
    assert adapt(str(encoder), SMALL, ["other"], ["posts"], adapted.parent, seed=1) == adapted
    assert (adapted / weights).stat().st_mtime_ns == made


def test_new_words_leave_what_the_encoder_says_of_old_words(
    encoder: Path, read: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModel

    folder = adapt(str(encoder), SMALL, *read, tmp_path, seed=0)
    ids = torch.tensor([load_tokenizer(str(encoder), 32)("so good to see you")["input_ids"]])
    with torch.inference_mode():
        before, after = (AutoModel.from_pretrained(f).eval()(ids)[0] for f in (encoder, folder))
    assert torch.equal(before, after)


def test_only_a_bert_can_be_adapted(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    encoder = write_encoder(tmp_path / "encoder")
    config = DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    DistilBertModel(config).save_pretrained(encoder)
    with pytest.raises(TrainingFailed, match="distilbert"):
        adapt(str(encoder), SMALL, ["a"], ["one"], tmp_path, seed=0)
