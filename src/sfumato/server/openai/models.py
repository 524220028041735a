"""/v1/models: what the server offers."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from sfumato.server.errors import Refusal, answers
from sfumato.server.serving import Here, Owner

router = APIRouter(prefix="/v1/models", tags=["OpenAI"])

SINCE = 1735689600  # models do not know when they were made; clients want a time


class Model(BaseModel):
    """A model by its name."""

    id: str
    object: Literal["model"] = "model"
    created: int = SINCE
    owned_by: str = "sfumato"


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("", responses=answers(500))
def models(here: Here, owner: Owner) -> ModelList:
    """The models that this server offers, the usual one first."""
    return ModelList(data=[Model(id=name) for name in here.engine.models.names()])


@router.get("/{model}", responses=answers(404, 500))
def model(model: str, here: Here, owner: Owner) -> Model:
    """One of them."""
    if model not in here.engine.models.names():
        raise Refusal(404, f"The model '{model[:100]}' is not offered here.", "model", "model_not_found")
    return Model(id=model)
