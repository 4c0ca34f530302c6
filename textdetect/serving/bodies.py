"""Reading what a client sends within bounds of bytes and seconds, and taking it apart.

No error that is raised here holds anything that was sent.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from textdetect.errors import InvalidInput, RequestTooLarge
from textdetect.serving.settings import Limits

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_PACKED: Final = {"gzip": 31, "deflate": 47}
"""Content-Encoding → zlib's window bits."""
_DRAINED: Final = 2
"""Of a body that is too large, so many times the bound is read and dropped before the answer: a
client that still sends when the connection closes sees a broken pipe, and never the reason."""

Body = TypeVar("Body", bound=BaseModel)


class TooSlow(InvalidInput):
    """A body did not come in time."""


class UnsupportedMedia(InvalidInput):
    """A body of a type or packing that is not taken."""


def media_type(headers: Mapping[str, str]) -> str:
    """Tell a request's media type, without its parameters; JSON where it names none."""
    return headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


async def read_body(request: Request, limits: Limits) -> bytes:
    """Read a JSON body, unpacked.

    Raises:
        UnsupportedMedia: it is not JSON, or packed in a way that is not known.
        RequestTooLarge: more bytes than `limits.body_bytes`, packed or not.
        TooSlow: it took longer than `limits.body_s`.
    """
    if media_type(request.headers) != JSON:
        raise UnsupportedMedia(f"expected a body of type {JSON}")
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing not in (*_PACKED, "identity"):
        raise UnsupportedMedia("content-encoding: expected gzip, deflate or none")
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdigit() else 0
    if announced > _DRAINED * limits.body_bytes:
        raise _too_large(limits)
    read = None if packing == "identity" else zlib.decompressobj(_PACKED[packing])
    body, n_bytes, too_large = bytearray(), 0, announced > limits.body_bytes
    try:
        async with asyncio.timeout(limits.body_s):
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if not too_large:
                    body += read.decompress(chunk, limits.body_bytes + 1) if read else chunk
                    unread = bool(read and read.unconsumed_tail)
                    too_large = unread or max(len(body), n_bytes) > limits.body_bytes
                elif n_bytes > _DRAINED * limits.body_bytes:
                    break
    except TimeoutError:
        if not too_large:
            raise TooSlow(f"the body did not come within {limits.body_s:g} s") from None
    except zlib.error:
        raise InvalidInput(f"the body is not {packing}") from None
    if too_large:
        raise _too_large(limits)
    return bytes(body)


def _too_large(limits: Limits) -> RequestTooLarge:
    return RequestTooLarge(f"a body of more than {limits.body_bytes} bytes")


async def read_lines(request: Request, limits: Limits) -> AsyncIterator[list[bytes]]:
    """Read an NDJSON stream: the lines that hold something, as they come, one or more at a time.

    Raises:
        RequestTooLarge: a line or the whole has more bytes than it may.
        TooSlow: a line took longer than `limits.body_s`.
    """
    rest, n_bytes = b"", 0
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout(limits.body_s):
                while b"\n" not in rest:
                    chunk = await anext(chunks)
                    n_bytes += len(chunk)
                    rest += chunk
                    if n_bytes > limits.stream_bytes or (
                        len(rest) > limits.body_bytes and b"\n" not in rest
                    ):
                        raise RequestTooLarge("a line, or a stream, of too many bytes")
        except (StopAsyncIteration, ClientDisconnect):
            break
        except TimeoutError:
            raise TooSlow(f"no line came within {limits.body_s:g} s") from None
        *lines, rest = rest.split(b"\n")
        if full := [line for line in lines if line.strip()]:
            yield full
    if rest.strip():
        yield [rest]


def parsed(kind: type[Body], body: bytes) -> Body:
    """Make a request of a body.

    Raises:
        RequestTooLarge: too many posts, or characters in one.
        InvalidInput: not JSON, or not of this kind; `position` is the post's, where there is one.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _plain(error, kind) from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None


def _plain(error: ValidationError, kind: type[BaseModel]) -> InvalidInput | RequestTooLarge:
    """Say the first thing that is wrong, by the names of fields that we know."""
    wrong: list[Any] = list(error.errors(include_url=False, include_input=False))
    known = {"id", "text", "language", "account", "type", "top_k", *kind.model_fields}
    too_long = [each for each in wrong if each.get("ctx", {}).get("max_length", 0) > 1]
    first = (too_long or wrong)[0]
    place = [str(part) for part in first["loc"] if isinstance(part, int) or part in known]
    message = f"{'.'.join(place) or 'body'}: {first['msg']}"
    if too_long and place[-1:] not in (["id"], ["account"]):
        return RequestTooLarge(message)
    position = next((part for part in first["loc"] if isinstance(part, int)), None)
    return InvalidInput(message, position=position)
