"""Rows of named values → a table on stdout; it knows nothing of what the values mean."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

WIDTH: Final = 140
"""Columns of a file or a pipe, which have no width to keep to: a checksum stays in one piece."""


def show(title: str, rows: Sequence[Mapping[str, Any]], *, header: bool = True) -> None:
    """Print rows as a table, if there are any; the first names the columns.

    >>> show("strata", [])
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(title=title, title_justify="left", show_header=header)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row.values()))  # Text obeys no markup
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def show_pairs(title: str, pairs: Mapping[str, Any]) -> None:
    """Print names and values as a table of two columns, those that are None left out.

    >>> show_pairs("machine", {"memory_gb": None})
    """
    rows = [
        {"name": name.replace("_", " "), "value": value}
        for name, value in pairs.items()
        if value is not None
    ]
    show(title, rows, header=False)


def cell(value: Any) -> str:
    """Write a value for reading.

    >>> [cell(value) for value in (None, 0.00498044, ["en", "zh"], [], 1200)]
    ['', '0.00498', 'en, zh', 'none', '1200']
    """
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
