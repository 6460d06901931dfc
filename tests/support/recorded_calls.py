"""Calls of simulated phones, recorded."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from phone_bots import PHONES, URL, Served

from runner.botcode.loader import LoadedBot
from runner.callers.memory_socket import dial
from runner.records.call import RecordedCall
from runner.records.folder import ids_in
from runner.server.app import create_app
from runner.server.host import Host
from runner.sessions.recording import make_recorder
from runner.sessions.registry import SessionLimits, Sessions
from runner.sessions.tracing import Tracing
from runner.settings import Settings


@contextlib.asynccontextmanager
async def recorded(
    bot: Callable[[Any], Awaitable[None]], folder: Path, *, tracing: Tracing | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """Served without a network, for virtual time; calls are recorded in this folder."""
    loaded = LoadedBot(Path(__file__), "bot", bot, sys.modules[__name__])  # type: ignore[arg-type]
    chosen = Settings(**settings)
    sessions = Sessions(loaded, SessionLimits(sessions=5), make_recorder(chosen, loaded, folder), tracing)
    host = Host(chosen, loaded, sessions, (*PHONES, "websocket"))
    yield Served(host, URL, dial(create_app(host)))
    await host.sessions.shut_down(3)


def only_call(folder: Path) -> RecordedCall:
    """The one record there is."""
    (name,) = ids_in(folder)
    return RecordedCall(folder / name)
