"""What is slow, huge, endless or broken ends in its status and in time; others are served."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import time
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from load import load, request
from served import Served, stubbed

pytest.importorskip("granian")
pytestmark = pytest.mark.slow

LIMITS = {
    "body_s": 1.0,
    "header_s": 1.5,
    "body_bytes": 1_000_000,
    "posts": 100,
    "characters": 5_000,
}
POSTS = {"posts": [{"text": "so good to see you all again"}]}
HEAD = b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("hostile")
    with stubbed(folder, "--limits", json.dumps(LIMITS)) as running:
        yield running


def _raw(
    server: Served, parts: Iterable[bytes], *, pause_s: float = 0.0, most_s: float = 10.0
) -> tuple[int, float]:
    """Send parts as they are: the answer's status (0: closed without one), and its time."""
    start_s = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port), timeout=most_s) as there:
        got = b""
        there.setblocking(True)
        try:
            for part in parts:
                there.sendall(part)
                if pause_s:
                    there.settimeout(pause_s)
                    with suppress(TimeoutError):
                        got = there.recv(4_096)
                        break
            there.settimeout(most_s)
            got = got or there.recv(4_096)
        except (ConnectionError, BrokenPipeError):
            with suppress(OSError):
                got = got or there.recv(4_096)
    took_s = time.perf_counter() - start_s
    return (int(got.split(b" ", 2)[1]) if got.startswith(b"HTTP") else 0), took_s


def _fine(server: Served) -> None:
    start_s = time.perf_counter()
    assert server.ask("/v1/score", POSTS)[0] == 200
    assert time.perf_counter() - start_s < 1.0


def test_slow_headers_are_cut(server: Served) -> None:
    status, took_s = _raw(server, [b"P", b"O", b"S", b"T", *[b"x"] * 60], pause_s=0.1)
    assert status in (0, 408)
    assert took_s < 4
    _fine(server)


def test_slow_bodies_are_cut(server: Served) -> None:
    parts = [HEAD + b"content-length: 500\r\n\r\n", *[b"{"] * 60]
    status, took_s = _raw(server, parts, pause_s=0.1)
    assert status == 408
    assert took_s < 3
    _fine(server)


def test_a_ten_gigabyte_chunked_body_ends_at_the_bound(server: Served) -> None:
    block = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield HEAD + b"transfer-encoding: chunked\r\n\r\n"
        while sent < 10 * 2**30:
            sent += 65_536
            yield block

    before_mb = server.memory_mb()
    status, took_s = _raw(server, endless())
    assert status in (0, 413)
    assert sent < 200 * 2**20
    assert took_s < 5
    assert server.memory_mb() - before_mb < 50
    announced = HEAD + f"content-length: {10 * 2**30}\r\n\r\n".encode()
    assert _raw(server, [announced])[0] == 413
    _fine(server)


def test_a_client_that_sends_somewhat_too_much_is_told_why(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as there:
        there.sendall(HEAD + b"content-length: 1500000\r\n\r\n")
        for _ in range(30):  # none of which may find the connection closed
            there.sendall(b"x" * 50_000)
            time.sleep(0.01)
        assert there.recv(4_096).startswith(b"HTTP/1.1 413")


def test_a_zip_bomb_is_not_unpacked(server: Served) -> None:
    squeeze = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeeze.compress(b"\0" * 2**24) for _ in range(64)) + squeeze.flush()
    before_mb = server.memory_mb()
    status, said, _ = server.ask("/v1/score", bomb[:900_000], Content_Encoding="gzip")
    assert (status, said["error"]["type"]) == (413, "too_large")
    assert server.memory_mb() - before_mb < 50
    packed = gzip.compress(json.dumps(POSTS).encode())
    assert server.ask("/v1/score", packed, Content_Encoding="gzip")[0] == 200
    assert server.ask("/v1/score", b"no gzip", Content_Encoding="gzip")[0] == 422
    assert server.ask("/v1/score", b"x", Content_Encoding="br")[0] == 415


