"""A detector is texts → scores: any detector, found by a string, with its output checked.

Thresholds, labels and languages belong to someone else.
"""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from textdetect.errors import DetectorFailed, InvalidInput, TextdetectError
from textdetect.evaluation.baselines import BASELINES
from textdetect.evaluation.remote import UrlScorer
from textdetect.evaluation.zeroshot import METRICS, LanguageModel, ZeroShot
from textdetect.model.detector import Detector

_FUNCTION: Final = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*):([A-Za-z_]\w*(?:\.\w+)*)")


class Scorer(Protocol):
    """Any detector under evaluation, with the name that a table gives it.

    It may have three attributes more: `fingerprint`, a str that changes with whatever makes its
    scores (without one its scores are not kept), `logits`, True where its scores are the log-odds
    of machine-written, and `decision`, the score that parts the classes (0 for logits). One that
    learns has `fit(texts, labels)`, labels 0 human and 1 machine, and `is_fitted`.
    """

    @property
    def name(self) -> str: ...

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one score a text, shape (n,), higher = more machine-like; NaN = unanswered."""
        ...


class Checked:
    """A scorer whose every answer is checked, whoever wrote it.

    It has the attributes of a `Scorer`, the optional ones too: "" for no fingerprint, None where
    the detector says no decision; `is_trainable`: it learns from labelled texts; and `detector` and
    `checkpoint`, None where it is no classifier, or none that was loaded from a folder.

    >>> class Length:
    ...     name = "length"
    ...     def score(self, texts):
    ...         return [len(text) for text in texts]
    >>> Checked(Length()).score(["a", "bcd"]).tolist()
    [1.0, 3.0]
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer: Any = scorer
        self.name = scorer.name
        self.fingerprint = str(getattr(scorer, "fingerprint", ""))
        self.logits = bool(getattr(scorer, "logits", False))
        parts_at: float | None = 0.0 if self.logits else None
        self.decision: float | None = getattr(scorer, "decision", parts_at)
        self.is_trainable = hasattr(scorer, "fit") and hasattr(scorer, "is_fitted")
        self.detector = scorer.detector if isinstance(scorer, Classifier) else None
        self.checkpoint = self.detector.checkpoint if self.detector else None

    @property
    def needs_fit(self) -> bool:
        """Whether `fit` must come before `score`."""
        return self.is_trainable and not self.scorer.is_fitted

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> Checked:
        """Fit a scorer that learns; labels 0 human, 1 machine. One that does not is refused."""
        if not self.is_trainable:
            raise InvalidInput(f"{self.name} is not fitted: it scores as it is")
        self.scorer.fit(list(texts), list(labels))
        return self

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return float64, shape (n,), higher = more machine-like; NaN = unanswered.

        Raises:
            DetectorFailed: the detector raised, or gave another number of scores, an infinite one,
                or something that is not a number. The message says where, and holds no text.
        """
        texts = list(texts)
        if self.needs_fit:
            raise InvalidInput(f"{self.name} must be fitted first: fit(texts, labels)")
        try:
            scores: Any = np.asarray(self.scorer.score(texts))
        except DetectorFailed:
            raise
        except TextdetectError as error:
            raise DetectorFailed(f"{self.name} failed: {error}") from error
        except Exception as error:  # noqa: BLE001 - anyone's code, and its message may hold a text
            raise DetectorFailed(f"{self.name} raised {_where(error)}") from None
        if wrong := _wrong(scores, len(texts)):
            raise DetectorFailed(f"{self.name}: {wrong}")
        return np.asarray(scores, dtype=np.float64)


def _wrong(scores: NDArray[Any], n: int) -> str:
    if scores.shape != (n,):
        return f"expected scores of shape ({n},), got {scores.shape}"
    if n and scores.dtype.kind not in "fiu":
        return f"expected float scores (NaN = unanswered), got {scores.dtype}"
    n_infinite = int(np.isinf(scores.astype(np.float64)).sum())
    return f"{n_infinite} of {n} scores are infinite; expected finite or NaN" if n_infinite else ""


def resolve(
    spec: str | Detector,
    *,
    machine_label: str | int | None = None,
    device: str | None = None,
    loaded: dict[str, LanguageModel] | None = None,
) -> Checked:
    """Find a detector by a string; a `Detector` is taken as it is.

    - "bag-of-words", "bag-of-words-svc", "stylometry", "length", "constant": a baseline, to be
      fitted first;
    - "lrr:MODEL", "binoculars:PERFORMER,OBSERVER" …: a zero-shot metric over causal language
      models, folders or hub ids (see `zeroshot.METRICS`);
    - "http://…", "https://…": a scoring server (see `UrlScorer`);
    - "module:function": called with a list of str; found in the working directory, or installed;
    - all else: a checkpoint of ours or any transformers classifier, by name, folder or hub id.

    Args:
        machine_label: the class of someone else's classifier that means machine-written.
        device: "cpu", "cuda" … for models that run here.
        loaded: language models by name, shared by the calls that are given the same dict.

    Raises:
        InvalidInput: no such metric or function, or a URL of another scheme.
        CheckpointError: a model that is not there, or not loaded for a reason.
        DetectorFailed: the module of a function raised on import.

    >>> scorer = resolve("length").fit(["a", "aaaa"], [0, 1])
    >>> scorer.name, scorer.score(["aaa", "aa"]).shape
    ('length', (2,))
    """
    if isinstance(spec, Detector):
        return Checked(Classifier(spec.name, spec))
    if spec in BASELINES:
        return Checked(BASELINES[spec]())
    if "://" in spec:
        return Checked(UrlScorer(spec))
    metric, _, models = spec.partition(":")
    if metric in METRICS and models:
        loaded = {} if loaded is None else loaded
        if models not in loaded:
            scoring, _, reference = models.partition(",")
            loaded[models] = LanguageModel(scoring, reference=reference or None, device=device)
        return Checked(ZeroShot(loaded[models], metric))
    function = _FUNCTION.fullmatch(spec)
    if function and not Path(spec).is_dir():
        return Checked(_Function(spec, _import(spec, function[1], function[2])))
    detector = Detector.from_pretrained(spec, device=device, machine_label=machine_label)
    return Checked(Classifier(spec, detector))


class Classifier:
    """A checkpoint of ours or any transformers classifier, as a scorer of logits."""

    logits = True

    def __init__(self, name: str, detector: Detector) -> None:
        self.name, self.detector = name, detector
        self.fingerprint = f"{detector.fingerprint} {detector.runtime.numerics}"

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the model's logits; NaN for an empty text."""
        return self.detector.logits(texts)


@dataclass(frozen=True)
class _Function:
    """A function, as a scorer; whatever it rests on may change unseen, so it has no fingerprint."""

    name: str
    function: Callable[[list[str]], Any]

    def score(self, texts: Sequence[str]) -> Any:
        return self.function(list(texts))


def _import(spec: str, module: str, name: str) -> Callable[[list[str]], Any]:
    """Import a function; the working directory is looked at first, and only for this import."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        importlib.invalidate_caches()
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{spec}: no module {error.name!r} in the working directory or installed"
        ) from error
    except Exception as error:
        raise DetectorFailed(f"{spec}: its module raised {_where(error)}") from error
    finally:
        sys.path.remove(here)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise InvalidInput(f"{spec}: {module} has no function {name!r}")
    return found  # type: ignore[no-any-return]


def _where(error: Exception) -> str:
    """Name an error's type and the line that raised it, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + at
