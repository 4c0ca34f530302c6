"""Ray's workers: the same output as local ones, whoever dies, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from deadly import DEADLY, DEADLY_ONCE, RAISING, make_detector

from textdetect import Detector
from textdetect.bulk import score_files
from textdetect.errors import DetectorFailed, InvalidInput, MissingDependency

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

Cluster = Path
"""Of a running cluster: the file that DEADLY_ONCE leaves."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a cluster of two cores on this machine, whose workers find the tests' modules."""
    once = tmp_path_factory.mktemp("ray") / "once"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setenv("DEADLY_ONCE", str(once))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield once
        ray.shutdown()


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Give a detector that pickles, and whose scores are counted, not computed."""
    return make_detector()


def write(folder: Path, texts: list[str]) -> Path:
    """Write posts as a Parquet file."""
    file = folder / "posts.parquet"
    pa.parquet.write_table(pa.table({"id": range(len(texts)), "text": texts}), file)
    return file


def posts(n: int) -> list[str]:
    """Make posts, a machine's among them."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, n)
    return [f"a post about {'machine ' * count}number {i}" for i, count in enumerate(counts)]


def rows(folder: Path) -> pa.Table:
    """Read all that came out."""
    return pa.parquet.read_table(folder)


def both(file: Path, folder: Path, detector: Detector, **options: Any) -> tuple[pa.Table, ...]:
    """Score a file by local and by Ray's workers."""
    for engine in ("local", "ray"):
        score_files(file, f"{folder / engine}/", detector=detector, engine=engine, **options)
    return rows(folder / "local"), rows(folder / "ray")


def test_the_output_is_that_of_local_workers(
    cluster: Cluster, tmp_path: Path, detector: Detector
) -> None:
    file = write(tmp_path, posts(3_000))
    local, remote = both(file, tmp_path, detector, workers=2, chunk_rows=100, shard_rows=700)
    assert local.num_rows == 3_000
    assert len(local["td_label"].unique()) > 1
    assert remote.equals(local)
    assert len(list((tmp_path / "ray").glob("part-*"))) == 5


def test_the_embedded_model_gives_the_same_by_ray(
    cluster: Cluster, tmp_path: Path, embedded: Detector
) -> None:
    texts = [f"so good to see you all again, number {i} of {i % 7} friends" for i in range(200)]
    local, remote = both(write(tmp_path, texts), tmp_path, embedded, workers=2, chunk_rows=20)
    assert remote.equals(local)


def test_a_worker_killed_in_the_middle_costs_nothing(
    cluster: Cluster, tmp_path: Path, detector: Detector
) -> None:
    texts = posts(1_000)
    texts[500] = DEADLY_ONCE
    cluster.unlink(missing_ok=True)
    file = write(tmp_path, texts)
    out = f"{tmp_path / 'out'}/"
    found = score_files(file, out, detector=detector, engine="ray", workers=2, chunk_rows=50)
    assert (found.n_rows, found.n_worker_deaths, found.n_unreadable) == (1_000, 1, 0)
    local = tmp_path / "local"
    score_files(file, f"{local}/", detector=detector, workers=2)  # it died of that post already
    assert rows(tmp_path / "out").equals(rows(local))


def test_a_chunk_that_no_worker_survives_comes_out_as_unreadable(
    cluster: Cluster, tmp_path: Path, detector: Detector
) -> None:
    texts = posts(200)
    texts[77] = DEADLY
    out = f"{tmp_path / 'out'}/"
    found = score_files(
        write(tmp_path, texts), out, detector=detector, engine="ray", workers=2, chunk_rows=10
    )
    assert (found.n_rows, found.n_worker_deaths, found.n_unreadable) == (200, 3, 10)
    reasons = rows(tmp_path / "out")["td_reason"].to_pylist()
    assert [i for i, reason in enumerate(reasons) if reason == "unreadable"] == list(range(70, 80))


def test_a_run_goes_on_by_ray_where_local_workers_left_it(
    cluster: Cluster, tmp_path: Path, detector: Detector
) -> None:
    texts = posts(400)
    file, out = write(tmp_path, [*texts[:300], RAISING, *texts[301:]]), f"{tmp_path / 'out'}/"
    options = {"detector": detector, "chunk_rows": 10, "shard_rows": 50}
    with pytest.raises(DetectorFailed):
        score_files(file, out, workers=2, **options)
    n_done = rows(tmp_path / "out").num_rows
    assert 0 < n_done < 400
    with pytest.raises(DetectorFailed, match="RuntimeError") as failed:
        score_files(file, out, engine="ray", workers=1, resume=True, **options)
    assert "secret" not in str(failed.value)
    assert rows(tmp_path / "out").num_rows >= n_done


def test_a_worker_with_another_model_is_refused(
    cluster: Cluster, tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textdetect.bulk.ray.__version__", "9.9")
    with pytest.raises(DetectorFailed, match=r"install the same version"):
        score_files(
            write(tmp_path, posts(5)), f"{tmp_path / 'out'}/", detector=detector, engine="ray"
        )


def test_what_cannot_be_is_refused(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, posts(5))
    with pytest.raises(InvalidInput, match="engine: expected 'local' or 'ray'"):
        score_files(file, tmp_path / "out.csv", detector=detector, engine="spark")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"pip install '\.\[ray\]'"):
        score_files(file, tmp_path / "out.csv", detector=detector, engine="ray")
    assert not (tmp_path / "out.csv").exists()


def test_the_command_starts_a_cluster_of_its_own_without_telemetry(tmp_path: Path) -> None:
    file = write(tmp_path, ["so good to see you all again", "never again, I want my money back"])
    script = tmp_path / "run.py"
    script.write_text(
        "import json, sys\n"
        "import ray\n"
        "from ray._common.usage import usage_lib\n"
        "from textdetect.cli import main\n"
        "shutdown, seen = ray.shutdown, []\n"
        "def note():\n"
        "    if ray.is_initialized():\n"
        "        seen.append(usage_lib.usage_stats_enabled())\n"
        "    shutdown()\n"
        "ray.shutdown = note\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        main()\n"
        "    finally:\n"
        "        print(json.dumps([seen, ray.is_initialized()]))\n"
    )
    out = tmp_path / "out"
    command = ["score", file, "-o", f"{out}/", "--engine", "ray", "--workers", "1"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, script, *command], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[False], False]
    assert rows(out).num_rows == 2
