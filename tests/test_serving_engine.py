"""The engine: batches, turns, bounds, and one result or one error for each request."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from textdetect import Detector, errors
from textdetect.model.runtimes import StubRuntime

engine_of = pytest.importorskip("textdetect.serving.engine")
pytestmark = pytest.mark.process

TEXT = "so good to see you all again"


class Slow(StubRuntime):
    """A stub whose time for each text, in seconds, is known; one word ends its process."""

    post_s = 0.0

    def run(self, texts: object) -> object:
        if any("end this process" in text for text in texts):  # type: ignore[attr-defined]
            os._exit(9)
        time.sleep(self.post_s * len(texts))  # type: ignore[arg-type]
        return super().run(texts)  # type: ignore[arg-type]


def _texts(n: int) -> list[str | None]:
    """Give different texts, as equal ones are scored once."""
    return [f"{TEXT}, {random.random()}" for _ in range(n)]


def _detector(post_s: float = 0.0) -> Detector:
    humans = [f"so good to see you all again, for the {i}th time" for i in range(600)]
    quick = Detector(StubRuntime()).calibrate(humans, languages=["en"] * len(humans))
    slow = Slow()
    slow.post_s = post_s
    return Detector(slow, calibration=quick.calibration, languages=["en"])


def _with(
    work: Callable[[engine_of.Engine], Awaitable[None]], post_s: float = 0.0, **options: object
) -> None:
    """Run something against an engine that is ready."""

    async def run() -> None:
        engine = engine_of.Engine(_detector(post_s), **{"workers": 1} | options)
        await engine.start()
        try:
            await _ready(engine, int(options.get("workers", 1)))  # type: ignore[call-overload]
            await work(engine)
        finally:
            await engine.stop()

    asyncio.run(run())


async def _ready(engine: engine_of.Engine, n: int = 1) -> None:
    """Wait until so many workers have loaded the detector."""
    async with asyncio.timeout(120):
        while engine.n_ready < n:
            await asyncio.sleep(0.02)


async def _queued(engine: engine_of.Engine, n: int = 1) -> None:
    """Wait until so many posts are in the queue."""
    async with asyncio.timeout(60):
        while engine.n_waiting < n:
            await asyncio.sleep(0.001)


def test_verdicts_come_in_order_whatever_the_request_is_cut_into() -> None:
    detector = _detector()
    texts = [f"{TEXT}, for the {i}th time" if i % 7 else None for i in range(333)]

    async def work(engine: engine_of.Engine) -> None:
        codes = ["en" if i % 2 else None for i in range(333)]
        found = await asyncio.gather(
            engine.judge(texts),
            engine.judge(texts, languages=codes, max_fpr=0.05),
            engine.judge([]),
        )
        assert found[0] == detector.predict(texts)
        assert found[1] == detector.predict(texts, language=codes, max_fpr=0.05)
        assert found[2] == detector.predict([])

    _with(work, workers=2)


def test_requests_that_wait_are_judged_together() -> None:
    sizes: list[int] = []

    async def work(engine: engine_of.Engine) -> None:
        engine.on_batch = lambda n, _: sizes.append(n)
        await asyncio.gather(*(engine.judge(_texts(1)) for _ in range(60)))

    _with(work, post_s=0.002)
    assert sum(sizes) == 60
    assert max(sizes) > 20


def test_a_small_client_does_not_wait_for_a_large_one() -> None:
    async def work(engine: engine_of.Engine) -> None:
        large = asyncio.create_task(engine.judge(_texts(400), client="large"))
        await _queued(engine)
        start_s = time.perf_counter()
        await engine.judge([TEXT], client="small")
        waited_s = time.perf_counter() - start_s
        assert not large.done()
        assert waited_s < 1.0  # a batch or two of 0.25 s, not the 2 s of the other
        await large

    _with(work, post_s=0.005, wait_s=60.0)


def test_one_clients_batch_shuts_no_other_out() -> None:
    async def work(engine: engine_of.Engine) -> None:
        await engine.judge(_texts(16))  # so that the rate is known
        batches = [asyncio.create_task(engine.judge(_texts(600), client="a")) for _ in range(4)]
        await _queued(engine)
        refused = [task for task in batches if task.done()]
        assert len(refused) == 3
        assert all(isinstance(task.exception(), errors.ServerBusy) for task in refused)
        for _ in range(4):
            start_s = time.perf_counter()
            await engine.judge(_texts(1), client="b")
            assert time.perf_counter() - start_s < 0.6  # of the 3 s of the batch
        assert not all(task.done() for task in batches)
        await asyncio.gather(*batches, return_exceptions=True)

    _with(work, post_s=0.005, wait_s=0.5)


def test_behind_many_clients_batches_a_single_post_waits_for_a_turn_of_each() -> None:
    async def work(engine: engine_of.Engine) -> None:
        await engine.judge(_texts(16))
        held = [
            asyncio.create_task(engine.judge(_texts(90), client=f"client {i}")) for i in range(8)
        ]
        await _queued(engine, 601)
        assert engine.expected_wait_s("b") < engine.expected_wait_s() / 4
        await engine.judge(_texts(1), client="b")
        assert not any(task.done() for task in held)
        await asyncio.gather(*held)

    _with(work, post_s=0.005, wait_s=60.0)


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    async def work(engine: engine_of.Engine) -> None:
        held = [asyncio.create_task(engine.judge(_texts(16))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(errors.ServerBusy) as caught:
            await engine.judge(_texts(20))
        assert caught.value.retry_after_s >= 1
        assert not caught.value.loading
        await engine.judge(_texts(20), client="another")
        await asyncio.gather(*held)
        assert engine.n_waiting == 0
        assert len(await engine.judge(_texts(200))) == 200  # alone, a large one is let in

    _with(work, post_s=0.002, queued_posts=100)


def test_the_queue_is_bounded_whatever_clients_send_and_has_room_for_one_more() -> None:
    async def work(engine: engine_of.Engine) -> None:
        rng = random.Random(1)
        tasks = [
            asyncio.create_task(
                engine.judge(_texts(rng.randint(1, 300)), client=f"client {rng.randint(0, 9)}")
            )
            for _ in range(200)
        ]
        await asyncio.sleep(0)
        assert engine.n_waiting <= 1_000 + 10 * 16
        late = asyncio.create_task(engine.judge(_texts(16), client="late"))
        await asyncio.sleep(0)
        assert not late.done()
        for task in (late, *tasks):
            task.cancel()
        await asyncio.gather(late, *tasks, return_exceptions=True)
        assert engine.n_waiting == 0

    _with(work, post_s=0.005, queued_posts=1_000, wait_s=60.0)


def test_a_long_expected_wait_refuses_too() -> None:
    async def work(engine: engine_of.Engine) -> None:
        await engine.judge(_texts(16))  # so that the rate is known
        first = asyncio.create_task(engine.judge(_texts(600)))
        await _queued(engine)
        assert engine.expected_wait_s() > 1
        with pytest.raises(errors.ServerBusy):
            await engine.judge([TEXT])
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        assert engine.n_waiting == 0
        assert len(await engine.judge([TEXT])) == 1

    _with(work, post_s=0.01, wait_s=1.0)


def test_what_takes_too_long_or_is_cancelled_leaves_the_queue() -> None:
    async def work(engine: engine_of.Engine) -> None:
        with pytest.raises(errors.ServerBusy, match="no answer within"):
            await engine.judge(_texts(200), timeout_s=0.2)
        assert engine.n_waiting == 0
        await engine.judge([TEXT])

    _with(work, post_s=0.01)


def test_a_worker_that_is_killed_costs_an_error_and_is_replaced() -> None:
    async def work(engine: engine_of.Engine) -> None:
        restarts: list[int] = []
        engine.on_restart = lambda: restarts.append(1)
        with pytest.raises(errors.DetectorFailed):
            await engine.judge([TEXT, "please end this process now"])
        await _ready(engine)
        assert restarts == [1]
        assert len(await engine.judge([TEXT])) == 1
        waiting = asyncio.create_task(engine.judge(_texts(100)))
        await _queued(engine)
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
        with pytest.raises(errors.DetectorFailed):
            await waiting
        await _ready(engine)
        assert len(await engine.judge([TEXT])) == 1

    _with(work, post_s=0.01)


def test_an_engine_that_is_not_ready_or_stops_says_so() -> None:
    async def run() -> None:
        engine = engine_of.Engine(_detector(0.01), workers=1)
        await engine.start()
        with pytest.raises(errors.ServerBusy) as caught:
            await engine.judge([TEXT])
        assert caught.value.loading
        await _ready(engine)
        waiting = asyncio.create_task(engine.judge(_texts(300)))
        await _queued(engine)
        await engine.stop()
        with pytest.raises(errors.ServerBusy):
            await waiting
        with pytest.raises(errors.ServerBusy):
            await engine.judge([TEXT])

    asyncio.run(run())


def test_a_rate_that_the_calibration_does_not_support_is_refused_at_once() -> None:
    with pytest.raises(errors.TooFewCalibration):
        engine_of.Engine(_detector(), max_fpr=1e-6)
