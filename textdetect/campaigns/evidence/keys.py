"""The key that turns names into pseudonyms, in a file of its own, and what turns them back."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from textdetect._ground.files import sha256
from textdetect.campaigns.evidence.bundle import (
    KEY_BYTES,
    alias_by,
    key_id,
    read_dump_again,
    read_facts,
)
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.files import PathOrDash


def read_key(file: str | os.PathLike[str]) -> bytes:
    """Read a key: hexadecimal digits, of 32 bytes or more; raises InvalidInput or OSError."""
    try:
        key = bytes.fromhex(Path(file).read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise InvalidInput(f"{file}: no key: expected {2 * KEY_BYTES} hexadecimal digits or more")
    return key


def read_or_make_key(file: str | os.PathLike[str] | None, bundle: str | os.PathLike[str]) -> bytes:
    """Read the key given, or make one beside the bundle's folder, for its owner's eyes only.

    Raises:
        InvalidInput: no key in the file, or one beside the folder already.
    """
    if file is not None:
        return read_key(file)
    path = Path(f"{os.path.normpath(bundle)}.key")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidInput(f"{path} is there already; use it with --key, or remove it") from None
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(key.hex() + "\n")
    return key


def name_accounts(
    bundle: str | os.PathLike[str],
    *,
    key: bytes,
    dump: PathOrDash | Sequence[PathOrDash] | None = None,
) -> pa.Table:
    """Turn the pseudonyms of a bundle back into names: those of the dump, as no bundle holds one.

    Args:
        bundle: the folder.
        key: of the pseudonyms.
        dump: the posts that were searched; by default the files of that name in the working folder
            or beside the bundle. Another file with the same columns gives names as surely.

    Returns:
        A row an account, those of campaigns first: pseudonym; account, its name, null where the
        dump has none for it; campaign, null where none; core; verdict.

    Raises:
        DataError: no bundle there, or its accounts were changed.
        InvalidInput: another key, a bundle that keeps names, no dump, or none of the names in it.
        OSError: a file that can't be read.
    """
    facts, file = read_facts(bundle), Path(bundle) / "accounts.parquet"
    if facts["pseudonyms"] is None:
        raise InvalidInput(f"{bundle}: its accounts have their names; there are no pseudonyms")
    if key_id(key) != facts["pseudonyms"]:
        raise InvalidInput(f"{bundle}: the key is not the one of its pseudonyms")
    if not file.is_file() or sha256(file) != facts["files"].get(file.name):
        raise DataError(f"{file}: it was changed, or is missing; see: textdetect verify")
    if dump is None:
        listed = [
            file["name"] for file in (facts["dump"] or {"files": [{"name": "the dump"}]})["files"]
        ]
        near = [(Path(name), Path(os.path.normpath(bundle)).parent / name) for name in listed]
        dump = [place for places in near for place in places if place.is_file()][: len(listed)]
        if not dump:
            names = ", ".join(listed)
            raise InvalidInput(f"{names} is neither here nor beside the bundle; pass it (--input)")
    posts = read_dump_again(facts, dump, same=False)
    names = posts["account"].unique().drop_null().to_pylist()
    of = dict(zip(alias_by(key)(names), names, strict=True))
    listed = pa.parquet.read_table(file).sort_by("campaign")
    pseudonyms = listed["account"].to_pylist()
    found = pa.array([of.get(pseudonym) for pseudonym in pseudonyms], pa.string())
    if found.null_count == len(found):
        raise InvalidInput(f"{dump}: none of the names in it is one of the bundle's accounts")
    columns = {name: listed[name] for name in ("campaign", "core", "verdict")}
    return pa.table({"pseudonym": listed["account"], "account": found, **columns})
