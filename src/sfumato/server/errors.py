"""What goes wrong, as an answer that programs understand: OpenAI's error object, or A1111's under its paths."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from sfumato.errors import (
    DataError,
    JobNotFound,
    ModelNotFound,
    PromptError,
    QueueFull,
    RoomError,
    SfumatoError,
    StorageError,
    StoreError,
    StoreFull,
)
from sfumato.pipelines.request import Request

LONGEST_MESSAGE = 1000  # characters; what a person typed is not sent back at length
A1111 = "/sdapi/"
_WORD = re.compile(r"\w+")

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""OpenAI's types of errors by status; the others below 500 are `invalid_request_error`, those above `server_error`."""


@dataclass
class Refusal(SfumatoError):
    """A request that is not followed.

    Attributes:
        status: of HTTP.
        message: for people.
        param: the field that is to blame, if one is.
        code: for programs, a word.
        headers: of the answer.
    """

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def kind(self) -> str:
        """The type of error by OpenAI's names."""
        return KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def error(self) -> dict[str, Any]:
        """OpenAI's error object."""
        message = self.message[:LONGEST_MESSAGE].encode("utf-8", "replace").decode()
        return {"message": message, "type": self.kind, "param": self.param, "code": self.code}

    def answer(self, path: str) -> JSONResponse:
        """The answer to a request for this path."""
        error = self.error()
        told: dict[str, Any] = {"error": error}
        if path.startswith(A1111):
            told = {"error": self.code or self.kind, "detail": error["message"], "body": "", "errors": ""}
        return JSONResponse(told, self.status, self.headers)


class ErrorObject(BaseModel):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """What every answer above 399 holds."""

    error: ErrorObject


class A1111Error(BaseModel):
    """What A1111 answers when something is wrong."""

    error: str
    detail: str
    body: str = ""
    errors: str = ""


def answers(*statuses: int, shape: type[BaseModel] = ErrorAnswer) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for the description of the interface."""
    return {status: {"model": shape, "description": REASONS[status]} for status in sorted({400, 401, 403, *statuses})}


REASONS = {
    400: "Something asked for is not valid; `param` names it.",
    401: "The key is missing or wrong.",
    403: "The call comes from another page or under another name.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The body came too slowly.",
    409: "It is not in a state for that.",
    413: "The body or a picture in it is too large.",
    415: "The body is of another type.",
    422: "Something asked for is not valid.",
    429: "Too many requests; `Retry-After` says when to try again.",
    500: "A defect of sfumato.",
    503: "Not now; `Retry-After` says when to try again.",
    504: "It was not done in time.",
    507: "There is no room to store more.",
}


def refusal_of(error: BaseException) -> Refusal:
    """An error of any kind as a refusal; what was not foreseen tells nothing of the inside."""
    match error:
        case Refusal():
            return error
        case QueueFull():
            return too_many(str(error), error.retry_after)
        case StoreError():
            return Refusal(409, str(error), code="conflict")
        case JobNotFound():
            return Refusal(404, str(error), code="job_not_found")
        case ModelNotFound():
            return Refusal(404, str(error), "model", "model_not_found")
        case RequestValidationError():
            return _invalid(error.errors())
        case ValidationError():
            return _invalid(error.errors(include_url=False, include_context=False, include_input=False))
        case PromptError():
            return Refusal(400, str(error), parameter_of(str(error)), "invalid_value")
        case RoomError():
            return Refusal(400, str(error), "size", "too_large")
        case StoreFull():
            return Refusal(507, "There is no room to store more; nothing was accepted.", code="storage_full")
        case StorageError():
            return Refusal(500, "The server could not write; its log says why.", code="storage_error")
        case DataError():
            return Refusal(400, str(error), None, "invalid_value")
        case HTTPException():
            return Refusal(error.status_code, str(error.detail), headers=dict(error.headers or {}))
        case SfumatoError():
            return Refusal(500, "The model could not do this.", code="model_error")
    return Refusal(500, "A defect of sfumato; its log says where.", code="internal_error")


def too_many(message: str, seconds: float) -> Refusal:
    """A refusal that says when to try again."""
    wait = max(1, math.ceil(min(seconds, 3600)))
    return Refusal(429, message, None, "rate_limit_exceeded", {"Retry-After": str(wait)})


SETTINGS = (*(entry.name for entry in fields(Request)), "count")


def parameter_of(message: str, names: Iterable[str] = SETTINGS) -> str | None:
    """The setting that a message speaks of: the first word of it that is the name of one; "texts" are the prompt."""
    known = set(names)
    words = ["prompt" if word == "texts" else word for word in re.findall(r"[a-z_]+", message)]
    return next((word for word in words if word in known), None)


def _invalid(errors: Iterable[Mapping[str, Any]]) -> Refusal:
    """The first thing that pydantic found, without what was typed."""
    first = next(iter(errors), {})
    kind = str(first.get("type", ""))
    place = [str(part)[:100] for part in first.get("loc", ()) if part not in ("body", "query", "path", "header")]
    name = ".".join([*place[:1], *filter(_WORD.fullmatch, place[1:])]) or None  # not the kinds that it might have been
    if kind in ("json_invalid", "json_type"):
        return Refusal(400, "The body is not valid JSON.", None, "invalid_json")
    if kind == "extra_forbidden":
        return Refusal(400, f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if kind == "missing":
        missing = f"Missing required parameter: '{name}'." if name else "The body is missing."
        return Refusal(400, missing, name, "missing_required_parameter")
    told = str(first.get("msg", "not valid")).removeprefix("Value error, ")
    return Refusal(400, f"Invalid value for '{name}': {told}." if name else f"{told}.", name, "invalid_value")
