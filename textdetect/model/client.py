"""Clients of a scoring server: the calls and verdicts of a `Detector`, over HTTP, with retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any, Final, NamedTuple, Self, overload
from urllib.parse import urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray

from textdetect._ground.progress import bar_over
from textdetect.errors import (
    InvalidInput,
    NotAllowed,
    RequestTooLarge,
    ServerBusy,
    ServerError,
    TextdetectError,
    TooFewCalibration,
)
from textdetect.model.judgement import Predicting
from textdetect.posts.scored import (
    FIELDS,
    Languages,
    Verdict,
    Verdicts,
    as_class,
    may_keep,
    objects,
    row_index,
)
from textdetect.posts.text import paired
from textdetect.statistics.calibration import check_share

_MOST_CHARS: Final = 100_000
"""Characters of a post that are sent; no model reads more."""
_PIECE_CHARS: Final = 500_000
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 30.0
_ERRORS: Final[dict[str, type[TextdetectError]]] = {
    "invalid_input": InvalidInput,
    "not_allowed": NotAllowed,
    "too_large": RequestTooLarge,
    "too_few_calibration": TooFewCalibration,
}


class _Ask(NamedTuple):
    """A request that is to be sent."""

    method: str
    path: str
    body: dict[str, Any] | None = None


_Piece = list[tuple[str | None, str | None]]
"""Texts, each with its language, that are sent together."""
_Steps = Generator[_Ask | float, Any, Any]
"""What is to be done: a request to send (its response or error comes back), or seconds to wait."""


class _Talk:
    """What both clients send, and what they make of the answers."""

    calibration = None
    normalises = True
    _http: Any = None

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        n_retries: int = 6,
        batch_posts: int = 256,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise InvalidInput("url: expected one like http://host:8000")
        if batch_posts < 1:
            raise InvalidInput(f"batch_posts: expected at least 1, got {batch_posts}")
        self.url = url.rstrip("/")
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._n_retries = n_retries
        self._batch_posts = batch_posts
        self._model: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_http": None}

    def _options(self) -> dict[str, Any]:
        """Give what the HTTP library's client is made with."""
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        return {"base_url": self.url, "timeout": self._timeout_s, "headers": headers}

    def _answered(self, ask: _Ask) -> _Steps:
        """Ask until it is answered, or a try more would not help."""
        error: TextdetectError
        for tried in count():
            response = yield ask
            if isinstance(response, Exception):
                wait_s, error = 0.0, ServerBusy(f"{self.url} does not answer ({response!r:.80})")
            elif response.status_code == 200:
                return _json(response)
            else:
                error = _error(response)
                if not isinstance(error, ServerBusy):
                    raise error
                wait_s = error.retry_after_s
            if tried >= self._n_retries:
                raise error
            backoff_s = _FIRST_PAUSE_S * 2**tried * random.uniform(0.5, 1.0)
            yield min(_LONGEST_PAUSE_S, max(wait_s, backoff_s))

    def _about(self) -> _Steps:
        """Learn which model answers, once."""
        if self._model is None:
            self._model = yield from self._answered(_Ask("GET", "/v1/model"))
        return self._model

    def _judged(self, piece: _Piece, max_fpr: float, *, kept: bool = False) -> _Steps:
        """Judge one piece; `kept`: the verdicts refer to its posts."""
        model = yield from self._about()
        smallest = model["smallest_max_fpr"]
        if max_fpr < smallest:
            raise TooFewCalibration(
                f"max_fpr={max_fpr:g} is below {smallest:.2g}, the smallest rate that this "
                "server's calibration supports"
            )
        if not piece:
            return _verdicts([], max_fpr, model)
        posts = [{"text": text, "language": code} for text, code in piece]
        body = {"posts": posts, "max_fpr": max_fpr}
        answer = yield from self._answered(_Ask("POST", "/v1/score", body))
        rows = answer.get("verdicts")
        if not isinstance(rows, list) or len(rows) != len(piece):
            raise ServerError(f"{self.url}: expected {len(piece)} verdicts, one a post")
        found = _verdicts(rows, max_fpr, answer["model"])
        found.posts = objects([text for text, _ in piece]) if kept else None
        return found

    def _pieces(self, texts: Iterable[Any], language: Languages) -> Iterator[_Piece]:
        """Cut posts, each with its language, into requests."""
        piece: _Piece = []
        n_chars = 0
        for text, code in paired(texts, language):
            plain = None if text is None else _sendable(text)
            more = len(plain or "")
            if piece and n_chars + more > _PIECE_CHARS:
                yield piece
                piece, n_chars = [], 0
            piece.append((plain, code))
            n_chars += more
            if len(piece) == self._batch_posts:
                yield piece
                piece, n_chars = [], 0
        if piece:
            yield piece


