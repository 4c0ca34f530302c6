"""What is measured, and in which slices: a small YAML file, and the posts that it picks.

A suite knows posts and parts; it knows nothing of detectors, scores or thresholds.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from textdetect._ground.config import DataConfig, check, load_config
from textdetect._ground.files import write_atomically
from textdetect.errors import ConfigError, DataError
from textdetect.posts.attacks import ATTACKS
from textdetect.posts.corpus import Posts, load_posts
from textdetect.posts.dimensions import DIMENSIONS, dimension
from textdetect.posts.mixture import training_list
from textdetect.posts.splits import COARSE_GROUP, Split, at_most, draw, split
from textdetect.posts.text import NORMALISATION_VERSION, normalise

Part = Literal["select", "report"]
FOLDER: Final = Path(__file__).parent / "suites"
"""The suites that come with the package."""
KINDS: Final = ("human", "machine", "assisted")
HELD: Final = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """People (or posts) of one sort, measured as a slice of their own.

    A post must have one of the values of each column (or `DIMENSION`) of `where`.
    """

    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pattern: str = ""  # regular expression to be found in the text, case ignored; "" for any
    max_year: int = 0  # the last year of the timestamp; 0 for any

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"panels: {self.pattern!r} is no regular expression") from error

    def rows(self, posts: Posts) -> NDArray[np.bool_]:
        """Tell which posts belong to it, shape (n,)."""
        rows = _where(posts, self.where)
        if self.max_year:
            years = [stamp[:4] for stamp in posts.column("timestamp")]
            rows &= np.array([y.isdigit() and int(y) <= self.max_year for y in years], np.bool_)
        if self.pattern:
            pattern = re.compile(self.pattern, re.IGNORECASE)
            texts = posts.texts
            rows[rows] = [bool(pattern.search(texts[i] or "")) for i in np.flatnonzero(rows)]
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A question about detectors: which posts, cut how, under which attacks, beside which rivals.

    Attributes:
        name, title, about: of its tables and files; what it asks, for a reader.
        data: sources and parts, as of a training run: rivals are trained on its train part.
        where: as a panel's: which of those posts are measured; empty: all.
        most: at most so many posts of people and of machines for each source and language.
        slices, panels: of `DIMENSIONS`; name → posts of one sort, measured besides.
        attacks, n_attacked: of `ATTACKS`, or "all"; posts of each class that are attacked.
        rivals: detectors that are put beside every one, as `scorers.resolve` finds them.
        min_slice: posts of a class below which a slice is marked as small.
        seed: of the parts and of every draw.
    """

    name: str
    title: str = ""
    about: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    most: tuple[int, int] = (800, 800)
    slices: tuple[str, ...] = ("source", "language", "generator", "length")
    panels: dict[str, Panel] = field(default_factory=dict)
    attacks: tuple[str, ...] = ()
    n_attacked: int = 2_000
    rivals: tuple[str, ...] = ()
    min_slice: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        known = {"slices": DIMENSIONS, "attacks": ("all", *ATTACKS)}
        for key, names in known.items():
            for name in getattr(self, key):
                check(name in names, key, f"some of {', '.join(names)}", name)
        check(min(self.most) > 0, "most", "positive numbers", self.most)
        for key in ("n_attacked", "min_slice"):
            check(getattr(self, key) > 0, key, "a positive number", getattr(self, key))
        check(bool(re.fullmatch(r"[\w-]+", self.name)), "name", "letters, digits, - _", self.name)

    @property
    def attack_names(self) -> tuple[str, ...]:
        """The attacks by name, "all" spelled out."""
        return tuple(ATTACKS) if "all" in self.attacks else self.attacks


@dataclass(frozen=True, slots=True)
class Material:
    """The posts of a suite, each for its one purpose."""

    measured: Posts  # what is reported on: human, machine and assisted posts of one part
    select: Posts  # human and machine posts on which thresholds may be fitted; none is measured
    train: NDArray[np.int64]  # positions in `posts` of those that rivals learn from
    posts: Posts  # all
    split: Split
    part: Part  # of `measured`

    @property
    def labelled(self) -> tuple[list[str], list[int]]:
        """The normalised texts that rivals learn from, and their labels, 0 human and 1 machine."""
        texts = [self.split.normalised[row] for row in self.train]
        return texts, self.posts.labels[self.train].tolist()


