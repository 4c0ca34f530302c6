"""Labelled posts in memory, read from files; it does not know what they are for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from textdetect.errors import DataError, InvalidInput
from textdetect.posts.files import open_posts
from textdetect.posts.text import is_missing

_NAMES: Final = (
    *("text", "label", "language", "domain", "generator", "source", "split", "account"),
    *("timestamp", "group", "kind"),
)
COLUMNS: Final[dict[str, pa.DataType]] = dict.fromkeys(_NAMES, pa.string()) | {"label": pa.int8()}
"""The columns of labelled posts: label 0 human, 1 machine; kind human, machine, assisted ...;
timestamp ISO 8601."""


@dataclass(frozen=True, slots=True)
class Posts:
    """Labelled posts as columns.

    Attributes:
        table: the columns of `COLUMNS`; a missing one is null throughout.
    """

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def texts(self) -> list[str | None]:
        """The texts, None where missing."""
        texts: list[str | None] = self.table["text"].to_pylist()
        return texts

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 human, 1 machine; shape (n,)."""
        return np.asarray(self.table["label"].to_numpy(), dtype=np.int64)

    @property
    def classed(self) -> NDArray[np.bool_]:
        """Which are wholly a person's or a machine's, and not assisted …; shape (n,)."""
        return np.isin(self.column("kind"), ("human", "machine"))

    def column(self, name: str) -> NDArray[np.object_]:
        """A column as an object array of str, "" where missing; shape (n,)."""
        filled = pc.fill_null(self.table[name], "")
        return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=object)

    def take(self, rows: NDArray[Any] | Sequence[int]) -> Posts:
        """Return the posts at `rows`: positions, or a boolean mask of shape (n,)."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Posts(self.table.take(pa.array(rows, type=pa.int64())))


def load_posts(
    path: str | os.PathLike[str], *, sources: Sequence[str] = (), **reading: Any
) -> Posts:
    """Read labelled posts from a file, or from every Parquet file of a folder.

    Args:
        path: a file of any format with the columns `text` and `label` (and any of `COLUMNS`), or a
            folder of Parquet files, one a source.
        sources: in a folder, only the files of these names.
        reading: how they are read, as `open_posts` takes it: text_column=, label= …

    Raises:
        DataError: nothing there, a source without a file, no text or label column, a label that is
            neither 0 nor 1.
    """
    path = Path(path)
    if path.is_dir():
        names = list(sources) or sorted(file.stem for file in path.glob("*.parquet"))
        files = [path / f"{name}.parquet" for name in names]
        if not files:
            raise DataError(f"no Parquet file in the folder {path}")
    else:
        files = [path]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(f"not found in {path if path.is_dir() else path.parent}: {missing[0]}")
    return Posts(pa.concat_tables([_load_file(file, reading) for file in files]).combine_chunks())


def _load_file(file: Path, reading: dict[str, Any]) -> pa.Table:
    try:
        return _as_posts(_read_file(file, reading), file)
    except (pa.ArrowException, OSError, InvalidInput) as error:
        raise DataError(f"cannot read {file.name}: {error}") from None


def _read_file(file: Path, reading: dict[str, Any]) -> pa.Table:
    asked = {name: value for name, value in reading.items() if value is not None}
    if file.suffix == ".parquet" and not asked:
        return pa.parquet.read_table(file)
    named = {"layout": dict(zip(COLUMNS, COLUMNS, strict=True))}
    with open_posts(file, **(named | asked)) as reader:
        names = [name for name in reader.columns if name in COLUMNS]
        names += [name for name in COLUMNS if name not in names and reader.fields.places(name)]
        rows = [row for chunk in reader.chunks(8_192) for row in chunk.rows]
        gets = [reader.get(name) for name in names]
    bad = next((row for row in rows if row.problem is not None), None)
    if bad is not None:
        raise DataError(f"cannot read {file.name}: row {bad.number}: {bad.problem}")
    values = [[_plain(get(row.values)) for row in rows] for get in gets]
    return pa.table([pa.array(column, pa.string()) for column in values], names=names)


def _plain(value: Any) -> str | None:
    return None if is_missing(value) else str(int(value) if isinstance(value, bool) else value)


def _as_posts(table: pa.Table, file: Path) -> pa.Table:
    """Give the table the columns of `COLUMNS`, and each post a kind."""
    for name in ("text", "label"):
        if name not in table.column_names:
            raise DataError(f"{file.name}: no column {name!r} among {table.column_names}")
    columns = {}
    for name, dtype in COLUMNS.items():
        if table.column_names.count(name) > 1:
            raise DataError(f"{file.name}: several columns are named {name!r}")
        if name in table.column_names:
            columns[name] = table[name] if name == "label" else table[name].cast(dtype)
        else:
            filler = file.stem if name == "source" else None
            columns[name] = pa.array([filler] * table.num_rows, type=dtype)
    columns["label"] = _labels(columns["label"], file)
    by_label = pc.if_else(pc.equal(columns["label"], 1), "machine", "human")
    missing = pc.equal(pc.fill_null(columns["kind"], ""), "")
    columns["kind"] = pc.if_else(missing, by_label, columns["kind"])
    return pa.table(columns)


def _labels(label: pa.ChunkedArray, file: Path) -> pa.ChunkedArray:
    try:
        label = label.cast(COLUMNS["label"])
        known = pc.all(pc.is_in(label, value_set=pa.array([0, 1], type=pa.int8()))).as_py()
    except pa.ArrowException:
        known = False
    if known is False:
        raise DataError(f"{file.name}: labels must be 0 (human) or 1 (machine)")
    return label
