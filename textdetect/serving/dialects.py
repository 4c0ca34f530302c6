"""Dialects that other tools speak: text-embeddings-inference's /predict, /v1/moderations.

They have no word for "uncertain": a post that is not flagged is not flagged.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from textdetect.posts.scored import Verdict
from textdetect.serving import schemas
from textdetect.serving.service import Service, json_answer

CATEGORY: Final = "machine_written"
"""The one category of the moderation shape; no other is judged, and so none is listed."""


def dialects(service: Service) -> APIRouter:
    """Make their endpoints."""
    router = APIRouter(tags=["dialects"])

    async def classified(request: Request) -> tuple[list[list[dict[str, Any]]], bool]:
        asked, key = await service.read(request, service.requests.predict)
        many = isinstance(asked.inputs, list)
        inputs = asked.inputs if many else [asked.inputs]
        texts = [text if isinstance(text, str) else text[0] for text in inputs]
        verdicts = await service.judge(request, key, texts)
        given = asked.parameters
        raw = asked.raw_scores or bool(given and given.function_to_apply == "none")
        top_k = given and given.top_k
        return [_classes(verdict, raw=raw)[:top_k] for verdict in verdicts], many

    @router.post(
        "/predict", response_model=list[schemas.LabelScore] | list[list[schemas.LabelScore]]
    )
    async def predict(request: Request) -> Response:
        """Classify as text-embeddings-inference does: a list of classes, or one for each input."""
        found, many = await classified(request)
        return json_answer(found if many else found[0])

    @router.post("/", response_model=list[list[schemas.LabelScore]])
    async def inference(request: Request) -> Response:
        """Classify as a hub's inference API does: a list of classes for each input."""
        found, _ = await classified(request)
        return json_answer(found)

    @router.get("/info")
    async def info(request: Request) -> Response:
        """Describe the model as text-embeddings-inference does."""
        service.who(request)
        model = service.engine.model
        names = {"0": "not_flagged", "1": "machine"}
        classes = {"id2label": names, "label2id": {name: int(i) for i, name in names.items()}}
        return json_answer(
            {
                "model_id": model.name,
                "model_sha": model.fingerprint,
                "model_dtype": model.numerics,
                "model_type": {"classifier": classes},
                "max_client_batch_size": service.limits.posts,
                "version": model.version,
            }
        )

    @router.post("/v1/moderations", response_model=schemas.ModerationAnswer)
    async def moderations(request: Request) -> Response:
        """Judge in the moderation shape; its one category is `machine_written`."""
        asked, key = await service.read(request, service.requests.moderations)
        given = [asked.input] if isinstance(asked.input, str) else asked.input
        texts = [each if isinstance(each, str) else each.text for each in given]
        results = [_result(each) for each in await service.judge(request, key, texts)]
        model = f"{service.engine.model.name}-{service.engine.model.version}"
        answer = {"id": f"modr-{uuid.uuid4().hex}", "model": model, "results": results}
        return json_answer(answer)

    return router


def _classes(verdict: Verdict, *, raw: bool) -> list[dict[str, Any]]:
    """Give both classes, the likelier first, NaN last; raw: their logits, of which one is 0."""
    p = verdict.probability
    machine, other = (verdict.logit, 0.0) if raw else (p, 1 - p)
    both = [{"label": "machine", "score": machine}, {"label": "not_flagged", "score": other}]
    return both if machine >= other else both[::-1]


def _result(verdict: Verdict) -> dict[str, Any]:
    return {
        "flagged": verdict.flagged,
        "categories": {CATEGORY: verdict.flagged},
        "category_scores": {CATEGORY: verdict.probability},
        "category_applied_input_types": {CATEGORY: ["text"]},
    }