def find_suite(name: str | os.PathLike[str]) -> Suite:
    """Read a suite: one of the package by name, a YAML file, or a folder or file of posts.

    A folder of Parquet files (or one csv, tsv, jsonl or Parquet file) with the columns `text` and
    `label` is a suite by itself: three tenths of its posts are *select*, the rest is *report*. What
    is no suite, or one with an unknown key or a value out of range, is a `ConfigError`.

    >>> find_suite("tweepfake").data.sources
    ('tweepfake',)
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return load_config(path, Suite)[0]
    if posts_of(path):
        sources = sorted(f.stem for f in path.glob("*.parquet")) if path.is_dir() else [path.stem]
        plain = re.sub(r"[^\w-]", "_", path.resolve().stem)
        data = DataConfig(evaluation_only=tuple(sources))
        return Suite(name=plain, title=f"Posts of {path.name}", data=data)
    if (FOLDER / f"{path}.yaml").is_file():
        return load_config(FOLDER / f"{path}.yaml", Suite)[0]
    raise ConfigError(
        f"no suite {os.fspath(name)!r}: expected one of {', '.join(suite_names())}, a YAML file, "
        "or a folder of Parquet files with the columns text and label"
    )


def posts_of(name: str | os.PathLike[str]) -> Path | None:
    """Give the posts that a name stands for by itself: a folder or file of posts, no YAML file."""
    path = Path(name)
    return path if path.exists() and path.suffix not in (".yaml", ".yml") else None


def suite_names() -> list[str]:
    """List the suites that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def gather(
    suite: Suite,
    data: str | os.PathLike[str],
    *,
    part: Part = "report",
    cache: Path | None = None,
    progress: bool = False,
    **reading: Any,
) -> Material:
    """Load a suite's posts and set them apart: to train rivals, to fit thresholds, to report on.

    Where a run reports on *select*, thresholds are fitted on the calibration part instead. Of a
    source whose own split stands, a tenth of the train part, drawn by text, is held back for them.

    Args:
        data, reading: folder or file of posts, and how it is read, as `load_posts` takes them; no
            post of this part: `DataError`.
        cache: folder in which the parts are kept, for the next time.
    """
    posts = load_posts(data, sources=suite.data.sources, **reading)
    parts = _parts(posts, suite, Path(data), cache, progress, reading)
    part_of = parts.part.copy()
    classed = np.isin(posts.column("kind"), KINDS)
    for source in suite.data.own_split:
        own = (posts.column("source") == source) & (part_of == "train")
        held = [i for i in np.flatnonzero(own) if draw(1, "held", parts.normalised[i]) < 0.1]
        part_of[held] = HELD
    usable = classed & _where(posts, suite.where)
    measured = _capped(posts, usable & (part_of == part), suite)
    fitted_on = "select" if part == "report" else "calibration"
    chosen = classed & np.isin(part_of, [fitted_on, HELD]) & (posts.column("kind") != "assisted")
    select = _capped(posts, chosen, suite)
    if not len(measured):
        raise DataError(
            f"{suite.name}: no post of the {part} part among {len(posts):,} posts; check `where`, "
            "the sources and the column `kind`"
        )
    train = np.empty(0, dtype=np.int64)
    if (part_of == "train").any():
        train = np.unique(training_list(posts, part_of, suite.data, seed=suite.seed).rows)
    return Material(posts.take(measured), posts.take(select), train, posts, parts, part)


