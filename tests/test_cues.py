"""What gives a label away and is no writing, and how it is evened out."""

from __future__ import annotations

import numpy as np

from textdetect.posts.cues import chances, cues
from textdetect.statistics.metrics import auroc


def made(n: int, *, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Posts of which a class ends in a full stop more often, and is longer."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 2, n)
    texts = [
        " ".join(["word"] * int(chance.integers(4, 20 + 20 * label)))
        + ("." if chance.random() < 0.3 + 0.5 * label else "")
        for label in labels
    ]
    return texts, labels, np.array(["en post"] * n, dtype=object)


def told_apart(found: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression

    half = len(labels) // 2
    scale = found.std(0) + 1e-9
    model = LogisticRegression(max_iter=500, class_weight="balanced")
    model.fit(found[:half] / scale, labels[:half])
    return auroc(labels[half:], model.decision_function(found[half:] / scale))


def test_cues_tell_less_of_the_posts_that_are_taken() -> None:
    texts, labels, cells = made(6_000, seed=1)
    found = cues(texts)
    taken = np.random.default_rng(2).random(len(labels)) < chances(found, labels, cells)
    assert told_apart(found, labels) > 0.75
    assert told_apart(found[taken], labels[taken]) < told_apart(found, labels) - 0.08
    assert 0.5 < taken.mean() < 0.95


def test_where_cues_say_nothing_nearly_every_post_is_taken() -> None:
    chance = np.random.default_rng(3)
    labels = chance.integers(0, 2, 2_000)
    texts = [" ".join(["word"] * int(chance.integers(4, 20))) for _ in labels]
    taken = chances(cues(texts), labels, np.array(["en post"] * 2_000, dtype=object))
    assert taken.mean() > 0.99


def test_a_cell_with_one_class_is_taken_whole() -> None:
    texts, labels, cells = made(400, seed=4)
    cells = np.array([f"{label}" for label in labels], dtype=object)
    assert np.all(chances(cues(texts), labels, cells) == 1)


def test_no_posts_have_no_cues() -> None:
    assert cues([]).shape == (0, cues(["a"]).shape[1])
