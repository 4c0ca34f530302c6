"""Many files scored into a folder: every row once, whatever happens to files and to processes."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deadly import DEADLY, DEADLY_ONCE, RAISING, make_detector
from filelock import FileLock
from typer.testing import CliRunner

import textdetect
from textdetect.bulk import Summary, score_files
from textdetect.bulk.inputs import read_rows
from textdetect.bulk.shards import LOCK, MANIFEST
from textdetect.bulk.workers import Workers
from textdetect.cli import app
from textdetect.errors import (
    DetectorFailed,
    InvalidInput,
    RunChanged,
    RunError,
    RunExists,
    RunLocked,
)
from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime
from textdetect.posts.files import find_inputs, open_posts

SMALL = {"chunk_rows": 20, "shard_rows": 50}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make_detector()


def post(i: int, of: str = "") -> str:
    words = "machine " * 3 if i % 17 == 0 else ""
    return f"so good to see you all {of} again, for the {i}th time {words}".strip()


def write(path: Path, posts: list[str]) -> Path:
    """Write posts in the format of the suffix, with an id and a language."""
    rows = [{"id": i, "text": text, "lang": "en"} for i, text in enumerate(posts)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=30)
        return path
    if path.suffix == ".txt":
        body = "".join(f"{text}\n" for text in posts)
    elif "jsonl" in path.name:
        body = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        d = "\t" if path.suffix == ".tsv" else ","
        body = d.join(rows[0]) + "\n"
        body += "".join(f'{row["id"]}{d}"{row["text"]}"{d}en\n' for row in rows)
    raw = body.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def scored(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of all shards, in order."""
    shards = sorted(folder.glob("part-*.parquet"))
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


NAMES = ("a.csv", "b.jsonl.gz", "c.tsv", "d.parquet", "e.txt")


@pytest.fixture
def posts(tmp_path: Path) -> list[Path]:
    """Write 70 posts in each format."""
    (tmp_path / "in").mkdir()
    return [write(tmp_path / "in" / name, [post(i, name) for i in range(70)]) for name in NAMES]


def run(sources: Any, out: Path, detector: Detector, **options: Any) -> Summary:
    return score_files(sources, out, detector=detector, **{"workers": 1, **SMALL, **options})


@pytest.mark.process
def test_all_formats_come_out_in_order_with_where_they_came_from(
    posts: list[Path], tmp_path: Path, detector: Detector
) -> None:
    summary = run(posts, tmp_path / "one", detector)
    rows = scored(tmp_path / "one")
    expected = [(str(path), i + 1, post(i, path.name)) for path in posts for i in range(70)]
    assert [(row["td_source"], row["td_row"], row["text"]) for row in rows] == expected
    verdicts = detector.predict([text for _, _, text in expected]).to_dicts(nan_as_none=True)
    names = set(verdicts[0]) - {"notes"}
    for row, verdict in zip(rows, verdicts, strict=True):
        assert {name: row[f"td_{name}"] for name in names} == {n: verdict[n] for n in names}
        assert row["td_notes"] == " ".join(verdict["notes"])
    assert [row.get("id") for row in rows[:70]] == [str(i) for i in range(70)]
    assert [row.get("id") for row in rows[210:280]] == list(range(70))
    assert (summary.n_rows, summary.n_files, summary.failed) == (350, 5, ())
    assert summary.n_flagged == sum(row["td_flagged"] for row in rows) > 0
    assert run(posts, tmp_path / "two", detector, workers=2).n_rows == 350
    assert scored(tmp_path / "two") == rows


@pytest.mark.process
def test_one_file_comes_out_the_same_by_two_workers(
    posts: list[Path], tmp_path: Path, detector: Detector
) -> None:
    for n in (1, 2):
        out = tmp_path / f"{n}.jsonl"
        assert run(posts[1], out, detector, workers=n).n_rows == 70
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_a_folder_of_shards_reads_as_one_table(tmp_path: Path, detector: Detector) -> None:
    for name in ("a.parquet", "b.parquet"):
        write(tmp_path / name, [post(i) for i in range(70)])
    run(tmp_path / "*.parquet", tmp_path / "out", detector)
    table = pq.read_table(tmp_path / "out")
    assert table.num_rows == 140
    assert table.column_names[-2:] == ["td_source", "td_row"]
    again = run(tmp_path / "out", tmp_path / "again", detector)
    assert again.n_rows == 140
    assert pq.read_table(tmp_path / "again").column_names == table.column_names


