"""The benchmark: bounded, complete, and fair to the one it compares with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import human_posts, machine_posts
from typer.testing import CliRunner

from textdetect import Detector, _optional, benchmark
from textdetect.benchmark import KINDS, Spread, bench, made_posts
from textdetect.cli import app
from textdetect.language import identify
from textdetect.text import normalise


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch use one thread: several of them crawl beside a busy neighbour."""
    monkeypatch.setattr(benchmark, "available_cores", lambda: 1)


def test_bench_as_json_has_every_figure_and_keeps_to_its_time(tiny: Path) -> None:
    start_s = time.perf_counter()
    result = CliRunner().invoke(app, ["bench", "--model", str(tiny), "--seconds", "4", "--json"])
    assert result.exit_code == 0, result.output
    assert time.perf_counter() - start_s < 60
    measured = json.loads(result.stdout)
    contenders = ["textdetect", *(f"pipeline, batch {size}" for size in (1, 8, 32))]
    speeds = measured["speeds"]
    assert [(s["posts"], s["contender"]) for s in speeds] == [
        (kind, contender) for kind in KINDS for contender in contenders
    ]
    for speed in speeds:
        spread = speed["posts_per_s"]
        assert 0 < spread["low"] <= spread["median"] <= spread["high"]
        assert speed["n_posts"] >= 8
        assert speed["n_rounds"] >= 1
    assert {s["ratio"]["median"] for s in speeds if s["contender"] == contenders[1]} == {1.0}
    assert measured["cold_start"]["first_verdict_s"]["median"] > 0
    assert measured["machine"]["cores_available"] >= 1
    assert measured["model"] == "tiny"


def test_bench_without_transformers_measures_textdetect_alone(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = benchmark.installed_version
    for room in (benchmark, _optional):
        monkeypatch.setattr(
            room, "installed_version", lambda name: None if name == "torch" else there(name)
        )
    measured = bench(tiny, seconds=1)
    assert {speed.contender for speed in measured.speeds} == {"textdetect"}
    assert {speed.ratio for speed in measured.speeds} == {None}
    assert measured.libraries["torch"] == "not installed"
    measured = dataclasses.replace(measured, load_before=9_999.0)
    monkeypatch.setattr(benchmark, "bench", lambda *model, **seconds: measured)
    result = CliRunner().invoke(app, ["bench"])
    assert "busy before (load 9999.0)" in result.stderr
    assert result.exit_code == 0
    assert "cold start to a verdict, s (1 runs)" in result.stdout
    assert f"{measured.speeds[0].posts_per_s.median:,.1f}" in result.stdout


def test_the_pipeline_gives_the_probabilities_of_the_same_weights(tiny: Path) -> None:
    texts = [normalise(text) for text in human_posts(20) + machine_posts(20) + ["so " * 200]]
    logits = Detector.from_pretrained(tiny).logits(texts)
    with benchmark._pipelines(tiny) as pipelines:
        for run in pipelines.values():
            answers = run(texts)
            assert isinstance(answers, list)
            machine = [a["score"] if a["label"] == "machine" else 1 - a["score"] for a in answers]
            assert np.allclose(machine, 1 / (1 + np.exp(-logits)), atol=1e-4)


def test_a_fresh_process_that_fails_is_an_error(tiny: Path) -> None:
    class Bar:
        def update(self) -> None: ...
        def set_description(self, text: str) -> None: ...

    with pytest.raises(Exception, match=r"came to no verdict: .*no model 'nowhere'"):
        benchmark._cold_start("nowhere", 0.01, 1, Bar())


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


def test_a_busy_machine_is_called_so(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_pipelines", lambda folder: contextlib.nullcontext({}))
    for load, busy in ((9_999.0, True), (0.0, False)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        measured = bench(tiny, seconds=0.5)
        assert (measured.load_before, measured.busy) == (load, busy)


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 4.0]) == Spread(3.5, 1.0, 5.0)
