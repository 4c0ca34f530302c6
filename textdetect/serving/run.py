"""Starting a server, and stopping it so that no request is lost: sockets, signals, logs."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput, TextdetectError
from textdetect.model.runtimes.host import return_freed_memory
from textdetect.serving.settings import Limits

if TYPE_CHECKING:
    from textdetect.model.detector import Detector
    from textdetect.serving.engine import Engine
    from textdetect.serving.keys import Keys

logger = logging.getLogger(__name__)

_MAX_HEADERS = 64 * 1024
_STEP_S = 0.05
_GRACE_S = 0.5
"""After the last answer, so that whoever is just about to ask is told 503."""


def serve(
    detector: Detector,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int | None = None,
    max_fpr: float = 0.01,
    limits: Limits | None = None,
    keys: str | None = None,
    allow_anonymous: bool = False,
) -> None:
    """Serve a detector over HTTP until SIGTERM or SIGINT; SIGHUP reads the keys again.

    Args:
        detector: what answers; it is loaded once in each worker.
        host, port: where to listen.
        workers: processes that judge; None: the cores that this process may use.
        max_fpr: the rate where a request names none, in (0, 1).
        limits: bounds of requests and of the queue.
        keys: file of API keys; see `serving.keys.Keys`.
        allow_anonymous: listen beyond this machine without keys.

    Raises:
        InvalidInput: an option that can't be, among them a public address without keys.
        MissingDependency: without the extra `server`.
        OSError: the address is taken, or is none.
    """
    for module in ("fastapi", "granian", "prometheus_client", "structlog"):
        require(module, extra="server")
    from textdetect.serving.engine import Engine
    from textdetect.serving.keys import Keys

    if not (keys or allow_anonymous or _is_local(host)):
        raise InvalidInput(
            f"{host} can be reached from other machines: name a file of API keys (--keys), or say "
            "that anyone may ask (--allow-anonymous)"
        )
    _check_free(host, port)
    _log_as_json()
    limits = limits or Limits()
    most, wait_s = limits.queued_posts, limits.wait_s
    engine = Engine(detector, workers=workers, max_fpr=max_fpr, queued_posts=most, wait_s=wait_s)
    del detector  # the workers have their own: unless the caller keeps it, its memory goes back
    return_freed_memory()
    asyncio.run(_serve(engine, host, port, limits, Keys(keys) if keys else None))


async def _serve(engine: Engine, host: str, port: int, limits: Limits, keys: Keys | None) -> None:
    from textdetect.serving.app import create_app

    app = create_app(engine, limits=limits, keys=keys)
    server = _granian(app.state.guard, host, port, limits)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, told.set)
    if keys is not None and hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, keys.reload)
    serving = asyncio.create_task(server.serve())
    stop = asyncio.create_task(told.wait())
    while not (engine.n_ready or serving.done() or stop.done()):
        await asyncio.sleep(_STEP_S)
    if engine.n_ready and not serving.done():
        logger.info("ready", extra={"address": f"http://{host}:{port}", "model": engine.model.name})
    await asyncio.wait((serving, stop), return_when=asyncio.FIRST_COMPLETED)
    await _drain(app, limits.drain_s)
    server.stop()
    stop.cancel()
    try:
        await serving
    except Exception as error:
        raise TextdetectError(f"the HTTP server ended: {type(error).__name__}") from error


async def _drain(app: Any, most_s: float) -> None:
    """Let no request in, and wait for those that are."""
    service, guard = app.state.service, app.state.guard
    service.stopping = guard.closing = True
    logger.info("stopping", extra={"n_running": guard.n_running})
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await asyncio.sleep(_GRACE_S)
            while guard.n_running:
                await asyncio.sleep(_STEP_S)


def _granian(app: Any, host: str, port: int, limits: Limits) -> Any:
    """Make the HTTP server, in this process."""
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    return Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=limits.connections,
        backpressure=limits.connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(limits.header_s * 1_000), max_buffer_size=_MAX_HEADERS
        ),
        log_enabled=False,
    )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_free(host: str, port: int) -> None:
    """Raise OSError where nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{host}:{port}") from error


def _log_as_json() -> None:
    """Write this package's log as JSON lines on stderr, without tracebacks: they may hold texts."""
    structlog = require("structlog", extra="server")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.EventRenamer("message"),
            ],
            processor=structlog.processors.JSONRenderer(),
        )
    )
    package = logging.getLogger("textdetect")
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    package.propagate = False
    for name in ("granian", "_granian", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
