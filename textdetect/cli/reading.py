"""The command that shows how files are read, before anything is judged."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from textdetect.cli.app import (
    Delimiter,
    Encoding,
    InputFormat,
    Layout,
    Sources,
    TextColumn,
    command,
)
from textdetect.exits import UNREADABLE, say


@command
def read(
    source: Sources,
    out: Annotated[
        str | None, Option("--out", "-o", metavar="OUT", help="Posts in the common form: Parquet.")
    ] = None,
    input_format: InputFormat = None,
    layout: Layout = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    text_column: TextColumn = None,
    account_column: Annotated[str | None, Option(metavar="C", help="Column of accounts.")] = None,
    time_column: Annotated[str | None, Option(metavar="C", help="Column of times.")] = None,
    time_zone: Annotated[
        str | None, Option(metavar="Z", help="Of times without one: UTC, +08:00 ...")
    ] = None,
) -> int:
    """Show what is understood of files of posts: layout, columns, times, counts, first rows.

    Reads them whole. -o writes the posts in the common form, which every command
    takes: id, account, time, text, language, url, hashtags, reply_to, repost.
    """
    from textdetect.posts.outputs import format_of_output, write_table
    from textdetect.posts.tables import overview, read_posts
    from textdetect.tables import show, show_pairs

    write_as = format_of_output(out, None, "parquet") if out else ""
    posts, bad = read_posts(
        source,
        time_zone=time_zone,
        progress=None,
        format=input_format,
        layout=layout,
        encoding=encoding,
        delimiter=delimiter,
        text=text_column,
        account=account_column,
        time=time_column,
    )
    seen = overview(posts)
    for name, pairs in seen.files.items():
        show_pairs(name, pairs)
    show_pairs("posts", seen.counts)
    show("first rows", seen.first)
    for row in seen.bad:
        say(row)
    if out:
        write_table(posts, out, format=write_as)
        typer.echo(f"written to {out}")
    return UNREADABLE if bad else 0
