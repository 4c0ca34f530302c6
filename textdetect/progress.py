"""A bar over what takes more than two seconds, where somebody can see it."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any


def bar_over(items: Any, progress: bool | None, *, unit: str = "post") -> Any:
    """Make a bar that shows after two seconds; with `progress` None, on a terminal only."""
    if not (sys.stderr.isatty() if progress is None else progress):
        return _NoBar()
    from tqdm.auto import tqdm

    return tqdm(total=length_of(items), unit=unit, delay=2, leave=False)


def length_of(items: Any) -> int | None:
    """Give how many items there are, if that can be told beforehand.

    >>> length_of(["a", "b"]), length_of(iter("ab"))
    (2, None)
    """
    try:
        return len(items)
    except TypeError:  # a generator, or an array without dimensions, which `coerce` refuses
        return None


class _NoBar(AbstractContextManager["_NoBar"]):
    """No bar, where none is to be seen: tqdm takes a while to be imported."""

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: int) -> None: ...
