"""A training run: parts → adapt → fine-tune → export → calibrate → measure → checkpoint and card.

Every step leaves its result in the run's folder and is skipped when it is there, so that a run that
was cut off goes on with the same command. It knows nothing of how a step does its work.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from textdetect.account_null import SIZES, AccountNull
from textdetect.accounts import gather
from textdetect.adaptation import adapt
from textdetect.calibration import Calibration, fit_temperature
from textdetect.checkpoint import (
    CARD,
    SEEN,
    Manifest,
    encoder_folder,
    find_folder,
    open_checkpoint,
    sha256,
    write_atomically,
    write_calibration,
    write_manifest,
)
from textdetect.config import TrainConfig, dump
from textdetect.contamination import SeenFilter
from textdetect.detector import Detector
from textdetect.errors import DataError, InvalidInput, MissingDependency
from textdetect.evaluation import BagOfWords, Evaluation, figures
from textdetect.evaluation.baselines import taught
from textdetect.evaluation.figures import markdown
from textdetect.export import export
from textdetect.finetune import average, finetune
from textdetect.metrics import auroc_within
from textdetect.posts import Posts, load_posts
from textdetect.posts.files import format_of_input, open_posts
from textdetect.posts.mixture import TrainingList, training_list, unlabelled
from textdetect.posts.splits import Split, draw, split
from textdetect.runtimes.choice import RuntimeName

logger = logging.getLogger(__name__)

RUNTIMES: Final[tuple[RuntimeName, ...]] = ("onnx", "openvino", "hf")
_MOST_CALIBRATED: Final = (2_000, 200)
_MOST_SELECTED: Final = (150, 150)
_MOST_MEASURED: Final = (800, 300)
"""Posts of people and of machines, of each source and language: it is people who are protected."""

CAUTION: Final = """A flag is a statistical statement about a text, not about a person. It is never
the sole ground for a sanction or a legal claim, and not for grading essays, hiring or asylum."""


def corpus_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the corpus folder: the one given, else that of the variable TEXTDETECT_DATA.

    Raises:
        DataError: neither names a folder.
    """
    name = folder or os.environ.get("TEXTDETECT_DATA")
    if not name or not Path(name).is_dir():
        raise DataError(
            f"no corpus folder{f' at {name}' if name else ''}: name a folder of Parquet files, one "
            "a source, with --data FOLDER or in the variable TEXTDETECT_DATA"
        )
    return Path(name)


