"""The benchmark: bounded and complete, with turns that are fair."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from textdetect import Detector
from textdetect._ground import optional as _optional
from textdetect.cli import app
from textdetect.errors import MissingDependency, TextdetectError
from textdetect.evaluation import benchmark
from textdetect.evaluation.benchmark import KINDS, bench, fresh, made_posts, measure
from textdetect.evaluation.benchmark.measure import by_runtime
from textdetect.evaluation.benchmark.results import Spread
from textdetect.model.runtimes import hf
from textdetect.posts.language import identify
from textdetect.posts.text import normalise


class Bar:
    """A progress bar that shows nothing."""

    def update(self) -> None: ...
    def set_description(self, text: str) -> None: ...


def without(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as if a library were not installed."""
    there, version = _optional.require, _optional.installed_version

    def require(module: str, *, extra: str) -> Any:
        if module == library:
            raise MissingDependency(f"this needs {module}, which is not installed")
        return there(module, extra=extra)

    monkeypatch.setattr(hf, "require", require)
    monkeypatch.setattr(
        _optional, "installed_version", lambda name: None if name == library else version(name)
    )


def test_bench_as_json_has_every_figure_and_keeps_to_its_time(tiny: Path, tmp_path: Path) -> None:
    start_s, out = time.perf_counter(), tmp_path / "bench.json"
    arguments = ["bench", "--model", str(tiny), "--seconds", "4", "--json", "-o", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert time.perf_counter() - start_s < 60
    measured = json.loads(result.stdout)
    assert json.loads(out.read_text(encoding="utf-8")) == measured
    figures = {(each["group"], each["what"]): each for each in measured["figures"]}
    assert set(figures) >= {
        (kind, runtime) for kind in KINDS for runtime in ("textdetect", "textdetect, hf")
    }
    for each in figures.values():
        value = each["value"]
        assert 0 < value["low"] <= value["median"] <= value["high"]
        assert each["n"] >= 1
        assert each["n_posts"] >= 8 or each["group"] == "latency"
    latency = {what: each["value"] for (group, what), each in figures.items() if group == "latency"}
    assert set(latency) == {
        *("cold start to a verdict", "its peak memory"),
        *("one short post, p50", "one short post, p95"),
    }
    assert latency["one short post, p50"]["median"] <= latency["one short post, p95"]["median"]
    assert measured["machine"]["cores_available"] >= 1
    assert measured["model"] == "tiny"


def test_bench_without_torch_measures_what_is_left(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("torch", monkeypatch)
    monkeypatch.setattr(fresh, "_SINGLE_POSTS", 3)
    measured = bench(tiny, seconds=1)
    speeds = [each for each in measured.figures if each.group in KINDS]
    assert {each.what for each in speeds} - {"textdetect, openvino"} == {"textdetect"}
    assert measured.libraries["torch"] == "not installed"
    assert "not installed" in measured.skipped["textdetect, hf"]
    measured = dataclasses.replace(measured, load_before=9_999.0)
    monkeypatch.setattr(benchmark, "bench", lambda *model, **options: measured)
    result = CliRunner().invoke(app, ["bench"])
    assert "busy before (load 9999.0)" in result.stderr
    assert result.exit_code == 0
    for row in measured.rows():
        assert row["what"].split()[0] in result.stdout
    assert f"{speeds[0].value.median:,.1f}" in result.stdout
    assert "not measured" in result.stdout
    assert measured.facts()["torch"] == "not installed"


def test_a_runtime_without_a_calibration_is_skipped(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf.HfRuntime, "run", None)  # it is not asked for anything
    monkeypatch.setattr("textdetect.model.detector._calibration", lambda checkpoint, numerics: None)
    skipped: dict[str, str] = {}
    assert set(by_runtime(Detector.from_pretrained(tiny), skipped)) == {"textdetect"}
    assert skipped["textdetect, hf"] == "no calibration for torch-fp32"


def test_in_each_round_another_one_begins() -> None:
    order: list[str] = []

    def run_of(name: str) -> measure.Run:
        return lambda texts: order.append(f"{name}{len(texts)}"), ["so"] * 2_048

    n_posts, rates = measure.take_turns(
        {name: run_of(name) for name in ("a", "b", "c", "late")},
        rounds=4,
        deadline_s=time.perf_counter() + 60,
        each_round=lambda: order.append("|"),
        fits=lambda name, n: name != "late",
    )
    a, b, c = (f"{name}{n_posts}" for name in "abc")
    rounds = "".join(order).split("|")
    assert rounds[1:] == [a + b + c, b + c + a, c + a + b, a + b + c]
    assert {name: len(each) for name, each in rates.items()} == {"a": 4, "b": 4, "c": 4}


def test_there_is_one_round_of_eight_posts_even_if_there_is_no_time() -> None:
    run = len, ["so"] * 2_048
    n_posts, rates = measure.take_turns({"a": run}, rounds=3, deadline_s=0.0)
    assert (n_posts, [len(each) for each in rates.values()]) == (8, [1])


def test_a_fresh_process_that_fails_is_an_error() -> None:
    with pytest.raises(TextdetectError, match=r"did not get through: .*no model 'nowhere'"):
        fresh.cold_start("nowhere", 0.01, n_runs=1, room_s=0.1, bar=Bar())


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
    for load, busy in ((9_999.0, True), (0.0, False)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        measured = bench(tiny, seconds=0.5)
        assert (measured.load_before, measured.busy) == (load, busy)
        assert measured.to_dict()["busy"] is busy


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 4.0]) == Spread(3.5, 1.0, 5.0)
