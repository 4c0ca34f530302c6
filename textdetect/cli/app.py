"""The command line's frame: the app, how it starts, and the options that commands share."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal, ParamSpec

import typer
from typer import Argument, Option

from textdetect._version import __version__
from textdetect.exits import guard

Model = Annotated[str, Option("--model", metavar="M", help="Name, folder or hub id.")]
ModelArgument = Annotated[str, Argument(metavar="MODEL", help="Name, folder or hub id.")]
Runtime = Annotated[
    Literal["auto", "onnx", "openvino", "hf"],
    Option("--runtime", help="Engine that runs the model."),
]
TextColumn = Annotated[
    str | None,
    Option("--text-column", metavar="C", help="Column of the posts, if not a usual name."),
]
Sources = Annotated[
    list[str], Argument(metavar="IN...", help="Files of any format, folders; - is stdin.")
]
InputFormat = Annotated[
    str | None, Option("--format", metavar="F", help="Input format, if nothing tells.")
]
Layout = Annotated[
    str | None, Option(metavar="L", help="Where the fields stand: a known name, or a YAML file.")
]
Encoding = Annotated[
    str | None, Option(metavar="E", help="Of text: gb18030, latin-1 ..., if not clear.")
]
Delimiter = Annotated[str | None, Option(metavar="D", help="Of csv, if not clear.")]
OutputFormat = Annotated[str | None, Option(metavar="F", help="Output format, if no suffix tells.")]
DataFolder = Annotated[
    str | None, Option(metavar="FOLDER", help="Parquet files, one a source; or in TEXTDETECT_DATA.")
]
OutFolder = Annotated[
    str, Option("--out", "-o", metavar="FOLDER", help="Folder of the new checkpoint.")
]
AsJson = Annotated[bool, Option("--json", help="Print JSON instead of tables.")]

P = ParamSpec("P")

app = typer.Typer(
    name="textdetect",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def command(function: Callable[P, int]) -> Callable[P, None]:
    """Add a command to the app; what it returns or raises becomes the exit code."""
    return app.command()(guard(function))


def main() -> None:
    """Run the command line."""
    if not sys.warnoptions:  # what libraries say about themselves is not for whoever runs a command
        warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app(prog_name="textdetect")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"textdetect {__version__}")
        raise typer.Exit


@app.callback()
def _commands(
    version: Annotated[
        bool,
        Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Tell, with stated error rates, whether a machine wrote a post.

    A flag is a statistical statement about a text, never about a person,
    and no sole ground for a sanction.
    """


def print_json(values: dict[str, Any]) -> None:
    """Print plain values as JSON."""
    import json

    typer.echo(json.dumps(values, indent=1, ensure_ascii=False))
