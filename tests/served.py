"""A server in a process of its own, for tests: started, found ready, ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass
class Served:
    """A running server.

    Attributes:
        log: what it has written on stderr is in this file.
    """

    port: int
    process: subprocess.Popen[str]
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Send a request: its status, its JSON (or text), its headers.

        Sent again where the server had answered and hung up before it read all of a long body.
        """
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=raw)
        if raw is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (self.headers | headers).items():
            request.add_header(name.replace("_", "-"), value)
        for attempt in range(5):
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return response.status, _read(response.read()), response.headers
            except urllib.error.HTTPError as error:
                return error.code, _read(error.read()), error.headers
            except urllib.error.URLError as error:
                if attempt == 4 or not isinstance(error.reason, BrokenPipeError):
                    raise
        raise AssertionError("unreachable")

    def memory_mb(self) -> float:
        """Give what the HTTP process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def workers(self) -> list[int]:
        """Give the process ids of its workers, which are what is spawned beside the tracker."""
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                with suppress(OSError):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if b"spawn_main" in command:
                        found.append(int(pid))
        return found

    def wait_ready(self, most_s: float = 120.0) -> None:
        """Wait until it may be asked."""
        self.wait_until(lambda: self.ask("/health/ready")[0] == 200, most_s)

    def wait_until(self, holds: Callable[[], bool], most_s: float = 60.0) -> None:
        """Wait until a condition holds, asking again and again, as long as the server runs."""
        deadline_s = time.monotonic() + most_s
        while time.monotonic() < deadline_s and self.process.poll() is None:
            with suppress(OSError):
                if holds():
                    return
            time.sleep(0.02)
        raise AssertionError(f"it does not hold: {self.log.read_text()[-2_000:]}")


@contextmanager
def served(folder: Path, *options: str, headers: dict[str, str] | None = None) -> Iterator[Served]:
    """Run `textdetect serve` with options."""
    code = "from textdetect.cli import main; main()"
    with _running(folder, [sys.executable, "-c", code, "serve"], options, headers) as server:
        yield server


@contextmanager
def stubbed(folder: Path, *options: str) -> Iterator[Served]:
    """Run a server of a stub; see stub_server.py."""
    command = [sys.executable, str(HERE / "stub_server.py")]
    with _running(folder, command, options, None) as server:
        yield server


@contextmanager
def _running(
    folder: Path, command: list[str], options: tuple[str, ...], headers: dict[str, str] | None
) -> Iterator[Served]:
    port = free_port()
    log = folder / f"server-{port}.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port), *options],
            stdout=stream,
            stderr=stream,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    server = Served(port, process, log, headers or {})
    try:
        server.wait_ready()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
