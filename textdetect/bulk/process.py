"""A process of its own that holds a detector and judges what it is sent, until nothing comes.

It knows nothing of who asks, nor of what is done with one that died.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from textdetect.errors import DetectorFailed, InvalidInput
from textdetect.model.judgement import Judge
from textdetect.model.runtimes.host import share_cores
from textdetect.posts.scored import Verdicts


class Posts(NamedTuple):
    """What a process is asked to judge.

    Attributes:
        texts: None is an empty post.
        languages: of each, None identifies it; or None for all.
        max_fpr: see `Detector.predict`.
    """

    texts: Sequence[str | None]
    languages: Sequence[str | None] | None
    max_fpr: float


def packed(detector: Judge) -> bytes:
    """Pickle a detector, to be sent to processes; raises InvalidInput where it can't be."""
    try:
        return bytes(ForkingPickler.dumps(detector))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidInput(
            "this detector can't be sent to worker processes (a lambda in it?): make it of "
            "what can be pickled, or ask for workers=1"
        ) from error


class DetectorProcess:
    """A spawned process that loads a detector once and judges one lot of posts after the other.

    Its connection gives None when the detector is loaded, then for each `Posts` that is sent the
    `Verdicts`, or a str that says what went wrong. Where the process died, it raises EOFError or
    OSError.

    Args:
        payload: see `packed`.
        threads: cores that it may use.
    """

    def __init__(self, payload: bytes, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._payload = payload
        self.process = context.Process(target=_work, args=(theirs, threads), daemon=True)
        with _interrupts_held():
            self.process.start()
        theirs.close()  # or its death would not close the pipe

    def load(self) -> None:
        """Send it the detector; where it has died already, its answer will show that."""
        with suppress(OSError):
            self.connection.send_bytes(self._payload)

    def wait_loaded(self) -> None:
        """Send it the detector and wait until it is loaded; DetectorFailed says why it can't be."""
        self.load()
        if (wrong := self.connection.recv()) is not None:
            raise DetectorFailed(str(wrong))

    def judge(self, posts: Posts, most_s: float) -> Verdicts | str:
        """Let it judge posts; EOFError where it says nothing for so long."""
        self.connection.send(posts)
        if not self.connection.poll(most_s):
            raise EOFError
        answer: Verdicts | str = self.connection.recv()
        return answer

    def kill(self) -> None:
        """End the process, which has nothing to lose; a thread that waits for it gets EOFError."""
        self.process.kill()
        self.process.join()

    def stop(self) -> None:
        """End the process, for whom no thread waits."""
        self.kill()
        self.connection.close()


def predict(detector: Judge, posts: Posts) -> Verdicts:
    """Judge posts in this process."""
    return detector.predict(
        posts.texts, max_fpr=posts.max_fpr, language=posts.languages, progress=False
    )


def _work(connection: Connection, threads: int) -> None:
    """Take the detector, then judge what comes until nothing does, as when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    share_cores(threads)
    tqdm.set_lock(threading.RLock())  # its own is one of the system's, which a kill would leave
    try:
        detector = connection.recv()
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
        _answer(connection, f"a worker can't load the detector: {type(error).__name__}: {error}")
        return
    answer: Verdicts | str | None = None
    while _answer(connection, answer):
        try:
            posts = connection.recv()
        except (EOFError, OSError):
            return
        answer = answer_to(posts, detector)


def answer_to(posts: Posts, detector: Judge) -> Verdicts | str:
    """Judge posts in a worker: verdicts, or what went wrong."""
    try:
        return predict(detector, posts)
    except Exception as error:  # noqa: BLE001 - anyone's code, and its message may hold a text
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"the detector raised {type(error).__name__} in a worker process "
            f"({Path(place.filename).name}, line {place.lineno}); workers=1 shows all of it"
        )


def _answer(connection: Connection, answer: Verdicts | str | None) -> bool:
    try:
        connection.send(answer)
    except OSError:  # the parent is gone
        return False
    return True


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let what is started here not hear of Ctrl-C: its parent does, and ends it."""
    if sys.platform == "win32":  # it has no masks
        yield
        return
    resource_tracker.ensure_running()  # or starting it would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
