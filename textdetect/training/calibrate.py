"""Human posts → a checkpoint's calibrations: those of a run's corpus, or some of your own."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.config import PANELS, TrainConfig
from textdetect.accounts import GroupedPosts
from textdetect.errors import DataError, InvalidInput, MissingDependency
from textdetect.evaluation.figures import markdown
from textdetect.model.checkpoint import (
    INTEGER_GRAPH,
    find_folder,
    write_calibration,
    write_manifest,
)
from textdetect.model.detector import Detector
from textdetect.model.runtimes.choice import RuntimeName
from textdetect.posts.corpus import Posts, load_posts
from textdetect.posts.files import open_posts
from textdetect.posts.splits import at_most, draw
from textdetect.posts.text import first_of_each, first_words, n_words, normalise
from textdetect.statistics.account_null import SIZES, AccountNull
from textdetect.statistics.calibration import FEWEST_MACHINES, Calibration, smallest_p_value
from textdetect.statistics.metrics import auroc, auroc_within
from textdetect.training.card import finish, own_manifest

logger = logging.getLogger(__name__)

RUNTIMES: Final[tuple[RuntimeName, ...]] = ("onnx", "onnx-fp32", "openvino", "hf")
CUT_SHORT: Final = "cut short"
"""The panel of people's long posts of which only the first words are there."""
_MOST_CALIBRATED: Final = (6_000, 200)
_FEWEST_JUDGED: Final = 5
"""Posts of each class, of genres that have both, from which on an AUROC says something."""
_MOST_RANGED: Final = 1_500
"""Posts that fix the ranges of integer products, and say what these cost."""
_MOST_SELECTED: Final = (150, 150)
"""Posts of people and of machines, of each source and language: it is people who are protected."""


def calibrate(
    folder: Path,
    posts: Posts,
    part: NDArray[Any],
    config: TrainConfig,
    *,
    runtimes: Sequence[RuntimeName] = RUNTIMES,
) -> None:
    """Fit a calibration for each numerics class; the first time, list what *select* supports.

    What a checkpoint had of these classes is written over.

    A runtime that is not installed, or that this processor can't serve, is left out.
    """
    sample = _sample(posts, part, config)
    if len(sample) == 0:
        logger.warning("no calibration posts among these sources: scores, but no verdicts")
        return
    people = sample.take(sample.labels == 0)
    excerpts = cut_short(people.texts, config.calibration.cuts, seed=config.seed)
    if config.calibration.int8 and not (folder / INTEGER_GRAPH).is_file():
        _write_integers(folder, _select(posts, part, config), config.seed)
    manifest, done = own_manifest(folder), set()
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
            languages = _supported(detector, _select(posts, part, config), sample, config)
            manifest = dataclasses.replace(manifest, languages=languages)
            write_manifest(folder, manifest)
            detector = Detector.from_pretrained(folder, runtime=runtime)
        write_calibration(folder, _calibration(detector, sample, excerpts, config))
        null = _account_null(detector, posts, part)
        if null is not None:
            write_calibration(folder, null)
        write_manifest(folder, manifest)


def _write_integers(folder: Path, select: Posts, seed: int) -> None:
    """Make the graph of integer products, with posts of *select*, which calibrate nothing."""
    from textdetect.training.integers import write_integer_graph

    drawn = np.random.default_rng(seed).permutation(len(select))[:_MOST_RANGED]
    texts = [text for text in select.take(np.sort(drawn)).texts if text]
    cost = write_integer_graph(folder, texts)
    logger.info("8-bit products: a logit moves by %.3f of its standard deviation", cost)
    write_manifest(folder, own_manifest(folder))


def capped(posts: Posts, usable: NDArray[Any], seed: int, most: tuple[int, int]) -> NDArray[Any]:
    """Choose at most `most` (humans, machines) of the usable posts of each source and language."""
    by = (posts.column("source"), posts.column("language"), posts.labels)
    return at_most(np.array(most)[posts.labels], posts, usable, by, seed=seed, what="measure")


