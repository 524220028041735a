"""The description of the interface, /openapi.json, as the server really answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

UNSAID = ("HTTPValidationError", "ValidationError")  # FastAPI's own words for what is not valid; ours are others


def describe(app: FastAPI) -> None:
    """Have an application describe itself without the answers that FastAPI adds and this server never gives."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for methods in found["paths"].values():
                for told in methods.values():
                    _correct(told["responses"])
            for name in UNSAID:
                found["components"]["schemas"].pop(name, None)
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
