"""The script that retrains a recipe without one part at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml
from synthetic import write_corpus, write_encoder

ROOT = Path(__file__).parent.parent


def test_a_cell_is_measured_on_what_it_did_not_train_on(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", n=500)
    config = {
        "name": "tiny",
        "data": {"max_rows": 400},
        "finetune": {
            "encoder": str(write_encoder(tmp_path / "encoder")),
            "max_length": 64,
            "learning_rate": 2e-3,
        },
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    sources = sorted(file.stem for file in corpus.glob("*.parquet"))
    cells = {
        source: {
            "leave_out": {"source": [source]},
            "machines": {"source": [source]},
            "humans": {"source": [source]},
        }
        for source in sources
    }
    (tmp_path / "cells.yaml").write_text(yaml.safe_dump(cells))
    only = sources[0]

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, str(ROOT / "training/left_out.py"), str(tmp_path / "tiny.yaml")),
                *("--cells", str(tmp_path / "cells.yaml"), "--data", str(corpus)),
                *("--out", str(tmp_path / "out"), "--n-posts", "600", *more),
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    done = call("--only", only)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / f"{only}.json").read_text())
    assert found["auroc"] > 0.6
    assert min(found["n_machines"], found["n_people"]) > 50
    assert f"| {only} | {found['auroc']:.3f}" in done.stdout
    made = (tmp_path / "out" / f"{only}.json").stat().st_mtime_ns
    assert call("--only", only).stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
    assert (tmp_path / "out" / f"{only}.json").stat().st_mtime_ns == made
    assert call("--only", only, "--seed", "5").returncode == 0
    other = json.loads((tmp_path / "out" / f"{only}-seed-5.json").read_text())
    assert {**other, "auroc": 0, "bag_of_words": 0, "minutes": 0, "cell": only} == {
        **found,
        "auroc": 0,
        "bag_of_words": 0,
        "minutes": 0,
    }  # the same posts are measured
    assert other["auroc"] != found["auroc"]
    assert "no cell 'nothing'" in call("--only", "nothing").stderr