def cut_short(
    texts: Sequence[str | None], lengths: Sequence[Sequence[int]], *, seed: int
) -> list[str]:
    """Return the first words of each text that is longer than all of `lengths`.

    A text is cut once for each group of lengths, to one of them, which is drawn: groups a range of
    tokens apart keep most excerpts of a text in different ranges.

    >>> cut_short(["One two three four.", "One two."], [[1], [2, 3]], seed=0)
    ['One', 'One two']
    """
    longest = max((most for group in lengths for most in group), default=0)
    cut = []
    for text in (normalise(text or "") for text in texts if longest):
        if n_words(text, most=longest + 1) > longest:
            for group in lengths:
                place = int(len(group) * draw(seed, "cut short", str(group[0]), text))
                cut.append(first_words(text, group[place]))
    return cut


def _sample(posts: Posts, part: NDArray[Any], config: TrainConfig) -> Posts:
    """Choose the posts that calibrate; of those that differ in links and @names only, the first."""
    usable = (part == "calibration") & posts.classed
    sample = posts.take(capped(posts, usable, config.seed, _MOST_CALIBRATED))
    once = sample.take(first_of_each(sample.texts))
    logger.info("%d calibration posts, of %d, copies left out", len(once), len(sample))
    return once


def _select(posts: Posts, part: NDArray[Any], config: TrainConfig) -> Posts:
    usable = (part == "select") & posts.classed
    return posts.take(capped(posts, usable, config.seed, _MOST_SELECTED))


def _calibration(
    detector: Detector, sample: Posts, excerpts: list[str], config: TrainConfig
) -> Calibration:
    """Fit a calibration on the sample's posts in the languages that the detector lists.

    People's posts come whole, in panels by source or by genre, and excerpts of them in a panel that
    stands apart.
    """
    settings = config.calibration
    scored, n = detector.score([*sample.texts, *excerpts]), len(excerpts)
    panels = np.append(
        sample.column(PANELS[settings.panel]), np.array([CUT_SHORT] * n, dtype=object)
    )
    labels = np.append(sample.labels, np.zeros(n, dtype=np.int64))
    known = np.isin(scored.language, detector.languages) & np.isfinite(scored.logit)

    def columns(rows: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
        posts = scored[rows]
        return posts.logit, posts.n_tokens, posts.language.tolist()

    return Calibration.fit(
        *columns(known & (labels == 0)),
        panels[known & (labels == 0)].tolist(),
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
        apart=(CUT_SHORT,),
        machines=columns(known & (labels == 1)),
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
    grouped = GroupedPosts()
    grouped.add(owners, detector.score(posts.take(rows).texts, progress=False))
    accounts = grouped.own(detector.languages).values()
    pairs = [(own, code) for by_language in accounts for code, own in by_language.items()]
    if not any(len(posts) >= SIZES[0] for posts, _ in pairs):
        return None
    return AccountNull.fit(
        [[logit for logit, _ in posts] for posts, _ in pairs],
        [code for _, code in pairs],
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
    )


def recalibrate(
    model: str | os.PathLike[str],
    humans: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    labelled: str | os.PathLike[str] | None = None,
    runtime: RuntimeName = "auto",
    **reading: Any,
) -> Path:
    """Fit a checkpoint's p-values on human posts of your own, and write it to `out`.

    Args:
        model: embedded name, folder or hub id of a checkpoint.
        humans: file of posts that people wrote, in any format.
        labelled: csv, tsv, jsonl or Parquet file with the columns text and label (0 human, 1
            machine), of which the machine posts fit the probabilities.
        runtime: the engine, and with it the numerics class, that is calibrated.
        reading: how `humans` is read, as `posts.files.open_posts` takes it.

    Raises:
        InvalidInput: no post in `humans`, or a model that is not a checkpoint of ours.
        DataError: a row of `humans` that can't be read, or `labelled` can't be used.
    """
    with open_posts(humans, **reading) as reader:
        rows = [row for chunk in reader.chunks(4_096) for row in chunk.rows]
    bad = [row for row in rows if row.problem is not None]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(rows)} rows can't be read, the first being row {bad[0].number}: "
            f"{bad[0].problem}; mend them or take them out, as a calibration must not lose any"
        )
    own_manifest(find_folder(model))
    pairs = None
    if labelled is not None:
        posts = load_posts(labelled)
        pairs = (posts.texts, posts.labels.tolist())
    detector = Detector.from_pretrained(model, runtime=runtime)
    folder = detector.calibrate([row.text for row in rows], labelled=pairs).save_pretrained(out)
    finish(folder, {}, runtime=runtime)
    return folder


