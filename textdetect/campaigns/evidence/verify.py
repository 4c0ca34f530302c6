"""A bundle → what is wrong with it: files, statistics, and the search run again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from textdetect._ground.files import sha256
from textdetect.campaigns import find_campaigns
from textdetect.campaigns.evidence.bundle import (
    FORMAT,
    MANIFEST,
    TABLES,
    alias_by,
    key_id,
    make_tables,
    manifest_bytes,
    read_dump_again,
)
from textdetect.campaigns.projection import surprise_of
from textdetect.errors import DataError, InvalidInput, TextdetectError
from textdetect.posts.files import PathOrDash
from textdetect.statistics.multiplicity import benjamini_hochberg, list_q_values, max_p_value

_CLOSE = 1e-9
FORMERLY: Final = {"alike_s": 0.0, "wider_s": (), "power": False, "rules": 3}
"""What a search did before format 4, where the settings do not say it."""


def verify(
    bundle: str | os.PathLike[str],
    *,
    dump: PathOrDash | Sequence[PathOrDash] | None = None,
    key: bytes | None = None,
    digest: str | None = None,
) -> list[str]:
    """Check a bundle; gives what is wrong, a line each, and nothing if all is well.

    Without more than the bundle: every hash, and the statistics that follow from the stored tables
    (p- and q-values from the permuted worlds, the surprise of each edge, every count). Whoever can
    rewrite the whole folder, manifest included, can make that fit; the digest, kept apart, shows
    it. With the dump the whole search is run again, and must come to the same tables.

    Args:
        bundle: the folder.
        dump: the file of posts that was searched, or the files.
        key: of the pseudonyms; without it, tables that were run again are compared without names.
        digest: what `write_bundle` returned.

    Raises:
        DataError: no bundle there, or one of another format.
        OSError: a file that can't be read.
    """
    folder = Path(bundle)
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder}: no bundle, as there is no {MANIFEST}")
    content = (folder / MANIFEST).read_bytes()
    wrong = []
    if digest is not None and hashlib.sha256(content).hexdigest() != digest.strip().lower():
        wrong.append(f"{MANIFEST}: its digest is not the one given")
    try:
        facts: dict[str, Any] = json.loads(content)
        if manifest_bytes(facts) != content:
            wrong.append(f"{MANIFEST}: it was changed (its hash of itself does not fit)")
        files, settings = dict(facts["files"]), facts["settings"]
    except (ValueError, KeyError, TypeError):
        return [*wrong, f"{MANIFEST}: it was changed, and can't be read"]
    if facts.get("format") not in (FORMAT - 1, FORMAT):
        raise DataError(f"{folder}: a bundle of format {facts.get('format')!r}, not {FORMAT}")
    wrong += _files(folder, files)
    if wrong:  # what follows would be about other tables
        return wrong
    tables = {name: pa.parquet.read_table(folder / f"{name}.parquet") for name in TABLES}
    wrong += list(_statistics(tables, settings, facts.get("model")))
    if dump is not None:
        wrong += _again(facts, tables, dump, key)
    return wrong


def options_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Give stored settings as `find_campaigns` takes them: times by their names without unit."""
    return {name.removesuffix("_s"): value for name, value in settings.items()}


def _files(folder: Path, listed: dict[str, str]) -> list[str]:
    there = {file.name for file in folder.iterdir()} - {MANIFEST}
    tables = {f"{name}.parquet" for name in TABLES}
    wrong = [f"{name}: it is missing" for name in sorted((set(listed) | tables) - there)]
    wrong += [f"{name}: it is none of the bundle's" for name in sorted(there - set(listed))]
    return wrong + [
        f"{name}: it was changed"
        for name in sorted(set(listed) & there)
        if not (folder / name).is_file() or sha256(folder / name) != listed[name]
    ]


