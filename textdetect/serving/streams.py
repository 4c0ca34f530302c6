"""NDJSON in, NDJSON out: endless posts, in flat memory, each line answered in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from textdetect.errors import InvalidInput, RequestTooLarge, ServerBusy, TextdetectError
from textdetect.serving.bodies import NDJSON, parsed, read_lines
from textdetect.serving.keys import Key
from textdetect.serving.service import Service, error_answer

_GROUP: Final = 64
"""Lines that are judged together, at most."""
_AHEAD: Final = 4
"""Groups on their way; more is read when one of them is written."""
_TRIES: Final = 60

Line = BaseModel | TextdetectError


class Lines(StreamingResponse):
    """An answer that is made while the request is still read.

    Starlette's own response watches for the client's leaving by taking what comes in, which here
    are the posts. A client may take `patience_s` seconds to read a part of the answer.
    """

    def __init__(self, lines: AsyncIterator[bytes], *, patience_s: float) -> None:
        super().__init__(lines, media_type=NDJSON)
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._patience_s):
                await send(message)

        await self.stream_response(send_in_time)


async def answers(
    service: Service, request: Request, key: Key | None, max_fpr: float
) -> AsyncIterator[bytes]:
    """Yield a line for each line: a verdict, or {"error": …} for one that can't be read.

    What comes is judged at once, a line alone too. A full queue slows a stream down, and does not
    end it. What ends it early is said in its last line.
    """
    ahead: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(_AHEAD)

    async def read() -> None:
        """Let what comes be judged; raises what ends it before its end."""
        try:
            async for lines in read_lines(request, service.limits):
                for first in range(0, len(lines), _GROUP):
                    group = [_post(service, line) for line in lines[first : first + _GROUP]]
                    work = _judged(service, request, key, group, max_fpr)
                    await ahead.put(asyncio.create_task(work))
        finally:
            await ahead.put(None)

    reader = asyncio.create_task(read())
    try:
        while (task := await ahead.get()) is not None:
            yield await task
        await reader
    except TextdetectError as error:
        yield _error_line(error)
    finally:
        reader.cancel()
        while not ahead.empty():
            if (task := ahead.get_nowait()) is not None:
                task.cancel()


def _post(service: Service, line: bytes) -> Line:
    try:
        return parsed(service.requests.post, line)
    except (InvalidInput, RequestTooLarge) as error:
        return error


async def _judged(
    service: Service, request: Request, key: Key | None, group: Sequence[Line], max_fpr: float
) -> bytes:
    posts: list[Any] = [each for each in group if isinstance(each, BaseModel)]
    texts, languages = [post.text for post in posts], [post.language for post in posts]
    options: dict[str, Any] = {"languages": languages, "max_fpr": max_fpr, "watched": False}
    for tried in range(1, _TRIES + 1):
        try:
            verdicts = iter((await service.judge(request, key, texts, **options)).to_dicts())
            break
        except TextdetectError as error:
            if not isinstance(error, ServerBusy) or error.loading or tried == _TRIES:
                return _error_line(error) * len(group)
            await asyncio.sleep(min(1.0, error.retry_after_s))
    return b"".join(
        _error_line(each)
        if isinstance(each, TextdetectError)
        else to_json({"id": getattr(each, "id", None), **next(verdicts)}, inf_nan_mode="null")
        + b"\n"
        for each in group
    )


def _error_line(error: TextdetectError) -> bytes:
    return bytes(error_answer(error).body) + b"\n"
