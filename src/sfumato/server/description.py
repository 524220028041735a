"""The description of the interface, /openapi.json, as the server really answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

PLACE = "#/components/schemas/"
UNSAID = ("HTTPValidationError", "ValidationError")  # FastAPI's own words for what is not valid; ours are others


def reference(shape: type[BaseModel]) -> dict[str, str]:
    """Where the description of a shape stands, which `describe` puts there."""
    return {"$ref": PLACE + shape.__name__}


def describe(app: FastAPI, *shapes: type[BaseModel]) -> None:
    """Have an application describe itself without the answers that FastAPI adds and this server never gives.

    Args:
        app: whose routes are all there.
        shapes: that bodies are described by whose routes read them themselves.
    """

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for methods in found["paths"].values():
                for told in methods.values():
                    _correct(told["responses"])
            known = found["components"]["schemas"]
            for name in UNSAID:
                known.pop(name, None)
            for shape in shapes:
                schema = shape.model_json_schema(ref_template=PLACE + "{model}")
                known |= {**schema.pop("$defs", {}), shape.__name__: schema}
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _correct(answers: dict[str, Any]) -> None:
    """Leave FastAPI's 422 out, A1111's stays; and errors are JSON, whatever else a call answers."""
    for status in [status for status in answers if int(status) >= 400]:
        content = [*answers[status].get("content", {}).values()]
        if content and str(content[0].get("schema", {}).get("$ref", "")).endswith(UNSAID):
            del answers[status]
        elif content:
            answers[status]["content"] = {"application/json": content[0]}
