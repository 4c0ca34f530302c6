"""NDJSON in, NDJSON out: endless posts, in flat memory, each line answered in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from textdetect.errors import InvalidInput, RequestTooLarge, ServerBusy, TextdetectError
from textdetect.serving.bodies import NDJSON, parsed, read_lines
from textdetect.serving.desk import Desk, error_answer
from textdetect.serving.keys import Key

_GROUP: Final = 64
"""Lines that are judged together, at most."""
_AHEAD: Final = 4
"""Groups on their way; more is read when one of them is written."""
_TRIES: Final = 60

Line = BaseModel | TextdetectError


class Lines(Response):
    """An answer that is made while the request is still read.

    Starlette's `StreamingResponse` watches for the client's leaving by taking what comes in, which
    here are the posts. A client may take `patience_s` seconds to read a part of the answer.
    """

    media_type = NDJSON

    def __init__(self, lines: AsyncIterator[bytes], *, patience_s: float) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._lines, self._patience_s = lines, patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for part in self._lines:
            async with asyncio.timeout(self._patience_s):  # a client that does not read
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def answers(
    desk: Desk, request: Request, key: Key | None, max_fpr: float
) -> AsyncIterator[bytes]:
    """Yield a line for each line: a verdict, or {"error": …} for one that can't be read.

    What comes is judged at once, a line alone too. A full queue slows a stream down, and does not
    end it. What ends it early is said in its last line.
    """
    ahead: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(_AHEAD)
    reader = asyncio.create_task(_read(desk, request, key, max_fpr, ahead))
    try:
        while (task := await ahead.get()) is not None:
            yield await task
        if (error := await reader) is not None:
            yield _error_line(error)
    finally:
        reader.cancel()
        while not ahead.empty():
            if (task := ahead.get_nowait()) is not None:
                task.cancel()


async def _read(
    desk: Desk,
    request: Request,
    key: Key | None,
    max_fpr: float,
    ahead: asyncio.Queue[asyncio.Task[bytes] | None],
) -> TextdetectError | None:
    """Let what comes be judged; returns what ended it before its end."""
    try:
        async for lines in read_lines(request, desk.limits):
            for first in range(0, len(lines), _GROUP):
                group = [_post(desk, line) for line in lines[first : first + _GROUP]]
                work = _judged(desk, request, key, group, max_fpr)
                await ahead.put(asyncio.create_task(work))
    except TextdetectError as error:
        return error
    finally:
        await ahead.put(None)
    return None


def _post(desk: Desk, line: bytes) -> Line:
    try:
        return parsed(desk.requests.post, line)
    except (InvalidInput, RequestTooLarge) as error:
        return error


async def _judged(
    desk: Desk, request: Request, key: Key | None, group: Sequence[Line], max_fpr: float
) -> bytes:
    posts: list[Any] = [each for each in group if isinstance(each, BaseModel)]
    verdicts: Iterator[dict[str, Any]] = iter(())
    for tried in range(_TRIES):
        try:
            found = await desk.judge(
                request,
                key,
                [post.text for post in posts],
                languages=[post.language for post in posts],
                max_fpr=max_fpr,
                watched=False,
            )
            verdicts = iter(found.to_dicts())
            break
        except ServerBusy as error:
            if error.loading or tried == _TRIES - 1:
                return b"".join(_error_line(error) for _ in group)
            await asyncio.sleep(min(1.0, error.retry_after_s))
        except TextdetectError as error:
            return b"".join(_error_line(error) for _ in group)
    return b"".join(
        _error_line(each)
        if isinstance(each, TextdetectError)
        else to_json({"id": getattr(each, "id", None), **next(verdicts)}, inf_nan_mode="null")
        + b"\n"
        for each in group
    )


def _error_line(error: TextdetectError) -> bytes:
    return bytes(error_answer(error).body) + b"\n"
