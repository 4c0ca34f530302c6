"""Print the tables of docs/corpus.md: what the corpus is, and where it misleads. No text is shown.

python training/corpus.py [--data FOLDER] [--config configs/default.yaml] [--parts FILE]
    [--only SECTION ...]
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, Final
from unicodedata import category

import numpy as np
import pandas as pd
from matrices import RememberedGrams
from sklearn.utils import murmurhash3_32
from tokenizers import Tokenizer

from textdetect._ground.config import DataConfig, TrainConfig, load_config
from textdetect.errors import DataError
from textdetect.evaluation.baselines import _FUNCTION_WORDS, BagOfWords
from textdetect.evaluation.figures import Table, markdown
from textdetect.model.checkpoint import find_folder
from textdetect.posts.corpus import load_posts
from textdetect.posts.mixture import training_list
from textdetect.posts.splits import DROPPED, draw, hashes, split
from textdetect.posts.text import n_words, normalise
from textdetect.statistics.metrics import auroc
from textdetect.training import corpus_folder

FEW: Final = 20
"""Posts of a class below which there is no AUROC and no share."""
CLASSES: Final = ("human", "machine")
FEATURES: Final = {
    "link": r"\bhttps?\b|\bwww\.",
    "@name": r"@\w",
    "#": "#",
    "newline inside": r"\S\s*\n\s*\S",
    "curly quotes": "[‘’“”]",
    "non-ASCII": r"[^\x00-\x7f]",
    "space before punctuation": r"\S +[.,!?;:，。！？；：]",
    "punctuation at the end": r"[.!?…。！？]['\"”’)]*\s*$",
    "??": r"\?\?",
}
_CHATBOT: Final = """
    additionally assist assistant comprehensive conclusion crucial enhance ensure essential foster
    furthermore highlight however important importantly moreover navigate notable overall potential
    provide provides remember significant significantly therefore ultimately unique various
