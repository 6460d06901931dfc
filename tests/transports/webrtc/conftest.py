"""A real server on a loopback port for each test that wants one, in this process."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.botcode.loader import LoadedBot
from runner.server.app import create_app
from runner.server.host import Host
from runner.server.wire.uvicorn_server import Server
from runner.sessions.registry import SessionLimits, Sessions
from runner.sessions.session import Session
from runner.settings import Settings


@dataclass
class Served:
    """A running server, and all sessions that it ever had."""

    url: str
    sessions: Sessions
    seen: list[Session]


@contextlib.asynccontextmanager
async def serving(bot: Callable[[Any], Awaitable[None]], **settings: Any) -> AsyncIterator[Served]:
    loaded = LoadedBot(Path(__file__), bot.__name__, bot, sys.modules[__name__])
    chosen = Settings(**settings)
    sessions = Sessions(loaded, SessionLimits(sessions=chosen.max_sessions, call_s=chosen.max_call_secs))
    seen: list[Session] = []
    start = sessions.start

    def remember(*args: Any, **more: Any) -> Session:
        seen.append(start(*args, **more))
        return seen[-1]

    sessions.start = remember  # type: ignore[method-assign]
    app = create_app(Host(chosen, loaded, sessions, ("webrtc",)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Server(app).serving(listener, close_within_s=1.0):
            try:
                yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", sessions, seen)
            finally:
                await sessions.shut_down(5.0)


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractAsyncContextManager[Served]]:
    return serving
