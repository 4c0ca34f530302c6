"""The comparison of speeds: complete, right in its arithmetic, fair to those compared."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scripts import script
from tiny import human_posts, machine_posts

from textdetect import Detector
from textdetect._ground import optional as _optional
from textdetect.errors import MissingDependency, TextdetectError
from textdetect.evaluation.benchmark import KINDS, made_posts, measure
from textdetect.evaluation.benchmark.results import Spread
from textdetect.model.checkpoint import open_checkpoint
from textdetect.model.runtimes import hf
from textdetect.model.runtimes.graph import light_tokenizer
from textdetect.posts.text import normalise

limits = script("limits")
with pytest.MonkeyPatch.context() as patch:  # a script finds those beside it by their names
    patch.setitem(sys.modules, "limits", limits)
    speed = script("speed")
BATCH_SIZES, Cost, Scorer, Shape = speed.BATCH_SIZES, speed.Cost, speed.Scorer, limits.Shape
ours, peers = speed.ours, speed.peers
TINY = Shape(layers=2, hidden=32, intermediate=64)


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch use one thread: several of them crawl beside a busy neighbour."""
    for module in (speed, limits):
        monkeypatch.setattr(module, "available_cores", lambda: 1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the big files be small."""
    monkeypatch.setattr(limits, "_PARSED_ROWS", 30)
    monkeypatch.setattr(limits, "_DISK_BYTES", 4_000_000)


def without(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as if a library were not installed."""
    there = _optional.require

    def require(module: str, *, extra: str) -> Any:
        if module == library:
            raise MissingDependency(f"this needs {module}, which is not installed")
        return there(module, extra=extra)

    for room in (speed, limits, hf):
        monkeypatch.setattr(room, "require", require)


def test_the_comparison_as_json_has_every_figure_and_keeps_to_its_time(
    tiny: Path,
    tmp_path: Path,
    small: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_s, out = time.perf_counter(), tmp_path / "speed.json"
    arguments = [str(tiny), "--seconds", "4", "--json", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["speed.py", *arguments])
    speed.main()
    assert time.perf_counter() - start_s < 60
    measured = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text(encoding="utf-8")) == measured
    for kind in KINDS:
        speeds = {s["runtime"]: s for s in measured["speeds"] if s["posts"] == kind}
        assert speeds.keys() >= {
            *("textdetect", "textdetect, hf", "pipeline, batch 1", "pipeline, batch 8"),
            *("torch, sorted batches", "onnxruntime, as they come"),
            *("bag of words", "tokenizer alone"),
        }
        for size in BATCH_SIZES:
            name = f"pipeline, batch {size}"
            assert (name in speeds) != (f"{name}, {kind} posts" in measured["skipped"])
        for figures in speeds.values():
            for spread in (figures["posts_per_s"], figures["ratio"], figures["ratio_best"]):
                assert 0 < spread["low"] <= spread["median"] <= spread["high"]
            assert figures["n_posts"] >= 8
            assert figures["n_rounds"] >= 1
            assert figures["ratio"]["median"] > 0
        for name in ("textdetect", "textdetect, hf", "torch, sorted batches"):
            assert 0 < speeds[name]["share_of_peak"]["median"] < 1.5
        assert speeds["pipeline, batch 8"]["share_of_peak"] is None
        assert set(speeds["pipeline, batch 1"]["ratio"].values()) == {1.0}
        assert max(s["ratio_best"]["high"] for n, s in speeds.items() if n.startswith("pipe")) == 1
    assert {limit["name"] for limit in measured["limits"]} == {
        *(f"matrix products, {name}" for name in limits.UNITS),
        *("reading csv", "reading parquet", "disk, with fsync"),
    }
    assert all(limit["value"]["low"] > 0 for limit in measured["limits"])
    assert "--full" in measured["skipped"]["torch.compile, bf16"]
    assert measured["machine"]["cores_available"] >= 1


def test_without_torch_the_comparison_measures_what_is_left(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    without("torch", monkeypatch)
    speeds, limits, skipped = speed.compare(tiny, seconds=1)
    assert {each.runtime for each in speeds} == {
        *("textdetect", "onnxruntime, as they come", "bag of words", "tokenizer alone"),
        *(each.runtime for each in speeds if each.runtime.startswith("textdetect, openvino")),
    }
    assert {(each.ratio, each.ratio_best) for each in speeds} == {(None, None)}
    for name in ("textdetect, hf", "pipeline", "torch, sorted batches", "matrix products, fp32"):
        assert "not installed" in skipped[name]
    table = speed.rows(speeds, limits)
    assert [row["what"] for row in table[-3:]] == [
        "reading csv",
        "reading parquet",
        "disk, with fsync",
    ]
    assert table[0]["median (low–high)"] == f"{speeds[0].posts_per_s:,.1f}"


def test_every_scorer_answers_for_every_post(tiny: Path) -> None:
    skipped: dict[str, str] = {}
    checkpoint, detector = open_checkpoint(tiny), Detector.from_pretrained(tiny)
    tokenizer = light_tokenizer(tiny, speed.max_length(checkpoint))
    running = ours(detector, skipped) | peers(checkpoint, tokenizer, skipped)
    assert set(skipped) <= {"torch.compile, bf16", "textdetect, openvino"}
    for kind in KINDS:
        posts = made_posts(kind, 35)
        prepared = [normalise(post) for post in posts]
        for name, each in running.items():
            assert len(each.run(posts if each.raw else prepared)) == 35, name


def test_all_that_run_the_weights_give_the_same_answers(tiny: Path) -> None:
    texts = [normalise(text) for text in human_posts(20) + machine_posts(20) + ["so " * 200]]
    logits = Detector.from_pretrained(tiny).logits(texts)
    checkpoint = open_checkpoint(tiny)
    tokenizer = light_tokenizer(tiny, speed.max_length(checkpoint))
    for name, each in peers(checkpoint, tokenizer, {}).items():
        answers: Any = each.run(texts)
        if name.startswith("pipeline"):
            machine = [a["score"] if a["label"] == "machine" else 1 - a["score"] for a in answers]
            assert np.allclose(machine, 1 / (1 + np.exp(-logits)), atol=1e-4), name
        elif name.startswith(("torch", "onnxruntime")) or name == "openvino, fp32":
            assert np.allclose(answers, logits, atol=1e-3), name


def test_the_operations_of_a_post_are_those_counted_by_hand() -> None:
    per_layer = 4 * 2 * 10 * 32 * 32 + 2 * 2 * 10 * 10 * 32 + 2 * 2 * 10 * 32 * 64
    assert TINY.flops(10) == 2 * per_layer + 2 * 32 * 32 + 2 * 32 * 2 == 355_456


def test_the_operations_of_a_post_are_those_that_torch_counts(tiny: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(tiny, attn_implementation="eager")
    ids = torch.ones((1, 16), dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    shape = Shape.of(open_checkpoint(tiny).config)
    assert shape == TINY
    assert counter.get_total_flops() == shape.flops(16)


def test_a_config_with_other_names_has_no_shape() -> None:
    assert Shape.of({"n_layers": 6, "dim": 768, "hidden_dim": 3_072}) is None


class Words:
    """A tokenizer whose tokens are words."""

    def encode_batch_fast(self, texts: list[str]) -> list[SimpleNamespace]:
        return [SimpleNamespace(ids=text.split()) for text in texts]


def run_of(number: int) -> Any:
    """Make a scorer that is unlike others."""
    return Scorer(lambda texts: [number] * len(texts), number_type="fp32" if number else None)


def test_ratios_and_shares_are_taken_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    running = {
        "pipeline, batch 1": run_of(0),
        "textdetect": run_of(1),
        "pipeline, batch 8": run_of(2),
    }
    seconds_a_post: dict[str, Iterator[float]] = {  # two to try, then one a round
        "pipeline, batch 1": iter([0.04, 0.04, 0.04, 0.04]),
        "textdetect": iter([0.01, 0.01, 0.01, 0.02]),
        "pipeline, batch 8": iter([0.02, 0.02, 0.02, 0.05]),
    }
    names = list(running)

    def took_s(run: Any, n: int) -> float:
        score, texts = run
        return n * next(seconds_a_post[names[score(texts[:1])[0]]])

    monkeypatch.setattr(measure, "_took_s", took_s)
    gigas = iter([0.1, 0.2])
    cost = Cost(Words(), 64, TINY, {"fp32": lambda: next(gigas)})
    speeds, peaks = speed.race("short", running, cost, rounds=2, seconds=60, seed=0, skipped={})
    found = {each.runtime: each for each in speeds}
    ours = found["textdetect"]
    assert peaks == {"fp32": [0.1, 0.2]}
    assert spread(ours.posts_per_s) == pytest.approx((75, 50, 100))
    assert spread(ours.ratio) == pytest.approx((3, 2, 4))  # 100 / 25, 50 / 25
    assert spread(ours.ratio_best) == pytest.approx((2, 2, 2))  # 100 / 50, 50 / 25
    assert spread(found["pipeline, batch 1"].ratio_best) == pytest.approx((0.75, 0.5, 1))
    prepared = [normalise(post) for post in made_posts("short", ours.n_posts)]
    gflop = np.mean([TINY.flops(n) for n in cost.padded(prepared)]) / 1e9
    shares = sorted([100 * gflop / 0.1, 50 * gflop / 0.2])
    assert spread(ours.share_of_peak)[1:] == pytest.approx(tuple(shares))
    assert found["pipeline, batch 1"].share_of_peak is None


def spread(of: Spread | None) -> tuple[float, ...]:
    assert of is not None
    return dataclasses.astuple(of)


def test_a_batch_that_does_not_fit_into_the_time_is_skipped_and_named() -> None:
    skipped: dict[str, str] = {}
    running = {"textdetect": run_of(1), "pipeline, batch 64": Scorer(len_of, batch_size=64)}
    cost = Cost(Words(), 64, None, {})
    speeds, _ = speed.race("short", running, cost, rounds=3, seconds=1e-9, seed=0, skipped=skipped)
    assert [(s.runtime, s.n_posts, s.n_rounds) for s in speeds] == [("textdetect", 8, 1)]
    assert list(skipped) == ["pipeline, batch 64, short posts"]


def len_of(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def test_a_scorer_that_leaves_posts_out_is_an_error() -> None:
    cost = Cost(Words(), 64, None, {})
    with pytest.raises(TextdetectError, match="lazy does not answer for every post"):
        speed.race(
            "long",
            {"lazy": Scorer(lambda texts: texts[1:])},
            cost,
            rounds=1,
            seconds=1,
            seed=0,
            skipped={},
        )
