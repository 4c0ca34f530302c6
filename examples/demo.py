"""Score examples/posts.csv with the embedded model and print a table; no figure comes of it."""

from __future__ import annotations

import csv
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from textdetect import Detector
from textdetect.types import WHY

POSTS = Path(__file__).parent / "posts.csv"


def main() -> None:
    """Print one line a post: how it was written, and what the detector says."""
    with POSTS.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    verdicts = Detector.from_pretrained().predict([row["text"] for row in rows])
    table = Table(title="examples/posts.csv, flagged at max_fpr = 0.01", header_style="bold")
    for column in ("post", "written by", "label"):
        table.add_column(column, no_wrap=column != "post")
    for column in ("probability", "p-value"):
        table.add_column(column, justify="right")
    table.add_column("why uncertain")
    for row, verdict in zip(rows, verdicts, strict=True):
        table.add_row(
            escape(row["text"].replace("\n", " ")[:48]),
            row["style"].replace("_", " "),
            f"[bold red]{verdict.label}[/]" if verdict.flagged else verdict.label,
            f"{verdict.probability:.3f}",
            f"{verdict.p_value:.4f}",
            WHY.get(verdict.reason or "", ""),
        )
    console = Console()
    console.print(table)
    console.print(f"{verdicts!r}\nA flag is a statement about a text, never about a person.")


if __name__ == "__main__":
    main()