def _statistics(
    tables: dict[str, pa.Table], settings: dict[str, Any], model: dict[str, Any] | None
) -> Any:
    """Compute again what follows from the stored tables; yields what does not."""
    accounts, campaigns, edges = (tables[name] for name in ("accounts", "campaigns", "edges"))
    maxima = tables["null"]["max"].to_numpy()
    if len(maxima) != settings["n_worlds"]:
        yield f"null: {len(maxima)} worlds, where the settings say {settings['n_worlds']}"
    statistic = campaigns["statistic"].to_numpy()
    p_values = np.array([max_p_value(value, maxima) for value in statistic])
    for name, again in (("p_value", p_values), ("q_value", list_q_values(p_values))):
        yield from _unlike(f"campaigns.{name}", campaigns[name].to_numpy(), again)
    number = np.array([-1 if x is None else x for x in accounts["campaign"].to_pylist()], np.int64)
    core = accounts["core"].to_numpy(zero_copy_only=False)
    n = campaigns.num_rows
    if number.max(initial=-1) >= n:
        return (yield "accounts.campaign: a campaign that is not listed")
    for name, members in (("n_accounts", number >= 0), ("n_core", (number >= 0) & core)):
        counted = np.bincount(number[members], minlength=n)
        yield from _unlike(f"campaigns.{name}", campaigns[name].to_numpy(), counted)
    of_edge = edges["campaign"].to_numpy().astype(np.int64)
    if edges.num_rows and of_edge.max() >= n:
        return (yield "edges.campaign: a campaign that is not listed")
    drawn = tables["timeline"]["campaign"].to_numpy()
    if drawn.max(initial=-1) >= n:
        return (yield "timeline.campaign: a campaign that is not listed")
    if np.any(np.bincount(drawn, minlength=n) < campaigns["n_posts"].to_numpy()):
        yield "timeline: fewer posts than the campaigns'"
    surprise = surprise_of(edges["n_meetings"].to_numpy(), edges["expected"].to_numpy())
    yield from _unlike("edges.surprise", edges["surprise"].to_numpy(), surprise)
    behind = np.bincount(tables["posts"]["edge"].to_numpy(), minlength=edges.num_rows)
    if len(behind) > edges.num_rows or np.any(behind < edges["n_meetings"].to_numpy()):
        yield "posts: fewer than the edges' meetings"
    place = dict(zip(accounts["account"].to_pylist(), number.tolist(), strict=True))
    for end in ("a", "b"):
        ends = [place.get(name, -1) for name in edges[end].to_pylist()]
        if ends != of_edge.tolist():
            yield f"edges.{end}: an account that is not of the edge's campaign"
    if model is not None:
        again = benjamini_hochberg(accounts["automation_p"].to_numpy())
        yield from _unlike("accounts.automation_q", accounts["automation_q"].to_numpy(), again)


def _unlike(name: str, stored: Any, again: Any) -> list[str]:
    stored, again = np.asarray(stored, np.float64), np.asarray(again, np.float64)
    if len(stored) == len(again) and np.allclose(
        stored, again, rtol=_CLOSE, atol=_CLOSE, equal_nan=True
    ):
        return []
    return [f"{name}: it does not follow from the stored tables"]


def _again(
    facts: dict[str, Any],
    tables: dict[str, pa.Table],
    dump: PathOrDash | Sequence[PathOrDash],
    key: bytes | None,
) -> list[str]:
    """Run the search again on the dump, and compare what it finds."""
    if facts["dump"] is None:
        return ["dump: the bundle was made of no file, and can't be run again on one"]
    if key is not None and key_id(key) != facts["pseudonyms"]:
        return ["key: it is not the one of the pseudonyms"]
    settings = FORMERLY | facts["settings"] if facts["format"] < FORMAT else facts["settings"]
    try:
        posts = read_dump_again(facts, dump)
    except InvalidInput as error:
        return [str(error)]
    try:
        found = find_campaigns(posts, **options_of(settings))
    except TextdetectError as error:
        return [f"run again: {error}"]
    again = make_tables(found, alias=alias_by(key), named=facts["pseudonyms"] is None)
    named = key is not None or facts["pseudonyms"] is None
    wrong = []
    if facts.get("power", []) != [asdict(one) for one in found.power]:
        wrong.append("power: other networks could have been found when run again")
    for name in TABLES:
        columns = [
            column
            for column in tables[name].column_names
            if not column.startswith("automation_")
            and column not in ("n_scored", "verdict", "tactics")
            and (named or column not in ("account", "a", "b"))
        ]
        before, now = (_sorted(each[name].select(columns)) for each in (tables, again))
        if before.num_rows != now.num_rows:
            wrong.append(f"{name}: {before.num_rows} rows, and {now.num_rows} when run again")
            continue
        wrong += [
            f"{name}.{column}: other values when run again"
            for column in columns
            if not _same(before[column], now[column])
        ]
    return wrong


def _sorted(table: pa.Table) -> pa.Table:
    plain = [field.name for field in table.schema if not pa.types.is_list(field.type)]
    return table.sort_by([(name, "ascending") for name in plain])


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if pa.types.is_floating(one.type):
        return bool(np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-6, equal_nan=True))
    return bool(one.to_pylist() == other.to_pylist())
