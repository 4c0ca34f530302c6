"""Clients that load a server: each keeps a connection, asks, waits, asks again."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Load:
    """What came of it.

    Attributes:
        statuses: answers by status; "lost": a request that was sent and got none.
        latencies_s: of each answered request, with its status and when it was sent.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    latencies_s: list[tuple[float, int, float]] = field(default_factory=list)
    took_s: float = 0.0

    def of(self, status: int, *, since_s: float = 0.0) -> list[float]:
        """Give the latencies of a status, sorted."""
        found = (x for x, code, at in self.latencies_s if code == status and at >= since_s)
        return sorted(found)


def request(texts: Sequence[str], *, path: str = "/v1/score", **headers: str) -> bytes:
    """Make a request as it goes over the wire."""
    body = json.dumps({"posts": [{"text": text} for text in texts]}).encode()
    if path == "/predict":
        body = json.dumps({"inputs": texts[0]}).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{more}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def load(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    per_s: float | None = None,
) -> Load:
    """Ask for some seconds.

    Args:
        requests: taken in turn.
        clients: connections that ask one after the other.
        per_s: requests a second of all, begun whatever becomes of them (as far as the clients
            reach); None: each client asks again as soon as it is answered.
    """
    found, turn = Load(), iter(range(10**9))
    start_s = time.perf_counter()
    end_s = start_s + seconds

    async def client(number: int) -> None:
        stream = None
        due_s = start_s + (number / per_s if per_s else 0.0)
        while time.perf_counter() < end_s:
            if per_s:
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                due_s = max(due_s + clients / per_s, time.perf_counter() - 0.5)
            try:
                stream = stream or await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                found.statuses["refused"] += 1
                await asyncio.sleep(0.05)
                continue
            reader, writer = stream
            sent_s = time.perf_counter()
            try:
                writer.write(requests[next(turn) % len(requests)])
                status, stays = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                found.statuses["lost"] += 1
                writer.close()
                stream = None
                continue
            found.statuses[str(status)] += 1
            found.latencies_s.append((time.perf_counter() - sent_s, status, sent_s - start_s))
            if not stays:
                writer.close()
                stream = None
            if status == 503:  # it says so: Retry-After
                await asyncio.sleep(1.0)
        if stream:
            stream[1].close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    found.took_s = time.perf_counter() - start_s
    return found


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1]), b"connection: close" not in head
