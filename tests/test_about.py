"""A report on an install: complete when all is well, and as far as it goes when a model is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from textdetect import Detector
from textdetect.cli.about import about


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """Give a copy of the tiny checkpoint that may be damaged."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def verdicts(model: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {file["file"]: file["verdict"] for file in model["files"]}


def test_a_sound_model_is_described_whole(tiny: Path) -> None:
    report = about(tiny)
    assert json.loads(json.dumps(report)) == report
    model, detector = report["model"], Detector.from_pretrained(tiny)
    assert model["error"] is None
    assert (model["name"], model["version"], model["max_length"]) == ("tiny", "1.2.3", 64)
    assert (model["fingerprint"], model["numerics"]) == (detector.fingerprint, "onnxruntime-fp32")
    assert set(verdicts(model).values()) == {"as listed", "as written"}
    assert set(model["strata"]) == {"onnxruntime-fp32", "torch-fp32"}
    assert detector.calibration is not None
    assert model["strata"]["onnxruntime-fp32"] == detector.calibration.describe()


def test_changed_missing_and_foreign_files_are_told_apart(copy: Path) -> None:
    (copy / "config.json").write_text("{}")
    (copy / "model.onnx").unlink()
    (copy / "note.txt").write_text("mine")
    model = about(copy)["model"]
    found = verdicts(model)
    assert found["config.json"] == "differs"
    assert found["model.onnx"] == "missing"
    assert found["note.txt"] == "not listed"
    assert found["model.safetensors"] == "as listed"
    assert model["name"] == "tiny"
    assert model["error"].startswith(("ChecksumMismatch", "MissingFile"))


def test_a_damaged_manifest_is_reported_and_nothing_of_it_believed(copy: Path) -> None:
    manifest = copy / "detector.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"huge"'))
    model = about(copy)["model"]
    assert verdicts(model)["detector.json"] == "damaged"
    assert "name" not in model
    assert model["error"].startswith("ChecksumMismatch")


def test_an_error_of_an_engine_is_reported_too(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise Exception("[ONNXRuntimeError]\n broken")

    monkeypatch.setattr("textdetect.model.runtimes.graph.OnnxRuntime.__init__", fail)
    model = about(tiny)["model"]
    assert model["error"] == "Exception: [ONNXRuntimeError] broken"
    assert set(model["strata"]) == {"onnxruntime-fp32", "torch-fp32"}


def test_libraries_are_named_without_importing_them(tiny: Path) -> None:
    code = (
        "import sys; from textdetect.cli.about import about; r = about(sys.argv[1])['libraries'];"
        "print(r['torch'] != '', [m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, tiny], capture_output=True, check=True, text=True
    ).stdout
    assert said == "True []\n"