"""
CHATBOT: Final = frozenset(_CHATBOT.split())
"""Words that chatbots are known to like: a crude list, English only."""

KINDS: Final = (
    "links, @names",
    "punctuation, symbols",
    "digits",
    "non-ASCII",
    "function words",
    "chatbot words",
    "other words",
    "pieces of words",
)
COPIES: Final = (
    "empty",
    "exact",
    "near",
    "under 4 words",
    "copy of another source's",
    "copy of the other class",
    "across its own split",
    "missed",
    "missed, report",
)
SECTIONS: Final = ("genre", "length", "artefacts", "duplicates", "words", "tokens")
NONE: Final[Table] = [{"source": "none"}]

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--config", default="configs/default.yaml", help="YAML file of a run")
parser.add_argument("--parts", help="parts.parquet of a run of that config, which saves the split")
parser.add_argument(
    "--tokenizer", help="tokenizer.json that counts (default: the embedded model's)"
)
parser.add_argument("--only", nargs="+", choices=SECTIONS, help="sections to print")


def frame(folder: Path, config: TrainConfig, parts: str | None) -> tuple[Any, Any]:
    """Give the posts as a data frame with their parts, and the training list."""
    posts = load_posts(folder, sources=config.data.sources)
    if parts:
        texts, known = [normalise(text or "") for text in posts.texts], pd.read_parquet(parts)
        if list(known.hash) != [blake2b(t.encode(), digest_size=8).hexdigest() for t in texts]:
            raise DataError(f"{parts} is not of these posts")
        part = known.part.to_numpy(dtype=object)
    else:
        found = split(posts, config.data, seed=config.seed, progress=True)
        part, texts = found.part, found.normalised
    listed = training_list(posts, part, config.data, seed=config.seed)
    names = ("source", "language", "domain", "kind", "split")
    d = pd.DataFrame({name: posts.column(name) for name in names} | {"label": posts.labels})
    d["raw"], d["text"], d["part"] = [text or "" for text in posts.texts], texts, part
    d["order"], d["trains"] = [draw(0, "page", t) for t in texts], d.index.isin(listed.rows)
    d["classed"] = d.kind.isin(CLASSES)
    return d, listed


def genres(d: Any, listed: Any) -> dict[str, Table]:
    """Count the classes of each language and domain of the train part, and what trains."""
    table: Table = []
    sums: dict[str, int] = defaultdict(int)
    for (language, domain), cell in d[(d.part == "train") & d.classed].groupby(
        ["language", "domain"]
    ):
        of = [cell[cell.label == label] for label in (0, 1)]
        people, machines = (set(posts.source) for posts in of)
        both = people & machines
        state = "" if both else "no source has both" if people and machines else "one class"
        table.append(
            {"language": language, "domain": domain, "humans": len(of[0]), "machines": len(of[1])}
            | {"sources": f"{len(people)}, {len(machines)}, {len(both)}", "classes": state}
            | {
                f"{who}s that train": int(x.trains.sum())
                for who, x in zip(CLASSES, of, strict=True)
            }
        )
        for who, posts in zip(CLASSES, of, strict=True):
            for when, some in (("in the train part", posts), ("that train", posts[posts.trains])):
                sums[f"{who} {when}"] += len(some)
                sums[f"{who} {when}, cell of one class"] += len(some) * (state == "one class")
                alone = ~some.source.isin(both)
                sums[f"{who} {when}, source of one class in the cell"] += int(alone.sum())
    seen = d.source[listed.rows].value_counts()
    sums |= {"seen in an epoch": int(seen.sum()), f"of them {seen.idxmax()}": int(seen.max())}
    return {"genre": table, "genre in sum": [{"posts": k, "n": n} for k, n in sums.items()]}


def lengths(d: Any, listed: Any, tokenizer: Tokenizer, most: int) -> dict[str, Table]:
    """Rank posts by length alone: characters, tokens of what trains, and tokens after crops."""
    usable = d[d.classed & (d.part != DROPPED)].assign(n=lambda x: x.text.str.len())
    trains = d.loc[listed.rows, ["source", "label"]].reset_index(drop=True)
    trains["n"] = tokens(tokenizer, listed.texts(d.text.tolist()))[0]
    trains["cut"] = np.minimum(trains.n, np.where(listed.crops, listed.crops, most) - 2)
    table = []
    for name in ["all", *sorted(set(usable.source))]:
        of, list_of = (x[(x.source == name) | (name == "all")] for x in (usable, trains))
        row = {"source": name} | {f"{who}s": sum(of.label == i) for i, who in enumerate(CLASSES)}
        row |= {f"{who} median": middle(of.n[of.label == i]) for i, who in enumerate(CLASSES)}
        row |= {"AUROC of characters": area(of.label, of.n)}
        row |= {"of tokens, training list": area(list_of.label, list_of.n)}
        table.append(row | {"the same after crops": area(list_of.label, list_of.cut)})
    return {"length": table}


def artefacts(d: Any) -> dict[str, Table]:
    """Count what collection left in the texts, before normalisation and after."""
    shares, remain = [], []
    classed = d[d.classed]
    for feature, pattern in FEATURES.items():
        row: dict[str, Any] = {"feature": feature}
        for when, column in (("raw", "raw"), ("normalised", "text")):
            has = classed[column].str.contains(pattern, regex=True)
            row |= {f"{when}, {w}": share(has[classed.kind == w]) for w in CLASSES}
            by = has.groupby([classed.source, classed.kind]).agg(["mean", "size"]).unstack()
            by = by[(by["size"] >= FEW).all(axis=1)]["mean"]
            wide = by[(by.machine - by.human).abs() > 0.3]
            row[f"{when}, sources apart"] = len(wide)
            if when == "normalised":
                for source, two in wide.iterrows():
                    remain.append({"source": source, "feature": feature} | two.round(3).to_dict())
        shares.append(row)
    return {"artefacts": shares, "artefacts that remain": remain or NONE}


def twins(texts: Sequence[str], threshold: float) -> list[tuple[int, int]]:
    """Find all pairs of texts whose word 3-grams overlap by `threshold`; no sketch, none missed.

    The 1 - threshold rarest 3-grams of such texts share one (prefix filtering).
    """
    sets = [hashes(text) for text in texts]
    _, places, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(counts, kind="stable"))
    members = np.split(rank[places], np.cumsum([len(grams) for grams in sets])[:-1])
    members = [np.unique(grams) for grams in members]
    index: dict[int, list[int]] = defaultdict(list)
    pairs = []
    for row, mine in enumerate(members):
        prefix = mine[: len(mine) - math.ceil(threshold * len(mine)) + 1].tolist()
        for other in set(chain.from_iterable(index[gram] for gram in prefix)):
            few, many = sorted((len(mine), len(members[other])))
            if few >= threshold * many:
                shared = len(np.intersect1d(mine, members[other], assume_unique=True))
                if shared >= threshold * (few + many - shared):
                    pairs.append((other, row))
        for gram in prefix:
            index[gram].append(row)
    return pairs


def duplicates(d: Any, config: DataConfig) -> dict[str, Table]:
    """Count what was dropped as a copy, what it copied, and the near copies that were missed."""
    source, part, kind, own, text = (
        d[name].to_numpy(dtype=object) for name in ("source", "part", "kind", "split", "text")
    )
    trains, rows = d.trains.to_numpy(), defaultdict(list)
    for row in np.flatnonzero(text != ""):
        rows[text[row]].append(int(row))
    texts, near = list(rows), defaultdict(set)
    for a, b in twins(texts, config.near_duplicate):
        near[texts[a]].add(texts[b])
        near[texts[b]].add(texts[a])
    kept = set(text[part != DROPPED])
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COPIES, 0))
    for row in np.flatnonzero((part == DROPPED) | np.array([t in near for t in text])):
        name = source[row]
        same = [other for other in rows[text[row]] if other != row]
        close = [o for twin in near[text[row]] for o in rows[twin] if part[o] != DROPPED]
        crossing = [o for o in same + close if source[o] == name and own[o] != own[row]]
        if part[row] != DROPPED:
            reported = part[row] == "report" and kind[row] in CLASSES
            hits = [False] * 7 + [bool(close), reported and any(trains[o] for o in close)]
        elif not text[row]:
            hits = [True] + [False] * 8
        else:
            hits = [False, text[row] in kept, text[row] not in kept, n_words(text[row]) < 4]
            hits.append(any(source[o] != name for o in same + close))
            hits.append(any({kind[o], kind[row]} == {*CLASSES} for o in same + close))
            hits += [name in config.own_split and bool(crossing), False, False]
        for what, hit in zip(COPIES, hits, strict=True):
            found[name][what] += hit
            found["all"][what] += hit
    sizes = {"all": len(d)} | d.groupby("source").size().to_dict()
    return {"duplicates": [{"source": k, "posts": n} | found[k] for k, n in sizes.items()]}


def bags(d: Any, config: DataConfig) -> dict[str, Table]:
    """Fit a bag of words on each source; score it there and elsewhere, and say what it rests on."""
    fitted = some(d[(d.part == "train") & d.classed], 300, ["source", "label"])
    spare = (d.part == "train") & d.source.isin(config.own_split) & ~d.index.isin(fitted.index)
    test = some(d[((d.part == "select") | spare) & d.classed], 150, ["source", "label"])
    grams, table, kinds = RememberedGrams(), [], []
    for name, fit in fitted.groupby("source"):
        if min(np.bincount(fit.label, minlength=2)) < FEW:
            continue
        rival = BagOfWords(grams=grams).fit(fit.text.tolist(), fit.label.tolist())
        near = test[test.language.isin(fit.language)]
        near = near.assign(score=rival.score(near.text.tolist()))
        by = {source: area(x.label, x.score) for source, x in near.groupby("source")}
        within, others = by.pop(name, None), {k: v for k, v in by.items() if v is not None}
        worst = min(others, key=others.__getitem__, default=None)
        row = {"source": name, "fitted": len(fit), "tested": sum(near.source == name)}
        row |= {"within": within, "others": len(others)}
        row |= {"mean elsewhere": mean(others.values())}
        table.append(row | {"worst elsewhere": others[worst] if worst else None, "on": worst})
        if within is not None:
            kinds.append({"source": name} | margin(rival, near[near.source == name]))
    head = {"source": "mean"} | {
        k: mean(row[k] for row in table) for k in ("within", "mean elsewhere")
    }
    means = {"source": "mean"} | {k: mean(row[k] for row in kinds) for k in KINDS}
    return {"bag of words": [*table, head], "kinds": [*kinds, means]}


def margin(rival: BagOfWords, posts: Any) -> dict[str, float]:
    """Share out the distance between the classes' mean scores among the kinds of n-grams."""
    (_, counts), (_, tf_idf), (_, linear) = rival._model.steps
    texts = rival._inputs(posts.text.tolist())
    x, label = tf_idf.transform(counts.transform(texts)), posts.label.to_numpy()
    apart = x[label == 1].mean(axis=0) - x[label == 0].mean(axis=0)
    pull = linear.coef_[0] * np.asarray(apart)[0]
    kinds: dict[int, str] = {}
    for half, (_, hashing) in enumerate(counts._count.transformer_list):
        for gram in set(chain.from_iterable(map(hashing.build_analyzer(), texts))):
            place = abs(murmurhash3_32(gram, seed=0)) % hashing.n_features
            kinds[half * hashing.n_features + place] = kind_of(gram, words=half == 1)
    sums = dict.fromkeys(KINDS, 0.0)
    for place, kind in kinds.items():
        sums[kind] += float(pull[place] / pull.sum())
    return {kind: round(total, 3) + 0.0 for kind, total in sums.items()}  # no -0.0