def slices(posts: Posts, suite: Suite) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name each slice of a suite and tell its posts: "all", "language=zh", "panel=reviewers" …

    A generator's slice holds its posts and the people of the same sources, as it has none itself.
    """
    human, source = posts.labels == 0, posts.column("source")
    classed = posts.column("kind") != "assisted"
    yield "all", classed
    for name in suite.slices:
        values = dimension(posts, name)
        for value in sorted({str(v) for v in values[classed]} - {""}, key=_natural):
            rows = classed & (values == value)
            if name == "generator":
                rows &= ~human
                if not rows.any():
                    continue
                rows |= human & classed & np.isin(source, list(set(source[rows])))
            yield f"{name}={value}", rows
    for name, panel in suite.panels.items():
        yield f"panel={name}", classed & panel.rows(posts)
    if not classed.all():
        yield "kind=assisted", ~classed


def clusters(posts: Posts) -> list[str]:
    """Name what was sampled as one: the account, else the group, else the post by itself.

    A group of more than 200 posts is a scenario, no tie (see `posts.splits.split`).

    >>> clusters(Posts(pa.table({name: ["a", "a"] for name in ("source", "account", "group")})))
    ['account a a', 'account a a']
    """
    columns = [posts.column(name).tolist() for name in ("source", "account", "group")]
    sizes, names = Counter(columns[2]), []
    for i, (source, account, group) in enumerate(zip(*columns, strict=True)):
        tie = f"group {group}" if group and sizes[group] <= COARSE_GROUP else f"post {i}"
        names.append(f"account {source} {account}" if account else tie)
    return names


def _natural(value: str) -> tuple[int, str]:
    found = re.search(r"\d+", value)
    return (int(found[0]) + value.startswith("over") if found else 0, value)


def _where(posts: Posts, where: dict[str, tuple[str, ...]]) -> NDArray[np.bool_]:
    rows = np.ones(len(posts), dtype=np.bool_)
    for name, values in where.items():
        if (name not in posts.table.column_names and name not in DIMENSIONS) or name == "text":
            raise ConfigError(f"where: no column {name!r}; known: source, language, length …")
        some = posts.take(rows)
        found = dimension(some, name) if name in DIMENSIONS else some.column(name)
        rows[rows] = np.isin(found.astype(str), list(values))
    return rows


def _capped(posts: Posts, usable: NDArray[np.bool_], suite: Suite) -> NDArray[np.int64]:
    """Choose, by hash, at most `most` (people, machines) of each source and language."""
    source, language, kind = (posts.column(name) for name in ("source", "language", "kind"))
    most = np.where(kind == "human", *suite.most).astype(np.float64)
    most[np.isin(source, list(suite.data.own_split))] = np.inf
    by = (source, language, kind)
    return at_most(most, posts, usable, by, seed=suite.seed, what="measure")


def _parts(
    posts: Posts, suite: Suite, data: Path, cache: Path | None, progress: bool, reading: Any
) -> Split:
    """Split the posts, or read how they were split the last time."""
    if cache is None:
        return split(posts, suite.data, seed=suite.seed, progress=progress)
    files = sorted(data.glob("*.parquet")) if data.is_dir() else [data]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    settings: dict[str, Any] = dataclasses.asdict(suite.data)
    of_parts = ("sources", "evaluation_only", "own_split", "split_by", "parts", "near_duplicate")
    of = [NORMALISATION_VERSION, suite.seed, stats, [settings[k] for k in of_parts]]
    key = json.dumps([*of, *filter(None, reading.values())])
    file = cache / f"parts-{blake2b(key.encode(), digest_size=8).hexdigest()}.parquet"
    if file.is_file():
        part = np.array(pa.parquet.read_table(file)["part"].to_pylist(), dtype=object)
        return Split(part, [normalise(text or "") for text in posts.texts])
    parts = split(posts, suite.data, seed=suite.seed, progress=progress)
    cache.mkdir(parents=True, exist_ok=True)
    table = pa.table({"part": pa.array(parts.part, pa.string())})
    write_atomically(file, written(table, pa.parquet.write_table))
    return parts


def written(table: pa.Table, writer: Any) -> bytes:
    """Give what a writer of pyarrow's makes of a table."""
    sink = pa.BufferOutputStream()
    writer(table, sink)
    return bytes(sink.getvalue().to_pybytes())
