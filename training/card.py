"""Put the embedded model's calibration and figures into model_card.md, below its written part.

python training/card.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from textdetect.model.checkpoint import CARD, find_folder

MARK = "<!-- Below this line: written by training/card.py from the embedded checkpoint. -->\n"
PATH = Path(__file__).parents[1] / "model_card.md"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--check", action="store_true", help="compare, write nothing")


def main() -> int:
    """Write the card, or compare it, and return the exit code."""
    check = parser.parse_args().check
    before = PATH.read_text(encoding="utf-8")
    tables = (find_folder("default") / CARD).read_text(encoding="utf-8")
    head, sections = before.partition(MARK)[0], tables.partition("\n## ")[2]
    after = f"{head}{MARK}\n## {sections}"
    if not check:
        PATH.write_text(after, encoding="utf-8")
    elif before != after:
        print(f"{PATH.name} is not of this model; run training/card.py", file=sys.stderr)
        return 1
    print(PATH)
    return 0


if __name__ == "__main__":
    sys.exit(main())