def _supported(
    detector: Detector, select: Posts, sample: Posts, config: TrainConfig
) -> tuple[str, ...]:
    """Languages with the AUROC on *select* and the calibration humans that the config asks for."""
    logits, language = detector.logits(select.texts), select.column("language")
    domain, humans = select.column("domain"), sample.take(sample.labels == 0).column("language")
    supported, said = [], []
    for code in sorted(set(humans)):
        rows = (language == code) & np.isfinite(logits)
        n = int(np.sum(humans == code))
        found = _auroc(select.labels[rows], logits[rows], domain[rows])
        if n >= config.calibration.min_humans and (found or 0.0) >= config.calibration.min_auroc:
            supported.append(code)
        said.append(f"{code} ({n} people, {'no' if found is None else f'{found:.3f}'} AUROC)")
    if not supported:
        raise InvalidInput(
            "no language reaches calibration.min_auroc with calibration.min_humans: "
            f"{', '.join(said)}; train longer, or lower them in the same folder and say so"
        )
    return tuple(sorted(supported, key=lambda code: (code != "en", code)))


def _auroc(labels: NDArray[Any], scores: NDArray[np.float64], genres: NDArray[Any]) -> float | None:
    """Give the AUROC within genres; of few posts, over the genres that have both classes.

    None where it can't be judged: too few posts, or people and machines of different genres.
    """
    within = auroc_within(labels, scores, genres)
    if within == within:
        return within
    shared = [genre for genre in set(genres) if len(set(labels[genres == genre])) == 2]
    rows = np.isin(genres, shared)
    enough = min(np.bincount(labels[rows], minlength=2)) >= _FEWEST_JUDGED
    return auroc(labels[rows], scores[rows]) if enough else None


def foresee(posts: Posts, part: NDArray[Any], config: TrainConfig) -> None:
    """Say before a training what can't come out of it: counts as a table, and warnings.

    Raises:
        DataError: no language could be listed, however well the training went.
    """
    sample, asked = _sample(posts, part, config), config.calibration
    if len(sample) == 0:
        logger.warning("no calibration posts among these sources: scores, but no verdicts")
        return
    parts, select = ("train", "select", "calibration"), _select(posts, part, config)
    language, domain = posts.column("language"), posts.column("domain")
    rows = np.flatnonzero(np.isin(part, parts) & posts.classed)
    cells = Counter((language[i], domain[i], part[i], int(posts.labels[i])) for i in rows)
    genres = sorted({cell[:2] for cell in cells})
    table = [
        {"language": code, "genre": genre}
        | {name: f"{cells[code, genre, name, 0]} + {cells[code, genre, name, 1]}" for name in parts}
        for code, genre in genres
    ]
    logger.info("people + machines of each part:\n%s", markdown(table))
    never, partly, codes = [], [], sorted({code for code, _ in genres})
    for code in codes:
        of = select.column("language") == code
        found = sample.labels[sample.column("language") == code]
        people, machines = np.bincount(found, minlength=2)
        judged = _auroc(select.labels[of], np.zeros(of.sum()), select.column("domain")[of])
        if people < max(1, asked.min_humans):
            never.append(f"{code} ({people} calibration people, {asked.min_humans} asked for)")
        elif judged is None and asked.min_auroc > 0:
            never.append(f"{code} (no genre with people and machines enough on select)")
        elif (least := smallest_p_value(people, asked.delta)) > 0.01:
            partly.append(f"{code} supports no max_fpr below {least:.2g} ({people} people)")
        if machines < FEWEST_MACHINES:
            partly.append(f"{code} has {machines} calibration machines: no probability of its own")
    if never:
        logger.warning("can't be listed, however the training goes: %s", ", ".join(never))
    if len(never) == len(codes):
        raise DataError(
            f"no language can be listed: {', '.join(never)}; add posts, or change data.parts, "
            "calibration.min_humans or calibration.min_auroc (0: whatever it is)"
        )
    if partly:
        logger.warning("not all can come out: %s", ", ".join(partly))
