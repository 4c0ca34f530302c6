"""What takes minutes to measure of the server, on an idle machine: each prints its figures.

python tests/long_serving.py load       64 clients, and one, beside bulk and beside a pipeline
python tests/long_serving.py overload   ten times what a stub can do, for 60 s, and after
python tests/long_serving.py soak       ten minutes: memory, lost requests
python tests/long_serving.py schemas    5,000 generated requests to every endpoint
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from load import Load, load, request
from served import HERE, Served, free_port, served, stubbed

from textdetect.bulk import score_files
from textdetect.evaluation.benchmark import made_posts
from textdetect.model.runtimes.host import available_cores

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("what", choices=("load", "overload", "soak", "schemas"))
parser.add_argument("--seconds", type=float)
parser.add_argument("--runtime", default="auto")
parser.add_argument("--cases", type=int, default=5_000)

TWEETS = made_posts("short", 4_000, seed=3)
SINGLE = [request([text]) for text in TWEETS]


def main() -> None:
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.what == "load":
            _load(folder, arguments.seconds or 20.0, arguments.runtime)
        elif arguments.what == "overload":
            _overload(folder, arguments.seconds or 60.0)
        elif arguments.what == "soak":
            _soak(folder, arguments.seconds or 600.0)
        else:
            _schemas(folder, arguments.cases)


def _load(folder: Path, seconds: float, runtime: str) -> None:
    """Interleave: bulk, the server, a pipeline; three rounds."""
    rates: dict[str, list[float]] = {}

    def note(name: str, rate: float) -> None:
        rates.setdefault(name, []).append(rate)
        print(f"{name}: {rate:.0f} a second", flush=True)

    for number in range(3):
        note("bulk", _bulk(folder / f"bulk {number}", runtime))
        with served(folder, "--runtime", runtime) as server:
            asyncio.run(load(server.port, SINGLE, clients=64, seconds=3))
            found = asyncio.run(load(server.port, SINGLE, clients=64, seconds=seconds))
            note("server, 64 clients", found.statuses["200"] / found.took_s)
            print(f"  {_told(found)}")
            single = asyncio.run(load(server.port, SINGLE, clients=1, seconds=seconds / 4))
            print(f"  one client: {_told(single)}", flush=True)
        note("pipeline behind FastAPI", _peer(folder, seconds))
    middle = {name: float(np.median(each)) for name, each in rates.items()}
    ours = middle["server, 64 clients"]
    print(f"of bulk's rate: {ours / middle['bulk']:.0%}")
    print(f"× a pipeline behind FastAPI: {ours / middle['pipeline behind FastAPI']:.1f}")


def _bulk(folder: Path, runtime: str) -> float:
    from textdetect.model.detector import Detector

    folder.mkdir()
    file = folder / "posts.parquet"
    pq.write_table(pa.table({"text": TWEETS * 2}), file)
    detector = Detector.from_pretrained(runtime=runtime)  # type: ignore[arg-type]
    summary = score_files(
        file, f"{folder}/out/", detector=detector, workers=available_cores(), progress=False
    )
    return summary.posts_per_s


def _peer(folder: Path, seconds: float) -> float:
    port = free_port()
    log = folder / "peer.log"
    with log.open("w") as stream:
        command = [sys.executable, str(HERE / "peer_server.py"), "--port", str(port)]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        Served(port, process, log).wait_ready()
        asked = [request([text], path="/predict") for text in TWEETS]
        asyncio.run(load(port, asked, clients=64, seconds=3))
        found = asyncio.run(load(port, asked, clients=64, seconds=seconds))
        print(f"  {_told(found)}")
        return found.statuses["200"] / found.took_s
    finally:
        process.kill()


def _overload(folder: Path, seconds: float) -> None:
    """A worker that takes 10 ms a post does 100 a second; 1,000 a second are asked."""
    with stubbed(folder, "--post-ms", "10") as server:
        quiet = asyncio.run(load(server.port, SINGLE, clients=1, seconds=5))
        alone = asyncio.run(load(server.port, SINGLE, clients=64, seconds=10))
        capacity = alone.statuses["200"] / alone.took_s
        print(f"capacity {capacity:.1f} a second; one client: {_told(quiet)}", flush=True)
        before_mb = server.memory_mb()

        async def storm() -> tuple[Load, Load]:
            found = await load(
                server.port, SINGLE, clients=1_600, seconds=seconds, per_s=10 * capacity
            )
            return found, await load(server.port, SINGLE, clients=1, seconds=10)

        found, after = asyncio.run(storm())
        print(f"asked {found.statuses.total() / found.took_s:.0f} a second: {_told(found)}")
        print(f"goodput {found.statuses['200'] / found.took_s / capacity:.0%} of capacity")
        print(f"memory {before_mb:.0f} → {server.memory_mb():.0f} MB")
        normal_s = 2 * float(np.quantile(quiet.of(200), 0.95))
        late = [at for latency, code, at in after.latencies_s if code != 200 or latency > normal_s]
        print(f"back to normal after {max(late, default=0.0):.1f} s; then {_told(after)}")


def _soak(folder: Path, seconds: float) -> None:
    with served(folder) as server:
        asyncio.run(load(server.port, SINGLE, clients=32, seconds=20))
        memory, total = [server.memory_mb()], Load()
        start_s = time.monotonic()
        while time.monotonic() - start_s < seconds:
            found = asyncio.run(load(server.port, SINGLE, clients=32, seconds=seconds / 10))
            total.statuses += found.statuses
            total.latencies_s += found.latencies_s
            memory.append(server.memory_mb())
            print(f"{memory[-1]:.0f} MB, {dict(found.statuses)}", flush=True)
        print(f"{_told(total)}; memory {memory[0]:.0f} → {memory[-1]:.0f} MB")


def _schemas(folder: Path, cases: int) -> None:
    """Generate requests by the server's own OpenAPI document, good and bad ones."""
    with served(folder, "--max-posts", "50") as server:
        paths = list(server.ask("/openapi.json")[1]["paths"].items())
        operations = sum("post" in methods for _, methods in paths)  # the others take nothing
        # Too many posts or characters are 413 here, as its own list of refusals does not have it.
        (folder / "schemathesis.toml").write_text(
            "[checks.negative_data_rejection]\n"
            'expected-statuses = ["400", "401", "405", "413", "415", "422", "429"]\n'
        )
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("--max-examples", str(-(-cases // operations)), "--seed", "1", "--mode", "all"),
            *("--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"),
            *("--continue-on-failure", "--no-color", "--generation-database", "none"),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        print(
            "\n".join(line[:160] for line in done.stdout.splitlines()[-400:]), done.stderr[-2_000:]
        )
        counted = server.ask("/metrics")[1]
        lines = [
            line for line in counted.splitlines() if line.startswith("textdetect_requests_total")
        ]
        print("\n".join(lines))
        print(f"{sum(float(line.split()[-1]) for line in lines):.0f} requests")


def _told(found: Load) -> str:
    """Say statuses and latencies."""
    took: Sequence[float] = found.of(200) or [float("nan")]
    p50, p95, p99 = (np.quantile(took, [0.5, 0.95, 0.99]) * 1e3).tolist()
    return f"{dict(found.statuses)}, p50 {p50:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f}"


if __name__ == "__main__":
    main()
