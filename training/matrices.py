"""Matrices of AUROC: fitted on one source and scored on another, or on all but the one scored.

Any scorer that learns will do. It knows nothing of how the posts were set apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.files import write_atomically
from textdetect._ground.optional import require
from textdetect._ground.progress import tracked
from textdetect.errors import DataError, InvalidInput
from textdetect.evaluation.baselines import ngrams
from textdetect.evaluation.figures import Table
from textdetect.evaluation.memory import digest
from textdetect.evaluation.scorers import Checked, Scorer
from textdetect.evaluation.suite import clusters
from textdetect.posts.corpus import Posts
from textdetect.posts.dimensions import DIMENSIONS, dimension
from textdetect.posts.splits import at_most
from textdetect.posts.text import normalise
from textdetect.statistics.intervals import cluster_bootstrap, paired_bootstrap
from textdetect.statistics.metrics import auroc, weighted_auroc

SMALL: Final = 100
"""Posts of a class below which a cell is noted as "small"."""
REST: Final = "rest"
"""What a leave-one-out cell is fitted on: everything but the value that it is scored on."""
MakeScorers = Sequence[Callable[[], Scorer]]
_LINE: Final = b'{"key": "'
_Rows = NDArray[np.int64]
_Slice = tuple[str, _Rows, str]  # a value, the posts that stand for it, a note


@dataclass(frozen=True, slots=True)
class Options:
    """What both matrices share.

    Args:
        evaluate: the parts that are scored.
        max_rows: training posts of each source, language and class, drawn by hash.
        max_tested: scored posts of each source, language, class and generator, drawn by hash.
        seed: of the draws and of the resampling.
        store: a JSONL file that gets a line for each cell as it is done, and no text. A line
            serves again where texts, labels, clusters, seed and scorers are the same. Nothing is
            kept where a scorer has no fingerprint.
        progress: whether to show a bar.
    """

    evaluate: Sequence[str] = ("report",)
    max_rows: int = 500
    max_tested: int = 200
    seed: int = 0
    store: str | Path | None = None
    progress: bool = False


def cross(
    posts: Posts,
    part: NDArray[np.object_],
    make_scorers: MakeScorers,
    *,
    by: str = "source",
    options: Options | None = None,
) -> Table:
    """Fit on each value of a column, and score every value, its own held-out posts included.

    A value with one class borrows nothing: no figure, and the note "one class". Only a generator,
    which has no humans, is joined by those of its sources and languages (see `leave_one_out`).

    Args:
        posts: those of a kind other than human and machine are left out.
        part: shape (n,), as `splits.split` gives; "train" is fitted on. To follow a recipe, call
            only the posts of its training list so: a one-class source teaches its genre.
        make_scorers: each gives a scorer that learns, to be fitted anew; their names differ. Others
            are compared with the first.
        by: one of `dimensions.DIMENSIONS`. A post without a value there belongs to none.

    Returns:
        A row for each cell and scorer: matrix ("cross" or "leave-one-out"), by, train, test,
        detector, metric ("auroc"), value; low, high (95 %, whole accounts or groups resampled;
        None where they are too few or no resample differs); n_human, n_machine (scored posts);
        note ("one class", "small", who was borrowed); difference (value minus the first scorer's,
        on posts that both answered), difference_low, difference_high.

    Raises:
        InvalidInput: an unknown column, parts of another length, two scorers of one name, a scorer
            that does not learn.
        DataError: the file of `Options.store` holds something else.
        DetectorFailed: see `scorers.Checked`.

    >>> cross(posts, parts.part, [BagOfWords], by="language")  # doctest: +SKIP
    """
    pool, whole = _Pool(posts, part, by, options := options or Options()), by == "generator"
    tests = [pool.slice(value, pool.test, complete=whole) for value in pool.values(pool.test)]
    fits = [pool.slice(value, pool.train, complete=whole) for value in pool.values(pool.train)]
    jobs = [(value, rows, tests) for value, rows, _ in fits]
    return _run({"matrix": "cross", "by": by}, pool, jobs, make_scorers, options)


def leave_one_out(
    posts: Posts,
    part: NDArray[np.object_],
    make_scorers: MakeScorers,
    *,
    by: str = "source",
    options: Options | None = None,
) -> Table:
    """Fit on all training posts but those of one value, and score the posts of that value.

    A value with one class (a generator, a panel of humans) is scored against held-out posts of the
    other class from its own sources and languages or, where there are none, from its languages; the
    note says which. The training posts of those stay in the fit: where a whole source is left out,
    its genre then gives the label away.

    Arguments, rows and errors as for `cross`; `train` is "rest" throughout.

    >>> leave_one_out(posts, parts.part, [BagOfWords], by="generator")  # doctest: +SKIP
    """
    pool = _Pool(posts, part, by, options := options or Options())
    tests = [pool.slice(value, pool.test, complete=True) for value in pool.values(pool.test)]
    jobs = [(REST, np.flatnonzero(pool.train & (pool.value != t[0])), [t]) for t in tests]
    return _run({"matrix": "leave-one-out", "by": by}, pool, jobs, make_scorers, options)


class _Pool:
    """The posts of a matrix, those beyond the caps left out, as columns of one length."""

    def __init__(self, posts: Posts, part: NDArray[np.object_], by: str, options: Options) -> None:
        if by not in DIMENSIONS:
            raise InvalidInput(f"by: expected one of {', '.join(DIMENSIONS)}, got {by!r}")
        if len(part) != len(posts) or "train" in options.evaluate:
            raise InvalidInput(
                f"a part for each post expected, and 'train' not scored; got {len(part)} for "
                f"{len(posts)} posts, evaluate={list(options.evaluate)}"
            )
        cell = [posts.labels, posts.column("source"), posts.column("language")]
        drawn = partial(at_most, posts=posts, seed=options.seed, what="matrix")
        trained = posts.classed & (part == "train")
        tested = posts.classed & np.isin(part, options.evaluate)
        train = drawn(options.max_rows, usable=trained, by=cell)
        test = drawn(options.max_tested, usable=tested, by=[*cell, posts.column("generator")])
        rows = np.union1d(train, test)
        posts = posts.take(rows)
        self.train, self.test, self.labels = np.isin(rows, train), np.isin(rows, test), posts.labels
        self.texts = [normalise(text or "") for text in posts.texts]
        self.source, self.language = posts.column("source"), posts.column("language")
        self.value = dimension(posts, by)
        if by == "generator":
            self.value = np.where(self.labels == 1, self.value, "")
        self.clusters = np.array(clusters(posts), dtype=object)
        ties = ["" if name.startswith("post ") else name for name in self.clusters]
        what = zip(self.texts, map(str, self.labels), ties, strict=True)
        self.digests = [digest(*each) for each in what]

    def values(self, among: NDArray[np.bool_]) -> list[str]:
        """Name the values that some of these posts have."""
        return sorted({*self.value[among].tolist()} - {""})

    def slice(self, value: str, among: NDArray[np.bool_], *, complete: bool) -> _Slice:
        """Give the posts of a value and, if asked, of the class that it lacks."""
        rows = among & (self.value == value)
        classes = set(self.labels[rows].tolist())
        if not complete or len(classes) == 2:
            return value, np.flatnonzero(rows), ""
        other = among & (self.value != value) & ~np.isin(self.labels, list(classes))
        other &= np.isin(self.language, list(set(self.language[rows])))
        near = other & np.isin(self.source, list(set(self.source[rows])))
        chosen, where = (near, "sources") if near.any() else (other, "languages")
        note = f"{'humans' if classes == {1} else 'machine posts'} of its {where}"
        return value, np.flatnonzero(rows | chosen), note if chosen.any() else ""


def _run(
    base: dict[str, str],
    pool: _Pool,
    jobs: list[tuple[str, _Rows, list[_Slice]]],
    make_scorers: MakeScorers,
    options: Options,
) -> Table:
    """Give every cell, in order: from the file where it is there, else made and written to it."""
    scorers = [_checked(make()) for make in make_scorers]
    names, which = [s.name for s in scorers], [s.fingerprint for s in scorers]
    if len(set(names)) < len(names) or not all(s.is_trainable for s in scorers):
        raise InvalidInput(f"scorers that learn, of different names, expected; got {names}")
    store = Path(options.store) if options.store is not None and all(which) else None
    done = {}
    if store:
        store.parent.mkdir(parents=True, exist_ok=True)
        done = _read(store)
    table: Table = []
    bar = tracked(jobs, options.progress, unit="fit", what=" by ".join(base.values()))
    for train, rows, tests in bar:
        keys = []
        for test, scored, note in tests:
            cell = json.dumps([*base.values(), train, test, note, names, which, options.seed])
            posts = [pool.digests[row] for row in (*rows, *scored)]
            parts = [cell.encode(), str(len(rows)).encode(), *posts]
            keys.append(blake2b(b"\x1f".join(parts), digest_size=16).hexdigest())
        todo = [test for test, key in zip(tests, keys, strict=True) if key not in done]
        scores = _scores(pool, rows, todo, make_scorers) if todo else None
        for (test, scored, note), key in zip(tests, keys, strict=True):
            if key not in done:
                at = base | {"train": train, "test": test}
                done[key] = _cell(at, pool, scored, scores, names, note, options.seed)
                if store:
                    with store.open("a", encoding="utf-8") as lines:
                        lines.write(json.dumps({"key": key, "rows": done[key]}) + "\n")
            table += done[key]
    return table


def _scores(
    pool: _Pool, train: _Rows, tests: list[_Slice], make_scorers: MakeScorers
) -> list[NDArray[np.float64]] | None:
    """Fit each scorer once, and score all tests' posts; None where there is one class to fit on."""
    if len(set(pool.labels[train].tolist())) < 2:
        return None
    scored = np.unique(np.concatenate([rows for _, rows, _ in tests]))
    found = []
    for make in make_scorers:
        scorer, scores = _checked(make()), np.full(len(pool.texts), np.nan)
        scorer.fit([pool.texts[row] for row in train], pool.labels[train].tolist())
        scores[scored] = scorer.score([pool.texts[row] for row in scored])
        found.append(scores)
    return found


