"""A detector behind a URL: posts out, scores back. It knows nothing of who answers, or how."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray

from textdetect.errors import DetectorFailed, InvalidInput

_JSON: Final = {"Content-Type": "application/json"}
_MAX_ANSWER: Final = 64 * 2**20
_WORTH_ANOTHER_TRY: Final = (408, 429, 500, 502, 503, 504)


class UrlScorer:
    """Score texts by HTTP: the request is a POST of `{"posts": [{"text": …}, …]}`.

    The answer is `{"verdicts": [{"logit": …} or {"probability": …}, …]}`, one for each post, in
    their order, higher = more machine-like; null is unanswered. If every verdict has a logit, the
    scores are logits, else probabilities; other fields are ignored. Redirects are not followed.

    Args:
        url: http:// or https://, without user and password; its query is never shown.
        timeout_s: of a connection, and of each wait for more of an answer.
        n_retries: after no answer, a timeout, or a status of 408, 429, 500, 502, 503 or 504.
        pause_s: before the first retry; doubled before each further one.
        batch_size: posts in a request.

    >>> UrlScorer("https://example.org/v1/score?key=1").name
    'https://example.org/v1/score'
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 60.0,
        n_retries: int = 2,
        pause_s: float = 0.5,
        batch_size: int = 64,
    ) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise InvalidInput("expected a scoring URL like http://host/path, or https://…")
        self.name = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._url, self._http = url, httpx.Client(timeout=timeout_s)
        self._n_retries, self._pause_s, self._batch_size = n_retries, pause_s, batch_size

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return logits or probabilities, shape (n,); NaN = unanswered."""
        verdicts: list[dict[str, Any]] = []
        for first in range(0, len(texts), self._batch_size):
            verdicts += self._verdicts(texts[first : first + self._batch_size])
        for field in ("logit", "probability"):
            if all(field in verdict for verdict in verdicts):
                return np.array([self._number(v[field]) for v in verdicts], dtype=np.float64)
        raise DetectorFailed(f"{self.name}: not every verdict has a logit, or has a probability")

    def _verdicts(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        answer = self._post(json.dumps({"posts": [{"text": text} for text in texts]}).encode())
        try:
            verdicts: Any = json.loads(answer)["verdicts"]
        except (ValueError, KeyError, TypeError, RecursionError):
            verdicts = None
        if not isinstance(verdicts, list) or not all(isinstance(v, dict) for v in verdicts):
            expected = '{"verdicts": [{"logit": 0}]}'
            raise DetectorFailed(f"{self.name}: expected JSON like {expected}")
        if len(verdicts) != len(texts):
            raise DetectorFailed(
                f"{self.name}: {len(texts)} posts were sent, {len(verdicts)} verdicts came back"
            )
        return verdicts

    def _number(self, value: Any) -> float:
        if type(value) not in (int, float, type(None)):  # json knows no others, but for bool
            kind = type(value).__name__
            raise DetectorFailed(f"{self.name}: a score is a {kind}; expected a number or null")
        return float("nan") if value is None else float(value)

    def _post(self, body: bytes) -> bytes:
        why = ""
        for attempt in range(self._n_retries + 1):
            if attempt:
                time.sleep(self._pause_s * 2 ** (attempt - 1))
            try:
                with self._http.stream("POST", self._url, content=body, headers=_JSON) as response:
                    if response.status_code == 200:
                        return self._read(response)
            except httpx.TransportError as error:
                timeout = isinstance(error, httpx.TimeoutException)
                why = "a timeout" if timeout else type(_root(error)).__name__
            else:
                why = f"status {response.status_code}"
                if response.status_code not in _WORTH_ANOTHER_TRY:
                    break
        tries = "1 try" if attempt == 0 else f"{attempt + 1} tries"
        raise DetectorFailed(f"{self.name}: no answer after {tries}: {why}")

    def _read(self, response: httpx.Response) -> bytes:
        answer = bytearray()
        for piece in response.iter_bytes():
            answer += piece
            if len(answer) > _MAX_ANSWER:
                raise DetectorFailed(f"{self.name}: an answer of more than {_MAX_ANSWER} bytes")
        return bytes(answer)


def _root(error: BaseException) -> BaseException:
    """Give what the system said: a transport wraps it."""
    return _root(error.__context__) if error.__context__ else error
