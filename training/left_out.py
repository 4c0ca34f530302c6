"""Retrain a recipe without one part at a time, and measure it on that part, beside a bag of words.

python training/left_out.py CONFIG [--only NAME ...] [--n-posts N] [--seed N] [--out FOLDER]

A cell trains once, on a subsample, so that it takes minutes: its figures compare recipes, and stand
below what the whole recipe would reach. Finished cells are not run again.

Two figures stand for each: the AUROC against the people that a cell names, and the share of machine
posts found, a mean over the sets (source and language) that it left out, above the score of all but
one in a hundred and five in a hundred people of the same language over all genres. Beside ours
stand those of a bag of words, and of the sum of both.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from textdetect._ground.config import DataConfig, TrainConfig, build, load_config
from textdetect.errors import InvalidInput
from textdetect.evaluation import BagOfWords
from textdetect.model.checkpoint import open_checkpoint
from textdetect.model.runtimes.hf import HfRuntime
from textdetect.posts.corpus import Posts, load_posts
from textdetect.posts.dimensions import dimension
from textdetect.posts.mixture import training_list
from textdetect.posts.splits import Split, at_most, draw, split
from textdetect.statistics.metrics import auroc
from textdetect.training import corpus_folder
from textdetect.training.finetune import finetune

MOST = 1_500
A_SET = (30, 300)
"""Fewest and most posts of a source and language, machines or people, for the share found."""
MIN_POSTS_OF_AN_ACCOUNT = 3

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("config", help="YAML file, as configs/default.yaml")
parser.add_argument("--cells", default=str(Path(__file__).with_suffix(".yaml")))
parser.add_argument("--only", nargs="*", help="names of cells (default: all)")
parser.add_argument("--n-posts", type=int, default=12_000, help="training posts of a cell")
parser.add_argument(
    "--seed", type=int, help="of a training (default: the config's); the parts stay"
)
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--out", help="folder of the results (default: runs/NAME-left-out)")


def main() -> None:
    """Run the cells, one line each as it ends, and print the table."""
    arguments = parser.parse_args()
    logging.basicConfig(format="textdetect: %(message)s")
    config, _ = load_config(arguments.config, TrainConfig)
    cells = yaml.safe_load(Path(arguments.cells).read_text(encoding="utf-8"))
    unknown = sorted(set(arguments.only or ()) - set(cells))
    if unknown:
        raise InvalidInput(
            f"no cell {unknown[0]!r} in {arguments.cells}; it has {', '.join(cells)}"
        )
    out = Path(arguments.out or f"runs/{config.name}-left-out")
    out.mkdir(parents=True, exist_ok=True)
    posts = load_posts(corpus_folder(arguments.data), sources=config.data.sources)
    splits: dict[str, Split] = {}
    print("| left out | AUROC | bag of words | accounts | machines | people | sets |", end="")
    print(" found at .01 | at .05 | bag of words | sum of both | minutes |")
    print("|---" * 12 + "|")
    seed = config.seed if arguments.seed is None else arguments.seed
    for name in arguments.only or cells:
        run = out / (name if seed == config.seed else f"{name}-seed-{seed}")
        file = run.with_suffix(".json")
        if not file.is_file():
            data = _data(config.data, cells[name])
            key = str(data.split_by)
            if key not in splits:
                splits[key] = split(posts, data, seed=config.seed, progress=True)
            rows = measured(cells[name], posts, splits[key], seed=config.seed)
            trained = dataclasses.replace(config, data=data, seed=seed)
            result = cell(name, trained, posts, splits[key], rows, arguments.n_posts, run)
            file.write_text(json.dumps(result))
        print(_line(json.loads(file.read_text())), flush=True)


def cell(
    name: str,
    config: TrainConfig,
    posts: Posts,
    parts: Split,
    rows: np.ndarray[Any, Any],
    n_posts: int,
    run: Path,
) -> dict[str, Any]:
    """Train on a subsample of the recipe's list and measure on `rows`, which it left out."""
    began = time.monotonic()
    listed = training_list(posts, parts.part, config.data, seed=config.seed)
    place = [draw(config.seed, name, str(i)) for i in range(len(listed.rows))]
    listed = listed.take(np.sort(np.argsort(place)[:n_posts]))
    texts, labels = listed.texts(parts.normalised), posts.labels[listed.rows].tolist()
    settings = dataclasses.replace(config.finetune, runs=1)
    model = finetune(settings, texts, labels, listed, run, seed=config.seed)
    wide = everyone(posts, parts, rows, seed=config.seed)
    both = np.unique(np.concatenate([rows, wide]))
    asked = [parts.normalised[row] for row in both]
    ours = HfRuntime(open_checkpoint(model)).run(asked).logits
    rival = BagOfWords(seed=config.seed).fit(texts, labels).score(asked)
    inside, among = np.searchsorted(both, rows), np.searchsorted(both, wide)
    truth, scores = posts.labels[rows], ours[inside]
    shares = {
        name: found(posts.take(wide), logits[among])
        for name, logits in (("ours", ours), ("rival", rival), ("sum", ours + rival))
    }
    return {
        "cell": run.name,
        "auroc": auroc(truth, scores),
        "bag_of_words": auroc(truth, rival[inside]),
        "accounts": _by_account(posts, rows, scores),
        "found": shares,
        "n_machines": int(truth.sum()),
        "n_people": int((truth == 0).sum()),
        "n_posts": len(listed.rows),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


def measured(of: dict[str, Any], posts: Posts, parts: Split, *, seed: int) -> np.ndarray[Any, Any]:
    """Choose at most `MOST` machine and as many human posts that the cell did not train on."""
    gone = np.isin(posts.column("source"), of.get("leave_out", {}).get("source", []))
    usable = (parts.part == "report") | (gone & (parts.part != "duplicate"))
    texts = posts.column("text")
    chosen = []
    for label, what in ((1, "machines"), (0, "humans")):
        kind = ("human", "machine")[label]
        mask = usable & (posts.column("kind") == kind)
        for by, values in of[what].items():
            mask[mask] = np.isin(dimension(posts.take(mask), by), list(values))
        rows = sorted(np.flatnonzero(mask), key=lambda row: draw(seed, "cell", str(texts[row])))
        chosen += rows[:MOST]
    return np.array(chosen, dtype=np.int64)


def everyone(
    posts: Posts, parts: Split, rows: np.ndarray[Any, Any], *, seed: int
) -> np.ndarray[Any, Any]:
    """Choose the machine posts among `rows`, and people of their languages that trained nothing."""
    machines = rows[posts.labels[rows] == 1]
    language = posts.column("language")
    mask = (parts.part == "report") & (posts.column("kind") == "human")
    mask &= np.isin(language, list(set(language[machines])))
    by = (posts.column("source"), language)
    people = at_most(A_SET[1], posts, mask, by, seed=seed, what="people")
    return np.concatenate([machines, people])


def found(posts: Posts, scores: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Give the share of machine posts above all but 1% and 5% of people, a mean over their sets."""
    labels, language = posts.labels, posts.column("language")
    shares = []
    for code in sorted(set(language)):
        people = scores[(language == code) & (labels == 0)]
        if len(people) < 20 * A_SET[0]:
            continue
        bars = np.quantile(people, (0.99, 0.95))
        for source in sorted(set(posts.column("source"))):
            mine = (posts.column("source") == source) & (language == code) & (labels == 1)
            if mine.sum() >= A_SET[0]:
                shares.append([float(np.mean(scores[mine][: A_SET[1]] > bar)) for bar in bars])
    at = np.mean(shares, axis=0).tolist() if shares else [None, None]
    return {"sets": len(shares), "0.01": at[0], "0.05": at[1]}


def _data(data: DataConfig, of: dict[str, Any]) -> DataConfig:
    by = of.get("split_by", {})
    own = tuple(source for source in data.own_split if source not in by)
    build(DataConfig, {"leave_out": of.get("leave_out", {}), "split_by": by})
    return dataclasses.replace(data, leave_out=of.get("leave_out", {}), split_by=by, own_split=own)


def _by_account(posts: Posts, rows: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> Any:
    account, labels = posts.column("account")[rows], posts.labels[rows]
    means, truth = [], []
    for name in sorted(set(account) - {""}):
        mine = account == name
        if mine.sum() >= MIN_POSTS_OF_AN_ACCOUNT:
            means.append(float(scores[mine].mean()))
            truth.append(int(labels[mine][0]))
    return auroc(truth, means) if len(set(truth)) == 2 else None


def _line(found: dict[str, Any]) -> str:
    ours = found["found"]["ours"]
    return (
        f"| {found['cell']} | {found['auroc']:.3f} | {found['bag_of_words']:.3f} | "
        f"{_number(found['accounts'])} | {found['n_machines']} | {found['n_people']} | "
        f"{ours['sets']} | {_number(ours['0.01'])} | {_number(ours['0.05'])} | "
        f"{_number(found['found']['rival']['0.01'])} | {_number(found['found']['sum']['0.01'])} | "
        f"{found['minutes']} |"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