def train(config: TrainConfig, corpus: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Train, export, calibrate and measure a detector; goes on where an earlier run stopped.

    Args:
        config: see `TrainConfig`; the resolved copy is saved in the run's folder.
        corpus: folder of Parquet files, one a source, with the columns of `posts.COLUMNS`.
        out: the run's folder; the checkpoint is written to `out`/checkpoint.

    Returns:
        The checkpoint folder.

    Raises:
        ConfigError, DataError, TrainingFailed, CheckpointError: see each.
    """
    run = Path(out)
    run.mkdir(parents=True, exist_ok=True)
    _settle(run / "config.yaml", dump(config))
    posts = load_posts(corpus, sources=config.data.sources)
    parts = _parts(posts, config, run / "parts.parquet")
    folder = run / "checkpoint"
    if (folder / CARD).is_file():
        return folder
    trainings = list(lists(posts, parts, config))
    model = classifier(config, posts, parts, trainings, run)
    seen = trained_rows(trainings)
    export(
        model,
        folder,
        name=config.name,
        version=config.version,
        max_length=config.finetune.max_length,
        training=_provenance(config, posts, seen, run),
    )
    calibrate(folder, posts, parts.part, config)
    tables = measure(folder, posts, parts, seen, config)
    write_seen(folder, posts, seen)
    finish(folder, tables)
    return folder


def classifier(
    config: TrainConfig, posts: Posts, parts: Split, trainings: Sequence[TrainingList], run: Path
) -> Path:
    """Fine-tune the encoder, train the result on as often as the config says, average the weights.

    Args:
        trainings: the list of each, as `lists` makes them.

    Returns:
        The classifier's folder.
    """
    settings = dataclasses.replace(config.finetune, encoder=adapted(config, posts, parts, run))
    models: list[Path] = []
    for n, listed in enumerate(trainings):
        if models:
            further = config.further[n - 1]
            rate, epochs = further.learning_rate, further.epochs
            settings = dataclasses.replace(
                settings, encoder=str(models[-1]), epochs=epochs, learning_rate=rate, runs=1
            )
        texts = listed.texts(parts.normalised)
        labels = taught(texts, posts.labels, listed.rows, settings.distil, seed=config.seed)
        out = run / f"further-{n}" if models else run
        models.append(finetune(settings, texts, labels, listed, out, seed=config.seed))
    return average(models, run / "average") if len(models) > 1 else models[0]


def adapted(config: TrainConfig, posts: Posts, parts: Split, run: Path) -> str:
    """Adapt the encoder as the config asks; returns the name or folder of what to fine-tune."""
    if not (config.adapt.max_tokens or config.adapt.epochs):
        return config.finetune.encoder
    rows = unlabelled(posts, parts.part, config.data, config.adapt.max_rows, seed=config.seed)
    texts = [parts.normalised[row] for row in rows]
    sources = posts.column("source")[rows].tolist()
    encoder = config.finetune.encoder
    return str(adapt(encoder, config.adapt, texts, sources, run, seed=config.seed))


def calibrate(
    folder: Path,
    posts: Posts,
    part: NDArray[Any],
    config: TrainConfig,
    *,
    runtimes: Sequence[RuntimeName] = RUNTIMES,
) -> None:
    """Fit a calibration for each numerics class; the first time, list what *select* supports.

    A runtime that is not installed, or that this processor can't serve, is left out.
    """
    sample = posts.take(_calibration_rows(posts, part, config))
    if len(sample) == 0:
        logger.warning("no calibration posts among these sources: scores, but no verdicts")
        return
    done = set()
    for runtime in runtimes:
        try:
            detector = Detector.from_pretrained(folder, runtime=runtime)
        except MissingDependency as error:
            logger.info("no calibration for runtime=%r: %s", runtime, error)
            continue
        if detector.runtime.numerics in done:
            continue
        done.add(detector.runtime.numerics)
        if not detector.languages:
            chosen = (part == "select") & classed(posts)
            select = posts.take(capped(posts, chosen, config.seed, _MOST_SELECTED))
            languages = _supported(detector, select, sample, config)
            write_manifest(folder, dataclasses.replace(_manifest(folder), languages=languages))
            detector = Detector.from_pretrained(folder, runtime=runtime)
        write_calibration(folder, _calibration(detector, sample, config))
        null = _account_null(detector, posts, part)
        if null is not None:
            write_calibration(folder, null)
    write_manifest(folder, _manifest(folder))


def _calibration(detector: Detector, sample: Posts, config: TrainConfig) -> Calibration:
    """Fit a calibration on the sample's posts in the languages that the detector lists."""
    settings = config.calibration
    scores, codes = detector.score(sample.texts)
    known = np.isin(np.array(codes, dtype=object), detector.languages) & np.isfinite(scores.logits)
    human = known & (sample.labels == 0)
    return Calibration.fit(
        scores.logits[human],
        scores.n_tokens[human],
        [codes[row] for row in np.flatnonzero(human)],
        sample.column("source")[human].tolist(),
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
        temperature=fit_temperature(scores.logits[known], sample.labels[known]),
        delta=settings.delta,
        min_panel=settings.min_panel,
        panel_share=settings.panel_share,
        min_stratum=settings.min_stratum,
    )


def _account_null(detector: Detector, posts: Posts, part: NDArray[Any]) -> AccountNull | None:
    """Score the posts of the accounts of people that calibration reserves; None without any."""
    account, source = posts.column("account"), posts.column("source")
    humans = (part == "calibration") & (posts.column("kind") == "human") & (account != "")
    rows = np.flatnonzero(humans)
    owners = [f"{source[row]} {account[row]}" for row in rows]
    texts = posts.take(rows).texts
    evidence = gather([(owners, texts, 0)], detector, listed=detector.languages)
    pairs = [(each[code], code) for each in evidence.logits.values() for code in each]
    if not any(len(logits) >= SIZES[0] for logits, _ in pairs):
        return None
    return AccountNull.fit(
        [logits for logits, _ in pairs],
        [code for _, code in pairs],
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
    )


def measure(
    folder: Path, posts: Posts, parts: Split, seen: NDArray[np.int64], config: TrainConfig
) -> dict[str, Any]:
    """Measure the checkpoint on the report part, beside a bag of words of the posts it has seen."""
    baseline = BagOfWords(seed=config.seed).fit(
        [parts.normalised[row] for row in seen], posts.labels[seen].tolist()
    )
    own = np.isin(posts.column("source"), list(config.data.own_split))
    measured = classed(posts) & (parts.part == "report")
    keep = np.zeros(len(posts), dtype=np.bool_)
    keep[capped(posts, measured & ~own, config.seed, _MOST_MEASURED)] = True
    keep |= measured & own
    calibrated = set(posts.column("source")[_calibration_rows(posts, parts.part, config)])
    return figures(
        Detector.from_pretrained(folder),
        posts.take(keep),
        own_split=config.data.own_split,
        calibrated=calibrated,
        baseline=baseline,
    )


def write_seen(folder: Path, posts: Posts, seen: NDArray[np.int64]) -> None:
    """Write the fingerprints of the training posts; the manifest must be written after it."""
    try:
        write_atomically(folder / SEEN, SeenFilter.build(posts.take(seen).texts).to_bytes())
    except InvalidInput as error:  # too many posts: the model is none the worse
        (folder / SEEN).unlink(missing_ok=True)
        logger.warning("no fingerprints of the training posts: %s", error)


def remeasure(
    model: str | os.PathLike[str], config: TrainConfig, corpus: str | os.PathLike[str]
) -> dict[str, Any]:
    """Measure a checkpoint on the report part of a config, as `train` did; returns the tables."""
    posts = load_posts(corpus, sources=config.data.sources)
    parts = split(posts, config.data, seed=config.seed, progress=True)
    seen = trained_rows(lists(posts, parts, config))
    return measure(find_folder(model), posts, parts, seen, config)


def lists(posts: Posts, parts: Split, config: TrainConfig) -> Iterator[TrainingList]:
    """Make the list of the first training and of each further one, whose copies are all others."""
    data, first_copy = config.data, 0
    yield training_list(posts, parts.part, data, seed=config.seed)
    for further in config.further:
        first_copy += max(data.repeat.values(), default=1)
        most = max(config.data.max_rows, further.max_rows)
        repeat = config.data.repeat | further.repeat
        data = dataclasses.replace(config.data, max_rows=most, repeat=repeat)
        yield training_list(posts, parts.part, data, seed=config.seed, first_copy=first_copy)


def trained_rows(trainings: Iterable[TrainingList]) -> NDArray[np.int64]:
    """Return the positions of the posts that any of the trainings sees, in order."""
    return np.unique(np.concatenate([each.rows for each in trainings]))


def recalibrate(
    model: str | os.PathLike[str],
    humans: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    labelled: str | os.PathLike[str] | None = None,
    text_column: str | None = None,
    input_format: str | None = None,
    runtime: RuntimeName = "auto",
) -> Path:
    """Fit a checkpoint's p-values on human posts of your own, and write it to `out`.

    Args:
        model: embedded name, folder or hub id of a checkpoint.
        humans: csv, tsv, jsonl, Parquet or txt file of posts that people wrote.
        labelled: csv, tsv, jsonl or Parquet file with the columns text and label (0 human, 1
            machine), which refits the temperature.
        text_column: of `humans`; found by its usual names otherwise.
        input_format: of `humans`; told by the suffix otherwise.
        runtime: the engine, and with it the numerics class, that is calibrated.

    Raises:
        InvalidInput: no post in `humans`, or a model that is not a checkpoint of ours.
        DataError: a row of `humans` that can't be read, or `labelled` can't be used.
    """
    read_as = format_of_input(humans, input_format)
    with open_posts(humans, format=read_as, text_column=text_column) as reader:
        rows = [row for chunk in reader.chunks(4_096) for row in chunk.rows]
    bad = [row for row in rows if row.problem is not None]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(rows)} rows can't be read, the first being row {bad[0].number}: "
            f"{bad[0].problem}; mend them or take them out, as a calibration must not lose any"
        )
    _manifest(find_folder(model))
    pairs = None
    if labelled is not None:
        posts = load_posts(labelled)
        pairs = (posts.texts, posts.labels.tolist())
    detector = Detector.from_pretrained(model, runtime=runtime)
    folder = detector.calibrate([row.text for row in rows], labelled=pairs).save_pretrained(out)
    finish(folder, {}, runtime=runtime)
    return folder


