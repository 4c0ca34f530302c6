"""Baselines: each learns what it can see, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import human_posts, machine_posts

from textdetect.errors import InvalidInput
from textdetect.evaluation import BagOfWords
from textdetect.evaluation.baselines import BASELINES, Constant, LengthOnly, Stylometry, style
from textdetect.statistics.metrics import auroc

LABELS = [0] * 60 + [1] * 60


def posts(seed: int) -> list[str]:
    return human_posts(60, seed=seed) + machine_posts(60, seed=seed + 1)


def test_a_bag_of_words_learns_a_tic() -> None:
    rival = BagOfWords(n_features=2**12).fit(posts(0), LABELS)
    assert auroc(LABELS, rival.score(posts(2))) > 0.99


def test_stylometry_learns_habits() -> None:
    shout = [text.upper().replace(".", "!!!") for text in human_posts(60, seed=5)]
    calm = human_posts(60, seed=6)
    rival = Stylometry().fit(calm + shout, LABELS)
    assert auroc([0, 0, 1], rival.score([*human_posts(2, seed=7), "IT WAS QUIET!!!"])) == 1.0


def test_length_finds_a_class_that_is_longer_shorter_or_in_between() -> None:
    rng = np.random.default_rng(0)
    for sizes in (range(5, 20), range(300, 400), range(60, 80)):
        people = ["a" * n for n in (*range(20, 50), *range(100, 130))]
        machines = ["a" * n for n in rng.choice(sizes, size=60)]
        rival = LengthOnly().fit(people + machines, LABELS)
        assert auroc(LABELS, rival.score(people + machines)) > 0.95


def test_a_constant_is_the_log_odds_of_its_labels() -> None:
    rival = Constant().fit(["a"] * 4, [0, 1, 1, 1])
    assert rival.score(["b", "c"]) == pytest.approx([np.log(3)] * 2)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_scores_any_text_and_none(name: str) -> None:
    rival = BASELINES[name]()
    assert rival.name == name
    with pytest.raises(InvalidInput, match=f"{name} must be fitted first"):
        rival.score(["a"])
    rival.fit(posts(0), LABELS)
    odd = ["", " ", "😀", "你好，世界。", "1234", "\ud83d", "a" * 5_000]
    scores = rival.score(odd)
    assert scores.dtype == np.float64
    assert scores.shape == (len(odd),)
    assert np.isfinite(scores).all()
    assert rival.score([]).shape == (0,)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1], [0, 1, 2]])
def test_labels_must_be_both_and_one_a_text(name: str, labels: list[int]) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: expected a label 0 or 1 for each text"):
        BASELINES[name]().fit(["a", "b", "c"], labels)


def test_style_counts_what_a_reader_would_count() -> None:
    found = style("The cat sat. You saw it, 2 TIMES!")
    assert found["sentence_length"] == 3.5
    assert found["sentence_spread"] == 0.5
    assert found["digits"] == pytest.approx(1 / 33)
    assert found["upper_case"] == pytest.approx(7 / 22)
    assert found["function_words"] == pytest.approx(3 / 7)
    assert style("你好你")["type_token_ratio"] == pytest.approx(2 / 3)
    assert set(style("").values()) == {0.0}
