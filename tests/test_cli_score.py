"""`textdetect score` as a shell sees it: exit codes, streams, interruptions, full disks, memory."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

import textdetect
from textdetect.cli import app
from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime

CHILD = r"""
import os, resource, signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
if limit := int(os.environ.get("MAX_FILE_BYTES", 0)):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

import textdetect.model.detector as home
from textdetect.model.runtimes import StubRuntime

delay_s = float(os.environ.get("DELAY_S", 0))
runtime = StubRuntime(lambda text: time.sleep(delay_s) or float("machine" in text))
humans = [f"a person wrote this post, and it has the number {i}" for i in range(1_000)]
stub = home.Detector(StubRuntime(lambda text: 0.0), languages=["en"])
stub = stub.calibrate(humans, languages=["en"] * 1_000)
stub.runtime = runtime
home.Detector.from_pretrained = classmethod(lambda cls, *a, **k: stub)

from textdetect.cli import main

try:
    main()
finally:
    if os.environ.get("SHOW_MEMORY"):
        status = open("/proc/self/status").read()
        print("peak kB:", status.split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


@pytest.fixture
def child(tmp_path: Path) -> list[str]:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    return [sys.executable, str(script)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(textdetect.__file__).parents[1]), **more}


def run(
    child: list[str], *arguments: str | Path, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    command = [*child, *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, env=environment(**more), timeout=300
    )


def last_line(result: subprocess.CompletedProcess[bytes]) -> str:
    lines = result.stderr.decode().splitlines()
    assert len(lines) == 1, result.stderr.decode()
    return lines[0]


COLUMNS = ["id", "text", "language", "Odd, name", ""]


def row(i: int) -> list[str]:
    """Make a row; every seventh post is of two lines, every eleventh empty, every 13th NA."""
    post = f'post {i} is "so good", my dear friends'
    post = post + "\nand the next line, too" if i % 7 == 0 else post
    post = "" if i % 11 == 0 else "NA" if i % 13 == 0 else post
    return [str(i), post, "en", f" odd\r\n{i} ", ""]


def write_posts(path: Path, n_rows: int, broken: dict[int, str] | None = None) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i in range(n_rows):
            if broken and i in broken:
                file.write(broken[i] + "\r\n")
            writer.writerow(row(i))


@pytest.fixture
def posts_csv(tmp_path: Path) -> Path:
    write_posts(tmp_path / "posts.csv", 30)
    return tmp_path / "posts.csv"


BROKEN = {50_000: "x,too,many,fields,for,this", 50_003: 'y,"a stray "quote" here",en,z,'}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Score 100,000 rows and two broken ones; what was said, and the output."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "child.py").write_text(CHILD)
    write_posts(folder / "posts.csv", 100_000, BROKEN)
    command = [sys.executable, str(folder / "child.py"), "score", folder / "posts.csv"]
    options = ["-o", str(folder / "out.csv"), "--language-column", "language"]
    result = run([str(part) for part in command], *options, SHOW_MEMORY="1")
    assert result.returncode == 3, result.stderr
    return result.stderr.decode(), folder / "out.csv"


def test_every_row_comes_out_once_and_in_order_though_two_are_broken(
    large: tuple[str, Path],
) -> None:
    said, out = large
    assert "100,002 rows" in said
    assert "2 unreadable" in said
    assert re.search(r"row 50001 \(line \d+\): expected 5 fields, got 6", said)
    assert re.search(r"row 50005 \(line \d+\): a stray quote", said)
    with open(out, encoding="utf-8", newline="") as file:
        scored = csv.reader(file, strict=True)
        assert next(scored)[:5] == COLUMNS
        expected = iter(range(100_000))
        raw = []
        for cells in scored:
            if cells[11] == "unreadable":
                raw.append(cells[1])
            else:
                assert cells[:5] == row(next(expected))
        assert next(expected, None) is None
    assert raw == list(BROKEN.values())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, child: list[str], large: tuple[str, Path]
) -> None:
    write_posts(tmp_path / "posts.csv", 10_000)
    options = ["-o", str(tmp_path / "out.csv"), "--language-column", "language"]
    small = run(child, "score", tmp_path / "posts.csv", *options, SHOW_MEMORY="1")
    peak_kb = [int(said.rsplit("peak kB:", 1)[1]) for said in (small.stderr.decode(), large[0])]
    assert peak_kb[1] < peak_kb[0] + 20_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_nothing(
    tmp_path: Path, child: list[str], number: int
) -> None:
    write_posts(tmp_path / "posts.csv", 20_000)
    command = [*child, "score", str(tmp_path / "posts.csv"), "-o", str(tmp_path / "out.csv")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(DELAY_S="0.001")) as run:
        deadline_s = time.monotonic() + 60
        while not list(tmp_path.glob(".out.csv.partial-*")):
            assert time.monotonic() < deadline_s
            assert run.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
    assert (run.returncode, said.decode()) == (130, "textdetect: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["child.py", "posts.csv"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, child: list[str]) -> None:
    write_posts(tmp_path / "posts.csv", 2_000)
    for name in ("out.csv", "out.jsonl", "out.parquet", "out.csv.gz"):
        result = run(
            child, "score", tmp_path / "posts.csv", "-o", tmp_path / name, MAX_FILE_BYTES="9000"
        )
        assert result.returncode == 1, name
        assert last_line(result) == "textdetect: File too large"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["child.py", "posts.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("as_option", [True, False])
def test_a_full_device_is_one_line(posts_csv: Path, child: list[str], as_option: bool) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [*child, "score", str(posts_csv), *(["-o", "/dev/full"] if as_option else [])],
            stdout=subprocess.PIPE if as_option else full,
            stderr=subprocess.PIPE,
            env=environment(),
        )
    assert result.returncode == 1
    assert last_line(result).startswith("textdetect: ")
    assert last_line(result).endswith("No space left on device")


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    humans = [f"a person wrote this post, and it has the number {i}" for i in range(1_000)]
    stub = Detector(StubRuntime()).calibrate(humans, languages=["en"] * 1_000)
    monkeypatch.setattr(Detector, "from_pretrained", lambda *a, **k: stub)


def refused(*arguments: str | Path) -> tuple[int, str]:
    """Run a command that fails, in this process; its exit code and the one line it says."""
    result = CliRunner().invoke(app, ["score", *map(str, arguments)])
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("textdetect: ")
    return result.exit_code, result.stderr.strip()


@pytest.mark.usefixtures("stubbed")
@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("", "Is a directory"),
        ("posts.csv/out.csv", "no such folder"),
        ("nowhere/out.csv", "no such folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(posts_csv: Path, out: str, why: str) -> None:
    options = ("-o", posts_csv.parent / out, "--output-format", "csv")
    code, said = refused(posts_csv, *options)
    assert code == 1
    assert said.endswith(why)


@pytest.mark.parametrize("name", ["no.csv", ""])
def test_an_input_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    code, said = refused(tmp_path / name, "--format", "csv")
    assert code == 1
    assert said.startswith(f"textdetect: {tmp_path / name}: ")


@pytest.mark.usefixtures("stubbed")
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--text-column", "nope"], "no column 'nope' among 'id', 'text', 'language'"),
        (["--language-column", "nope"], "--language-column"),
        (["--max-fpr", "7"], "max_fpr"),
        (["--format", "xls"], "--format"),
        (["-o", "out.xls"], "--output-format"),
        (["-o", "posts.csv"], "the output is the input"),
    ],
)
def test_wrong_options_are_usage_errors(
    posts_csv: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], why: str
) -> None:
    monkeypatch.chdir(posts_csv.parent)
    code, said = refused(posts_csv, *options)
    assert code == 2
    assert why in said
    assert [path.name for path in posts_csv.parent.iterdir()] == ["posts.csv"]


