"""The harness: a suite run on detectors, with nothing fitted on what is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from synthetic import human_posts, write_corpus
from tiny import TIC
from typer.testing import CliRunner

from textdetect import Detector
from textdetect._ground.config import DataConfig
from textdetect.cli import app
from textdetect.errors import ConfigError, DataError, DetectorFailed, InvalidInput
from textdetect.evaluation import Suite, evaluate, find_suite
from textdetect.evaluation.gate import Bar, fallen
from textdetect.evaluation.measures import SCHEMA
from textdetect.evaluation.scorers import resolve
from textdetect.evaluation.suite import Panel, clusters, gather, slices, suite_names
from textdetect.evaluation.thresholds import Frozen, conformal_threshold
from textdetect.posts.corpus import load_posts

SUITE = Suite(
    name="small",
    data=DataConfig(evaluation_only=("only",)),
    slices=("source", "generator", "length", "year"),
    panels={"numbers": Panel(pattern=r"\d\d\d\d"), "nobody": Panel(where={"source": ("none",)})},
    rivals=("bag-of-words", "length"),
    min_slice=50,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("data") / "corpus", n=900)


@pytest.fixture(scope="module")
def found(data: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("out")
    return out, evaluate(str(tiny), SUITE, data, out)


def row(table: list[dict[str, Any]], metric: str, detector: str, **where: str) -> dict[str, Any]:
    wanted = {"slice": "all", "attack": "none", "metric": metric, "detector": detector} | where
    rows = [r for r in table if all(r[key] == value for key, value in wanted.items())]
    assert len(rows) == 1, (wanted, len(rows))
    return rows[0]


def test_the_table_has_each_detector_with_its_false_positive_rate(found: Any) -> None:
    out, evaluation = found
    table = pq.read_table(out / "small.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == len(evaluation.table)
    for detector in ("tiny 1.2.3", "bag-of-words", "length"):
        fpr, auroc = (row(evaluation.table, name, detector) for name in ("fpr", "auroc"))
        assert 0 <= fpr["low"] <= fpr["value"] <= fpr["high"] <= 1
        assert fpr["n"] > 200
        assert auroc["fingerprint"] == fpr["fingerprint"] != ""
    rival = row(evaluation.table, "auroc", "bag-of-words")
    assert rival["low"] < rival["value"] < rival["high"] <= 1
    assert rival["value"] > 0.9
    assert row(evaluation.table, "fpr", "bag-of-words")["value"] < 0.05
    assert (out / "small.csv").read_text().count("\n") == table.num_rows + 1


def test_parts_never_mix(data: Path) -> None:
    for part in ("report", "select"):
        material = gather(SUITE, data, part=part)
        measured, select = set(material.measured.texts), set(material.select.texts)
        train = {material.posts.texts[i] for i in material.train}
        assert measured
        assert select
        assert train
        assert not measured & select
        assert not measured & train
        assert not select & train
        accounts = {c for c in clusters(material.measured) if c.startswith("account")}
        assert not accounts & set(clusters(material.posts.take(material.train)))


def test_a_standing_split_lends_select_a_tenth_of_train_and_is_measured_whole(
    data: Path, tmp_path: Path
) -> None:
    table = pq.read_table(data / "chats.parquet").to_pylist()
    for i, post in enumerate(table):
        post["split"] = "validation" if i % 5 == 0 else "train"
    pq.write_table(
        pq.read_table(data / "chats.parquet").from_pylist(table), tmp_path / "chats.parquet"
    )
    suite = Suite(name="own", data=DataConfig(own_split=("chats",)), most=(10, 10))
    material = gather(suite, tmp_path)
    assert len(material.measured) > 300
    assert set(material.measured.column("split")) == {"validation"}
    assert 0.05 < len(material.select) / (len(material.select) + len(material.train)) < 0.15


def test_the_parts_are_remembered(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gather(SUITE, data, cache=tmp_path)
    monkeypatch.setattr("textdetect.evaluation.suite.split", None)
    again = gather(SUITE, data, cache=tmp_path)
    assert again.measured.table.equals(first.measured.table)
    assert again.split.normalised == first.split.normalised


def test_a_second_look_costs_no_inference_and_is_in_the_ledger(
    found: Any, data: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first = found
    looks = first.facts["looks"]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr("textdetect.model.runtimes.graph.OnnxRuntime.run", refuse)
    monkeypatch.setattr("textdetect.evaluation.baselines.BagOfWords.fit", refuse)
    again = evaluate(str(tiny), SUITE, data, out)
    assert again.table == first.table
    assert again.facts["looks"] == looks + 1
    monkeypatch.undo()
    selected = evaluate("constant", SUITE, data, out, part="select")
    assert selected.facts["looks"] == 0
    entries = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert {entry["part"] for entry in entries} == {"report"}
    assert "text" not in entries[0]


def test_thresholds_are_frozen(data: Path, tmp_path: Path) -> None:
    material = gather(SUITE, data)
    settings: dict[str, Any] = {"max_fpr": 0.05, "thresholds": tmp_path / "t.json"}
    train = material.labelled
    first = Frozen(resolve("length"), material.select, train=lambda: train, **settings)
    humans = first.answer([t or "" for t in material.select.texts]).scores[
        material.select.labels == 0
    ]
    assert np.mean(humans >= first.threshold) <= 0.05
    assert np.mean(humans >= np.nextafter(first.threshold, -np.inf)) > 0.05 - 2 / len(humans)
    again = Frozen(resolve("length"), material.select, train=lambda: train, **settings)
    assert (again.threshold, again.decision) == (first.threshold, first.decision)
    other = material.select.take(np.arange(len(material.select) - 1))
    with pytest.raises(DataError, match="frozen"):
        Frozen(resolve("length"), other, train=lambda: train, **settings)


def test_the_threshold_keeps_its_rate_on_average() -> None:
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(2_000):
        people = rng.normal(size=199)
        threshold = conformal_threshold(people, 0.05)
        rates.append(np.mean(rng.normal(size=100) >= threshold))
    assert 0.045 < np.mean(rates) < 0.0525


def test_slices_name_what_they_hold(found: Any, data: Path) -> None:
    material = gather(SUITE, data)
    masks = dict(slices(material.measured, SUITE))
    machine = material.measured.labels == 1
    of = masks["generator=template_post"]
    assert set(material.measured.column("generator")[of & machine]) == {"template_post"}
    assert (of & ~machine).any()
    assert not masks["panel=nobody"].any()
    lengths = [name for name in masks if name.startswith("length=")]
    assert sum(int(masks[name].sum()) for name in lengths) == masks["all"].sum()
    table = found[1].table
    nobody = row(table, "auroc", "tiny 1.2.3", slice="panel=nobody")
    assert nobody["value"] is None
    assert nobody["note"] == "no posts"
    people = row(table, "auroc", "tiny 1.2.3", slice="source=panel")
    assert people["value"] is None
    assert "one class" in people["note"]
    assert "small" in row(table, "fpr", "tiny 1.2.3", slice="source=only")["note"]
    assert row(table, "flagged", "tiny 1.2.3", slice="kind=assisted")["n"] > 10


def test_rivals_are_compared_on_the_same_posts_and_holm_holds_the_table(found: Any) -> None:
    rows = [r for r in found[1].table if r["p_value"] is not None]
    assert {r["detector"] for r in rows} == {"tiny 1.2.3 - bag-of-words", "tiny 1.2.3 - length"}
    assert all(r["p_holm"] >= r["p_value"] for r in rows)
    best = row(found[1].table, "auroc", "bag-of-words")["value"]
    ours = row(found[1].table, "auroc", "tiny 1.2.3")["value"]
    difference = row(found[1].table, "auroc", "tiny 1.2.3 - bag-of-words")
    assert difference["value"] == pytest.approx(ours - best, abs=1e-9)


def test_no_text_is_written_unless_asked_for(found: Any, data: Path, tmp_path: Path) -> None:
    out, evaluation = found
    assert {error["text"] for error in evaluation.errors} == {None}
    texts = [text for text in gather(SUITE, data).measured.texts if text]
    written = b"".join(f.read_bytes() for f in out.rglob("*") if f.is_file())
    assert not [text for text in texts if text.encode() in written]
    shown = evaluate("length", SUITE, data, tmp_path, show_texts=True)
    assert {error["text"] for error in shown.errors} <= set(texts)


def test_attacks_on_machines_and_on_people(data: Path, tiny: Path, tmp_path: Path) -> None:
    suite = Suite(
        name="attacked",
        data=SUITE.data,
        attacks=("zero_width", "upper"),
        n_attacked=120,
        slices=(),
    )
    (tmp_path / "shouts.py").write_text(
        "def share(texts):\n"
        "    return [sum(c.isupper() for c in t) / max(1, len(t)) for t in texts]\n"
    )
    table = evaluate(str(tiny), suite, data, tmp_path / "out").table
    at = {"slice": "attacked", "attack": "zero_width"}
    assert row(table, "auroc_lost", "tiny 1.2.3", **at)["value"] == 0
    assert "undone by normalisation" in row(table, "tpr", "tiny 1.2.3", **at)["note"]
    assert row(table, "changed", "tiny 1.2.3", **at)["value"] == 1
    worst = row(table, "auroc", "tiny 1.2.3", slice="attacked", attack="worst_of_k")["value"]
    assert worst <= row(table, "auroc", "tiny 1.2.3", slice="attacked", attack="upper")["value"]


def test_people_whose_posts_were_attacked_are_counted(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shouts.py").write_text(
        "def share(texts):\n"
        "    return [sum(c.isupper() for c in t) / max(1, len(t)) for t in texts]\n"
    )
    monkeypatch.chdir(tmp_path)
    suite = Suite(name="a", data=SUITE.data, attacks=("upper",), n_attacked=120, slices=())
    table = evaluate("shouts:share", suite, data, tmp_path / "out").table
    at = {"slice": "attacked", "attack": "upper"}
    assert row(table, "newly_flagged", "shouts:share", **at)["value"] > 0.9
    assert row(table, "fpr", "shouts:share", **at)["value"] > 0.9


BROKEN = {
    "raises": "raise ValueError(texts[0])",
    "too_few": "return [0.0] * (len(texts) - 1)",
    "endless": "return [float('inf')] * len(texts)",
    "words": "return ['yes'] * len(texts)",
    "nested": "return [[0.0]] * len(texts)",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_detector_is_a_clear_error(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"broken_{name}.py").write_text(f"def score(texts):\n    {BROKEN[name]}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DetectorFailed, match=f"broken_{name}:score") as caught:
        evaluate(f"broken_{name}:score", SUITE, data, tmp_path / "out")
    assert not [text for text in human_posts(50) if text in str(caught.value)]
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_a_detector_that_knows_nothing_gives_no_number(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "silent.py").write_text("def nan(texts):\n    return [float('nan')] * len(texts)\n")
    monkeypatch.chdir(tmp_path)
    found = evaluate("silent:nan", SUITE, data, tmp_path / "out")
    rows = [r for r in found.table if r["detector"] == "silent:nan"]
    assert {r["metric"] for r in rows if r["value"] is not None} <= {"answered"}
    assert all(r["note"] for r in rows if r["value"] is None)
    assert row(rows, "answered", "silent:nan")["value"] == 0


def test_a_suite_of_one_class(data: Path, tiny: Path, tmp_path: Path) -> None:
    suite = Suite(name="people", data=SUITE.data, where={"kind": ("human",)}, slices=())
    table = evaluate(str(tiny), suite, data, tmp_path).table
    assert row(table, "fpr", "tiny 1.2.3")["value"] is not None
    assert row(table, "auroc", "tiny 1.2.3")["note"] == "one class"
    assert not [r for r in table if r["metric"] == "tpr"]


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("name: s\nslice: [source]\n", "unknown key 'slice'"),
        ("name: s\nslices: [colour]\n", "colour"),
        ("name: s\nattacks: [bribe]\n", "bribe"),
        ("name: s\npanels: {x: {pattern: '('}}\n", "no regular expression"),
        ("name: s\nmost: [0, 1]\n", "most"),
        ("name: a b\n", "name"),
        ("[]\n", "mapping"),
    ],
)
def test_a_suite_that_cannot_be_used_says_why(yaml: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(yaml)
    with pytest.raises(ConfigError, match=says):
        find_suite(tmp_path / "s.yaml")


def test_data_that_cannot_be_used_says_why(data: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of attacks, humans"):
        find_suite("no-such-suite")
    with pytest.raises(DataError, match="not found"):
        evaluate(str(tiny), find_suite("tweepfake"), data, tmp_path)
    with pytest.raises(ConfigError, match="no column 'colour'"):
        evaluate(str(tiny), Suite(name="s", where={"colour": ("red",)}), data, tmp_path)
    with pytest.raises(DataError, match="no post of the report part"):
        evaluate(str(tiny), Suite(name="s", where={"source": ("x",)}), data, tmp_path)
    with pytest.raises(InvalidInput, match="max_fpr"):
        evaluate(str(tiny), SUITE, data, tmp_path, max_fpr=0.0)
    with pytest.raises(InvalidInput, match="two detectors of one name"):
        evaluate("length", SUITE, data, tmp_path, compare_with=["length"])
    nothing = Suite(name="n", data=DataConfig(sources=("only",), evaluation_only=("only",)))
    with pytest.raises(InvalidInput, match="no train part"):
        evaluate("bag-of-words", nothing, data, tmp_path)


def test_every_suite_of_the_package_reads() -> None:
    assert suite_names() == sorted(
        (
            "attacks",
            "humans",
            "languages",
            "lengths",
            "modern",
            "tweepfake",
            "tweepfake-people",
        )
    )
    for name in suite_names():
        suite = find_suite(name)
        assert suite.name == name
        assert suite.about


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize("bar", [Bar(metric="auroc", at_least=0.0), Bar(metric="auroc", at_most=1)])
def test_a_figure_that_is_not_a_number_keeps_to_no_bar(value: float | None, bar: Bar) -> None:
    row = dict.fromkeys(("suite", "slice", "attack", "detector"), "s") | {"slice": "all"}
    row |= {"attack": "none", "metric": "auroc"}
    (line,) = fallen([row | {"value": value}], (bar,))
    assert "auroc is unknown" in line


def test_the_shell_runs_a_folder_as_a_suite_and_a_gate(
    data: Path, tiny: Path, tmp_path: Path
) -> None:
    def run(*options: str) -> Any:
        arguments = ["evaluate", str(tiny), str(data), "-o", str(tmp_path / "out"), *options]
        return CliRunner().invoke(app, arguments)

    result = run()
    assert result.exit_code == 0, result.output
    assert "tiny 1.2.3" in result.output
    html = (tmp_path / "out" / "corpus.html").read_text()
    assert "never" in html
    (tmp_path / "bars.yaml").write_text("bars: [{metric: fpr, at_most: 0.9}]\n")
    assert run("--gate", str(tmp_path / "bars.yaml")).exit_code == 0
    (tmp_path / "bars.yaml").write_text("bars: [{metric: auroc, at_least: 1.1}]\n")
    result = run("--gate", str(tmp_path / "bars.yaml"))
    assert result.exit_code == 1
    assert "below the bar: corpus / all / none / tiny 1.2.3: auroc" in result.stderr
    (tmp_path / "bars.yaml").write_text("bars: [{metric: aurok, at_least: 0.5}]\n")
    assert run("--gate", str(tmp_path / "bars.yaml")).exit_code == 2
    assert run("--gate", str(tmp_path / "none.yaml")).exit_code == 1


def test_a_loaded_detector_will_do(tiny: Path, data: Path, tmp_path: Path) -> None:
    suite = Suite(name="s", data=SUITE.data, slices=())
    found = evaluate(Detector.from_pretrained(tiny), suite, data, tmp_path, n_most=50)
    assert row(found.table, "fpr", "tiny 1.2.3")["n"] < 200
    assert TIC not in json.dumps(found.facts)


def test_a_panel_may_ask_for_a_length(tmp_path: Path) -> None:
    words = [a + b for a in "bdfgklmnpr" for b in ("ade", "emo", "iro", "ota", "uli", "ay", "ow")]
    texts = [" ".join(words[:n]) for n in (2, 20, 40, 70)]
    rows = [json.dumps({"text": text, "label": 0}) for text in texts]
    (tmp_path / "posts.jsonl").write_text("\n".join(rows))
    panel = Panel(where={"length": ("17-32 words", "33-64 words")})
    assert panel.rows(load_posts(tmp_path / "posts.jsonl")).tolist() == [False, True, True, False]
