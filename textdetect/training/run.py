"""A training run: parts → fine-tune → export → calibrate → measure → checkpoint and card.

Every step leaves its result in the run's folder and is skipped when it is there, so that a run that
was cut off goes on with the same command. It knows nothing of how a step does its work.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from html import unescape
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from textdetect._ground.config import FinetuneConfig, TrainConfig, dump, load_config
from textdetect._ground.files import sha256, write_atomically
from textdetect.errors import DataError, InvalidInput
from textdetect.evaluation import BagOfWords, figures
from textdetect.model.checkpoint import (
    CARD,
    SEEN,
    calibration_file,
    encoder_folder,
    find_folder,
    open_checkpoint,
    renormalise,
    write_manifest,
)
from textdetect.model.contamination import SeenFilter
from textdetect.model.detector import Detector
from textdetect.model.runtimes.choice import RuntimeName
from textdetect.model.runtimes.hf import HfRuntime
from textdetect.model.runtimes.host import has_bf16
from textdetect.posts.corpus import Posts, load_posts
from textdetect.posts.mixture import TrainingList, hardest, training_list
from textdetect.posts.splits import Split, split
from textdetect.posts.text import NORMALISATION_VERSION, normalise, without
from textdetect.training.calibrate import RUNTIMES, calibrate, capped, foresee
from textdetect.training.card import finish, own_manifest
from textdetect.training.export import export
from textdetect.training.finetune import DONE, average, finetune

logger = logging.getLogger(__name__)

_MOST_MEASURED: Final = (800, 300)
"""Posts of people and of machines, of each source and language: it is people who are protected."""
_START: Final = 400  # characters of a post that say how hard it is
_LINK_OR_NAME: Final = re.compile(r"(?:http|www\.)[!-~]*|@[\w-]+")


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
    _settle(run, config)
    posts = load_posts(corpus, sources=config.data.sources)
    parts = _parts(posts, config, run / "parts.parquet")
    folder = run / "checkpoint"
    if (folder / CARD).is_file():
        return folder
    trainings = list(lists(posts, parts, config))
    foresee(posts, parts.part, config)
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
    parts = _apart(posts, parts, write_seen(folder, posts, seen))
    calibrate(folder, posts, parts.part, config)
    finish(folder, measure(folder, posts, parts, seen, config))
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
    models = [_trained(config.finetune, posts, parts, trainings[0], run, config.seed)]
    for n, (further, listed) in enumerate(zip(config.further, trainings[1:], strict=True), 1):
        out, start = run / f"further-{n}", models[-1]
        if further.from_average and n > 1:
            start = average(models, run / f"average-{n}")
        if further.hard < 1 and not (out / "model" / DONE).is_file():
            starts = [text[:_START] for text in listed.texts(parts.normalised)]
            dtype: Literal["auto", "bf16"] = "bf16" if has_bf16() else "auto"
            logits = HfRuntime(open_checkpoint(start), dtype=dtype).run(starts).logits
            listed = hardest(posts, listed, logits, further.hard, seed=config.seed)
            logger.info("%d posts, the hardest among them, train on", len(listed.rows))
        settings = dataclasses.replace(
            config.finetune,
            encoder=str(start),
            epochs=further.epochs,
            learning_rate=further.learning_rate,
            runs=1,
        )
        models.append(_trained(settings, posts, parts, listed, out, config.seed + n))
    return average(models, run / "average") if len(models) > 1 else models[0]


def _trained(
    settings: FinetuneConfig, posts: Posts, parts: Split, listed: TrainingList, out: Path, seed: int
) -> Path:
    texts, labels = listed.texts(parts.normalised), posts.labels[listed.rows].tolist()
    return finetune(settings, texts, labels, listed, out, seed=seed)


def measure(
    folder: Path, posts: Posts, parts: Split, seen: NDArray[np.int64], config: TrainConfig
) -> dict[str, Any]:
    """Measure the checkpoint on the report part, beside a bag of words of the posts it has seen."""
    baseline = BagOfWords(seed=config.seed).fit(
        [parts.normalised[row] for row in seen], posts.labels[seen].tolist()
    )
    own = np.isin(posts.column("source"), list(config.data.own_split))
    measured = posts.classed & (parts.part == "report")
    keep = np.zeros(len(posts), dtype=np.bool_)
    keep[capped(posts, measured & ~own, config.seed, _MOST_MEASURED)] = True
    keep |= measured & own
    calibrated = set(posts.column("source")[posts.classed & (parts.part == "calibration")])
    return figures(
        Detector.from_pretrained(folder),
        posts.take(keep),
        own_split=config.data.own_split,
        calibrated=calibrated,
        trained=set(posts.column("source")[seen]),
        baseline=baseline,
    )


def write_seen(folder: Path, posts: Posts, seen: NDArray[np.int64]) -> SeenFilter | None:
    """Write the fingerprints of the training posts, and list them in the manifest."""
    found = None
    try:
        found = SeenFilter.build(posts.take(seen).texts)
        write_atomically(folder / SEEN, found.to_bytes())
    except InvalidInput as error:  # too many posts: the model is none the worse
        (folder / SEEN).unlink(missing_ok=True)
        logger.warning("no fingerprints of the training posts: %s", error)
    write_manifest(folder, own_manifest(folder))
    return found


def _apart(posts: Posts, parts: Split, seen: SeenFilter | None) -> Split:
    """Take for *train* what a checkpoint was trained on, whatever part it is in by now.

    That is what its fingerprints call "exact"; near-duplicates were told apart by the split. Where
    these are of an older normalisation, also each post of which this one leaves out a letter: that
    had another fingerprint, if any, and maybe another part.
    """
    part = parts.part.copy()
    rows = np.flatnonzero(np.isin(part, ("calibration", "select", "report")))
    texts = [text or "" for text in posts.take(rows).texts]
    known = np.zeros(len(rows), dtype=np.bool_)
    if seen is not None:
        known |= seen.look_up(texts) == "exact"
        if seen.normalisation != NORMALISATION_VERSION:
            bare = (_LINK_OR_NAME.sub("", unescape(text)) for text in texts)
            now = (without(normalise(text)) for text in texts)
            known |= [_letters(b) != _letters(n) for b, n in zip(bare, now, strict=True)]
    part[rows[known]] = "train"
    logger.info(
        "%d of %d held-out posts are set aside: training knows them", known.sum(), len(rows)
    )
    return dataclasses.replace(parts, part=part)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", normalize("NFKC", text)).casefold()


def split_corpus(config: TrainConfig, corpus: str | os.PathLike[str]) -> tuple[Posts, Split]:
    """Load the sources of a config and split them, as `train` does."""
    posts = load_posts(corpus, sources=config.data.sources)
    return posts, split(posts, config.data, seed=config.seed, progress=True)


def remeasure(
    model: str | os.PathLike[str], config: TrainConfig, corpus: str | os.PathLike[str]
) -> dict[str, Any]:
    """Measure a checkpoint on the report part of a config, as `train` did; returns the tables."""
    posts, parts = split_corpus(config, corpus)
    seen, folder = trained_rows(lists(posts, parts, config)), find_folder(model)
    parts = _apart(posts, parts, open_checkpoint(folder).seen_in_training())
    return measure(folder, posts, parts, seen, config)


def calibrate_again(
    model: str | os.PathLike[str],
    config: TrainConfig,
    corpus: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    runtimes: Sequence[RuntimeName] = RUNTIMES,
) -> Path:
    """Make the calibrations of some engines again, as `train` does, in a copy of a checkpoint.

    For an engine that the machine which trained did not have, and for a checkpoint of the
    normalisation before this one, which is taken over to this one. The figures stay as they were,
    those of the engine that they were measured with; but none of the older normalisation does, nor
    the calibration of an engine that is not made here.

    Args:
        out: the copy's folder; the checkpoint's own is written over in place.

    Raises:
        CheckpointError: not a checkpoint of ours, or of an older normalisation than the last.
    """
    posts, parts = split_corpus(config, corpus)
    source, folder = find_folder(model), Path(out)
    if source.resolve() != folder.resolve():
        shutil.copytree(source, folder, dirs_exist_ok=True)
    before = {file.name for file in folder.glob(calibration_file("*"))}
    renormalise(folder)
    parts = _apart(posts, parts, open_checkpoint(folder).seen_in_training())
    calibrate(folder, posts, parts.part, config, runtimes=runtimes)
    if lost := before - {file.name for file in folder.glob(calibration_file("*"))}:
        logger.warning(
            "no longer there, as their engines were not run: %s", ", ".join(sorted(lost))
        )
    finish(folder, own_manifest(folder).figures)
    return folder


def lists(posts: Posts, parts: Split, config: TrainConfig) -> Iterator[TrainingList]:
    """Make the list of the first training and of each further one, whose copies are all others."""
    data, first_copy = config.data, 0
    yield training_list(posts, parts.part, data, seed=config.seed)
    for further in config.further:
        first_copy += max(data.repeat.values(), default=1)
        data = dataclasses.replace(
            config.data,
            max_rows=further.max_rows or config.data.max_rows,
            repeat=config.data.repeat | further.repeat,
            crops=further.crops or config.data.crops,
        )
        listed = training_list(posts, parts.part, data, seed=config.seed, first_copy=first_copy)
        if further.whole:
            kept = np.isin(posts.column("source")[listed.rows], further.whole)
            rest, rng = np.flatnonzero(~kept), np.random.default_rng(config.seed)
            drawn = rng.choice(rest, min(len(rest), further.others), replace=False)
            listed = listed.take(np.sort(np.append(np.flatnonzero(kept), drawn)))
        yield listed


def trained_rows(trainings: Iterable[TrainingList]) -> NDArray[np.int64]:
    """Return the positions of the posts that any of the trainings sees, in order."""
    return np.unique(np.concatenate([each.rows for each in trainings]))


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


def _settle(run: Path, config: TrainConfig) -> None:
    """Write the config down; where only what comes after training differs, make that again."""
    file = run / "config.yaml"
    if not file.is_file():
        file.write_text(dump(config), encoding="utf-8")
    before, _ = load_config(file, TrainConfig)
    if before == config:
        return
    after = {name: getattr(config, name) for name in ("name", "version", "calibration")}
    if dataclasses.replace(before, **after) != config:
        raise DataError(f"{file} is of another config; use a fresh folder for --out")
    shutil.rmtree(run / "checkpoint", ignore_errors=True)
    began = file.stat().st_mtime
    file.write_text(dump(config), encoding="utf-8")
    os.utime(file, (began, began))


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
