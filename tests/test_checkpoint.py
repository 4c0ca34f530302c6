"""The model folder: each way in which it can be wrong is refused with an error of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from textdetect import Detector
from textdetect.errors import (
    CalibrationMismatch,
    ChecksumMismatch,
    GraphError,
    InvalidManifest,
    MissingFile,
    ModelNotFound,
    NormalisationMismatch,
    NotCalibrated,
    PathOutsideFolder,
    PickleRefused,
    RemoteCodeRefused,
)
from textdetect.model.checkpoint import (
    MANIFEST,
    Manifest,
    calibration_file,
    find_folder,
    open_checkpoint,
    read_manifest,
    renormalise,
    write_calibration,
    write_manifest,
)
from textdetect.posts import text

ONNX, TORCH = calibration_file("onnxruntime-fp32"), calibration_file("torch-fp32")
FILES = (
    "config.json",
    MANIFEST,
    "model.onnx",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    ONNX,
    TORCH,
)


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def rewrite(folder: Path, **changes: Any) -> None:
    """Write the manifest again with some fields changed and its own checksum right."""
    values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for key, value in changes.items():
        values.pop(key) if value is None else values.update({key: value})
    values["manifest_sha256"] = "0" * 64
    raw = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(raw.encode()).hexdigest()
    (folder / MANIFEST).write_text(raw.replace("0" * 64, digest), encoding="utf-8")


def test_the_list_of_files_here_is_the_folders(tiny: Path) -> None:
    assert sorted(file.name for file in tiny.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.999])
def test_a_flipped_byte_in_any_file_is_found(copy: Path, name: str, place: float) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[int(place * (len(raw) - 1))] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises((ChecksumMismatch, InvalidManifest)) as caught:
        Detector.from_pretrained(copy)
    if name != MANIFEST:
        assert isinstance(caught.value, ChecksumMismatch)
        assert name in str(caught.value)


@pytest.mark.parametrize("name", [name for name in FILES if name != MANIFEST])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(MissingFile, match=name):
        Detector.from_pretrained(copy)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "a.pt", "deep/x.pkl"])
def test_a_pickle_is_refused_even_if_the_manifest_lists_it(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"\x80\x04N.")
    write_manifest_unchecked(copy)
    with pytest.raises(PickleRefused, match="safetensors"):
        Detector.from_pretrained(copy)


def write_manifest_unchecked(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, manifest)


def test_an_adapter_that_the_manifest_lacks_is_refused(copy: Path) -> None:
    (copy / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ChecksumMismatch, match="adapter_config"):
        open_checkpoint(copy)


def test_remote_code_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_evil.Evil"}
    (copy / "config.json").write_text(json.dumps(config))
    write_manifest_unchecked(copy)
    with pytest.raises(RemoteCodeRefused, match="auto_map"):
        Detector.from_pretrained(copy)


@pytest.mark.parametrize("name", ["modeling_evil.py", "kernel.so"])
def test_code_in_the_folder_is_refused(copy: Path, name: str) -> None:
    (copy / name).write_text("raise SystemExit")
    with pytest.raises(RemoteCodeRefused, match=name):
        Detector.from_pretrained(copy)


@pytest.mark.parametrize("name", ["../secret.json", "/etc/passwd", "a/../../secret.json"])
def test_a_path_out_of_the_folder_is_refused(copy: Path, name: str) -> None:
    (copy.parent / "secret.json").write_text("{}")
    files = json.loads((copy / MANIFEST).read_text())["files"]
    rewrite(copy, files=files | {name: "1" * 64})
    with pytest.raises(PathOutsideFolder):
        Detector.from_pretrained(copy)


def test_a_link_out_of_the_folder_is_refused(copy: Path) -> None:
    outside = copy.parent / "weights"
    (copy / "model.safetensors").rename(outside)
    (copy / "model.safetensors").symlink_to(outside)
    with pytest.raises(PathOutsideFolder):
        Detector.from_pretrained(copy)


def test_a_graph_that_reads_outside_the_folder_is_refused(copy: Path) -> None:
    import onnx

    graph = onnx.load(copy / "model.onnx", load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../model.safetensors"
    (copy / "model.onnx").write_bytes(graph.SerializeToString())
    shutil.copyfile(copy / "model.safetensors", copy.parent / "model.safetensors")
    write_manifest_unchecked(copy)
    with pytest.raises(GraphError, match="outside its folder"):
        Detector.from_pretrained(copy)


def test_a_graph_that_is_none_is_refused(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"not a graph")
    write_manifest_unchecked(copy)
    with pytest.raises(GraphError, match="damaged"):
        Detector.from_pretrained(copy)


def test_another_normalisation_version_is_refused_with_advice(copy: Path) -> None:
    rewrite(copy, normalisation=text.NORMALISATION_VERSION + 1)
    with pytest.raises(NormalisationMismatch, match="textdetect train"):
        Detector.from_pretrained(copy)


def test_a_checkpoint_of_the_normalisation_before_is_taken_over_and_of_another_not(
    copy: Path,
) -> None:
    rewrite(copy, normalisation=text.NORMALISATION_VERSION - 1, figures={"t": [{"a": 1}]})
    (copy / "README.md").write_text("what it was")
    write_manifest_unchecked(copy)
    with pytest.raises(NormalisationMismatch, match=r"training/calibrate\.py"):
        open_checkpoint(copy)
    renormalise(copy)
    manifest = open_checkpoint(copy).manifest
    assert manifest is not None
    assert manifest.normalisation == text.NORMALISATION_VERSION
    assert (manifest.languages, manifest.figures) == ((), {})
    assert {*FILES} - {file.name for file in copy.iterdir()} == {ONNX, TORCH}
    assert not (copy / "README.md").exists()
    before = (copy / MANIFEST).read_bytes()
    renormalise(copy)
    assert (copy / MANIFEST).read_bytes() == before
    for far in (-2, 1):
        rewrite(copy, normalisation=text.NORMALISATION_VERSION + far)
        with pytest.raises(NormalisationMismatch):
            renormalise(copy)


def test_a_damaged_checkpoint_of_the_normalisation_before_is_not_taken_over(copy: Path) -> None:
    rewrite(copy, normalisation=text.NORMALISATION_VERSION - 1)
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(ChecksumMismatch):
        renormalise(copy)
    assert (copy / ONNX).is_file()


@pytest.mark.parametrize("change", [{"fingerprint": "0" * 64}, {"numerics": "torch-fp32"}])
def test_a_calibration_of_another_model_or_numerics_class_is_refused(
    copy: Path, change: dict[str, str]
) -> None:
    values = json.loads((copy / ONNX).read_text())
    (copy / ONNX).write_text(json.dumps(values | change))
    write_manifest_unchecked(copy)
    with pytest.raises(CalibrationMismatch, match="textdetect calibrate"):
        Detector.from_pretrained(copy)


def test_a_folder_without_a_calibration_gives_scores_only(copy: Path) -> None:
    (copy / ONNX).unlink()
    write_manifest_unchecked(copy)
    detector = Detector.from_pretrained(copy)
    assert detector.logits(["so good to see you"]).shape == (1,)
    with pytest.raises(NotCalibrated, match="textdetect calibrate"):
        detector.predict("so good to see you")
    with pytest.raises(NotCalibrated):
        open_checkpoint(copy).calibration("onnxruntime-fp32")


@pytest.mark.parametrize("field", ["name", "files", "languages", "max_length", "normalisation"])
def test_a_manifest_without_a_field_is_refused(copy: Path, field: str) -> None:
    rewrite(copy, **{field: None})
    with pytest.raises(InvalidManifest):
        Detector.from_pretrained(copy)


@pytest.mark.parametrize("raw", [b"", b"{}", b"not json", b"\xff\xfe", b"[]"])
def test_a_manifest_that_is_none_is_refused(copy: Path, raw: bytes) -> None:
    (copy / MANIFEST).write_bytes(raw)
    with pytest.raises(InvalidManifest):
        Detector.from_pretrained(copy)


def test_a_config_that_is_no_object_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text("[]")
    write_manifest_unchecked(copy)
    with pytest.raises(InvalidManifest):
        Detector.from_pretrained(copy)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"config\.json"):
        Detector.from_pretrained(tmp_path)
    with pytest.raises(ModelNotFound, match="expected one of"):
        find_folder(tmp_path / "nothing")


def test_the_fingerprint_is_of_what_makes_a_logit_and_of_nothing_else(copy: Path) -> None:
    before = read_manifest(copy)
    (copy / "NOTES.md").write_text("a note")
    write_manifest(copy, dataclasses.replace(before, languages=("fr",), version="9"))
    assert read_manifest(copy).fingerprint == before.fingerprint
    for change in ({"max_length": 32}, {"normalisation": before.normalisation + 1}):
        assert dataclasses.replace(before, **change).fingerprint != before.fingerprint
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        changed = dataclasses.replace(before, files=before.files | {name: "1" * 64})
        assert changed.fingerprint != before.fingerprint


def test_a_manifest_is_read_as_it_was_written(copy: Path) -> None:
    manifest = Manifest("m", "1", 1, 64, ("en", "zh"), {}, {"n": 1}, {"t": [{"a": None}]})
    again = write_manifest(copy, manifest)
    assert dataclasses.replace(again, files={}) == manifest
    assert set(again.files) == {*FILES} - {MANIFEST}


def test_writing_a_calibration_replaces_the_old_one_whole(copy: Path) -> None:
    calibration = open_checkpoint(copy).calibration("onnxruntime-fp32")
    write_calibration(copy, dataclasses.replace(calibration, delta=0.1))
    write_manifest_unchecked(copy)
    assert open_checkpoint(copy).calibration("onnxruntime-fp32").delta == 0.1
    assert not list(copy.glob(".*partial*"))
