"""Serves the page's files from the package, which may be in an archive."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}

# The page loads only from this server, and no other page may frame it.
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_router() -> Router:
    """`GET /`, `/calls` and `/page/<file>`. `/client`, the page's path in Pipecat's runner, redirects to
    `/`."""

    async def index(request: Request) -> Response:
        return _answer(request, "index.html")

    async def calls(request: Request) -> Response:
        return _answer(request, "calls/index.html")

    async def asset(request: Request) -> Response:
        return _answer(request, request.path_params["name"])

    async def client(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{request.scope.get('root_path', '')}/{query}", 307)

    routes = {"/": index, "/calls": calls, "/client": client, "/client/": client, "/page/{name:path}": asset}
    return Router([Route(path, handle) for path, handle in routes.items()])


def find_asset(name: str) -> Traversable | None:
    """The page's file of this name. Only names listed in a folder are followed, so no path can leave it."""
    place: Traversable | None = resources.files("runner.server").joinpath("page")
    for part in name.split("/"):
        if place is None or not place.is_dir():
            return None
        place = next((item for item in place.iterdir() if item.name == part), None)
    return place if place and place.is_file() and _suffix(name) in CONTENT_TYPES else None


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _answer(request: Request, name: str) -> Response:
    found = find_asset(name)
    if found is None:
        raise HTTPException(404, f"the page has no file {name!r}"[:200])
    content = found.read_bytes()
    headers = {**HEADERS, "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=CONTENT_TYPES[_suffix(name)])
