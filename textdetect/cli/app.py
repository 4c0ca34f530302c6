"""The command line's frame: the app, how it starts, and the options that commands share."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, ParamSpec

import typer
from typer import Argument, Option

from textdetect._ground.version import __version__
from textdetect.cli.exits import guard


def option(says: str, takes: str | None = None, *names: str, **more: Any) -> Any:
    """Declare an option by its help, what it takes, and its names, if not its argument's."""
    return Option(*names, metavar=takes, help=says, **more)


Model = Annotated[str, option("Name, folder or hub id.", "M", "--model")]
ModelArgument = Annotated[str, Argument(metavar="MODEL", help="Name, folder or hub id.")]
Runtime = Annotated[
    Literal["auto", "onnx", "onnx-fp32", "openvino", "hf"],
    option("Engine that runs the model.", None, "--runtime"),
]
Sources = Annotated[
    list[str], Argument(metavar="IN...", help="Files of any format, folders; - is stdin.")
]
READING: Final = {
    "format": ("F", "Input format, if nothing tells."),
    "layout": ("L", "Where the fields stand: a known name, or a YAML file."),
    "encoding": ("E", "Of text: gb18030, latin-1 ..., if not clear."),
    "delimiter": ("D", "Of csv, if not clear."),
    "text-column": ("C", "Column of the posts, if not a usual name."),
    "account-column": ("C", "Column of the accounts, if not a usual name."),
    "time-column": ("C", "Column of the times, if not a usual name."),
    "language-column": ("C", "Column of language codes (BCP-47)."),
    "time-zone": ("Z", "Of times without one: UTC, +08:00 ..."),
}
"""How files are read: option → what it takes, and what it is."""
OutputFormat = Annotated[str | None, option("Output format, if no suffix tells.", "F")]
DataFolder = Annotated[
    str | None, option("Parquet files, one a source; or in TEXTDETECT_DATA.", "FOLDER")
]
OutFolder = Annotated[str, option("Folder of the new checkpoint.", "FOLDER", "--out", "-o")]
AsJson = Annotated[bool, option("Print JSON instead of tables.", None, "--json")]

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


def reads(*more: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command the options of `READING`; `more`: those of them beyond the posts' column.

    They come as `**reading`, as `posts.files.open_posts` takes them.
    """
    options = [*list(READING)[:5], *more]

    def add(function: Callable[..., int]) -> Callable[..., int]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]
        at = next((i for i, each in enumerate(own) if each.default is not each.empty), len(own))
        for name in options:
            letter, says = READING[name]
            declared = option(says, letter, f"--{name}")
            asked: Any = {"default": None, "annotation": Annotated[str | None, declared]}
            own.insert(at, own[0].replace(name=name.replace("-", "_"), **asked))
            at += 1
        function.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        function.__annotations__ = {each.name: each.annotation for each in own}
        return function

    return add


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
        option(
            "Print the version and exit.", None, "--version", callback=_print_version, is_eager=True
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
