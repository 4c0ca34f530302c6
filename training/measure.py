"""Measure a checkpoint again on the report part of a config, and print the tables.

python training/measure.py configs/default.yaml [--model MODEL] [--data FOLDER] [--write]
"""

# Not named evaluate.py: a script's folder comes first in sys.path, and the library of that name
# must still be found.

from __future__ import annotations

import argparse

from textdetect._ground.config import TrainConfig, load_config
from textdetect.evaluation.figures import markdown
from textdetect.model.checkpoint import find_folder
from textdetect.training import corpus_folder, finish, remeasure

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("config", help="YAML file of the run, as configs/default.yaml")
parser.add_argument("--model", default="default", help="embedded name or checkpoint folder")
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--write", action="store_true", help="put them into its manifest and card")


def main() -> None:
    """Parse, measure, print, and write if asked to."""
    arguments = parser.parse_args()
    config, _ = load_config(arguments.config, TrainConfig)
    tables = remeasure(arguments.model, config, corpus_folder(arguments.data))
    for name, table in tables.items():
        if table:
            print(f"\n## {name}\n\n{markdown(table)}")
    if arguments.write:
        finish(find_folder(arguments.model), tables)


if __name__ == "__main__":
    main()
