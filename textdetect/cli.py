"""The command line: arguments in, exit codes out; what a command does is a function elsewhere.

Exit codes: 0 done, 1 failed, 2 usage, 3 done with rows that could not be read, 130 interrupted.
It imports what a command needs only when that command runs.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, Literal, ParamSpec

import typer

from textdetect.errors import InvalidInput, TextdetectError

if TYPE_CHECKING:
    from textdetect.bulk import Summary

FAILED: Final = 1
USAGE: Final = 2
UNREADABLE_ROWS: Final = 3
INTERRUPTED: Final = 130

P = ParamSpec("P")

app = typer.Typer(
    name="textdetect",
    help="Tell, with stated error rates, whether a machine wrote a post.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    app(prog_name="textdetect")


@app.callback()
def _commands() -> None:
    # With a callback, typer keeps the command's name even while there is one command only.
    """Tell, with stated error rates, whether a machine wrote a post."""


def _guard(command: Callable[P, int]) -> Callable[P, None]:
    """Turn what a command returns or raises into an exit code, and errors into one line."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _sigterm_as_interrupt():
                code = command(*args, **kwargs)
                sys.stdout.flush()
        except KeyboardInterrupt:
            code = _failed(INTERRUPTED, "interrupted")
        except BrokenPipeError:  # whoever read our output has had enough
            code = _failed(FAILED)
        except InvalidInput as error:
            code = _failed(USAGE, str(error))
        except OSError as error:
            what = error.strerror or str(error)
            code = _failed(FAILED, f"{error.filename}: {what}" if error.filename else what)
        except TextdetectError as error:
            code = _failed(FAILED, str(error))
        raise typer.Exit(code)

    return guarded


def _failed(code: int, message: str = "") -> int:
    if message:
        _say(f"textdetect: {' '.join(message.split())}")
    try:
        sys.stdout.flush()
    except OSError:  # or Python would try again at exit, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _say(line: str) -> None:
    typer.echo(line, err=True)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM clean up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
@_guard
def score(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="csv, tsv, jsonl, parquet or txt; - for stdin.")
    ],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="OUT", help="Output file; - for stdout."),
    ] = None,
    input_format: Annotated[
        str | None, typer.Option("--format", metavar="F", help="Input format, if no suffix tells.")
    ] = None,
    output_format: Annotated[
        str | None, typer.Option(metavar="F", help="Output format, if no suffix tells.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(metavar="C", help="Column of the posts.")
    ] = None,
    language_column: Annotated[
        str | None, typer.Option(metavar="C", help="Column of ISO 639-1 codes.")
    ] = None,
    max_fpr: Annotated[
        float, typer.Option(metavar="A", help="Share of human posts that may be flagged.")
    ] = 0.01,
    model: Annotated[str, typer.Option(metavar="M", help="Name, folder or hub id.")] = "default",
    runtime: Annotated[
        Literal["auto", "onnx", "hf"], typer.Option(help="Engine that runs the model.")
    ] = "auto",
) -> int:
    """Score a file of posts: every row with its verdict, to a file, to stdout or as a table."""
    from textdetect.bulk import score_files
    from textdetect.posts.writers import TerminalWriter

    detector = None
    if (model, runtime) != ("default", "auto"):
        from textdetect.detector import Detector

        detector = Detector.from_pretrained(model, runtime=runtime)
    table = (
        TerminalWriter() if out is None and output_format is None and sys.stdout.isatty() else None
    )
    summary = score_files(
        source,
        table or out or "-",
        detector=detector,
        text_column=text_column,
        language_column=language_column,
        input_format=input_format,
        output_format=output_format,
        max_fpr=max_fpr,
    )
    if table is not None:
        table.show(summary.n_rows)
    _report(summary)
    return UNREADABLE_ROWS if summary.n_unreadable else 0


def _report(summary: Summary) -> None:
    """Say on stderr what a run came to."""
    uncertain = ", ".join(f"{n:,} {reason}" for reason, n in summary.uncertain.items())
    _say(
        f"{summary.n_rows:,} rows in {summary.elapsed_s:.1f} s ({summary.posts_per_s:,.0f} a "
        f"second): {summary.n_flagged:,} flagged, {summary.n_human:,} human, "
        f"{sum(summary.uncertain.values()):,} uncertain{f' ({uncertain})' if uncertain else ''}, "
        f"{summary.n_unreadable:,} unreadable"
    )
    for number, line, why in summary.unreadable:
        _say(f"unreadable: row {number}{'' if line is None else f' (line {line})'}: {why}")
    if summary.n_unreadable > len(summary.unreadable):
        _say(f"unreadable: and {summary.n_unreadable - len(summary.unreadable):,} more")
    if summary.output not in ("", "-"):
        _say(f"written to {summary.output}")
