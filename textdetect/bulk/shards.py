"""The output folder of a run over many files: whole shards, and a manifest that lets it go on.

A shard appears under its name only when it is complete and on the disk; the manifest lists the
shards that count. Whatever a run that was cut off leaves besides is removed when it goes on. It
knows nothing of verdicts.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from textdetect._ground.files import write_atomically
from textdetect._ground.version import __version__
from textdetect.bulk.inputs import Input
from textdetect.bulk.summary import Tally
from textdetect.errors import RunChanged, RunError, RunExists, RunLocked
from textdetect.posts.rows import MAX_LISTED

MANIFEST: Final = "_manifest.json"
"""Begins with "_", so that whoever reads the folder as Parquet passes it over."""
LOCK: Final = ".lock"
SHARDS: Final = "part-*.parquet"
_PARTIAL: Final = (f".{SHARDS}.partial-*", f".{MANIFEST}.partial-*")
_SAVE_SHARE: Final = 0.1
"""Share of the time that may go into saving the manifest after each shard."""
_ANEW: Final = "or begin anew in another folder"


@dataclass(slots=True)
class Run:
    """A run over many files, as far as it has come.

    Attributes:
        folder: where the shards are.
        facts: name → plain value, of all that decides the output.
        inputs: in order; those with `n_rows` are done with.
        shards: in order: file, place of its input, first row, bytes, and its rows counted.
        tally: the rows of all shards.
        n_rows: place of an input → its rows that are in shards.
    """

    folder: Path
    facts: dict[str, Any]
    inputs: list[Input]
    shards: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    n_rows: Counter[int] = field(default_factory=Counter)
    _saved_s: float = 0.0
    _saving_took_s: float = 0.0

    @property
    def next_shard(self) -> Path:
        """Path of the shard to write next."""
        return self.folder / SHARDS.replace("*", f"{len(self.shards):06}")

    def add(self, place: int, tally: Tally) -> None:
        """List the shard that was just written."""
        del tally.unreadable[MAX_LISTED - len(self.tally.unreadable) :]
        file, first_row = self.next_shard, self.n_rows[place] + 1
        origin = {"file": file.name, "input": place, "first_row": first_row}
        self._count(origin | {"n_bytes": file.stat().st_size} | tally.to_dict())
        self._save_if_cheap()

    def _count(self, shard: dict[str, Any]) -> None:
        self.shards.append(shard)
        self.tally.merge(Tally.from_dict(shard))
        self.n_rows[shard["input"]] += shard["n_rows"]

    def finish(self, place: int, problem: str | None) -> None:
        """Be done with an input; `problem` says why it ended early."""
        source = self.inputs[place]
        source.n_rows, source.problem = self.n_rows[place], problem
        self._save_if_cheap()

    def save(self) -> None:
        """Write the manifest; what it lists is on the disk before it."""
        start_s = time.monotonic()
        values = {
            "format": 1,
            "textdetect": __version__,
            "complete": all(source.n_rows is not None for source in self.inputs),
            "facts": self.facts,
            "inputs": [asdict(source) for source in self.inputs],
            "shards": self.shards,
        }
        _sync(self.folder)
        write_atomically(self.folder / MANIFEST, (json.dumps(values) + "\n").encode())
        _sync(self.folder)
        self._saved_s = time.monotonic()
        self._saving_took_s = self._saved_s - start_s

    def _save_if_cheap(self) -> None:
        if _SAVE_SHARE * (time.monotonic() - self._saved_s) >= self._saving_took_s:
            self.save()

    def check(self, facts: dict[str, Any], inputs: Sequence[Input]) -> None:
        """Raise `RunChanged`, with what it is, unless the run can go on as asked now."""
        for name in self.facts | facts:
            before, now = self.facts.get(name), facts.get(name)
            if before != now:
                raise RunChanged(
                    f"{self.folder}: {name} was {before!r} in the run so far, and is {now!r} now; "
                    f"ask for the same, {_ANEW}"
                )
        paths, asked = [source.path for source in self.inputs], [source.path for source in inputs]
        for path in sorted({*paths} ^ {*asked}):
            what = "is none of the run so far" if path in asked else "is missing now"
            raise RunChanged(f"{self.folder}: the input {path} {what}; name the same ones, {_ANEW}")
        if paths != asked:
            raise RunChanged(f"{self.folder}: the inputs came in another order; keep it, {_ANEW}")
        for source, seen in zip(self.inputs, inputs, strict=True):
            if not source.is_as(seen):
                raise RunChanged(
                    f"{self.folder}: the input {source.path} has changed since the run began "
                    f"(its size or its time of change); put the old one back, {_ANEW}"
                )
        for shard in self.shards:
            file = self.folder / shard["file"]
            if not file.is_file() or file.stat().st_size != shard["n_bytes"]:
                raise RunChanged(f"{file}: the shard is gone or was changed; begin anew elsewhere")

    def tidy(self) -> None:
        """Remove what the manifest does not list: shards of the last moment, and halves."""
        listed = {shard["file"] for shard in self.shards}
        for pattern in (SHARDS, *_PARTIAL):
            for file in self.folder.glob(pattern):
                if file.name not in listed:
                    file.unlink()


@contextmanager
def open_run(
    folder: Path, facts: dict[str, Any], inputs: Sequence[Input], *, resume: bool
) -> Iterator[Run]:
    """Begin a run in a folder, or go on with the one that is there; nobody else may meanwhile.

    The folder is made where there is none; `resume` goes on with what is there, if anything.

    Raises:
        RunLocked: another run is writing to the folder.
        RunExists: there is a run, and `resume` is False.
        RunChanged: there is a run of other facts or inputs.
        RunError: its manifest can't be read.
        OSError: the folder can't be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunLocked(
            f"{folder}: another run is writing to this folder; wait for it, or name another folder"
        ) from None
    try:
        run = _begin(folder, facts, inputs, resume=resume)
        try:
            yield run
        except BaseException:
            with suppress(OSError):  # a full disk: the manifest before this one still holds
                run.save()
            raise
        run.save()
    finally:
        lock.release()


def _begin(folder: Path, facts: dict[str, Any], inputs: Sequence[Input], *, resume: bool) -> Run:
    run = _load(folder)
    if run is None:
        if next(folder.glob(SHARDS), None) is not None:
            raise RunExists(
                f"{folder}: there are {SHARDS} files here that no run has listed; name another "
                "folder"
            )
        run = Run(folder, facts, list(inputs))
        run.save()
    elif resume:
        run.check(facts, inputs)
        run.tidy()
    else:
        raise RunExists(
            f"{folder}: there is a run in this folder ({len(run.shards)} shards); go on with it "
            "with --resume, or name another folder"
        )
    return run


def _load(folder: Path) -> Run | None:
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        run = Run(folder, values["facts"], [Input(**source) for source in values["inputs"]])
        for shard in values["shards"]:
            run._count(shard)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder / MANIFEST} can't be read ({type(error).__name__}): it is damaged, or of "
            "another version; name another folder"
        ) from None
    return run


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if os.name == "nt":  # a folder can't be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
