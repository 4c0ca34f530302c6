"""A bar over what takes more than two seconds, where somebody can see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

T = TypeVar("T")


def bar(
    total: int | None,
    progress: bool | None = None,
    *,
    unit: str = "post",
    what: str | None = None,
    initial: int = 0,
) -> Any:
    """Make a bar that shows after two seconds; with `progress` None, on a terminal only."""
    if not (sys.stderr.isatty() if progress is None else progress):
        return _NoBar()
    from tqdm.auto import tqdm

    told: dict[str, Any] = {"unit": unit, "unit_scale": unit == "B", "desc": what}
    return tqdm(total=total, initial=initial, delay=2, leave=False, **told)


def bar_over(items: Any, progress: bool | None, *, unit: str = "post") -> Any:
    """Make a `bar` as long as the items are many."""
    return bar(length_of(items), progress, unit=unit)


def tracked(
    items: Iterable[T], progress: bool | None = None, *, unit: str = "post", what: str | None = None
) -> Iterator[T]:
    """Yield the items under a `bar` that moves with each.

    >>> list(tracked("ab", what="letters"))
    ['a', 'b']
    """
    with bar(length_of(items), progress, unit=unit, what=what) as shown:
        for item in items:
            yield item
            shown.update(1)


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

    n = 0

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: int = 1) -> None: ...

    def set_description(self, what: str) -> None: ...

    def set_postfix(self, **_: Any) -> None: ...