def _fact(name: str, doc: str) -> Any:
    """Make a property that a client asks its server for."""
    return property(lambda client: str(client._run(client._about())[name]), doc=doc)


class Client(_Talk, Predicting):
    """A detector behind a URL: `predict`, `predict_iter` and calling it answer as a `Detector`'s.

    Args:
        url: of the server: http://host:8000
        api_key: where the server asks for one.
        timeout_s: of a connection, and of each wait for an answer.
        n_retries: after no answer, or where the server is busy; pauses grow, and are at least what
            the server asks for.
        batch_posts: posts in a request, at least 1.

    Raises:
        InvalidInput: a URL that is none.

    >>> client = Client("http://127.0.0.1:8000")
    >>> client.predict("so good to see you all again")  # doctest: +SKIP
    Verdict(label='not_flagged', ...)
    """

    name = _fact("name", "The model's name.")
    version = _fact("version", "The model's version.")
    fingerprint = _fact("fingerprint", "See `Detector.fingerprint`.")
    numerics = _fact("numerics", "Engine and number type that the server runs.")

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes that the model answers for."""
        return tuple(self._run(self._about())["languages"])

    def _judge(
        self, texts: Iterable[Any], max_fpr: float, language: Languages, *, progress: bool | None
    ) -> Iterator[Verdicts]:
        max_fpr = check_share("max_fpr", max_fpr)
        with bar_over(texts, progress) as bar:
            for piece in self._pieces(texts, language):
                yield self._run(self._judged(piece, max_fpr, kept=may_keep(texts)))
                bar.update(len(piece))

    def _none(self, max_fpr: float) -> Verdicts:
        found: Verdicts = self._run(self._judged([], check_share("max_fpr", max_fpr)))
        return found

    def __call__(
        self, texts: str | Iterable[Any], *, max_fpr: float = 0.01
    ) -> list[dict[str, Any]]:
        """Answer as a transformers pipeline does: [{"label", "score"}], one a text."""
        several: Iterable[Any] = [texts] if isinstance(texts, str) else texts
        return [as_class(v.label, v.probability) for v in self.predict(several, max_fpr=max_fpr)]

    def logits(self, texts: Iterable[Any]) -> NDArray[np.float64]:
        """Score texts without a verdict: float64, shape (n,), higher = more machine-like."""
        rate = self._run(self._about())["max_fpr"]
        return self.predict(texts, max_fpr=rate, progress=False).logit

    def close(self) -> None:
        """Close its connections; it opens new ones when it is used again."""
        if self._http is not None:
            self._http.close()
        self._http = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: _Steps) -> Any:
        self._http = self._http or httpx.Client(**self._options())
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
                if isinstance(step, float):
                    time.sleep(step)
                else:
                    answer = self._http.request(step.method, step.path, json=step.body)
            except StopIteration as end:
                return end.value
            except httpx.TransportError as error:
                answer = error


class AsyncClient(_Talk):
    """The same for asyncio; up to `concurrency` requests of one call are on their way at once.

    Args:
        url, api_key, timeout_s, n_retries, batch_posts: see `Client`.
        concurrency: requests at once, at least 1.

    >>> client = AsyncClient("http://127.0.0.1:8000", concurrency=8)
    >>> await client.predict(["so good to see you all again"])  # doctest: +SKIP
    """

    def __init__(self, url: str, *, concurrency: int = 4, **options: Any) -> None:
        super().__init__(url, **options)
        if concurrency < 1:
            raise InvalidInput(f"concurrency: expected at least 1, got {concurrency}")
        self._concurrency = concurrency

    async def model(self) -> dict[str, Any]:
        """Tell which model answers: name, version, fingerprint, numerics, languages, limits."""
        return dict(await self._run(self._about()))

    @overload
    async def predict(
        self, texts: str, *, max_fpr: float = ..., language: str | None = ...
    ) -> Verdict: ...
    @overload
    async def predict(
        self, texts: Iterable[Any], *, max_fpr: float = ..., language: Languages = ...
    ) -> Verdicts: ...
    async def predict(
        self, texts: str | Iterable[Any], *, max_fpr: float = 0.01, language: Languages = None
    ) -> Verdict | Verdicts:
        """Judge posts; see `Client.predict`."""
        max_fpr = check_share("max_fpr", max_fpr)
        if isinstance(texts, str):
            return (await self.predict([texts], max_fpr=max_fpr, language=language))[0]
        parts = [part async for part in self._parts(texts, max_fpr, language)]
        found = Verdicts.joined(parts or [await self._run(self._judged([], max_fpr))])
        found.row_labels = row_index(texts)
        return found

    async def predict_iter(
        self, texts: Iterable[Any], *, max_fpr: float = 0.01, language: Languages = None
    ) -> AsyncIterator[Verdict]:
        """Judge an endless stream in flat memory; verdicts come in the order of the texts."""
        max_fpr = check_share("max_fpr", max_fpr)
        async for part in self._parts(texts, max_fpr, language):
            for verdict in part:
                yield verdict

    async def aclose(self) -> None:
        """Close its connections; it opens new ones when it is used again."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _parts(
        self, texts: Iterable[Any], max_fpr: float, language: Languages
    ) -> AsyncIterator[Verdicts]:
        """Yield the verdicts on each piece, in order, with some pieces ahead."""
        pieces = self._pieces(texts, language)
        running: list[asyncio.Task[Any]] = []
        try:
            while True:
                for piece in islice(pieces, self._concurrency - len(running)):
                    work = self._run(self._judged(piece, max_fpr, kept=may_keep(texts)))
                    running.append(asyncio.ensure_future(work))
                if not running:
                    return
                yield await running.pop(0)
        finally:
            for task in running:
                task.cancel()

    async def _run(self, steps: _Steps) -> Any:
        self._http = self._http or httpx.AsyncClient(**self._options())
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    answer = await self._http.request(step.method, step.path, json=step.body)
            except StopIteration as end:
                return end.value
            except httpx.TransportError as error:
                answer = error


