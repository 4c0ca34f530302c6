"""A graph of 8-bit integer products: near fp32, the same alone and in a crowd, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from test_runtimes import mixed_posts
from tiny import human_posts, machine_posts

from textdetect import Detector
from textdetect.errors import NotCalibrated, ParityError
from textdetect.model.checkpoint import INTEGER_GRAPH, read_manifest, write_manifest
from textdetect.training import integers
from textdetect.training.integers import Activations, write_integer_graph


@pytest.fixture(scope="module")
def both(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the tiny checkpoint with a graph of integers beside that of fp32."""
    folder = tmp_path_factory.mktemp("integers") / "checkpoint"
    shutil.copytree(tiny, folder)
    assert write_integer_graph(folder, human_posts(60) + machine_posts(60)) < 0.1
    write_manifest(folder, read_manifest(folder))
    return folder


def test_integers_are_the_default_where_there_is_a_graph_of_them(both: Path, tiny: Path) -> None:
    by_name = {name: Detector.from_pretrained(both, runtime=name) for name in ("auto", "onnx")}
    assert {detector.numerics for detector in by_name.values()} == {"onnxruntime-int8"}
    assert Detector.from_pretrained(both, runtime="onnx-fp32").numerics == "onnxruntime-fp32"
    assert Detector.from_pretrained(tiny, runtime="onnx").numerics == "onnxruntime-fp32"


def test_they_have_no_verdict_until_they_have_a_calibration_of_their_own(both: Path) -> None:
    detector = Detector.from_pretrained(both)
    with pytest.raises(NotCalibrated, match="onnxruntime-int8"):
        detector.predict("so good")
    calibrated = detector.calibrate(human_posts(400), languages=["en"] * 400)
    assert calibrated.predict(human_posts(1)[0], language="en", max_fpr=0.05).p_value > 0


def test_a_logit_is_near_that_of_fp32_and_does_not_depend_on_neighbours(both: Path) -> None:
    posts = human_posts(50, seed=8) + machine_posts(50, seed=9)
    detector = Detector.from_pretrained(both)
    together = detector.logits(posts)
    full = Detector.from_pretrained(both, runtime="onnx-fp32").logits(posts)
    assert 0 < np.sqrt(np.mean((together - full) ** 2)) < 0.1 * np.std(full)
    assert together.tolist() == detector.logits(posts[::-1])[::-1].tolist()
    assert together.tolist() == [float(detector.logits([post])[0]) for post in posts]


def test_the_graph_holds_no_weights_of_its_own(both: Path) -> None:
    from safetensors.numpy import load_file

    weights = load_file(str(both / "model.safetensors"))
    n_bytes = sum(tensor.nbytes for name, tensor in weights.items() if "dense" in name)
    assert (both / INTEGER_GRAPH).stat().st_size < 2 * n_bytes + 200_000
    assert read_manifest(both).files[INTEGER_GRAPH]


def test_a_model_that_loses_too_much_stays_in_fp32(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny, folder)
    monkeypatch.setattr(integers, "TOLERANCE", 0.0)
    with pytest.raises(ParityError, match=r"calibration\.int8"):
        write_integer_graph(folder, human_posts(20) + machine_posts(20))
    assert not (folder / INTEGER_GRAPH).exists()


def test_a_channel_far_beyond_the_others_does_not_take_their_steps() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 16)).astype(np.float32)
    rows[:, 3] *= 40
    weights = rng.normal(size=(16, 8)).astype(np.float32)
    how = integers._best(Activations(rows, np.abs(rows).max(axis=0)), weights)
    assert how.multiplier[3] < 0.3 <= how.multiplier.max()
    assert how.step < np.ptp(rows) / 255 / 3
    back = how.rounded(rows) / how.multiplier
    assert np.abs(back - rows)[:, :3].max() < np.ptp(rows) / 255 / 4  # a plain step errs by half


@pytest.mark.slow
def test_the_embedded_models_integers_are_near_its_fp32(embedded: Detector) -> None:
    assert embedded.numerics == "onnxruntime-int8"
    posts = list(dict.fromkeys(mixed_posts(600)))
    full = Detector.from_pretrained(runtime="onnx-fp32").logits(posts)
    ours = embedded.logits(posts)
    scored = np.isfinite(full)
    assert np.sqrt(np.mean((ours - full)[scored] ** 2)) < 0.1
    assert np.abs(ours - full)[scored].max() < 0.6


@pytest.mark.slow
def test_the_embedded_models_verdicts_do_not_depend_on_neighbours(embedded: Detector) -> None:
    posts = mixed_posts(300, seed=5)
    together, back = embedded.predict(posts), embedded.predict(posts[::-1])[::-1]
    alone = [embedded.predict(post) for post in posts]
    assert list(together.logit) == list(back.logit) == [verdict.logit for verdict in alone]
