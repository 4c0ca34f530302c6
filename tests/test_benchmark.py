"""The benchmark: bounded, complete, right in its arithmetic, and fair to those it compares with."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import human_posts, machine_posts
from typer.testing import CliRunner

from textdetect import Detector, _optional, benchmark
from textdetect.benchmark import (
    KINDS,
    Growth,
    Spread,
    bench,
    made_posts,
    measure,
    processes,
    race,
    roofs,
)
from textdetect.benchmark import contenders as who
from textdetect.benchmark.contenders import BATCH_SIZES, Contender, ours, peers
from textdetect.benchmark.race import Course
from textdetect.benchmark.roofs import Shape
from textdetect.benchmark.table import facts, rows
from textdetect.checkpoint import open_checkpoint
from textdetect.cli import app
from textdetect.errors import MissingDependency, TextdetectError
from textdetect.language import identify
from textdetect.runtimes import hf
from textdetect.runtimes.graph import light_tokenizer
from textdetect.text import normalise

TINY = Shape(layers=2, hidden=32, intermediate=64)


class Bar:
    """A progress bar that shows nothing."""

    def update(self) -> None: ...
    def set_description(self, text: str) -> None: ...


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch use one thread: several of them crawl beside a busy neighbour."""
    for room in (who, roofs):
        monkeypatch.setattr(room, "available_cores", lambda: 1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the big files be small."""
    monkeypatch.setattr(measure, "N_ROWS", (50, 100))
    monkeypatch.setattr(measure, "MANY_ROWS", 200)
    monkeypatch.setattr(measure, "_PARSED_ROWS", 100)
    monkeypatch.setattr(roofs, "_DISK_BYTES", 4_000_000)


def without(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as if a library were not installed."""
    there, version = _optional.require, _optional.installed_version

    def require(module: str, *, extra: str) -> Any:
        if module == library:
            raise MissingDependency(f"this needs {module}, which is not installed")
        return there(module, extra=extra)

    for room in (who, roofs, hf):
        monkeypatch.setattr(room, "require", require)
    monkeypatch.setattr(
        _optional, "installed_version", lambda name: None if name == library else version(name)
    )


def test_bench_as_json_has_every_figure_and_keeps_to_its_time(
    tiny: Path, tmp_path: Path, small: None
) -> None:
    start_s, out = time.perf_counter(), tmp_path / "bench.json"
    arguments = ["bench", "--model", str(tiny), "--seconds", "4", "--json", "-o", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert time.perf_counter() - start_s < 60
    measured = json.loads(result.stdout)
    assert json.loads(out.read_text(encoding="utf-8")) == measured
    for kind in KINDS:
        speeds = {s["contender"]: s for s in measured["speeds"] if s["posts"] == kind}
        assert speeds.keys() >= {
            *("textdetect", "textdetect, hf", "pipeline, batch 1", "pipeline, batch 8"),
            *("torch, sorted batches", "onnxruntime, as they come"),
            *("bag of words", "tokenizer alone"),
        }
        for size in BATCH_SIZES:
            name = f"pipeline, batch {size}"
            assert (name in speeds) != (f"{name}, {kind} posts" in measured["skipped"])
        for speed in speeds.values():
            for spread in (speed["posts_per_s"], speed["ratio"], speed["ratio_best"]):
                assert 0 < spread["low"] <= spread["median"] <= spread["high"]
            assert speed["n_posts"] >= 8
            assert speed["n_rounds"] >= 1
            assert speed["ratio"]["median"] > 0
        for name in ("textdetect", "textdetect, hf", "torch, sorted batches"):
            assert 0 < speeds[name]["share_of_peak"]["median"] < 1.5
        assert speeds["pipeline, batch 8"]["share_of_peak"] is None
        assert set(speeds["pipeline, batch 1"]["ratio"].values()) == {1.0}
        assert max(s["ratio_best"]["high"] for n, s in speeds.items() if n.startswith("pipe")) == 1
    assert {limit["name"] for limit in measured["limits"]} == {
        *(f"matrix products, {name}" for name in roofs.UNITS),
        *("reading csv", "reading parquet", "disk, with fsync"),
    }
    assert all(limit["value"]["low"] > 0 for limit in measured["limits"])
    start = measured["cold_start"]
    assert start["first_verdict_s"]["median"] > 0
    assert 0 < start["p50_ms"]["median"] <= start["p95_ms"]["median"]
    assert measured["growth"][0]["n_rows"] == 50
    assert all(grown["rows_per_s"] > 0 for grown in measured["growth"])
    assert "--full" in measured["skipped"]["torch.compile, bf16"]
    assert measured["machine"]["cores_available"] >= 1
    assert measured["model"] == "tiny"


def test_bench_without_torch_measures_what_is_left(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    without("torch", monkeypatch)
    monkeypatch.setattr(processes, "_SINGLE_POSTS", 3)
    measured = bench(tiny, seconds=1)
    assert {speed.contender for speed in measured.speeds} == {
        *("textdetect", "onnxruntime, as they come", "bag of words", "tokenizer alone"),
        *(s.contender for s in measured.speeds if s.contender.startswith("openvino")),
    }
    assert {(speed.ratio, speed.ratio_best) for speed in measured.speeds} == {(None, None)}
    assert measured.libraries["torch"] == "not installed"
    for name in ("textdetect, hf", "pipeline", "torch, sorted batches", "matrix products, fp32"):
        assert "not installed" in measured.skipped[name]
    measured = dataclasses.replace(measured, load_before=9_999.0)
    monkeypatch.setattr(benchmark, "bench", lambda *model, **options: measured)
    result = CliRunner().invoke(app, ["bench"])
    assert "busy before (load 9999.0)" in result.stderr
    assert result.exit_code == 0
    for row in rows(measured):
        assert row["what"].split()[0] in result.stdout
    assert f"{measured.speeds[0].posts_per_s.median:,.1f}" in result.stdout
    assert "not measured" in result.stdout
    assert facts(measured)["torch"] == "not installed"


def test_every_contender_answers_for_every_post(tiny: Path) -> None:
    skipped: dict[str, str] = {}
    checkpoint, detector = open_checkpoint(tiny), Detector.from_pretrained(tiny)
    tokenizer = light_tokenizer(tiny, who.max_length(checkpoint))
    running = ours(detector, 0.01, skipped) | peers(checkpoint, tokenizer, skipped)
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
    tokenizer = light_tokenizer(tiny, who.max_length(checkpoint))
    for name, each in peers(checkpoint, tokenizer, {}).items():
        answers: Any = each.run(texts)
        if name.startswith("pipeline"):
            machine = [a["score"] if a["label"] == "machine" else 1 - a["score"] for a in answers]
            assert np.allclose(machine, 1 / (1 + np.exp(-logits)), atol=1e-4), name
        elif name.startswith(("torch", "onnxruntime")) or name == "openvino, fp32":
            assert np.allclose(answers, logits, atol=1e-3), name


def test_a_runtime_without_a_calibration_is_skipped(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf.HfRuntime, "run", None)  # it is not asked for anything
    monkeypatch.setattr("textdetect.detector._calibration", lambda checkpoint, numerics: None)
    skipped: dict[str, str] = {}
    assert set(ours(Detector.from_pretrained(tiny), 0.01, skipped)) == {"textdetect"}
    assert skipped["textdetect, hf"] == "no calibration for torch-fp32"


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


def run_of(number: int) -> Contender:
    """Make a contender that is unlike others."""
    return Contender(lambda texts: [number] * len(texts), number_type="fp32" if number else None)


def test_ratios_and_shares_are_taken_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    running = {
        "pipeline, batch 1": run_of(0),
        "textdetect": run_of(1),
        "pipeline, batch 8": run_of(2),
    }
    seconds_a_post: dict[str, Iterator[float]] = {  # one to try, then one a round
        "pipeline, batch 1": iter([0.04, 0.04, 0.04]),
        "textdetect": iter([0.01, 0.01, 0.02]),
        "pipeline, batch 8": iter([0.02, 0.02, 0.05]),
    }
    names = {each: name for name, each in running.items()}
    monkeypatch.setattr(
        race, "_timed", lambda each, texts: len(texts) * next(seconds_a_post[names[each]])
    )
    gigas = iter([0.1, 0.2])
    course = Course(Words(), 64, TINY, {"fp32": lambda: next(gigas)})
    speeds, peaks = race.race(
        "short", running, course, rounds=2, seconds=60, seed=0, bar=Bar(), skipped={}
    )
    found = {speed.contender: speed for speed in speeds}
    ours = found["textdetect"]
    assert peaks == {"fp32": [0.1, 0.2]}
    assert spread(ours.posts_per_s) == pytest.approx((75, 50, 100))
    assert spread(ours.ratio) == pytest.approx((3, 2, 4))  # 100 / 25, 50 / 25
    assert spread(ours.ratio_best) == pytest.approx((2, 2, 2))  # 100 / 50, 50 / 25
    assert spread(found["pipeline, batch 1"].ratio_best) == pytest.approx((0.75, 0.5, 1))
    prepared = [normalise(post) for post in made_posts("short", ours.n_posts)]
    gflop = np.mean([TINY.flops(n) for n in course.padded(prepared)]) / 1e9
    shares = sorted([100 * gflop / 0.1, 50 * gflop / 0.2])
    assert spread(ours.share_of_peak)[1:] == pytest.approx(tuple(shares))
    assert found["pipeline, batch 1"].share_of_peak is None


def spread(of: Spread | None) -> tuple[float, ...]:
    assert of is not None
    return dataclasses.astuple(of)


def test_a_batch_that_does_not_fit_into_the_time_is_skipped_and_named() -> None:
    skipped: dict[str, str] = {}
    running = {"textdetect": run_of(1), "pipeline, batch 64": Contender(len_of, batch_size=64)}
    course = Course(Words(), 64, None, {})
    speeds, _ = race.race(
        "short", running, course, rounds=3, seconds=1e-9, seed=0, bar=Bar(), skipped=skipped
    )
    assert [(s.contender, s.n_posts, s.n_rounds) for s in speeds] == [("textdetect", 8, 1)]
    assert list(skipped) == ["pipeline, batch 64, short posts"]


def len_of(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def test_a_contender_that_leaves_posts_out_is_an_error() -> None:
    course = Course(Words(), 64, None, {})
    with pytest.raises(TextdetectError, match="lazy does not answer for every post"):
        race.race(
            "long",
            {"lazy": Contender(lambda texts: texts[1:])},
            course,
            rounds=1,
            seconds=1,
            seed=0,
            bar=Bar(),
            skipped={},
        )


def test_files_grow_until_there_is_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        processes, "_run", lambda code, file: (0.0, {"rows_per_s": 10.0, "peak_mb": 70.0})
    )
    skipped: dict[str, str] = {}
    grown = processes.growth(tmp_path, (5, 20, 9_000), seconds=30, bar=Bar(), skipped=skipped)
    assert grown == [Growth(5, 10.0, 70.0), Growth(20, 10.0, 70.0)]
    assert skipped == {"file of 9,000 rows": "needs about 900 s: give more --seconds"}
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_process_that_fails_is_an_error() -> None:
    with pytest.raises(TextdetectError, match=r"did not get through: .*no model 'nowhere'"):
        processes.cold_start("nowhere", 0.01, n_runs=1, room_s=0.1, bar=Bar())


@given(kind=st.sampled_from(sorted(KINDS)), n=st.integers(0, 20), seed=st.integers(0, 99))
def test_made_posts_are_as_many_as_asked_and_the_same_again(kind: str, n: int, seed: int) -> None:
    posts = made_posts(kind, n, seed=seed)
    assert len(posts) == n
    assert made_posts(kind, n, seed=seed) == posts
    assert made_posts(kind, n + 1, seed=seed)[:n] == posts
    assert all(normalise(post) for post in posts)


def test_made_posts_are_of_the_language_they_claim() -> None:
    for kind, language in (("short", "en"), ("long", "en"), ("chinese", "zh")):
        codes = [identify(normalise(post), expected=[language]) for post in made_posts(kind, 50)]
        assert codes.count(language) >= 48, kind


def test_a_busy_machine_is_called_so(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    monkeypatch.setattr(measure, "peers", lambda *parts, slow: {})
    for load, busy in ((9_999.0, True), (0.0, False)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        measured = bench(tiny, seconds=0.5)
        assert (measured.load_before, measured.busy) == (load, busy)
        assert measured.to_dict()["busy"] is busy


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 4.0]) == Spread(3.5, 1.0, 5.0)
