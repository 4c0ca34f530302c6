"""Every error that textdetect raises on purpose; it knows nothing of what raises them.

    TextdetectError
    ├── InvalidInput (ValueError)          a text, column, row or option that cannot be used
    ├── MissingDependency (ImportError)    an extra is not installed; the message has the command
    ├── UnsupportedProcessor               it lacks the instructions that a runtime needs
    ├── ConfigError                        a training or evaluation config that cannot be used
    ├── DataError                          a corpus folder or posts file that cannot be used
    ├── TrainingFailed                     training ran and ended in something unusable
    ├── DetectorFailed                     a detector gave no usable scores, or its process died
    ├── RunError                           an output folder that can't take a run
    │   ├── RunExists                      it holds a run already
    │   ├── RunChanged                     what was run before is not what is asked for now
    │   └── RunLocked                      another run is writing to it
    ├── CheckpointError
    │   ├── ModelNotFound                  no such name, folder or hub id
    │   ├── MissingFile                    a file that the manifest lists is not there
    │   ├── ChecksumMismatch               a file is not the one that the manifest lists
    │   ├── InvalidManifest                detector.json cannot be read or lacks a field
    │   ├── NormalisationMismatch          made for another version of the text normalisation
    │   ├── GraphError                     an ONNX graph that can't be loaded
    │   ├── ParityError                    an exported graph does not give the model's logits
    │   └── UnsafeCheckpoint               nothing from the folder was loaded
    │       ├── PickleRefused              a file that could run code when it is loaded
    │       ├── RemoteCodeRefused          a model that asks for its own Python code
    │       └── PathOutsideFolder          a manifest entry that points out of the folder
    ├── ServerError                        a scoring server gave no verdicts
    │   ├── NotAllowed                     no API key, or one that it does not know
    │   ├── RequestTooLarge                more posts, characters or bytes than it takes
    │   └── ServerBusy                     full, too fast, loading or stopping: try again later
    └── CalibrationError
        ├── NotCalibrated                  scores are there, p-values are not
        ├── CalibrationMismatch            a calibration of another model or numerics class
        └── TooFewCalibration              no stratum supports the false-positive rate asked for

Every message says what was expected, what came and what to do about it. No message holds the
text of a post.
"""

from __future__ import annotations


class TextdetectError(Exception):
    """Base of every error that textdetect raises on purpose."""


class InvalidInput(TextdetectError, ValueError):
    """A text, column, row or option that cannot be used.

    Attributes:
        position: 0-based position of the offending text, where there is one.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class MissingDependency(TextdetectError, ImportError):
    """An optional library is not installed; the message has the command that installs it."""


class UnsupportedProcessor(TextdetectError):
    """The processor lacks the instructions that a runtime needs."""


class ConfigError(TextdetectError, ValueError):
    """A config with an unknown key, a missing one, or a value out of range."""


class DataError(TextdetectError, ValueError):
    """A corpus folder or a posts file that cannot be used."""


class TrainingFailed(TextdetectError):
    """Training ran and ended in something unusable (a diverged loss, one class only)."""


class DetectorFailed(TextdetectError):
    """A detector raised, did not answer, or answered something else than a score for each text.

    One that works in processes of its own also fails where these die before it is loaded.
    """


class RunError(TextdetectError):
    """Base of what can be wrong with the output folder of a run over many files."""


class RunExists(RunError):
    """The folder holds a run already, and it was not asked to go on."""


class RunChanged(RunError):
    """An unfinished run can't go on: its inputs, model or options are not what they were."""


class RunLocked(RunError):
    """Another run is writing to the folder."""


class CheckpointError(TextdetectError):
    """Base of what can be wrong with a model folder."""


class ModelNotFound(CheckpointError):
    """No embedded model, folder or hub id of that name."""


class MissingFile(CheckpointError):
    """A file that the manifest lists, or that loading needs, is not in the folder."""


class ChecksumMismatch(CheckpointError):
    """A file's SHA-256 is not the one in the manifest."""


class InvalidManifest(CheckpointError):
    """detector.json cannot be read, or lacks a field."""


class NormalisationMismatch(CheckpointError):
    """The checkpoint was made for another version of the text normalisation."""


class GraphError(CheckpointError):
    """An ONNX graph that an engine can't load."""


class ParityError(CheckpointError):
    """An exported graph does not give the logits of the model it was exported from."""


class UnsafeCheckpoint(CheckpointError):
    """The folder holds something that must not be loaded; nothing of it was."""


class PickleRefused(UnsafeCheckpoint):
    """A pickle, or a file that may hold one: loading it could run code."""


class RemoteCodeRefused(UnsafeCheckpoint):
    """The model asks for Python code of its own; textdetect never runs it."""


class PathOutsideFolder(UnsafeCheckpoint):
    """A manifest entry points out of the checkpoint folder."""


class ServerError(TextdetectError):
    """Base of why a scoring server gave no verdicts, raised in the server and by its clients."""


class NotAllowed(ServerError):
    """The API key is missing, unknown or no longer valid."""


class RequestTooLarge(ServerError):
    """More posts, characters or bytes in a request than the server takes."""


class ServerBusy(ServerError):
    """The server is full, asked too fast, loading its model or stopping.

    Attributes:
        retry_after_s: seconds after which another try may fare better.
        loading: it takes no requests at all for now.
    """

    def __init__(self, message: str, *, retry_after_s: float = 1.0, loading: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.loading = loading


class CalibrationError(TextdetectError):
    """Base of what can be wrong with a calibration."""


class NotCalibrated(CalibrationError):
    """The model has no calibration: it gives logits, but no p-values and no verdicts."""


class CalibrationMismatch(CalibrationError):
    """The calibration belongs to another model or to another numerics class."""


class TooFewCalibration(CalibrationError):
    """No stratum has enough calibration humans for the false-positive rate asked for."""
