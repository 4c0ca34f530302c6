"""The probe: features that no neighbour moves, embedded once; and a regression that learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import script
from synthetic import human_posts, write_encoder
from tiny import tiny_classifier

from textdetect.errors import DetectorFailed, InvalidInput, ModelNotFound
from textdetect.evaluation.scorers import Checked
from textdetect.statistics.metrics import auroc

Features, Probe = script("probe").Features, script("probe").Probe

HUMANS = human_posts(40)
MACHINES = [f"Overall, this {text} provides remarkable value." for text in human_posts(40, seed=1)]
TEXTS, LABELS = HUMANS + MACHINES, [0] * 40 + [1] * 40
ODD = ["", " ", "😀", "你好，世界。", "lone \ud83d here", "a" * 5_000, "word " * 400]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_encoder(tmp_path_factory.mktemp("probe") / "encoder"))


def count_embedded(features: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make features write down how many texts are embedded at a time."""
    counts: list[int] = []
    embed = features._embed

    def counted(texts: list[str]) -> Any:
        counts.append(len(texts))
        return embed(texts)

    monkeypatch.setattr(features, "_embed", counted)
    return counts


def test_a_probe_is_a_scorer_that_learns(encoder: str) -> None:
    scorer = Checked(Probe(Features(encoder)))
    assert scorer.needs_fit
    with pytest.raises(InvalidInput, match="probe must be fitted first"):
        scorer.score(["a"])
    scorer.fit(TEXTS, LABELS)
    fresh = human_posts(20, seed=2)
    machines = [f"Overall, this {text} provides remarkable value." for text in fresh]
    assert auroc([0] * 20 + [1] * 20, scorer.score(fresh + machines)) > 0.95


def test_any_text_gets_a_score_and_none_gets_none(encoder: str) -> None:
    probe = Probe(Features(encoder)).fit(TEXTS, LABELS)
    scores = probe.score(ODD)
    assert scores.shape == (len(ODD),)
    assert np.isfinite(scores).all()
    assert probe.score([]).shape == (0,)


def test_a_score_depends_neither_on_the_batch_nor_on_the_order(encoder: str) -> None:
    texts = TEXTS + ODD
    scores = Probe(Features(encoder)).fit(TEXTS, LABELS).score(texts)
    small = Probe(Features(encoder, batch_tokens=1)).fit(TEXTS, LABELS)
    backwards = small.score(texts[::-1])[::-1]
    np.testing.assert_allclose(backwards, scores, atol=1e-4)


def test_the_features_are_means_of_hidden_states_over_the_tokens(encoder: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder)
    with torch.no_grad():
        tokens = tokenizer(HUMANS[0], return_tensors="pt")
        states = model.eval()(**tokens, output_hidden_states=True).hidden_states
    wanted = torch.cat([states[layer][0].mean(dim=0) for layer in (0, 2)]).numpy()
    features = Features(encoder, depths=(0.0, 1.0))(HUMANS[:3])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[0], wanted, atol=1e-5)


def test_texts_are_normalised_as_for_our_models(encoder: str) -> None:
    probe = Probe(Features(encoder)).fit(TEXTS, LABELS)
    raw, clean = probe.score(["@ann  “so good” &amp; cheap #win", '@user "so good" & cheap win'])
    assert raw == clean


def test_a_post_is_embedded_once_however_many_fits_it_takes_part_in(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = Features(encoder)
    counts = count_embedded(features, monkeypatch)
    first = Probe(features).fit(TEXTS, LABELS).score(TEXTS)
    Probe(features).fit(TEXTS[30:50], LABELS[30:50]).score([*TEXTS, TEXTS[0]])
    again = Probe(features).fit(TEXTS, LABELS).score(TEXTS)
    assert sum(counts) == len(set(TEXTS))
    assert again.tolist() == first.tolist()


def test_a_cache_folder_spares_a_later_run_the_encoder(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Features(encoder, cache=tmp_path)(TEXTS)
    later = Features(encoder, cache=tmp_path)
    counts = count_embedded(later, monkeypatch)
    assert later(TEXTS).tolist() == first.tolist()
    assert counts == []
    other = Features(encoder, cache=tmp_path, depths=(0.0, 1.0))
    assert other(TEXTS).tolist() != first.tolist()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_fingerprint_tells_apart_what_gives_other_scores(encoder: str, tmp_path: Path) -> None:
    one = Probe(Features(encoder)).fingerprint
    assert Probe(Features(encoder, batch_tokens=64)).fingerprint == one
    others = [
        Features(encoder, depths=(1.0,)),
        Features(encoder, max_length=16),
        Features(str(write_encoder(tmp_path / "other", seed=1))),
    ]
    assert len({one, *(Probe(features).fingerprint for features in others)}) == 4


def test_no_more_tokens_are_read_than_the_encoder_has_places_for(tmp_path: Path) -> None:
    probe = Probe(Features(str(tiny_classifier(tmp_path / "classifier")), max_length=512))
    assert np.isfinite(probe.fit(TEXTS, LABELS).score(["coffee " * 300])).all()


@pytest.mark.parametrize("wrong", [{"depths": ()}, {"depths": (1.5,)}, {"max_length": 2}])
def test_what_cannot_be_is_refused(encoder: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="depths in"):
        Features(encoder, **wrong)


@pytest.mark.model
def test_a_folder_without_an_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="to be a folder or hub id"):
        Features(str(tmp_path))
    with pytest.raises(ModelNotFound, match="no encoder 'no-such-encoder'"):
        Features("no-such-encoder")


def test_features_that_are_not_finite_are_an_error(encoder: str) -> None:
    import torch

    features = Features(encoder)
    with torch.no_grad():
        for weight in features._encoder.parameters():
            weight.fill_(float("nan"))
    with pytest.raises(DetectorFailed, match="not finite"):
        Probe(features).fit(TEXTS, LABELS)
