"""Posts of many clients → batches → worker processes → verdicts, each request answered once.

Batches form by themselves: a worker that is free takes what waits, up to `BATCH_TOKENS`, so a post
that comes alone does not wait for company, and under load batches grow.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from textdetect.bulk.process import DetectorProcess, Posts, packed
from textdetect.errors import DetectorFailed, ServerBusy, TextdetectError
from textdetect.model.runtimes.host import available_cores
from textdetect.posts.scored import Verdicts
from textdetect.statistics.account_null import AccountNull

if TYPE_CHECKING:
    from textdetect.model.detector import Detector

logger = logging.getLogger(__name__)

BATCH_TOKENS: Final = 1_024
"""Tokens, as they are guessed, that a worker takes at once; one piece may have more."""
_TURN_POSTS: Final = 16
_TURN_TOKENS: Final = 128
"""Of a client in a turn; a post may have more tokens. Small, so that turns come soon."""
_HANGS_S: Final = 120.0
"""A worker that answers nothing for so long is replaced."""
_PAUSES_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Before a worker is started again, by how often in a row it did not get ready."""
_ORIGIN: Final = ("name", "version", "fingerprint", "numerics")


@dataclass(frozen=True, slots=True)
class Model:
    """What a server says of its detector, when the detector itself lives in the workers."""

    name: str
    version: str
    fingerprint: str
    numerics: str
    languages: tuple[str, ...]
    smallest: float
    null: AccountNull | None

    @classmethod
    def of(cls, detector: Detector, *, max_fpr: float) -> Model:
        """Describe a detector; raises as `predict` does at a rate that it can't keep."""
        detector.predict([], max_fpr=max_fpr)
        calibration, checkpoint = detector.calibration, detector.checkpoint
        return cls(
            **{name: getattr(detector, name) for name in _ORIGIN},
            languages=detector.languages or (calibration.languages if calibration else ()),
            smallest=calibration.smallest if calibration else 0.0,
            null=checkpoint.account_null(detector.numerics) if checkpoint else None,
        )

    @property
    def origin(self) -> dict[str, str]:
        """Which model gives the answers, as these say it."""
        return {name: getattr(self, name) for name in _ORIGIN}


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Some posts of a request, that are judged in one turn."""

    posts: Posts
    n_tokens: int
    answer: asyncio.Future[Verdicts]


class Engine:
    """Worker processes with a detector each, behind one bounded queue that is fair to clients.

    Clients take turns, a piece of at most 16 posts each. A request is refused (`ServerBusy`) when
    it would wait longer than `wait_s`, as the turns come at the rate that the workers keep, or when
    its client would have more waiting than there would be room left: one client fills half of the
    queue, two a third each, and there is room for one more (Choudhury and Hahne, "Dynamic queue
    length thresholds", 1998). Start and stop it in the event loop that it is used in.

    Args:
        detector: what the workers load; it must pickle.
        workers: processes; None: the cores that this process may use.
        queued_posts: that may wait, at least 1. A request where nothing waits, and the first 16
            posts of a client, may go beyond.
        wait_s: seconds that a request may expect to wait before its first post is judged.
        max_fpr: the rate where a request names none, in (0, 1).

    Attributes:
        model: what the detector is.
        max_fpr: see above.
        n_ready: workers that have loaded the detector.
        on_batch: called with each batch's posts and seconds; may be replaced, as may
        on_restart: called where a worker ended.

    Raises:
        InvalidInput, NotCalibrated, TooFewCalibration: see `Detector.predict`.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        workers: int | None = None,
        queued_posts: int = 4_000,
        wait_s: float = 2.0,
        max_fpr: float = 0.01,
    ) -> None:
        self.model = Model.of(detector, max_fpr=max_fpr)
        self.max_fpr = max_fpr
        self.on_batch: Callable[[int, float], None] = lambda n_posts, took_s: None
        self.on_restart: Callable[[], None] = lambda: None
        self._payload = packed(detector)
        cores = available_cores()
        self._n_workers = workers or cores
        self._threads = max(1, cores // self._n_workers)
        self._most, self._wait_s = queued_posts, wait_s
        self._waiting: OrderedDict[str, deque[_Piece]] = OrderedDict()
        self._tokens_per_s = 0.0
        self._work = asyncio.Event()
        self.n_ready = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False

    @property
    def n_waiting(self) -> int:
        """Posts that no worker has taken yet."""
        return sum(map(_n_posts, self._waiting.values()))

    def expected_wait_s(self, client: str | None = None) -> float:
        """Seconds until what waits now is judged; 0 before the first batch.

        For a client: until its turn would come after all that it has waiting.
        """
        if not self._tokens_per_s:
            return 0.0
        own = math.inf if client is None else _n_tokens(self._waiting.get(client, ()))
        ahead = (min(_n_tokens(line), own + _TURN_TOKENS) for line in self._waiting.values())
        return sum(ahead) / self._tokens_per_s

    async def start(self) -> None:
        """Start the workers; returns at once, see `n_ready`."""
        self._tasks = [asyncio.create_task(self._keep_worker()) for _ in range(self._n_workers)]

    async def stop(self) -> None:
        """End the workers; requests that still wait get `ServerBusy`."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        stopping = ServerBusy("the server is stopping", loading=True)
        _fail_all(chain(*self._waiting.values()), stopping)
        self._waiting.clear()

    async def judge(
        self,
        texts: Sequence[str | None],
        *,
        languages: Sequence[str | None] | None = None,
        max_fpr: float | None = None,
        client: str = "",
        timeout_s: float = 30.0,
        charge: Callable[[], None] | None = None,
    ) -> Verdicts:
        """Judge posts as `Detector.predict` does; what is cancelled leaves the queue.

        It takes the turn of `client`, and is given up after `timeout_s`. `charge` is called when
        it is let in, and may raise.

        Raises:
            ServerBusy: too much waits, or it took too long.
            DetectorFailed: the worker that had a post ended.
        """
        posts = Posts(texts, languages, self.max_fpr if max_fpr is None else max_fpr)
        if not texts:
            origin = self.model.origin
            return Verdicts.from_list([], max_fpr=posts.max_fpr, model=origin.pop("name"), **origin)
        self._admit(len(texts), client)
        if charge is not None:
            charge()
        pieces = _turns(posts)
        self._waiting.setdefault(client, deque()).extend(pieces)
        self._work.set()
        try:
            async with asyncio.timeout(timeout_s):
                return Verdicts.joined(await asyncio.gather(*(each.answer for each in pieces)))
        except TimeoutError:
            raise ServerBusy(
                f"no answer within {timeout_s:g} s", retry_after_s=self._retry_after_s(client)
            ) from None
        finally:
            self._forget(pieces, client)

    def _admit(self, n_posts: int, client: str = "") -> None:
        """Raise `ServerBusy` where a client's request of so many posts would be refused now."""
        if self._stopped or not self.n_ready:
            what = "stopping" if self._stopped else "loading its model"
            raise ServerBusy(f"the server is {what}", retry_after_s=2, loading=True)
        own, waiting = _n_posts(self._waiting.get(client, ())), self.n_waiting
        few = own + n_posts <= _TURN_POSTS or not waiting
        full = not few and own + n_posts > self._most - waiting - n_posts
        if full or self.expected_wait_s(client) > self._wait_s:
            raise ServerBusy(
                f"{waiting} posts wait already, {own} of them this client's; try again later",
                retry_after_s=self._retry_after_s(client),
            )

    def _retry_after_s(self, client: str) -> int:
        """Give whole seconds after which there may be room."""
        return max(1, min(60, math.ceil(self.expected_wait_s(client))))

    def _forget(self, pieces: Sequence[_Piece], client: str) -> None:
        """Take what is left of a request out of the queue."""
        for piece in pieces:
            piece.answer.cancel()
        left = deque(each for each in self._waiting.get(client, ()) if not each.answer.done())
        if left:
            self._waiting[client] = left
        else:
            self._waiting.pop(client, None)

    def _take(self) -> list[_Piece]:
        """Take a batch: pieces of one rate, a client after the other."""
        batch: list[_Piece] = []
        n_tokens = 0
        while self._waiting:
            client, line = next(iter(self._waiting.items()))
            n_tokens, rate = n_tokens + line[0].n_tokens, line[0].posts.max_fpr
            if batch and (n_tokens > BATCH_TOKENS or rate != batch[0].posts.max_fpr):
                break
            batch.append(line.popleft())
            self._waiting.move_to_end(client)
            if not line:
                del self._waiting[client]
        return batch

    async def _keep_worker(self) -> None:
        """Have one worker at all times: start it, feed it, replace it."""
        failures, loop = 0, asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1) as thread:
            run = partial(loop.run_in_executor, thread)
            while True:
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                try:
                    worker = await run(DetectorProcess, self._payload, self._threads)
                    try:
                        await run(worker.wait_loaded)
                        failures, self.n_ready = 0, self.n_ready + 1
                        try:
                            await self._feed(partial(run, worker.judge))
                        finally:
                            self.n_ready -= 1
                    finally:
                        worker.kill()
                except (EOFError, OSError, DetectorFailed) as error:
                    failures += 1
                    self.on_restart()
                    logger.error("a worker ended (%s); another is started", type(error).__name__)

    async def _feed(self, ask: Callable[[Posts, float], Awaitable[Verdicts | str]]) -> None:
        """Give batches to a worker until it ends."""
        while True:
            while not (batch := self._take()):
                self._work.clear()
                await self._work.wait()
            start_s = time.perf_counter()
            try:
                answer = await ask(_together(batch), _HANGS_S)
            except (EOFError, OSError):
                _fail_all(batch, DetectorFailed("the worker that had this post ended"))
                raise
            except asyncio.CancelledError:
                _fail_all(batch, ServerBusy("the server is stopping", loading=True))
                raise
            if isinstance(answer, str):
                _fail_all(batch, DetectorFailed(answer))
                continue
            took_s = time.perf_counter() - start_s
            rate = _n_tokens(batch) / max(took_s, 1e-6) * max(self.n_ready, 1)
            self._tokens_per_s += (rate - self._tokens_per_s) * (0.1 if self._tokens_per_s else 1.0)
            self.on_batch(len(answer), took_s)
            start = 0
            for piece in batch:
                stop = start + len(piece.posts.texts)
                if not piece.answer.done():
                    piece.answer.set_result(answer[start:stop])
                start = stop