def write_report(
    found: Evaluation, out: str | os.PathLike[str], *, command: str | None = None
) -> Path:
    """Write what an evaluation found as a page that opens offline: `out`/SUITE.html.

    Args:
        command: what makes it again, for the reader.
    """
    from textdetect import report

    file = Path(out) / f"{found.facts['suite']}.html"
    results = report.Results(
        found.table,
        found.curves,
        found.errors,
        found.facts | ({"command": command} if command else {}),
        re.split(r"(?<=\.)\s", CAUTION),
    )
    return report.write(results, file)


def finish(folder: Path, tables: dict[str, Any], *, runtime: RuntimeName = "auto") -> None:
    """Put the figures into the manifest and write the folder's card."""
    manifest = dataclasses.replace(_manifest(folder), figures=tables)
    text = card(manifest, Detector.from_pretrained(folder, runtime=runtime))
    write_atomically(folder / CARD, text.encode())
    write_manifest(folder, manifest)


def card(manifest: Manifest, detector: Detector) -> str:
    """Render the model card from the manifest and the calibration."""
    calibration = detector.calibration
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"Languages: {', '.join(manifest.languages) or 'none supported'}. Reads "
        f"{manifest.max_length} tokens. Trained from {manifest.training.get('encoder', '?')} on "
        f"{manifest.training.get('n_posts', 0):,} posts.",
        "",
        CAUTION,
        "",
        "## Calibration",
        "",
        "Human posts that no training saw. `smallest_p_value` is the smallest `max_fpr` that the "
        "stratum can support.",
        "",
        markdown(calibration.describe()) if calibration and calibration.strata else "none",
    ]
    titles = {
        "sources": "AUROC by source (held-out part)",
        "humans": "Humans flagged (held-out part), by panel",
        "machines": "Machine posts flagged (held-out part)",
    }
    for name, table in manifest.figures.items():
        if table:
            lines += ["", f"## {titles.get(name, name)}", "", markdown(table)]
    return "\n".join(lines) + "\n"


