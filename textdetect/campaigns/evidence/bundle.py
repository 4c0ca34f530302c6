"""Campaigns → a folder: tables, a page, and a manifest with the hash of each; and its end.

The same search gives the same bytes: nothing in a bundle says when, where or by whom it was made.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textdetect._ground.files import sha256, write_atomically
from textdetect._ground.optional import installed_versions, require
from textdetect._ground.version import __version__
from textdetect.accounts import AccountVerdicts
from textdetect.campaigns import Campaigns
from textdetect.campaigns.evidence.page import render
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.files import PathOrDash, find_inputs
from textdetect.posts.tables import read_posts, readings_of
from textdetect.posts.writers import write_table

MANIFEST: Final = "bundle.json"
FORMAT: Final = 4
"""1 had no timeline, 2 did not say how its dump was read, 3 knew no objects from texts."""
PAGE: Final = "report.html"
TABLES: Final = ("accounts", "campaigns", "edges", "posts", "narratives", "timeline", "null")
_CSV: Final = ("accounts", "campaigns")
_SAYING: Final = ("example", "key_terms", "targets")
"""Columns of the narratives that hold what was said, and to whom: kept where names are."""
_LIBRARIES: Final = ("numpy", "scipy", "networkx", "pyarrow")
_MODEL: Final = ("model", "version", "fingerprint", "numerics", "fdr", "fewest")
KEY_BYTES: Final = 32

VERDICTS: Final = ("coordinated", "automated", "coordinated and likely automated")


def dump_facts(paths: PathOrDash | Sequence[PathOrDash], posts: pa.Table) -> dict[str, Any]:
    """Tell what was searched, as `verify` must find it and read it again.

    Args:
        paths: the files.
        posts: what `read_posts` made of them.

    Returns:
        n_rows; files, of each: name, without its folder; sha256, of its bytes; reading, how it was
        read: format, encoding, where each field stood.
    """
    files = [
        {"name": Path(path).name, "sha256": sha256(Path(path)), "reading": told["reading"]}
        for path, told in zip(find_inputs(paths), readings_of(posts), strict=True)
    ]
    return {"files": files, "n_rows": posts.num_rows}


def read_dump_again(
    facts: dict[str, Any], paths: PathOrDash | Sequence[PathOrDash], *, same: bool = True
) -> pa.Table:
    """Read the files that were searched, in their order and in the way they were read then.

    Args:
        facts: of the bundle.
        paths: the files, in any order.
        same: whether others are InvalidInput; they are read by what they look like otherwise.
    """
    listed, given = facts["dump"], find_inputs(paths)
    found = {sha256(Path(path)): path for path in given}
    if listed is not None and {file["sha256"] for file in listed["files"]} == set(found):
        ordered = [found[file["sha256"]] for file in listed["files"]]
        readings = [file["reading"] for file in listed["files"]]
        return read_posts(ordered, readings=readings)[0]
    if same:
        names = ", ".join(Path(path).name for path in given)
        raise InvalidInput(f"{names}: it is not the dump that was searched")
    return read_posts(given, need=("account",))[0]


def write_bundle(
    found: Campaigns,
    out: str | os.PathLike[str],
    *,
    dump: dict[str, Any] | None = None,
    automation: AccountVerdicts | None = None,
    key: bytes | None = None,
) -> str:
    """Write a bundle of evidence into a new or empty folder.

    Args:
        found: what a search found.
        out: the folder.
        dump: what was searched, if it was files; see `dump_facts`.
        automation: what `score_accounts` says of the same accounts.
        key: makes names pseudonyms (HMAC-SHA-256, of which 16 hexadecimal digits are kept); None
            keeps the names, and is for those who may see them.

    Returns:
        The bundle's digest: the SHA-256 of its manifest. Keep it apart from the bundle.

    Raises:
        InvalidInput: a folder that holds something, a key of fewer than 32 bytes, or verdicts on
            accounts that are not those of the search.
        OSError: the folder can't be written.
        MissingDependency: without the extra `campaigns`.
    """
    folder = Path(out)
    if key is not None and len(key) < KEY_BYTES:
        raise InvalidInput(f"key: expected at least {KEY_BYTES} bytes, got {len(key)}")
    check_ready(folder)
    alias = alias_by(key)
    tables = make_tables(found, automation=automation, alias=alias, named=key is None)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet", format="parquet")
        if name in _CSV:
            write_table(table, folder / f"{name}.csv", format="csv")
    facts: dict[str, Any] = {
        "format": FORMAT,
        "textdetect": __version__,
        "python": platform.python_version(),
        "libraries": installed_versions(_LIBRARIES),
        "settings": asdict(found.settings),
        "dump": dump,
        "pseudonyms": None if key is None else key_id(key),
        "model": None if automation is None else {n: getattr(automation, n) for n in _MODEL},
        "notes": list(found.notes),
        "power": [asdict(one) for one in found.power],
    }
    write_atomically(folder / PAGE, render(tables, facts).encode())
    facts["files"] = {
        file.name: sha256(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST
    }
    content = manifest_bytes(facts)
    write_atomically(folder / MANIFEST, content)
    return hashlib.sha256(content).hexdigest()


def check_ready(out: str | os.PathLike[str]) -> None:
    """Raise what `write_bundle` would, before a long search; NotADirectoryError for a file."""
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty; name a new folder for the bundle")
    for library in ("scipy", "networkx", "jinja2"):
        require(library, extra="campaigns")


def read_facts(bundle: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the manifest of a bundle, as it stands; raises DataError where there is none."""
    try:
        facts: dict[str, Any] = json.loads((Path(bundle) / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(facts["files"], dict) and "pseudonyms" in facts:
            return facts
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise DataError(f"{bundle}: no bundle, as there is no {MANIFEST} that lists it")


def manifest_bytes(facts: dict[str, Any]) -> bytes:
    """Write a manifest with a hash of itself, by which a slip of the hand shows."""
    own = {name: value for name, value in facts.items() if name != "own_sha256"}
    plain = json.dumps(own, indent=1, sort_keys=True, ensure_ascii=False)
    own["own_sha256"] = hashlib.sha256(plain.encode()).hexdigest()
    return (json.dumps(own, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def forget(bundle: str | os.PathLike[str], *, key_only: bool = False) -> list[str]:
    """Delete a bundle and the key beside it, or the key alone, which makes pseudonyms final.

    Only what the manifest lists is deleted; the folder stays if something else is in it. Copies,
    backups and what a disk keeps of deleted files are beyond its reach.

    Returns:
        The paths that were deleted.

    Raises:
        DataError: no bundle there.
        OSError: a file that can't be deleted.
    """
    folder = Path(os.path.normpath(bundle))
    listed = read_facts(folder)["files"]
    doomed = [Path(f"{folder}.key")]
    if not key_only:
        doomed += [folder / Path(name).name for name in [*listed, MANIFEST]]
    gone = [file for file in doomed if file.is_file()]
    for file in gone:
        file.unlink()
    if not key_only and not any(folder.iterdir()):
        folder.rmdir()
    return [str(file) for file in gone]


def key_id(key: bytes) -> str:
    """Give what tells keys apart without giving one away."""
    return hashlib.sha256(key).hexdigest()[:16]


def alias_by(key: bytes | None) -> Callable[[Sequence[str]], list[str]]:
    """Give what turns names into pseudonyms by a key; without one, names stay.

    >>> alias_by(None)(["ann"])
    ['ann']
    >>> alias_by(b"k" * 32)(["ann"]) == alias_by(b"k" * 32)(["ann"]) != alias_by(b"l" * 32)(["ann"])
    True
    """
    if key is None:
        return list
    return lambda names: [
        hmac.new(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]
        for name in names
    ]


def make_tables(
    found: Campaigns,
    *,
    automation: AccountVerdicts | None = None,
    alias: Callable[[Sequence[str]], list[str]] = list,
    named: bool = True,
) -> dict[str, pa.Table]:
    """Give the tables of a bundle, by name, each in an order of its own.

    accounts: a row an account, by (pseudo)name: account; campaign, null where none; core; cell;
    n_posts; n_partners; coordination_score, _p, _q; automation_score, _p, _q, n_scored, all null
    where the texts were not scored; verdict, of `VERDICTS` or null.
    campaigns: a row each, as `Campaign`, with n_accounts in the place of the names.
    edges: the pairs inside campaigns: edge, a, b, n_meetings, expected, surprise, campaign.
    posts: what is behind them: edge, and the rows (0-based) of the two posts in the dump.
    narratives: the messages of each campaign; what they say only where names stay (`named`).
    timeline: the posts of each campaign: campaign, row in the dump, time to the minute.
    null: each permuted world's highest score.
    """
    accounts = found.accounts
    names = accounts["account"].to_pylist()
    aliases = alias(names)
    table = pa.table(
        {
            "account": pa.array(aliases, pa.string()),
            **{name: accounts[name] for name in ("campaign", "core", "cell", "n_posts")},
            "n_partners": accounts["n_partners"],
            "coordination_score": accounts["score"],
            "coordination_p": accounts["p_value"],
            "coordination_q": accounts["q_value"],
            **_automation(names, automation),
        }
    )
    table = table.append_column("verdict", _verdicts(table, automation))
    inside = pc.is_valid(found.edges["campaign"]).to_numpy()
    of = dict(zip(names, aliases, strict=True))
    edges = found.edges.filter(inside)
    edges = pa.table(
        {
            "edge": np.arange(edges.num_rows),
            "a": pa.array([of[name] for name in edges["a"].to_pylist()], pa.string()),
            "b": pa.array([of[name] for name in edges["b"].to_pylist()], pa.string()),
            **{name: edges[name] for name in ("n_meetings", "expected", "surprise", "campaign")},
        }
    )
    shown = inside[found.behind.edge]
    posts = pa.table(
        {
            "edge": (np.cumsum(inside) - 1)[found.behind.edge[shown]],
            "first_row": found.behind.first_row[shown],
            "second_row": found.behind.second_row[shown],
        }
    )
    rows = [asdict(one) | {"n_accounts": len(one.accounts)} for one in found.campaigns]
    return {
        "accounts": table.sort_by([("account", "ascending")]),
        "campaigns": pa.Table.from_pylist(rows, schema=_CAMPAIGNS),
        "edges": edges,
        "posts": posts,
        "narratives": found.narratives if named else found.narratives.drop_columns(_SAYING),
        "timeline": found.timeline,
        "null": pa.table({"world": np.arange(len(found.null_maxima)), "max": found.null_maxima}),
    }


_CAMPAIGNS: Final = pa.schema(
    [("number", pa.int64()), ("n_accounts", pa.int64()), ("n_core", pa.int64())]
    + [(name, pa.float64()) for name in ("statistic", "p_value", "q_value")]
    + [(name, pa.int64()) for name in ("n_edges", "n_objects", "n_posts")]
    + [(name, pa.timestamp("us", "UTC")) for name in ("first", "last")]
    + [("stability", pa.float64())]
)


def _automation(names: list[str], verdicts: AccountVerdicts | None) -> dict[str, pa.Array]:
    """Give the columns on who writes, in the search's order of accounts."""
    columns = {"automation_score": "score", "automation_p": "p_value", "automation_q": "q_value"}
    columns["n_scored"] = "n_scored"
    if verdicts is None:
        none = dict.fromkeys(columns, pa.nulls(len(names), pa.float64()))
        return none | {"n_scored": pa.nulls(len(names), pa.int64())}
    place = {name: i for i, name in enumerate(verdicts.account.tolist())}
    if not all(name in place for name in names):
        raise InvalidInput("the verdicts on accounts are not those of the accounts searched")
    of = [place[name] for name in names]
    return {
        name: pa.array(getattr(verdicts, attribute)[of], from_pandas=True)
        for name, attribute in columns.items()
    }


def _verdicts(table: pa.Table, verdicts: AccountVerdicts | None) -> pa.Array:
    """Say it in words: in a campaign, flagged by its texts, or both."""
    fdr = verdicts.fdr if verdicts else 0.0
    together = pc.is_valid(table["campaign"]).to_pylist()
    machine = [q is not None and q <= fdr for q in table["automation_q"].to_pylist()]
    said = dict(zip([(True, False), (False, True), (True, True)], VERDICTS, strict=True))
    return pa.array(map(said.get, zip(together, machine, strict=True)), pa.string())
