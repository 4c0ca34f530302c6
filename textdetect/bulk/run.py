"""Scoring posts files: one into another, or many into a folder of Parquet shards."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from textdetect._ground.progress import bar
from textdetect.bulk.inputs import Input, Piece, read_inputs, read_rows
from textdetect.bulk.shards import SHARDS, Run, open_run
from textdetect.bulk.summary import Summary, Tally
from textdetect.bulk.workers import Judge, Workers
from textdetect.errors import InvalidInput
from textdetect.model.runtimes.host import available_cores
from textdetect.posts.files import (
    STANDARD_STREAM,
    PathOrDash,
    as_paths,
    find_inputs,
    format_of_input,
    open_posts,
)
from textdetect.posts.rows import Reader
from textdetect.posts.scored import Verdicts
from textdetect.posts.writers import Writer, annotate, format_of_output, open_output

if TYPE_CHECKING:
    from textdetect.model.client import Client
    from textdetect.model.detector import Detector

Engine = Literal["local", "ray"]


def score_files(
    source: PathOrDash | Sequence[PathOrDash],
    out: PathOrDash | Writer,
    *,
    detector: Detector | Client | None = None,
    output_format: str | None = None,
    max_fpr: float = 0.01,
    chunk_rows: int = 4_096,
    workers: int | None = None,
    engine: Engine = "local",
    resume: bool = False,
    shard_rows: int = 131_072,
    progress: bool | None = None,
    **reading: Any,
) -> Summary:
    """Score posts files, in memory that does not grow with them: one file, or any number.

    The output has every row of the input once, in order, with all its columns and with `td_label`,
    `td_probability`, `td_logit`, `td_p_value`, `td_flagged`, `td_language`, `td_reason`,
    `td_n_tokens`, `td_truncated`, `td_notes`, names joined by a blank, and `td_model`, which model
    and engine said so (columns of these names are replaced). A row that can't be parsed has its raw
    line as its text and the reason "unreadable"; so does one whose text is no string, with its
    columns kept.

    Many files become Parquet shards in a folder, in the order of the files; `td_source` and
    `td_row` (1-based) say where a row came from. A file that can't be read is listed, and the
    others are scored. A run that was cut off goes on with `resume`. So does one file, where `out`
    is a folder.

    Args:
        source: a path, or "-" for stdin; gzip and zstd are unpacked. Or several paths, globs
            ("posts/*.csv") and folders.
        out: a path, "-" for stdout, or a `Writer` of your own. For several files, or with a "/" at
            its end, a folder.
        detector: the embedded one by default; or a `Client` of one behind a URL.
        output_format: csv, tsv, jsonl or parquet; by the suffix, else as the input.
        max_fpr: share of human posts that may be flagged, in (0, 1).
        chunk_rows: rows held at once by each worker, at least 1.
        workers: processes that score, each with its share of the cores; 1 is this process. None: 1
            for one file, the cores that this process may use for many. They are spawned: a script
            that calls this must guard its own start (`if __name__ == "__main__":`).
        engine: "local": processes of this machine; "ray": the workers of the Ray cluster that this
            machine belongs to, or of one that is started here. The output is the same; None
            workers are as many as the cluster has cores (GPUs, if the detector is on one).
        resume: go on with the run in the folder, if there is one.
        shard_rows: rows after which a new shard begins, at least 1.
        progress: show a bar on stderr; None: if that is a terminal.
        reading: how files are read, as `posts.files.open_posts` takes it: text_column=,
            language_column=, format= …

    Raises:
        InvalidInput: an option, a format or a column that cannot be.
        RunError: the folder holds a run already, or `resume` would not go on with the same one.
        DetectorFailed: the workers can't load the detector, or it raises in them.
        OSError: a file that can't be read or written; of one file no output is left behind, of
            many the shards so far, and `resume` goes on.

    >>> import pathlib, tempfile
    >>> from textdetect.model.detector import Detector
    >>> from textdetect.model.runtimes import StubRuntime
    >>> stub = Detector(StubRuntime()).calibrate([f"a human post, number {i}" for i in range(600)])
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "posts.csv").write_text("id,text\\n1,so good to see you all again\\n")
    >>> score_files(folder / "posts.csv", folder / "scored.csv", detector=stub).n_rows
    1
    >>> score_files(folder, folder / "scored", detector=stub, workers=1).n_files
    2
    """
    for name, value in (("chunk_rows", chunk_rows), ("shard_rows", shard_rows)):
        if value < 1:
            raise InvalidInput(f"{name}: expected at least 1, got {value}")
    if workers is not None and workers < 1:
        raise InvalidInput(f"workers: expected at least 1, got {workers}")
    if engine not in get_args(Engine):
        raise InvalidInput(f"engine: expected 'local' or 'ray', got {engine!r}")
    reading = {name: value for name, value in reading.items() if value is not None}
    given = as_paths(source)
    name = os.fspath(out) if isinstance(out, (str, os.PathLike)) else ""
    paths = find_inputs(given, but=SHARDS, of=name)
    several = len(paths) > 1 or paths != given
    folder = _folder(name, output_format, several=several)
    if folder is None and not several:
        if resume:
            raise InvalidInput("only a run into a folder can go on: end the output's name in /")
        judge = _judge_by(detector or _embedded(), max_fpr, engine, workers, default=1)
        return _into_file(paths[0], out, judge, reading, chunk_rows, output_format, progress)
    if folder is None or STANDARD_STREAM in paths:
        raise InvalidInput(
            "several files, folders and globs are scored into a folder of Parquet files: name one "
            "with -o FOLDER/; and what comes on stdin must be saved to a file first"
        )
    detector = detector or _embedded()
    judge = _judge_by(detector, max_fpr, engine, workers, default=available_cores())
    sizes = {"max_fpr": max_fpr, "chunk_rows": chunk_rows, "shard_rows": shard_rows}
    inputs, facts = [Input.at(path) for path in paths], _facts(detector) | reading | sizes
    with open_run(folder, facts, inputs, resume=resume) as run:
        return _into_shards(run, judge, reading, chunk_rows, shard_rows, progress)


def _folder(name: str, output_format: str | None, *, several: bool) -> Path | None:
    """Return the output if it is a folder, or was meant to be made one."""
    if name in ("", STANDARD_STREAM) or output_format not in (None, "parquet"):
        return None
    meant = name.endswith(("/", os.sep)) or (several and not Path(name).suffix)
    return Path(name) if Path(name).is_dir() or (meant and not Path(name).exists()) else None


def _embedded() -> Detector:
    from textdetect.model.detector import Detector

    return Detector.from_pretrained()


def _judge_by(
    detector: Detector | Client, max_fpr: float, engine: Engine, n: int | None, *, default: int
) -> Judge:
    if engine == "ray":
        from textdetect.bulk.ray import RayWorkers
        from textdetect.model.detector import Detector

        if not isinstance(detector, Detector):
            raise InvalidInput("engine: a server has workers of its own; ask it with 'local'")
        return RayWorkers(detector, max_fpr, n)
    n = n or default
    return Judge(detector, max_fpr) if n == 1 else Workers(detector, max_fpr, n)


def _into_file(
    source: str,
    out: PathOrDash | Writer,
    judge: Judge,
    reading: dict[str, Any],
    n_rows: int,
    output_format: str | None,
    progress: bool | None,
) -> Summary:
    read_as = format_of_input(source, reading.get("format") or reading.get("input_format"))
    path = os.fspath(out) if isinstance(out, (str, os.PathLike)) else ""
    write_as = format_of_output(path, output_format, read_as) if path else None
    tally = Tally()
    with ExitStack() as stack:
        opening = open_posts(source, into=write_as, **(reading | {"format": read_as}))
        reader = stack.enter_context(opening)
        if isinstance(out, (str, os.PathLike)):
            opened = open_output(out, reader, format=write_as or "csv", source=source)
            out = stack.enter_context(opened)
        stack.enter_context(judge)
        shown = stack.enter_context(bar(reader.total, progress, unit=reader.unit))
        start_s = time.perf_counter()
        for piece, verdicts in judge.judge(read_rows(reader, n_rows)):
            out.write(piece.chunk, annotate(piece.chunk.rows, verdicts))
            tally.add(piece.chunk, verdicts)
            shown.set_postfix(posts=tally.n_rows, refresh=False)
            shown.update(piece.position - shown.n)
    elapsed_s = time.perf_counter() - start_s
    return tally.summary(elapsed_s, path, n_worker_deaths=judge.n_deaths)


def _into_shards(
    run: Run,
    judge: Judge,
    reading: dict[str, Any],
    n_rows: int,
    shard_rows: int,
    progress: bool | None,
) -> Summary:
    with ExitStack() as stack:
        n_resumed = run.tally.n_rows
        stack.enter_context(judge)
        show = stack.enter_context(_showing(run.inputs, progress))
        start_s = time.perf_counter()
        first = next((i for i, source in enumerate(run.inputs) if source.n_rows is None), 0)
        pieces = read_inputs(run.inputs, reading, n_rows, skip=run.n_rows[first])
        judged = judge.judge(pieces)
        for piece, verdicts in judged:
            if (reader := piece.reader) is not None:
                piece = _write_shard(run, piece, reader, verdicts, judged, shard_rows, show)
            if piece.reader is None:
                run.finish(piece.place, piece.problem)
    return run.tally.summary(
        time.perf_counter() - start_s,
        str(run.folder),
        n_files=len(run.inputs),
        failed=tuple((i.path, i.problem) for i in run.inputs if i.problem is not None),
        n_resumed=n_resumed,
        n_worker_deaths=judge.n_deaths,
    )


def _write_shard(
    run: Run,
    piece: Piece,
    reader: Reader,
    verdicts: Verdicts,
    judged: Iterator[tuple[Piece, Verdicts]],
    n_rows: int,
    show: Callable[[Piece], None],
) -> Piece:
    """Write a shard of one input, from this piece on; returns the last one that was looked at."""
    source, tally = run.inputs[piece.place].path, Tally()
    with open_output(run.next_shard, reader, format="parquet", origin=source) as writer:
        while piece.reader is not None:
            writer.write(piece.chunk, annotate(piece.chunk.rows, verdicts))
            tally.add(piece.chunk, verdicts, source=source)
            show(piece)
            if tally.n_rows >= n_rows:
                break
            piece, verdicts = next(judged)  # an input's last piece is its end
    run.add(piece.place, tally)
    return piece


def _facts(detector: Detector | Client) -> dict[str, Any]:
    """Name all of a detector that decides what comes out of an input, in plain values."""
    calibration = detector.calibration.to_dict() if detector.calibration else {}
    return {
        "model": f"{detector.name} {detector.version}",
        "fingerprint": detector.fingerprint,
        "numerics": detector.numerics,
        "calibration": hashlib.sha256(json.dumps(calibration).encode()).hexdigest(),
        "languages": list(detector.languages),
        "normalises": detector.normalises,
    }


@contextmanager
def _showing(inputs: Sequence[Input], progress: bool | None) -> Iterator[Callable[[Piece], None]]:
    """Show a bar over the bytes of all inputs, those that are done with first."""
    sizes = [source.size or 0 for source in inputs]
    starts = list(accumulate(sizes, initial=0))
    n_done = next((i for i, source in enumerate(inputs) if source.n_rows is None), len(inputs))
    with bar(starts[-1], progress, unit="B", initial=starts[n_done]) as shown:

        def show(piece: Piece) -> None:
            total = (piece.reader and piece.reader.total) or 0
            share = piece.position / max(total, piece.position, 1)
            shown.set_postfix(file=f"{piece.place + 1}/{len(sizes)}", refresh=False)
            shown.update(starts[piece.place] + int(share * sizes[piece.place]) - shown.n)

        yield show
