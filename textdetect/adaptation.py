"""A pretrained encoder → the same one with more words, learnt from unlabelled posts.

It knows nothing of labels, classifiers or sources beyond a name to count by.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from textdetect._optional import require
from textdetect.checkpoint import encoder_folder
from textdetect.config import AdaptConfig
from textdetect.errors import TrainingFailed
from textdetect.finetune import DONE, load_tokenizer

logger = logging.getLogger(__name__)

_CANDIDATES: Final = 40_000
_BATCH: Final = 4_096


def adapt(
    encoder: str,
    config: AdaptConfig,
    texts: Sequence[str],
    sources: Sequence[str],
    out: str | Path,
    *,
    seed: int,
) -> Path:
    """Extend an encoder's vocabulary by the words that its posts need and it lacks.

    Each new word's vector begins as the mean of those that spelled it; fine-tuning does the rest.

    Args:
        encoder: package, folder or hub id of a BERT with a WordPiece vocabulary.
        texts: normalised posts, of which no label is known.
        sources: where each is from.
        out: folder of the run; the encoder is written to `out`/encoder.

    Returns:
        The encoder's folder, as `FinetuneConfig.encoder` takes it.

    Raises:
        TrainingFailed: the encoder is not a BERT.
    """
    folder = Path(out) / "encoder"
    if (folder / DONE).is_file():
        return folder
    transformers, torch = require("transformers", extra="train"), require("torch", extra="train")
    transformers.set_seed(seed)
    found = encoder_folder(encoder)
    old = load_tokenizer(found, config.max_length)
    base = transformers.AutoModel.from_pretrained(found, dtype=torch.float32)
    if base.config.model_type != "bert":
        raise TrainingFailed(f"only a BERT can be adapted; {encoder} is {base.config.model_type}")
    words = new_words(old, texts, sources, config)
    tokenizer = with_words(old, words, found, folder)
    base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    _spell(base.get_input_embeddings().weight, words, old, seed)
    logger.info("%d words more, %d in all", len(words), len(tokenizer))
    base.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / DONE).touch()
    return folder


def new_words(
    tokenizer: Any, texts: Sequence[str], sources: Sequence[str], config: AdaptConfig
) -> list[str]:
    """Choose characters and subwords that an encoder lacks and that posts of several sources use.

    Candidates are those of a WordPiece vocabulary trained on `texts`; what stays is used, in the
    texts as they would be read with all of them, in at least `min_posts` posts and `min_sources`
    sources; the most used first, at most `max_tokens`.
    """
    tokenizers = require("tokenizers", extra="train")
    backend = tokenizer.backend_tokenizer
    learner = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=tokenizer.unk_token))
    learner.normalizer, learner.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=_CANDIDATES, min_frequency=config.min_posts, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    known = backend.get_vocab(with_added_tokens=True)
    words = sorted(set(learner.get_vocab()) - set(known))
    n_posts, n_sources = config.min_posts, config.min_sources
    for _ in range(2):  # a second look: words that lost their longer rivals are used more
        counts = _usage(_extended(tokenizer, words), len(known), texts, sources)
        words = [w for w in words if counts[w][0] >= n_posts and counts[w][1] >= n_sources]
    return sorted(words, key=lambda word: (-counts[word][0], word))[: config.max_tokens]


def with_words(tokenizer: Any, words: Sequence[str], found: str, folder: Path) -> Any:
    """Write the tokenizer with `words` after its own to `folder`, and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    _extended(tokenizer, words).save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").unlink(missing_ok=True)
    return load_tokenizer(str(folder), tokenizer.model_max_length)


def _extended(tokenizer: Any, words: Sequence[str]) -> Any:
    tokenizers = require("tokenizers", extra="train")
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary |= {word: len(vocabulary) + i for i, word in enumerate(words)}
    return tokenizers.Tokenizer.from_str(json.dumps(content))


def _usage(
    backend: Any, n_known: int, texts: Sequence[str], sources: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Count the posts and the sources that use each word past the first `n_known`."""
    posts: dict[int, int] = defaultdict(int)
    places: dict[int, set[str]] = defaultdict(set)
    for first in range(0, len(texts), _BATCH):
        part = backend.encode_batch_fast(list(texts[first : first + _BATCH]))
        for encoding, source in zip(part, sources[first : first + _BATCH], strict=True):
            for number in {number for number in encoding.ids if number >= n_known}:
                posts[number] += 1
                places[number].add(source)
    words = backend.get_vocab().items()
    return {word: (posts[i], len(places[i])) for word, i in words if i >= n_known}


def _spell(weight: Any, words: Sequence[str], old: Any, seed: int) -> None:
    """Start each new vector as the mean of the old vectors that spelled its word."""
    torch = require("torch", extra="train")
    chance = torch.Generator().manual_seed(seed)
    first = weight.shape[0] - len(words)
    with torch.no_grad():
        mean, spread = weight[:first].mean(0), weight[:first].std(0)
        for number, word in enumerate(words, start=first):
            pieces = old.backend_tokenizer.encode(word.removeprefix("##"), add_special_tokens=False)
            ids = [i for i in pieces.ids if i != old.unk_token_id]
            near = weight[ids].mean(0) if ids else mean
            noise = torch.randn(weight.shape[1], generator=chance) * spread
            weight[number] = near + (0.1 if ids else 0.5) * noise
