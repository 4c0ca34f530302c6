"""The server's OpenAPI document: requests with this server's bounds, and every error it gives.

Bodies are read by hand, within bounds, and so their schemas are written in here.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from textdetect.serving.bodies import JSON, NDJSON
from textdetect.serving.desk import Desk
from textdetect.serving.schemas import ErrorAnswer

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


def document(app: FastAPI, desk: Desk) -> dict[str, Any]:
    """Make the document."""
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    parts = found.setdefault("components", {}).setdefault("schemas", {})
    bodies: dict[str, type[BaseModel]] = {
        "/v1/score": desk.requests.score,
        "/v1/accounts": desk.requests.accounts,
        "/predict": desk.requests.predict,
        "/": desk.requests.predict,
        "/v1/moderations": desk.requests.moderations,
    }
    kinds: set[type[BaseModel]] = {*bodies.values(), ErrorAnswer}
    for kind in kinds:
        schema = kind.model_json_schema(ref_template=_REFERENCE)
        parts |= schema.pop("$defs", {})
        parts[kind.__name__] = schema
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
            if desk.keys is not None:
                about["security"] = [{"key": []}]
    stream = {"schema": {"type": "string", "description": "A post, or a verdict, a line."}}
    score = found["paths"]["/v1/score"]["post"]
    score["responses"]["200"]["content"][NDJSON] = stream
    if desk.keys is not None:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return found
