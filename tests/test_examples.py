"""The sample posts: where each comes from, and that the script makes them again to the byte."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def posts() -> list[dict[str, str]]:
    """Give the rows of posts.csv."""
    with (EXAMPLES / "posts.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_there_are_posts_of_every_style_each_with_its_origin() -> None:
    rows = posts()
    assert len(rows) >= 60
    assert set(Counter(row["style"] for row in rows)) == {
        "human",
        "language_model",
        "markov",
        "template",
    }
    assert all(row["text"].strip() and row["origin"].strip() for row in rows)
    assert len({row["text"] for row in rows}) == len(rows)


def test_the_script_makes_them_again_to_the_byte() -> None:
    command = [sys.executable, str(EXAMPLES / "make_posts.py"), "--check"]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_the_demo_prints_a_line_a_post() -> None:
    command = [sys.executable, str(EXAMPLES / "demo.py")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert sum(style in output for style in ("human", "language model", "markov", "template")) == 4
    assert output.count("markov") == sum(row["style"] == "markov" for row in posts())
    assert "never about a person" in output
