"""Retrain a recipe without one part at a time, and measure it on that part, beside a bag of words.

python training/left_out.py CONFIG [--only NAME ...] [--n-posts N] [--seed N] [--out FOLDER]

A cell trains once, on a subsample, so that it takes minutes: its figures compare recipes, and stand
below what the whole recipe would reach. Finished cells are not run again.
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

from textdetect.checkpoint import open_checkpoint
from textdetect.config import DataConfig, TrainConfig, build, load_config
from textdetect.errors import InvalidInput
from textdetect.evaluation import BagOfWords
from textdetect.evaluation.baselines import taught
from textdetect.finetune import finetune
from textdetect.metrics import auroc
from textdetect.posts import Posts, load_posts
from textdetect.posts.dimensions import dimension
from textdetect.posts.mixture import training_list
from textdetect.posts.splits import Split, draw, split
from textdetect.recipe import adapted, corpus_folder
from textdetect.runtimes.hf import HfRuntime

MOST = 1_500
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
    print("| left out | AUROC | bag of words | accounts | machines | people | minutes |")
    print("|---|---|---|---|---|---|---|")
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
            found = cell(name, trained, posts, splits[key], rows, arguments.n_posts, run)
            file.write_text(json.dumps(found))
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
    encoder = adapted(config, posts, parts, run)
    settings = dataclasses.replace(config.finetune, encoder=encoder, runs=1)
    learned = taught(texts, posts.labels, listed.rows, settings.distil, seed=config.seed)
    model = finetune(settings, texts, learned, listed, run, seed=config.seed)
    asked = [parts.normalised[row] for row in rows]
    truth = posts.labels[rows]
    scores = HfRuntime(open_checkpoint(model)).run(asked).logits
    rival = BagOfWords(seed=config.seed).fit(texts, labels).score(asked)
    return {
        "cell": run.name,
        "auroc": auroc(truth, scores),
        "bag_of_words": auroc(truth, rival),
        "accounts": _by_account(posts, rows, scores),
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
    by_account = found["accounts"]
    return (
        f"| {found['cell']} | {found['auroc']:.3f} | {found['bag_of_words']:.3f} | "
        f"{'' if by_account is None else f'{by_account:.3f}'} | {found['n_machines']} | "
        f"{found['n_people']} | {found['minutes']} |"
    )


if __name__ == "__main__":
    main()
