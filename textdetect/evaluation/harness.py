"""How good a detector is on a suite: posts, answers and figures brought together, and written down.

    suite → posts by part → answers (kept by text) → the long table, curves, facts → files

What is reported was never fitted on: thresholds are frozen beforehand, and each look at the report
part is written into a ledger. It knows nothing of pages and charts.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

import textdetect.evaluation.measures as measures
from textdetect._ground.files import write_atomically
from textdetect._ground.optional import installed_versions
from textdetect._ground.version import __version__
from textdetect.errors import InvalidInput
from textdetect.evaluation.measures import Decided, Judged, Place, Row
from textdetect.evaluation.memory import digest
from textdetect.evaluation.report.results import Results
from textdetect.evaluation.scorers import Checked, resolve
from textdetect.evaluation.suite import Material, Part, Suite, clusters, gather, slices, written
from textdetect.evaluation.thresholds import Calibrated, Frozen, Thresholded
from textdetect.evaluation.under_attack import measure_attacks, sample
from textdetect.evaluation.zeroshot import LanguageModel
from textdetect.model.detector import Detector

Evaluation = Results
"""What a run of a suite found."""
LEDGER: Final = "ledger.jsonl"
CACHE: Final = "cache"
_N_ERRORS: Final = 10
_LIBRARIES: Final = (
    *("numpy", "onnxruntime", "openvino", "tokenizers", "torch", "transformers", "scikit-learn"),
)


def evaluate(
    model: str | Detector,
    suite: Suite,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    compare_with: Sequence[str] = (),
    part: Part = "report",
    max_fpr: float = 0.01,
    machine_label: str | None = None,
    device: str | None = None,
    show_texts: bool = False,
    n_most: int | None = None,
    metrics: Sequence[str] = (),
    **reading: Any,
) -> Evaluation:
    """Run a suite on a detector, beside its rivals, and write what was found to a folder.

    `out` gets NAME.parquet and NAME.csv (the long table), NAME.curves.parquet, NAME.json (facts),
    thresholds/ (of detectors without a calibration), the ledger of looks at report parts, and a
    cache of scores; the same call again costs no inference.

    Args:
        model: a `Detector`, or what `scorers.resolve` takes.
        suite, data: see `find_suite`; a folder or file of posts.
        out: folder of the results; several suites may share it.
        compare_with: more detectors, each compared with the model on the same posts; the suite's
            rivals are measured besides.
        part: "report", which is written into the ledger, or "select", for choosing.
        max_fpr: false-positive rate of the frozen thresholds, in (0, 1).
        machine_label: of someone else's classifier: the class that means machine-written.
        device: "cpu", "cuda" … for models that run here.
        show_texts: put the texts of the worst errors into the result.
        n_most: measures at most so many posts of each class, source and language.
        metrics: more metrics over the whole suite, by their names (see `measures.named_metrics`).
        reading: how `data` is read, as `load_posts` takes it.

    Raises:
        ConfigError, DataError: a suite or data that cannot be used.
        DetectorFailed: a detector raised, or answered something that is not a score.
        TooFewCalibration: the model supports no such `max_fpr`.
    """
    if part not in ("select", "report"):
        raise InvalidInput(f"part: expected 'select' or 'report', got {part!r}")
    if not 0 < max_fpr < 1:
        raise InvalidInput(f"max_fpr: expected a number in (0, 1), got {max_fpr}")
    named = measures.named_metrics(metrics)
    scorers = _resolve(model, compare_with, suite, machine_label=machine_label, device=device)
    if n_most is not None:
        suite = replace(suite, most=(n_most, n_most))
    folder = Path(out)
    material = gather(suite, data, part=part, cache=folder / CACHE, progress=True, **reading)
    contenders = [_freeze(s, material, suite, max_fpr, folder) for s in scorers]
    run = _Run(suite, material, scorers, contenders, named)
    measured = run.table(), run.curves(), run.errors(show_texts=show_texts)
    looks = run.log(folder / LEDGER, max_fpr) if part == "report" else 0
    evaluation = Evaluation(*measured, run.facts() | {"max_fpr": max_fpr, "looks": looks})
    write(evaluation, folder)
    return evaluation


class _Run:
    """Detectors and a suite's posts, each post answered once by each detector."""

    def __init__(
        self,
        suite: Suite,
        material: Material,
        scorers: list[Checked],
        contenders: list[Thresholded],
        named: Mapping[str, Decided],
    ) -> None:
        self.suite, self.scorers, self.contenders, self.named = suite, scorers, contenders, named
        self.part, self.posts = material.part, material.measured
        self.texts = [text or "" for text in self.posts.texts]
        self.settings: dict[str, Any] = {"seed": suite.seed, "min_slice": suite.min_slice}
        of = self.posts.labels, np.array(clusters(self.posts), dtype=object)
        self.judged = [(self._place(c), Judged(*of, c.answer(self.texts))) for c in contenders]
        self.slices = [*slices(self.posts, suite)]
        self.classed = self.slices[0][1]
        seen, self.contamination = _seen(scorers[0], self.texts)
        if (seen != "").any():
            self.slices.append(("unseen in training", (seen == "") & self.classed))

    def table(self) -> list[Row]:
        """Measure each detector on each slice, compare, and attack."""
        suite, rows = self.suite, list[Row]()
        for place, judged in self.judged:
            for name, mask in self.slices:
                rows += self._slice(replace(place, slice=name), judged.take(mask))
        rows += self._comparisons()
        if suite.attacks:
            posts, names = sample(self.posts, suite.n_attacked, seed=suite.seed), suite.attack_names
            for contender, scorer in zip(self.contenders, self.scorers, strict=True):
                place = replace(self._place(contender), slice="attacked")
                seen = _trained_under(scorer)
                rows += measure_attacks(place, posts, contender, names, seen=seen, **self.settings)
        return rows

    def curves(self) -> list[Row]:
        """Give the points of each detector's curves over the whole suite."""
        of = [(place, judged.take(self.classed)) for place, judged in self.judged]
        return [point for each in of for point in measures.curves(*each)]

    def errors(self, *, show_texts: bool) -> list[Row]:
        """List the people that the detector finds most machine-like, and the machines least so."""
        place, judged = self.judged[0]
        columns = {name: self.posts.column(name) for name in ("source", "language", "generator")}
        scores, rows = judged.answers.scores, []
        for label in (0, 1):
            of = np.flatnonzero(self.classed & (judged.labels == label) & np.isfinite(scores))
            order = np.argsort(scores[of] * (1 if label else -1), kind="stable")
            for i in of[order[:_N_ERRORS]]:
                row = {"detector": place.detector, "label": label, "score": float(scores[i])}
                row |= {name: str(values[i]) for name, values in columns.items()}
                shown = self.texts[i] if show_texts else None
                rows.append(row | {"key": digest(self.texts[i]).hex()[:12], "text": shown})
        return rows

    def facts(self) -> dict[str, Any]:
        """Say what was run."""
        kinds, suite = self.posts.column("kind").tolist(), self.suite
        return {
            "suite": suite.name,
            "title": suite.title,
            "description": suite.about,
            "part": self.part,
            "seed": suite.seed,
            "posts": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
            "detectors": {
                c.name: {"fingerprint": c.fingerprint, "thresholds": c.note}
                for c in self.contenders
            },
            "contamination": self.contamination,
            "date": datetime.date.today().isoformat(),
            "versions": {"textdetect": __version__} | installed_versions(_LIBRARIES),
        }

    def log(self, ledger: Path, max_fpr: float) -> int:
        """Write a look at the report part into the ledger, and count those at this suite so far."""
        entry = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "suite": self.suite.name,
            "part": self.part,
            "max_fpr": max_fpr,
            "posts": digest(*sorted(self.texts)).hex()[:16],
            "detectors": {contender.name: contender.fingerprint for contender in self.contenders},
        }
        with ledger.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        lines = ledger.read_text(encoding="utf-8").splitlines()
        return sum(json.loads(line)["suite"] == self.suite.name for line in lines)

    def _place(self, contender: Thresholded) -> Place:
        who = {"detector": contender.name, "fingerprint": contender.fingerprint}
        return Place(suite=self.suite.name, part=self.part, **who)

    def _slice(self, place: Place, posts: Judged) -> list[Row]:
        """Measure a slice; of texts that are neither class, only the share that is flagged."""
        if not len(posts.labels):
            return [place.row("auroc", None, note="no posts")]
        if place.slice == "kind=assisted":
            posts = replace(posts, labels=np.ones_like(posts.labels))
            rows = measures.measure(place, posts, shown=("tpr",), **self.settings)
            return [row | {"metric": "flagged"} for row in rows]
        full = place.slice == "all"
        named = self.named if full else None
        return measures.measure(place, posts, full=full, named=named, **self.settings)

    def _comparisons(self) -> list[Row]:
        """Compare the first detector with each other, slice by slice; Holm over all of them."""
        (ours, judged), rows = self.judged[0], []
        for other, theirs in self.judged[1:]:
            names = f"{ours.detector} - {other.detector}", f"{ours.fingerprint} {other.fingerprint}"
            for name, mask in self.slices:
                place = replace(ours, slice=name, detector=names[0], fingerprint=names[1])
                if len(set(judged.labels[mask])) == 2:
                    pair = judged.take(mask), theirs.answers.take(mask)
                    rows.append(measures.compare(place, *pair, seed=self.suite.seed))
        return measures.with_holm(rows)


