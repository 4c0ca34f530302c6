"""What comes out of a detector: scored posts, verdicts; they know nothing of how they were made."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Label = Literal["machine", "not_flagged", "uncertain"]
Reason = Literal[
    "empty",
    "no_own_words",
    "too_short",
    "unsupported_language",
    "too_few_calibration",
    "inconclusive",
]

Languages = str | Iterable[str | None] | None
"""Codes as they are given: one for all posts, or one (None: identify) for each, or none at all."""
MAX_POSTS: Final = 100_000
"""Posts of one call that its verdicts still refer to; of more, or of a stream, they keep none."""
_SHOWN_CHARS: Final = 80

WHY: Final[dict[str, str]] = {
    "empty": "nothing to read",
    "no_own_words": "no words of the account's own",
    "too_short": "too few words to tell",
    "unsupported_language": "the model does not know this language",
    "too_few_calibration": "too few calibration posts for this rate",
    "inconclusive": "looks machine-written, below the bar",
    "unreadable": "the row could not be read",
}
"""Each reason in words, for tables and pages."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a runtime gives for n texts.

    Attributes:
        logits: float64, shape (n,); higher = more machine-like; NaN for an empty text.
        n_tokens: int64, shape (n,); tokens that the model saw, special tokens left out.
        truncated: bool, shape (n,); True where the text was longer than the model reads.
    """

    logits: NDArray[np.float64]
    n_tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoredPosts:
    """Posts that a model has scored, in their order: what every verdict is taken from.

    `Detector.score` gives them, `Detector.predict` judges them, `score_accounts` groups them.

    Attributes, of shape (n,) each:
        logit, n_tokens, truncated: see `Scores`.
        language: object, ISO 639-1 codes, or "und".
        p_value: float64, see `Verdict`; NaN for an empty post, and where no calibration speaks.
        floor: float64, the smallest p-value that the calibration could give; NaN as `p_value`.
        has_words: bool, whether the text that was scored has words enough for a verdict.
        text_hash: uint64, of the account's own words, alike for equal ones; 0 if they are too few.
    """

    logit: NDArray[np.float64]
    n_tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    language: NDArray[np.object_]
    p_value: NDArray[np.float64]
    floor: NDArray[np.float64]
    has_words: NDArray[np.bool_]
    text_hash: NDArray[np.uint64]

    @classmethod
    def joined(cls, parts: Sequence[ScoredPosts]) -> ScoredPosts:
        """Put posts one behind the other; at least one part."""
        if len(parts) == 1:
            return parts[0]
        columns = ([getattr(part, name) for part in parts] for name in cls.__slots__)
        return cls(*map(np.concatenate, columns))

    def __len__(self) -> int:
        return len(self.logit)

    def __getitem__(self, rows: slice | NDArray[Any]) -> ScoredPosts:
        return ScoredPosts(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one post.

    Attributes:
        label: "machine": it scores as high as hardly any human post; "not_flagged": it scores low,
            which proves no human author; "uncertain": neither can be said, and `reason` says why.
        probability: of machine-written, at a base rate of one half, in [0, 1]; for reading,
            decisions are taken on `p_value`.
        logit: the model's score, higher = more machine-like.
        p_value: in (0, 1]: how rarely a human post of this language and length scores as high.
        flagged: `p_value` ≤ the `max_fpr` asked for, and no reason to be uncertain.
        language: ISO 639-1 code, or "und" where it can't be told.
        reason: why the verdict is uncertain, or None.
        n_tokens: tokens that the model saw.
        truncated: the post was longer than the model reads.
        notes: what else the post shows (`posts.text.notes`): evidence without a part in the score.
    """

    label: Label
    probability: float
    logit: float
    p_value: float
    flagged: bool
    language: str
    reason: Reason | None
    n_tokens: int
    truncated: bool
    notes: tuple[str, ...] = ()