def _parts(posts: Posts, config: TrainConfig, file: Path) -> Split:
    """Split the posts and write the parts down as hashes of the normalised texts."""
    parts = split(posts, config.data, seed=config.seed, progress=True)
    hashes = [blake2b(text.encode(), digest_size=8).hexdigest() for text in parts.normalised]
    table = pa.table(
        {"hash": hashes, "source": posts.table["source"], "part": pa.array(parts.part, pa.string())}
    )
    if file.is_file() and not pa.parquet.read_table(file).equals(table):
        raise DataError(
            f"{file} was written for other posts or another config; use a fresh folder for --out"
        )
    pa.parquet.write_table(table, file)
    return parts


def _settle(file: Path, content: str) -> None:
    if file.is_file() and file.read_text(encoding="utf-8") != content:
        raise DataError(f"{file} is of another config; use a fresh folder for --out")
    if not file.is_file():
        file.write_text(content, encoding="utf-8")


def classed(posts: Posts) -> NDArray[Any]:
    """Mark the posts that are wholly a person's or a machine's."""
    return np.isin(posts.column("kind"), ("human", "machine"))


def capped(posts: Posts, usable: NDArray[Any], seed: int, most: tuple[int, int]) -> NDArray[Any]:
    """Choose at most `most` (humans, machines) of the usable posts of each source and language."""
    source, language = posts.column("source"), posts.column("language")
    texts = posts.column("text").tolist()
    rows = sorted(np.flatnonzero(usable), key=lambda row: draw(seed, "measure", texts[row]))
    taken: dict[tuple[str, str, int], int] = {}
    kept = []
    for row in rows:
        cell = (source[row], language[row], int(posts.labels[row]))
        taken[cell] = taken.get(cell, 0) + 1
        if taken[cell] <= most[cell[2]]:
            kept.append(row)
    return np.sort(np.array(kept, dtype=np.int64))


def _calibration_rows(posts: Posts, part: NDArray[Any], config: TrainConfig) -> NDArray[Any]:
    usable = (part == "calibration") & classed(posts)
    return capped(posts, usable, config.seed, _MOST_CALIBRATED)


def _supported(
    detector: Detector, select: Posts, sample: Posts, config: TrainConfig
) -> tuple[str, ...]:
    """Languages with the AUROC on *select* and the calibration humans that the config asks for."""
    logits, language = detector.logits(select.texts), select.column("language")
    domain, humans = select.column("domain"), sample.take(sample.labels == 0).column("language")
    supported = []
    for code in sorted(set(language)):
        rows = (language == code) & np.isfinite(logits)
        enough = int(np.sum(humans == code)) >= config.calibration.min_humans
        within = auroc_within(select.labels[rows], logits[rows], domain[rows])
        if enough and within >= config.calibration.min_auroc:
            supported.append(code)
    if not supported:
        raise InvalidInput(
            "no language reaches calibration.min_auroc with calibration.min_humans; train longer, "
            "or lower them and say so"
        )
    return tuple(sorted(supported, key=lambda code: (code != "en", code)))


def _manifest(folder: Path) -> Manifest:
    manifest = open_checkpoint(folder).manifest
    if manifest is None:
        raise InvalidInput(f"{folder} is no textdetect checkpoint: it has no detector.json")
    return manifest


def _provenance(
    config: TrainConfig, posts: Posts, rows: NDArray[np.int64], run: Path
) -> dict[str, Any]:
    """Say where a model comes from: command, encoder and checksum, sources, config, duration."""
    encoder = encoder_folder(config.finetune.encoder)
    weights = Path(encoder) / "model.safetensors"
    source, counts = np.unique(posts.column("source")[rows].astype(str), return_counts=True)
    try:
        release = metadata.version(config.finetune.encoder)
    except metadata.PackageNotFoundError:
        release = ""
    return {
        "command": f"textdetect train configs/{config.name}.yaml",
        "minutes": round((time.time() - (run / "config.yaml").stat().st_mtime) / 60),
        "encoder": f"{config.finetune.encoder} {release}".strip(),
        "encoder_sha256": sha256(weights) if weights.is_file() else "",
        "n_posts": len(rows),
        "sources": dict(zip(source.tolist(), counts.tolist(), strict=True)),
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
    }
