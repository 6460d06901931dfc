"""`GET /healthz` and `GET /readyz`, for load balancers and Kubernetes. They need no login key.

A run at capacity stays ready, because it then answers webhooks with each provider's "busy"; a load balancer
without ready servers would leave callers in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, Router

from runner.sessions.admission import RETRY_AFTER_S

if TYPE_CHECKING:
    from runner.server.host import Host

PATHS = frozenset({"/healthz", "/readyz"})


def health_router(host: Host) -> Router:
    """Whether the process responds, and whether it accepts calls."""

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        if reason := host.sessions.stopping:
            return JSONResponse({"detail": reason}, 503, {"retry-after": str(RETRY_AFTER_S)})
        return JSONResponse({"status": "ready"})

    return Router([Route("/healthz", healthz), Route("/readyz", readyz)])