FIELDS: Final[tuple[str, ...]] = tuple(field.name for field in fields(Verdict))


class Verdicts(Sequence[Verdict]):
    """Verdicts on many posts, in the order of the posts, with every field as an array.

    `verdicts[3]` is a `Verdict`, `verdicts["p_value"]` a column; slices, masks of shape (n,) and
    positions give `Verdicts`, and what is none of these raises `InvalidInput`. Stored columns of
    earlier versions may lack `notes`; see `current` for their labels.

    Attributes:
        label, language, reason: object arrays, shape (n,); reason holds None where there is none.
        notes: object array of tuples of str, shape (n,).
        probability, logit, p_value: float64, shape (n,).
        flagged, truncated: bool, shape (n,).
        n_tokens: int64, shape (n,).
        max_fpr: the false-positive rate that the flags promise, in (0, 1).
        model, version, fingerprint, numerics: which model, and which engine, gave them.
        row_labels: the index of the pandas Series that was judged, or None.
        posts: what was judged, object array, shape (n,), for `_repr_html_` alone; or None, see
            `MAX_POSTS`. It is left out of pickles, copies, comparisons and tables.

    >>> verdict = Verdict("not_flagged", 0.1, -2.2, 0.8, False, "en", None, 12, False)
    >>> verdicts = Verdicts.from_list([verdict, verdict], max_fpr=0.01, model="m")
    >>> len(verdicts), verdicts[0].label, verdicts["probability"].tolist()
    (2, 'not_flagged', [0.1, 0.1])
    >>> len(verdicts[verdicts.p_value > 0.9]), len(verdicts[[0, 1]])
    (0, 2)
    """

    label: NDArray[np.object_]
    probability: NDArray[np.float64]
    logit: NDArray[np.float64]
    p_value: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    language: NDArray[np.object_]
    reason: NDArray[np.object_]
    n_tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    notes: NDArray[np.object_]
    row_labels: Any
    posts: NDArray[np.object_] | None

    def __init__(
        self,
        columns: dict[str, NDArray[Any]],
        *,
        max_fpr: float,
        model: str = "",
        version: str = "",
        fingerprint: str = "",
        numerics: str = "",
        row_labels: Any = None,
        posts: Any = None,
    ) -> None:
        if "notes" not in columns:
            columns = columns | {"notes": objects([()] * len(columns["label"]))}
        lengths = {name: len(columns[name]) for name in FIELDS}
        if len(set(lengths.values())) > 1:
            raise InvalidInput(f"columns of one length expected, got {lengths}")
        for name in FIELDS:
            setattr(self, name, columns[name])
        labels = self.label.tolist()
        self.label = objects(current(labels) if "human" in labels else labels)
        self.max_fpr = max_fpr
        self.model = model
        self.version = version
        self.fingerprint = fingerprint
        self.numerics = numerics
        self.row_labels, self.posts = row_labels, posts

    @classmethod
    def from_list(cls, verdicts: Sequence[Verdict], *, max_fpr: float, **origin: str) -> Verdicts:
        """Make Verdicts of single ones; `origin`: model, version, fingerprint, numerics."""
        dtypes: dict[str, Any] = dict.fromkeys(("probability", "logit", "p_value"), np.float64)
        dtypes |= dict.fromkeys(("flagged", "truncated"), np.bool_) | {"n_tokens": np.int64}
        columns = {
            name: objects([getattr(v, name) for v in verdicts]).astype(dtypes.get(name, object))
            for name in FIELDS
        }
        return cls(columns, max_fpr=max_fpr, **origin)

    @classmethod
    def joined(cls, parts: Sequence[Verdicts]) -> Verdicts:
        """Put verdicts of one model and rate one behind the other; at least one part."""
        if len(parts) == 1:
            return parts[0]
        each = [part.columns() for part in parts]
        columns = {name: np.concatenate([own[name] for own in each]) for name in FIELDS}
        found = cls(columns, max_fpr=parts[0].max_fpr, **parts[0].origin)
        if all(part.row_labels is not None for part in parts):
            found.row_labels = parts[0].row_labels.append([part.row_labels for part in parts[1:]])
        posts = [part.posts for part in parts if part.posts is not None]
        if len(posts) == len(parts) and len(found) <= MAX_POSTS:
            found.posts = np.concatenate(posts)
        return found

    @property
    def origin(self) -> dict[str, str]:
        """The model's name, version and fingerprint, and the numerics class."""
        names = ("model", "version", "fingerprint", "numerics")
        return {name: getattr(self, name) for name in names}

    def columns(self) -> dict[str, NDArray[Any]]:
        """The fields of `Verdict`, each as an array of shape (n,)."""
        return {name: getattr(self, name) for name in FIELDS}

    def __len__(self) -> int:
        return len(self.logit)

    @overload
    def __getitem__(self, key: int) -> Verdict: ...
    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | NDArray[Any]) -> Verdicts: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in FIELDS:
                raise InvalidInput(f"no column {key!r} among {', '.join(FIELDS)}")
            return getattr(self, key)
        at = key if type(key) in (int, slice) else self._places(key)
        if isinstance(at, int):
            return Verdict(*(_plain(column[at]) for column in self.columns().values()))
        picked = {name: column[at] for name, column in self.columns().items()}
        beside: dict[str, Any] = {
            name: None if (own := getattr(self, name)) is None else own[at]
            for name in ("row_labels", "posts")
        }
        return Verdicts(picked, max_fpr=self.max_fpr, **self.origin, **beside)

    def _places(self, key: Any) -> int | NDArray[Any]:
        """Read a position, positions or a mask as numpy and pandas do, or refuse it."""
        index = row_index(key)
        if index is not None and self.row_labels is not None and not index.equals(self.row_labels):
            raise InvalidInput("a Series with another index than the posts': align it first")
        try:
            at = np.asarray(key)
            at = np.array(at.tolist()) if at.dtype == object else at  # a column with room for NA
        except ValueError:  # ragged
            at = np.empty(())
        if at.ndim == 0 and at.dtype.kind in "iu":
            return int(at)
        mask = at.dtype.kind == "b" and at.shape == (len(self),)
        places = at.ndim == 1 and at.dtype.kind in ("iu" if at.size else "iuf")
        if isinstance(key, tuple) or not (mask or places):
            raise InvalidInput(
                f"expected a position, positions, a mask of {len(self)} or the name of one column, "
                f"got {type(key).__name__} {at.dtype}{at.shape}; for several columns: to_pandas()"
            )
        return at if at.size else at.astype(np.int64)

    def __iter__(self) -> Iterator[Verdict]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Verdicts):
            return NotImplemented
        return (
            self.max_fpr == other.max_fpr
            and self.origin == other.origin
            and self.to_dicts(nan_as_none=True) == other.to_dicts(nan_as_none=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"posts": None}

    def __repr__(self) -> str:
        counts = {name: int(np.sum(self.label == name)) for name in ("machine", "not_flagged")}
        return (
            f"Verdicts({len(self)} posts: {counts['machine']} machine, {counts['not_flagged']} not "
            f"flagged, {len(self) - sum(counts.values())} uncertain; max_fpr={self.max_fpr:g}, "
            f"model={self.model!r} {self.version})"
        )

    def to_dicts(self, *, nan_as_none: bool = False) -> list[dict[str, Any]]:
        """One dict a verdict; with `nan_as_none`, ready for JSON."""
        rows = [
            {name: getattr(verdict, name) for name in FIELDS} | {"notes": list(verdict.notes)}
            for verdict in self
        ]
        if nan_as_none:
            rows = [{k: None if v != v else v for k, v in row.items()} for row in rows]
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame with the fields of `Verdict` as columns, one row a post.

        It has the index of the Series that was judged, so that `df.join` and the assignment of a
        column find the right rows. Where labels repeat, pandas joins each with all its namesakes:
        a warning says so, and columns are to be assigned instead.
        """
        pandas = require("pandas", extra="all")
        if self.row_labels is not None and not self.row_labels.is_unique:
            warnings.warn(
                "labels repeat in the index of these posts, and a join would mix their rows up: "
                "assign columns (df[name] = verdicts[name]), or reset the index before predict()",
                stacklevel=2,
            )
        frame: pd.DataFrame = pandas.DataFrame(self.columns(), index=self.row_labels)
        return frame

    def to_polars(self) -> pl.DataFrame:
        """A polars DataFrame with the fields of `Verdict` as columns, one row a post, in order."""
        frame: pl.DataFrame = require("polars", extra="all").from_arrow(self.to_arrow())
        return frame

    def to_arrow(self) -> pa.Table:
        """A pyarrow Table with the fields of `Verdict` as columns, one row a post."""
        import pyarrow as pa

        types = dict.fromkeys(("label", "language", "reason"), pa.string())
        types |= {"notes": pa.list_(pa.string())}
        arrays = {
            name: pa.array(column, type=types.get(name)) for name, column in self.columns().items()
        }
        return pa.table(arrays)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `to_pandas()` as csv: its index first if one came in, notes joined by blanks."""
        columns = self.columns() | {"notes": objects([" ".join(each) for each in self.notes])}
        frame = require("pandas", extra="all").DataFrame(columns, index=self.row_labels)
        frame.to_csv(path, index=self.row_labels is not None)

    def _repr_html_(self, *, n_rows: int = 20) -> str:
        """Show the first rows, with the beginning of each post where `posts` has it."""
        shown = ("label", "probability", "p_value", "reason", "notes", "language", "n_tokens")
        posts = [None] * len(self) if self.posts is None else self.posts
        body = "".join(
            f'<tr><td dir="auto">{escape(_beginning(post))}</td>'
            + "".join(f"<td>{_cell(getattr(v, name))}</td>" for name in shown)
            + "</tr>"
            for v, post in zip(self[:n_rows], posts, strict=False)
        )
        head = "".join(f"<th>{name}</th>" for name in ("post", *shown))
        more = f"<p>… and {len(self) - n_rows} more</p>" if len(self) > n_rows else ""
        return (
            f"<p>{escape(repr(self))}</p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{more}"
        )


def objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """Make an object array of shape (n,), whatever the values are; numpy would unpack tuples."""
    return np.fromiter(values, dtype=np.object_, count=len(values))


def row_index(posts: Any) -> Any:
    """Return the index of a pandas Series; None for what has none, as a list."""
    index = getattr(posts, "index", None)
    return index if hasattr(index, "equals") else None


def may_keep(posts: Any) -> bool:
    """Tell whether verdicts on these posts refer to them: not to a stream, nor to very many."""
    return hasattr(posts, "__len__") and len(posts) <= MAX_POSTS


def current(labels: Sequence[str]) -> list[str]:
    """Return stored labels by their names of today: what was "human" once is "not_flagged"."""
    if "human" in labels:
        warnings.warn('stored verdicts say "human" for what is "not_flagged" now', stacklevel=2)
    return ["not_flagged" if label == "human" else label for label in labels]


def as_class(label: str, probability: float) -> dict[str, Any]:
    """Say a label as a transformers pipeline does; "uncertain" has the probability of machine.

    >>> as_class("not_flagged", 0.25)
    {'label': 'not_flagged', 'score': 0.75}
    """
    score = 1 - probability if label == "not_flagged" else probability
    return {"label": label, "score": float(score)}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _beginning(post: str | None) -> str:
    post = " ".join((post or "")[: 4 * _SHOWN_CHARS].split())
    return post if len(post) <= _SHOWN_CHARS else f"{post[:_SHOWN_CHARS]}…"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(
        " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    )
