"""What every endpoint does: who asks, how much, the verdicts, and errors as answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from textdetect.errors import (
    DetectorFailed,
    InvalidInput,
    NotAllowed,
    RequestTooLarge,
    ServerBusy,
    TextdetectError,
    TooFewCalibration,
)
from textdetect.posts.scored import Verdicts
from textdetect.serving.bodies import TooSlow, UnsupportedMedia, parsed, read_body
from textdetect.serving.engine import Engine
from textdetect.serving.keys import Key, Keys
from textdetect.serving.metrics import Metrics
from textdetect.serving.schemas import Requests
from textdetect.serving.settings import Limits

_STATUS: Final[tuple[tuple[type[TextdetectError], int, str], ...]] = (
    (NotAllowed, 401, "not_allowed"),
    (TooSlow, 408, "too_slow"),
    (RequestTooLarge, 413, "too_large"),
    (UnsupportedMedia, 415, "unsupported_media"),
    (TooFewCalibration, 422, "too_few_calibration"),
    (InvalidInput, 422, "invalid_input"),
    (DetectorFailed, 503, "worker_failed"),
)
"""The first that fits; a `ServerBusy` is 429, or 503 where it takes no requests at all."""


class ClientGone(Exception):
    """The client left before it was answered."""


class Service:
    """One server's engine, bounds and keys.

    Attributes:
        requests: the requests' classes.
        stopping: True lets no further request in.
    """

    def __init__(self, engine: Engine, limits: Limits, keys: Keys | None, metrics: Metrics) -> None:
        self.engine, self.limits, self.keys, self.metrics = engine, limits, keys, metrics
        self.requests = Requests.within(
            limits, smallest=engine.model.smallest, max_fpr=engine.max_fpr
        )
        self.stopping = False

    def who(self, request: Request) -> Key | None:
        """Tell who asks; None where anyone may.

        Raises:
            NotAllowed: the API key is missing or unknown.
            ServerBusy: the server is stopping.
        """
        key = None
        if self.keys is not None:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            bearer = token.strip() if scheme.lower() == "bearer" else ""
            key = self.keys.who(bearer or request.headers.get("x-api-key"))
            request.scope["textdetect.key"] = key.name
        if self.stopping:
            raise ServerBusy("the server is stopping", retry_after_s=2, loading=True)
        return key

    async def read(self, request: Request, kind: type[BaseModel]) -> tuple[Any, Key | None]:
        """Let a request in and read its body: the request's fields, and who asks."""
        key = self.who(request)
        return parsed(kind, await read_body(request, self.limits)), key

    async def judge(
        self,
        request: Request,
        key: Key | None,
        texts: Sequence[str | None],
        *,
        languages: Sequence[str | None] | None = None,
        max_fpr: float | None = None,
        watched: bool = True,
    ) -> Verdicts:
        """Judge posts for a client; see `Engine.judge`.

        `watched`: give up when the client leaves; its body must have been read.
        """
        before = request.scope.get("textdetect.n_posts", 0)
        request.scope["textdetect.n_posts"] = before + len(texts)
        client = key.name if key else request.client.host if request.client else ""
        charge = partial(self.keys.charge, key, len(texts)) if self.keys and key else None
        work = self.engine.judge(
            texts,
            languages=languages,
            max_fpr=max_fpr,
            client=client,
            timeout_s=self.limits.request_s,
            charge=charge,  # not what the queue refuses
        )
        verdicts = await (_while_there(request, work) if watched else work)
        self.metrics.verdicts(verdicts)
        return verdicts


def json_answer(value: Any, status: int = 200, **headers: str) -> Response:
    """Answer JSON; NaN becomes null."""
    body = to_json(value, inf_nan_mode="null")
    return Response(body, status, media_type="application/json", headers=headers)


def error_answer(error: TextdetectError) -> Response:
    """Say what was wrong; the message never holds a text."""
    if isinstance(error, ServerBusy):
        status, kind = (503, "unavailable") if error.loading else (429, "busy")
        wait = {"retry-after": str(max(1, round(error.retry_after_s)))}
        return plain_error(status, kind, str(error), **wait)
    fits = (each[1:] for each in _STATUS if isinstance(error, each[0]))
    status, kind = next(fits, (500, "internal"))
    headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}.get(status, {})
    position = getattr(error, "position", None)
    return plain_error(status, kind, str(error), position, **headers)


def plain_error(
    status: int, kind: str, message: str, position: int | None = None, /, **headers: str
) -> Response:
    """Say what was wrong where no error of ours was raised."""
    param = None if position is None else str(position)
    error = {"type": kind, "message": message, "param": param, "code": None}
    return json_answer({"error": error}, status, **headers)


async def _while_there(request: Request, work: Coroutine[Any, Any, Verdicts]) -> Verdicts:
    """Wait for an answer; where the client leaves, cancel it."""
    answer, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientGone
    finally:
        gone.cancel()
        answer.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
