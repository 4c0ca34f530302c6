"""Make a checkpoint's calibrations again on a corpus, as in training: `calibrate_again`.

python training/calibrate.py MODEL --config configs/default.yaml [--data FOLDER] --out FOLDER

On human posts of your own: `textdetect calibrate MODEL --human FILE --out FOLDER`.
"""

from __future__ import annotations

import argparse

from textdetect._ground.config import TrainConfig, load_config
from textdetect.training import RUNTIMES, calibrate_again, corpus_folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="embedded name or checkpoint folder")
parser.add_argument("--config", required=True, help="YAML file of the run whose part is used")
parser.add_argument("--data", help="folder of Parquet files (or TEXTDETECT_DATA)")
parser.add_argument("--out", required=True, help="folder of the new checkpoint")
parser.add_argument("--runtime", default="auto", choices=["auto", *RUNTIMES], help="auto: all")


def main() -> None:
    """Parse, calibrate, say where the result is."""
    arguments = parser.parse_args()
    config, _ = load_config(arguments.config, TrainConfig)
    runtimes = RUNTIMES if arguments.runtime == "auto" else (arguments.runtime,)
    corpus = corpus_folder(arguments.data)
    print(calibrate_again(arguments.model, config, corpus, arguments.out, runtimes=runtimes))


if __name__ == "__main__":
    main()
