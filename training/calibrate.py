"""Fit a model's p-values on human posts of your own, or on a corpus as in training.

python training/calibrate.py MODEL --human FILE [--labelled FILE] --out FOLDER
python training/calibrate.py MODEL --config configs/default.yaml [--data FOLDER] --out FOLDER
"""

from __future__ import annotations

import argparse

from textdetect.config import TrainConfig, load_config
from textdetect.recipe import RUNTIMES, calibrate_again, corpus_folder, recalibrate

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="embedded name or checkpoint folder")
posts = parser.add_mutually_exclusive_group(required=True)
posts.add_argument("--human", help="posts that people wrote")
posts.add_argument("--config", help="YAML file of the run whose calibration part is used")
parser.add_argument("--data", help="with --config: folder of Parquet files (or TEXTDETECT_DATA)")
parser.add_argument("--labelled", help="posts with a label column (0 human, 1 machine)")
parser.add_argument("--out", required=True, help="folder of the new checkpoint")
parser.add_argument("--text-column", help="column of the posts, if not a usual name")
parser.add_argument(
    "--runtime", default="auto", choices=["auto", "onnx", "openvino", "hf"], help="engine"
)


def main() -> None:
    """Parse, calibrate, say where the result is."""
    arguments = parser.parse_args()
    if arguments.config:
        config, _ = load_config(arguments.config, TrainConfig)
        runtimes = RUNTIMES if arguments.runtime == "auto" else (arguments.runtime,)
        corpus = corpus_folder(arguments.data)
        print(calibrate_again(arguments.model, config, corpus, arguments.out, runtimes=runtimes))
        return
    options = {"labelled": arguments.labelled, "text_column": arguments.text_column}
    folder = recalibrate(
        arguments.model, arguments.human, arguments.out, runtime=arguments.runtime, **options
    )
    print(folder)


if __name__ == "__main__":
    main()
