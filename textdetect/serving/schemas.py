"""What requests and answers look like, with the bounds of the server that is asked; OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model

from textdetect.posts.scored import Label, Reason
from textdetect.serving.bodies import JSON, NDJSON
from textdetect.serving.settings import Limits

_strict: Any = partial(create_model, __config__=ConfigDict(strict=True, extra="forbid"))
_open: Any = partial(create_model, __config__=ConfigDict(strict=True, extra="ignore"))
"""For dialects that others defined: what they have and we don't is left aside."""
_EXAMPLE = "so good to see you all again last night"
_REFERENCE: Final = "#/components/schemas/{model}"
_ERRORS: Final = {
    "400": "The request can't be read.",
    "401": "The API key is missing or unknown.",
    "408": "The body did not come in time.",
    "413": "Too many posts, characters or bytes.",
    "415": "A body of another type.",
    "422": "A body or a value that can't be.",
    "429": "Busy: try again after Retry-After seconds.",
    "503": "Loading, stopping, or the worker ended: try again.",
}
_OF_READERS: Final = ("400", "401", "429", "503")
"""Those that a path without a body can give."""


class ModelName(BaseModel):
    """Which model gave an answer."""

    name: str
    version: str
    fingerprint: str = Field(description="Hash of all that makes a score.")
    numerics: str = Field(description="Engine and number type: what a calibration belongs to.")


class VerdictOut(BaseModel):
    """What is said of one post."""

    id: str | None = Field(description="As it was given.")
    label: Label
    probability: float | None = Field(description="Of machine-written; null for an empty post.")
    logit: float | None = Field(description="The score; higher is more machine-like.")
    p_value: float | None = Field(
        description="How rarely a human post of this language and length scores as high."
    )
    flagged: bool = Field(description="p_value ≤ max_fpr, and no reason to be uncertain.")
    language: str = Field(description='ISO 639-1 code, or "und".')
    reason: Reason | None
    n_tokens: int
    truncated: bool
    notes: list[str] = Field(description="What else the post shows; no part of the score.")


class ScoreAnswer(BaseModel):
    """Verdicts, in the order of the posts."""

    model: ModelName
    max_fpr: float
    verdicts: list[VerdictOut]


class AccountOut(BaseModel):
    """What is said of one account."""

    account: str | None
    n_posts: int
    n_scored: int
    language: str
    score: float | None
    p_value: float | None
    p_conditional: float | None
    modelled: bool
    q_value: float | None
    flagged: bool
    reason: str | None


class AccountsAnswer(BaseModel):
    """Accounts, in the order in which they first appear."""

    model: ModelName
    fdr: float
    fewest: int = Field(description="Smallest number that can be flagged at this rate.")
    accounts: list[AccountOut]


class LimitsOut(BaseModel):
    """What one request may hold."""

    posts: int
    characters: int = Field(description="Of one post.")
    body_bytes: int


class ModelAnswer(ModelName):
    """The model, and what this server takes."""

    languages: list[str]
    max_fpr: float = Field(description="Where a request names none.")
    smallest_max_fpr: float
    limits: LimitsOut


class State(BaseModel):
    """How a server is."""

    status: Literal["ok", "loading", "stopping"]


class ErrorOut(BaseModel):
    """What was wrong; it never holds a text."""

    type: str
    message: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """Every answer that is not a 200."""

    error: ErrorOut


class LabelScore(BaseModel):
    """A class and its probability, as text-embeddings-inference gives them."""

    label: str
    score: float | None