def test_a_thousand_idle_connections_do_not_keep_others_out(server: Served) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1_000)]
    try:
        for _ in range(5):
            _fine(server)
        time.sleep(3)  # by then they were silent for longer than `header_s`
        closed = 0
        for each in idle:
            each.settimeout(0.2)
            with suppress(TimeoutError):
                try:
                    while each.recv(1_000):
                        pass
                    closed += 1
                except ConnectionError:
                    closed += 1
        assert closed == 1_000
    finally:
        for each in idle:
            each.close()
    _fine(server)


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b"nonsense\r\n\r\n", (0, 400)),
        (b"GET / HTTP/9.9\r\n\r\n", (0, 400, 505)),
        (b"\x16\x03\x01\x02\x00\x01\x00", (0, 400)),
        (b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n", (0, 400)),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 9\r\n\r\nabc",
            (0, 400),
        ),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n", (0, 400)),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", (0, 400, 414, 431)),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 20_000 + b"\r\n", (0, 400, 431)),
    ],
    ids=["words", "version", "tls", "negative", "twice", "chunk", "path", "headers"],
)
def test_malformed_http_is_refused(server: Served, raw: bytes, statuses: tuple[int, ...]) -> None:
    status, took_s = _raw(server, [raw])
    assert status in statuses
    assert took_s < 4
    _fine(server)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"posts": [{"text": NaN}]}', 422),
        (b'{"posts": [{"text": "a"}], "max_fpr": Infinity}', 422),
        (b'{"posts": [{"text": "\\ud800"}]}', 422),
        (b'{"posts": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 422),
        (b"", 422),
        (b"null", 422),
        (b"\xff\xfe", 422),
        (b'{"posts": []}', 200),
        (json.dumps({"posts": [{"text": "a"}] * 101}).encode(), 413),
        (json.dumps({"posts": [{"text": "a" * 5_001}]}).encode(), 413),
        (b'{"posts": [{"text": "' + b"a" * 1_000_000 + b'"}]}', 413),
        (b'{"posts": [{"text": "a", "txt": "b"}]}', 422),
        (b'{"posts": [{"text": "a"}], "max_fpr": "0.01"}', 422),
        (b'{"posts": [{"text": "a"}], "max_fpr": 1e400}', 422),
    ],
)
def test_bodies_that_cannot_be_are_told_so(server: Served, body: bytes, status: int) -> None:
    start_s = time.perf_counter()
    for path in ("/v1/score",):
        found, said, _ = server.ask(path, body)
        assert found == status
        assert status == 200 or set(said["error"]) == {"type", "message", "param", "code"}
    assert time.perf_counter() - start_s < 2
    assert server.ask("/v1/score", b"x", Content_Type="text/csv")[0] == 415
    assert server.ask("/v1/score")[0] == 405
    assert server.ask("/nothing")[0] == 404


def test_a_client_that_leaves_frees_its_place(tmp_path: Path) -> None:
    with stubbed(tmp_path, "--post-ms", "10", "--limits", '{"wait_s": 60}') as server:
        posts = [{"text": f"so good to see you all again, {i}"} for i in range(900)]
        body = json.dumps({"posts": posts}).encode()
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as there:
                there.sendall(HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body)
                time.sleep(0.3)
        server.wait_until(lambda: 'status="499"} 3.0' in server.ask("/metrics")[1])
        start_s = time.perf_counter()
        assert server.ask("/v1/score", POSTS)[0] == 200
        assert time.perf_counter() - start_s < 2  # 27 s of posts had been asked for


def test_a_killed_worker_costs_errors_and_no_hang(tmp_path: Path) -> None:
    asked = [request(["so good to see you all again"])]
    with stubbed(tmp_path, "--workers", "2", "--post-ms", "2") as server:

        async def run() -> Any:
            work = asyncio.create_task(load(server.port, asked, clients=16, seconds=6))
            for _ in range(3):
                await asyncio.sleep(1.2)
                os.kill(server.workers()[0], signal.SIGKILL)
            return await work

        found = asyncio.run(run())
        assert found.statuses["lost"] == found.statuses["refused"] == 0
        assert set(found.statuses) <= {"200", "503", "429", "lost", "refused"}
        assert found.statuses["503"] > 0
        assert found.statuses["200"] > 500
        assert max(latency for latency, _, _ in found.latencies_s) < 4
        server.wait_ready()
        assert "textdetect_worker_restarts_total 3.0" in server.ask("/metrics")[1]


def test_a_server_that_is_told_to_stop_under_load_loses_nothing(tmp_path: Path) -> None:
    asked = [request(["so good to see you all again"] * 5)]
    with stubbed(tmp_path, "--workers", "2", "--post-ms", "2") as server:

        async def run() -> Any:
            work = asyncio.create_task(load(server.port, asked, clients=16, seconds=4))
            await asyncio.sleep(1.5)
            server.process.send_signal(signal.SIGTERM)
            return await work

        found = asyncio.run(run())
        server.process.wait(10)
        assert server.process.returncode == 0
        assert found.statuses["200"] > 50
        assert found.statuses["lost"] == 0
        assert '"n_running"' in server.log.read_text()


def test_many_requests_at_once_are_bounded(tmp_path: Path) -> None:
    with stubbed(tmp_path, "--post-ms", "100", "--limits", '{"requests": 4}') as server:
        with ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(lambda _: server.ask("/v1/score", POSTS)[0], range(12)))
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 4


def test_one_address_never_has_every_request_that_may_run(tmp_path: Path) -> None:
    limits = '{"requests": 18, "body_s": 5}'
    with stubbed(tmp_path, "--limits", limits) as server, contextlib.ExitStack() as held:
        for _ in range(30):  # they begin a request, and do not go on
            there = socket.create_connection(
                ("127.0.0.1", server.port), source_address=("127.0.0.2", 0)
            )
            held.enter_context(there)
            there.sendall(HEAD + b"content-length: 500\r\n\r\n{")
        server.wait_until(lambda: 'status="429"} 14.0' in server.ask("/metrics")[1])
        assert server.ask("/v1/score", POSTS)[0] == 200