def test_inputs_are_found_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv", "x/c.JSONL", "x/y/a.txt.gz", "x/_b.csv", "x/.b.csv", "x/b.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("[a].csv").touch()
    assert find_inputs(["x", "a.csv"]) == ["x/c.JSONL", "x/y/a.txt.gz", "a.csv"]
    assert find_inputs(["*.csv", "a.csv"]) == ["[a].csv", "a.csv", "b.csv"]
    assert find_inputs(["x/**/*.gz", "[a].csv"]) == ["x/y/a.txt.gz", "[a].csv"]
    assert find_inputs(["gone.csv", "-"]) == ["gone.csv", "-"]
    Path("x/part-000000.parquet").touch()
    assert find_inputs(["x"], of="x/y/..") == find_inputs(["x/c*", "x/y"])
    for name in ("*.xls", "x/none*"):
        with pytest.raises(FileNotFoundError):
            find_inputs([name])


def test_a_file_that_cannot_be_read_costs_only_itself(
    posts: list[Path], tmp_path: Path, detector: Detector
) -> None:
    write(tmp_path / "whole.parquet", [post(i) for i in range(70)])
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-9])
    (tmp_path / "odd.parquet").write_text("text\npost\n")
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")
    (tmp_path / "odd.xls").touch()
    bad = [tmp_path / n for n in ("cut.parquet", "odd.parquet", "none.csv", "odd.xls", "gone.csv")]
    summary = run([posts[0], *bad, posts[3]], tmp_path / "out", detector)
    assert [path for path, _ in summary.failed] == list(map(str, bad))
    whys = " | ".join(why for _, why in summary.failed)
    assert whys.count("not a Parquet file") == 2
    assert "--text-column" in whys
    assert "No such file" in whys
    assert (summary.n_rows, summary.n_files) == (140, 7)
    assert [row["td_source"] for row in scored(tmp_path / "out")[::70]] == [
        str(posts[0]), str(posts[3]),
    ]  # fmt: skip


def test_a_file_that_changes_while_it_is_read_is_said_to(
    posts: list[Path], tmp_path: Path, detector: Detector
) -> None:
    class Meddler(StubRuntime):
        def run(self, texts: Any) -> Any:
            os.utime(posts[1], (1, 1))
            return super().run(texts)

    meddled = make_detector()
    meddled.runtime = Meddler()
    summary = run(posts[:2], tmp_path / "out", meddled)
    assert summary.failed == ((str(posts[1]), "it changed while the run went on"),)