class ModerationResult(BaseModel):
    """One input's result in the moderation shape."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float | None]
    category_applied_input_types: dict[str, list[str]]


class ModerationAnswer(BaseModel):
    """Results in the order of the inputs."""

    id: str
    model: str
    results: list[ModerationResult]


@dataclass(frozen=True)
class Requests:
    """The requests' classes, for one server's bounds: a post, and the bodies of the endpoints."""

    post: type[BaseModel]
    score: type[BaseModel]
    accounts: type[BaseModel]
    predict: type[BaseModel]
    moderations: type[BaseModel]

    @classmethod
    def within(cls, limits: Limits, *, smallest: float, max_fpr: float) -> Requests:
        """Make them; `max_fpr` is the rate where a request names none, `smallest` the least."""
        text: Any = Annotated[str, Field(max_length=limits.characters, examples=[_EXAMPLE])]
        name: Any = Annotated[str, Field(max_length=256)]
        told = "BCP-47, such as en or zh-Hans; replaces identification."
        tag = Field(pattern="^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$", description=told)
        language: Any = Annotated[str, tag]
        told = "Share of human posts that may be flagged."
        rate = Field(max_fpr, ge=smallest, lt=1, description=told)

        def several(item: Any) -> Any:
            return Annotated[list[item], Field(max_length=limits.posts)]

        post = _strict(
            "Post",
            id=(name | None, None),
            text=(text | None, ...),
            language=(language | None, None),
        )
        account = name | None, Field(examples=["a"])
        owned = _strict("AccountPost", account=account, text=(text | None, ...))
        part = _open("TextPart", type=(Literal["text"], ...), text=(text, ...))
        lone: Any = Annotated[list[text], Field(min_length=1, max_length=1)]
        top_k = Annotated[int, Field(ge=1)] | None, None
        chosen = _open("Parameters", top_k=top_k, function_to_apply=(str | None, None))
        one = _either(text, post, dict, "an object with a text")
        inputs = several(_either(text, lone, list, "a list of one string"))
        parts = several(_either(text, part, dict, "a part of type text"))
        return cls(
            post=post,
            score=_strict("ScoreRequest", posts=(several(one), ...), max_fpr=(float, rate)),
            accounts=_strict(
                "AccountsRequest", posts=(several(owned), ...), fdr=(float, Field(0.05, gt=0, lt=1))
            ),
            predict=_open(
                "PredictRequest",
                inputs=(_either(text, inputs, list, "a list"), ...),
                raw_scores=(bool, False),
                parameters=(chosen | None, None),
            ),
            moderations=_open(
                "ModerationRequest", input=(_either(text, parts, list, "a list"), ...)
            ),
        )


def _either(text: Any, other: Any, form: type, what: str) -> Any:
    """Make a union with text whose errors speak of what came, and not of what else might have."""

    def came(value: Any) -> str | None:
        return "string" if isinstance(value, str) else "other" if isinstance(value, form) else None

    kinds: Any = Annotated[other, Tag("other")] | Annotated[text, Tag("string")]
    wrong = f"expected a string or {what}"
    return Annotated[kinds, Discriminator(came, "no_text", wrong)]


def document(app: FastAPI, requests: Requests, *, with_keys: bool) -> dict[str, Any]:
    """Make the OpenAPI document: requests with this server's bounds, and every error it gives.

    Bodies are read by hand, within bounds, and so their schemas are written in here.
    """
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    parts = found.setdefault("components", {}).setdefault("schemas", {})
    bodies: dict[str, type[BaseModel]] = {
        "/v1/score": requests.score,
        "/v1/accounts": requests.accounts,
        "/predict": requests.predict,
        "/": requests.predict,
        "/v1/moderations": requests.moderations,
    }
    kinds: list[type[BaseModel]] = [*bodies.values(), ErrorAnswer]
    for kind in kinds:
        schema = kind.model_json_schema(ref_template=_REFERENCE)
        parts |= schema.pop("$defs", {}) | {kind.__name__: schema}
    for path, methods in found["paths"].items():
        for method, about in methods.items():
            about["responses"].pop("422", None)
            if path.startswith("/health"):
                continue
            for status in _ERRORS if method == "post" else _OF_READERS:
                about["responses"][status] = {
                    "description": _ERRORS[status],
                    "content": {JSON: {"schema": {"$ref": _REFERENCE.format(model="ErrorAnswer")}}},
                }
            if method == "post":
                of_body = {"$ref": _REFERENCE.format(model=bodies[path].__name__)}
                about["requestBody"] = {"required": True, "content": {JSON: {"schema": of_body}}}
            if with_keys:
                about["security"] = [{"key": []}]
    stream = {"schema": {"type": "string", "description": "A post, or a verdict, a line."}}
    found["paths"]["/v1/score"]["post"]["responses"]["200"]["content"][NDJSON] = stream
    if with_keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return found