def _cell(
    at: dict[str, str],
    pool: _Pool,
    rows: _Rows,
    scores: list[NDArray[np.float64]] | None,
    names: list[str],
    note: str,
    seed: int,
) -> Table:
    """Give a cell's rows, one a scorer; each after the first is compared with it."""
    table, fitted = [], scores is not None
    of = scores or [np.zeros(len(pool.texts))] * len(names)
    for place, name in enumerate(names):
        first = of[0] if place else None
        figures = _figures(pool, rows, of[place], first, note, fitted=fitted, seed=seed)
        table.append(at | {"detector": name, "metric": "auroc"} | figures)
    return table


def _figures(
    pool: _Pool,
    rows: _Rows,
    scores: NDArray[np.float64],
    first: NDArray[np.float64] | None,
    note: str,
    *,
    fitted: bool,
    seed: int,
) -> dict[str, Any]:
    """Give a scorer's columns of a cell."""
    rows = rows[np.isfinite(scores[rows])]
    labels, ours = pool.labels[rows], scores[rows]
    counts = {"n_human": int(np.sum(labels == 0)), "n_machine": int(np.sum(labels == 1))}
    both = fitted and min(counts.values()) > 0
    small = "small" if min(counts.values()) < SMALL else ""
    notes = ", ".join(filter(None, (note, "" if both else "one class", small)))
    value = low = high = gap = gap_low = gap_high = None
    if both:
        value = auroc(labels, ours)
        low, high = _ends(cluster_bootstrap, labels, ours, clusters=pool.clusters[rows], seed=seed)
    if both and first is not None:
        shared = np.isfinite(first[rows])
        columns = labels[shared], ours[shared], first[rows][shared]
        if len(set(columns[0].tolist())) == 2:
            gap = auroc(*columns[:2]) - auroc(columns[0], columns[2])
            of = pool.clusters[rows][shared]
            gap_low, gap_high = _ends(paired_bootstrap, *columns, clusters=of, seed=seed)
    figures = {"value": value, "low": low, "high": high} | counts | {"note": notes}
    return figures | {"difference": gap, "difference_low": gap_low, "difference_high": gap_high}