def test_bad_rows_are_listed_with_their_file(tmp_path: Path, detector: Detector) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine and long enough"}\nbroken\n')
    (tmp_path / "b.jsonl").write_text('{"text": "fine and long enough"}\n' + "broken\n" * 99)
    summary = run([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "out", detector)
    assert summary.n_unreadable == 100
    assert len(summary.unreadable) == 20
    assert [(row, line) for row, line, _ in summary.unreadable[:2]] == [(2, 2), (2, 2)]
    assert summary.unreadable[1][2].startswith(f"{tmp_path / 'b.jsonl'}: not JSON")
    again = run(
        [tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "out", detector, resume=True
    )
    assert (again.unreadable, again.n_resumed) == (summary.unreadable, 102)
    assert again.uncertain == summary.uncertain


def test_a_run_is_not_written_over(posts: list[Path], tmp_path: Path, detector: Detector) -> None:
    run(posts[:2], tmp_path / "out", detector)
    with pytest.raises(RunExists, match="--resume"):
        run(posts[:2], tmp_path / "out", detector)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "part-7.parquet").touch()
    with pytest.raises(RunExists, match="another folder"):
        run(posts[:2], tmp_path / "other", detector, resume=True)


def other_model() -> Detector:
    other = make_detector()
    other.runtime.fingerprint = "another"
    return other


CHANGES: dict[str, dict[str, Any]] = {
    "max_fpr": {"max_fpr": 0.05},
    "text_column": {"text_column": "text"},
    "language_column": {"language_column": "lang"},
    "input_format": {"input_format": "csv"},
    "fingerprint": {"detector": other_model},
    "calibration": {"detector": lambda: make_detector(n_humans=601)},
    "shard_rows": {"shard_rows": 51},
}


@pytest.mark.parametrize(("name", "change"), CHANGES.items(), ids=CHANGES)
def test_a_run_does_not_go_on_as_another_one(
    posts: list[Path], tmp_path: Path, detector: Detector, name: str, change: dict[str, Any]
) -> None:
    run([posts[3], posts[0]], tmp_path / "out", detector)
    change = dict(change)
    by = change.pop("detector", lambda: detector)()
    with pytest.raises(RunChanged, match=f"{name} was"):
        run([posts[3], posts[0]], tmp_path / "out", by, resume=True, **change)


def test_a_run_does_not_go_on_over_other_inputs(
    posts: list[Path], tmp_path: Path, detector: Detector
) -> None:
    out = tmp_path / "out"
    run(posts, out, detector)
    for sources, why in (
        (posts[1:], "a.csv is missing"),
        ([*posts, "new.csv"], "new.csv is none of the run"),
        (posts[::-1], "another order"),
    ):
        with pytest.raises(RunChanged, match=why):
            run(sources, out, detector, resume=True)
    posts[2].write_text(posts[2].read_text() + "\n")
    with pytest.raises(RunChanged, match=r"c\.tsv has changed"):
        run(posts, out, detector, resume=True)
    posts[2].unlink()
    with pytest.raises(RunChanged, match=r"c\.tsv has changed"):
        run(posts, out, detector, resume=True)


def test_shards_and_manifest_must_be_as_they_were_left(
    posts: list[Path], tmp_path: Path, detector: Detector
) -> None:
    out = tmp_path / "out"
    run(posts, out, detector)
    (out / "part-000001.parquet").unlink()
    with pytest.raises(RunChanged, match=r"part-000001\.parquet"):
        run(posts, out, detector, resume=True)
    (out / MANIFEST).write_text('{"format": 1')
    with pytest.raises(RunError, match="can't be read"):
        run(posts, out, detector, resume=True)


def test_a_second_run_on_one_folder_is_refused(
    posts: list[Path], tmp_path: Path, detector: Detector
) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / LOCK), pytest.raises(RunLocked, match="another run"):
        run(posts, tmp_path / "out", detector)
    assert run(posts, tmp_path / "out", detector).n_rows == 350


@pytest.mark.parametrize(
    ("out", "options"),
    [("-", {}), ("out.csv", {}), ("out", {"output_format": "csv"}), ("", {"output_format": "csv"})],
)
def test_several_files_want_a_folder(
    posts: list[Path], tmp_path: Path, detector: Detector, out: str, options: dict[str, Any]
) -> None:
    where = out if out == "-" else tmp_path / out
    with pytest.raises(InvalidInput, match="-o FOLDER/"):
        score_files(posts, where, detector=detector, **options)


