"""Judging rows in order, in this process or in others, where one that dies costs nothing.

It knows nothing of formats, nor of where the verdicts go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final

from textdetect.bulk.inputs import Piece
from textdetect.bulk.process import DetectorProcess, Posts, packed, predict
from textdetect.errors import DetectorFailed
from textdetect.model.runtimes.host import available_cores
from textdetect.posts.rows import Row
from textdetect.posts.scored import Verdicts

if TYPE_CHECKING:
    from textdetect.model.client import Client
    from textdetect.model.detector import Detector

MAX_DEATHS: Final = 3
"""Worker processes that a chunk may take with it, or that may die before they are ready."""


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
            yield piece, predict(self._detector, _posts(piece.chunk.rows, self._max_fpr))


@dataclass(slots=True, eq=False)
class Job:
    """A piece on its way; `verdicts` is None until it is judged."""

    piece: Piece
    posts: Posts
    verdicts: Verdicts | None = None
    n_deaths: int = 0


class WorkerDied(Exception):
    """A worker is gone; the message says what is known of the cause."""


class Pool(Judge):
    """Rows → verdicts by several workers, whatever they are; a subclass brings them.

    At most two chunks a worker are held, and one more, so that memory stays flat. A chunk that was
    with a worker that died is given to another; the rows of one that three workers die of become
    unreadable. Workers begin with the first rows and end with the context.

    A worker has `ready`: whether its detector is loaded; `job`: what it is at, or None; and `load`,
    `ask`, `answer` and `stop`. Of these, `ask` and `answer` raise WorkerDied.

    Raises:
        InvalidInput: a detector that can't be sent to another process.
        DetectorFailed: the detector raised, or workers die before it is loaded.
    """

    _n: int

    def __init__(self, detector: Detector | Client, max_fpr: float) -> None:
        super().__init__(detector, max_fpr)
        self._todo: deque[Job] = deque()
        self._workers: list[Any] = []
        self._n_failed_starts = 0
        self._payload = packed(detector)

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def judge(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Verdicts]]:
        coming: Iterator[Piece] | None = iter(pieces)
        held: deque[Job] = deque()
        while coming is not None or held:
            full = coming is None or len(held) > 2 * self._n
            self._exchange(block=full and held[0].verdicts is None)
            if held and held[0].verdicts is not None:
                job = held.popleft()
                yield job.piece, job.verdicts or self._none
            elif not full and coming is not None:
                try:
                    held.append(self._take(next(coming)))
                except StopIteration:
                    coming = None

    def _take(self, piece: Piece) -> Job:
        job = Job(piece, _posts(piece.chunk.rows, self._max_fpr))
        if not job.posts.texts:
            job.verdicts = self._none
            return job
        self._todo.append(job)
        if not self._workers:
            self._workers = [self._start() for _ in range(self._n)]
            for worker in self._workers:  # all are started first: each takes a while to read
                worker.load()
        return job

    def _start(self) -> Any:
        """Start a worker, which loads nothing yet."""
        raise NotImplementedError

    def _answered(self, busy: Sequence[Any], *, block: bool) -> Iterable[Any]:
        """Give the workers that have answered; `block`: wait for one, if only for a while."""
        raise NotImplementedError

    def _exchange(self, *, block: bool) -> None:
        """Give jobs to idle workers and take what is answered; `block`: wait for an answer."""
        self._give()
        busy = [worker for worker in self._workers if worker.job is not None or not worker.ready]
        for worker in self._answered(busy, block=block) if busy else ():
            try:
                answer = worker.answer()
            except WorkerDied as death:
                self._replace(worker, death)
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
                    worker.ask(worker.job.posts)
                except WorkerDied as death:
                    self._replace(worker, death)

    def _replace(self, worker: Any, death: WorkerDied) -> None:
        """Start another worker for one that died, and think of its job."""
        self.n_deaths += 1
        self._n_failed_starts += not worker.ready
        if self._n_failed_starts >= MAX_DEATHS:
            raise DetectorFailed(f"worker processes die before the detector is loaded ({death})")
        if worker.job is not None:
            self._put_back(worker.job)
        other = self._start()
        self._workers[self._workers.index(worker)] = other
        other.load()

    def _put_back(self, job: Job) -> None:
        job.n_deaths += 1
        if job.n_deaths < MAX_DEATHS:
            self._todo.appendleft(job)
            return
        for row in job.piece.chunk.rows:
            row.problem = row.problem or f"its chunk ended a worker process {MAX_DEATHS} times"
        job.verdicts = self._none


class _Process(DetectorProcess):
    """A process of this machine."""

    ready = False
    job: Job | None = None

    def ask(self, posts: Posts) -> None:
        try:
            self.connection.send(posts)
        except OSError:
            raise self._died() from None

    def answer(self) -> Verdicts | str | None:
        try:
            answer: Verdicts | str | None = self.connection.recv()
        except (EOFError, OSError):
            raise self._died() from None
        return answer

    def _died(self) -> WorkerDied:
        self.stop()
        return WorkerDied(
            f"exit code {self.process.exitcode}: too little memory, or a script without "
            '`if __name__ == "__main__":`? Ask for fewer workers, or for 1, which starts none'
        )


class Workers(Pool):
    """`n` processes of their own ("spawn"), with a share of the cores each; see `Pool`."""

    def __init__(self, detector: Detector | Client, max_fpr: float, n: int) -> None:
        super().__init__(detector, max_fpr)
        self._n, self._threads = n, max(1, available_cores() // n)

    def _start(self) -> Any:
        return _Process(self._payload, self._threads)

    def _answered(self, busy: Sequence[_Process], *, block: bool) -> Iterable[Any]:
        by_connection: dict[Any, _Process] = {worker.connection: worker for worker in busy}
        return [by_connection[c] for c in wait(list(by_connection), None if block else 0)]


def _posts(rows: Sequence[Row], max_fpr: float) -> Posts:
    """Return the posts of the rows that can be read."""
    rows = [row for row in rows if row.problem is None]
    languages = [row.language for row in rows] if any(row.language for row in rows) else None
    return Posts([row.text for row in rows], languages, max_fpr)
