"""What a bug report needs: versions, machine, and a model down to each file's checksum."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from textdetect._ground.files import sha256
from textdetect._ground.optional import LIBRARIES, installed_versions
from textdetect._ground.version import __version__
from textdetect.errors import CheckpointError
from textdetect.model.checkpoint import (
    MANIFEST,
    Manifest,
    find_folder,
    open_checkpoint,
    read_manifest,
)
from textdetect.model.detector import Detector
from textdetect.model.runtimes.host import machine


def about(model: str | os.PathLike[str] = "default") -> dict[str, Any]:
    """Gather what a bug report needs, in plain values that JSON can hold.

    Args:
        model: an embedded name, a folder, or a hub id.

    Returns:
        "textdetect", "python" and "os"; "libraries", name → version or "not installed", found
        without importing them; "machine" (see `runtimes.host.machine`); and "model": what was
        asked for, "error" (None, or what went wrong in one line), and as much as could be read of
        name, version, fingerprint, numerics, normalisation, max_length, languages, files (SHA-256
        and verdict of each) and strata (of each numerics class, see `Calibration.describe`).

    >>> report = about("no-such-model")
    >>> report["model"]["error"].startswith("ModelNotFound: no model 'no-such-model'")
    True
    """
    return {
        "textdetect": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "os": platform.platform(),
        "libraries": installed_versions(LIBRARIES),
        "machine": machine(),
        "model": _about_model(model),
    }


def _about_model(model: str | os.PathLike[str]) -> dict[str, Any]:
    report: dict[str, Any] = {"asked": os.fspath(model), "error": None}
    try:
        _describe(find_folder(model), report)
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors derive from nothing narrower
        report["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return report


def _describe(folder: Path, report: dict[str, Any]) -> None:
    """Add what can be read of a model to the report, the surest first, and then open it."""
    manifest = None
    if (folder / MANIFEST).is_file():
        try:
            manifest = read_manifest(folder)
        except CheckpointError:  # raised again when the folder is opened
            report["files"] = _files(folder, None)
        else:
            for name in ("name", "version", "fingerprint", "normalisation", "max_length"):
                report[name] = getattr(manifest, name)
            report["languages"] = list(manifest.languages)
            report["files"] = _files(folder, manifest)
    checkpoint = open_checkpoint(folder)
    parts = [name.split(".") for name in (manifest.files if manifest else ())]
    classes = [part[1] for part in parts if len(part) == 3 and part[0] == "calibration"]
    report["strata"] = {name: checkpoint.calibration(name).describe() for name in classes}
    detector = Detector.from_pretrained(folder)
    report |= {name: getattr(detector, name) for name in ("name", "fingerprint", "numerics")}


def _files(folder: Path, manifest: Manifest | None) -> list[dict[str, str | None]]:
    """List the files of a checkpoint of ours, those that are missing too, against its manifest."""
    listed = manifest.files if manifest else {}
    there = {
        file.relative_to(folder).as_posix(): sha256(file)
        for file in folder.rglob("*")
        if file.is_file()
    }

    def verdict(name: str) -> str:
        if name not in there:
            return "missing"
        if name == MANIFEST:
            return "as written" if manifest else "damaged"
        if name not in listed:
            return "not listed"
        return "as listed" if there[name] == listed[name] else "differs"

    return [
        {"file": name, "verdict": verdict(name), "sha256": there.get(name)}
        for name in sorted({*listed, *there})
    ]