def kind_of(gram: str, *, words: bool) -> str:
    """Name the kind of an n-gram, one of `KINDS`.

    >>> kind_of("htt", words=False), kind_of("of the", words=True)
    ('links, @names', 'function words')
    """
    parts = set(gram.split())
    if "@" in gram or "htt" in gram or "ttp" in gram or (words and parts & {"http", "user"}):
        return KINDS[0]
    if any(category(c)[0] in "PS" for c in gram):
        return KINDS[1]
    if any(c.isdigit() for c in gram):
        return KINDS[2]
    if not gram.isascii():
        return KINDS[3]
    if not words:
        return KINDS[7]
    return KINDS[4] if parts <= _FUNCTION_WORDS else KINDS[5] if parts & CHATBOT else KINDS[6]


def unknowns(d: Any, tokenizer: Tokenizer) -> dict[str, Table]:
    """Count the tokens, and those that the encoder does not know, by language and class."""
    table = []
    d = some(d[d.classed & (d.part != DROPPED)], 300, ["source", "language", "label"])
    for language, posts in d.groupby("language"):
        n, unknown = tokens(tokenizer, posts.text.tolist())
        row = {"language": language, "posts": len(posts), "[UNK]": share(unknown.sum() / n.sum())}
        for label, who in enumerate(CLASSES):
            of = n[(posts.label == label).to_numpy()]
            row |= {f"{who} median": middle(of), f"{who} < 10": share(of < 10)}
            row |= {f"{who} > 256": share(of > 254)}
        table.append(row)
    return {"tokens": table}


