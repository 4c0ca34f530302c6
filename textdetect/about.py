"""What a bug report needs: versions, machine, and a model down to each file's checksum.

It judges nothing and repairs nothing; what is wrong with a model is reported, not raised.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Final

from textdetect._optional import installed_versions
from textdetect._version import __version__
from textdetect.checkpoint import (
    MANIFEST,
    Manifest,
    find_folder,
    open_checkpoint,
    read_manifest,
    sha256,
)
from textdetect.detector import Detector
from textdetect.errors import CheckpointError
from textdetect.runtimes.host import machine

LIBRARIES: Final = (
    *("numpy", "onnxruntime", "fastapi", "granian", "openvino"),
    *("tokenizers", "py3langid", "pyarrow", "torch", "transformers"),
)


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
            report |= {
                "name": manifest.name,
                "version": manifest.version,
                "fingerprint": manifest.fingerprint,
                "normalisation": manifest.normalisation,
                "max_length": manifest.max_length,
                "languages": list(manifest.languages),
                "files": _files(folder, manifest),
            }
    checkpoint = open_checkpoint(folder)
    parts = [name.split(".") for name in (manifest.files if manifest else ())]
    classes = [part[1] for part in parts if len(part) == 3 and part[0] == "calibration"]
    report["strata"] = {name: checkpoint.calibration(name).describe() for name in classes}
    detector = Detector.from_pretrained(folder)
    report |= {
        "name": detector.name,
        "fingerprint": detector.fingerprint,
        "numerics": detector.runtime.numerics,
    }


def _files(folder: Path, manifest: Manifest | None) -> list[dict[str, str | None]]:
    """List the files of a checkpoint of ours, those that are missing too, against its manifest."""
    listed = manifest.files if manifest else {}
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    files: list[dict[str, str | None]] = []
    for name in sorted({*listed, *(name for name, file in found.items() if file.is_file())}):
        digest = sha256(found[name]) if name in found and found[name].is_file() else None
        if digest is None:
            verdict = "missing"
        elif name == MANIFEST:
            verdict = "as written" if manifest else "damaged"
        elif name not in listed:
            verdict = "not listed"
        else:
            verdict = "as listed" if digest == listed[name] else "differs"
        files.append({"file": name, "verdict": verdict, "sha256": digest})
    return files
