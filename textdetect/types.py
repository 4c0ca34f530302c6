"""What comes out of a detector: verdicts, one or many; they know nothing of how they were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import numpy as np
from numpy.typing import NDArray

from textdetect._optional import require
from textdetect.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Label = Literal["human", "machine", "uncertain"]
Reason = Literal[
    "empty", "too_short", "unsupported_language", "too_few_calibration", "inconclusive"
]

WHY: Final[dict[str, str]] = {
    "empty": "nothing to read",
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
class Verdict:
    """What is said of one post.

    Attributes:
        label: "machine" if flagged; "human" if the score is low; "uncertain" otherwise.
        probability: of machine-written, at a base rate of one half, in [0, 1]; for reading,
            decisions are taken on `p_value`.
        logit: the model's score, higher = more machine-like.
        p_value: in (0, 1]: how rarely a human post of this language and length scores as high.
        flagged: `p_value` ≤ the `max_fpr` asked for, and no reason to be uncertain.
        language: ISO 639-1 code, or "und" where it can't be told.
        reason: why the verdict is uncertain, or None.
        n_tokens: tokens that the model saw.
        truncated: the post was longer than the model reads.
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


FIELDS: Final[tuple[str, ...]] = tuple(field.name for field in fields(Verdict))


class Verdicts(Sequence[Verdict]):
    """Verdicts on many posts, in the order of the posts, with every field as an array.

    Attributes:
        label, language, reason: object arrays, shape (n,); reason holds None where there is none.
        probability, logit, p_value: float64, shape (n,).
        flagged, truncated: bool, shape (n,).
        n_tokens: int64, shape (n,).
        max_fpr: the false-positive rate that the flags promise, in (0, 1).
        model, version, fingerprint, numerics: which model, and which engine, gave them.

    >>> verdict = Verdict("human", 0.1, -2.2, 0.8, False, "en", None, 12, False)
    >>> verdicts = Verdicts.from_list([verdict, verdict], max_fpr=0.01, model="m")
    >>> len(verdicts), verdicts[0].label, verdicts.probability.tolist()
    (2, 'human', [0.1, 0.1])
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

    def __init__(
        self,
        columns: dict[str, NDArray[Any]],
        *,
        max_fpr: float,
        model: str = "",
        version: str = "",
        fingerprint: str = "",
        numerics: str = "",
    ) -> None:
        lengths = {name: len(columns[name]) for name in FIELDS}
        if len(set(lengths.values())) > 1:
            raise InvalidInput(f"columns of one length expected, got {lengths}")
        for name in FIELDS:
            setattr(self, name, columns[name])
        self.max_fpr = max_fpr
        self.model = model
        self.version = version
        self.fingerprint = fingerprint
        self.numerics = numerics

    @classmethod
    def from_list(cls, verdicts: Sequence[Verdict], *, max_fpr: float, **origin: str) -> Verdicts:
        """Make Verdicts of single ones; `origin`: model, version, fingerprint, numerics."""
        dtypes: dict[str, Any] = dict.fromkeys(("probability", "logit", "p_value"), np.float64)
        dtypes |= dict.fromkeys(("flagged", "truncated"), np.bool_) | {"n_tokens": np.int64}
        columns = {
            name: np.array([getattr(v, name) for v in verdicts], dtype=dtypes.get(name, np.object_))
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
        return cls(columns, max_fpr=parts[0].max_fpr, **parts[0].origin)

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
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice | NDArray[Any]) -> Verdicts: ...
    def __getitem__(self, index: int | slice | NDArray[Any]) -> Verdict | Verdicts:
        if isinstance(index, (slice, np.ndarray)):  # an array: a mask of shape (n,), or positions
            columns = {name: column[index] for name, column in self.columns().items()}
            return Verdicts(columns, max_fpr=self.max_fpr, **self.origin)
        return Verdict(*(_plain(column[index]) for column in self.columns().values()))

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

    def __repr__(self) -> str:
        counts = {name: int(np.sum(self.label == name)) for name in ("human", "machine")}
        return (
            f"Verdicts({len(self)} posts: {counts['machine']} machine, {counts['human']} human, "
            f"{len(self) - sum(counts.values())} uncertain; max_fpr={self.max_fpr:g}, "
            f"model={self.model!r} {self.version})"
        )

    def to_dicts(self, *, nan_as_none: bool = False) -> list[dict[str, Any]]:
        """One dict a verdict; with `nan_as_none`, ready for JSON."""
        rows = [{name: getattr(verdict, name) for name in FIELDS} for verdict in self]
        if nan_as_none:
            rows = [{k: None if v != v else v for k, v in row.items()} for row in rows]
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame with the fields of `Verdict` as columns, one row a post."""
        frame: pd.DataFrame = require("pandas", extra="all").DataFrame(self.columns())
        return frame

    def to_arrow(self) -> pa.Table:
        """A pyarrow Table with the fields of `Verdict` as columns, one row a post."""
        import pyarrow as pa

        types = {"label": pa.string(), "language": pa.string(), "reason": pa.string()}
        arrays = {
            name: pa.array(column, type=types.get(name)) for name, column in self.columns().items()
        }
        return pa.table(arrays)

    def _repr_html_(self, *, n_rows: int = 20) -> str:
        shown = ("label", "probability", "p_value", "reason", "language", "n_tokens")
        head = "".join(f"<th>{name}</th>" for name in shown)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(getattr(v, name))}</td>" for name in shown) + "</tr>"
            for v in self[:n_rows]
        )
        more = f"<p>… and {len(self) - n_rows} more</p>" if len(self) > n_rows else ""
        return (
            f"<p>{escape(repr(self))}</p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{more}"
        )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
