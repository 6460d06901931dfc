"""The server: turns each HTTP or WebSocket request for a call into a session.

`create_app(bot)` mounts a bot in your own application:

    app = FastAPI()
    app.mount("/bot", create_app(bot))
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["create_app"]

END_SESSIONS_S = 2.0


def create_app(
    bot: Callable[[Any], Awaitable[None]],
    *,
    transports: Sequence[str] = ("webrtc", "websocket"),
    local_only: bool = True,
    allow_origins: Sequence[str] = (),
    **settings: Any,
) -> Starlette:
    """An ASGI application that serves a bot. Mount it in another application at any prefix, or run it by
    itself.

    A call ends when its bot ends. If the application's lifespan is run, its end also ends active calls.

    Args:
        bot: `async def bot(runner_args)`.
        transports: what to serve; the first is the default of `/start`.
        local_only: whether to accept only requests from this machine. If False, you must authenticate
            clients.
        allow_origins: other origins whose pages may use it, such as "https://site".
        settings: further `runner.settings.Settings`, by name (`max_sessions`, `ice_servers`, `body`, …).

    Raises:
        MissingPackageError: a transport needs a package that is not installed.
    """
    from runner.botcode.loader import LoadedBot
    from runner.server import app
    from runner.server.host import Host
    from runner.sessions.registry import SessionLimits, Sessions
    from runner.settings import Settings
    from runner.settings.transports import choose_transports

    served = choose_transports(transports)
    host = "127.0.0.1" if local_only else "0.0.0.0"
    chosen = Settings(host=host, transports=served, allow_origins=tuple(allow_origins), **settings)
    code = bot.__code__
    loaded = LoadedBot(Path(code.co_filename), bot.__name__, bot, sys.modules[bot.__module__])
    sessions = Sessions(loaded, SessionLimits(sessions=chosen.max_sessions, call_s=chosen.max_call_secs))
    made = app.create_app(Host(chosen, loaded, sessions, served), eager=False)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await sessions.shut_down(END_SESSIONS_S, chosen.shutdown_secs)

    made.router.lifespan_context = lifespan
    return made
