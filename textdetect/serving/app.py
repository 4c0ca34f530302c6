"""The server's endpoints as one ASGI app: our own dialect, those of others, operations, the page.

It knows nothing of sockets and signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from textdetect._version import __version__
from textdetect.accounts import score_accounts
from textdetect.errors import InvalidInput, TextdetectError
from textdetect.serving import schemas
from textdetect.serving.bodies import NDJSON, media_type
from textdetect.serving.desk import ClientGone, Desk, error_answer, json_answer, plain_error
from textdetect.serving.dialects import dialects
from textdetect.serving.documents import document
from textdetect.serving.engine import Engine
from textdetect.serving.guard import Guard
from textdetect.serving.keys import Keys
from textdetect.serving.metrics import Metrics
from textdetect.serving.settings import Limits
from textdetect.serving.streams import Lines, answers
from textdetect.types import Scores, Verdicts

_PAGES: Final = ("index.html", "docs.html", "app.css", "app.js", "docs.js")
_KINDS: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(
    engine: Engine, *, limits: Limits | None = None, keys: Keys | None = None
) -> FastAPI:
    """Make the app; its lifespan starts and stops the engine; without keys, anyone may ask.

    `app.state.desk` is what its endpoints share, `app.state.guard` stands before them.
    """
    desk = Desk(engine, limits or Limits(), keys, Metrics(engine))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        yield
        await engine.stop()

    app = FastAPI(
        title="textdetect",
        version=__version__,
        description=(
            "Tells, with stated error rates, whether a machine wrote a post. A flag is a "
            "statistical statement about a text, not about a person, and never the sole ground "
            "for a sanction or a legal claim."
        ),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(_scoring(desk))
    app.include_router(dialects(desk))
    app.include_router(_operations(desk))
    app.include_router(_page())
    _answer_errors(app)
    app.openapi = cache(partial(document, app, desk))  # type: ignore[method-assign]
    app.state.desk = desk
    app.state.guard = Guard(app, metrics=desk.metrics, most=desk.limits.requests)
    return app


def _scoring(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["scoring"])
    origin = desk.engine.model.origin
    model = {"name" if key == "model" else key: value for key, value in origin.items()}

    @router.post("/score", response_model=schemas.ScoreAnswer)
    async def score(request: Request) -> Response:
        """Judge posts: a verdict each, in their order.

        With Content-Type application/x-ndjson each line is a post, and each line of the answer a
        verdict, or {"error": …} where the line can't be read; `max_fpr` is then in the query.
        """
        if media_type(request.headers) == NDJSON:
            key = desk.who(request)
            lines = answers(desk, request, key, _rate(request, desk))
            return Lines(lines, patience_s=desk.limits.request_s)
        asked, key = await desk.read(request, desk.requests.score)
        post = desk.requests.post
        posts: list[Any] = [post(text=p) if isinstance(p, str) else p for p in asked.posts]
        texts, languages = [p.text for p in posts], [p.language for p in posts]
        verdicts = await desk.judge(request, key, texts, languages=languages, max_fpr=asked.max_fpr)
        pairs = zip(posts, verdicts.to_dicts(), strict=True)
        each = [{"id": p.id, **verdict} for p, verdict in pairs]
        return json_answer({"model": model, "max_fpr": asked.max_fpr, "verdicts": each})

    if desk.engine.model.null is not None:

        @router.post("/accounts", response_model=schemas.AccountsAnswer)
        async def accounts(request: Request) -> Response:
            """Tell for which accounts a machine writes, at a false-discovery rate."""
            asked, key = await desk.read(request, desk.requests.accounts)
            texts = [post.text for post in asked.posts]
            verdicts = await desk.judge(request, key, texts)
            posts = {"account": [post.account for post in asked.posts], "text": texts}
            known: Any = {"detector": _Judged(desk, verdicts), "null": desk.engine.model.null}
            found = await asyncio.to_thread(score_accounts, posts, fdr=asked.fdr, **known)
            rows = found.to_table().to_pylist()
            answer = {"model": model, "fdr": found.fdr, "fewest": found.fewest, "accounts": rows}
            return json_answer(answer)

    @router.get("/model", response_model=schemas.ModelAnswer)
    async def about(request: Request) -> Response:
        """Tell which model answers, and what this server takes."""
        key = desk.who(request)
        rate = key.posts_per_minute if key else None
        return json_answer(
            {
                **model,
                "languages": desk.engine.model.languages,
                "max_fpr": desk.engine.max_fpr,
                "smallest_max_fpr": desk.engine.model.smallest,
                "limits": {
                    "posts": min(desk.limits.posts, rate or desk.limits.posts),
                    "characters": desk.limits.characters,
                    "body_bytes": desk.limits.body_bytes,
                },
            }
        )

    return router


def _operations(desk: Desk) -> APIRouter:
    router = APIRouter(tags=["operations"])

    def state() -> str:
        return "stopping" if desk.stopping else "ok" if desk.engine.n_ready else "loading"

    down: dict[int | str, dict[str, Any]] = {
        503: {"model": schemas.State, "description": "The model loads, or the server stops."}
    }

    @router.get("/health/live", response_model=schemas.State)
    async def live() -> Response:
        """Tell that the process runs."""
        return json_answer({"status": state()})

    @router.get("/health/ready", response_model=schemas.State, responses=down)
    @router.get("/health", response_model=schemas.State, responses=down)
    async def ready() -> Response:
        """Tell whether posts are judged: 503 while the model loads, or the server stops."""
        return json_answer({"status": state()}, 200 if state() == "ok" else 503)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Give counters for Prometheus."""
        desk.who(request)
        return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def _page() -> APIRouter:
    router = APIRouter(tags=["page"])
    folder = files("textdetect.serving") / "page"
    ready = {
        name: Response(
            (folder / name).read_bytes(),
            media_type=_KINDS[name.rpartition(".")[2]],
            headers={"content-security-policy": _PAGE_POLICY},
        )
        for name in _PAGES
    }

    @router.get("/", response_class=HTMLResponse)
    async def index() -> Response:
        """Give the page: posts in, verdicts out, for people."""
        return ready["index.html"]

    @router.get("/docs", response_class=HTMLResponse)
    async def docs() -> Response:
        """Give the page of the API: its endpoints, to read and to try."""
        return ready["docs.html"]

    @router.get("/page/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        return ready.get(name) or plain_error(404, "not_found", "there is no such page")

    return router


def _answer_errors(app: FastAPI) -> None:
    """Answer every error in one shape, without what was sent."""

    async def ours(request: Request, error: Any) -> Response:
        return error_answer(error)

    async def http(request: Request, error: Any) -> Response:
        kind, message = {
            404: ("not_found", "there is no such path"),
            405: ("method_not_allowed", "this path takes another method"),
        }.get(error.status_code, ("http", "the request can't be read"))
        headers = dict(error.headers or {})
        if error.status_code == 405:  # Starlette names the methods of one route alone
            methods = app.openapi()["paths"].get(request.url.path, {})
            headers["Allow"] = ", ".join(map(str.upper, methods)) or headers.get("Allow", "")
        return plain_error(error.status_code, kind, message, **headers)

    async def query(request: Request, error: Any) -> Response:
        return plain_error(422, "invalid_input", "a parameter of the query can't be read")

    async def gone(request: Request, error: Any) -> Response:
        return Response(status_code=499)

    async def broken(request: Request, error: Any) -> Response:
        return plain_error(400, "http", "the body ended before its end")

    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        TextdetectError: ours,
        HTTPException: http,
        RequestValidationError: query,
        ClientGone: gone,
        ClientDisconnect: broken,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _rate(request: Request, desk: Desk) -> float:
    given, smallest = request.query_params.get("max_fpr"), desk.engine.model.smallest
    try:
        rate = desk.engine.max_fpr if given is None else float(given)
    except ValueError:
        rate = 0.0
    if not smallest <= rate < 1 or not rate > 0:
        raise InvalidInput(f"max_fpr: expected a share from {smallest:.2g} to below 1")
    return rate


class _Judged:
    """Stands for a detector where the posts were judged already; see `score_accounts`."""

    def __init__(self, desk: Desk, verdicts: Verdicts) -> None:
        model = desk.engine.model
        self.name, self.version, self.fingerprint = model.name, model.version, model.fingerprint
        self.languages, self.checkpoint, self.runtime = model.languages, None, model
        self._verdicts = verdicts

    def score(self, texts: Any, *, progress: bool) -> tuple[Scores, list[str]]:
        """Give what is known of the texts."""
        known = self._verdicts
        return Scores(known.logit, known.n_tokens, known.truncated), known.language.tolist()
