"""Export a transformers classifier (human, machine) as a checkpoint folder.

python training/export.py MODEL --out FOLDER --name NAME
"""

from __future__ import annotations

import argparse

from textdetect.export import export

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="transformers folder of a two-label classifier")
parser.add_argument("--out", required=True, help="folder of the checkpoint")
parser.add_argument("--name", required=True, help="name of the model")
parser.add_argument("--max-length", type=int, default=256, help="tokens that the model reads")


def main() -> None:
    """Parse, export, say where the result is."""
    arguments = parser.parse_args()
    print(
        export(arguments.model, arguments.out, name=arguments.name, max_length=arguments.max_length)
    )


if __name__ == "__main__":
    main()
