"""Metrics of the library evaluate, named by the user: from a name or a folder to the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score
from synthetic import write_corpus
from typer.testing import CliRunner

from textdetect.cli import app
from textdetect.errors import InvalidInput
from textdetect.evaluation.measures import Judged, Place, measure, named_metrics, summary
from textdetect.evaluation.thresholds import Answers

pytest.importorskip("evaluate")
MODULE = '''
import datasets
import evaluate
from sklearn.metrics import {function}

class Named(evaluate.Metric):
    """A metric as the hub has them."""

    def _info(self):
        column = datasets.Value("int32")
        features = datasets.Features({{"predictions": column, "references": column}})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references):
        return {{"{name}": {function}(references, predictions)}}
'''
PLACE = Place(suite="s", part="report", detector="d", fingerprint="f")


def module(folder: Path, name: str, function: str) -> str:
    (folder / name).mkdir()
    (folder / name / f"{name}.py").write_text(MODULE.format(name=name, function=function))
    return str(folder / name)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the library's copies of modules apart, and refuse it the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluate.config.HF_MODULES_CACHE", tmp_path_factory.mktemp("modules"))
        patch.setattr("evaluate.config.HF_EVALUATE_OFFLINE", True)
        yield


def judged(n: int = 200) -> Judged:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    scores = rng.normal(size=n) + 1.5 * labels
    known = np.ones(n, dtype=np.bool_)
    accounts = np.array([f"account {i // 4}" for i in range(n)], dtype=object)
    return Judged(labels, accounts, Answers(scores, scores >= 1.0, known, None, 0.0, 1.0))


@pytest.mark.usefixtures("offline")
def test_a_metric_by_name_is_the_librarys_at_the_frozen_threshold(tmp_path: Path) -> None:
    posts = judged()
    f1, ours = module(tmp_path, "f1", "f1_score"), module(tmp_path, "accuracy", "accuracy_score")
    table = measure(PLACE, posts, seed=0, full=True, named=named_metrics([f1, ours]))
    assert [row["metric"] for row in table].count("accuracy") == 1
    assert [row["metric"] for row in table].count("accuracy_at_threshold") == 1
    (row,) = [row for row in table if row["metric"] == "f1"]
    assert row["value"] == pytest.approx(f1_score(posts.labels, posts.answers.flagged))
    assert row["low"] < row["value"] < row["high"]
    assert (row["threshold"], row["n"], row["n_clusters"]) == (1.0, 200, 50)
    assert summary(table, more=["f1"])[0]["f1"].startswith(f"{row['value']:.3f}")


@pytest.mark.usefixtures("offline")
def test_a_metric_that_leaves_the_unit_interval_has_no_interval(tmp_path: Path) -> None:
    posts = judged()
    named = named_metrics([module(tmp_path, "mcc", "matthews_corrcoef")])
    turned = replace(posts, labels=1 - posts.labels)
    table = measure(PLACE, turned, seed=0, named=named)
    (row,) = [row for row in table if row["metric"] == "mcc"]
    assert row["value"] < -0.3
    assert row["low"] is None
    assert "no interval" in row["note"]


@pytest.mark.usefixtures("offline")
def test_a_metric_that_gives_no_number_or_is_not_there_is_refused(tmp_path: Path) -> None:
    posts = judged()
    named = named_metrics([module(tmp_path, "table", "confusion_matrix")])
    with pytest.raises(InvalidInput, match="gives no number"):
        measure(PLACE, posts, seed=0, named=named)
    with pytest.raises(InvalidInput, match="finds no 'no-such-metric'"):
        named_metrics(["no-such-metric"])


@pytest.mark.usefixtures("offline")
def test_the_command_puts_the_metric_into_table_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, f1 = write_corpus(tmp_path / "corpus", n=200), module(tmp_path, "f1", "f1_score")
    (tmp_path / "lengths.py").write_text("def score(texts):\n    return [len(t) for t in texts]\n")
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "lengths:score", str(corpus), "-o", "out", "--metric", f1]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = (tmp_path / "out" / "corpus.csv").read_text().splitlines()
    assert sum('"f1"' in row for row in rows) == 1
    assert ">f1<" in (tmp_path / "out" / "corpus.html").read_text()
