"""What a command returns or raises → an exit code, and at most one line on stderr beside its log.

0 done, 1 failed, 2 usage, 3 done with rows or files that could not be read, or with a calibration
of too few posts for the usual rate, 130 interrupted. It knows no command.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec

import typer

from textdetect.errors import InvalidInput, TextdetectError

FAILED: Final = 1
USAGE: Final = 2
UNREADABLE: Final = 3
TOO_FEW: Final = 3
INTERRUPTED: Final = 130

P = ParamSpec("P")


def guard(command: Callable[P, int]) -> Callable[P, None]:
    """Turn what a command returns or raises into an exit code, and errors into one line."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _sigterm_as_interrupt(), _log_on_stderr():
                code = command(*args, **kwargs)
                sys.stdout.flush()
        except KeyboardInterrupt:
            code = failed(INTERRUPTED, "interrupted")
        except BrokenPipeError:  # whoever read our output has had enough
            code = failed(FAILED)
        except InvalidInput as error:
            code = failed(USAGE, _as_options(str(error)))
        except OSError as error:
            what = error.strerror or str(error)
            code = failed(FAILED, f"{error.filename}: {what}" if error.filename else what)
        except TextdetectError as error:
            code = failed(FAILED, str(error))
        raise typer.Exit(code)

    return guarded


def _as_options(message: str) -> str:
    """Name options as a shell takes them, where a message names arguments of a function."""
    message = re.sub(r"\b\w+= \((--[\w-]+)\)", r"\1", message)
    return re.sub(
        r"\b[a-z]+(?:_[a-z]+)+=(?= )", lambda m: f"--{m[0][:-1]}".replace("_", "-"), message
    )


def failed(code: int, message: str = "") -> int:
    """Say why on stderr, if there is something to say, and return the code."""
    if message:
        say(f"textdetect: {' '.join(message.split())}")
    try:
        sys.stdout.flush()
    except OSError:  # or Python would try again at exit, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def say(line: str) -> None:
    """Print a line on stderr."""
    typer.echo(line, err=True)


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show this package's warnings, which no handler shows outside a program of one's own."""
    package, handler = logging.getLogger("textdetect"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("textdetect: %(message)s"))
    handler.addFilter(lambda _: package.propagate)  # else the server writes the log, as JSON
    level = package.level
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


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
