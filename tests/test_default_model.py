"""The embedded model: what its manifest promises, measured again where that can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from synthetic import human_posts

from textdetect import Detector
from textdetect._ground.config import TrainConfig, build, load_config
from textdetect.model.checkpoint import CARD, Manifest, find_folder, read_manifest
from textdetect.posts.corpus import load_posts
from textdetect.posts.text import first_words, n_words, normalise
from textdetect.statistics.metrics import auroc
from textdetect.training import card

ROOT = Path(__file__).parents[1]
FOLDER = find_folder("default")


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(FOLDER)


def panels(manifest: Manifest) -> list[dict[str, Any]]:
    """Give the panels of calibrated sources that are large enough to judge."""
    rows: list[dict[str, Any]] = manifest.figures["humans"]
    return [row for row in rows if not row["transfer"] and not row["small"]]


def test_it_is_small_and_of_a_standard_architecture() -> None:
    from safetensors import safe_open

    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "human", "1": "machine"}
    assert config["dtype"] == "float32"
    with safe_open(FOLDER / "model.safetensors", framework="numpy") as weights:
        tensors = [weights.get_tensor(name) for name in weights.keys()]  # noqa: SIM118
    assert sum(tensor.size for tensor in tensors) <= 29_000_000
    assert {str(tensor.dtype) for tensor in tensors} == {"float16"}
    sizes = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    assert max(sizes.values()) <= 60_000_000
    assert sum(sizes.values()) <= 95_000_000


def test_it_was_made_by_the_config_that_is_here(manifest: Manifest) -> None:
    config, _ = load_config(ROOT / "configs" / "default.yaml", TrainConfig)
    assert build(TrainConfig, manifest.training["config"]) == config
    assert (manifest.name, manifest.version) == (config.name, config.version)


def test_it_trained_on_no_source_that_its_licence_list_leaves_out(manifest: Manifest) -> None:
    listed = (ROOT / "MODEL_LICENSE").read_text(encoding="utf-8")
    base = yaml.safe_load((ROOT / "configs" / "base.yaml").read_text(encoding="utf-8"))
    for source in manifest.training["sources"]:
        assert source in listed
        assert source not in base["data"]["evaluation_only"]


def test_it_knows_english_and_chinese(embedded: Detector) -> None:
    assert {"en", "zh"} <= set(embedded.languages)
    assert embedded.calibration is not None
    assert embedded.calibration.smallest <= 0.01
    assert embedded.calibration.probability_fitted


@pytest.mark.xfail(strict=True, reason="missed by version 3.0.0 (0.904); version 2.3.1 had 0.922")
def test_on_tweepfakes_validation_split_it_reaches_its_auroc(manifest: Manifest) -> None:
    rows = {row["slice"]: row for row in manifest.figures["tweepfake"]}
    assert rows["all"]["auroc"] >= 0.92


@pytest.mark.xfail(strict=True, reason="missed by version 3.0.0 (0.806) and by 2.3.1 (0.827)")
def test_on_tweepfakes_validation_split_it_reaches_an_accuracy_of_84_percent(
    manifest: Manifest,
) -> None:
    rows = {row["slice"]: row for row in manifest.figures["tweepfake"]}
    assert rows["all"]["accuracy"] >= 0.84


def test_tweepfake_is_measured_without_its_links_too(manifest: Manifest) -> None:
    rows = {row["slice"]: row for row in manifest.figures["tweepfake"]}
    assert rows["all"]["accuracy_no_links"] is not None


def test_every_source_stands_beside_a_bag_of_words(manifest: Manifest) -> None:
    for row in manifest.figures["sources"]:
        if min(row["n_human"], row["n_machine"]) > 0:
            assert 0 <= row["auroc_bag_of_words"] <= 1
            assert 0 <= row["auroc"] <= 1


@pytest.mark.parametrize("rate", ["0.01", "0.05"])
def test_no_panel_of_people_is_flagged_above_its_promise(manifest: Manifest, rate: str) -> None:
    """One-sided exact binomial, Bonferroni over the panels; unanswered counts as not flagged."""
    judged = panels(manifest)
    assert len(judged) >= 8
    above = {
        (row["source"], row["language"]): (row[f"flagged_{rate}"], row["n"])
        for row in judged
        if row[f"p_{rate}"] < 0.05 / len(judged)
    }
    assert above == {}


def test_most_english_and_chinese_posts_are_answered(manifest: Manifest) -> None:
    for language in ("en", "zh"):
        rows = [row for row in panels(manifest) if row["language"] == language]
        n = sum(row["n"] for row in rows)
        assert sum(row["answered"] * row["n"] for row in rows) / n >= 0.8, language


@pytest.mark.slow
@pytest.mark.corpus
def test_tweepfake_measured_again_gives_the_manifests_figures(
    corpus: Path, embedded: Detector, manifest: Manifest
) -> None:
    posts = load_posts(corpus, sources=["tweepfake"])
    report = posts.take(posts.column("split") == "validation")
    again = auroc(report.labels, embedded.logits(report.texts))
    assert again == pytest.approx(manifest.figures["tweepfake"][0]["auroc"], abs=0.005)


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.parametrize("source", ["xlmt_human", "zh_reviews_human"])
def test_people_measured_again_keep_the_promise(
    corpus: Path, embedded: Detector, source: str
) -> None:
    """Part of these trained or calibrated it: a check of the wiring, no figure."""
    posts = load_posts(corpus, sources=[source])
    posts = posts.take(np.isin(posts.column("language"), ["en", "zh"]))
    sample = posts.take(np.random.default_rng(0).choice(len(posts), 1_000, replace=False))
    assert embedded.predict(sample.texts, max_fpr=0.01).flagged.mean() <= 0.015


@pytest.fixture(scope="module")
def long_posts(corpus: Path) -> list[str]:
    """Give 1,500 posts of people, of 64 words and more."""
    posts = load_posts(corpus, sources=["hc3_en_eli5", "grid_reddit", "raidar"])
    people = [normalise(text or "") for text in posts.take(posts.labels == 0).texts]
    long = [text for text in people if n_words(text, most=64) == 64]
    return [long[i] for i in np.random.default_rng(0).choice(len(long), 1_500, replace=False)]


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.parametrize("n", [4, 8, 16])
def test_the_beginnings_of_peoples_long_posts_keep_it_too(
    long_posts: list[str], embedded: Detector, n: int
) -> None:
    """Part of these calibrated it: a check of the wiring, no figure."""
    cut = [first_words(text, n) for text in long_posts]
    flagged = embedded.predict(cut, max_fpr=0.01).flagged
    assert flagged.mean() <= 0.015


FRESH = """
import sys, time
start_s = time.perf_counter()
from textdetect import Detector
verdict = Detector.from_pretrained().predict("The room was clean and the staff were kind to us.")
took_s = time.perf_counter() - start_s
peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
heavy = [name for name in ("torch", "transformers", "sklearn", "pandas") if name in sys.modules]
print(took_s, int(peak) / 1024, verdict.label, *heavy)
"""


@pytest.mark.alone
def test_a_fresh_process_gives_a_verdict_in_a_second_and_a_half_and_300_mb() -> None:
    def start() -> tuple[float, float, list[str]]:
        output = subprocess.check_output([sys.executable, "-c", FRESH], text=True).split()
        return float(output[0]), float(output[1]), output[2:]

    start()
    runs = [start() for _ in range(5)]
    assert sorted(took_s for took_s, _, _ in runs)[2] <= 1.5
    assert max(peak_mb for _, peak_mb, _ in runs) <= 300
    assert all(rest in (["not_flagged"], ["uncertain"], ["machine"]) for _, _, rest in runs)


def test_the_card_is_what_the_generator_writes_from_the_stored_tables(
    manifest: Manifest, embedded: Detector
) -> None:
    assert card(manifest, embedded) == (FOLDER / CARD).read_text(encoding="utf-8")
    check = [sys.executable, str(ROOT / "training" / "card.py"), "--check"]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    front = yaml.safe_load((ROOT / "model_card.md").read_text(encoding="utf-8").split("---")[1])
    assert front["language"] == list(manifest.languages)
    assert front["license"] == "apache-2.0"
    assert front["pipeline_tag"] == "text-classification"


def test_it_knows_its_training_posts_and_accuses_no_others(embedded: Detector) -> None:
    assert embedded.checkpoint is not None
    seen = embedded.checkpoint.seen_in_training()
    assert seen is not None
    assert len(seen.to_bytes()) <= 10_000_000
    fresh = [post for seed in range(20) for post in human_posts(50, seed=seed)]
    assert (seen.look_up(fresh) == "").all()


@pytest.mark.corpus
def test_posts_of_its_training_are_found_and_held_out_ones_are_not(
    embedded: Detector, corpus: Path
) -> None:
    posts = load_posts(corpus, sources=["tweepfake"])
    assert embedded.checkpoint is not None
    seen = embedded.checkpoint.seen_in_training()
    assert seen is not None
    split = posts.column("split")
    train = seen.look_up(posts.take(np.flatnonzero(split == "train")[:2_000]).texts)
    held = seen.look_up(posts.take(split == "validation").texts)
    assert np.mean(train != "") > 0.97
    assert np.mean(held != "") < 0.03
