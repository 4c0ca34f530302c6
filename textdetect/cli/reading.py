"""The command that shows how files are read, before anything is judged."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer import Option

from textdetect.cli.app import Sources, command, reads
from textdetect.cli.exits import UNREADABLE, say


@command
@reads("account-column", "time-column", "time-zone")
def read(
    source: Sources,
    out: Annotated[
        str | None, Option("--out", "-o", metavar="OUT", help="Posts in the common form: Parquet.")
    ] = None,
    **reading: Any,
) -> int:
    """Show what is understood of files of posts: layout, columns, times, counts, first rows.

    Reads them whole. -o writes the posts in the common form, which every command
    takes: id, account, time, text, language, url, hashtags, reply_to, repost.
    """
    from textdetect.cli.tables import show, show_pairs
    from textdetect.posts.tables import overview, read_posts, readings_of
    from textdetect.posts.writers import format_of_output, inert, write_table

    write_as = format_of_output(out, None, "parquet") if out else ""
    posts, n_bad = read_posts(source, progress=None, **reading)
    for name, pairs in overview(posts).items():
        show_pairs(name, pairs)
    shown = [n for n in ("account", "time", "text", "repost") if n in posts.column_names]
    first = posts.select(shown).slice(0, 5).to_pylist()
    show("first rows", [{n: inert(str(v)[:70]) for n, v in row.items()} for row in first])
    for told in readings_of(posts):
        for row, line, why in told["bad"]:
            say(f"unreadable: {told['name']}: row {row}{f' (line {line})' if line else ''}: {why}")
    if out:
        write_table(posts, out, format=write_as)
        typer.echo(f"written to {out}")
    return UNREADABLE if n_bad else 0