def some(d: Any, most: int, columns: list[str]) -> Any:
    """Draw at most `most` posts from each combination of the columns' values."""
    return d.sort_values("order").groupby(columns).head(most)


def tokens(tokenizer: Tokenizer, texts: list[str]) -> tuple[Any, Any]:
    """Count the tokens of each text, special ones left out, and those that are [UNK]."""
    named = (tokenizer.token_to_id(name) for name in ("[UNK]", "<unk>"))
    unknown, counts = next((number for number in named if number is not None), 0), []
    for first in range(0, len(texts), 4096):
        for found in tokenizer.encode_batch(texts[first : first + 4096], add_special_tokens=False):
            counts.append((len(found.ids), found.ids.count(unknown)))
    found_all = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return found_all[:, 0], found_all[:, 1]


def area(labels: Any, scores: Any) -> float | None:
    """AUROC to three places, None where a class has fewer than `FEW` posts."""
    few = min(np.bincount(labels, minlength=2)) < FEW
    return None if few else round(auroc(labels, scores), 3)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean to three places of what is not None, None of nothing."""
    return share([value for value in values if value is not None])


def middle(values: Any) -> int | None:
    """Median, None of nothing."""
    return int(np.median(values)) if len(values) else None


def share(flags: Any) -> float | None:
    """Mean to three places, None of nothing."""
    return round(float(np.mean(flags)), 3) if np.size(flags) else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, count, print."""
    options = parser.parse_args(arguments)
    config, _ = load_config(options.config, TrainConfig)
    d, listed = frame(corpus_folder(options.data), config, options.parts)
    embedded = str(find_folder("default") / "tokenizer.json")
    tokenizer = Tokenizer.from_file(options.tokenizer or embedded)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    makers: dict[str, Callable[[], dict[str, Table]]] = {
        "genre": lambda: genres(d, listed),
        "length": lambda: lengths(d, listed, tokenizer, config.finetune.max_length),
        "artefacts": lambda: artefacts(d),
        "duplicates": lambda: duplicates(d, config.data),
        "words": lambda: bags(d, config.data),
        "tokens": lambda: unknowns(d, tokenizer),
    }
    for what in options.only or makers:
        for name, table in makers[what]().items():
            print(f"\n## {name}\n\n{markdown(table)}", flush=True)


if __name__ == "__main__":
    main()
