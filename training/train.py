"""Train a detector: config → checkpoint, calibrated and measured. A cut-off run goes on.

python training/train.py CONFIG [--data FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import logging

from textdetect.config import TrainConfig, load_config
from textdetect.recipe import corpus_folder, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("config", help="YAML file, as configs/default.yaml")
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--out", help="folder of the run (default: runs/NAME of the config)")


def main() -> None:
    """Parse, train, say where the result is."""
    arguments = parser.parse_args()
    logging.basicConfig(format="textdetect: %(message)s")
    logging.getLogger("textdetect").setLevel(logging.INFO)
    config, origin = load_config(arguments.config, TrainConfig)
    for key, file in origin.items():
        print(f"{key}: from {file}")
    print(train(config, corpus_folder(arguments.data), arguments.out or f"runs/{config.name}"))


if __name__ == "__main__":
    main()
