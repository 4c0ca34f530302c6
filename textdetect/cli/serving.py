"""Commands of the scoring server: run it, and make keys for those who may ask it."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Argument, Option

from textdetect.cli.app import Model, Runtime, command, option
from textdetect.cli.exits import say


@command
def serve(
    host: Annotated[str, option("Address to listen at.", "H")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="P", min=1, max=65_535)] = 8000,
    workers: Annotated[
        int | None, option("Processes that judge.", "N", min=1, show_default="a core each")
    ] = None,
    max_fpr: Annotated[float, option("Where a request names none.", "A")] = 0.01,
    keys: Annotated[str | None, option("API keys; see: textdetect key.", "FILE")] = None,
    allow_anonymous: Annotated[
        bool, option("Let other machines ask without a key.", None, "--allow-anonymous")
    ] = False,
    max_posts: Annotated[int, option("Posts in one request.", "N", min=1)] = 1_000,
    max_wait: Annotated[
        float, option("Seconds of queue at which requests are refused.", "S")
    ] = 2.0,
    model: Model = "default",
    runtime: Runtime = "auto",
) -> int:
    """Serve the detector over HTTP, with a page at /: for other tools, and for people.

    SIGTERM ends it when every request in flight is answered; SIGHUP reads the
    keys again. Needs the extra "server". See docs/serve.md.
    """
    from textdetect._ground.optional import require

    require("granian", extra="server")
    from textdetect.model.detector import Detector
    from textdetect.serving import Limits
    from textdetect.serving import serve as run

    say(f"textdetect: loading; then at http://{host}:{port}")
    run(
        Detector.from_pretrained(model, runtime=runtime),
        host=host,
        port=port,
        workers=workers,
        max_fpr=max_fpr,
        limits=Limits(posts=max_posts, wait_s=max_wait),
        keys=keys,
        allow_anonymous=allow_anonymous,
    )
    return 0


@command
def key(
    name: Annotated[str, Argument(metavar="NAME", help="Whose it is; stands in the log.")],
    rate: Annotated[int | None, option("Posts a minute.", "N", min=1, show_default="any")] = None,
) -> int:
    """Make an API key: the key on stderr, once; its line for the server's file on stdout.

    textdetect key NAME >> keys.txt
    """
    from textdetect.serving.keys import make_key

    secret, line = make_key(name, rate)
    say(f"the key, shown this once: {secret}")
    typer.echo(line)
    return 0
