"""What a server counts, for Prometheus: never a text, never an account's name."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from textdetect.posts.scored import Verdicts
from textdetect.serving.engine import Engine

_LATENCY_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_POSTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server, whose engine is watched, in a registry of their own."""

    def __init__(self, engine: Engine) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        told = "Requests answered; 499: the client left."
        self._requests = counter("textdetect_requests", told, ("path", "status"))
        told = "From a request's headers to its last byte."
        named = "textdetect_request_seconds"
        self._latency = histogram(named, told, ("path",), buckets=_LATENCY_S)
        told = "Posts judged, by label and by why they are uncertain."
        self._posts = counter("textdetect_posts", told, ("label", "reason"))
        batch = histogram("textdetect_batch_posts", "Posts in a batch.", buckets=_POSTS)
        told = "A batch's time in its worker."
        batch_s = histogram("textdetect_batch_seconds", told, buckets=_LATENCY_S)
        restarts = counter("textdetect_worker_restarts", "Workers that ended.")

        def on_batch(n_posts: int, took_s: float) -> None:
            batch.observe(n_posts)
            batch_s.observe(took_s)

        engine.on_batch, engine.on_restart = on_batch, restarts.inc
        gauge = partial(Gauge, registry=self._registry)
        waiting = gauge("textdetect_waiting_posts", "Posts in the queue.")
        waiting.set_function(lambda: engine.n_waiting)
        gauge("textdetect_wait_seconds", "Of the queue.").set_function(engine.expected_wait_s)
        gauge("textdetect_workers_ready", "Workers.").set_function(lambda: engine.n_ready)

    def request(self, path: str, status: int, took_s: float) -> None:
        """Count a request."""
        self._requests.labels(path, status).inc()
        self._latency.labels(path).observe(took_s)

    def verdicts(self, verdicts: Verdicts) -> None:
        """Count posts by what was said of them."""
        for label, reason in zip(verdicts.label, verdicts.reason, strict=True):
            self._posts.labels(label, reason or "").inc()

    def text(self) -> bytes:
        """Give all of them in Prometheus' format."""
        return generate_latest(self._registry)
