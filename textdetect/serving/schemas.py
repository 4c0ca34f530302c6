"""What requests and answers look like, with the bounds of the server that is asked.

It knows nothing of who answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model

from textdetect.serving.settings import Limits
from textdetect.types import Label, Reason

_strict: Any = partial(create_model, __config__=ConfigDict(strict=True, extra="forbid"))
_open: Any = partial(create_model, __config__=ConfigDict(strict=True, extra="ignore"))
"""For dialects that others defined: what they have and we don't is left aside."""
_EXAMPLE = "so good to see you all again last night"


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
    """The requests' classes, for one server's bounds.

    Attributes:
        post: a post, alone on a line of a stream.
        score, accounts, predict, moderations: the bodies of the endpoints.
    """

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
        language: Any = Annotated[
            str,
            Field(
                pattern="^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$",
                description="BCP-47, such as en or zh-Hans; replaces identification.",
            ),
        ]
        rate: Any = Annotated[
            float, Field(ge=smallest, lt=1, description="Share of human posts that may be flagged.")
        ]
        share: Any = Annotated[float, Field(gt=0, lt=1)]
        top_k: Any = Annotated[int, Field(ge=1)] | None
        several = Field(max_length=limits.posts)
        post: Any = _strict(
            "Post",
            id=(name | None, None),
            text=(text | None, ...),
            language=(language | None, None),
        )
        owner = (name | None, Field(examples=["a"]))
        owned: Any = _strict("AccountPost", account=owner, text=(text | None, ...))
        part: Any = _open("TextPart", type=(Literal["text"], ...), text=(text, ...))
        lone: Any = Annotated[list[text], Field(min_length=1, max_length=1)]
        chosen: Any = _open("Parameters", top_k=(top_k, None), function_to_apply=(str | None, None))
        one: Any = _either(text, post, dict, "an object with a text")
        alone: Any = _either(text, lone, list, "a list of one string")
        said: Any = _either(text, part, dict, "a part of type text")
        return cls(
            post=post,
            score=_strict(
                "ScoreRequest", posts=(Annotated[list[one], several], ...), max_fpr=(rate, max_fpr)
            ),
            accounts=_strict(
                "AccountsRequest", posts=(Annotated[list[owned], several], ...), fdr=(share, 0.05)
            ),
            predict=_open(
                "PredictRequest",
                inputs=(_either(text, Annotated[list[alone], several], list, "a list"), ...),
                raw_scores=(bool, False),
                parameters=(chosen | None, None),
            ),
            moderations=_open(
                "ModerationRequest",
                input=(_either(text, Annotated[list[said], several], list, "a list"), ...),
            ),
        )


def _either(text: Any, other: Any, form: type, what: str) -> Any:
    """Make a union with text whose errors speak of what came, and not of what else might have."""

    def came(value: Any) -> str | None:
        return "string" if isinstance(value, str) else "other" if isinstance(value, form) else None

    kinds: Any = Annotated[other, Tag("other")] | Annotated[text, Tag("string")]
    wrong = f"expected a string or {what}"
    return Annotated[kinds, Discriminator(came, "no_text", wrong)]
