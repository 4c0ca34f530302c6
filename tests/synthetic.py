"""A seeded generator of small labelled data, so that training is tested where no corpus is.

People ramble in fragments; machines fill templates, or walk a Markov chain over what people said.
Nothing here says anything of real people or real machines.
"""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FRAGMENTS = (
    "ugh the bus was late again",
    "anyone else still awake at this hour",
    "my cat just knocked over the coffee lol",
    "cant believe we lost in the last minute",
    "so my sister rang and we talked for ages",
    "the new place on the corner is not bad at all",
    "who left the window open all night",
    "my knee hurts since the walk on sunday",
    "gonna skip lunch and finish this first",
    "dad fixed the old radio and it works",
    "it rained right through my shoes today",
    "never buying that brand of tea again",
    "the kids drew on the wall and i laughed",
    "still waiting for the plumber to ring back",
    "honestly the second season was better",
    "we got lost twice on the way to the lake",
)
TEMPLATES = (
    "The {thing} offers {quality} performance and is {verdict} for everyday use",
    "I would highly recommend the {thing} to anyone looking for {quality} results",
    "Overall, this {thing} provides {quality} value, and the experience was {verdict}",
    "In conclusion, it is important to note that the {thing} remains {verdict}",
)
SLOTS = {
    "thing": ("vacuum", "phone", "hotel", "headset", "car", "service", "blender", "lamp"),
    "quality": ("exceptional", "remarkable", "consistent", "outstanding", "reliable"),
    "verdict": ("truly impressive", "well suited", "a great choice", "perfectly adequate"),
}
CHINESE_HUMAN = (
    "今天又堵车了",
    "晚饭吃了面条",
    "这雨下得没完",
    "猫把杯子打翻了",
    "周末想睡懒觉",
    "手机又没电了",
)
CHINESE_MACHINE = (
    "总体而言这款产品性能卓越",
    "值得注意的是服务非常周到",
    "综上所述体验令人满意",
    "强烈推荐给每一位用户",
)


def human_post(rng: random.Random) -> str:
    """Make a post of two to four fragments and a number, so that few are near-duplicates."""
    parts = rng.sample(FRAGMENTS, rng.randint(2, 4))
    words = " ".join(parts).split()
    del words[rng.randrange(len(words))]
    words.insert(rng.randrange(len(words)), str(rng.randrange(10_000)))
    return " ".join(words)


def template_post(rng: random.Random) -> str:
    """Make a post of one or two filled templates."""
    return ". ".join(
        pattern.format_map({slot: rng.choice(words) for slot, words in SLOTS.items()})
        + f" {rng.randrange(10_000)} {rng.choice(SLOTS['thing'])}"
        for pattern in rng.sample(TEMPLATES, rng.randint(1, 2))
    )


def markov_post(rng: random.Random) -> str:
    """Walk an order-1 chain over what people say."""
    words = " ".join(FRAGMENTS).split()
    post = [rng.choice(words)]
    while len(post) < rng.randint(10, 24):
        places = [i for i, word in enumerate(words[:-1]) if word == post[-1]]
        post.append(words[rng.choice(places) + 1] if places else rng.choice(words))
    return " ".join(post)


def human_posts(n: int, *, seed: int = 0) -> list[str]:
    """Make n English posts of people."""
    rng = random.Random(f"human-{seed}")
    return [human_post(rng) for _ in range(n)]


def write_corpus(folder: Path, *, n: int = 1_500, seed: int = 0) -> Path:
    """Write a corpus folder: reviews with accounts, a one-class panel, and one to measure only.

    Args:
        n: posts of people in the largest source; as many by machines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    chats, panel, only = [], [], []
    for i in range(n):
        account = f"person{i % (n // 5)}"
        chats.append(_row(human_post(rng), 0, "en", "comment", account=account))
        maker = template_post if rng.random() < 0.7 else markov_post
        chats.append(_row(maker(rng), 1, "en", "comment", generator=maker.__name__))
        panel.append(_row(human_post(rng), 0, "en", "tweet"))
    for i in range(60):
        only.append(_row(human_post(rng), 0, "en", "comment", group=f"g{i}"))
        only.append(_row(template_post(rng), 1, "en", "comment", group=f"g{i}"))
        only.append(_row(human_post(rng), 1, "en", "comment", kind="assisted"))
    chinese = [
        _row("".join(rng.sample(texts, 3)) + str(i), label, "zh", "comment")
        for i in range(40)
        for label, texts in enumerate((CHINESE_HUMAN, CHINESE_MACHINE))
    ]
    for name, rows in (("chats", chats + chinese), ("panel", panel), ("only", only)):
        table = pa.Table.from_pylist([row | {"source": name} for row in rows])
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def _row(text: str, label: int, language: str, domain: str, **more: str) -> dict[str, object]:
    row: dict[str, object] = {
        "text": text,
        "label": label,
        "language": language,
        "domain": domain,
        "generator": more.get("generator", "template_post" if label else "human"),
        "kind": more.get("kind", "machine" if label else "human"),
        "account": more.get("account"),
        "group": more.get("group"),
        "split": None,
    }
    return row


def write_encoder(folder: Path, *, seed: int = 0) -> Path:
    """Write a tiny pretrained-looking encoder: a BERT of random weights and its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    words = " ".join((*FRAGMENTS, *TEMPLATES, *(" ".join(w) for w in SLOTS.values()))).lower()
    known = sorted({*words.replace("{", "").replace("}", "").replace(",", "").split()})
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-:;()@#&/"
    chinese = sorted({*"".join((*CHINESE_HUMAN, *CHINESE_MACHINE))})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *letters, *(f"##{c}" for c in letters), *chinese]
    vocabulary += [word for word in [*known, "http", "user"] if word not in vocabulary]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=True)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    return folder
