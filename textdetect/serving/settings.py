"""How much a server takes, and for how long; every bound has one name, one unit, one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

from textdetect.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server; all are positive.

    Raises:
        InvalidInput: one that is not positive.

    >>> Limits(posts=10).posts
    10
    """

    posts: int = 1_000  # in one request
    characters: int = 100_000  # of one post
    body_bytes: int = 8 * 2**20  # of one request's body, also once it is unpacked
    body_s: float = 10.0  # in which a body, or each line of a stream, must have come
    header_s: float = 10.0  # in which headers must have come; idle connections end then
    request_s: float = 30.0  # in which a request is answered, or given up
    stream_bytes: int = 2**30  # of one NDJSON stream
    queued_posts: int = 4_000  # that may wait for a worker
    wait_s: float = 2.0  # that a new request may expect to wait; above it, it is refused
    requests: int = 512  # answered at the same time
    connections: int = 2_048  # open at the same time; further ones wait to be accepted
    drain_s: float = 30.0  # that requests in flight are given when the server is told to stop

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise InvalidInput(f"{field.name}: expected a positive number, got {value!r}")
