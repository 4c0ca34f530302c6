"""The server's endpoints as one ASGI app: our dialect, those of others, operations, the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from textdetect._ground.version import __version__
from textdetect.accounts import AccountVerdicts, GroupedPosts, judge_accounts
from textdetect.errors import InvalidInput, TextdetectError
from textdetect.model.judgement import scored_by
from textdetect.posts.scored import Verdicts
from textdetect.posts.values import account_names
from textdetect.serving import schemas
from textdetect.serving.bodies import NDJSON, media_type
from textdetect.serving.dialects import dialects
from textdetect.serving.engine import Engine, Model
from textdetect.serving.guard import Guard
from textdetect.serving.keys import Keys
from textdetect.serving.metrics import Metrics
from textdetect.serving.service import ClientGone, Service, error_answer, json_answer, plain_error
from textdetect.serving.settings import Limits
from textdetect.serving.streams import Lines, answers
from textdetect.statistics.account_null import AccountNull

_PAGES: Final = {
    **dict.fromkeys(("index.html", "docs.html"), "text/html"),
    **dict.fromkeys(("app.js", "docs.js"), "text/javascript"),
    "app.css": "text/css",
}
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(
    engine: Engine, *, limits: Limits | None = None, keys: Keys | None = None
) -> FastAPI:
    """Make the app; its lifespan starts and stops the engine; without keys, anyone may ask.

    `app.state.service` is what its endpoints share, `app.state.guard` stands before them.
    """
    service = Service(engine, limits or Limits(), keys, Metrics(engine))

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
    app.include_router(_scoring(service))
    app.include_router(dialects(service))
    app.include_router(_operations(service))
    app.include_router(_page())
    _answer_errors(app)
    described = partial(schemas.document, app, service.requests, with_keys=keys is not None)
    app.openapi = cache(described)  # type: ignore[method-assign]
    app.state.service = service
    app.state.guard = Guard(app, metrics=service.metrics, most=service.limits.requests)
    return app


def _scoring(service: Service) -> APIRouter:
    router, engine = APIRouter(prefix="/v1", tags=["scoring"]), service.engine
    model = engine.model.origin

    @router.post("/score", response_model=schemas.ScoreAnswer)
    async def score(request: Request) -> Response:
        """Judge posts: a verdict each, in their order.

        With Content-Type application/x-ndjson each line is a post, and each line of the answer a
        verdict, or {"error": …} where the line can't be read; `max_fpr` is then in the query.
        """
        if media_type(request.headers) == NDJSON:
            key = service.who(request)
            lines = answers(service, request, key, _rate(request, service))
            return Lines(lines, patience_s=service.limits.request_s)
        asked, key = await service.read(request, service.requests.score)
        post = service.requests.post
        posts: list[Any] = [post(text=p) if isinstance(p, str) else p for p in asked.posts]
        texts, languages = [p.text for p in posts], [p.language for p in posts]
        verdicts = await service.judge(
            request, key, texts, languages=languages, max_fpr=asked.max_fpr
        )
        pairs = zip(posts, verdicts.to_dicts(), strict=True)
        each = [{"id": p.id, **verdict} for p, verdict in pairs]
        return json_answer({"model": model, "max_fpr": asked.max_fpr, "verdicts": each})

    if (null := engine.model.null) is not None:

        @router.post("/accounts", response_model=schemas.AccountsAnswer)
        async def accounts(request: Request) -> Response:
            """Tell for which accounts a machine writes, at a false-discovery rate."""
            asked, key = await service.read(request, service.requests.accounts)
            texts = [post.text for post in asked.posts]
            verdicts = await service.judge(request, key, texts)
            accounts = account_names(post.account for post in asked.posts)
            found = await asyncio.to_thread(
                _accounts, accounts, texts, verdicts, engine.model, null, asked.fdr
            )
            rows = found.to_table().to_pylist()
            answer = {"model": model, "fdr": found.fdr, "fewest": found.fewest, "accounts": rows}
            return json_answer(answer)

    @router.get("/model", response_model=schemas.ModelAnswer)
    async def about(request: Request) -> Response:
        """Tell which model answers, and what this server takes."""
        key, limits = service.who(request), service.limits
        rate = key.posts_per_minute if key else None
        bounds = {
            "posts": min(limits.posts, rate or limits.posts),
            "characters": limits.characters,
            "body_bytes": limits.body_bytes,
        }
        languages, smallest = service.engine.model.languages, service.engine.model.smallest
        rates = {"max_fpr": service.engine.max_fpr, "smallest_max_fpr": smallest}
        return json_answer({**model, "languages": languages, **rates, "limits": bounds})

    return router


def _operations(service: Service) -> APIRouter:
    router = APIRouter(tags=["operations"])

    def state() -> str:
        return "stopping" if service.stopping else "ok" if service.engine.n_ready else "loading"

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
        service.who(request)
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def _page() -> APIRouter:
    router = APIRouter(tags=["page"])
    folder = files("textdetect.serving") / "page"
    policy = {"content-security-policy": _PAGE_POLICY}
    ready = {
        name: Response((folder / name).read_bytes(), media_type=kind, headers=policy)
        for name, kind in _PAGES.items()
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

    async def answer(request: Request, error: Any) -> Response:
        if isinstance(error, TextdetectError):
            return error_answer(error)
        if isinstance(error, RequestValidationError):
            return plain_error(422, "invalid_input", "a parameter of the query can't be read")
        if isinstance(error, ClientGone):
            return Response(status_code=499)
        if isinstance(error, ClientDisconnect):
            return plain_error(400, "http", "the body ended before its end")
        kind, message = {
            404: ("not_found", "there is no such path"),
            405: ("method_not_allowed", "this path takes another method"),
        }.get(error.status_code, ("http", "the request can't be read"))
        headers = dict(error.headers or {})
        if error.status_code == 405:  # Starlette names the methods of one route alone
            methods = app.openapi()["paths"].get(request.url.path, {})
            headers["Allow"] = ", ".join(map(str.upper, methods)) or headers.get("Allow", "")
        return plain_error(error.status_code, kind, message, **headers)

    ours = (TextdetectError, RequestValidationError, ClientGone, ClientDisconnect)
    for kind in (*ours, HTTPException):
        app.add_exception_handler(kind, answer)


def _rate(request: Request, service: Service) -> float:
    given, smallest = request.query_params.get("max_fpr"), service.engine.model.smallest
    try:
        rate = service.engine.max_fpr if given is None else float(given)
    except ValueError:
        rate = 0.0
    if not smallest <= rate < 1 or not rate > 0:
        raise InvalidInput(f"max_fpr: expected a share from {smallest:.2g} to below 1")
    return rate


def _accounts(
    accounts: list[str | None],
    texts: list[str | None],
    verdicts: Verdicts,
    model: Model,
    null: AccountNull,
    fdr: float,
) -> AccountVerdicts:
    """Judge the accounts of posts that were judged."""
    grouped = GroupedPosts()
    grouped.add(accounts, scored_by(verdicts, texts))
    return judge_accounts(grouped, null, model=model, fdr=fdr)
