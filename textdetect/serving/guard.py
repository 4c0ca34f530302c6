"""What stands around every request: an id, a bound on how many, headers, a log line, metrics."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections import Counter
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from textdetect.serving.metrics import Metrics
from textdetect.serving.service import plain_error

logger = logging.getLogger(__name__)

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer that does not bring its own."""
_SHARE: Final = 8
"""An address may have so many times the requests that are left for others: 8/9 of all of them."""


class Guard:
    """ASGI middleware.

    Args:
        app: what answers.
        metrics: where requests are counted.
        most: requests at the same time; one address alone never has them all.

    Attributes:
        closing: whether each answer ends its connection, as before a stop.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, most: int) -> None:
        self._app, self._metrics, self._most = app, metrics, most
        self.closing = False
        self._running: Counter[str] = Counter()

    @property
    def n_running(self) -> int:
        """Requests that are not answered yet."""
        return self._running.total()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        start_s, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["x-request-id"] = request_id
                if self.closing:
                    headers["connection"] = "close"
            await send(message)

        client = (scope.get("client") or ("",))[0]
        full = self._running[client] >= _SHARE * (self._most - self.n_running)
        self._running[client] += 1
        try:
            if full:
                refusal = plain_error(429, "busy", "too many requests", **{"retry-after": "1"})
                await refusal(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - its message may hold a text: only its type goes on
            why = type(error).__name__
            logger.error("unexpected", extra={"request_id": request_id, "why": why})
            if not status:
                refusal = plain_error(500, "internal", "something went wrong; it was logged")
                await refusal(scope, receive, answer)
        finally:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
            took_s = time.perf_counter() - start_s
            where = getattr(scope.get("route"), "path", "other")
            self._metrics.request(where, status or 499, took_s)
            logger.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": where,
                    "status": status or 499,
                    "ms": round(took_s * 1e3, 1),
                    "key": scope.get("textdetect.key"),
                    "n_posts": scope.get("textdetect.n_posts"),
                },
            )
