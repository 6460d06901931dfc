"""`/docs`: the API's OpenAPI document as one HTML page. It needs no script and nobody else's server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .3rem } code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: .4rem }
table { border-collapse: collapse; width: 100% } td { padding: .2rem .8rem .2rem 0; vertical-align: top }
td:first-child { white-space: nowrap } b { padding: .1rem .4rem; border-radius: .3rem; background: #8883 }
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


def render(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI 3.1 document."""
    return "\n".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info, schemas = document["info"], document.get("components", {}).get("schemas", {})
    yield "<!doctype html><html lang='en'><meta charset='utf-8'>"
    yield f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>"
    yield f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
    yield f"<p>{escape(info.get('description', ''))}"
    yield " The same as <a href='openapi.json'>OpenAPI</a>.</p>"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(method, path, operation, schemas)


def _operation(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterator[str]:
    yield f"<h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    if body := operation.get("requestBody"):
        yield from _fields("Body", _schema_of(body, schemas), schemas)
    yield "<p>Answers</p><table>"
    for status, answer in operation["responses"].items():
        schema = _schema_of(answer, schemas)
        shown = schema.get("description") or answer["description"]
        names = ", ".join(f"<code>{escape(name)}</code>" for name in schema.get("properties", {}))
        yield f"<tr><td>{escape(status)}</td><td>{names}</td><td>{escape(shown)}</td></tr>"
    yield "</table>"


def _fields(title: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{title}: {escape(schema.get('description', ''))}</p><table>"
    for name, field in schema.get("properties", {}).items():
        default = f" = {json.dumps(field['default'])}" if field.get("default") is not None else ""
        yield f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(field) + default)}</td>"
        yield f"<td>{escape(field.get('description', ''))}</td></tr>"
    yield "</table>"


def _kind(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"] if one.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}"
    return str(field.get("type", "any"))


def _schema_of(holder: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a body or an answer, looked up where it is a reference."""
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    for one in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in one:
            found: Mapping[str, Any] = schemas[one["$ref"].rpartition("/")[2]]
            return found
    empty: Mapping[str, Any] = schema
    return empty
