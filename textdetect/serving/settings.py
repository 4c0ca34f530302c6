"""How much a server takes, and for how long; every bound has one name, one unit, one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

from textdetect.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server; all are positive.

    Attributes:
        posts: in one request.
        characters: of one post.
        body_bytes: of one request's body, also once it is unpacked.
        body_s: seconds in which a body, or each line of a stream, must have come.
        header_s: seconds in which a request's headers must have come; idle connections end then.
        request_s: seconds in which a request is answered, or given up.
        stream_bytes: of one NDJSON stream.
        queued_posts: that may wait for a worker.
        wait_s: seconds that a new request may expect to wait; above it, it is refused.
        requests: answered at the same time.
        connections: open at the same time; further ones wait to be accepted.
        drain_s: seconds that requests in flight are given when the server is told to stop.

    Raises:
        InvalidInput: one that is not positive.

    >>> Limits(posts=10).posts
    10
    """

    posts: int = 1_000
    characters: int = 100_000
    body_bytes: int = 8 * 2**20
    body_s: float = 10.0
    header_s: float = 10.0
    request_s: float = 30.0
    stream_bytes: int = 2**30
    queued_posts: int = 4_000
    wait_s: float = 2.0
    requests: int = 512
    connections: int = 2_048
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise InvalidInput(f"{field.name}: expected a positive number, got {value!r}")
