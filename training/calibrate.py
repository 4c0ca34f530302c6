"""Fit a model's p-values on human posts of your own, and write the checkpoint.

python training/calibrate.py MODEL --human FILE [--labelled FILE] --out FOLDER
"""

from __future__ import annotations

import argparse

from textdetect.recipe import recalibrate

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="embedded name or checkpoint folder")
parser.add_argument("--human", required=True, help="posts that people wrote")
parser.add_argument("--labelled", help="posts with a label column (0 human, 1 machine)")
parser.add_argument("--out", required=True, help="folder of the new checkpoint")
parser.add_argument("--text-column", help="column of the posts, if not a usual name")
parser.add_argument(
    "--runtime", default="auto", choices=["auto", "onnx", "openvino", "hf"], help="engine"
)


def main() -> None:
    """Parse, calibrate, say where the result is."""
    arguments = parser.parse_args()
    options = {"labelled": arguments.labelled, "text_column": arguments.text_column}
    folder = recalibrate(
        arguments.model, arguments.human, arguments.out, runtime=arguments.runtime, **options
    )
    print(folder)


if __name__ == "__main__":
    main()
