"""Detector: texts → verdicts. It knows nothing of files, training or the network."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect._ground.progress import bar_over
from textdetect.errors import InvalidInput, NotCalibrated, TooFewCalibration
from textdetect.model.checkpoint import (
    CARD,
    Checkpoint,
    Manifest,
    calibration_file,
    find_folder,
    open_checkpoint,
    write_calibration,
    write_manifest,
)
from textdetect.model.judgement import Predicting, judge, scored_posts
from textdetect.model.runtimes.choice import NumberType, RuntimeName, load_runtime
from textdetect.model.runtimes.protocol import Runtime
from textdetect.posts.language import UNDETERMINED, canonical, identify, prepare
from textdetect.posts.scored import (
    Languages,
    ScoredPosts,
    Scores,
    Verdicts,
    as_class,
    may_keep,
    objects,
)
from textdetect.posts.text import (
    MAX_RAW_CHARS,
    coerce,
    first_of_each,
    normalise,
    paired,
)
from textdetect.statistics.calibration import Calibration, check_share

logger = logging.getLogger(__name__)

WINDOW: Final = 2_048
"""Texts that are sorted by length and scored together."""


class Detector(Predicting):
    """A detector of machine-written posts.

    Make one with `Detector.from_pretrained()`; the constructor takes the parts, for tests and for
    runtimes of your own.

    Args:
        runtime: texts → logits.
        calibration: logits → p-values; None gives scores without verdicts.
        languages: ISO 639-1 codes that the model answers for; empty: any that has calibration.
        name, version: the model's.
        normalised: whether the model was trained on normalised text.

    Attributes:
        checkpoint: the folder that it was loaded from, and its manifest; None for parts.
        normalises: whether texts are normalised before they are scored.

    >>> from textdetect.model.runtimes import StubRuntime
    >>> humans = [f"a human post number {i}" for i in range(99)]
    >>> detector = Detector(StubRuntime(len)).calibrate(humans, languages=["en"] * 99)
    >>> detector.predict("this is an unusually long text, is it?", max_fpr=0.1).label
    'machine'
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        calibration: Calibration | None = None,
        languages: Sequence[str] = (),
        name: str = "custom",
        version: str = "0",
        normalised: bool = True,
    ) -> None:
        if calibration is not None:
            calibration.check(fingerprint=runtime.fingerprint, numerics=runtime.numerics)
        self.runtime = runtime
        self.calibration = calibration
        self.languages = tuple(languages)
        self.name = name
        self.version = version
        self.normalises = normalised
        self.checkpoint: Checkpoint | None = None
        self._options: dict[str, Any] = {}

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str] = "default",
        *,
        runtime: RuntimeName = "auto",
        device: str | None = None,
        dtype: NumberType = "auto",
        revision: str | None = None,
        machine_label: str | int | None = None,
    ) -> Detector:
        """Load a detector: the embedded one by default, offline and without torch.

        Args:
            model: an embedded name, a folder, or a hub id.
            runtime: "onnx" (onnxruntime: 8-bit integers where the checkpoint has a graph of them,
                fp32 otherwise), "onnx-fp32", "openvino" (bf16; where the processor has none, onnx
                and a warning), "hf" (transformers + torch), or "auto": onnx for a checkpoint of
                ours on the processor, hf otherwise.
            device: for "hf": "cpu", "cuda" …
            dtype: for "hf": "fp32", "bf16", or "auto", which is bf16 on a GPU that has it.
            revision: of a hub id.
            machine_label: the class of someone else's model that means machine-written.

        Raises:
            CheckpointError: the folder is not there, damaged, unsafe or of another version.
            MissingDependency: "hf" without the extra `train`, "openvino" without its own.
            InvalidInput: an option that cannot be.

        >>> Detector.from_pretrained().languages[:1]
        ('en',)
        """
        checkpoint = open_checkpoint(find_folder(model, revision=revision))
        engine = load_runtime(checkpoint, runtime, device, machine_label, dtype)
        prepare()
        manifest = checkpoint.manifest
        detector = cls(
            engine,
            calibration=_calibration(checkpoint, engine.numerics),
            languages=manifest.languages if manifest else (),
            name=manifest.name if manifest else checkpoint.folder.name,
            version=manifest.version if manifest else "",
            normalised=manifest is not None,
        )
        detector.checkpoint = checkpoint
        detector._options = {"runtime": runtime, "device": device, "dtype": dtype}
        detector._options |= {"machine_label": machine_label}
        return detector

    @property
    def fingerprint(self) -> str:
        """Hash of all that makes a logit: weights, tokenizer, normalisation, max_length."""
        return self.runtime.fingerprint

    @property
    def numerics(self) -> str:
        """Engine and number type: the class that a calibration belongs to."""
        return self.runtime.numerics

    def logits(self, texts: Iterable[Any]) -> NDArray[np.float64]:
        """Score texts without a verdict: float64, shape (n,), higher = more machine-like.

        An empty text gets NaN. Raises `InvalidInput` at what is neither str nor missing.
        """
        return self.score(texts).logit

    def score(
        self,
        texts: Iterable[Any],
        *,
        language: Languages = None,
        progress: bool | None = None,
    ) -> ScoredPosts:
        """Score texts without a verdict: logits, p-values, languages and what else decides one.

        This is what a calibration is fitted on, and what accounts are judged by. Arguments and
        errors as in `predict`.
        """
        if isinstance(texts, str):
            raise InvalidInput("expected many texts; for one, pass [text]")
        parts = [posts for _, posts in self._windows(texts, language, progress)]
        return ScoredPosts.joined(parts or [self._scored((), ())])

    def __call__(
        self, texts: str | Iterable[Any], *, max_fpr: float = 0.01
    ) -> list[dict[str, Any]]:
        """Answer as a transformers pipeline does: [{"label", "score"}], one a text.

        The labels are those of `Verdict`; the score is the probability of the label given, of
        machine where it is "uncertain", and NaN for an empty text. A model without a calibration
        says "machine" where that is likelier.
        """
        several: Iterable[Any] = [texts] if isinstance(texts, str) else texts
        if self.calibration is None:
            probabilities = 1 / (1 + np.exp(-np.clip(self.logits(several), -700, 700)))
            labels = [
                "uncertain" if p != p else "machine" if p >= 0.5 else "not_flagged"
                for p in probabilities
            ]
        else:
            verdicts = self.predict(several, max_fpr=max_fpr)
            probabilities, labels = verdicts.probability, list(verdicts.label)
        return [as_class(str(name), p) for name, p in zip(labels, probabilities, strict=True)]

    def calibrate(
        self,
        humans: Iterable[Any],
        *,
        labelled: tuple[Iterable[Any], Sequence[int]] | None = None,
        panels: Sequence[str] | None = None,
        languages: Sequence[str | None] | None = None,
        delta: float = 0.05,
        min_panel: int = 150,
        min_stratum: int = 1_000,
    ) -> Detector:
        """Return this detector with p-values fitted on human posts of your own.

        Equal texts count once, whatever their links and @names: copies are no people of their own.

        Args:
            humans: posts that people wrote, never used in training; 600 or more of a language
                support max_fpr=0.01.
            labelled: (texts, labels 0 human / 1 machine), of which the machine posts fit the
                probabilities; without them, or with too few, these are `calibration.UNFITTED`.
            panels: the source or genre of each human post.
            languages: of each human post; None identifies it, as prediction will.
            delta, min_panel, min_stratum: see `Calibration` and `CalibrationConfig`.

        Raises:
            InvalidInput: no human post, columns of different lengths, or no machine post in
                `labelled`.
        """
        texts = list(coerce(humans))
        groups = ["all"] * len(texts) if panels is None else list(panels)
        codes = [None] * len(texts) if languages is None else list(languages)
        if not len(texts) == len(groups) == len(codes):
            raise InvalidInput("humans, panels and languages must have one length")
        machines = None
        if labelled is not None:
            posts, labels = list(coerce(labelled[0])), np.asarray(labelled[1])
            if len(posts) != len(labels) or not (labels == 1).any():
                raise InvalidInput("labelled: expected a label for each text, and machine posts")
            once = [posts[i] for i in first_of_each(posts) if labels[i] == 1]
            scored = self.score(once)
            machines = (scored.logit, scored.n_tokens, scored.language)
        rows = first_of_each(texts)
        if len(rows) < len(texts):
            logger.warning(
                "%d of %d posts left out: their texts came before",
                len(texts) - len(rows),
                len(texts),
            )
        scored = self.score([texts[i] for i in rows], language=[codes[i] for i in rows])
        calibration = Calibration.fit(
            scored.logit,
            scored.n_tokens,
            scored.language,
            [groups[i] for i in rows],
            fingerprint=self.fingerprint,
            numerics=self.runtime.numerics,
            machines=machines,
            delta=delta,
            min_panel=min_panel,
            min_stratum=min_stratum,
        )
        return self._with(calibration)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the checkpoint, with this detector's calibration, to a folder that loads again.

        A calibration that is not the checkpoint's own takes the place of all that it had: those of
        the other numerics classes, and the figures and the card that were measured with them.

        Raises:
            InvalidInput: the detector was not loaded from a checkpoint of ours.
        """
        if self.checkpoint is None or self.checkpoint.manifest is None:
            raise InvalidInput(
                "only a detector that was loaded from a textdetect folder can be saved"
            )
        source, out = self.checkpoint.folder, Path(folder)
        if out.resolve() != source.resolve():
            shutil.copytree(source, out, dirs_exist_ok=True)
        manifest, own = self.checkpoint.manifest, self.calibration
        shipped = _calibration(self.checkpoint, self.runtime.numerics)
        if own is not None and (shipped is None or own.to_dict() != shipped.to_dict()):
            for old in (*out.glob(calibration_file("*")), out / CARD):
                old.unlink(missing_ok=True)
            write_calibration(out, own)
            manifest = dataclasses.replace(manifest, figures={})
        write_manifest(out, manifest)
        return out

    def push_to_hub(self, repo_id: str, *, private: bool = True) -> str:
        """Upload the checkpoint to a model hub and return its address (needs the extra `train`)."""
        import tempfile

        hub = require("huggingface_hub", extra="train").HfApi()
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            hub.create_repo(repo_id, private=private, exist_ok=True)
            return str(hub.upload_folder(repo_id=repo_id, folder_path=folder))

    def __repr__(self) -> str:
        return f"Detector({self.name!r} {self.version}, {self.runtime.numerics})"

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self.checkpoint is not None:
            del state["runtime"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "runtime" not in state:
            loaded = type(self).from_pretrained(state["checkpoint"].folder, **state["_options"])
            self.runtime = loaded.runtime

    def _with(self, calibration: Calibration) -> Detector:
        other: Detector = object.__new__(type(self))
        other.__dict__.update(self.__dict__, calibration=calibration)
        return other

    def _none(self, max_fpr: float) -> Verdicts:
        return Verdicts.from_list([], max_fpr=self._check_rate(max_fpr)[1], **self._origin())

    def _origin(self) -> dict[str, str]:
        engine = {"fingerprint": self.runtime.fingerprint, "numerics": self.runtime.numerics}
        return {"model": self.name, "version": self.version} | engine

    def _check_rate(self, max_fpr: float) -> tuple[Calibration, float]:
        max_fpr = check_share("max_fpr", max_fpr)
        if self.calibration is None:
            raise NotCalibrated(
                f"{self.name} has no calibration for {self.runtime.numerics}: logits() and calling "
                "it work, verdicts need human posts: detector.calibrate(humans), or "
                "textdetect calibrate MODEL --human FILE"
            )
        if max_fpr < self.calibration.smallest:
            raise TooFewCalibration(
                f"max_fpr={max_fpr:g} is below {self.calibration.smallest:.2g}, the smallest rate "
                "that this calibration supports; ask for a larger one, or calibrate with more posts"
            )
        return self.calibration, max_fpr

    def _windows(
        self, texts: Iterable[Any], language: Languages, progress: bool | None
    ) -> Iterator[tuple[tuple[str | None, ...], ScoredPosts]]:
        """Yield the texts as they came, and scored; `WINDOW` at a time."""
        stream = paired(texts, language)
        window = list(islice(stream, WINDOW))
        # one window alone is over before a bar could move
        bar = bar_over(texts, progress) if len(window) == WINDOW else None
        with bar if bar is not None else nullcontext():
            while window:
                raw, given = zip(*window, strict=True)
                yield raw, self._scored(raw, given)
                if bar is not None:
                    bar.update(len(raw))
                window = list(islice(stream, WINDOW))

    def _scored(self, raw: Sequence[str | None], given: Sequence[str | None]) -> ScoredPosts:
        """Score the texts that hold anything, equal ones once; the others get NaN, no tokens."""
        prepare = normalise if self.normalises else _whole
        texts = [prepare(text or "") for text in raw]
        n_chars = MAX_RAW_CHARS if self.normalises else np.inf
        truncated = np.array([len(text or "") > n_chars for text in raw], dtype=np.bool_)
        logits, n_tokens = np.full(len(texts), np.nan), np.zeros(len(texts), dtype=np.int64)
        full = [i for i, text in enumerate(texts) if text.strip()]
        if full:
            places: dict[str, int] = {}
            of = [places.setdefault(texts[i], len(places)) for i in full]
            scores = self.runtime.run(list(places))
            logits[full], n_tokens[full] = scores.logits[of], scores.n_tokens[of]
            truncated[full] |= scores.truncated[of]
        expected = self.languages or (self.calibration.languages if self.calibration else ())
        languages = [
            (code is not None and canonical(code))
            or (identify(text, expected=expected) if text else UNDETERMINED)
            for text, code in zip(texts, given, strict=True)
        ]
        scores = Scores(logits, n_tokens, truncated)
        own_words = None if self.normalises else [normalise(text) for text in texts]
        return scored_posts(texts, scores, languages, self.calibration, own_words)

    def _judge(
        self,
        texts: Iterable[Any],
        max_fpr: float,
        language: Languages,
        *,
        progress: bool | None,
    ) -> Iterator[Verdicts]:
        calibration, max_fpr = self._check_rate(max_fpr)
        listed, origin = self.languages or calibration.languages, self._origin()
        for raw, scored in self._windows(texts, language, progress):
            columns = judge(scored, raw, calibration=calibration, listed=listed, max_fpr=max_fpr)
            posts = objects(raw) if may_keep(texts) else None
            yield Verdicts(columns, max_fpr=max_fpr, posts=posts, **origin)


def _whole(text: str) -> str:
    """Give a text as someone else's model takes it."""
    return text[:100_000].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _calibration(checkpoint: Checkpoint, numerics: str) -> Calibration | None:
    """Load the calibration of a numerics class, or None where there is none."""
    manifest: Manifest | None = checkpoint.manifest
    if manifest is None or calibration_file(numerics) not in manifest.files:
        return None
    return checkpoint.calibration(numerics)
