"""Score examples/posts.csv with the embedded model and print a table; no figure comes of it."""

from __future__ import annotations

import csv
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from textdetect import Detector
from textdetect.posts.scored import WHY

POSTS = Path(__file__).parent / "posts.csv"
MAX_FPR = 0.05


def main() -> None:
    """Print one line a post: how it was written, and what the detector says."""
    with POSTS.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    verdicts = Detector.from_pretrained().predict([row["text"] for row in rows], max_fpr=MAX_FPR)
    title = f"examples/posts.csv, flagged at max_fpr = {MAX_FPR}"
    table = Table(
        title=title, expand=True, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("post", no_wrap=True, overflow="ellipsis", ratio=1)
    for column in ("written by", "label", "probability", "p-value", "why uncertain"):
        table.add_column(column, no_wrap=True, justify="right" if column[0] == "p" else "left")
    for row, verdict in zip(rows, verdicts, strict=True):
        table.add_row(
            escape(" ".join(row["text"].split())),
            row["style"].replace("_", " "),
            f"[bold red]{verdict.label}[/]" if verdict.flagged else verdict.label,
            f"{verdict.probability:.3f}",
            f"{verdict.p_value:.4f}",
            verdict.reason or "",
        )
    console = Console()
    console.print(table)
    for reason in sorted({verdict.reason for verdict in verdicts if verdict.reason}):
        console.print(f"{reason}: {WHY[reason]}")
    console.print(f"{verdicts!r}\nA flag is a statement about a text, never about a person.")


if __name__ == "__main__":
    main()