def test_what_cannot_be_is_refused(posts: list[Path], tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(InvalidInput, match="workers"):
        run(posts, tmp_path / "out", detector, workers=0)
    with pytest.raises(InvalidInput, match="only a run into a folder"):
        run(posts[0], tmp_path / "out.csv", detector, resume=True)
    with pytest.raises(InvalidInput, match="stdin"):
        run(["-", posts[0]], tmp_path / "out", detector)
    unpicklable = make_detector()
    unpicklable.runtime = StubRuntime(lambda text: 0.0)
    with pytest.raises(InvalidInput, match="workers=1"):
        run(posts, tmp_path / "out", unpicklable, workers=2)
    with pytest.raises(InvalidInput, match="max_fpr"):
        run(posts, tmp_path / "out", detector, max_fpr=2.0)
    assert not (tmp_path / "out").exists()


@pytest.mark.process
def test_a_worker_that_dies_is_replaced_and_costs_nothing(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEADLY_ONCE", str(tmp_path / "happened"))
    texts = [post(i) for i in range(200)]
    texts[87] = DEADLY_ONCE
    write(tmp_path / "a.csv", texts)
    summary = run(tmp_path / "*.csv", tmp_path / "out", detector, workers=2)
    assert (summary.n_worker_deaths, summary.n_unreadable, summary.n_rows) == (1, 0, 200)
    assert [row["text"] for row in scored(tmp_path / "out")] == texts


@pytest.mark.process
def test_a_chunk_that_no_worker_survives_comes_out_as_unreadable(
    tmp_path: Path, detector: Detector
) -> None:
    texts = [post(i) for i in range(200)]
    texts[87] = DEADLY
    write(tmp_path / "a.parquet", texts)
    summary = run(tmp_path / "*.parquet", tmp_path / "out", detector, workers=2)
    assert (summary.n_worker_deaths, summary.n_unreadable, summary.n_rows) == (3, 20, 200)
    assert summary.unreadable[0][2].endswith("its chunk ended a worker process 3 times")
    rows = scored(tmp_path / "out")
    assert [row["text"] for row in rows] == texts
    assert {i for i, row in enumerate(rows) if row["td_reason"] == "unreadable"} == {
        *range(80, 100)
    }


@pytest.mark.process
def test_a_detector_that_fails_in_a_worker_ends_the_run_without_showing_the_post(
    tmp_path: Path, detector: Detector
) -> None:
    texts = [post(i) for i in range(200)]
    texts[187] = RAISING
    write(tmp_path / "a.csv", texts)
    with pytest.raises(DetectorFailed, match=r"RuntimeError .*deadly\.py") as failed:
        run(tmp_path / "*.csv", tmp_path / "out", detector, workers=2)
    assert "secret" not in str(failed.value)
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["complete"] is False


def test_no_more_is_read_than_the_workers_will_soon_need(
    tmp_path: Path, detector: Detector
) -> None:
    write(tmp_path / "a.csv", [post(i) for i in range(600)])
    n_read = 0

    def counted(pieces: Any) -> Any:
        nonlocal n_read
        for piece in pieces:
            n_read += 1
            yield piece

    with open_posts(tmp_path / "a.csv", format="csv") as reader, Workers(detector, 0.01, 1) as pool:
        for n_done, _ in enumerate(pool.judge(counted(read_rows(reader, 20)))):
            assert n_read - n_done <= 3
    assert n_read == 30


CHILD = r"""
import os, resource, signal, sys

def main():
    if limit := int(os.environ.get("MAX_FILE_BYTES", 0)):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    import textdetect.bulk.run as home
    from deadly import make_detector
    home.available_cores = lambda: 1
    detector = make_detector()
    home._embedded = lambda: detector
    chunk_rows = int(os.environ.get("CHUNK_ROWS", 100))
    home.score_files.__kwdefaults__ |= {"chunk_rows": chunk_rows, "shard_rows": 3 * chunk_rows}
    from textdetect.cli import main
    print("ready", flush=True)
    try:
        main()
    finally:
        if os.environ.get("SHOW_MEMORY"):
            status = open("/proc/self/status").read()
            print("peak kB:", status.split("VmHWM:")[1].split()[0], file=sys.stderr)

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def child(tmp_path: Path) -> list[str]:
    (tmp_path / "child.py").write_text(CHILD)
    return [sys.executable, str(tmp_path / "child.py"), "score"]


def environment(**more: str) -> dict[str, str]:
    paths = f"{Path(textdetect.__file__).parents[1]}{os.pathsep}{Path(__file__).parent}"
    return {**os.environ, "PYTHONPATH": paths, **more}


def call(child: list[str], *arguments: str | Path, **more: str) -> tuple[int, list[str]]:
    """Run the command line in a process of its own; exit code, and what it says on stderr."""
    done = subprocess.run(
        [*child, *map(str, arguments)], capture_output=True, env=environment(**more), timeout=300
    )
    return done.returncode, done.stderr.decode().splitlines()


@pytest.mark.slow
def test_a_run_that_is_killed_twenty_times_equals_an_undisturbed_one(
    tmp_path: Path, child: list[str], detector: Detector
) -> None:
    (tmp_path / "in").mkdir()
    sources = [
        write(tmp_path / "in" / name, [post(i, name) for i in range(4_000)]) for name in NAMES
    ]
    out = tmp_path / "out"
    command = [*child, str(tmp_path / "in"), "-o", f"{out}/", "--resume"]
    rng = random.Random(0)
    for _ in range(20):
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(DELAY_S="0.0001"),
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
    code, said = call(child, tmp_path / "in", "-o", f"{out}/", "--resume")
    assert code == 0, said
    assert "20,000 rows" in said[0]
    run(sources, tmp_path / "undisturbed", detector, chunk_rows=100, shard_rows=300)
    assert scored(out) == scored(tmp_path / "undisturbed")
    assert not list(out.glob(".*partial*"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_workers_of_a_killed_run_end_and_its_folder_is_free(
    tmp_path: Path, child: list[str], posts: list[Path]
) -> None:
    command = [*child, str(tmp_path / "in"), "-o", f"{tmp_path}/out/", "--workers", "2"]
    slow = environment(DELAY_S="0.05", CHUNK_ROWS="10")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=slow) as process:
        deadline_s = time.monotonic() + 60
        while not list(tmp_path.glob("out/part-*.parquet")) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        code, said = call(child, tmp_path / "in", "-o", f"{tmp_path}/out/", "--resume")
        process.send_signal(signal.SIGKILL)
    assert (code, len(said)) == (1, 1)
    assert "another run is writing" in said[0]
    code, said = call(child, tmp_path / "in", "-o", f"{tmp_path}/out/", "--resume", CHUNK_ROWS="10")
    assert code == 0, said
    assert len(scored(tmp_path / "out")) == 350
    assert len(workers) >= 2
    deadline_s = time.monotonic() + 30
    while alive := [pid for pid in workers if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline_s, alive
        time.sleep(0.1)


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(
    tmp_path: Path, child: list[str]
) -> None:
    write(tmp_path / "a.csv", [post(i) for i in range(50)])
    write(tmp_path / "b.csv", [f"{post(i)} {random.Random(i).random()}" for i in range(3_000)])
    arguments = [tmp_path / "*.csv", "-o", f"{tmp_path}/out/", "--language-column", "lang"]
    code, said = call(child, *arguments, MAX_FILE_BYTES="12000", CHUNK_ROWS="1000")
    assert (code, said) == (1, ["textdetect: File too large"])
    assert [path.name for path in (tmp_path / "out").glob("*part*")] == ["part-000000.parquet"]
    code, said = call(child, *arguments, "--resume", CHUNK_ROWS="1000")
    assert code == 0, said
    assert "3,050 rows" in said[0]
    assert said[1] == "50 of them were scored before"
    assert len(scored(tmp_path / "out")) == 3_050


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_files(tmp_path: Path, child: list[str]) -> None:
    peaks_kb = []
    for n in (10_000, 100_000):
        write(tmp_path / f"{n}.parquet", [post(i) for i in range(n)])
        arguments = [
            tmp_path / f"{n}.parquet",
            "-o",
            f"{tmp_path}/{n}/",
            "--language-column",
            "lang",
        ]
        code, said = call(child, *arguments, SHOW_MEMORY="1", CHUNK_ROWS="4000")
        assert code == 0, said
        peaks_kb.append(int(said[-1].split("peak kB:")[1]))
    assert peaks_kb[1] < peaks_kb[0] + 25_000


def test_the_command_line_says_what_came_of_each_file(
    posts: list[Path], tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Detector, "from_pretrained", lambda *a, **k: detector)
    options = ["-o", f"{tmp_path}/out/", "--workers", "1"]
    gone = str(tmp_path / "gone.csv")
    result = CliRunner().invoke(app, ["score", str(tmp_path / "in"), gone, *options])
    assert result.exit_code == 3
    said = result.stderr.splitlines()
    assert said[0].startswith("350 rows in ")
    assert said[1:] == [
        "6 files, 1 of them failed",
        f"failed: {gone}: No such file or directory",
        f"written to {tmp_path}/out",
    ]
    for arguments, code, why in (
        ([str(tmp_path / "in"), gone, *options], 1, "--resume"),
        ([gone, "-o", f"{tmp_path}/none/"], 1, "1 of them failed"),
        ([str(posts[0]), str(posts[1])], 2, "-o FOLDER/"),
        ([str(posts[0]), "--resume"], 2, "only a run into a folder"),
        ([str(tmp_path / "*.nothing"), *options], 1, "no posts file there"),
    ):
        result = CliRunner().invoke(app, ["score", *arguments])
        assert (result.exit_code, result.stdout) == (code, "")
        assert why in result.stderr