def _sendable(text: str) -> str:
    """Cut a text to what is read at most, without lone surrogates, which no JSON can carry."""
    return text[:_MOST_CHARS].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json(response: Any) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ServerError(
            f"{response.url.host}: expected a JSON object; is it a textdetect server?"
        )
    return answer


def _error(response: Any) -> TextdetectError:
    """Make the error that an answer stands for."""
    try:
        said = response.json()["error"]
        kind, message, position = said["type"], str(said["message"]), said.get("param")
    except (ValueError, KeyError, TypeError):
        kind, message, position = "", f"status {response.status_code}", None
    if response.status_code in (429, 503):
        after = response.headers.get("retry-after", "")
        wait_s = float(after) if after.isdigit() else 1.0
        return ServerBusy(message, retry_after_s=wait_s, loading=response.status_code == 503)
    if kind == "invalid_input" and str(position).isdigit():
        return InvalidInput(message, position=int(position))
    return _ERRORS.get(kind, ServerError)(message)


def _verdicts(rows: Sequence[dict[str, Any]], max_fpr: float, model: dict[str, Any]) -> Verdicts:
    numbers = ("probability", "logit", "p_value")
    found = []
    for row in rows:
        values: dict[str, Any] = {name: row[name] for name in FIELDS if name != "notes"}
        values["notes"] = tuple(row.get("notes", ()))  # an older server has none
        values |= {name: float("nan") for name in numbers if row[name] is None}
        found.append(Verdict(**values))
    origin = {name: model[name] for name in ("version", "fingerprint", "numerics")}
    return Verdicts.from_list(found, max_fpr=max_fpr, model=model["name"], **origin)
