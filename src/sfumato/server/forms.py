"""Forms with files, read within bounds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from sfumato.server.errors import Refusal

MOST_FILES, MOST_FIELDS = 20, 100
LONGEST_FIELD = 2**20  # bytes, as Starlette has it

Shape = TypeVar("Shape", bound=BaseModel)


async def form_of(http: Request, shape: type[Shape], files: Collection[str]) -> tuple[Shape, dict[str, list[bytes]]]:
    """The fields of a form, checked, and the contents of its files.

    Args:
        http: the request.
        shape: of the fields that are text.
        files: names of those that are files; as a list they may be called `name[]` or `name[0]` too.

    Raises:
        Refusal: it is no form, or a field is of the wrong kind. pydantic's ValidationError: a field is not valid.
    """
    require_type(http, "multipart/form-data")
    texts: dict[str, Any] = {}
    found: dict[str, list[bytes]] = {}
    async with http.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
        for key, value in form.multi_items():
            name = key.partition("[")[0]
            is_file = isinstance(value, UploadFile)
            if is_file != (name in files):
                kind = "a file" if name in files else "text"
                raise Refusal(400, f"{name[:100]} is to be {kind}.", name[:100], "invalid_value")
            if isinstance(value, UploadFile):
                found.setdefault(name, []).append(await value.read())
            else:
                texts[key] = value
    return shape.model_validate(texts), found


def one(found: dict[str, list[bytes]], name: str) -> bytes | None:
    """The content of a file, or None; Refusal when there are several."""
    contents = found.get(name, [])
    if len(contents) > 1:
        raise Refusal(400, f"There is to be one {name}, not {len(contents)}.", name, "too_many")
    return contents[0] if contents else None


def require_type(http: Request, *types: str) -> str:
    """The media type of a request's body; Refusal 415 when it is none of these."""
    found = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in types:
        raise Refusal(415, f"The body is to be {' or '.join(types)}.", code="unsupported_media_type")
    return found


def described(shape: type[BaseModel], files: dict[str, str], required: Collection[str] = ()) -> dict[str, Any]:
    """A form in OpenAPI: the fields of a shape, and files with what they are."""
    schema = shape.model_json_schema()
    for name, told in files.items():
        schema["properties"][name] = {"type": "string", "format": "binary", "description": told}
    schema["required"] = [*schema.get("required", []), *required]
    return schema
