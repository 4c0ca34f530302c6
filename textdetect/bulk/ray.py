"""Judging rows by the workers of a Ray cluster: this machine's, or many machines'.

The process that asks reads and writes, as with local workers, so that the output, its manifest and
`resume` are the same; only posts and verdicts travel. It knows nothing of formats, nor of where the
verdicts go.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from textdetect._ground.optional import require
from textdetect._ground.version import __version__
from textdetect.bulk.process import Posts, answer_to
from textdetect.bulk.workers import Job, Pool, WorkerDied
from textdetect.model.runtimes.host import share_cores
from textdetect.posts.scored import Verdicts

if TYPE_CHECKING:
    from textdetect.model.detector import Detector

logger = logging.getLogger(__name__)

_PATIENCE_S: Final = 60
CORES: Final = 1
"""Processor cores of a worker: two workers with one are faster than one with two."""


class RayWorkers(Pool):
    """Ray actors with one detector each; see `Pool`.

    On entering it joins the cluster that this program has joined already, or that RAY_ADDRESS names
    or that was started on this machine, and starts one here otherwise, without telemetry.

    Args:
        n: workers; None takes the cores of the cluster, or its GPUs where the detector is on one.

    Raises:
        MissingDependency: without the extra `ray`.
    """

    def __init__(self, detector: Detector, max_fpr: float, n: int | None) -> None:
        super().__init__(detector, max_fpr)
        self._ray = require("ray", extra="ray")
        self._identity = _identity(detector)
        self._needs = _needs(detector)
        self._asked, self._n = n, n or 1
        self._joined = False
        self._actor: Any = None

    def __enter__(self) -> RayWorkers:
        if not self._ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            self._ray.init(log_to_driver=False, logging_level=logging.ERROR)
            self._joined = True
        kind = "GPU" if "num_gpus" in self._needs else "CPU"
        self._n = self._asked or max(1, int(self._ray.cluster_resources().get(kind, 0)))
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers, and leave the cluster if it was joined here."""
        super().__exit__()
        self._actor = None
        if self._joined:
            self._ray.shutdown()
            self._joined = False

    def _start(self) -> Any:
        if self._actor is None:
            # A worker that dies is not restarted by Ray: its chunk may be why, and is counted here.
            options = {**self._needs, "max_restarts": 0, "max_task_retries": 0}
            self._actor = self._ray.remote(**options)(_Holder)
            self._where = self._ray.put(self._payload)
        return _Actor(self._ray, self._actor.remote(self._where), self._identity)

    def _answered(self, busy: Sequence[_Actor], *, block: bool) -> Iterable[Any]:
        coming = {worker.coming: worker for worker in busy}
        done, _ = self._ray.wait(list(coming), timeout=_PATIENCE_S if block else 0)
        if block and not done:
            free = self._ray.available_resources().get("CPU", 0)
            said = "no answer for %d s from %d workers; the cluster has %g cores free"
            logger.warning(said, _PATIENCE_S, len(busy), free)
        return [coming[answer] for answer in done]


class _Actor:
    """An actor of the cluster, as the asking process knows it."""

    ready = False
    job: Job | None = None

    def __init__(self, ray: Any, actor: Any, identity: tuple[str, ...]) -> None:
        self._ray, self._actor, self._identity = ray, actor, identity

    def load(self) -> None:
        self.coming = self._actor.load.remote()

    def ask(self, posts: Posts) -> None:
        self.coming = self._actor.judge.remote(posts)

    def answer(self) -> Any:
        try:
            answer = self._ray.get(self.coming)
        except self._ray.exceptions.RayError as error:
            raise WorkerDied(type(error).__name__) from error
        if self.ready or isinstance(answer, str) or answer == self._identity:
            return answer
        return (
            f"a worker has another detector ({', '.join(answer)}) than this process "
            f"({', '.join(self._identity)}): install the same version, and choose a "
            "runtime that all processors of the cluster have"
        )

    def stop(self) -> None:
        self._ray.kill(self._actor)


class _Holder:
    """What runs in an actor."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def load(self) -> tuple[str, ...] | str:
        """Load the detector; returns what it is, or what went wrong."""
        share_cores(CORES)
        try:
            self._detector: Detector = pickle.loads(self._payload)  # noqa: S301 - of the asking process
        except Exception as error:  # noqa: BLE001 - whatever it is, the asking process raises it
            return f"a worker can't load the detector: {type(error).__name__}: {error}"
        return _identity(self._detector)

    def judge(self, posts: Posts) -> Verdicts | str:
        return answer_to(posts, self._detector)


def _identity(detector: Detector) -> tuple[str, ...]:
    return f"textdetect {__version__}", detector.fingerprint, detector.runtime.numerics


def _needs(detector: Detector) -> dict[str, int]:
    """Tell what Ray must set aside for a worker."""
    on_gpu = "cuda" in detector.runtime.numerics
    return {"num_cpus": CORES} | ({"num_gpus": 1} if on_gpu else {})