def _ends(
    bootstrap: Callable[..., Any], *columns: Any, **more: Any
) -> tuple[float | None, float | None]:
    """Give the ends of an interval; None where clusters are too few or no resample differs."""
    try:
        found = bootstrap(weighted_auroc, *columns, **more)
    except InvalidInput:
        return None, None
    return (None, None) if np.isnan(found.low) else (found.low, found.high)


def _checked(scorer: Scorer) -> Checked:
    return scorer if isinstance(scorer, Checked) else Checked(scorer)


def _read(file: Path) -> dict[str, Table]:
    """Read the finished cells; a last line that was cut off is dropped from the file."""
    content = file.read_bytes() if file.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    try:
        if not content[len(whole) :].startswith(_LINE[: len(content) - len(whole)]):
            raise ValueError("another file's last line")
        done = {cell["key"]: cell["rows"] for cell in map(json.loads, whole.splitlines())}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: expected a cell of a matrix as JSON in each line") from error
    if whole != content:
        write_atomically(file, whole)
    return done


class RememberedGrams:
    """N-gram counts for a `BagOfWords`: each text is counted once, however many fits it is in."""

    def __init__(self, *, n_features: int = 2**19) -> None:
        self._count = ngrams(n_features)
        self._known: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._known)

    def fit(self, texts: Sequence[str], labels: Any = None) -> Self:
        """Do nothing: hashing learns nothing."""
        return self

    def transform(self, texts: Sequence[str]) -> Any:
        """Return counts, a sparse matrix of shape (n, 2 × n_features)."""
        sparse = require("scipy.sparse", extra="train")
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= zip(new, self._count.transform(new).tocsr(), strict=True)
        return sparse.vstack([self._known[text] for text in texts], format="csr")

    def fit_transform(self, texts: Sequence[str], labels: Any = None) -> Any:
        """Return `transform`."""
        return self.transform(texts)