def write(found: Evaluation, folder: Path) -> None:
    """Write the tables of an evaluation; texts of errors are never written here."""
    name = found.facts["suite"]
    table = pa.Table.from_pylist(list(found.table), schema=measures.SCHEMA)
    for suffix, rows, writer in (
        ("parquet", table, pa.parquet.write_table),
        ("csv", table, pa.csv.write_csv),
        ("curves.parquet", pa.Table.from_pylist(list(found.curves)), pa.parquet.write_table),
    ):
        write_atomically(folder / f"{name}.{suffix}", written(rows, writer))
    raw = json.dumps(found.facts, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / f"{name}.json", raw.encode())


def _resolve(
    model: str | Detector, compare_with: Sequence[str], suite: Suite, **options: Any
) -> list[Checked]:
    """Find the detector and its rivals, so that a wrong name ends a run before it begins."""
    specs = [model, *dict.fromkeys([*compare_with, *(r for r in suite.rivals if r != model)])]
    loaded: dict[str, LanguageModel] = {}
    scorers = [resolve(spec, loaded=loaded, **options) for spec in specs]
    names = [scorer.name for scorer in scorers]
    if len(set(names)) < len(names):
        raise InvalidInput(f"two detectors of one name: {', '.join(names)}")
    return scorers


def _freeze(
    scorer: Checked, material: Material, suite: Suite, max_fpr: float, folder: Path
) -> Thresholded:
    """Give a detector its frozen thresholds: its own calibration's, or those of select posts."""
    detector = scorer.detector
    if detector is not None and detector.calibration is not None:
        return Calibrated(detector, max_fpr=max_fpr, cache=folder / CACHE)
    texts, labels = material.labelled
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in scorer.name)
    return Frozen(
        scorer,
        material.select,
        max_fpr=max_fpr,
        train=(lambda: (texts, labels)) if len(set(labels)) == 2 else None,
        key=digest(*texts, *map(str, labels)).hex(),
        cache=folder / CACHE,
        thresholds=folder / "thresholds" / f"{suite.name}-{material.part}-{plain}-{max_fpr:g}.json",
    )


def _seen(scorer: Checked, texts: list[str]) -> tuple[NDArray[np.object_], dict[str, Any]]:
    """Tell which posts the model was trained on ("exact", "near" or ""), and how many of them."""
    known = scorer.checkpoint.seen_in_training() if scorer.checkpoint else None
    if known is None:
        why = "not known: it carries no fingerprints of its training posts"
        return np.full(len(texts), "", dtype=object), {scorer.name: why}
    seen = known.look_up(texts)
    return seen, {kind: int(np.sum(seen == kind)) for kind in ("exact", "near")} | {"of": len(seen)}


def _trained_under(scorer: Checked) -> tuple[str, ...]:
    """Name the families of attacks that a checkpoint of ours says it was trained on."""
    manifest = scorer.checkpoint.manifest if scorer.checkpoint else None
    config = manifest.training.get("config", {}) if manifest else {}
    return tuple(config.get("data", {}).get("augment", {}))
