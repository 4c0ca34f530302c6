"""The script that fills the matrices: its table, its cells that are kept, what it logs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from scripts import TRAINING
from synthetic import write_corpus, write_encoder


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TRAINING / "cross.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("data") / "corpus", n=300)


@pytest.mark.slow
def test_a_configs_encoder_is_probed_beside_a_bag_of_words_and_cells_are_kept(
    data: Path, tmp_path: Path
) -> None:
    config = {"name": "a", "finetune": {"encoder": str(write_encoder(tmp_path / "encoder"))}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config))
    suite = {"name": "small", "data": {"evaluation_only": ["only"]}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(suite))
    out = tmp_path / "out"
    given = (tmp_path / "a.yaml", "--suite", tmp_path / "small.yaml", "--data", data, "--out", out)
    done = call(*given)
    assert done.returncode == 0, done.stderr
    file, cells = out / "small.matrices.csv", out / "cache" / "small.matrices.jsonl"
    assert done.stdout == f"{file}\n"
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["detector"] for row in rows} == {"probe", "bag-of-words"}
    at = {(row["matrix"], row["train"], row["test"]) for row in rows}
    assert ("cross", "chats", "only") in at
    assert ("leave-one-out", "rest", "chats") in at
    assert not [train for _, train, _ in at if train == "only"]
    whole, made = file.read_bytes(), cells.read_bytes()
    again = call(*given)
    assert again.returncode == 0, again.stderr
    assert (file.read_bytes(), cells.read_bytes()) == (whole, made)
    looks = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert [(look["suite"], look["part"]) for look in looks] == [("small", "report")] * 2


@pytest.mark.slow
def test_a_model_that_names_no_encoder_leaves_the_bag_of_words_and_select_is_no_look(
    data: Path, tiny: Path, tmp_path: Path
) -> None:
    given = ("--matrices", "leave-one-out:language", "--part", "select", "--suite", data)
    done = call(tiny, *given, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "corpus.matrices.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["detector"] for row in rows} == {"bag-of-words"}
    assert {row["by"] for row in rows} == {"language"}
    assert not (tmp_path / "ledger.jsonl").exists()


def test_an_unknown_matrix_is_refused(tmp_path: Path) -> None:
    refused = call("default", "--matrices", "cross:colour", "--out", tmp_path)
    assert refused.returncode == 2
    assert "cross:colour" in refused.stderr
