"""API keys: who may ask, and how much a minute. A file holds their hashes, never the keys.

A key has 256 random bits, so that one SHA-256 is enough to keep it secret.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput, NotAllowed, ServerBusy

logger = logging.getLogger(__name__)

_LINE: Final = re.compile(r"([\w.-]{1,64})\s+([0-9a-f]{64})(?:\s+(\d{1,9}))?")
_NOBODY: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its name in logs, its SHA-256 in hex, and its rate; None is without a bound."""

    name: str
    sha256: str
    posts_per_minute: int | None = None


class Keys:
    """The keys of a file: a line a key, `NAME SHA256 [POSTS_PER_MINUTE]`; # begins a comment.

    Raises:
        InvalidInput: a line that is none, a name twice, no key at all.
        OSError: a file that can't be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        limits = require("limits", extra="server")
        self._path = Path(path)
        self._keys = read_keys(self._path)
        self._item = limits.RateLimitItemPerMinute
        self._limiter: Any = limits.strategies.SlidingWindowCounterRateLimiter(
            limits.storage.MemoryStorage()
        )

    def reload(self) -> None:
        """Read the file again; one that can't be read leaves the keys as they are."""
        try:
            self._keys = read_keys(self._path)
        except (InvalidInput, OSError) as error:
            logger.error("keys stay as they were: %s", error)
        else:
            logger.info("%d keys read again", len(self._keys))

    def who(self, secret: str | None) -> Key:
        """Tell whose a key is, in a time that does not depend on which key, or whether any, it is.

        Raises NotAllowed where it is nobody's.
        """
        given = hashlib.sha256((secret or "").encode("utf-8", "replace")).hexdigest()
        found = Key("", _NOBODY)
        for key in self._keys:  # all of them: the first that fits does not end it
            found = key if hmac.compare_digest(key.sha256, given) else found
        if not found.name:
            what = "an unknown API key" if secret else "no API key: expected Authorization: Bearer"
            raise NotAllowed(what)
        return found

    def charge(self, key: Key, n_posts: int) -> None:
        """Count posts against a key's rate; raises ServerBusy where it is more than that."""
        if key.posts_per_minute is None or not n_posts:
            return
        item = self._item(key.posts_per_minute)
        if not self._limiter.hit(item, key.name, cost=n_posts):
            raise ServerBusy(
                f"more than the {key.posts_per_minute} posts a minute of this key", retry_after_s=10
            )


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a file of keys; see `Keys`."""
    found: dict[str, Key] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not (plain := line.partition("#")[0].strip()):
            continue
        parts = _LINE.fullmatch(plain)
        if parts is None or parts[1] in found:
            why = "a name that came before" if parts else "expected NAME SHA256 [POSTS_PER_MINUTE]"
            raise InvalidInput(f"{path.name}, line {number}: {why}")
        found[parts[1]] = Key(parts[1], parts[2], int(parts[3]) if parts[3] else None)
    if not found:
        raise InvalidInput(f"{path.name}: no key; make one with: textdetect key NAME")
    return tuple(found.values())


def make_key(name: str, posts_per_minute: int | None = None) -> tuple[str, str]:
    """Make a key: the secret, which is shown once, and its line for the file.

    >>> secret, line = make_key("newsroom", 600)
    >>> line.split()[0], len(secret) >= 43, secret in line
    ('newsroom', True, False)
    """
    secret = f"td-{secrets.token_urlsafe(32)}"
    rate = "" if posts_per_minute is None else f" {posts_per_minute}"
    line = f"{name} {hashlib.sha256(secret.encode()).hexdigest()}{rate}"
    if not _LINE.fullmatch(line):
        raise InvalidInput("name: expected at most 64 letters, digits, dots, dashes, underscores")
    return secret, line