def test_options_that_there_are_not_are_usage_errors(posts_csv: Path) -> None:
    for arguments in (["score"], ["score", str(posts_csv), "--nope"], ["nope"]):
        assert CliRunner().invoke(app, arguments).exit_code == 2
    assert refused("-")[0] == 2


def test_a_missing_model_fails_in_one_line(posts_csv: Path, tmp_path: Path) -> None:
    code, said = refused(posts_csv, "--model", tmp_path / "no-model")
    assert code == 1
    assert "no-model" in said


def test_a_pipe_in_gives_a_pipe_out_and_the_summary_on_stderr(
    posts_csv: Path, child: list[str]
) -> None:
    result = run(child, "score", "-", "--format", "csv", stdin=posts_csv.read_bytes())
    assert result.returncode == 0
    out = list(csv.reader(result.stdout.decode().splitlines(keepends=True), strict=True))
    assert [cells[:5] for cells in out] == [COLUMNS, *(row(i) for i in range(30))]
    assert result.stderr.decode().startswith("30 rows in ")


@pytest.mark.parametrize("format", ["tsv", "jsonl", "parquet"])
def test_every_format_goes_through_pipes(posts_csv: Path, child: list[str], format: str) -> None:
    packed = run(child, "score", posts_csv, "--output-format", format)
    assert packed.returncode == 0, packed.stderr
    again = run(child, "score", "-", "--format", format, stdin=packed.stdout)
    assert (again.returncode, again.stdout == packed.stdout) == (0, True)


def test_a_reader_that_has_had_enough_is_no_reason_for_noise(
    tmp_path: Path, child: list[str]
) -> None:
    write_posts(tmp_path / "posts.csv", 5_000)
    command = [*child, "score", str(tmp_path / "posts.csv")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read()
    assert (run.returncode, said) == (1, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_table(posts_csv: Path, child: list[str]) -> None:
    terminal, its_end = os.openpty()
    command = [*child, "score", str(posts_csv)]
    result = subprocess.run(
        command, stdout=its_end, stderr=subprocess.PIPE, env=environment(COLUMNS="120")
    )
    os.close(its_end)
    shown = b""
    with suppress(OSError):  # what ends it, as nobody writes any more
        while part := os.read(terminal, 4_096):
            shown += part
    os.close(terminal)
    assert result.returncode == 0
    assert b"nothing to read" in shown
    assert b'post 1 is "so good"' in shown
    assert b"td_label" not in shown


def test_the_command_line_loads_nothing_heavy_until_a_command_runs() -> None:
    heavy = (
        "torch",
        "transformers",
        "onnxruntime",
        "pyarrow",
        "numpy",
        "textdetect.model.detector",
    )
    code = f"import sys, textdetect.cli; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment(), check=True
    )
    assert result.stdout.decode().strip() == "[]"