def tokens_guessed(text: str | None) -> int:
    """Guess how many tokens a post costs, without a tokenizer: a third of its bytes, cut at 256.

    >>> tokens_guessed("so good to see you"), tokens_guessed("今天天气很好"), tokens_guessed(None)
    (10, 10, 4)
    """
    return 4 + min(252, len((text or "")[:1_024].encode("utf-8", "replace")) // 3)


def _turns(posts: Posts) -> list[_Piece]:
    """Cut a request into pieces."""
    starts: list[int] = []
    n_tokens: list[int] = []
    for i, text in enumerate(posts.texts):
        cost = tokens_guessed(text)
        if starts and i - starts[-1] < _TURN_POSTS and n_tokens[-1] + cost <= _TURN_TOKENS:
            n_tokens[-1] += cost
        else:
            starts.append(i)
            n_tokens.append(cost)
    codes = posts.languages or [None] * len(posts.texts)
    loop = asyncio.get_running_loop()
    return [
        _Piece(Posts(posts.texts[i:j], codes[i:j], posts.max_fpr), n, loop.create_future())
        for i, j, n in zip(starts, [*starts[1:], len(codes)], n_tokens, strict=True)
    ]


def _together(batch: Sequence[_Piece]) -> Posts:
    parts = [piece.posts for piece in batch]
    texts = list(chain.from_iterable(part.texts for part in parts))
    codes = list(chain.from_iterable(part.languages or () for part in parts))
    return Posts(texts, codes, parts[0].max_fpr)


def _n_posts(pieces: Iterable[_Piece]) -> int:
    return sum(len(piece.posts.texts) for piece in pieces)


def _n_tokens(pieces: Iterable[_Piece]) -> int:
    return sum(piece.n_tokens for piece in pieces)


def _fail_all(pieces: Iterable[_Piece], error: TextdetectError) -> None:
    """Answer with an error where there is no answer yet, and somebody waits for it."""
    for piece in pieces:
        if not piece.answer.done():
            piece.answer.set_exception(error)
