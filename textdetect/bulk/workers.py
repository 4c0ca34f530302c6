"""Judging rows in order, in this process or in others, where one that dies costs nothing.

It knows nothing of formats, nor of where the verdicts go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

from textdetect.bulk.inputs import End, Rows
from textdetect.bulk.process import DetectorProcess, Posts, packed, predict
from textdetect.errors import DetectorFailed
from textdetect.posts.rows import Chunk
from textdetect.runtimes.host import available_cores
from textdetect.types import Verdicts

if TYPE_CHECKING:
    from textdetect.client import Client
    from textdetect.detector import Detector

MAX_DEATHS: Final = 3
"""Worker processes that a chunk may take with it, or that may die before they are ready."""

Piece = TypeVar("Piece", bound=Rows | End)


class Judge:
    """Rows → verdicts, in this process; its rate, and what that raises, as `Detector.predict`.

    Attributes:
        n_deaths: worker processes that died.
    """

    def __init__(self, detector: Detector | Client, max_fpr: float) -> None:
        self._detector, self._max_fpr = detector, max_fpr
        self._none = detector.predict([], max_fpr=max_fpr)
        self.n_deaths = 0

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: nothing was started."""

    def judge(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Verdicts]]:
        """Yield each piece, in order, with the verdicts on its readable rows."""
        for piece in pieces:
            yield piece, predict(self._detector, _posts(_chunk(piece), self._max_fpr))


@dataclass(slots=True, eq=False)
class Job:
    """A chunk on its way; `verdicts` is None until it is judged."""

    chunk: Chunk
    posts: Posts
    verdicts: Verdicts | None = None
    n_deaths: int = 0


class Pool(Judge):
    """Rows → verdicts by several workers, whatever they are; a subclass brings them.

    At most two chunks a worker are held, and one more, so that memory stays flat. A chunk that was
    with a worker that died is given to another; the rows of one that three workers die of become
    unreadable. Workers begin with the first rows and end with the context.

    Raises:
        InvalidInput: a detector that can't be sent to another process.
        DetectorFailed: the detector raised, or workers die before it is loaded.
    """

    _n: int

    def __init__(self, detector: Detector | Client, max_fpr: float) -> None:
        super().__init__(detector, max_fpr)
        self._todo: deque[Job] = deque()
        self._n_failed_starts = 0
        self._payload = packed(detector)

    def judge(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Verdicts]]:
        coming: Iterator[Piece] | None = iter(pieces)
        held: deque[tuple[Piece, Job]] = deque()
        while coming is not None or held:
            full = coming is None or len(held) > 2 * self._n
            self._exchange(block=full and held[0][1].verdicts is None)
            if held and held[0][1].verdicts is not None:
                piece, job = held.popleft()
                yield piece, job.verdicts or self._none
            elif not full and coming is not None:
                try:
                    held.append(self._take(next(coming)))
                except StopIteration:
                    coming = None

    def _take(self, piece: Piece) -> tuple[Piece, Job]:
        chunk = _chunk(piece)
        job = Job(chunk, _posts(chunk, self._max_fpr))
        if job.posts.texts:
            self._todo.append(job)
            self._begin()
        else:
            job.verdicts = self._none
        return piece, job

    def _begin(self) -> None:
        """Start the workers, unless they are there."""
        raise NotImplementedError

    def _exchange(self, *, block: bool) -> None:
        """Give chunks to idle workers and take what is answered; `block`: wait for an answer."""
        raise NotImplementedError

    def _mourn(self, job: Job | None, *, ready: bool, cause: str) -> None:
        """Count a worker that died, and think of its chunk."""
        self.n_deaths += 1
        self._n_failed_starts += not ready
        if self._n_failed_starts >= MAX_DEATHS:
            raise DetectorFailed(f"worker processes die before the detector is loaded ({cause})")
        if job is None:
            return
        job.n_deaths += 1
        if job.n_deaths < MAX_DEATHS:
            self._todo.appendleft(job)
            return
        for row in job.chunk.rows:
            row.problem = row.problem or f"its chunk ended a worker process {MAX_DEATHS} times"
        job.verdicts = self._none


class _Worker(DetectorProcess):
    """A process, and the chunk that it is at."""

    ready = False
    job: Job | None = None


class Workers(Pool):
    """`n` processes of their own ("spawn"), with a share of the cores each; see `Pool`."""

    def __init__(self, detector: Detector | Client, max_fpr: float, n: int) -> None:
        super().__init__(detector, max_fpr)
        self._n, self._threads = n, max(1, available_cores() // n)
        self._workers: list[_Worker] = []

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def _begin(self) -> None:
        if not self._workers:
            self._workers = [self._start() for _ in range(self._n)]
            for worker in self._workers:  # all are started first: each takes a while to read
                worker.load()

    def _start(self) -> _Worker:
        return _Worker(self._payload, self._threads)

    def _exchange(self, *, block: bool) -> None:
        self._give()
        busy: dict[Any, _Worker] = {
            w.connection: w for w in self._workers if w.job is not None or not w.ready
        }
        for connection in wait(list(busy), None if block else 0) if busy else ():
            worker = busy[connection]
            try:
                answer = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker)
                continue
            if isinstance(answer, str):
                raise DetectorFailed(answer)
            if worker.job is None:
                worker.ready, self._n_failed_starts = True, 0
            else:
                worker.job.verdicts, worker.job = answer, None
        self._give()

    def _give(self) -> None:
        for worker in list(self._workers):
            if self._todo and worker.ready and worker.job is None:
                worker.job = self._todo.popleft()
                try:
                    worker.connection.send(worker.job.posts)
                except OSError:
                    self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        """Start another worker for one that died."""
        worker.stop()
        self._mourn(
            worker.job,
            ready=worker.ready,
            cause=f"exit code {worker.process.exitcode}: too little memory, or a script without "
            '`if __name__ == "__main__":`? Ask for fewer workers, or for 1, which starts none',
        )
        other = self._start()
        self._workers[self._workers.index(worker)] = other
        other.load()


def _posts(chunk: Chunk, max_fpr: float) -> Posts:
    """Return the posts of a chunk's readable rows."""
    rows = [row for row in chunk.rows if row.problem is None]
    languages = [row.language for row in rows] if any(row.language for row in rows) else None
    return Posts([row.text for row in rows], languages, max_fpr)


def _chunk(piece: Rows | End) -> Chunk:
    return piece.chunk if isinstance(piece, Rows) else Chunk([])
