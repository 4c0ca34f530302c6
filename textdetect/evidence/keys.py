"""The key that turns names into pseudonyms: a file of its own, apart from what it hides."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from textdetect.errors import InvalidInput
from textdetect.evidence.bundle import KEY_BYTES


def read_key(file: str | os.PathLike[str]) -> bytes:
    """Read a key: hexadecimal digits, of 32 bytes or more.

    Raises:
        InvalidInput: something else.
        OSError: a file that can't be read.
    """
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
