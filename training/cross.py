"""Fill matrices of AUROC: fitted on one source and scored on the next, or on all but that one.

python training/cross.py CONFIG_OR_MODEL [--matrices KIND:BY ...] [--data FOLDER] [--out FOLDER]

A bag of words is fitted, and a probe: a logistic regression on frozen features of the encoder that
the config names or the model was made from, the cheap stand-in for fine-tuning. The table is
FOLDER/NAME.matrices.csv. Finished cells are kept, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from matrices import Options, RememberedGrams, cross, leave_one_out
from probe import Features, Probe

from textdetect._ground.config import TrainConfig, load_config
from textdetect._ground.files import write_atomically
from textdetect.evaluation import find_suite
from textdetect.evaluation.baselines import BagOfWords
from textdetect.evaluation.figures import Table
from textdetect.evaluation.harness import CACHE, LEDGER
from textdetect.evaluation.scorers import Scorer
from textdetect.evaluation.suite import gather, posts_of, written
from textdetect.model.checkpoint import find_folder, open_checkpoint
from textdetect.posts.dimensions import DIMENSIONS
from textdetect.training import corpus_folder

FILL = {"cross": cross, "leave-one-out": leave_one_out}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="YAML file of a training run; or name, folder, hub id of a model")
parser.add_argument(
    "--matrices",
    nargs="+",
    metavar="KIND:BY",
    choices=[":".join(pair) for pair in product(FILL, DIMENSIONS)],
    default=["cross:source", "leave-one-out:source"],
    help=f"KIND: {', '.join(FILL)}; BY: {', '.join(DIMENSIONS)} (default: both, by source)",
)
parser.add_argument("--suite", default=str(Path(__file__).with_suffix(".yaml")), help="whose parts")
parser.add_argument("--part", default="report", choices=("report", "select"), help="is scored")
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--out", default="runs/cross", help="folder of the results")
parser.add_argument("--device", help="of the encoder: cpu, cuda … (default: cpu)")


def main() -> None:
    """Fill the matrices, write them as one table, and say where it is."""
    arguments = parser.parse_args()
    suite, folder, part = find_suite(arguments.suite), Path(arguments.out), arguments.part
    data, cache = posts_of(arguments.suite) or corpus_folder(arguments.data), folder / CACHE
    grams = RememberedGrams()
    makers: list[Callable[[], Scorer]] = [lambda: BagOfWords(grams=grams)]
    if encoder := encoder_of(arguments.model):
        features = Features(encoder, device=arguments.device, cache=cache)
        makers.insert(0, lambda: Probe(features))
    material = gather(suite, data, part=part, cache=cache, progress=True)
    parts = np.where(material.split.part == part, part, "").astype(object)
    parts[material.train] = "train"
    options = Options(
        evaluate=(part,),
        max_rows=300,
        max_tested=150,
        seed=suite.seed,
        store=cache / f"{suite.name}.matrices.jsonl",
        progress=True,
    )
    table: Table = []
    for matrix in arguments.matrices:
        kind, _, by = matrix.partition(":")
        table += FILL[kind](material.posts, parts, makers, by=by, options=options)
    if part == "report":
        look(folder / LEDGER, suite.name, arguments)
    file = folder / f"{suite.name}.matrices.csv"
    write_atomically(file, written(pa.Table.from_pylist(table), pa.csv.write_csv))
    print(file)


def encoder_of(model: str) -> str | None:
    """Name the encoder of a training config, or of a model that says how it was trained."""
    if Path(model).suffix in (".yaml", ".yml"):
        return load_config(model, TrainConfig)[0].finetune.encoder
    manifest = open_checkpoint(find_folder(model)).manifest
    config = manifest.training.get("config", {}) if manifest else {}
    encoder: str | None = config.get("finetune", {}).get("encoder")
    return encoder


def look(ledger: Path, suite: str, arguments: argparse.Namespace) -> None:
    """Write a look at the report part into the ledger of `textdetect evaluate`."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entry = {"time": now, "suite": suite, "part": arguments.part}
    entry |= {"model": arguments.model, "matrices": arguments.matrices}
    with ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
