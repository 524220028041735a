"""/docs: the description of the interface for people, written from /openapi.json; no script, nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter()

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; } summary { cursor: pointer; padding: .4rem 0; }
code { font: .95em ui-monospace, monospace; } summary code { font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; display: block; overflow-x: auto; }
td, th { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }
"""


@router.get("/docs", include_in_schema=False)
def docs(http: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(page(http.app.openapi()), headers={"Content-Security-Policy": POLICY})


def page(described: Mapping[str, Any]) -> str:
    """A description in OpenAPI as one HTML page."""
    title = escape(described["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body><main>'
        f"<h1>{title}</h1><p>{escape(described['info'].get('description', ''))} "
        f'<a href="/openapi.json">openapi.json</a></p>{"".join(_groups(described))}</main></body></html>'
    )


def _groups(described: Mapping[str, Any]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            group = (told.get("tags") or ["others"])[0]
            groups.setdefault(group, []).append(_call(path, method, told, described))
    for group, calls in groups.items():
        yield f"<h2>{escape(group)}</h2>{''.join(calls)}"


def _call(path: str, method: str, told: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    about = escape(told.get("description") or told.get("summary", ""))
    rows = [_row(each["name"], each.get("schema", {}), each) for each in told.get("parameters", [])]
    for kind, body in told.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(body.get("schema", {}), described)
        rows.append(f'<tr><th colspan="3">{escape(kind)}</th></tr>')
        needed = schema.get("required", [])
        fields = sorted(schema.get("properties", {}).items(), key=lambda field: field[0] not in needed)
        rows += [_row(name, each, {"required": name in needed}) for name, each in fields]
    table = f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    ends = "".join(f"<tr><td>{code}</td><td>{escape(_said(code, end))}</td></tr>" for code, end in _answers(told))
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> {about}</summary>{table}"
        f"<table><tbody>{ends}</tbody></table></details>"
    )


def _answers(told: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(told.get("responses", {}).items())


def _said(code: str, end: Mapping[str, Any]) -> str:
    kinds = ", ".join(end.get("content", {})) if code < "400" else ""
    return f"{end.get('description', '')} {kinds and f'({kinds})'}".replace("`", "")


def _row(name: str, schema: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    about = told.get("description") or schema.get("description", "")
    needed = ", required" if told.get("required") else ""
    return (
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(schema))}{needed}</td><td>{escape(about)}</td></tr>"
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value in a few words."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(kind for each in schema["anyOf"] if (kind := _kind(each)) != "null")
    if "const" in schema:
        return str(schema["const"])
    return str(schema.get("format") or schema.get("type") or "")


def _resolved(schema: Mapping[str, Any], described: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = described["components"]["schemas"][name] if name else schema
    return found
